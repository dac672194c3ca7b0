/** What leaves without a reply when a page does (R13, R141). */
import { newEpoch } from "./ledger.js";
import { Reason } from "./reasons.js";
import { assemble, pick } from "./seal.js";
import {
  type Batch,
  type Ev,
  type Lane,
  leave,
  newId,
  queued,
  type State,
  shift,
  unshift,
} from "./state.js";
import { batchUrl } from "./url.js";

export const PIECE = 49_152;

/**
 * Sends what is queued in these lanes and was never in a send; what is refused stays. If that is the
 * end of an epoch that no store has, nobody else can send its last report (R107).
 */
export function beacons(s: State, lanes: Lane[], ends: boolean): void {
  const send = (b: Batch) => s._platform._beacon!(batchUrl(s, b), b._body);
  for (const k of lanes) {
    let n = Infinity;
    let rest: Ev[] = [];
    const stay: Ev[] = [];
    for (const ev of shift(k, queued(k))) (ev._sent ? stay : rest).push(ev);
    while (rest[0]) {
      n = Math.min(n, pick(s, rest, Math.min(PIECE, s._now.batchBytesMax)));
      const piece = rest.slice(0, n);
      const b = assemble(s, piece[0]._class, piece[0]._epoch, piece);
      if (send(b)) for (const ev of piece) leave(s, ev, Reason.Unconfirmed);
      else {
        if (!b._epoch._left) b._epoch._n--;
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
  }
  const e = s._epoch;
  if (
    ends &&
    e._tracked &&
    !e._held &&
    !e._kept?._queue &&
    send(assemble(s, 1, e, [], undefined, true)) &&
    !s._stopped
  )
    // For what comes if the page does not end after all.
    s._epoch = newEpoch(newId(s));
}
