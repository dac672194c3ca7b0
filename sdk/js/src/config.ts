/** Options, the configuration document, and the values in force (R40, R74, R122-R125). */
import { readObject } from "./reply.js";
import type { Degrade, Rates } from "./sampling.js";

/** Every value that holds. */
export interface Effective {
  batchEventsMax: number;
  batchBytesMax: number;
  batchMs: number;
  eventBytesMax: number;
  queueBytesMax: number;
  queueFloorBytes: number[];
  ratePerS: number | null;
  rateBurst: number | null;
  retryBaseMs: number;
  retryCapMs: number;
  ttlMs: number;
  requestTimeoutMs: number;
  gzipBytesMin: number;
  storeFlushMs: number;
  sampleBy: "instance" | "id";
  sampleLocal: Rates;
  sampleRemote: Rates;
  classes: Record<string, number>;
  degrade: Degrade[];
  config: number | null;
  offMs: number;
  purge: boolean;
  dedupeS: number | null;
}

// Option; remote group and name; least; most; integer; the higher one wins; device; server default.
type Field = [string, string, string, number, number, 0 | 1, 0 | 1, number, number | null];
const FIELDS: Field[] = [
  ["batchEventsMax", "batch", "events", 1, 5000, 1, 0, 100, 500],
  ["batchBytesMax", "batch", "bytes", 1024, 921600, 1, 0, 49152, 262144],
  ["batchMs", "batch", "ms", 100, 3600000, 1, 1, 5000, 2000],
  ["queueBytesMax", "queue", "bytes", 65536, 67108864, 1, 0, 1048576, 8388608],
  ["ratePerS", "rate", "per_s", 0.1, 100000, 0, 0, 50, null],
  ["rateBurst", "rate", "burst", 1, 100000, 1, 0, 200, null],
  ["retryBaseMs", "retry", "base_ms", 100, 60000, 1, 1, 1000, 1000],
  ["retryCapMs", "retry", "cap_ms", 1000, 3600000, 1, 1, 60000, 60000],
  ["ttlMs", "", "ttl_s", 60000, 2592000000, 1, 0, 86400000, 3600000],
  ["eventBytesMax", "", "", 256, 262144, 1, 0, 262144, 262144],
  ["requestTimeoutMs", "", "", 100, 120000, 1, 0, 30000, 30000],
  ["gzipBytesMin", "", "", 0, Number.MAX_SAFE_INTEGER, 1, 0, 1024, 1024],
  ["storeFlushMs", "", "", 10, 1000, 1, 0, 1000, 1000],
];

/** A number in its range; undefined if it is none, or no integer where one is asked for. */
export const bounded = (
  n: unknown,
  least: number,
  most: number,
  integer?: unknown,
): number | undefined =>
  Number.isFinite(n) && !(integer && (n as number) % 1)
    ? Math.min(Math.max(n as number, least), most)
    : undefined;

const entries = (thing: any): [string, any][] =>
  thing && typeof thing === "object" ? Object.entries(thing).slice(0, 1000) : [];

/** The entries of an object that `read` understands. */
const table = (thing: unknown, read: (v: unknown, name: string) => number | undefined): Rates =>
  Object.fromEntries(
    entries(Array.isArray(thing) ? 0 : thing)
      .map(([name, v]): [string, any] => [name, read(v, name)])
      .filter((pair) => pair[1] != null),
  );

const rates = (thing: unknown): Rates => table(thing, (v) => bounded(v, 0, 1));

const floorsOf = (thing: any, queueBytes: number): number[] | undefined => {
  if (!Array.isArray(thing) || thing.length !== 3) return;
  const read = thing.map((n) => bounded(n, 0, Number.MAX_SAFE_INTEGER, 1)!);
  // Also false if one of them is none.
  return read[0] + read[1] + read[2] <= queueBytes / 2 ? read : undefined;
};

/** The document of a body, undefined if it is none (R124). */
export function parseDocument(body: string | undefined): any {
  const read = readObject(body);
  const version = read?.version;
  return Number.isSafeInteger(version) && version >= 0 ? read : undefined;
}

/** Local option and remote field, merged and clamped (R123). `device` picks the defaults. */
export function effective(device: boolean, local: any, remote: any): Effective {
  const doc = remote || {};
  const at = (group: string, name: string) => (group ? doc[group] : doc)?.[name];
  const out: any = {};
  for (const [option, group, name, least, most, integer, higher, d, s] of FIELDS) {
    const scale = name === "ttl_s" ? 1000 : 1;
    const read = name ? bounded(at(group, name), least / scale, most / scale, integer) : undefined;
    const theirs = read == null ? read : read * scale;
    const ours = bounded(local[option], least, most, integer);
    out[option] =
      ours != null && theirs != null
        ? Math[higher ? "max" : "min"](ours, theirs)
        : (ours ?? theirs ?? (device ? d : s));
  }
  // With only one of both set, the other has its device default (R69).
  if (out.ratePerS ?? out.rateBurst) {
    out.ratePerS ??= 50;
    out.rateBurst ??= 200;
  }
  out.retryCapMs = Math.max(out.retryCapMs, out.retryBaseMs);
  const most = out.queueBytesMax;
  const by = [at("", "sample_by"), local.sampleBy].find((v) => v === "instance" || v === "id");
  return {
    ...out,
    queueFloorBytes:
      floorsOf(local.queueFloorBytes, most) ||
      floorsOf(at("queue", "floors"), most) ||
      Array(3).fill(Math.floor(most / 8)),
    sampleBy: by || (device ? "instance" : "id"),
    sampleLocal: rates(local.sample),
    sampleRemote: rates(doc.sample),
    classes: table(doc.classes, (v) =>
      [0, 1, 2].includes(v as number) ? (v as number) : undefined,
    ),
    degrade: Array.isArray(doc.degrade)
      ? doc.degrade
          .slice(0, 16)
          .filter((entry: any) => [1, 2, 3].includes(entry?.pressure))
          .map((entry: any) => ({
            pressure: entry.pressure,
            classes: table(entry.classes, (v, c) =>
              c === "1" || c === "2" ? bounded(v, 0, 1) : undefined,
            ),
          }))
      : [
          { pressure: 1, classes: { 2: 0.2 } },
          { pressure: 2, classes: { 2: 0.1 } },
          { pressure: 3, classes: { 1: 0.5, 2: 0.05 } },
        ],
    config: doc.version ?? null,
    offMs: bounded(doc.off_ms, 0, 86400000, 1) || 0,
    purge: doc.purge === true,
    dedupeS: bounded(doc.dedupe_s, 0, 86400, 1) ?? null,
  };
}
