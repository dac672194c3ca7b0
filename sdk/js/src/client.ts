/** The public interface over the state: `init`, `flush`, `close`, consent, `stats` (R30-R42, R105, R130-R136). */
import { effective } from "./config.js";
import { write } from "./json.js";
import { type Epoch, newEpoch, reportOf } from "./ledger.js";
import { utf8 } from "./line.js";
import { open, recover, renew, settleRest } from "./persist.js";
import type { Platform } from "./platform.js";
import { Reason } from "./reasons.js";
import { fetchConfig, restore } from "./remote.js";
import { expire, pump, wake } from "./sender.js";
import {
  allBatches,
  Breaker,
  type Flush,
  forget,
  held,
  killedMs,
  lane,
  level,
  newId,
  queued,
  type State,
  tell,
} from "./state.js";
import { track } from "./track.js";
import type { Client, Ledger, Options, Stats } from "./types.js";

/** Why options are refused, or undefined (R41). */
export function refusal(o: any, page: boolean): string | undefined {
  if (typeof o?.key !== "string" || !/^[!-~]{4,128}$/.test(o.key))
    return "key is missing or malformed";
  if (page && o.key.startsWith("sk_")) return "a secret key does not belong into a page";
  try {
    new URL(o.endpoint);
    if (/^https?:\/\/[^?#]+$/i.test(o.endpoint)) return;
  } catch {}
  return "endpoint is no absolute http(s) URL";
}

/** A random UUIDv4 (R42). */
const uuid4 = (s: State): string =>
  newId(s).replace(/^.{8}-.{4}-7/, () => {
    const [a, b] = s._platform._u64();
    const hex = (n: number) => n.toString(16).padStart(8, "0");
    return `${hex(a)}-${hex(b).slice(4)}-4`;
  });

function contextOf(s: State, context: unknown): string {
  try {
    const text = context == null ? "{}" : write(context, 4096);
    if (text[0] === "{" && utf8(text).length <= 4096) return text === "{}" ? "" : text;
  } catch {}
  s._platform._warn("tidegate: the context is invalid or too large");
  return "";
}

const isInstance = (text: unknown): text is string =>
  typeof text === "string" && /^[\w.:-]{1,128}$/.test(text);

function newState(o: Options, p: Platform): State {
  const now = effective(p._page, o, null);
  return {
    _platform: p,
    _options: o,
    _key: o.key,
    _secret: o.key.startsWith("sk_"),
    _endpoint: o.endpoint.replace(/\/$/, ""),
    _instance: "",
    _context: "",
    _document: null,
    _now: now,
    _etag: null,
    _firstAt: 0,
    _killedBy: null,
    _epoch: newEpoch(""),
    _older: [],
    _lanes: [lane(), lane(), lane()],
    _used: 0,
    _order: 0,
    _bucket: { _tokens: Infinity, _at: p._mono() },
    _ready: false,
    _out: o.optedOut === true,
    _closed: false,
    _ending: false,
    _stopped: false,
    _offline: false,
    _killedUntil: 0,
    _pausedUntil: 0,
    _breaker: Breaker.Closed,
    _openUntil: 0,
    _failures: 0,
    _round: -1,
    _roundLeft: 0,
    _roundOpen: 0,
    _roundAt: Infinity,
    _pressure: 0,
    _pressureUntil: 0,
    _lastSend: p._mono(),
    _heard: false,
    _filtered: 0,
    _rejected: 0,
    _flushes: [],
    _hidden: false,
    _hiddenOrder: 0,
    _fetchedAt: -Infinity,
    _wanted: false,
    _saving: false,
    _saveAt: Infinity,
    _waiting: 0,
    _retryStoreAt: 0,
    _timerAt: Infinity,
    _pumping: false,
    _depth: 0,
    _drops: new Map(),
    _lastDrop: [],
  };
}

/** Makes a client and its state. Throws a `TypeError` for what R41 names, and nothing else. */
export function create(options: Options, p: Platform): [Client, State] {
  const why = refusal(options, p._page);
  if (why) throw new TypeError(`tidegate: ${why}`);
  const s = newState({ ...options }, p);
  const { instance, context } = options;
  const store = p._store;
  s._epoch = newEpoch(newId(s));
  if (isInstance(instance)) s._instance = instance;
  else {
    if (instance != null) p._warn("tidegate: the instance is invalid");
    const kept = store?._get("instance");
    s._instance = isInstance(kept) ? kept : uuid4(s);
    if (kept !== s._instance) store?._set("instance", s._instance);
  }
  s._context = contextOf(s, context);
  // The option counts only if the store does not know (R136).
  const out = store?._get("out");
  if (out) s._out = out === "1";
  restore(s);
  if (!store) fetchConfig(s);
  open(s, () => {
    // What only the opened store could tell: a page's database knows more than local storage.
    if (store?._get("out") === "1") optOut(s);
    if (s._now.config == null) restore(s);
    if (store) fetchConfig(s);
    s._ready = true;
    pump(s);
    store?._claim(
      (queue, entries) => {
        if (s._stopped) return store._free(queue);
        recover(s, queue, entries);
        pump(s);
      },
      () => pump(s),
    );
  });
  return [clientOf(s), s];
}

const ledgerOf = (e: Epoch): Ledger => {
  const { n, ...ledger } = reportOf(e);
  return { epoch: e._id, ...ledger } as any;
};

export function stats(s: State): Stats {
  expire(s);
  return {
    ...ledgerOf(s._epoch),
    queued: s._lanes.map(queued) as any,
    sealed: allBatches(s).length,
    inFlight: allBatches(s).filter((b) => b._abort).length,
    queueBytes: s._used,
    storeBytes: s._platform._store?._bytes() || 0,
    filtered: s._filtered,
    rejected: s._rejected,
    breaker: (["closed", "open", "probing"] as const)[s._breaker],
    pressure: level(s),
    config: s._now.config,
    killedMs: killedMs(s),
    optedOut: s._out,
    older: s._older.map(ledgerOf),
  };
}

const clampMs = (ms: unknown): number =>
  Number.isFinite(ms) ? Math.min(Math.max(ms as number, 0), 600_000) : 5000;

/** Makes all that is queued due; false at the deadline (R130). */
function flush(s: State, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    expire(s);
    const left = held(s);
    if (!left) return resolve(true);
    if (s._stopped || s._out || killedMs(s)) return resolve(false);
    const f: Flush = {
      _order: s._order,
      _left: left,
      _done: (result) => {
        s._flushes = s._flushes.filter((other) => other !== f);
        cancel();
        resolve(result);
      },
    };
    s._flushes.push(f);
    // Keeps a Node process alive, which the client else does not.
    const cancel = s._platform._timer(ms, () => f._done(false), true);
    pump(s);
  });
}

