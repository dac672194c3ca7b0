/** `track`: the gates in their order (R50-R63). */
import { choose } from "./eviction.js";
import { count } from "./ledger.js";
import { eventLine, isEvent, lineTail, utf8 } from "./line.js";
import { Reason } from "./reasons.js";
import { factorsOf, isKept, own, rateOf, take } from "./sampling.js";
import { pump, wake } from "./sender.js";
import {
  drop,
  type Ev,
  killedMs,
  leave,
  level,
  newId,
  RESERVE,
  Sent,
  type State,
  shift,
} from "./state.js";

const isClass = (c: unknown): c is number => c === 0 || c === 1 || c === 2;

export function track(s: State, type: any, props: any, options: any): void {
  const { _platform: p, _epoch: e, _now: x, _options: o } = s;
  const gate = (reason: Reason) => {
    // A track from inside of a callback calls no callback (R59).
    if (s._depth) count(e, reason, class_, 1);
    else drop(s, e, reason, class_);
  };
  let class_ = 1;
  // Arguments may be anything, and throw when they are looked at.
  try {
    const said = typeof type === "string" ? own(x.classes, type) : undefined;
    class_ = said ?? own(x.classes, "*") ?? 1;
    if (said == null && isClass(options?.class)) class_ = options.class;
  } catch {}
  if (s._closed) return gate(Reason.Closed);
  if (s._out) return gate(Reason.NoConsent);
  if (killedMs(s)) return gate(Reason.Killed);
  if (s._depth) return gate(Reason.CallbackError);
  if (!isEvent(type, props)) return gate(Reason.Invalid);
  const id = newId(s);
  const wall = p._wall();
  const mono = p._mono();
  const rate = rateOf(type, class_, x.sampleLocal, x.sampleRemote, factorsOf(x.degrade, level(s)));
  if (!isKept(x.sampleBy === "id" ? id : s._instance, type, rate)) return gate(Reason.Sampled);
  if (x.ratePerS != null && !take(s._bucket, x.ratePerS, x.rateBurst!, mono, class_))
    return gate(Reason.RateLimited);
  try {
    if (o.beforeSend) {
      let copy = props || {};
      let event: any;
      // A plain JSON copy, so that the host's own objects cannot be changed by accident.
      try {
        copy = JSON.parse(`{${lineTail(type, copy, 1, x.eventBytesMax).slice(1)}`).props || {};
      } catch {
        copy = { ...copy };
      }
      s._depth++;
      try {
        event = o.beforeSend({ type, props: copy, class: class_ as any });
      } catch {
        event = 0;
      }
      s._depth--;
      if (event == null) throw Reason.BeforeSend;
      if (typeof event !== "object" || !isEvent(event.type, event.props))
        throw Reason.CallbackError;
      if (isClass(event.class)) class_ = event.class;
      ({ type, props } = event);
    }
    const tail = lineTail(type, props, rate < 1 ? 1 / rate : 1, x.eventBytesMax);
    const line = eventLine(id, e._admitted + 1, wall, tail, x.eventBytesMax);
    admit(s, line, class_, wall, mono);
  } catch (reason) {
    gate(reason as Reason);
  }
}

/** Room for `size` more bytes, by eviction if need be (R71). */
export function makeRoom(s: State, size: number, class_: number, floors: number[]): boolean {
  const evicted = choose(
    s._lanes.map((k) => (at: number) => k._queue[k._head + at]?._size),
    s._lanes.map((k) => k._bytes),
    s._used + size - s._now.queueBytesMax,
    class_,
    floors,
  );
  evicted?.forEach((n, c) => {
    for (const ev of n ? shift(s._lanes[c], n) : []) leave(s, ev, Reason.QueueFull);
  });
  return !!evicted;
}

/** A smaller queue evicts at once (R73), with floors, then without. */
export function shrink(s: State): void {
  for (const floors of [s._now.queueFloorBytes, [0, 0, 0]]) {
    for (let c = 2; c >= 0 && s._used > s._now.queueBytesMax; c--) {
      const k = s._lanes[c];
      while (s._used > s._now.queueBytesMax && k._queue[k._head]) {
        if (k._bytes - k._queue[k._head]._size < floors[c]) break;
        leave(s, shift(k, 1)[0], Reason.QueueFull);
      }
    }
  }
}

function admit(s: State, line: string, class_: number, ts: number, mono: number): void {
  const e = s._epoch;
  const size = utf8(line).length + 1;
  if (!makeRoom(s, size, class_, s._now.queueFloorBytes)) throw Reason.RefusedFull;
  const k = s._lanes[class_];
  const ev: Ev = {
    _line: line,
    _class: class_,
    _seq: ++e._admitted,
    _size: size,
    _ts: ts,
    _mono: mono,
    _epoch: e,
    _order: ++s._order,
    _age: 0,
    _sent: Sent.Never,
  };
  e._tracked++;
  e._held++;
  e._dirty = true;
  s._used += size;
  k._queue.push(ev);
  k._bytes += size;
  // Blocks are reserved ahead, so that none of their numbers is given before (R111).
  const reserve = ev._seq + 32 > e._reserved;
  if (reserve) e._reserved += RESERVE;
  let urgent = false;
  if (s._platform._store) {
    e._puts.set(`e${ev._seq}`, ev);
    s._waiting += size;
    if (reserve || s._waiting >= 65_536) s._saveAt = 0;
    urgent = !s._saveAt && !s._saving;
  }
  const x = s._now;
  if (k._bytes >= x.batchBytesMax || k._queue.length - k._head >= x.batchEventsMax || urgent)
    pump(s);
  else wake(s, mono + x.batchMs * (class_ ? 2 ** level(s) : 1));
}
