/** UUIDs from two 64-bit random numbers: version 7 (R12), and version 4 for a made instance (R42). */

import { clamp } from "./options.js";

/** `first` are its first 48 bits: the wall clock, or random ones for version 4. */
export const uuid = (first: number, version: bigint, a: bigint, b: bigint): string =>
  (
    (BigInt(clamp(first, 0, 2 ** 48 - 1)) << 80n) |
    (version << 76n) |
    ((a >> 52n) << 64n) |
    (2n << 62n) |
    (b >> 2n)
  )
    .toString(16)
    .padStart(32, "0")
    .replace(/(.{8})(....)(....)(....)/, "$1-$2-$3-$4-");
