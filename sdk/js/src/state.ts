/** The state of one client. Modules beside this are functions over it. */
import { changed, count, type Epoch } from "./ledger.js";
import type { More } from "./more/more.js";
import type { Effective } from "./options.js";
import type { Platform } from "./platform.js";
import { REASONS, Reason } from "./reasons.js";
import type { Bucket } from "./sampling.js";
import type { Options } from "./types.js";
import { uuid } from "./uuid.js";

/** What is known of an event's sends (R104). */
export const enum Sent {
  Never,
  Answered,
  Unanswered,
}

/** An event that is held. */
export interface Ev {
  _line: string;
  _class: number;
  _seq: number;
  _size: number;
  _ts: number;
  /** When it was tracked, NaN if it was recovered. */
  _mono: number;
  _epoch: Epoch;
  /** Place in the order of admissions here, for flushes. */
  _order: number;
  /** When it was put into a batch. */
  _age?: number;
  _sent: Sent;
  /** Whether it is in the store. */
  _kept?: boolean;
}

/** A sealed batch (R5), or a report alone if it has no events (R107). */
export interface Batch {
  _id: string;
  _class: number;
  _epoch: Epoch;
  _events: Ev[];
  _body: Uint8Array<ArrayBuffer>;
  _gzip?: boolean;
  /** Whether the body has its final form. */
  _final?: boolean;
  /** When it was sealed, NaN if that was in another life. */
  _mono: number;
  _attempts: number;
  /** Being prepared or in flight. */
  _busy?: boolean;
  _keepalive?: boolean;
  /** How to abort the request. */
  _abort?: (() => void) | undefined;
  _gone?: boolean;
  _fin?: boolean | undefined;
  /** `Epoch._changes` as it tells them. */
  _tells: number;
  _stored?: boolean;
  /** The round of the drain it was sent in. */
  _round?: number | undefined;
}

export interface Lane {
  _queue: Ev[];
  /** Index of the oldest event in `_queue`. */
  _head: number;
  _bytes: number;
  // With the second file
  _sealed: Batch[];
  _failures: number;
  _delayUntil: number;
  _pausedUntil: number;
}

export interface State {
  _platform: Platform;
  _options: Options;
  _endpoint: string;
  _instance: string;
  _context: object | undefined;
  _now: Effective;
  /** What the second file adds, once it is there. */
  _more?: More;
  _epoch: Epoch;
  /** Recovered epochs that are still open here. */
  _older: Epoch[];
  _lanes: Lane[];
  _used: number;
  _order: number;
  _bucket: Bucket;
  _out: boolean;
  _closed?: boolean;
  _stopped?: boolean;
  _offline?: boolean;
  /** Switched off by the configuration until then. */
  _killedUntil?: number;
  _closing?: Promise<boolean>;
  /** Settled when the second file is there, */
  _joined?: Promise<unknown>;
  /** and how to ask for it again if it could not be had. */
  _ask?: (() => void) | undefined;
  /** Callbacks of the host that are running. */
  _depth: number;
  /** Drops that `onDrop` was not told yet, and when one was told last, by `reason * 3 + class`. */
  _drops: Map<number, number>;
  _lastDrop: number[];
}

export const newId = (
  { _platform: p }: State,
  version = 7n,
  first: number | bigint = p._wall(),
): string => uuid(Number(first), version, p._u64(), p._u64());

/** Small texts of the store: what a page knows at once goes before. */
export const recall = ({ _platform: p }: State, name: string): string | null | undefined =>
  p._get?.(name) ?? p._store?._get(name);

export const keep = ({ _platform: p }: State, name: string, text: string): void => {
  p._set?.(name, text);
  p._store?._set(name, text);
};

/** What only sends need is set when the second file comes. */
export const lane = (): Lane => ({ _queue: [], _head: 0, _bytes: 0 }) as any;

/** Queued events of a class. */
export const queued = (k: Lane): number => k._queue.length - k._head;

/** Takes `n` events from the front. */
export function shift(k: Lane, n: number): Ev[] {
  const out = k._queue.slice(k._head, k._head + n);
  k._head += n;
  for (const ev of out) k._bytes -= ev._size;
  if (k._head * 2 > k._queue.length) {
    k._queue = k._queue.slice(k._head);
    k._head = 0;
  }
  return out;
}

/** Puts events before all others of their class. */
export function unshift(k: Lane, events: Ev[]): void {
  k._queue = events.concat(k._queue.slice(k._head));
  k._head = 0;
  for (const ev of events) k._bytes += ev._size;
}

export const epochs = (s: State): Epoch[] => [s._epoch, ...s._older];

export const held = (s: State): number => epochs(s).reduce((n, e) => n + e._held, 0);

/** Says a drop to the host and, once an episode, to the log (R33, R62); `tell` calls `onDrop`. */
export function announce(s: State, reason: Reason, class_: number, n = 1): void {
  const pair = reason * 3 + class_;
  const now = s._platform._mono();
  if (!(now - s._lastDrop[pair] < 60_000))
    s._platform._warn(`tidegate: ${REASONS[reason]}: events of class ${class_} are dropped`);
  s._lastDrop[pair] = now;
  s._drops.set(pair, (s._drops.get(pair) || 0) + n);
}

export function drop(s: State, e: Epoch, reason: Reason, class_: number, n = 1): void {
  count(e, reason, class_, n);
  announce(s, reason, class_, n);
}

/** Calls `onDrop` outside of any change of state. */
export function tell(s: State): void {
  if (s._depth) return;
  for (const [pair, n] of s._drops) {
    s._drops.delete(pair);
    s._depth++;
    try {
      s._options.onDrop?.(REASONS[(pair / 3) | 0] as any, (pair % 3) as any, n);
    } catch (thrown) {
      s._platform._warn(`tidegate: onDrop: ${thrown}`);
    }
    s._depth--;
  }
}

/** An event leaves: acknowledged, or dropped for a reason, which R104 may change. */
export function leave(s: State, ev: Ev, reason?: Reason): void {
  const e = ev._epoch;
  e._held--;
  if (reason == null) {
    e._acked++;
    changed(e);
  } else drop(s, e, ev._sent === Sent.Unanswered ? Reason.Unconfirmed : reason, ev._class);
  left(s, ev);
}

/** Its room is free. */
export function left(s: State, ev: Ev): void {
  s._used -= ev._size;
  s._more?._left(s, ev);
}
