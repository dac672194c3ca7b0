/** The second file of pages: everything that the core does without, and the store. */
import { more } from "../more/index.js";
import type { State } from "../state.js";
import { sending } from "./http.js";
import { pageStore } from "./store.js";

export { SDK as sdk } from "./platform.js";

/** Completes a client; `name` is its store's, if it may have one. */
export function join(s: State, name: string | false): void {
  Object.assign(s._platform, sending);
  if (name) s._platform._store = pageStore(name);
  more._attach(s);
}
