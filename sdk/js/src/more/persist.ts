/** What is written to the store, and when (R110-R113, R116). */
import { type Epoch, type Kept, newEpoch } from "../ledger.js";
import type { StoreFault } from "../platform.js";
import { type Batch, type Ev, epochs, newId, type State } from "../state.js";
import { snapshot } from "./books.js";
import { forget } from "./forget.js";
import type { Full } from "./more.js";
import { part } from "./part.js";
import { pump, soon, wake } from "./pump.js";

/** Numbers are reserved in blocks, the next one when so many are left (R43). */
const BLOCK = 256;
const AHEAD = 128;
/** A disk that has not answered for so long might stop the host, were it asked on this thread. */
const STUCK_MS = 100;
const URGENT_BYTES = 65_536;
const RETRY_MS = 60_000;

export const newKept = (queue?: unknown): Kept => ({
  _queue: queue,
  _puts: new Map(),
  _after: [],
  _reserved: 0,
});

/** An event or a batch as the store takes it. */
const stored = (key: string, v: any): unknown => {
  if (!v || key[0] === "a") return v;
  if (key[0] === "e") return v._class + v._line;
  const { _events: events } = v as Batch;
  return [v._class, events.map((ev) => ev._seq), events.map((ev) => ev._age), !!v._gzip, v._body];
};

/** Entries as the store takes them; the ledger goes with every write, so both always agree. */
const entriesOf = (e: Epoch): [string, unknown][] => [
  ...[...e._kept!._puts].map(([key, v]): [string, unknown] => [key, stored(key, v)]),
  ["l", [e._id, ...snapshot(e)]],
];

/** Whether writes are tried at all now: once a minute after one was refused. */
const mayStore = (s: Full): boolean => !(s._fault && s._platform._mono() < s._retryStoreAt);

const isStoring = (s: Full, e: Epoch): boolean => !!e._kept?._queue && mayStore(s);

function refused(s: Full, fault: StoreFault): void {
  const p = s._platform;
  if (!s._fault) p._warn(`tidegate: the store fails (${fault}), events live in memory`);
  s._fault = fault;
  s._retryStoreAt = p._mono() + RETRY_MS;
}

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
  const lacks = (x: Epoch) => x._kept && (x._dirty || x._kept._after.length);
  const e = wanted && lacks(wanted) ? wanted : epochs(s).find(lacks);
  s._saveAt = Infinity;
  if (!e || !(force || mayStore(s))) return;
  const kept = e._kept!;
  if (!kept._queue) return make(s, e);
  const { _puts: puts, _after: after } = kept;
  const state = snapshot(e);
  const reserved = e._reserved;
  kept._taken = entriesOf(e);
  kept._puts = new Map();
  kept._after = [];
  e._dirty = false;
  s._waiting = 0;
  s._saving = true;
  s._savingFrom = p._mono();
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
      refused(s, fault);
      // A client that ends begins nothing any more.
      if (s._ready) part(s);
    } else {
      s._fault = undefined;
      kept._has = state;
      e._left = undefined;
      for (const [key, v] of puts)
        if (v && key[0] === "e") (v as Ev)._kept = true;
        else if (v && key[0] === "b") (v as Batch)._stored = true;
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
  const kept = newKept();
  e._kept = kept;
  // What was tracked, and perhaps sent, before there was a store.
  for (const k of s._lanes) {
    for (const b of k._sealed) if (b._epoch === e && b._attempts) putBatch(b, b._attempts);
    for (const ev of k._queue.slice(k._head).concat(...k._sealed.map((b) => b._events)))
      if (ev._epoch === e) kept._puts.set(`e${ev._seq}`, ev);
  }
  e._dirty = true;
  make(s, e, done);
}

/** Makes the queue of the current epoch. */
function make(s: Full, e: Epoch, done = () => pump(s)): void {
  const store = s._platform._store!;
  const kept = e._kept!;
  if (kept._opening) return;
  kept._opening = true;
  store._open(e._id, (queue, fault) => {
    kept._opening = false;
    if (s._stopped || e !== s._epoch || e._kept !== kept) {
      if (queue) store._drop(queue, () => {});
    } else if (queue) {
      kept._queue = queue;
      // The first block is reserved before its first number is on the wire (R111).
      s._saveAt = 0;
    } else refused(s, fault || "error");
    done();
  });
}

/** Writes the block of the next number before that is given, where it is not there yet (R111). */
export function number(s: Full): void {
  const { _epoch: e, _platform: p } = s;
  const { _kept: kept, _reserved: upTo } = e;
  const reserve = p._store?._reserve;
  if (!reserve || !kept?._queue || e._admitted < kept._reserved) return;
  if (s._fault || kept._refused === upTo) return;
  if (s._saving && p._mono() - s._savingFrom >= STUCK_MS) return;
  if (reserve(kept._queue, e._id, upTo)) {
    kept._reserved = upTo;
    kept._has ||= snapshot({ ...newEpoch(e._id), _reserved: upTo });
  } else kept._refused = upTo;
}

/** Blocks are reserved ahead (R111). */
function reserve(e: Epoch): boolean {
  const before = e._admitted;
  if (e._reserved - before > AHEAD) return false;
  e._reserved = (Math.floor(before / BLOCK) + 1) * BLOCK;
  if (e._reserved - before <= AHEAD) e._reserved += BLOCK;
  return true;
}

export function admitted(s: Full, ev: Ev): void {
  const reserved = reserve(ev._epoch);
  if (!ev._epoch._kept) return;
  ev._epoch._kept._puts.set(`e${ev._seq}`, ev);
  if (s._fault) return;
  s._waiting += ev._size;
  if (reserved || s._waiting >= URGENT_BYTES) s._saveAt = 0;
  if (!s._saveAt && !s._saving) soon(s);
}

/** Of what never was in the store, nothing is deleted there. */
function forgetEntry(e: Epoch, key: string, isThere: unknown): void {
  const kept = e._kept;
  if (isThere || kept?._taken) kept?._puts.set(key, null);
  else kept?._puts.delete(key);
}

export const left = (ev: Ev): void => forgetEntry(ev._epoch, `e${ev._seq}`, ev._kept);

export function ended(b: Batch): void {
  b._epoch._dirty = true;
  if (b._events.length) for (const kind of "ba") forgetEntry(b._epoch, kind + b._id, b._stored);
}

/** A sealed batch, once with its bytes; `attempts` is the number of its next send. */
function putBatch(b: Batch, attempts: number): void {
  const puts = b._epoch._kept!._puts;
  if (!b._stored) puts.set(`b${b._id}`, b);
  // The next attempt's number: this one may have been sent when it is found (R111).
  puts.set(`a${b._id}`, attempts);
  b._epoch._dirty = true;
}

export function keepBatch(s: Full, b: Batch, send: () => void): void {
  const e = b._epoch;
  const first = !b._attempts && b._events.length;
  const go = () => {
    if (first) s._platform._point?.("sealed");
    send();
  };
  // Of a report alone the ledger that it tells.
  if (e._kept && b._events.length) putBatch(b, b._attempts + 1);
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
  if (s._saveAt === Infinity && epochs(s).some((e) => e._kept && !e._kept._opening && e._dirty))
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
