/** What is written to the store and when (R110-R116), and what is found there (R114). */
import { type Epoch, newEpoch, reconcile, snapshot, sum } from "./ledger.js";
import { POST_FROM, Reason } from "./reasons.js";
import { pump } from "./sender.js";
import {
  abort,
  allBatches,
  type Batch,
  type Ev,
  endBatch as endAs,
  forget,
  freshEpoch,
  leave,
  RESERVE,
  Sent,
  type State,
  unshift,
} from "./state.js";
import { shrink } from "./track.js";

const epochs = (s: State): Epoch[] => [s._epoch, ...s._older];

/** Entries as the store takes them; the ledger goes with every write, so both always agree. */
const entriesOf = (e: Epoch): [string, unknown][] => [
  ...[...e._puts].map(([key, v]): [string, unknown] => [
    key,
    key[0] === "e" && v ? (v as Ev)._class + (v as Ev)._line : v,
  ]),
  ["l", [e._id, ...snapshot(e)]],
];

/** Whether writes are tried at all now. */
export const isStoring = (s: State, e: Epoch): boolean =>
  !!e._queue && !(s._fault && s._platform._mono() < s._retryStoreAt);

/** Calls `f` when all that is known of this epoch is in the store, or cannot be. */
export function afterSave(s: State, e: Epoch, f: () => void): void {
  if (!isStoring(s, e)) return f();
  e._after.push(f);
  save(s, e);
}

/** One write of one epoch at a time. */
export function save(s: State, wanted?: Epoch, force?: boolean): void {
  const p = s._platform;
  if (s._saving) return;
  const ready = (x: Epoch) => x._queue && (x._dirty || x._after.length);
  const e = wanted && ready(wanted) ? wanted : epochs(s).find(ready);
  s._saveAt = Infinity;
  if (!e || !(force || isStoring(s, e))) return;
  const puts = e._puts;
  const after = e._after;
  const reserved = e._reserved;
  e._taken = entriesOf(e);
  e._puts = new Map();
  e._after = [];
  e._dirty = false;
  s._waiting = 0;
  s._saving = true;
  p._point?.("snapshot");
  p._store!._put(e._queue, e._taken, 2 * s._now.queueBytesMax + 1048576, (fault) => {
    s._saving = false;
    e._taken = undefined;
    if (fault === "lost") {
      // Another client has taken this queue over and counts what was here (R113).
      forget(s, e);
      e._queue = undefined;
      s._older = s._older.filter((x) => x !== e);
      if (e === s._epoch) renew(s);
    } else if (fault) {
      for (const [key, v] of puts) if (!e._puts.has(key)) e._puts.set(key, v);
      e._dirty = true;
      if (!s._fault) p._warn(`tidegate: the store fails (${fault})`);
      s._fault = fault;
      s._retryStoreAt = p._mono() + 60_000;
    } else {
      s._fault = undefined;
      for (const [key, v] of puts) if (key[0] === "e" && v) (v as Ev)._kept = true;
      if (reserved > e._kept) p._point?.("reserved");
      e._kept = Math.max(e._kept, reserved);
    }
    for (const f of after) f();
    const waits = epochs(s).find((x) => x._queue && x._after.length);
    if (waits) {
      if (isStoring(s, waits)) save(s, waits);
      else for (const f of waits._after.splice(0)) f();
    }
    pump(s);
  });
}

/** A new epoch with a queue of its own (R106). */
export function renew(s: State): void {
  freshEpoch(s);
  open(s, () => pump(s));
}

/** Opens a queue for the current epoch, unless there is no store or no consent. */
export function open(s: State, done: () => void): void {
  const store = s._platform._store;
  const e = s._epoch;
  if (!store || s._out) return done();
  store._open(e._id, (queue) => {
    if (s._stopped || e !== s._epoch || s._out) {
      if (queue) store._drop(queue, () => {});
    } else if (queue) {
      e._queue = queue;
      e._dirty = true;
      e._reserved ||= RESERVE;
      // The first block is reserved before its first number is on the wire (R111).
      s._saveAt = 0;
    } else s._platform._warn("tidegate: no store, events live in memory");
    done();
  });
}

