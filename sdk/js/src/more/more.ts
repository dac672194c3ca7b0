/**
 * What the second file of pages adds to the core: all of sending, store, configuration, breaker, expiry,
 * the reports of the end. Node has all of it from the beginning. The core calls these hooks wherever they
 * may matter. The second file brings its own copies of the core's functions: all state is in `State`.
 */
import type { Effective } from "../options.js";
import type { Rates } from "../sampling.js";
import type { Batch, Ev, State } from "../state.js";
import type { Stats } from "../types.js";
import type { Degrade } from "./rates.js";

export interface More {
  /** Joins a client that may have lived for a while. */
  _attach(s: State): void;
  /** After any public call. */
  _touched(s: State): void;
  /** The class that the configuration gives a type, or else all others. */
  _class(s: State, type: any, otherwise: number | undefined): number | undefined;
  /** The rate of an event, from all tables and the pressure. */
  _rate(s: State, type: string, class_: number): number;
  /** The next number is about to be given. */
  _number(s: State): void;
  _admitted(s: State, ev: Ev): void;
  _left(s: State, ev: Ev): void;
  /** What `stats()` says of sends, store and configuration; before, what is too old leaves (R91). */
  _stats(s: State): Partial<Stats>;
  // The page's life (R89, R140-R142)
  _hide(s: State): void;
  _leave(s: State, ends: boolean): void;
  _show(s: State): void;
  _online(s: State, is: boolean): void;
  /** Gives up all sends, so that everything is queued, and erases all epochs from the store (R135). */
  _erase(s: State): void;
  /** A new epoch has begun. */
  _renewed(s: State): void;
  /** Waits until all has left that was held up to `order`, `ms` at most after `from` (R130). */
  _flush(s: State, ms: unknown, order: number, from: number): Promise<boolean>;
  /** The end, after the flush that belongs to it (R131). */
  _close(s: State, flushed: boolean, ms: unknown, from: number): Promise<boolean>;
}

export const enum Breaker {
  Closed,
  Open,
  Probing,
}

/** A flush that is under way. */
export interface Flush {
  /** It covers events up to here, */
  _order: number;
  /** so many of which are still held. */
  _left: number;
  _done?: (result: boolean) => void;
}

/** The values in force with a configuration document. */
export interface Merged extends Effective {
  batchMs: number;
  retryBaseMs: number;
  retryCapMs: number;
  requestTimeoutMs: number;
  gzipBytesMin: number;
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
  _killedUntil: number;
  /** Whether sending has begun. */
  _ready: boolean;
  _pausedUntil: number;
  _lastSend: number;
  /** Any reply at all has come. */
  _heard?: boolean;
  _filtered: number;
  _rejected: number;
  _flushes: Flush[];
  // The one timer
  _cancel?: (() => void) | undefined;
  _timerAt: number;
  _pumping?: boolean;
  _soon?: boolean;
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
  /** How to end the wait for it. */
  _opening?: () => void;
  _saving: boolean;
  /** Since when. */
  _savingFrom: number;
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
  _breaker: Breaker;
  /** The batch that probes. */
  _probe?: Batch | undefined;
  /** How many sends the round of the drain has left (R88). */
  _roundLeft: number;
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
