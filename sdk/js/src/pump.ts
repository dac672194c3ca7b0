/** The one loop: what may be sent now, and when to look again (R77, R82, R84). */
import { batchMs, isDue, seal } from "./seal.js";
import { start } from "./send.js";
import { Breaker, killedMs, type Lane, queued, type State, tell } from "./state.js";

/** Whether anything at all may be sent, apart from breaker and drain. */
export const isClear = (s: State): boolean =>
  !!s._ready && !s._offline && !s._out && !killedMs(s) && s._platform._mono() >= s._pausedUntil;

/** Whether breaker, drain, pause and delay let this class send. */
export const isFree = (s: State, k: Lane, now: number): boolean =>
  s._breaker === Breaker.Closed &&
  s._roundLeft > 0 &&
  now >= k._pausedUntil &&
  now >= k._delayUntil;

/** Runs everything that can run now, then sets the one timer. */
export function pump(s: State): void {
  if (s._pumping || s._stopped || !s._ready) return;
  const now = s._platform._mono();
  s._pumping = true;
  s._more?._expire(s);
  s._more?._work(s, now);
  if (isClear(s)) {
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

/** The platform says whether there is a network (R89). */
export function online(s: State, is: boolean): void {
  s._more?._online(s, is);
  s._offline = !is;
  pump(s);
}

/** Makes sure that the timer fires at `at` or earlier. */
export function wake(s: State, at: number): void {
  if (!(at < s._timerAt) || s._stopped) return;
  s._cancel?.();
  s._timerAt = at;
  s._cancel = s._platform._timer(Math.max(0, at - s._platform._mono()), () => {
    s._timerAt = Infinity;
    pump(s);
  });
}

/** Sets the timer to the next moment at which anything could change. */
function arm(s: State): void {
  const now = s._platform._mono();
  let next = Infinity;
  const at = (t: number) => {
    if (t > now && t < next) next = t;
  };
  s._more?._next(s, at);
  if (!s._offline && !s._out) {
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
