/** UUIDv7 (R12) without 64-bit arithmetic, from the high and low 32-bit halves of two random numbers. */
export type U64 = [high: number, low: number];

const hex = (n: number, digits: number): string => n.toString(16).padStart(digits, "0");

export function uuid7(wallMs: number, a: U64, b: U64): string {
  const ms = hex(Math.min(Math.max(wallMs, 0), 2 ** 48 - 1), 12);
  // rand_a is the upper 12 bits of a; rand_b is b >> 2, below the variant's two bits.
  const top = ((b[0] >>> 2) | 0x80000000) >>> 0;
  const low = (((b[0] & 3) << 30) | (b[1] >>> 2)) >>> 0;
  const t = hex(top, 8);
  return `${ms.slice(0, 8)}-${ms.slice(8)}-7${hex(a[0] >>> 20, 3)}-${t.slice(0, 4)}-${t.slice(4)}${hex(low, 8)}`;
}
