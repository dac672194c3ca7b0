/** Events beyond their age leave (R90, R91). */
import { Reason } from "../reasons.js";
import { type Ev, leave } from "../state.js";
import { endBatch } from "./batches.js";
import { sift } from "./forget.js";
import type { Full } from "./more.js";

/** The age of an event from the store; what cannot be right is 0 (R90). */
export const recoveredAge = (wall: number, ts: number): number =>
  wall - ts >= 0 && wall - ts <= 2_592_000_000 ? wall - ts : 0;

export function expire(s: Full): void {
  const { _mono, _wall } = s._platform;
  const mono = _mono();
  const wall = _wall();
  const isOld = (ev: Ev) =>
    (ev._mono >= 0 ? mono - ev._mono : recoveredAge(wall, ev._ts)) >= s._now.ttlMs;
  const how = (ev: Ev) => (ev._sent ? Reason.RetryExhausted : Reason.Expired);
  for (const k of s._lanes) {
    // Own events stand in the order of their age, recovered ones before them in any.
    let at = k._head;
    while (Number.isNaN(k._queue[at]?._mono) && !isOld(k._queue[at])) at++;
    if (k._queue[at] && isOld(k._queue[at]))
      for (const ev of sift(k, (ev) => !isOld(ev))) leave(s, ev, how(ev));
    for (const b of k._sealed)
      if (!b._busy && b._events.length && b._events.every(isOld)) {
        endBatch(s, b);
        for (const ev of b._events) leave(s, ev, how(ev));
      }
  }
}
