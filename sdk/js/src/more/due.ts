/** When queued events make a batch, and that batch (R76-R78, R94). */
import { assemble, pick } from "../seal.js";
import { type Batch, queued, shift } from "../state.js";
import type { Full } from "./more.js";

/** The pressure that holds. */
export const level = (s: Full): number =>
  s._platform._mono() < s._pressureUntil ? s._pressure : 0;

export const killedMs = (s: Full): number => Math.max(0, s._killedUntil - s._platform._mono());

/** Seals the oldest events of a class, at most `most` bytes. */
export function seal(s: Full, c: number, most: number): Batch {
  const k = s._lanes[c];
  const n = pick(s, k._queue.slice(k._head, k._head + s._now.batchEventsMax), most);
  const events = shift(k, n);
  const b = assemble(s, c, events[0]._epoch, events);
  k._sealed.push(b);
  return b;
}

/** How long an event waits for others. */
export const batchMs = (s: Full, c: number): number => s._now.batchMs * (c ? 2 ** level(s) : 1);

/** Whether a class has queued events to send (R76). */
export function isDue(s: Full, c: number): boolean {
  const k = s._lanes[c];
  const n = queued(k);
  const first = k._queue[k._head];
  return (
    n > 0 &&
    (n >= s._now.batchEventsMax ||
      k._bytes >= s._now.batchBytesMax ||
      // Recovered, also: it has no time of its own.
      !(s._platform._mono() - first._mono < batchMs(s, c)) ||
      s._flushes.some((f) => first._order <= f._order))
  );
}
