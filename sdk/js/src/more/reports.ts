/** Batches of count 0: reports alone, the last ones of epochs (R107, R114), and the end (R131). */
import type { Epoch } from "../ledger.js";
import { isClear, isFree } from "../pump.js";
import { Reason } from "../reasons.js";
import { assemble, isDue } from "../seal.js";
import {
  abort,
  allBatches,
  type Ev,
  endBatch,
  epochs,
  held,
  killedMs,
  leave,
  sift,
} from "../state.js";
import type { Full } from "./more.js";
import { discard, save } from "./persist.js";

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
  const isOver = (e: Epoch) => !e._held && !e._ended && (e._tracked || e._recovered);
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

/** Waits for the report of the end; what is left stays in the store or is counted. */
export async function close(s: Full, flushed: boolean, until: number): Promise<boolean> {
  const store = s._platform._store;
  if (flushed && !s._out && !killedMs(s)) {
    await new Promise<void>((resolve) => {
      const end = () => {
        s._onEnd = undefined;
        cancel();
        resolve();
      };
      const cancel = s._platform._timer(until - s._platform._mono(), end, true);
      s._ending = true;
      s._onEnd = () => {
        const e = s._epoch;
        if (!held(s) && !allBatches(s).length && (!e._tracked || e._ended)) end();
      };
      s._core._pump(s);
    });
  }
  // Nothing begins any more, whatever the writes below wake.
  s._ready = false;
  s._fetching?.();
  for (const b of allBatches(s)) abort(b);
  for (const e of epochs(s)) await saved(s, e);
  const lost = countRest(s);
  for (const e of epochs(s)) {
    if (!e._kept?._queue) continue;
    // An epoch in which nothing happened leaves nothing behind.
    if (e._tracked || e._recovered) store!._free(e._kept._queue);
    else discard(s, e);
  }
  return !held(s) && !lost;
}

/** One more write of an epoch, whatever the last ones came to. */
async function saved(s: Full, e: Epoch): Promise<void> {
  const { _kept: kept } = e;
  if (!kept?._queue) return;
  // The write under way calls back when it ends.
  while (s._saving) {
    const busy = epochs(s).find((x) => x._kept?._taken)?._kept || kept;
    await new Promise<void>((resolve) => busy._after.push(resolve));
  }
  if (!e._dirty || !e._kept) return;
  await new Promise<void>((resolve) => {
    kept._after.push(resolve);
    save(s, e, true);
  });
}

/** Counts what is in memory alone (R116); whether there was anything. */
function countRest(s: Full): boolean {
  const reason =
    s._fault === "full"
      ? Reason.StoreFull
      : s._platform._store
        ? Reason.StoreError
        : Reason.ShutdownTimeout;
  const stays = (ev: Ev) => ev._kept && ev._epoch._kept?._queue;
  let lost = 0;
  for (const b of allBatches(s)) {
    if (b._events.every(stays) && b._events.length) continue;
    lost += b._events.length;
    endBatch(s, b, reason);
  }
  for (const k of s._lanes)
    for (const ev of sift(k, stays)) {
      lost++;
      leave(s, ev, reason);
    }
  return lost > 0;
}
