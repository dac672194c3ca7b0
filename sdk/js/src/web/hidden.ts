/** A page that is hidden, left, or back (R140-R142), while the core is alone. */
import { beacons } from "../beacon.js";
import { recall, type State, tell } from "../state.js";

/** Hidden or frozen. The core alone does as if the page were left: it may be. */
export const hide = (s: State): void => (s._more ? s._more._hide(s) : leavePage(s, false));

/** Visible, or back from the back-forward cache. */
export const show = (s: State): void => (s._more ? s._more._show(s) : s._ask?.());

/**
 * The last chance, but not if the gateway may have switched this client off. `ends`: nothing comes
 * after it; with the core alone also if the page comes back, for there is no claim on its epoch (R142).
 */
export function leavePage(s: State, ends: boolean): void {
  if (s._more) return s._more._leave(s, ends);
  if (s._out || s._offline || /"off_ms":[1-9]/.test(recall(s, "config")!)) return;
  beacons(s, s._lanes, ends);
  tell(s);
}

/** The platform says whether there is a network (R89). */
export function online(s: State, is: boolean): void {
  if (s._more) return s._more._online(s, is);
  s._offline = !is;
  if (is) s._ask?.();
}
