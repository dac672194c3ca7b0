/** What a page's life does to a client (R89, R140-R142). No `unload`, no `beforeunload` (R143). */
import type { State } from "../state.js";
import { hide, leavePage, online, show } from "./hidden.js";

/** Listens until the returned function is called. */
export function listen(s: State): () => void {
  const control = new AbortController();
  const on = (target: EventTarget, type: string, f: (s: State, e: any) => void) =>
    target.addEventListener(type, (e) => f(s, e), { capture: true, signal: control.signal });
  on(document, "visibilitychange", () => (document.hidden ? hide : show)(s));
  on(document, "freeze", hide);
  on(window, "pagehide", (_, e) => leavePage(s, !s._more || !e.persisted));
  on(window, "pageshow", show);
  on(window, "online", () => online(s, true));
  on(window, "offline", () => online(s, false));
  if (navigator.onLine === false) online(s, false);
  return () => control.abort();
}
