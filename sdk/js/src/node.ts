/** Tidegate for Node. @module */
import { join } from "node:path";
import { create } from "./client.js";
import { more } from "./more/index.js";
import { atExit } from "./node/exit.js";
import { nodePlatform } from "./node/platform.js";
import { folderStore } from "./node/store.js";
import { refuse } from "./options.js";
import { murmur3 } from "./sampling.js";
import type { Client, Options } from "./types.js";

export type * from "./types.js";

/** A folder of its own for each gateway and key: events never travel with another one's key. */
export const storeFolder = (o: Options): string =>
  join(o.storeDir!, murmur3(`${o.endpoint} ${o.key}`).toString(16).padStart(8, "0"));

/**
 * Makes a client. Throws a `TypeError` if `key` or `endpoint` is missing or malformed; nothing else
 * here ever throws. It keeps no process alive: `await client.close()` before you leave.
 */
export function init(options: Options): Client {
  refuse(options);
  const store =
    options.storeDir && options.store !== false
      ? folderStore(storeFolder(options), (text) => console.warn(text))
      : undefined;
  const platform = nodePlatform(store, options.key);
  const { _end } = platform;
  const [client, state] = create(options, platform, more);
  const forget = atExit(state);
  platform._end = () => {
    forget();
    _end!();
  };
  return client;
}
