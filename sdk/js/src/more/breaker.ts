/** Breaker, probes and the paced drain (R85-R89), and requests that are blocked (R144). */
import { Reason } from "../reasons.js";
import type { Batch } from "../state.js";
import { allBatches, endBatch } from "./batches.js";
import { isDue, killedMs, seal } from "./due.js";
import { Breaker, type Full } from "./more.js";
import { isClear, pump } from "./pump.js";
import type { Verdict } from "./reply.js";
import { delayMs } from "./retry.js";
import { start } from "./send.js";

declare const PAGE: boolean;

const HOUR = 3_600_000;

/** Whether this batch belongs to the drain's round. */
const isOfRound = (s: Full, b: Batch): boolean => s._round >= 0 && b._round === s._round;

/** A send takes its place in the round. */
export function starts(s: Full, b: Batch): void {
  b._round = s._round;
  if (s._round < 0 || s._breaker !== Breaker.Closed) return;
  s._roundLeft--;
  s._roundOpen++;
  if (s._roundAt === Infinity) s._roundAt = s._platform._mono();
}

/** A send that was begun does not happen: its place is free again. */
export function stops(s: Full, b: Batch): void {
  if (ended(s, b)) s._roundLeft++;
}

/** Nothing is waited for any more with this batch. Whether it had a place in the round. */
export function ended(s: Full, b: Batch): boolean {
  if (s._probe === b) {
    s._probe = undefined;
    if (s._breaker === Breaker.Probing) s._breaker = Breaker.Open;
  }
  const had = isOfRound(s, b);
  if (had) s._roundOpen--;
  b._round = -1;
  return had;
}

/** A definitive reply closes the breaker. */
export function answered(s: Full): void {
  s._failures = 0;
  if (s._breaker === Breaker.Closed) return;
  s._breaker = Breaker.Closed;
  beginRound(s, 0);
}

/** A retryable reply or a network error (R80, R81, R85, R87, R88). */
export function failed(s: Full, b: Batch, v: Verdict): void {
  const p = s._platform;
  const now = p._mono();
  const k = s._lanes[b._class];
  const wasProbe = s._probe === b;
  let opens = wasProbe;
  if (wasProbe) s._probe = undefined;
  // A failure that names its own class is a live gateway speaking (R85).
  if (wasProbe || (!s._breaker && !v._limits.some(([c]) => c === b._class))) {
    s._failures++;
    opens ||= s._failures >= 5 || s._round >= 0;
  } else ended(s, b);
  const { retryBaseMs, retryCapMs, purge } = s._now;
  const n = (opens ? s._failures : k._failures) - 1;
  let delay = delayMs(v._serverMs, n, retryBaseMs, retryCapMs, p._unit());
  // Blocked from the beginning, by an ad blocker for example (R144).
  if (PAGE && opens && !s._heard && now - s._lastSend < 1000) {
    if (s._failures === 5) p._warn("tidegate: requests are blocked");
    delay = HOUR;
  }
  k._delayUntil = now + delay;
  if (opens) open(s, now + delay);
  // Killed with a purge while it was in flight (R126).
  if (purge && killedMs(s)) endBatch(s, b, Reason.PurgedKill);
}

function open(s: Full, until: number): void {
  s._breaker = Breaker.Open;
  s._openUntil = until;
  beginRound(s, -1);
}

/** One probe: the waiting batch with the fewest attempts, else the next that is due (R86). */
function probe(s: Full, now: number): void {
  const free = [0, 1, 2].filter((c) => now >= s._lanes[c]._pausedUntil);
  const [waiting] = free
    .flatMap((c) => s._lanes[c]._sealed)
    .filter((b) => !b._busy)
    .sort((a, b) => a._attempts - b._attempts);
  const due = free.find((c) => isDue(s, c));
  const b = waiting || (due != null && seal(s, due, s._now.batchBytesMax));
  if (!b) return;
  s._breaker = Breaker.Probing;
  s._probe = b;
  start(s, b);
}

/** What time has made possible. */
export function recheck(s: Full, now: number): void {
  if (!isClear(s)) return;
  if (s._breaker === Breaker.Open && now >= s._openUntil) probe(s, now);
  if (s._round >= 0 && !s._roundOpen && now >= s._roundAt + 1000)
    beginRound(s, s._roundLeft > 0 || s._round >= 6 ? -1 : s._round + 1);
}

/** A round of the drain; -1 ends it, and nothing is counted any more. */
function beginRound(s: Full, round: number): void {
  if (round < 0) for (const b of allBatches(s)) b._round = -1;
  s._round = round;
  s._roundLeft = round < 0 ? Infinity : 2 ** round;
  s._roundOpen = 0;
  s._roundAt = Infinity;
}

/** The platform says whether there is a network (R89). */
export function online(s: Full, is: boolean): void {
  if (is && s._offline) {
    s._probe = undefined;
    open(s, s._platform._mono() + Math.floor(s._platform._unit() * s._now.retryBaseMs));
  }
  s._offline = !is;
  pump(s);
}
