/** The public types. */

/** 0 is critical, 1 normal, 2 bulk. */
export type EventClass = 0 | 1 | 2;

/** What `beforeSend` gets, and may change or replace. */
export interface TrackedEvent {
  type: string;
  props: Record<string, any>;
  class: EventClass;
}

/** Why an event is not sent (`docs`: README, "What happens when"). */
export type DropReason =
  | "sampled"
  | "rate_limited"
  | "invalid"
  | "too_large"
  | "no_consent"
  | "killed"
  | "before_send"
  | "callback_error"
  | "refused_full"
  | "closed"
  | "queue_full"
  | "store_full"
  | "store_error"
  | "expired"
  | "retry_exhausted"
  | "rejected_4xx"
  | "rejected_413"
  | "purged_kill"
  | "shutdown_timeout"
  | "unconfirmed";

/** Options of `init`. Times are milliseconds, sizes are bytes; numbers out of range are clamped. */
export interface Options {
  /** The write key. Keys that begin with `sk_` are secret and refused in pages. */
  key: string;
  /** Where the gateway is: an absolute http(s) URL. */
  endpoint: string;
  /** Who sends, `[A-Za-z0-9_.:-]{1,128}`; made and kept if absent. */
  instance?: string;
  /** Said once a batch; at most 4,096 bytes of JSON. */
  context?: Record<string, unknown>;
  batchEventsMax?: number;
  batchBytesMax?: number;
  batchMs?: number;
  eventBytesMax?: number;
  queueBytesMax?: number;
  queueFloorBytes?: [number, number, number];
  ratePerS?: number;
  rateBurst?: number;
  /** Rates by event type, `*` for all others (but class 0). */
  sample?: Record<string, number>;
  sampleBy?: "instance" | "id";
  retryBaseMs?: number;
  retryCapMs?: number;
  ttlMs?: number;
  requestTimeoutMs?: number;
  gzipBytesMin?: number;
  /** Whether events survive a restart: in pages on, in Node a folder switches it on. */
  store?: boolean;
  /** Node: the folder of the store. */
  storeDir?: string;
  storeFlushMs?: number;
  optedOut?: boolean;
  /** May change, replace or (returning nothing) drop an event. */
  beforeSend?: (event: TrackedEvent) => TrackedEvent | null | undefined;
  /** Is told what became of events that are not sent. */
  onDrop?: (reason: DropReason, class_: EventClass, count: number) => void;
}

/** A reason, a class, a count. */
export type StatsRow = [reason: DropReason, class_: EventClass, count: number];

/** The ledger of one epoch: `tracked = admitted + sum(pre)`, `admitted = acked + held + sum(post)`. */
export interface Ledger {
  epoch: string;
  tracked: number;
  admitted: number;
  acked: number;
  held: number;
  pre: StatsRow[];
  post: StatsRow[];
}

/** What `stats()` tells. */
export interface Stats extends Ledger {
  /** Events that wait, by class. */
  queued: [number, number, number];
  /** Batches that are sealed, in flight or waiting. */
  sealed: number;
  inFlight: number;
  queueBytes: number;
  storeBytes: number;
  /** Events that the gateway's rules left out. */
  filtered: number;
  /** Events that the gateway refused one by one. */
  rejected: number;
  breaker: "closed" | "open" | "probing";
  pressure: number;
  /** The version of the configuration in force. */
  config: number | null;
  /** How long the gateway has switched this client off. */
  killedMs: number;
  optedOut: boolean;
  /** Ledgers of earlier lives that are still open here. */
  older: Ledger[];
}

/** A client. None of its methods ever throws or rejects. */
export interface Client {
  /** Queues an event. */
  track(type: string, props?: object | null, options?: { class?: EventClass }): void;
  /** Sends what is queued now. True once all of it has left, false at the deadline. */
  flush(timeoutMs?: number): Promise<boolean>;
  /** Flushes and ends the client. True if nothing is left over. */
  close(timeoutMs?: number): Promise<boolean>;
  /** Erases what is held and sends nothing any more. Kept in the store. */
  optOut(): void;
  optIn(): void;
  stats(): Stats;
}
