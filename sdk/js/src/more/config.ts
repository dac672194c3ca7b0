/** The configuration document, and the values in force with it (R122-R125). Pure. */
import { bounded, floorsOf, MAX, RANGES } from "../options.js";
import type { Rates } from "../sampling.js";
import type { Merged } from "./more.js";
import { readObject } from "./reply.js";

/** What only this file asks for. */
const FURTHER: typeof RANGES = {
  batchMs: [100, 3600000, 5000],
  retryBaseMs: [100, 60000, 1000],
  retryCapMs: [1000, 3600000, 60000],
  requestTimeoutMs: [100, 120000, 30000],
  gzipBytesMin: [0, MAX, 1024],
  ttlMs: [60000, 2592000000, 86400000],
  storeFlushMs: [10, 1000, 1000],
};

/** Group and name in the document, the factor of its unit, whether the higher value wins. */
const REMOTE: Record<string, [group: string, name: string, scale?: number, higher?: number]> = {
  batchEventsMax: ["batch", "events"],
  batchBytesMax: ["batch", "bytes"],
  batchMs: ["batch", "ms", 1, 1],
  queueBytesMax: ["queue", "bytes"],
  ratePerS: ["rate", "per_s"],
  rateBurst: ["rate", "burst"],
  retryBaseMs: ["retry", "base_ms", 1, 1],
  retryCapMs: ["retry", "cap_ms", 1, 1],
  ttlMs: ["", "ttl_s", 1000],
};

/** The entries of an object that `read` understands; at most 1,000 are looked at. */
const table = (thing: any, read: (v: unknown, name: string) => number | undefined): Rates =>
  Object.fromEntries(
    Object.entries(thing && typeof thing === "object" && !Array.isArray(thing) ? thing : {})
      .slice(0, 1000)
      .map(([name, v]): [string, any] => [name, read(v, name)])
      .filter((pair) => pair[1] != null),
  );

const rates = (thing: unknown): Rates => table(thing, (v) => bounded(v, 0, 1, 1));

/** The document of a body, undefined if it is none (R124). */
export function parseDocument(body: string | undefined): any {
  const read = readObject(body);
  const version = read?.version;
  return Number.isSafeInteger(version) && version >= 0 ? read : undefined;
}

/** Local option and remote field, merged and clamped (R123). `defaults` are those of servers, if any. */
export function effective(
  local: any,
  remote: any,
  defaults: Record<string, any> = { sampleBy: "instance" },
): Merged {
  const doc = remote || {};
  const at = (group: string, name: string) => (group ? doc[group] : doc)?.[name];
  const out: any = {};
  const ranges = { ...RANGES, ...FURTHER };
  for (const option in ranges) {
    const [least, most, device] = ranges[option];
    const [group, name, scale = 1, higher] = REMOTE[option] || [];
    const fraction = least % 1;
    const read = name
      ? bounded(at(group!, name), least / scale, most / scale, fraction)
      : undefined;
    const theirs = read == null ? read : read * scale;
    const ours = bounded(local[option], least, most, fraction);
    const otherwise = option in defaults ? defaults[option] : device;
    out[option] =
      ours != null && theirs != null
        ? Math[higher ? "max" : "min"](ours, theirs)
        : (ours ?? theirs ?? otherwise);
  }
  // With only one of both set, the other has its device default (R69).
  if (out.ratePerS ?? out.rateBurst) {
    out.ratePerS ??= 50;
    out.rateBurst ??= 200;
  }
  out.retryCapMs = Math.max(out.retryCapMs, out.retryBaseMs);
  const most = out.queueBytesMax;
  return {
    ...out,
    queueFloorBytes:
      floorsOf(local.queueFloorBytes, most) ||
      floorsOf(at("queue", "floors"), most) ||
      Array(3).fill(Math.floor(most / 8)),
    sampleBy: [doc.sample_by, local.sampleBy, defaults.sampleBy].find(
      (v) => v === "instance" || v === "id",
    ),
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
              c === "1" || c === "2" ? bounded(v, 0, 1, 1) : undefined,
            ),
          }))
      : [
          { pressure: 1, classes: { 2: 0.2 } },
          { pressure: 2, classes: { 2: 0.1 } },
          { pressure: 3, classes: { 1: 0.5, 2: 0.05 } },
        ],
    config: doc.version ?? undefined,
    offMs: bounded(doc.off_ms, 0, 86400000) || 0,
    purge: doc.purge === true,
    dedupeS: bounded(doc.dedupe_s, 0, 86400) ?? null,
  };
}
