/** `flush` and the end (R116, R130, R131). */
import type { Epoch } from "../ledger.js";
import { Reason } from "../reasons.js";
import { type Ev, epochs, held, leave } from "../state.js";
import { allBatches, endBatch } from "./batches.js";
import { killedMs } from "./due.js";
import { expire } from "./expiry.js";
import { abort, sift } from "./forget.js";
import type { Flush, Full } from "./more.js";
import { discard, save } from "./persist.js";
import { pump } from "./pump.js";

const clampMs = (ms: unknown): number =>
  Number.isFinite(ms) ? Math.min(Math.max(ms as number, 0), 600_000) : 5000;

/** Makes all due that is held up to `order`, and waits until it has left, or for the deadline. */
export async function flush(s: Full, ms: unknown, order: number, from: number): Promise<boolean> {
  const all = s._lanes.flatMap((k) =>
    k._sealed.flatMap((b) => b._events).concat(k._queue.slice(k._head)),
  );
  const f: Flush = { _order: order, _left: all.filter((ev) => ev._order <= order).length };
  s._flushes.push(f);
  pump(s);
  const over = await new Promise<boolean>((resolve) => {
    expire(s);
    if (!f._left) return resolve(true);
    if (s._stopped || s._out || killedMs(s)) return resolve(false);
    f._done = (result) => {
      cancel();
      resolve(result);
    };
    // Keeps a Node process alive, which the client else does not.
    const rest = clampMs(ms) - (s._platform._mono() - from);
    const cancel = s._platform._timer(Math.max(0, rest), () => f._done!(false), true);
  });
  s._flushes = s._flushes.filter((other) => other !== f);
  return over;
}

/** Flushes count what leaves, whatever the cause. */
export function counted(s: Full, ev: Ev): void {
  for (const f of s._flushes) if (ev._order <= f._order && !--f._left) f._done?.(true);
}

/** Waits for the report of the end; what is left stays in the store or is counted. */
export async function close(
  s: Full,
  flushed: boolean,
  ms: unknown,
  from: number,
): Promise<boolean> {
  const store = s._platform._store;
  const until = from + clampMs(ms);
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
      pump(s);
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
  s._cancel?.();
  s._opening?.();
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
