/** Deterministic sampling (R65, R66) and the token bucket (R69). */
import { utf8 } from "./line.js";

/** MurmurHash3 x86_32, seed 0. */
export function murmur3(text: string): number {
  const data = utf8(text);
  const whole = data.length & ~3;
  let h = 0;
  const mix = (block: number) => {
    block = Math.imul(block, 0xcc9e2d51);
    h ^= Math.imul((block << 15) | (block >>> 17), 0x1b873593);
  };
  for (let at = 0; at < whole; at += 4) {
    mix(data[at] | (data[at + 1] << 8) | (data[at + 2] << 16) | (data[at + 3] << 24));
    h = (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
  }
  mix(data[whole] | (data[whole + 1] << 8) | (data[whole + 2] << 16));
  h ^= data.length;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

export type Rates = Record<string, number>;

/** A member of its own, never one of `Object.prototype`. */
export const own = <T>(map: Record<string, T>, name: string): T | undefined =>
  Object.hasOwn(map, name) ? map[name] : undefined;

const named = (type: string, class_: number, rates: Rates): number =>
  own(rates, type) ?? (class_ ? (own(rates, "*") ?? 1) : 1);

/** The rate in force; `factors` are those of the pressure that holds. */
export const rateOf = (
  type: string,
  class_: number,
  local: Rates,
  remote: Rates,
  factors: Rates,
): number =>
  Math.min(named(type, class_, local), named(type, class_, remote)) *
  (class_ ? (factors[class_] ?? 1) : 1);

/** Whether an event of `unit` is kept at `rate`. */
export const isKept = (unit: string, type: string, rate: number): boolean =>
  rate >= 1 || murmur3(`tidegate-sdk\0${unit}\0${type}`) < Math.floor(rate * 2 ** 32);

export interface Degrade {
  pressure: number;
  classes: Rates;
}

/** The factors of classes 1 and 2 at a level (R95). */
export const factorsOf = (entries: Degrade[], pressure: number): Rates =>
  Object.assign(
    {},
    ...entries
      .filter((entry) => entry.pressure <= pressure)
      .sort((a, b) => a.pressure - b.pressure)
      .map((entry) => entry.classes),
  );

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
