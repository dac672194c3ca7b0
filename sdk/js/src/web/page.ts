/** What a page's life does to a client (R89, R140-R142). No `unload`, no `beforeunload` (R143). */
import { beacons, online, pump } from "../sender.js";
import type { State } from "../state.js";

/** Hidden or frozen: what is queued goes now. */
export function hide(s: State): void {
  s._hidden = true;
  s._hiddenOrder = s._order;
  pump(s);
}

/** Visible, or back from the back-forward cache. */
export function show(s: State): void {
  s._hidden = false;
  s._hiddenOrder = 0;
  pump(s);
}

export function leavePage(s: State): void {
  beacons(s);
  pump(s);
}

/** Listens until the returned function is called. */
export function listen(s: State): () => void {
  const control = new AbortController();
  const on = (target: EventTarget, type: string, f: () => void) =>
    target.addEventListener(type, f, { capture: true, signal: control.signal });
  on(document, "visibilitychange", () => (document.visibilityState === "hidden" ? hide : show)(s));
  on(document, "freeze", () => hide(s));
  on(window, "pagehide", () => leavePage(s));
  on(window, "pageshow", () => show(s));
  on(window, "online", () => online(s, true));
  on(window, "offline", () => online(s, false));
  if (navigator.onLine === false) online(s, false);
  return () => control.abort();
}
