/** URLs of the gateway (R1, R2). */
import type { Batch, State } from "./state.js";

declare const PAGE: boolean;

const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16)}`);

/** A URL of the gateway, with the key if it is public (R1, R2). */
export const urlOf = (s: State, path: string, query = ""): string =>
  // A secret key travels in a header; pages have none.
  `${s._endpoint}/v1/${path}?${
    !PAGE && s._options.key.startsWith("sk_")
      ? query.slice(1)
      : `key=${encode(s._options.key)}${query}`
  }`;

export function batchUrl(s: State, b: Batch): string {
  const wall = s._platform._wall();
  const wait = s._platform._mono() - b._mono;
  return urlOf(
    s,
    "batch",
    `&class=${b._class}&attempt=${b._attempts}${
      wall >= 0 && Number.isSafeInteger(wall) ? `&sent=${wall}` : ""
    }${Number.isNaN(wait) ? "" : `&wait=${wait}`}`,
  );
}
