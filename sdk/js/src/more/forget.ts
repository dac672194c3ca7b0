/** Giving up requests, single events, and whole epochs (R104, R113). */
import type { Epoch } from "../ledger.js";
import { type Batch, type Ev, type Lane, left, queued, Sent, shift, unshift } from "../state.js";
import { allBatches, endBatch } from "./batches.js";
import type { Full } from "./more.js";

/** Gives up a request; whether it arrived is not known (R104). */
export function abort(b: Batch): void {
  if (!b._abort) return;
  b._abort();
  b._abort = undefined;
  for (const ev of b._events) ev._sent = Sent.Unanswered;
}

/** Takes all events out, and puts those back that `stay`; the others are returned. */
export function sift(k: Lane, stay: (ev: Ev) => unknown): Ev[] {
  const gone: Ev[] = [];
  unshift(
    k,
    shift(k, queued(k)).filter((ev) => stay(ev) || !gone.push(ev)),
  );
  return gone;
}

/** Forgets all of an epoch without counting it: another client does. */
export function forget(s: Full, e: Epoch): void {
  const gone = (ev: Ev) => left(s, ev);
  for (const b of allBatches(s)) {
    if (b._epoch !== e) continue;
    abort(b);
    endBatch(s, b);
    b._events.forEach(gone);
  }
  for (const k of s._lanes) sift(k, (ev) => ev._epoch !== e).forEach(gone);
  e._held = 0;
}