/** Flush, the report of the end, and what is left stays in the store or is counted (R131). */
async function close(s: State, ms: number): Promise<boolean> {
  s._closed = true;
  const until = s._platform._mono() + ms;
  const flushed = await flush(s, ms);
  if (flushed && !s._out && !killedMs(s)) {
    await new Promise<void>((resolve) => {
      const end = () => {
        s._onEnd = undefined;
        cancel();
        resolve();
      };
      const cancel = s._platform._timer(until - s._platform._mono(), end, true);
      s._ending = true;
      s._onEnd = () => {
        const e = s._epoch;
        if (!held(s) && !allBatches(s).length && (!e._tracked || e._ended)) end();
      };
      pump(s);
    });
  }
  const store = s._platform._store;
  s._fetching?.();
  return new Promise((resolve) => {
    settleRest(s, (lost) => {
      s._stopped = true;
      s._cancel?.();
      const rest = held(s);
      for (const e of [s._epoch, ...s._older]) {
        if (!e._queue) continue;
        // An epoch in which nothing happened leaves nothing behind.
        if (e._tracked || e._recovered) store!._free(e._queue);
        else store!._drop(e._queue, () => {});
      }
      for (const f of s._flushes.slice()) f._done(!rest);
      tell(s);
      resolve(!rest && !lost);
    });
  });
}

/** Erases all that is held, here and in the store, with the ledgers (R135). */
function optOut(s: State): void {
  if (s._out) return;
  s._out = true;
  const store = s._platform._store;
  s._fetching?.();
  for (const e of [s._epoch, ...s._older]) {
    forget(s, e, Reason.NoConsent);
    e._puts.clear();
    e._dirty = false;
    if (e._queue) store!._drop(e._queue, () => {});
    e._queue = undefined;
  }
  s._older = [];
  s._probe = undefined;
  if (s._breaker === Breaker.Probing) s._breaker = Breaker.Open;
  s._epoch = newEpoch(newId(s));
  store?._set("out", "1");
}

function optIn(s: State): void {
  if (!s._out) return;
  s._out = false;
  s._platform._store?._set("out", "0");
  renew(s);
  if (s._now.config == null) fetchConfig(s);
}

function clientOf(s: State): Client {
  // No public call ever throws (R30).
  const guard = <T>(f: () => T, otherwise: T): T => {
    try {
      return f();
    } catch (thrown) {
      s._platform._warn(`tidegate: ${thrown}`);
      return otherwise;
    } finally {
      tell(s);
      if (s._epoch._dirty && s._epoch._queue && s._saveAt === Infinity) {
        s._saveAt = s._platform._mono() + s._now.storeFlushMs;
        wake(s, s._saveAt);
      }
    }
  };
  return {
    track: (type, props, o) => guard(() => track(s, type, props, o), undefined),
    flush: (ms) => guard(() => flush(s, clampMs(ms)), Promise.resolve(false)),
    close: (ms) =>
      guard(
        () => (s._closing ||= close(s, clampMs(ms)).catch(() => false)),
        Promise.resolve(false),
      ),
    optOut: () => guard(() => optOut(s), undefined),
    optIn: () => guard(() => optIn(s), undefined),
    stats: () => guard(() => stats(s), undefined as any),
  };
}
