/** `track`: the gates in their order (R50-R63), and the room in the queue (R71). */
import { choose } from "./eviction.js";
import { write } from "./json.js";
import { changed, count } from "./ledger.js";
import { eventLine, isEvent } from "./line.js";
import { Reason } from "./reasons.js";
import { isKept, named, take } from "./sampling.js";
import { drop, type Ev, leave, newId, Sent, type State, shift } from "./state.js";

const isClass = (c: any): c is number => [0, 1, 2].includes(c);

export function track(s: State, type: any, props: any, options: any): void {
  const { _platform: p, _epoch: e, _now: x, _more: more } = s;
  let class_ = 1;
  // Arguments may be anything, and throw when they are looked at.
  try {
    const said = options?.class;
    const own = isClass(said) ? said : undefined;
    class_ = (more ? more._class(s, type, own) : own) ?? 1;
  } catch {}
  try {
    const gate = s._closed
      ? Reason.Closed
      : s._out
        ? Reason.NoConsent
        : s._killedUntil! > p._mono()
          ? Reason.Killed
          : s._depth
            ? Reason.CallbackError
            : !isEvent(type, props) && Reason.Invalid;
    if (gate !== false) throw gate;
    const id = newId(s);
    const wall = p._wall();
    const mono = p._mono();
    const rate = more ? more._rate(s, type, class_) : named(type, class_, x.sampleLocal);
    if (!isKept(x.sampleBy === "id" ? id : s._instance, type, rate)) throw Reason.Sampled;
    if (x.ratePerS != null && !take(s._bucket, x.ratePerS, x.rateBurst!, mono, class_))
      throw Reason.RateLimited;
    if (s._options.beforeSend) ({ type, props, class_ } = ask(s, type, props, class_));
    more?._number(s);
    const [line, bytes] = eventLine(
      id,
      e._admitted + 1,
      wall,
      type,
      props,
      rate < 1 ? 1 / rate : 1,
      x.eventBytesMax,
    );
    admit(s, line, bytes + 1, class_, wall, mono);
  } catch (thrown) {
    // What could not be written threw something of its own.
    const reason = typeof thrown === "number" ? thrown : Reason.Invalid;
    // A track from inside of a callback calls no callback (R59).
    if (s._depth) count(e, reason, class_, 1);
    else drop(s, e, reason, class_);
  }
}

/** What `beforeSend` makes of an event (R58). */
function ask(s: State, type: string, props: any, class_: number) {
  let event: any = 0;
  let copy = props || {};
  // A plain JSON copy, so that the host's own objects cannot be changed by accident.
  try {
    copy = JSON.parse(write(copy, s._now.eventBytesMax));
  } catch {
    copy = { ...copy };
  }
  s._depth++;
  try {
    event = s._options.beforeSend!({ type, props: copy, class: class_ as any });
  } catch {}
  s._depth--;
  if (event == null) throw Reason.BeforeSend;
  if (typeof event !== "object" || !isEvent(event.type, event.props)) throw Reason.CallbackError;
  return {
    type: event.type,
    props: event.props,
    class_: isClass(event.class) ? event.class : class_,
  };
}

function admit(
  s: State,
  _line: string,
  _size: number,
  _class: number,
  _ts: number,
  _mono: number,
): void {
  const { _epoch, _lanes, _now: x } = s;
  const evicted = choose(
    _lanes.map((k) => (at: number) => k._queue[k._head + at]?._size),
    _lanes.map((k) => k._bytes),
    s._used + _size - x.queueBytesMax,
    _class,
    x.queueFloorBytes,
  );
  if (!evicted) throw Reason.RefusedFull;
  evicted.forEach((n, c) => {
    for (const ev of n ? shift(_lanes[c], n) : []) leave(s, ev, Reason.QueueFull);
  });
  const ev: Ev = {
    _line,
    _class,
    _seq: ++_epoch._admitted,
    _size,
    _ts,
    _mono,
    _epoch,
    _order: ++s._order,
    _sent: Sent.Never,
  };
  const k = _lanes[_class];
  _epoch._tracked++;
  _epoch._held++;
  changed(_epoch);
  s._used += _size;
  k._queue.push(ev);
  k._bytes += _size;
  s._more?._admitted(s, ev);
}
