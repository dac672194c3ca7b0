/** JSON text of any value (R10, R11). Throws `Reason`s, or whatever the value throws while it is read. */
import { Reason } from "./reasons.js";

/**
 * Writes `root`, which stands inside of `depth` containers. Stops with `TooLarge` as soon as the text is
 * certain to be longer than `most` (R61), with `Invalid` beyond 64 containers, so on cycles as well.
 */
export function write(root: unknown, most: number, depth = 1): string {
  // Nearly all events are plain, and a replacer makes the platform several times as slow.
  let left = most;
  const isPlain = (v: any, depth: number): boolean => {
    const kind = typeof v;
    left -= kind === "string" ? v.length : kind === "undefined" ? 0 : 1;
    if (left < 0) throw Reason.TooLarge;
    if (kind !== "object" || !v) return kind !== "bigint" && kind !== "function";
    const isList = Array.isArray(v);
    const proto = Object.getPrototypeOf(v);
    if (proto !== (isList ? Array : Object).prototype && (isList || proto)) return false;
    if (v.toJSON || (!isList && v[Symbol.iterator])) return false;
    if (depth > 63) throw Reason.Invalid;
    return (isList ? v : Object.values(v)).every((item: unknown) => isPlain(item, depth + 1));
  };
  return whole(isPlain(root, depth) ? JSON.stringify(root) : writeOdd(root, most, depth));
}

/** A lone surrogate, which the platform escapes, becomes U+FFFD. */
const whole = (text: string): string =>
  text?.includes("\\ud")
    ? text.replace(/\\(ud...|.)/g, (all, code) => (code[1] ? "\ufffd" : all))
    : text;

/** The same of what is more than plain data. */
function writeOdd(root: unknown, most: number, depth: number): string {
  /** How deep a container stands; said again wherever the same one is met again. */
  const depths = new Map<unknown, number>();
  const spend = (n: number) => {
    most -= n;
    if (most < 0) throw Reason.TooLarge;
  };
  // The platform has asked `toJSON` by now; of bytes that have one, the bytes are meant.
  const replace = function (this: any, key: string, v: any): unknown {
    const bytes = this[key];
    spend(typeof v === "string" ? v.length : v === undefined ? 0 : 1);
    if (bytes instanceof Uint8Array || bytes instanceof ArrayBuffer) {
      spend(bytes.byteLength);
      most += bytes.byteLength;
      return btoa(Array.from(new Uint8Array(bytes), (n) => String.fromCharCode(n)).join(""));
    }
    if (typeof v === "bigint") return Number.isSafeInteger(Number(v)) ? Number(v) : `${v}`;
    if (typeof v === "object" && v) {
      if (v instanceof Map) v = Object.fromEntries(v);
      else if (!Array.isArray(v) && v[Symbol.iterator]) {
        const list = [];
        for (const item of v) if (list.push(item) > most) throw Reason.TooLarge;
        v = list;
      }
      const at = (depths.get(this) ?? depth) + 1;
      if (at > 64) throw Reason.Invalid;
      depths.set(v, at);
    }
    return v;
  };
  return JSON.stringify(root, replace);
}
