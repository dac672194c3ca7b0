/** The pure functions, as `contract/vectors` calls them. Used by the unit tests and both adapters. */
import { choose } from "../src/eviction.js";
import { write } from "../src/json.js";
import { eventLine, headerLine, isEvent, withAge } from "../src/line.js";
import { effective, parseDocument } from "../src/more/config.js";
import { dateMs } from "../src/more/dates.js";
import { recoveredAge } from "../src/more/expiry.js";
import { factorsOf, rateOf } from "../src/more/rates.js";
import { Act, classify } from "../src/more/reply.js";
import { delayMs, pauseMs, serverMs } from "../src/more/retry.js";
import { SERVER } from "../src/node/defaults.js";
import { REASONS, Reason } from "../src/reasons.js";
import { isKept, murmur3, take } from "../src/sampling.js";
import { uuid } from "../src/uuid.js";

/** SplitMix64 (vectors/README.md). */
export class SplitMix64 {
  constructor(private state: bigint) {
    this.state = BigInt.asUintN(64, state);
  }
  next(): bigint {
    const u = (n: bigint) => BigInt.asUintN(64, n);
    this.state = u(this.state + 0x9e3779b97f4a7c15n);
    let z = this.state;
    z = u((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = u((z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    return z ^ (z >> 31n);
  }
  unit(): number {
    return Number(this.next() >> 11n) * 2 ** -53;
  }
}

export const camel = (name: string): string => name.replace(/_([a-z])/g, (_, c) => c.toUpperCase());
export const snake = (name: string): string => name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);

export const keys = (o: any, f: (name: string) => string): any =>
  Object.fromEntries(Object.entries(o).map(([k, v]) => [f(k), v]));

/** Builds what JSON cannot say (vectors/README.md). */
export function exotic(v: any): any {
  if (Array.isArray(v)) return v.map(exotic);
  if (!v || typeof v !== "object") return v;
  switch (v.$) {
    case undefined:
      return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, exotic(x)]));
    case "nan":
      return NaN;
    case "infinity":
      return Infinity;
    case "minus_infinity":
      return -Infinity;
    case "float":
      return Number(v.text);
    case "integer":
      return BigInt(v.text);
    case "absent":
      return undefined;
    case "opaque":
      return {
        toJSON() {
          throw new Error("opaque");
        },
      };
    case "utf16":
      return String.fromCharCode(...v.units);
    case "bytes":
      return Uint8Array.from(v.hex.match(/../g) || [], (h: string) => Number.parseInt(h, 16));
    case "date":
      return new Date(v.ms);
    case "nested": {
      let out: any = 1;
      for (let i = 0; i < v.containers; i++) out = [out];
      return out;
    }
    case "repeat":
      return v.text.repeat(v.times);
  }
  throw new Error(`unknown value ${v.$}`);
}

const ACTS = {
  [Act.Settled]: "settled",
  [Act.Retry]: "retry",
  [Act.Split]: "split",
  [Act.Drop]: "drop",
  [Act.DropAndPause]: "drop_and_pause",
};

