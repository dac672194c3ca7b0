/** What is written to the store, and when (R110-R113, R116). */
import { type Epoch, newEpoch } from "../ledger.js";
import { type Batch, type Ev, epochs, newId, type State } from "../state.js";
import { snapshot } from "./books.js";
import { forget } from "./forget.js";
import type { Full } from "./more.js";
import { pump, wake } from "./pump.js";

/** The first reservation needs no store yet: nothing of it is on the wire before it is stored. */
const RESERVE = 256;
const URGENT_BYTES = 65_536;
const RETRY_MS = 60_000;

/** Entries as the store takes them; the ledger goes with every write, so both always agree. */
export const entriesOf = (e: Epoch): [string, unknown][] => [
  ...[...e._kept!._puts].map(([key, v]): [string, unknown] => [
    key,
    key[0] === "e" && v ? (v as Ev)._class + (v as Ev)._line : v,
  ]),
  ["l", [e._id, ...snapshot(e)]],
];

/** Whether writes are tried at all now. */
export const isStoring = (s: Full, e: Epoch): boolean =>
  !!e._kept?._queue && !(s._fault && s._platform._mono() < s._retryStoreAt);

/** Calls `f` when all that is known of this epoch is in the store, or cannot be. */
export function afterSave(s: Full, e: Epoch, f: () => void): void {
  const storing = isStoring(s, e);
  withNextSave(s, e, f);
  if (storing) save(s, e);
}

/** The same, but somebody else begins the write. */
export function withNextSave(s: Full, e: Epoch, f: () => void): void {
  if (isStoring(s, e)) e._kept!._after.push(f);
  else f();
}

/** One write of one epoch at a time. */
export function save(s: Full, wanted?: Epoch, force?: boolean): void {
  const p = s._platform;
  if (s._saving) return;
  const lacks = (x: Epoch) => x._kept?._queue && (x._dirty || x._kept._after.length);
  const e = wanted && lacks(wanted) ? wanted : epochs(s).find(lacks);
  s._saveAt = Infinity;
  if (!e || !(force || isStoring(s, e))) return;
  const kept = e._kept!;
  const { _puts: puts, _after: after } = kept;
  const reserved = e._reserved;
  kept._taken = entriesOf(e);
  kept._puts = new Map();
  kept._after = [];
  e._dirty = false;
  s._waiting = 0;
  s._saving = true;
  p._point?.("snapshot");
  p._store!._put(kept._queue, kept._taken, 2 * s._now.queueBytesMax + 1048576, (fault) => {
    s._saving = false;
    kept._taken = undefined;
    if (fault === "lost") {
      // Another client has taken this queue over and counts what was here (R113).
      forget(s, e);
      e._kept = undefined;
      s._older = s._older.filter((x) => x !== e);
      if (e === s._epoch) {
        s._epoch = newEpoch(newId(s));
        open(s);
      }
    } else if (fault) {
      for (const [key, v] of puts) if (!kept._puts.has(key)) kept._puts.set(key, v);
      e._dirty = true;
      if (!s._fault) p._warn(`tidegate: the store fails (${fault})`);
      s._fault = fault;
      s._retryStoreAt = p._mono() + RETRY_MS;
    } else {
      s._fault = undefined;
      for (const [key, v] of puts) if (key[0] === "e" && v) (v as Ev)._kept = true;
      if (reserved > kept._reserved) p._point?.("reserved");
      kept._reserved = Math.max(kept._reserved, reserved);
    }
    for (const f of after) f();
    const waits = epochs(s).find((x) => x._kept?._queue && x._kept._after.length);
    if (waits) {
      if (isStoring(s, waits)) save(s, waits);
      else for (const f of waits._kept!._after.splice(0)) f();
    }
    pump(s);
  });
}

