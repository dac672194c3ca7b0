/** The ledger of one epoch (R100-R106) and its report. Counts only; no I/O. */
import { POST_FROM, REASONS, type Reason } from "./reasons.js";

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
  reserved?: number | undefined;
  fin?: number | undefined;
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
  /** Reports made so far. */
  _n: number;
  _reserved: number;
  /** Grows with every change of what a report tells, and what it was in the last one acknowledged. */
  _changes: number;
  _told: number;
  /** Whether the store lacks something that is known here. */
  _dirty?: boolean;
  _recovered?: boolean;
  /** What the store has of it, while it refuses the rest: so its reports say (R116). */
  _left?: Epoch | undefined;
  /** Its last report was made. */
  _ended?: boolean;
  /** What the store keeps of it and waits for; none without one (`more/persist.ts`). */
  _kept?: Kept | undefined;
}

/** An epoch's place in the store. */
export interface Kept {
  _queue: any;
  /** Entries that wait to be written; null deletes. */
  _puts: Map<string, unknown>;
  /** What waits for the next write. */
  _after: (() => void)[];
  /** The ledger that is in the store. */
  _has?: number[] | undefined;
  /** It is being made. */
  _opening?: boolean;
  /** Entries of the write that is under way. */
  _taken?: [string, unknown][] | undefined;
  /** The highest reservation that is in the store, and one that could not be written. */
  _reserved: number;
  _refused?: number;
}

export const newEpoch = (id: string): Epoch => ({
  _id: id,
  _tracked: 0,
  _admitted: 0,
  _acked: 0,
  _held: 0,
  _drops: Array(60).fill(0),
  _n: 0,
  _reserved: 0,
  _changes: 0,
  _told: 0,
});

/** Says that the ledger has changed. */
export const changed = (e: Epoch): void => {
  e._dirty = true;
  e._changes++;
};

/** Counts drops. A `pre` reason is a call that ended here, so it is tracked as well (R101). */
export const count = (e: Epoch, reason: Reason, class_: number, n: number): void => {
  if (reason < POST_FROM) e._tracked += n;
  e._drops[reason * 3 + class_] += n;
  changed(e);
};

/** What a ledger says, keys in the order of a report. */
export const ledgerOf = (e: Epoch) => {
  const rows = e._drops.map((n, at): Row => [REASONS[(at / 3) | 0], at % 3, n]);
  const said = (row: Row) => row[2];
  return {
    tracked: e._tracked,
    admitted: e._admitted,
    acked: e._acked,
    held: e._held,
    pre: rows.slice(0, POST_FROM * 3).filter(said),
    post: rows.slice(POST_FROM * 3).filter(said),
  };
};

export const reportOf = (e: Epoch, fin?: boolean): Report => ({
  n: e._n,
  ...ledgerOf(e._left || e),
  reserved: fin ? Math.max(e._reserved, e._admitted) : undefined,
  fin: fin ? 1 : undefined,
});
