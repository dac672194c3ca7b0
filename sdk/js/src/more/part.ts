/** What becomes of epochs when the store refuses a write (R116). */
import { changed, type Epoch, newEpoch } from "../ledger.js";
import { utf8 } from "../line.js";
import { type Ev, epochs, newId, unshift } from "../state.js";
import { endBatch } from "./batches.js";
import { heldBy, revive } from "./books.js";
import { stops } from "./breaker.js";
import type { Full } from "./more.js";
import { open } from "./persist.js";

/**
 * Leaves every epoch of which the store has anything to what it has: reports say that, so that a later
 * life never tells less. What is in memory alone and was never sent goes on in a new epoch.
 */
export function part(s: Full): void {
  for (const e of epochs(s)) {
    const has = e._kept?._has;
    if (!has) continue;
    const left = revive(e._id, has);
    left._held = heldBy(left);
    left._n++;
    e._left = left;
    e._n = left._n;
    e._dirty = true;
  }
  const e = s._epoch;
  unseal(s);
  if (!e._left) return;
  e._reserved = e._kept!._reserved;
  s._older.push(e);
  s._epoch = newEpoch(newId(s));
  s._lanes
    .flatMap((k) => k._queue.slice(k._head))
    .filter((ev) => ev._epoch === e && !ev._kept && !ev._sent)
    .sort((a, b) => a._order - b._order)
    .forEach((ev) => move(s, ev, s._epoch));
  open(s);
}

/** Takes back what was neither stored nor sent: its report says too much. */
function unseal(s: Full): void {
  for (const k of s._lanes)
    for (const b of k._sealed.slice().reverse()) {
      if (b._stored || b._attempts || !b._epoch._left) continue;
      if (b._fin) b._epoch._ended = false;
      stops(s, b);
      endBatch(s, b);
      unshift(k, b._events);
    }
}

/** An event gets the next number of another epoch, as if it had been admitted there. */
function move(s: Full, ev: Ev, to: Epoch): void {
  const from = ev._epoch;
  from._kept!._puts.delete(`e${ev._seq}`);
  from._tracked--;
  from._admitted--;
  from._held--;
  to._tracked++;
  to._held++;
  ev._epoch = to;
  ev._seq = ++to._admitted;
  // Only the id stands before it.
  ev._line = ev._line.replace(/"seq":\d+/, `"seq":${ev._seq}`);
  const size = utf8(ev._line).length + 1;
  s._used += size - ev._size;
  s._lanes[ev._class]._bytes += size - ev._size;
  ev._size = size;
  changed(to);
}
