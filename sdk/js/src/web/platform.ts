/** A page's platform object. */
import type { Platform, Store } from "../platform.js";
import type { U64 } from "../uuid.js";
import { send } from "./http.js";

export const pagePlatform = (store: Store | undefined): Platform => ({
  _page: true,
  _sdk: "web/0.1.0",
  _mono: () => Math.floor(performance.now()),
  _wall: Date.now,
  _unit: Math.random,
  _u64: () => [...crypto.getRandomValues(new Uint32Array(2))] as U64,
  _timer(ms, f) {
    const timer = setTimeout(f, ms);
    return () => clearTimeout(timer);
  },
  _http: send,
  _gzip(bytes, done) {
    if (!self.CompressionStream) return done(null);
    const gzipped = new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"));
    new Response(gzipped)
      .arrayBuffer()
      .then((out) => new Uint8Array(out))
      .catch(() => null)
      .then(done);
  },
  _beacon(url, body) {
    try {
      return navigator.sendBeacon(url, new Blob([body], { type: "text/plain" }));
    } catch {
      return false;
    }
  },
  _store: store,
  _warn: (text) => console.warn(text),
});
