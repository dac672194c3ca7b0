/** UUIDs from two 64-bit random numbers: version 7 (R12), and version 4 for a made instance (R42). */

const text = (high: bigint, low: bigint): string =>
  ((high << 64n) | (2n << 62n) | (low >> 2n))
    .toString(16)
    .padStart(32, "0")
    .replace(/(.{8})(....)(....)(....)/, "$1-$2-$3-$4-");

export const uuid7 = (wallMs: number, a: bigint, b: bigint): string =>
  text((BigInt(Math.min(Math.max(wallMs, 0), 2 ** 48 - 1)) << 16n) | 0x7000n | (a >> 52n), b);

export const uuid4 = (a: bigint, b: bigint): string => text((a & ~0xf000n) | 0x4000n, b);
