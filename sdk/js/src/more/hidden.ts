/** What a page sends when it is hidden (R140): plain, in small pieces, within the browser's budget. */
import { isFree } from "../pump.js";
import { seal } from "../seal.js";
import { allBatches } from "../state.js";
import type { Full } from "./more.js";
import { spill } from "./persist.js";

const PIECE = 49_152;
const KEEPALIVE = 61_440;
/** Room for the header line. */
const HEADER = 5000;

export function hide(s: Full): void {
  s._hiddenOrder = s._order;
  s._core._pump(s);
  spill(s);
}

/** Batches that wait for another send are sent as others are. */
export function show(s: Full): void {
  s._hiddenOrder = 0;
  for (const b of allBatches(s)) if (!b._busy) b._keepalive = false;
}

/** What was queued when the page was hidden. */
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
      s._core._start(s, b);
    }
  });
}
