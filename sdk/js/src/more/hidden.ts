/** A page that is hidden, left, or back, with everything there (R140-R142). */

import { beacons, PIECE } from "../beacon.js";
import { Reason } from "../reasons.js";
import { Sent, unshift } from "../state.js";
import { allBatches, endBatch } from "./batches.js";
import { seal } from "./due.js";
import { expire } from "./expiry.js";
import type { Full } from "./more.js";
import { spill } from "./persist.js";
import { isClear, isFree, pump } from "./pump.js";
import { start } from "./send.js";

const KEEPALIVE = 61_440;
/** Room for the header line. */
const HEADER = 5000;

/** Hidden or frozen. There may be no later moment: the store is not waited for any longer. */
export function hide(s: Full): void {
  s._ready = true;
  s._hiddenOrder = s._order;
  pump(s);
  spill(s);
}

/** Batches that wait for another send are sent as others are. */
export function show(s: Full): void {
  s._hiddenOrder = 0;
  for (const b of allBatches(s)) if (!b._busy) b._keepalive = false;
  pump(s);
}

/** The last chance: what was never in a send goes by beacon (R13, R141). */
export function leavePage(s: Full, ends: boolean): void {
  s._ready = true;
  expire(s);
  if (isClear(s)) {
    const now = s._platform._mono();
    const lanes = s._lanes.filter((k) => now >= k._pausedUntil);
    // What was sealed and not sent yet is queued again.
    for (const k of lanes)
      for (const b of k._sealed.slice().reverse())
        if (!b._attempts && b._events.length) {
          endBatch(s, b);
          unshift(k, b._events);
        }
    if (ends && !s._epoch._kept?._queue) forgo(s);
    beacons(s, lanes, ends);
  }
  pump(s);
  spill(s);
}

/** What was sent in an epoch that ends, and that no store has: nobody will hear of it any more (R104). */
function forgo(s: Full): void {
  for (const b of allBatches(s)) {
    if (!b._attempts || b._epoch !== s._epoch) continue;
    // Its request goes on.
    if (b._abort) for (const ev of b._events) ev._sent = Sent.Unanswered;
    endBatch(s, b, Reason.ShutdownTimeout);
  }
}

/** What was queued when the page was hidden: plain, in small pieces, within the browser's budget (R140). */
export function sendHidden(s: Full, now: number): void {
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
        first._size + HEADER > most ||
        !isFree(s, k, now)
      )
        return;
      const b = seal(s, c, most);
      b._keepalive = b._final = true;
      start(s, b);
    }
  });
}
