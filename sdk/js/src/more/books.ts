/** Ledgers as the store keeps them, and how one is brought up to date again (R111, R114). */
import { count, type Epoch, newEpoch } from "../ledger.js";
import { POST_FROM, Reason } from "../reasons.js";

/** What the store keeps of a ledger, and `revive` reads. */
export const snapshot = (e: Epoch): number[] => [
  e._tracked,
  e._admitted,
  e._acked,
  e._n,
  e._reserved,
  ...e._drops,
];

export const revive = (id: string, state: number[]): Epoch => {
  const [_tracked, _admitted, _acked, _n, _reserved, ..._drops] = state;
  return { ...newEpoch(id), _tracked, _admitted, _acked, _n, _reserved, _drops };
};

const sum = (e: Epoch, from: number, to?: number): number =>
  e._drops.slice(from * 3, to).reduce((a, b) => a + b, 0);

/** What a ledger says is held. */
export const heldBy = (e: Epoch): number => e._admitted - e._acked - sum(e, POST_FROM);

/**
 * Brings a recovered ledger up to date with the `found` events that are still there: what was admitted
 * and is neither found nor settled nor counted is `store_error`.
 */
export const reconcile = (e: Epoch, found: number, class_: number): void => {
  e._tracked = e._admitted + sum(e, 0, POST_FROM * 3);
  const lost = heldBy(e) - found;
  if (lost > 0) count(e, Reason.StoreError, class_, lost);
};
