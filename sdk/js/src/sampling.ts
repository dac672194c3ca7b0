/** Deterministic sampling (R65, R66) and the token bucket (R69). */
import { utf8 } from "./line.js";
import { bounded } from "./options.js";

/** MurmurHash3 x86_32, seed 0. */
export function murmur3(text: string): number {
  const data = utf8(text);
  const n = data.length;
  let h = 0;
  const scramble = (x: number, by: number, right: number) => Math.imul(x ^ (x >>> right), by);
  const turn = (x: number, by: number) => (x << by) | (x >>> (32 - by));
  // Bytes beyond the end are undefined, which is 0 here.
  for (let at = 0; at < n; at += 4) {
    const block = data[at] | (data[at + 1] << 8) | (data[at + 2] << 16) | (data[at + 3] << 24);
    h ^= Math.imul(turn(Math.imul(block, 0xcc9e2d51), 15), 0x1b873593);
    if (at + 4 <= n) h = (Math.imul(turn(h, 13), 5) + 0xe6546b64) | 0;
  }
  h = scramble(scramble(h ^ n, 0x85ebca6b, 16), 0xc2b2ae35, 13);
  return (h ^ (h >>> 16)) >>> 0;
}

export type Rates = Record<string, number>;

/** A member of its own, never one of `Object.prototype`. */
export const own = <T>(map: Record<string, T>, name: string): T | undefined =>
  Object.hasOwn(map, name) ? map[name] : undefined;

/** The rate of a type in one table, as the host gave it; `*` does not mean class 0 (R66). */
export const named = (type: string, class_: number, rates: Rates): number => {
  const rate = (name: string) => bounded(own(rates, name), 0, 1, 1);
  return rate(type) ?? (class_ ? (rate("*") ?? 1) : 1);
};

/** Whether an event of `unit` is kept at `rate`. */
export const isKept = (unit: string, type: string, rate: number): boolean =>
  rate >= 1 || murmur3(`tidegate-sdk\0${unit}\0${type}`) < Math.floor(rate * 2 ** 32);

/** A token bucket: how many tokens there are, and when they were counted. */
export interface Bucket {
  _tokens: number;
  _at: number;
}

/** Whether a call passes; class 0 does and takes nothing. */
export function take(b: Bucket, perS: number, burst: number, now: number, class_: number): boolean {
  b._tokens = Math.min(burst, b._tokens + (Math.max(now - b._at, 0) * perS) / 1000);
  b._at = now;
  return !class_ || (b._tokens >= 1 && b._tokens-- >= 1);
}
