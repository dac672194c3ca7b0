/** The public interface over the state: `init`, `flush`, `close`, consent, `stats` (R30-R42, R105, R130-R136). */
import { write } from "./json.js";
import { ledgerOf, newEpoch } from "./ledger.js";
import { utf8 } from "./line.js";
import type { More } from "./more/more.js";
import { local, refuse } from "./options.js";
import type { Platform } from "./platform.js";
import { pump, wake } from "./pump.js";
import { Reason } from "./reasons.js";
import { start } from "./send.js";
import {
  abort,
  allBatches,
  epochs,
  type Flush,
  forget,
  held,
  keep,
  killedMs,
  lane,
  level,
  newId,
  queued,
  recall,
  type State,
  tell,
} from "./state.js";
import { track } from "./track.js";
import type { Client, Options, Stats } from "./types.js";
import { uuid4 } from "./uuid.js";

/** A context as it travels, undefined if there is nothing to say (R42). */
function contextOf(p: Platform, context: unknown): object | undefined {
  try {
    const text = write(context ?? {}, 4096);
    if (text[0] === "{" && utf8(text).length <= 4096) return text[2] ? JSON.parse(text) : undefined;
  } catch {}
  p._warn("tidegate: the context is invalid or too large");
}

/** Makes a client and its state. Throws a `TypeError` for what R41 names, and nothing else. */
export function create(given: Options, p: Platform, more?: More): [Client, State] {
  refuse(given);
  const options = { ...given };
  const { instance } = options;
  const now = p._mono();
  const s: State = {
    _platform: p,
    _options: options,
    _endpoint: options.endpoint.replace(/\/$/, ""),
    _instance: instance!,
    _context: contextOf(p, options.context),
    _now: local(options),
    _epoch: null as any,
    _older: [],
    _lanes: [lane(), lane(), lane()],
    _used: 0,
    _order: 0,
    _bucket: { _tokens: Infinity, _at: now },
    _out: options.optedOut === true,
    _killedUntil: 0,
    _pausedUntil: 0,
    _pressure: 0,
    _pressureUntil: 0,
    _lastSend: now,
    _filtered: 0,
    _rejected: 0,
    _flushes: [],
    _hiddenOrder: 0,
    _breaker: 0,
    _roundLeft: Infinity,
    _timerAt: Infinity,
    _depth: 0,
    _drops: new Map(),
    _lastDrop: [],
  };
  s._epoch = newEpoch(newId(s));
  const isInstance = (text: unknown) => typeof text === "string" && /^[\w.:-]{1,128}$/.test(text);
  if (!isInstance(instance)) {
    if (instance != null) p._warn("tidegate: the instance is invalid");
    const kept = recall(s, "instance")!;
    s._instance = isInstance(kept) ? kept : uuid4(p._u64(), p._u64());
    if (s._instance !== kept) keep(s, "instance", s._instance);
  }
  // The option counts only if the store does not know (R136).
  const out = recall(s, "out");
  if (out) s._out = out === "1";
  // So does a gateway that has switched this client off; `more/remote.ts` reads the rest.
  try {
    const [, first, , { off_ms }] = JSON.parse(recall(s, "config")!);
    const since = Math.max(0, p._wall() - first);
    s._killedUntil = now + Math.min(off_ms, 86_400_000) - since || 0;
  } catch {}
  if (more) attach(s, more);
  return [clientOf(s), s];
}

/** Adds all that the core does without; it begins to send as soon as it may. */
export const attach = (s: State, more: More): void =>
  more._attach(s, { _pump: pump, _wake: wake, _start: start, _optOut: optOut });

/** Begins to send without anything more. */
export function begin(s: State): void {
  s._ready = true;
  pump(s);
}

export function stats(s: State): Stats {
  s._more?._expire(s);
  const all = allBatches(s);
  return {
    epoch: s._epoch._id,
    ...(ledgerOf(s._epoch) as any),
    queued: s._lanes.map(queued) as any,
    sealed: all.length,
    inFlight: all.filter((b) => b._abort).length,
    queueBytes: s._used,
    storeBytes: s._platform._store?._bytes() || 0,
    filtered: s._filtered,
    rejected: s._rejected,
    breaker: (["closed", "open", "probing"] as const)[s._breaker],
    pressure: level(s),
    config: s._now.config ?? null,
    killedMs: killedMs(s),
    optedOut: s._out,
    older: s._older.map((e) => ({ epoch: e._id, ...(ledgerOf(e) as any) })),
  };
}

const clampMs = (ms: unknown): number =>
  Number.isFinite(ms) ? Math.min(Math.max(ms as number, 0), 600_000) : 5000;

/** Makes all that is queued due; false at the deadline (R130). */
function flush(s: State, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    s._more?._expire(s);
    const left = held(s);
    if (!left) return resolve(true);
    if (s._stopped || s._out || killedMs(s)) return resolve(false);
    const f: Flush = {
      _order: s._order,
      _left: left,
      _done(result) {
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

/** Flush, and then what `more` does about the rest (R131). */
async function close(s: State, ms: number): Promise<boolean> {
  const until = s._platform._mono() + ms;
  s._closed = true;
  let flushed = await flush(s, ms);
  if (s._more) flushed = await s._more._close(s, flushed, until);
  s._stopped = true;
  s._cancel?.();
  allBatches(s).forEach(abort);
  for (const f of s._flushes.slice()) f._done(!held(s));
  tell(s);
  s._platform._end?.();
  return flushed;
}

/** Erases all that is held, here and in the store, with the ledgers (R135). */
function optOut(s: State): void {
  if (s._out) return;
  s._out = true;
  for (const e of epochs(s)) forget(s, e, Reason.NoConsent);
  s._more?._erase(s);
  s._older = [];
  s._epoch = newEpoch(newId(s));
  keep(s, "out", "1");
}

function optIn(s: State): void {
  if (!s._out) return;
  s._out = false;
  s._epoch = newEpoch(newId(s));
  keep(s, "out", "0");
  s._more?._renewed(s);
}

function clientOf(s: State): Client {
  const api: Record<string, (...args: any[]) => any> = {
    track: (type, props, o) => track(s, type, props, o),
    flush: (ms) => flush(s, clampMs(ms)),
    close: (ms) => (s._closing ||= close(s, clampMs(ms))),
    optOut: () => optOut(s),
    optIn: () => optIn(s),
    stats: () => stats(s),
  };
  for (const name in api) {
    const call = api[name];
    // No public call ever throws (R30).
    api[name] = (...args) => {
      try {
        return call(...args);
      } catch (thrown) {
        s._platform._warn(`tidegate: ${thrown}`);
      } finally {
        tell(s);
        s._more?._touched(s);
      }
    };
  }
  return api as any;
}