/** Opens a queue for the current epoch, unless there is no store or no consent (R106). */
export function open(s: Full, done = () => pump(s)): void {
  const store = s._platform._store;
  const e = s._epoch;
  if (!store || s._out) return done();
  reserve(e);
  const kept = { _queue: undefined as unknown, _puts: new Map(), _after: [], _reserved: 0 };
  e._kept = kept;
  // What was tracked, and perhaps sent, before there was a store.
  for (const k of s._lanes) {
    for (const b of k._sealed) if (b._epoch === e && b._attempts) putBatch(b, b._attempts);
    for (const ev of k._queue.slice(k._head).concat(...k._sealed.map((b) => b._events)))
      if (ev._epoch === e) kept._puts.set(`e${ev._seq}`, ev);
  }
  store._open(e._id, (queue) => {
    if (s._stopped || e !== s._epoch || s._out) {
      if (queue) store._drop(queue, () => {});
    } else if (queue) {
      kept._queue = queue;
      e._dirty = true;
      // The first block is reserved before its first number is on the wire (R111).
      s._saveAt = 0;
    } else {
      e._kept = undefined;
      s._platform._warn("tidegate: no store, events live in memory");
    }
    done();
  });
}

/** Blocks are reserved ahead, so that none of their numbers is given before (R111). */
function reserve(e: Epoch): boolean {
  const before = e._reserved;
  while (e._admitted + 32 > e._reserved) e._reserved += RESERVE;
  return e._reserved > before;
}

export function admitted(s: Full, ev: Ev): void {
  const reserved = reserve(ev._epoch);
  if (!ev._epoch._kept) return;
  ev._epoch._kept._puts.set(`e${ev._seq}`, ev);
  s._waiting += ev._size;
  if (reserved || s._waiting >= URGENT_BYTES) s._saveAt = 0;
  if (!s._saveAt && !s._saving) pump(s);
}

export function left(ev: Ev): void {
  ev._epoch._kept?._puts.set(`e${ev._seq}`, null);
}

export function ended(b: Batch): void {
  b._epoch._dirty = true;
  if (b._stored) for (const key of "ba") b._epoch._kept?._puts.set(key + b._id, null);
}

/** A sealed batch, once with its bytes; `attempts` is the number of its next send. */
function putBatch(b: Batch, attempts: number): void {
  const puts = b._epoch._kept!._puts;
  if (!b._stored)
    puts.set(`b${b._id}`, [
      b._class,
      b._events.map((ev) => ev._seq),
      b._events.map((ev) => ev._age),
      !!b._gzip,
      b._body,
    ]);
  // The next attempt's number: this one may have been sent when it is found (R111).
  puts.set(`a${b._id}`, attempts);
  b._stored = b._epoch._dirty = true;
}

export function keepBatch(s: Full, b: Batch, send: () => void): void {
  const e = b._epoch;
  const first = !b._attempts && b._events.length;
  const go = () => {
    if (first) s._platform._point?.("sealed");
    send();
  };
  if (!b._events.length) return go();
  if (e._kept) putBatch(b, b._attempts + 1);
  // A page that goes away cannot wait for its store.
  if (b._keepalive) {
    save(s, e);
    go();
  } else afterSave(s, e, go);
}

/** Sees to it that what changed is written in time. */
export function touched(s: Full): void {
  if (!s._epoch._dirty || !s._epoch._kept?._queue || s._saveAt !== Infinity) return;
  s._saveAt = s._platform._mono() + s._now.storeFlushMs;
  wake(s, s._saveAt);
}

/** When the next write is due. */
export function nextSave(s: Full, at: (mono: number) => void): void {
  const now = s._platform._mono();
  if (s._saveAt === Infinity && epochs(s).some((e) => e._kept?._queue && e._dirty))
    s._saveAt = s._fault ? Math.max(s._retryStoreAt, now + 1) : now + s._now.storeFlushMs;
  if (!s._saving) at(s._saveAt);
}

/** Forgets an epoch's queue and deletes it. */
export function discard(s: State, e: Epoch): void {
  const queue = e._kept?._queue;
  e._kept = undefined;
  e._dirty = false;
  if (queue) s._platform._store!._drop(queue, () => {});
}

/** Writes what is not in the store yet, on this thread (R132). */
export function spill(s: State): void {
  for (const e of epochs(s)) {
    const kept = e._kept;
    if (!kept?._queue || !(e._dirty || kept._taken)) continue;
    // What is being written may or may not arrive; entries are the same if they arrive twice.
    s._platform._store!._spill?.(kept._queue, [...(kept._taken || []), ...entriesOf(e)]);
    e._dirty = false;
  }
}
