/** The one loop: what may be sent now, and when to look again (R77, R82, R84). */
import { queued, tell } from "../state.js";
import * as breaker from "./breaker.js";
import { batchMs, isDue, killedMs, seal } from "./due.js";
import { expire } from "./expiry.js";
import { sendHidden } from "./hidden.js";
import { Breaker, type Full } from "./more.js";
import { nextSave, save } from "./persist.js";
import { fetchDue, nextFetch } from "./remote.js";
import { nextReport, reports } from "./reports.js";
import { start } from "./send.js";

/** Whether anything at all may be sent, apart from breaker and drain. */
export const isClear = (s: Full): boolean =>
  s._ready && !s._offline && !s._out && !killedMs(s) && s._platform._mono() >= s._pausedUntil;

/** Whether breaker, drain, pause and delay let this class send. */
export const isFree = (s: Full, k: Full["_lanes"][0], now: number): boolean =>
  s._breaker === Breaker.Closed &&
  s._roundLeft > 0 &&
  now >= k._pausedUntil &&
  now >= k._delayUntil;

/** Runs everything that can run now, then sets the one timer. */
export function pump(s: Full): void {
  if (s._pumping || s._stopped || !s._ready) return;
  const now = s._platform._mono();
  s._pumping = true;
  expire(s);
  if (now >= s._saveAt) save(s);
  fetchDue(s, now);
  reports(s, now);
  breaker.recheck(s, now);
  if (isClear(s)) {
    if (s._hiddenOrder) sendHidden(s, now);
    s._lanes.forEach((k, c) => {
      // One batch in flight for each class; the waiting one goes first.
      if (isFree(s, k, now) && !k._sealed.some((b) => b._busy) && (k._sealed[0] || isDue(s, c)))
        start(s, k._sealed[0] || seal(s, c, s._now.batchBytesMax));
    });
  }
  s._pumping = false;
  tell(s);
  arm(s);
}

/** The same as soon as the caller's own code is through: `track` writes and sends nothing itself. */
export function soon(s: Full): void {
  if (s._soon) return;
  s._soon = true;
  queueMicrotask(() => {
    s._soon = false;
    pump(s);
  });
}

/** Makes sure that the timer fires at `at` or earlier. */
export function wake(s: Full, at: number): void {
  if (!(at < s._timerAt) || s._stopped) return;
  s._cancel?.();
  s._timerAt = at;
  s._cancel = s._platform._timer(Math.max(0, at - s._platform._mono()), () => {
    s._timerAt = Infinity;
    pump(s);
  });
}

/** Sets the timer to the next moment at which anything could change. */
function arm(s: Full): void {
  const now = s._platform._mono();
  let next = Infinity;
  const at = (t: number) => {
    if (t > now && t < next) next = t;
  };
  s._onEnd?.();
  nextSave(s, at);
  nextFetch(s, at);
  at(s._killedUntil);
  nextReport(s, at);
  if (!s._offline && !s._out) {
    if (s._lanes.some((k) => k._queue[k._head] || k._sealed[0])) at(s._pressureUntil);
    if (s._breaker) at(s._openUntil);
    if (s._round >= 0) at(s._roundAt + 1000);
    at(s._pausedUntil);
    s._lanes.forEach((k, c) => {
      const waits = queued(k);
      if (!waits && !k._sealed.length) return;
      at(k._pausedUntil);
      at(k._delayUntil);
      if (waits) at(k._queue[k._head]._mono + batchMs(s, c));
    });
  }
  s._cancel?.();
  s._timerAt = Infinity;
  wake(s, next);
}