const functions: Record<string, (i: any) => any> = {
  splitmix64: ({ seed }) => {
    const a = new SplitMix64(BigInt(seed));
    const b = new SplitMix64(BigInt(seed));
    return {
      u64: Array.from({ length: 4 }, () => `${a.next()}`),
      units: Array.from({ length: 4 }, () => b.unit()),
    };
  },
  uuid7: ({ wall_ms, a, b }) => uuid(wall_ms, 7n, BigInt(a), BigInt(b)),
  event_line: ({ event, event_bytes_max }) => {
    const e = exotic(event);
    try {
      if (!isEvent(e.type, e.props)) throw Reason.Invalid;
      const [line] = eventLine(e.id, e.seq, e.ts, e.type, e.props, e.weight ?? 1, event_bytes_max);
      return { lines: [withAge(line, e.age_ms || 0)] };
    } catch (refused) {
      return { refused: REASONS[typeof refused === "number" ? refused : Reason.Invalid] };
    }
  },
  header_line: (h) => {
    const text = write(h.context ?? {}, 4096);
    const context = text === "{}" ? undefined : JSON.parse(text);
    const rank = (row: any[]) => REASONS.indexOf(row[0]) * 3 + row[1];
    const rows = (list: any[]) => list.filter((r) => r[2] > 0).sort((a, b) => rank(a) - rank(b));
    const { fin, reserved, ...rest } = h.report;
    const report = {
      ...rest,
      pre: rows(rest.pre),
      post: rows(rest.post),
      ...(fin && { reserved, fin: 1 }),
    };
    return headerLine({
      batch: h.batch,
      sdk: h.sdk,
      instance: h.instance,
      epoch: h.epoch,
      class: h.class,
      count: h.count,
      config: h.config ?? undefined,
      context,
      report,
    });
  },
  split: ({ lines }) => {
    if (!lines.length) return { forgotten: true };
    if (lines.length === 1) return { dropped: "rejected_413" };
    const middle = Math.ceil(lines.length / 2);
    return { batches: [lines.slice(0, middle), lines.slice(middle)] };
  },
  delay_ms: (i) => delayMs(i.server_ms, i.n, i.base_ms, i.cap_ms, i.unit),
  pause_ms: (i) => pauseMs(i.ms, i.unit),
  jitter: ({ seed, failures }) => {
    const r = new SplitMix64(BigInt(seed));
    return Array.from({ length: failures }, (_, n) => delayMs(0, n, 1000, 60000, r.unit()));
  },
  server_ms: (i) => serverMs(i.header, i.retry_ms, i.wall_ms, dateMs),
  classify: (i) => {
    const body = i.body?.replaceAll("FILL", "y".repeat(i.fill || 0));
    const v = classify(
      { _status: i.status, _body: body, _retryAfter: i.retry_after },
      i.batch,
      i.count,
      i.wall_ms,
      dateMs,
    );
    return {
      act: ACTS[v._act],
      answered: v._answered,
      ...(v._act === Act.Settled && { filtered: v._filtered, rejected: v._rejected }),
      ...(v._act === Act.Retry && { server_ms: v._serverMs }),
      ...(v._speaks && { limits: v._limits, pressure: v._pressure, config: v._config ?? null }),
    };
  },
  murmur3_32: ({ text }) => murmur3(text),
  decide: ({ unit, type, rate }) => {
    const keep = isKept(unit, type, rate);
    return {
      hash: murmur3(`tidegate-sdk\0${unit}\0${type}`),
      keep,
      ...(keep && { weight: rate < 1 ? 1 / rate : 1 }),
    };
  },
  rate: (i) => rateOf(i.type, i.class, i.local, i.remote, i.degrade),
  degrade: (i) => factorsOf(i.degrade, i.pressure),
  effective: ({ profile, local, fetched }) => {
    let document: any;
    for (const text of fetched) {
      const read = parseDocument(text);
      if (read && !(document && read.version < document.version)) document = read;
    }
    const out: any = keys(
      effective(keys(local, camel), document, profile === "server" ? SERVER : undefined),
      snake,
    );
    out.config ??= null;
    for (const name of [
      "event_bytes_max",
      "request_timeout_ms",
      "gzip_bytes_min",
      "store_flush_ms",
    ])
      delete out[name];
    return out;
  },
  choose: (i) => {
    const sum = (list: number[]) => list.reduce((a, b) => a + b, 0);
    const bytes = i.queued.map(sum);
    const need = i.sealed_bytes + sum(bytes) + i.size - i.queue_bytes_max;
    const evicted = choose(
      i.queued.map((list: number[]) => (at: number) => list[at]),
      bytes,
      need,
      i.class,
      i.floor_bytes,
    );
    return { admitted: !!evicted, evicted: evicted || [0, 0, 0] };
  },
  recovered_age_ms: (i) => recoveredAge(i.wall_ms, i.ts),
  passes: ({ per_s, burst, calls }) => {
    const b = { _tokens: burst, _at: calls[0]?.[0] ?? 0 };
    return calls.map(([now, c]: number[]) => take(b, per_s, burst, now, c));
  },
};

/** Undefined for a function that this SDK does not have (`effective_ms` is the gateway's). */
export const vec = (name: string, input: any): any => functions[name]?.(input);
export const knows = (name: string): boolean => name in functions;
