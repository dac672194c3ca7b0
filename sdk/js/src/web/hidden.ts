/** What a page sends when it is hidden (R140) and when it ends (R141): plain, in small pieces. */
import { isClear, isFree, pump } from "../pump.js";
import { Reason } from "../reasons.js";
import { assemble, pick, seal } from "../seal.js";
import { batchUrl, start } from "../send.js";
import { allBatches, type Ev, endBatch, leave, Sent, type State, sift, unshift } from "../state.js";

const PIECE = 49_152;
const KEEPALIVE = 61_440;

/** Hidden or frozen: what is queued goes now; nothing is waited for any more. */
export function hide(s: State): void {
  s._ready = true;
  s._hidden = true;
  s._hiddenOrder = s._order;
  pump(s);
  s._more?._spill(s);
}

/** Visible, or back from the back-forward cache. */
export function show(s: State): void {
  s._hidden = false;
  s._hiddenOrder = 0;
  pump(s);
}

/** What was queued when the page was hidden, as far as the browser's budget for such requests goes. */
export function sendHidden(s: State, now: number): void {
  s._lanes.forEach((k, c) => {
    for (;;) {
      const flying = allBatches(s).reduce(
        (n, b) => n + (b._busy && b._keepalive ? b._body.length : 0),
        0,
      );
      const first = k._queue[k._head];
      const most = Math.min(PIECE, s._now.batchBytesMax, KEEPALIVE - flying);
      if (
        !first ||
        first._order > s._hiddenOrder ||
        first._size + 5000 > most ||
        !isFree(s, k, now)
      )
        return;
      const b = seal(s, c, most);
      b._keepalive = b._final = true;
      start(s, b);
    }
  });
}

/** The last chance: what was never in a send goes by beacon. */
export function leavePage(s: State): void {
  const p = s._platform;
  s._ready = true;
  if (p._beacon && isClear(s))
    s._lanes.forEach((k, c) => {
      if (p._mono() < k._pausedUntil) return;
      // What was sealed and not sent yet is queued again.
      for (const b of k._sealed.slice().reverse())
        if (!b._attempts && b._events.length) {
          endBatch(s, b);
          unshift(k, b._events);
        }
      const post = (events: Ev[]): void => {
        const e = events[0]._epoch;
        const b = assemble(s, c, e, events);
        if (p._beacon!(batchUrl(s, b), b._body)) {
          const gone = new Set(events);
          for (const ev of sift(k, (ev) => !gone.has(ev))) leave(s, ev, Reason.Unconfirmed);
        } else {
          const middle = Math.ceil(events.length / 2);
          e._n--;
          if (middle < events.length) {
            post(events.slice(0, middle));
            post(events.slice(middle));
          }
        }
      };
      const all = k._queue.slice(k._head).filter((ev) => ev._sent === Sent.Never);
      while (all.length) post(all.splice(0, pick(s, all, Math.min(PIECE, s._now.batchBytesMax))));
    });
  pump(s);
  s._more?._spill(s);
}
