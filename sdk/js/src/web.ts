/** Tidegate for web pages. @module */
import { create, refusal } from "./client.js";
import type { Client, Options } from "./types.js";
import { listen } from "./web/page.js";
import { pagePlatform } from "./web/platform.js";
import { pageStore } from "./web/store.js";

export type * from "./types.js";

/** One database for each gateway and key. */
export const storeName = (o: Options): string => `tidegate ${o.endpoint} ${o.key} `;

const hasDatabase = (): boolean => {
  try {
    return !!self.indexedDB;
  } catch {
    return false;
  }
};

/**
 * Makes a client. Throws a `TypeError` if `key` or `endpoint` is missing or malformed, or the key is
 * secret; nothing else here ever throws.
 */
export function init(options: Options): Client {
  const why = refusal(options, true);
  if (why) throw new TypeError(`tidegate: ${why}`);
  const store =
    options.store !== false && hasDatabase() ? pageStore(storeName(options)) : undefined;
  // Automatic context: where this page is, and where its visitor came from.
  const page = {
    page: location.origin + location.pathname,
    referrer: document.referrer || undefined,
  };
  const [client, state] = create(
    { ...options, context: { ...page, ...options.context } },
    pagePlatform(store),
  );
  const stop = listen(state);
  return { ...client, close: (ms) => client.close(ms).finally(stop) };
}
