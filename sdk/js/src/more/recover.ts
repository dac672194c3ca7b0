/** Takes over a dead client's queue (R112, R114, R115). */
import { newEpoch } from "../ledger.js";
import { utf8 } from "../line.js";
import { type Batch, type Ev, Sent, unshift } from "../state.js";
import { heldBy, reconcile, revive, snapshot } from "./books.js";
import type { Full } from "./more.js";
import { newKept } from "./persist.js";
import { purge, shrink } from "./remote.js";

/** Makes an epoch of what was found under a claim, and queues its events in front. */
export function recover(s: Full, queue: unknown, entries: Map<string, any>): void {
  const block = entries.get("r");
  // Of an epoch that ended with its first block there is nothing else.
  const ledger = entries.get("l") || (block && [block[0], ...snapshot(newEpoch(block[0]))]);
  if (s._out || !Array.isArray(ledger)) return s._platform._store!._drop(queue, () => {});
  const e = revive(ledger[0], ledger.slice(1));
  e._reserved = Math.max(e._reserved, block?.[1] || 0);
  e._recovered = e._dirty = true;
  const kept = newKept(queue);
  kept._reserved = e._reserved;
  e._kept = kept;
  const { _puts: puts } = kept;
  const found = new Map<number, Ev>();
  for (const [key, v] of entries) {
    if (key[0] !== "e") continue;
    const ev: Ev = {
      _line: v.slice(1),
      _class: +v[0],
      _seq: +key.slice(1),
      _size: utf8(v).length,
      _ts: +/"ts":(\d+)/.exec(v)![1],
      _mono: NaN,
      _epoch: e,
      _order: ++s._order,
      _age: 0,
      _sent: Sent.Never,
      _kept: true,
    };
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
      for (const kind of "ba") puts.set(kind + id, null);
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
      _tells: 0,
      _stored: true,
    });
  }
  const rest = [...found.values()].sort((a, b) => a._seq - b._seq);
  // More than the ledger holds: lost writes had settled the oldest (R115).
  const surplus = sealed.reduce((n, b) => n + b._events.length, rest.length) - heldBy(e);
  for (const ev of rest.splice(0, Math.max(0, surplus))) puts.set(`e${ev._seq}`, null);
  const all = sealed.flatMap((b) => b._events).concat(rest);
  e._held = all.length;
  for (const ev of all) s._used += ev._size;
  reconcile(e, all.length, 1);
  kept._has = snapshot(e);
  // The former holder may have used one that it could not write (R114).
  e._n++;
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
