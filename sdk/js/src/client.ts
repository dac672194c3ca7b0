/** The public interface over the state: `init`, `flush`, `close`, consent, `stats` (R30-R42, R105, R130-R136). */
import { write } from "./json.js";
import { type Epoch, ledgerOf, newEpoch } from "./ledger.js";
import { utf8 } from "./line.js";
import type { More } from "./more/more.js";
import { local, refuse } from "./options.js";
import type { Platform } from "./platform.js";
import { pump, wake } from "./pump.js";
import { Reason } from "./reasons.js";
import { start } from "./send.js";
import {
  allBatches,
  announce,
  type Flush,
  held,
  keep,
  killedMs,
  lane,
  left,
  newId,
  queued,
  recall,
  type State,
  tell,
} from "./state.js";
import { track } from "./track.js";
import type { Client, Ledger, Options, Stats } from "./types.js";

declare const PAGE: boolean;

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
    _lastSend: now,
    _filtered: 0,
    _rejected: 0,
    _flushes: [],
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
    s._instance = isInstance(kept) ? kept : newId(s, 4n, p._u64() >> 16n);
    // In pages the store is asked first, when it is open.
    if (PAGE) p._set?.("instance", s._instance);
    else if (s._instance !== kept) keep(s, "instance", s._instance);
  }
  // The option counts only if the store does not know (R136).
  const out = recall(s, "out");
  if (out) s._out = out === "1";
  if (more) attach(s, more);
  return [clientOf(s), s];
}

/** Adds all that the core does without; it begins to send as soon as it may. */
export const attach = (s: State, more: More): void =>
  more._attach(s, { _pump: pump, _wake: wake, _start: start, _optOut: optOut });

const told = (e: Epoch): Ledger => ({ epoch: e._id, ...(ledgerOf(e) as any) });

export function stats(s: State): Stats {
  s._more?._expire(s);
  const all = allBatches(s);
  return {
    ...told(s._epoch),
    queued: s._lanes.map(queued) as any,
    sealed: all.length,
    inFlight: all.filter((b) => b._abort).length,
    queueBytes: s._used,
    storeBytes: s._platform._store?._bytes() || 0,
    filtered: s._filtered,
    rejected: s._rejected,
    breaker: s._more?._state(s) || "closed",
    pressure: s._more?._level(s) || 0,
    config: s._now.config ?? null,
    killedMs: killedMs(s),
    optedOut: s._out,
    older: s._older.map(told),
  };
}

/** Makes all that is queued due (R130); the core alone looks again at the deadline. */
async function flush(s: State, ms: any): Promise<boolean> {
  const f: Flush = { _order: s._order, _left: held(s) };
  s._flushes.push(f);
  pump(s);
  await s._joined;
  const over = s._more
    ? await s._more._flush(s, f, ms)
    : !held(s) ||
      (await new Promise((done) => s._platform._timer(ms ?? 5000, () => done(!held(s)))));
  s._flushes = s._flushes.filter((other) => other !== f);
  return over;
}

/** A flush, and then what the second file does about the rest (R131). */
async function close(s: State, ms: any): Promise<boolean> {
  const from = s._platform._mono();
  s._closed = true;
  let over = await flush(s, ms);
  if (s._more) over = await s._more._close(s, over, from, ms);
  s._stopped = true;
  s._cancel?.();
  for (const b of allBatches(s)) b._abort?.();
  tell(s);
  s._platform._end?.();
  return over;
}

/** Erases all that is held, here and in the store, with the ledgers (R135). */
function optOut(s: State): void {
  if (s._out) return;
  s._out = true;
  for (const k of s._lanes) {
    for (const b of k._sealed) {
      b._gone = true;
      b._abort?.();
    }
    for (const ev of k._queue.slice(k._head).concat(...k._sealed.map((b) => b._events))) {
      left(s, ev);
      announce(s, Reason.NoConsent, ev._class);
    }
    k._queue = [];
    k._sealed = [];
    k._head = k._bytes = 0;
  }
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
    flush: (ms) => flush(s, ms),
    close: (ms) => (s._closing ||= close(s, ms)),
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
