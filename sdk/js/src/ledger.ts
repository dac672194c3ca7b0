/** The ledger of one epoch (R100-R106) and the text of its report. Counts only; no I/O. */
import { POST_FROM, REASONS, Reason } from "./reasons.js";

/** A reason, a class, a count. */
export type Row = [reason: string, class_: number, count: number];

/** A report as it stands in a header line. */
export interface Report {
  n: number;
  tracked: number;
  admitted: number;
  acked: number;
  held: number;
  pre: Row[];
  post: Row[];
  reserved?: number;
  fin?: number;
}

/** One life of one queue (R106). */
export interface Epoch {
  _id: string;
  _tracked: number;
  _admitted: number;
  _acked: number;
  _held: number;
  /** Drops by `reason * 3 + class`. */
  _drops: number[];
  _n: number;
  _reserved: number;
  /** The ledger that was acknowledged last, as text. */
  _told: string;
  /** Entries that wait for the store; null deletes. */
  _puts: Map<string, unknown>;
  /** The queue of the store, none without one. */
  _queue?: any;
  _recovered?: boolean;
  /** Whether the store lacks something that is known here. */
  _dirty?: boolean;
  _ended?: boolean;
  /** What waits for the next write of this epoch. */
  _after: (() => void)[];
  /** Entries of the write that is under way. */
  _taken?: [string, unknown][];
  /** The highest reservation that is in the store. */
  _kept: number;
}

export const newEpoch = (id: string, state?: number[]): Epoch => {
  const [tracked = 0, admitted = 0, acked = 0, n = 0, reserved = 0, ...drops] = state || [];
  return {
    _id: id,
    _tracked: tracked,
    _admitted: admitted,
    _acked: acked,
    _held: 0,
    _drops: drops.length ? drops : Array(60).fill(0),
    _n: n,
    _reserved: reserved,
    _told: "",
    _puts: new Map(),
    _after: [],
    _kept: reserved,
  };
};

/** What the store keeps of a ledger, and `newEpoch` reads. */
export const snapshot = (e: Epoch): number[] => [
  e._tracked,
  e._admitted,
  e._acked,
  e._n,
  e._reserved,
  ...e._drops,
];

/** Counts drops. A `pre` reason is a call that ended here, so it is tracked as well (R101). */
export const count = (e: Epoch, reason: Reason, class_: number, n: number): void => {
  if (reason < POST_FROM) e._tracked += n;
  e._drops[reason * 3 + class_] += n;
  e._dirty = true;
};

/** Sum of the drops of one side. */
export const sum = (e: Epoch, from: number, to: number): number =>
  e._drops.slice(from * 3, to * 3).reduce((a, b) => a + b, 0);

/**
 * Brings a recovered ledger up to date with the `found` events that are still there (R114): what was
 * admitted and is neither found nor settled nor counted is `store_error`.
 */
export const reconcile = (e: Epoch, found: number, class_: number): void => {
  e._tracked = e._admitted + sum(e, 0, POST_FROM);
  const lost = e._admitted - e._acked - sum(e, POST_FROM, 20) - found;
  if (lost > 0) count(e, Reason.StoreError, class_, lost);
};

export const reportOf = (e: Epoch, fin?: boolean): Report => {
  const rows = (from: number, to: number): Row[] =>
    e._drops
      .map((n, at): Row => [REASONS[(at / 3) | 0], at % 3, n])
      .slice(from * 3, to * 3)
      .filter((row) => row[2] > 0);
  return {
    n: e._n,
    tracked: e._tracked,
    admitted: e._admitted,
    acked: e._acked,
    held: e._held,
    pre: rows(0, POST_FROM),
    post: rows(POST_FROM, 20),
    ...(fin && { reserved: e._reserved, fin: 1 }),
  };
};

/** A report's text; `JSON.stringify` keeps the order in which `reportOf` made the keys. */
export const reportText = (report: Report): string => JSON.stringify(report);