/** Takes over a dead client's queue (R112, R114). */
export function recover(s: State, queue: unknown, entries: Map<string, any>): void {
  const ledger = entries.get("l");
  if (s._out || !Array.isArray(ledger)) return s._platform._store!._drop(queue, () => {});
  const e = newEpoch(ledger[0], ledger.slice(1));
  e._recovered = e._dirty = true;
  e._queue = queue;
  const found = new Map<number, Ev>();
  for (const [key, v] of entries) {
    if (key[0] !== "e") continue;
    const ev: Ev = {
      _line: v.slice(1),
      _class: +v[0],
      _seq: +key.slice(1),
      _size: 0,
      _ts: +/"ts":(\d+)/.exec(v)![1],
      _mono: NaN,
      _epoch: e,
      _order: ++s._order,
      _age: 0,
      _sent: Sent.Never,
      _kept: true,
    };
    ev._size = new TextEncoder().encode(ev._line).length + 1;
    e._admitted = Math.max(e._admitted, ev._seq);
    found.set(ev._seq, ev);
  }
  const sealed: Batch[] = [];
  for (const [key, v] of [...entries].sort()) {
    if (key[0] !== "b") continue;
    const [class_, seqs, ages, gzip, body] = v;
    const events: Ev[] = seqs.map((seq: number) => found.get(seq));
    // It may have been sent (R114).
    events.forEach((ev, at) => {
      if (!ev) return;
      ev._sent = Sent.Unanswered;
      ev._age = ages[at];
    });
    const id = key.slice(1);
    if (!events.every(Boolean)) {
      for (const kind of "ba") e._puts.set(kind + id, null);
      continue;
    }
    for (const seq of seqs) found.delete(seq);
    sealed.push({
      _id: id,
      _class: class_,
      _epoch: e,
      _events: events,
      _body: body,
      _gzip: gzip,
      _final: true,
      _mono: NaN,
      _attempts: entries.get(`a${id}`) || 1,
      _tells: "",
      _stored: true,
      _round: -1,
    });
  }
  const rest = [...found.values()].sort((a, b) => a._seq - b._seq);
  // More than the ledger holds: lost writes had settled the oldest (R115).
  const surplus = sealed.reduce((n, b) => n + b._events.length, rest.length) - heldBy(e);
  for (const ev of rest.splice(0, Math.max(0, surplus))) e._puts.set(`e${ev._seq}`, null);
  const all = sealed.flatMap((b) => b._events).concat(rest);
  e._held = all.length;
  for (const ev of all) s._used += ev._size;
  reconcile(e, all.length, 1);
  s._older.push(e);
  s._lanes.forEach((k, c) => {
    k._sealed = sealed.filter((b) => b._class === c).concat(k._sealed);
    unshift(
      k,
      rest.filter((ev) => ev._class === c),
    );
  });
  shrink(s);
  if (s._now.purge && s._killedUntil > s._platform._mono()) purge(s);
}

const heldBy = (e: Epoch): number => e._admitted - e._acked - sum(e, POST_FROM, 20);

/** A kill with `purge`: all that is held leaves, but what is in flight ends normally (R126). */
export function purge(s: State): void {
  for (const b of allBatches(s)) if (!b._busy) endAs(s, b, Reason.PurgedKill);
  for (const k of s._lanes) {
    const all = k._queue.slice(k._head);
    k._queue = [];
    k._head = k._bytes = 0;
    for (const ev of all) leave(s, ev, Reason.PurgedKill);
  }
}

/** The end of a client: what is held stays in the store, or is counted (R116, R131). */
export function settleRest(s: State, done: (lost: boolean) => void): void {
  for (const b of allBatches(s)) abort(b);
  const all = epochs(s).filter((e) => e._queue);
  const finish = () => {
    let lost = false;
    const reason =
      s._fault === "full"
        ? Reason.StoreFull
        : s._platform._store
          ? Reason.StoreError
          : Reason.ShutdownTimeout;
    const rest = (ev: Ev) => ev._kept && ev._epoch._queue;
    for (const b of allBatches(s)) {
      if (b._events.every(rest) && b._events.length) continue;
      lost ||= !!b._events.length;
      endAs(s, b, reason);
    }
    for (const k of s._lanes) {
      const gone = k._queue.slice(k._head).filter((ev) => !rest(ev));
      lost ||= !!gone.length;
      k._queue = k._queue.slice(k._head).filter(rest);
      k._head = 0;
      k._bytes = k._queue.reduce((n, ev) => n + ev._size, 0);
      for (const ev of gone) leave(s, ev, reason);
    }
    done(lost);
  };
  const next = () => {
    const e = all.shift();
    if (!e) return finish();
    if (s._saving) {
      all.unshift(e);
      // The write under way calls back when it ends.
      (epochs(s).find((x) => x._taken) || e)._after.push(next);
      return;
    }
    if (!e._dirty || !e._queue) return next();
    e._after.push(next);
    save(s, e, true);
  };
  next();
}

/** Writes what is not in the store yet, on this thread (R132). */
export function spill(s: State): void {
  for (const e of epochs(s)) {
    if (!e._queue || !(e._dirty || e._taken)) continue;
    // What is being written may or may not arrive; entries are the same if they arrive twice.
    s._platform._store!._spill?.(e._queue, [...(e._taken || []), ...entriesOf(e)]);
    e._dirty = false;
  }
}
