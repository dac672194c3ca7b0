/**
 * `window.tidegate` of the script-tag builds. The snippet of the README puts a queue of calls there
 * before the script has come; they are made up for now, in their order.
 */
import type { Client } from "../types.js";
import { type Second, start } from "./init.js";

export function expose(load: () => Promise<Second>): void {
  const global = self as any;
  const before: [name: string, ...args: any[]][] = global.tidegate?.q || [];
  let client: any;
  const api: any = { init: (options: any): Client => (client = start(options, load)) };
  for (const name of ["track", "flush", "close", "optOut", "optIn", "stats"])
    api[name] = (...args: any[]) => client?.[name](...args);
  global.tidegate = api;
  for (const [name, ...args] of before) {
    try {
      api[name](...args);
    } catch (thrown) {
      console.warn(thrown);
    }
  }
}
