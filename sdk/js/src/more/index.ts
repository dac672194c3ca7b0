/** Everything that the core does without, in one object. */
import { optOut } from "../consent.js";
import { own } from "../sampling.js";
import { epochs, recall, unshift } from "../state.js";
import { allBatches } from "./batches.js";
import * as breaker from "./breaker.js";
import { close, counted, flush } from "./close.js";
import { effective } from "./config.js";
import { batchMs, isDue, killedMs, level } from "./due.js";
import { expire } from "./expiry.js";
import { hide, leavePage, show } from "./hidden.js";
import { Breaker, type Full, type More } from "./more.js";
import * as persist from "./persist.js";
import { isFree, pump, soon, wake } from "./pump.js";
import { factorsOf, rateOf } from "./rates.js";
import { recover } from "./recover.js";
import { fetchConfig, restore } from "./remote.js";

declare const PAGE: boolean;

/** A page's store is not waited for any longer. */
const WAIT_MS = 5000;

/** Of a made instance a page's database knows more than local storage, which may lag behind. */
function instanceOf(s: Full): void {
  const { _platform: p, _options: o } = s;
  if (!PAGE || !p._store || s._instance === o.instance) return;
  const kept = p._store._get("instance");
  if (kept) s._instance = kept;
  p._store._set("instance", s._instance);
  p._set?.("instance", s._instance);
}

export const more: More = {
  _attach(s: Full) {
    const p = s._platform;
    const store = p._store;
    for (const k of s._lanes)
      Object.assign(k, { _sealed: [], _failures: 0, _delayUntil: 0, _pausedUntil: 0 });
    Object.assign(s, {
      _more: more,
      _ready: false,
      _killedUntil: 0,
      _pausedUntil: 0,
      _lastSend: p._mono(),
      _filtered: 0,
      _rejected: 0,
      _flushes: [],
      _timerAt: Infinity,
      _document: null,
      _etag: null,
      _firstAt: 0,
      _killedBy: null,
      _fetchedAt: -Infinity,
      _saving: false,
      _savingFrom: 0,
      _saveAt: Infinity,
      _waiting: 0,
      _retryStoreAt: 0,
      _wanted: false,
      _pressure: 0,
      _pressureUntil: 0,
      _hiddenOrder: 0,
      _breaker: Breaker.Closed,
      _failures: 0,
      _openUntil: 0,
      _round: -1,
      _roundLeft: Infinity,
      _roundOpen: 0,
      _roundAt: Infinity,
      _ending: false,
    } satisfies Partial<Full>);
    s._now = effective(s._options, null, p._defaults);
    restore(s);
    if (!store) fetchConfig(s);
    const begin = () => {
      s._ready = true;
      pump(s);
    };
    if (PAGE && store) s._opening = p._timer(WAIT_MS, begin);
    persist.open(s, () => {
      s._opening?.();
      instanceOf(s);
      // What only the opened store could tell: a page's database knows more than local storage.
      if (recall(s, "out") === "1") optOut(s);
      if (s._now.config == null) restore(s);
      if (store) fetchConfig(s);
      begin();
      store?._claim(
        (queue, entries) => {
          if (s._stopped) return store._free(queue);
          recover(s, queue, entries);
          pump(s);
        },
        () => pump(s),
      );
    });
  },

  _touched: persist.touched,

  _class: (s: Full, type, given) =>
    (typeof type === "string" ? own(s._now.classes, type) : undefined) ??
    given ??
    own(s._now.classes, "*"),
  _rate: (s: Full, type, class_) =>
    rateOf(
      type,
      class_,
      s._now.sampleLocal,
      s._now.sampleRemote,
      factorsOf(s._now.degrade, level(s)),
    ),
  _number: persist.number,
  _admitted(s: Full, ev) {
    persist.admitted(s, ev);
    const { _class: c, _mono: now } = ev;
    const k = s._lanes[c];
    if (isFree(s, k, now) && !k._sealed[0] && isDue(s, c)) soon(s);
    else wake(s, now + batchMs(s, c));
  },
  _left(s: Full, ev) {
    persist.left(ev);
    counted(s, ev);
  },

  _stats(s: Full) {
    expire(s);
    const all = allBatches(s);
    return {
      sealed: all.length,
      inFlight: all.filter((b) => b._abort).length,
      storeBytes: s._platform._store?._bytes() || 0,
      filtered: s._filtered,
      rejected: s._rejected,
      breaker: (["closed", "open", "probing"] as const)[s._breaker],
      pressure: level(s),
      config: s._now.config ?? null,
      killedMs: killedMs(s),
    };
  },

  _hide: hide,
  _leave: leavePage,
  _show: show,
  _online: breaker.online,

  _erase(s: Full) {
    s._fetching?.();
    for (const k of s._lanes) {
      for (const b of k._sealed) {
        b._gone = true;
        b._abort?.();
      }
      unshift(
        k,
        k._sealed.flatMap((b) => b._events),
      );
      k._sealed = [];
    }
    for (const e of epochs(s)) persist.discard(s, e);
  },

  _renewed(s: Full) {
    persist.open(s);
    if (s._now.config == null) fetchConfig(s);
  },

  _flush: flush,
  _close: close,
};
