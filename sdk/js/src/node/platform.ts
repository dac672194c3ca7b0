/** Node's platform object. */
import { randomBytes } from "node:crypto";
import { gzip } from "node:zlib";
import type { Platform, Store } from "../platform.js";
import type { U64 } from "../uuid.js";
import { transport } from "./http.js";

export const VERSION = "0.1.0";

export function nodePlatform(store: Store | undefined): Platform & { _destroy(): void } {
  const { send, destroy } = transport();
  let pool = Buffer.alloc(0);
  const word = (): number => {
    if (pool.length < 4) pool = randomBytes(4096);
    const n = pool.readUInt32LE(0);
    pool = pool.subarray(4);
    return n;
  };
  return {
    _page: false,
    _sdk: `node/${VERSION}`,
    _mono: () => Math.floor(performance.now()),
    _wall: Date.now,
    _unit: Math.random,
    _u64: (): U64 => [word(), word()],
    _timer(ms, f, keep) {
      const timer = setTimeout(f, ms);
      if (!keep) timer.unref();
      return () => clearTimeout(timer);
    },
    _http: send,
    _gzip: (bytes, done) =>
      gzip(bytes, (error, out) => done(error ? null : (new Uint8Array(out) as any))),
    _store: store,
    _warn: (text) => console.warn(text),
    _destroy: destroy,
  };
}
