/** Node's platform object. */
import { randomBytes } from "node:crypto";
import { gzip } from "node:zlib";
import type { Platform, Store } from "../platform.js";
import { SERVER } from "./defaults.js";
import { transport } from "./http.js";

export const VERSION = "0.1.0";

/** `key` is the client's, for requests that carry it in a header. */
export function nodePlatform(store: Store | undefined, key: string): Platform {
  const sdk = `node/${VERSION}`;
  const { send, destroy } = transport(sdk, key);
  let pool = Buffer.alloc(0);
  return {
    _sdk: sdk,
    _defaults: SERVER,
    _mono: () => Math.floor(performance.now()),
    _wall: Date.now,
    _unit: Math.random,
    _u64() {
      if (pool.length < 8) pool = randomBytes(4096);
      const n = pool.readBigUInt64LE(0);
      pool = pool.subarray(8);
      return n;
    },
    _timer(ms, f, keep) {
      const timer = setTimeout(f, ms);
      if (!keep) timer.unref();
      return () => clearTimeout(timer);
    },
    _http: send,
    _gzip: (bytes, done) =>
      gzip(bytes, (error, out) => done(error ? undefined : (new Uint8Array(out) as any))),
    _store: store,
    _warn: (text) => console.warn(text),
    _end: destroy,
  };
}
