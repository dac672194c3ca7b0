/** Sealed batches: all of them, and the end of one. */
import type { Reason } from "../reasons.js";
import { type Batch, leave, type State } from "../state.js";
import { ended } from "./breaker.js";
import type { Full } from "./more.js";
import { ended as forgetBatch } from "./persist.js";

export const allBatches = (s: State): Batch[] => s._lanes.flatMap((k) => k._sealed);

/** A batch is over; its events leave, if it is said how: null is acknowledged. */
export function endBatch(s: Full, b: Batch, how?: Reason | null): void {
  const k = s._lanes[b._class];
  b._gone = true;
  k._sealed = k._sealed.filter((other) => other !== b);
  ended(s, b);
  forgetBatch(b);
  if (how !== undefined) for (const ev of b._events) leave(s, ev, how ?? undefined);
}
