/** A page's platform object. */
import type { Platform } from "../platform.js";
import type { sending } from "./http.js";

/** Name and version on the wire. */
export const SDK = "web/0.1.0";

/** Without what the second file adds. `name` stands before the names of what is kept in local storage. */
export const pagePlatform = (name: string): Omit<Platform, keyof typeof sending> => ({
  _sdk: SDK,
  _mono: () => Math.floor(performance.now()),
  _wall: Date.now,
  _unit: Math.random,
  _u64: () => crypto.getRandomValues(new BigUint64Array(1))[0],
  _timer(ms, f) {
    const timer = setTimeout(f, ms);
    return () => clearTimeout(timer);
  },
  _beacon: (url, body) => navigator.sendBeacon(url, new Blob([body], { type: "text/plain" })),
  // Storage may be forbidden, or full.
  _get(key) {
    try {
      return localStorage.getItem(name + key);
    } catch {}
  },
  _set(key, text) {
    try {
      localStorage.setItem(name + key, text);
    } catch {}
  },
  _warn: (text) => console.warn(text),
});

/** One store for each gateway and key. */
export const nameOf = (endpoint: string, key: string): string => `tidegate ${endpoint} ${key} `;
