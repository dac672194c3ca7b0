/** Makes a page's client out of the core, and joins the second file when that is there. */
import { attach, create } from "../client.js";
import type { More } from "../more/more.js";
import type { Store } from "../platform.js";
import type { Client, Options } from "../types.js";
import { begin } from "./hidden.js";
import { listen } from "./page.js";
import { nameOf, pagePlatform } from "./platform.js";

/** What the second file is: the hooks, and the store of pages. */
export interface Second {
  sdk: string;
  more: More;
  pageStore(name: string): Store;
}

/** The core does not wait for the second file for longer. */
const WAIT_MS = 5000;

export function start(options: Options, load: () => Promise<Second>): Client {
  const name = nameOf(options?.endpoint, options?.key);
  const platform = pagePlatform(name);
  if (options?.store === false) platform._get = platform._set = undefined;
  // Automatic context: where this page is, and where its visitor came from.
  const context = {
    page: location.origin + location.pathname,
    referrer: document.referrer || undefined,
    ...options?.context,
  };
  const [client, state] = create({ ...options, context }, platform);
  platform._end = listen(state);
  state._joined = new Promise<void>((resolve) =>
    // Where there is no such function, soon is as good.
    ((self.requestIdleCallback || setTimeout) as any)(
      () =>
        load()
          .then(({ sdk, more, pageStore }) => {
            // Of another version it would not fit.
            if (sdk !== platform._sdk || state._stopped) return;
            if (options.store !== false) platform._store = pageStore(name);
            attach(state, more);
          })
          .catch(() => {})
          .then(() => {
            if (!state._more) begin(state);
            resolve();
          }),
      { timeout: 1000 },
    ),
  );
  setTimeout(begin, WAIT_MS, state);
  return client;
}
