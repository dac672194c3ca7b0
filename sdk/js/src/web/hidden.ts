/** A page that is hidden or left (R140-R142); what is kept of `hidden` is in `more/hidden.ts`. */
import { isClear, pump } from "../pump.js";
import { Reason } from "../reasons.js";
import { assemble, pick } from "../seal.js";
import { batchUrl } from "../send.js";
import { type Ev, endBatch, leave, queued, recall, type State, shift, unshift } from "../state.js";

const PIECE = 49_152;

/** Begins to send, whatever is there by now; not if the gateway may have switched this client off. */
export function begin(s: State): void {
  s._ready ||= !!s._more || !/"off_ms":[1-9]/.test(recall(s, "config")!);
  pump(s);
}

/** Hidden or frozen. The core alone does as if the page were left: it may be. */
export function hide(s: State): void {
  begin(s);
  if (s._more) s._more._hide(s);
  else leavePage(s);
}

/** Visible, or back from the back-forward cache. */
export function show(s: State): void {
  s._more?._show(s);
  pump(s);
}

/** The last chance: what was never in a send goes by beacon (R13, R141). */
export function leavePage(s: State): void {
  const p = s._platform;
  begin(s);
  if (isClear(s))
    s._lanes.forEach((k, c) => {
      if (p._mono() < k._pausedUntil) return;
      // What was sealed and not sent yet is queued again.
      for (const b of k._sealed.slice().reverse())
        if (!b._attempts && b._events.length) {
          endBatch(s, b);
          unshift(k, b._events);
        }
      let n = Infinity;
      let rest: Ev[] = [];
      const stay: Ev[] = [];
      for (const ev of shift(k, queued(k))) (ev._sent ? stay : rest).push(ev);
      while (rest[0]) {
        n = Math.min(n, pick(s, rest, Math.min(PIECE, s._now.batchBytesMax)));
        const piece = rest.slice(0, n);
        const b = assemble(s, c, piece[0]._epoch, piece);
        if (p._beacon!(batchUrl(s, b), b._body))
          for (const ev of piece) leave(s, ev, Reason.Unconfirmed);
        else {
          b._epoch._n--;
          // Halves; what is refused by itself stays.
          if (n > 1) {
            n = Math.ceil(n / 2);
            continue;
          }
          stay.push(piece[0]);
        }
        rest = rest.slice(n);
      }
      unshift(k, stay);
    });
  pump(s);
  s._more?._spill(s);
}
