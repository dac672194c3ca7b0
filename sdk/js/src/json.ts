/** JSON text of any value (R10, R11). Throws `Reason`s, or whatever the value throws while it is read. */
import { Reason } from "./reasons.js";

/**
 * Writes `root`, which stands inside of `depth` containers. Stops with `TooLarge` as soon as the text is
 * certain to be longer than `most` (R61), with `Invalid` beyond 64 containers, so on cycles as well.
 */
export function write(root: unknown, most: number, depth = 1): string {
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
  // A lone surrogate, which the platform escapes, becomes U+FFFD.
  return JSON.stringify(root, replace).replace(/\\(ud...|.)/g, (all, code) =>
    code[1] ? "\ufffd" : all,
  );
}
