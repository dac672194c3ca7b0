/** Makes a page's client out of the core, and joins the second file when that is there. */
import { create } from "../client.js";
import type { Platform } from "../platform.js";
import type { State } from "../state.js";
import type { Client, Options } from "../types.js";
import { leavePage } from "./hidden.js";
import { listen } from "./page.js";
import { nameOf, pagePlatform } from "./platform.js";

/** What the second file is. */
export interface Second {
  sdk: string;
  join(s: State, name: string | false): void;
}

export function start(options: Options, load: () => Promise<Second>): Client {
  const name = nameOf(options?.endpoint, options?.key);
  const platform = pagePlatform(name) as Platform;
  if (options?.store === false) platform._get = platform._set = undefined;
  // Automatic context: where this page is, and where its visitor came from.
  const context = {
    page: location.origin + location.pathname,
    referrer: document.referrer || undefined,
    ...options?.context,
  };
  const [client, state] = create({ ...options, context }, platform);
  const deaf = listen(state);
  platform._end = () => {
    deaf();
    // What waits has no other way out any more.
    if (!state._more) leavePage(state, true);
  };
  state._joined = new Promise<void>((resolve) => {
    const ask = () => {
      state._ask = undefined;
      load()
        .then((second) => {
          // Of another version it would not fit.
          if (second.sdk !== platform._sdk || state._more || state._stopped) return;
          second.join(state, options.store !== false && name);
          resolve();
        })
        .catch(() => (state._ask = ask));
    };
    // Where there is no such function, soon is as good.
    ((self.requestIdleCallback || setTimeout) as any)(ask, { timeout: 1000 });
  });
  return client;
}
