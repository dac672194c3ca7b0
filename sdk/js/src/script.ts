/**
 * The script-tag build: `window.tidegate`. The snippet of the README puts a queue of calls there
 * before this file has come; they are made up for now, in their order.
 */
import type { Client, Options } from "./types.js";
import { init } from "./web.js";

type Call = [name: string, ...args: any[]];

const global = self as any;
const before: Call[] = global.tidegate?.q || [];
let client: Client | undefined;

const call = (name: string, args: any[]): any => {
  if (name !== "init") return (client as any)?.[name]?.(...args);
  client = init(args[0] as Options);
  return client;
};

const api: any = { init };
for (const name of ["track", "flush", "close", "optOut", "optIn", "stats"])
  api[name] = (...args: any[]) => call(name, args);
api.init = (...args: any[]) => call("init", args);
global.tidegate = api;
for (const [name, ...args] of before) {
  try {
    call(name, args);
  } catch (thrown) {
    console.warn(thrown);
  }
}
