/** JSON text of any value (R10, R11). Throws `Reason`s, never anything else on purpose. */
import { Reason } from "./reasons.js";

const DEPTH_MAX = 64;

/** A JSON string; a lone surrogate, which `JSON.stringify` escapes, becomes U+FFFD (R10). */
export const quote = (text: string): string =>
  JSON.stringify(text).replace(/\\(ud...|.)/g, (all, code) => (code[1] ? "\ufffd" : all));

const base64 = (bytes: Uint8Array): string => {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
};

const isLeftOut = (value: unknown): boolean =>
  value === undefined || typeof value === "function" || typeof value === "symbol";

/**
 * Writes `root`, which stands inside of `depth` containers. Stops with `TooLarge` as soon as the text
 * alone is longer than `most` (R61), with `Invalid` on cycles and beyond 64 containers.
 */
export function write(root: unknown, most: number, depth = 1): string {
  let out = "";
  const open: unknown[] = [];
  const add = (text: string) => {
    out += text;
    if (out.length > most) throw Reason.TooLarge;
  };
  const value = (v: any): void => {
    if (isLeftOut(v) || v === null) return add("null");
    if (typeof v === "bigint") return add(v >= -MAX && v <= MAX ? `${v}` : `"${v}"`);
    if (typeof v === "object") {
      if (v instanceof ArrayBuffer) v = new Uint8Array(v);
      if (v instanceof Uint8Array) {
        if (v.length > most) throw Reason.TooLarge;
        return add(`"${base64(v)}"`);
      }
      // A type that offers its own JSON form is asked, once.
      if (typeof v.toJSON === "function") {
        v = v.toJSON();
        if (typeof v !== "object" || !v) return value(v);
      }
    }
    if (typeof v === "string") {
      if (v.length > most) throw Reason.TooLarge;
      return add(quote(v));
    }
    // NaN and the infinities become null by themselves, -0 becomes 0.
    if (typeof v !== "object") return add(JSON.stringify(v));
    if (open.includes(v) || depth + open.length >= DEPTH_MAX) throw Reason.Invalid;
    open.push(v);
    let comma = "";
    if (v instanceof Map) v = Object.fromEntries(v);
    if (v[Symbol.iterator]) {
      add("[");
      for (const item of v) {
        add(comma);
        value(item);
        comma = ",";
      }
      add("]");
    } else {
      add("{");
      for (const key of Object.keys(v)) {
        const item = v[key];
        if (isLeftOut(item)) continue;
        add(`${comma + quote(key)}:`);
        value(item);
        comma = ",";
      }
      add("}");
    }
    open.pop();
  };
  value(root);
  return out;
}

const MAX = Number.MAX_SAFE_INTEGER;
