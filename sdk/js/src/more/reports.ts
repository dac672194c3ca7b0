/** Batches of count 0: reports alone, the last ones of epochs (R107, R114), and the end (R131). */
import type { Epoch } from "../ledger.js";
import { assemble } from "../seal.js";
import { held } from "../state.js";
import { allBatches } from "./batches.js";
import { isDue } from "./due.js";
import type { Full } from "./more.js";
import { isClear, isFree } from "./pump.js";

const ALONE_MS = 300_000;

/** Travels with class 1. */
function report(s: Full, e: Epoch, fin?: boolean): void {
  if (fin) e._ended = true;
  s._lanes[1]._sealed.push(assemble(s, 1, e, [], undefined, fin));
}

const isUntold = (e: Epoch): boolean => e._changes > e._told;

/** Makes the reports that are due. */
export function reports(s: Full, now: number): void {
  if (!isClear(s)) return;
  // What the store cannot be told does not end yet (R116).
  const isOver = (e: Epoch) => !e._held && !e._ended && !e._left && (e._tracked || e._recovered);
  for (const e of s._ending && !held(s) ? [...s._older, s._epoch] : s._older)
    if (isOver(e) && allBatches(s).every((b) => b._events.length)) report(s, e, true);
  // Only if nothing else has anything to send.
  if (
    now >= s._lastSend + ALONE_MS &&
    isUntold(s._epoch) &&
    !s._ending &&
    !allBatches(s).length &&
    !s._lanes.some((k, c) => isFree(s, k, now) && isDue(s, c))
  )
    report(s, s._epoch);
}

/** When a report alone is due. */
export function nextReport(s: Full, at: (mono: number) => void): void {
  if (!s._offline && !s._out && isUntold(s._epoch)) at(s._lastSend + ALONE_MS);
}
