/** Sampling by the configuration document and under pressure (R65, R95). Pure. */
import { named, type Rates } from "../sampling.js";

/** The rate in force; `factors` are those of the pressure that holds. */
export const rateOf = (
  type: string,
  class_: number,
  local: Rates,
  remote: Rates,
  factors: Rates,
): number =>
  Math.min(named(type, class_, local), named(type, class_, remote)) *
  (class_ ? (factors[class_] ?? 1) : 1);

export interface Degrade {
  pressure: number;
  classes: Rates;
}

/** The factors of classes 1 and 2 at a level (R95). */
export const factorsOf = (entries: Degrade[], pressure: number): Rates =>
  Object.assign(
    {},
    ...entries
      .filter((entry) => entry.pressure <= pressure)
      .sort((a, b) => a.pressure - b.pressure)
      .map((entry) => entry.classes),
  );
