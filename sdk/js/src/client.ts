/** The public interface over the state: `init`, `flush`, `close`, `stats` (R30-R42, R105, R130, R131). */
import { optIn, optOut } from "./consent.js";
import { write } from "./json.js";
import { type Epoch, ledgerOf, newEpoch } from "./ledger.js";
import { utf8 } from "./line.js";
import type { More } from "./more/more.js";
import { bounded, local, refuse } from "./options.js";
import type { Platform } from "./platform.js";
import { held, keep, lane, newId, queued, recall, type State, tell } from "./state.js";
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
    _bucket: { _tokens: Infinity, _at: 0 },
    _out: options.optedOut === true,
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
  more?._attach(s);
  return [clientOf(s), s];
}

const told = (e: Epoch): Ledger => ({ epoch: e._id, ...(ledgerOf(e) as any) });

export function stats(s: State): Stats {
  const more = s._more?._stats(s);
  return {
    ...told(s._epoch),
    queued: s._lanes.map(queued) as any,
    sealed: 0,
    inFlight: 0,
    queueBytes: s._used,
    storeBytes: 0,
    filtered: 0,
    rejected: 0,
    breaker: "closed",
    pressure: 0,
    config: null,
    killedMs: 0,
    optedOut: s._out,
    older: s._older.map(told),
    ...more,
  };
}

/** A flush or the end (R130, R131). The second file does either, if it is there by the deadline. */
async function finish(s: State, ms: any, end?: boolean): Promise<boolean> {
  const p = s._platform;
  const order = s._order;
  const from = p._mono();
  if (end) s._closed = true;
  if (!s._more) {
    s._ask?.();
    await new Promise<void>((done) => {
      const cancel = p._timer(bounded(ms, 0, 600_000, 1) ?? 5000, done);
      s._joined?.then(() => {
        cancel();
        done();
      });
    });
  }
  let over = s._more ? await s._more._flush(s, ms, order, from) : !held(s);
  if (end) {
    if (s._more) over = await s._more._close(s, over, ms, from);
    s._stopped = true;
    tell(s);
    p._end?.();
  }
  return over;
}

function clientOf(s: State): Client {
  const api: Record<string, (...args: any[]) => any> = {
    track: (type, props, o) => track(s, type, props, o),
    flush: (ms) => finish(s, ms),
    close: (ms) => (s._closing ||= finish(s, ms, true)),
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
