/** Opting out and in (R135, R136). */
import { newEpoch } from "./ledger.js";
import { Reason } from "./reasons.js";
import { announce, keep, left, newId, queued, type State, shift } from "./state.js";

/** Erases all that is held, here and in the store, with the ledgers. */
export function optOut(s: State): void {
  if (s._out) return;
  s._out = true;
  s._more?._erase(s);
  for (const k of s._lanes)
    for (const ev of shift(k, queued(k))) {
      left(s, ev);
      announce(s, Reason.NoConsent, ev._class);
    }
  s._older = [];
  s._epoch = newEpoch(newId(s));
  keep(s, "out", "1");
}

export function optIn(s: State): void {
  if (!s._out) return;
  s._out = false;
  s._epoch = newEpoch(newId(s));
  keep(s, "out", "0");
  s._more?._renewed(s);
}
