/** Two batches in place of one that was too large (R19). */
import { assemble } from "../seal.js";
import type { Batch, State } from "../state.js";

/** The lines keep their ages, so `wait` goes on from where it was. */
export function split(s: State, b: Batch): void {
  const k = s._lanes[b._class];
  const at = k._sealed.indexOf(b);
  const middle = Math.ceil(b._events.length / 2);
  const halves = [b._events.slice(0, middle), b._events.slice(middle)].map((events) =>
    assemble(s, b._class, b._epoch, events, b._mono),
  );
  k._sealed.splice(at, 1, ...halves);
}
