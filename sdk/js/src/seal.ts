/** Which events make a batch, and its bytes (R8, R78). */
import { type Epoch, reportOf } from "./ledger.js";
import { ageText, headerLine, utf8, withAge } from "./line.js";
import { type Batch, type Ev, newId, type State } from "./state.js";

const headerOf = (s: State, batch: string, e: Epoch, class_: number, n: number, fin?: boolean) =>
  headerLine({
    batch,
    sdk: s._platform._sdk,
    instance: s._instance,
    epoch: e._id,
    class: class_,
    count: n,
    config: s._now.config,
    context: s._context,
    report: reportOf(e, fin),
  });

/** A batch of exactly these events, with a report of this moment (R8, R100). */
export function assemble(
  s: State,
  class_: number,
  e: Epoch,
  events: Ev[],
  mono = s._platform._mono(),
  fin?: boolean,
): Batch {
  const id = newId(s);
  if (!e._left) e._n++;
  e._dirty = true;
  return {
    _id: id,
    _class: class_,
    _epoch: e,
    _events: events,
    _body: utf8(
      [
        headerOf(s, id, e, class_, events.length, fin),
        ...events.map((ev) => withAge(ev._line, ev._age!)),
        "",
      ].join("\n"),
    ),
    // Batches of recovered epochs have no monotonic time (R1).
    _mono: e._recovered ? NaN : mono,
    _attempts: 0,
    _fin: fin,
    _tells: e._changes,
  };
}

/** How many of the oldest events of one epoch fit (R78); always one. Sets their age. */
export function pick(s: State, from: Ev[], most: number): number {
  const now = s._platform._mono();
  const e = from[0]._epoch;
  // The header's length, with the digits of the largest count, and of a report that has grown.
  let room = most - utf8(headerOf(s, e._id, e, 0, 5000)).length - 2;
  let n = 0;
  for (const ev of from) {
    if (ev._epoch !== e || n >= s._now.batchEventsMax) break;
    // Recovered events travel without an age.
    ev._age = now - ev._mono || 0;
    room -= ev._size + ageText(ev._age).length;
    if (room < 0 && n) break;
    n++;
  }
  return n;
}
