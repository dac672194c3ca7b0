/** Everything that the core does without, in one object. */

import { isClear } from "../pump.js";
import { Act } from "../reply.js";
import { own } from "../sampling.js";
import { epochs, recall } from "../state.js";
import * as breaker from "./breaker.js";
import { close, counted, flush } from "./close.js";
import { effective } from "./config.js";
import { dateMs } from "./dates.js";
import { expire } from "./expiry.js";
import { hide, sendHidden, show } from "./hidden.js";
import type { Full, More } from "./more.js";
import * as persist from "./persist.js";
import { factorsOf, rateOf } from "./rates.js";
import { recover } from "./recover.js";
import { fetchConfig, restore } from "./remote.js";
import { nextReport, reports } from "./reports.js";
import { split } from "./split.js";

declare const PAGE: boolean;

/** Another fetch waits so long after the last one began (R121). */
const FETCH_MS = 60_000;

const PRESSURE_MS = 60_000;

/** Of a made instance a page's database knows more than local storage, which may lag behind. */
function instanceOf(s: Full): void {
  const { _platform: p, _options: o } = s;
  if (!PAGE || !p._store || s._instance === o.instance) return;
  const kept = p._store._get("instance");
  if (kept) s._instance = kept;
  p._store._set("instance", s._instance);
  p._set?.("instance", s._instance);
}

const level = (s: Full): number => (s._platform._mono() < s._pressureUntil ? s._pressure : 0);

export const more: More = {
  _attach(s: Full, core) {
    const store = s._platform._store;
    Object.assign(s, {
      _more: more,
      _core: core,
      _document: null,
      _etag: null,
      _firstAt: 0,
      _killedBy: null,
      _fetchedAt: -Infinity,
      _saving: false,
      _saveAt: Infinity,
      _waiting: 0,
      _retryStoreAt: 0,
      _wanted: false,
      _pressure: 0,
      _pressureUntil: 0,
      _hiddenOrder: 0,
      _failures: 0,
      _openUntil: 0,
      _round: -1,
      _roundOpen: 0,
      _roundAt: Infinity,
      _ending: false,
    } satisfies Partial<Full>);
    s._now = effective(s._options, null, s._platform._defaults);
    restore(s);
    if (!store) fetchConfig(s);
    persist.open(s, () => {
      instanceOf(s);
      // What only the opened store could tell: a page's database knows more than local storage.
      if (recall(s, "out") === "1") core._optOut(s);
      if (s._now.config == null) restore(s);
      if (store) fetchConfig(s);
      s._ready = true;
      core._pump(s);
      store?._claim(
        (queue, entries) => {
          if (s._stopped) return store._free(queue);
          recover(s, queue, entries);
          core._pump(s);
        },
        () => core._pump(s),
      );
    });
  },

  _work(s: Full, now) {
    if (now >= s._saveAt) persist.save(s);
    if (s._wanted && now >= s._fetchedAt + FETCH_MS) fetchConfig(s);
    reports(s, now);
    breaker.recheck(s, now);
    if (s._hiddenOrder && isClear(s)) sendHidden(s, now);
  },

  _next(s: Full, at) {
    s._onEnd?.();
    persist.nextSave(s, at);
    if (s._wanted) at(s._fetchedAt + FETCH_MS);
    at(s._killedUntil);
    nextReport(s, at);
    if (s._offline || s._out) return;
    if (s._lanes.some((k) => k._queue[k._head] || k._sealed[0])) at(s._pressureUntil);
    if (s._breaker) at(s._openUntil);
    if (s._round >= 0) at(s._roundAt + 1000);
  },

  _touched: persist.touched,
  _expire: expire,

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
  _admitted: persist.admitted,
  _left(s: Full, ev) {
    persist.left(ev);
    counted(s, ev);
  },
  _ended(s: Full, b) {
    breaker.ended(s, b);
    persist.ended(b);
  },

  _starts: breaker.starts,
  _stops: breaker.stops,
  _spill: persist.spill,
  _keep: persist.keepBatch,
  _heard(s: Full, v) {
    s._pressure = v._pressure;
    s._pressureUntil = s._platform._mono() + PRESSURE_MS;
    if (v._config! > (s._now.config ?? -1)) s._wanted = true;
  },
  _failed: breaker.failed,

  _answered(s: Full, b, v) {
    breaker.answered(s);
    if (v._act === Act.Settled && b._fin) {
      // Closed and acknowledged: nothing of this epoch is needed any more (R114).
      persist.discard(s, b._epoch);
      s._older = s._older.filter((other) => other !== b._epoch);
    }
    if (b._stored) persist.afterSave(s, b._epoch, () => s._platform._point?.("settled"));
  },

  _date: dateMs,
  _level: level,
  _state: (s) => (["closed", "open", "probing"] as const)[s._breaker],
  _split: split,
  _hide: hide,
  _show: show,
  _online: breaker.online,

  _erase(s: Full) {
    s._fetching?.();
    for (const e of epochs(s)) persist.discard(s, e);
  },

  _renewed(s: Full) {
    persist.open(s);
    if (s._now.config == null) fetchConfig(s);
  },

  _flush: flush,
  _close: close,
};
