/** Tidegate for web pages: the core; what it lacks comes by itself as a second file. @module */
import type { Client, Options } from "./types.js";
import { start } from "./web/init.js";

export type * from "./types.js";

/**
 * Makes a client. Throws a `TypeError` if `key` or `endpoint` is missing or malformed, or the key is
 * secret; nothing else here ever throws.
 */
export const init = (options: Options): Client =>
  // The name is put in by the build, so that bundlers find the file.
  start(options, () => import("./web/second.js"));
