/** Delays and pauses (R80, R84), `Retry-After` and `retry_ms` (R23). */

export const WAIT_MAX = 3_600_000;

export const delayMs = (server: number, n: number, base: number, cap: number, unit: number) =>
  Math.min(WAIT_MAX, server + Math.floor(unit * Math.min(cap, base * 2 ** Math.min(n, 30))));

export const pauseMs = (ms: number, unit: number) =>
  Math.min(WAIT_MAX, ms + Math.floor(unit * Math.min(ms / 10, 60_000)));

/** Reads an HTTP-date as Unix ms, NaN if it is none; in pages it comes with the second file. */
export type ReadDate = (text: string, wallMs: number) => number;

/** An integer from 0, also as `5.0`; undefined for everything else. */
export const whole = (n: unknown): number | undefined =>
  Number.isInteger(n) && (n as number) >= 0 ? (n as number) : undefined;

/** The larger of what header and body ask for. Never throws. */
export function serverMs(
  header: string | null | undefined,
  retryMs: unknown,
  wall: number,
  date?: ReadDate,
) {
  const text = (header || "").replace(/^[ \t]+|[ \t]+$/g, "");
  const asked = /^\d{1,15}$/.test(text) ? +text * 1000 : date ? date(text, wall) - wall || 0 : 0;
  return Math.min(Math.max(asked, whole(retryMs) || 0), WAIT_MAX);
}
