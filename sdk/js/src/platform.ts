/** What the SDK takes from its environment. Tests and the adapter put another one in its place. */
import type { Reply } from "./more/reply.js";

/** A request of the gateway: a `POST` if it has a body, else the configuration's `GET`. */
export interface HttpRequest {
  _url: string;
  _body?: Uint8Array<ArrayBuffer>;
  /** Whether the body is gzip. */
  _gzip?: boolean;
  _keepalive?: boolean | undefined;
  _etag?: string | null;
}

/** Entries of one queue: a value, or null to delete. Values are JSON or `Uint8Array`s in arrays. */
export type Entry = [key: string, value: unknown];

/** Why a write failed; `lost` is an older generation's (R113). */
export type StoreFault = "full" | "error" | "lost";

export interface Store {
  /** Small texts that must be known at once: instance, opt-out, configuration. */
  _get(name: string): string | null | undefined;
  _set(name: string, text: string, done?: () => void): void;
  /** A queue of this client's own, or nothing and why. */
  _open(id: string, done: (queue: unknown, fault?: StoreFault) => void): void;
  /** Writes at once, on this thread, that numbers `upTo` are reserved (R111); whether it could. */
  _reserve?(queue: unknown, epoch: string, upTo: number): boolean;
  /** Claims the queues of the dead, one by one, then calls `done` without. */
  _claim(found: (queue: unknown, entries: Map<string, any>) => void, done: () => void): void;
  /** Writes all entries or none. */
  _put(queue: unknown, entries: Entry[], most: number, done: (fault?: StoreFault) => void): void;
  /** Deletes a queue. */
  _drop(queue: unknown, done: () => void): void;
  /** Gives up a claim; the queue stays. */
  _free(queue: unknown): void;
  /** Writes at once, on this thread (R132). */
  _spill?(queue: unknown, entries: Entry[]): void;
  _bytes(): number;
}

export interface Platform {
  /** Name and version on the wire. */
  _sdk: string;
  /** Where defaults differ from those of pages. */
  _defaults?: Record<string, unknown>;
  _mono(): number;
  _wall(): number;
  _unit(): number;
  _u64(): bigint;
  /** `keep` holds a Node process alive. Returns how to cancel it. */
  _timer(ms: number, f: () => void, keep?: boolean): () => void;
  /** `done` is called once, unless the returned function aborted it. */
  _http(request: HttpRequest, done: (reply: Reply) => void): () => void;
  /** Off the caller's thread; nothing if there is none, or it failed. */
  _gzip(bytes: Uint8Array<ArrayBuffer>, done: (out?: Uint8Array<ArrayBuffer>) => void): void;
  /** In pages. */
  _beacon?(url: string, body: Uint8Array<ArrayBuffer>): boolean;
  /** Small texts of a page that are known before its store is there. */
  _get?: ((name: string) => string | null | undefined) | undefined;
  _set?: ((name: string, text: string) => void) | undefined;
  _store?: Store | undefined;
  _warn(text: string): void;
  /** The client has ended. */
  _end?(): void;
  /** Crash points of tests. */
  _point?(name: string): void;
}
