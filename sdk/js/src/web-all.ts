/** Tidegate for web pages in one file, for those who want no second request. @module */
import type { Client, Options } from "./types.js";
import { start } from "./web/init.js";
import * as second from "./web/second.js";

export type * from "./types.js";

/** As in `web.ts`. */
export const init = (options: Options): Client => start(options, async () => second);
