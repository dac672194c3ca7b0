/** Options: names, ranges, defaults of pages (R40, R41, R74). Pure. */
import type { Rates } from "./sampling.js";

declare const PAGE: boolean;

/** The values that hold; the second file knows of more. */
export interface Effective {
  batchEventsMax: number;
  batchBytesMax: number;
  eventBytesMax: number;
  queueBytesMax: number;
  queueFloorBytes: number[];
  ratePerS: number | null;
  rateBurst: number | null;
  sampleBy: "instance" | "id";
  sampleLocal: Rates;
  /** Version of the document in force. */
  config: number | undefined;
}

/** The largest integer of JSON (R10). */
export const MAX = 2 ** 53 - 1;

export const clamp = (n: number, least: number, most: number): number =>
  Math.min(Math.max(n, least), most);

/** Least, most, default of pages. All are integers, but for the one whose least is none. */
export const RANGES: Record<string, [number, number, number]> = {
  batchEventsMax: [1, 5000, 100],
  batchBytesMax: [1024, 921600, 49152],
  eventBytesMax: [256, 262144, 262144],
  queueBytesMax: [65536, 67108864, 1048576],
  ratePerS: [0.1, 100000, 50],
  rateBurst: [1, 100000, 200],
};

/** A number in its range; undefined if it is none, or has a fraction where `fraction` is false. */
export const bounded = (
  n: unknown,
  least: number,
  most: number,
  fraction?: unknown,
): number | undefined =>
  Number.isFinite(n) && (fraction || !((n as number) % 1))
    ? clamp(n as number, least, most)
    : undefined;

/** Floors as given, undefined if they are none or too high (R74). */
export const floorsOf = (thing: any, queueBytes: number): number[] | undefined => {
  const [a, b, c]: number[] =
    Array.isArray(thing) && thing.length === 3 ? thing.map((n) => bounded(n, 0, MAX)!) : [];
  // Also false if one of them is none.
  return a + b + c <= queueBytes / 2 ? [a, b, c] : undefined;
};

/** What holds without a configuration document, in a page. */
export function local(o: any): Effective {
  const out: any = {};
  for (const name in RANGES) {
    const [least, most, otherwise] = RANGES[name];
    out[name] = bounded(o[name], least, most, least % 1) ?? otherwise;
  }
  out.queueFloorBytes =
    floorsOf(o.queueFloorBytes, out.queueBytesMax) || Array(3).fill(out.queueBytesMax >> 3);
  out.sampleBy = o.sampleBy === "id" ? "id" : "instance";
  out.sampleLocal = o.sample || {};
  return out;
}

/** Throws a `TypeError` for what R41 refuses. */
export function refuse(o: any): void {
  let bad = "endpoint";
  try {
    if (
      typeof o.key !== "string" ||
      !/^[!-~]{4,128}$/.test(o.key) ||
      (PAGE && o.key.startsWith("sk_"))
    )
      bad = "key";
    else if (new URL(o.endpoint) && /^https?:\/\/[^?#]+$/i.test(o.endpoint)) return;
  } catch {}
  throw new TypeError(`tidegate: ${bad} is missing or malformed`);
}
