/** What a page's life does to a client (R89, R140-R142). No `unload`, no `beforeunload` (R143). */
import { online } from "../pump.js";
import type { State } from "../state.js";
import { hide, leavePage, show } from "./hidden.js";

/** Listens until the returned function is called. */
export function listen(s: State): () => void {
  const control = new AbortController();
  const on = (target: EventTarget, type: string, f: (s: State, is: boolean) => void, is = false) =>
    target.addEventListener(type, () => f(s, is), { capture: true, signal: control.signal });
  on(document, "visibilitychange", () => (document.hidden ? hide : show)(s));
  on(document, "freeze", hide);
  on(window, "pagehide", leavePage);
  on(window, "pageshow", show);
  on(window, "online", online, true);
  on(window, "offline", online);
  if (navigator.onLine === false) online(s, false);
  return () => control.abort();
}
