/**
 * What the second file of pages adds to the core: store, configuration, breaker, expiry, the reports of
 * the end. Node has all of it from the beginning. The core calls these hooks wherever they may matter.
 * The second file brings its own copies of the core's functions: all state is in `State`.
 */
import type { Effective } from "../options.js";
import type { Platform } from "../platform.js";
import type { Verdict } from "../reply.js";
import type { ReadDate } from "../retry.js";
import type { Rates } from "../sampling.js";
import type { Batch, Ev, Flush, State } from "../state.js";
import type { Stats } from "../types.js";
import type { Degrade } from "./rates.js";

export interface More {
  /** Joins a client that may have lived for a while. `core` is what it calls back. */
  _attach(s: State, core: Core): void;

  /** At the beginning of a pump. */
  _work(s: State, now: number): void;
  /** At its end: `at` is told of every moment at which anything here could change. */
  _next(s: State, at: (mono: number) => void): void;
  /** After any public call. */
  _touched(s: State): void;
  /** Events beyond their age leave (R91). */
  _expire(s: State): void;

  /** The class that the configuration gives a type, or else all others. */
  _class(s: State, type: any, otherwise: number | undefined): number | undefined;
  /** The rate of an event, from all tables and the pressure. */
  _rate(s: State, type: string, class_: number): number;
  _admitted(s: State, ev: Ev): void;
  _left(s: State, ev: Ev): void;
  /** A batch is over, one way or another. */
  _ended(s: State, b: Batch): void;

  _starts(s: State, b: Batch): void;
  /** A send that was begun does not happen. */
  _stops(s: State, b: Batch): void;
  /** Writes what the store lacks, in one go: the page may end. */
  _spill(s: State): void;
  /** Calls `go` when the batch is in the store, or cannot be. */
  _keep(s: State, b: Batch, go: () => void): void;
  /** A reply of the gateway's own. */
  _heard(s: State, v: Verdict): void;
  _failed(s: State, b: Batch, v: Verdict): void;
  /** A definitive reply; what it says of the batch's events is done. */
  _answered(s: State, b: Batch, v: Verdict): void;
  _date: ReadDate;

  /** The pressure that holds. */
  _level(s: State): number;
  /** The breaker's, in words. */
  _state(s: State): Stats["breaker"];
  _split(s: State, b: Batch): void;
  _hide(s: State): void;
  _show(s: State): void;
  _online(s: State, is: boolean): void;
  /** Erases all epochs from the store (R135). */
  _erase(s: State): void;
  /** A new epoch has begun. */
  _renewed(s: State): void;
  /** Waits until all that a flush covers has left, `ms` at most (R130). */
  _flush(s: State, f: Flush, ms: unknown): Promise<boolean>;
  /** The end, after the flush that belongs to it; `from` is when it was called (R131). */
  _close(s: State, flushed: boolean, from: number, ms: unknown): Promise<boolean>;
}

/** Functions of the core that the second file calls back. */
export interface Core {
  _pump(s: State): void;
  _wake(s: State, at: number): void;
  _start(s: State, b: Batch): void;
  _optOut(s: State): void;
}

/** The values in force with a configuration document. */
export interface Merged extends Effective {
  ttlMs: number;
  storeFlushMs: number;
  sampleRemote: Rates;
  classes: Rates;
  degrade: Degrade[];
  offMs: number;
  purge: boolean;
  dedupeS: number | null;
}

/** A client's state with everything. */
export interface Full extends State {
  _now: Merged;
  _platform: Platform;
  _core: Core;
  // Configuration
  _document: any;
  _etag: string | null;
  /** Wall clock at the first receipt of the version in force (R126). */
  _firstAt: number;
  /** The version that switched the client off, or on. */
  _killedBy: number | null;
  _fetchedAt: number;
  _fetching?: (() => void) | undefined;
  // Store
  _saving: boolean;
  _saveAt: number;
  /** Bytes of events that wait for the store. */
  _waiting: number;
  _fault?: string | undefined;
  _retryStoreAt: number;
  /** A reply named a configuration that is newer than this one. */
  _wanted: boolean;
  _pressure: number;
  _pressureUntil: number;
  /** The page is hidden; what was queued by then is sent at once (R140). */
  _hiddenOrder: number;
  // Breaker and drain
  _failures: number;
  _openUntil: number;
  /** The drain's round, -1 if there is none (R88). */
  _round: number;
  _roundOpen: number;
  _roundAt: number;
  /** Closing has come to the report of the end. */
  _ending: boolean;
  _onEnd?: (() => void) | undefined;
}
