/** What a reply means (R14-R26, R104). Never throws. */
import { utf8 } from "../line.js";
import { type ReadDate, serverMs, WAIT_MAX, whole } from "./retry.js";

export const BODY_MAX = 65_536;

export const enum Act {
  Settled,
  Retry,
  Split,
  Drop,
  DropAndPause,
}

/** What came back; `_status` 0 is no complete reply. */
export interface Reply {
  _status: number;
  _body?: string | undefined;
  _retryAfter?: string | null | undefined;
  _etag?: string | null | undefined;
}

export interface Verdict {
  _act: Act;
  _answered: boolean;
  _filtered: number;
  _rejected: number;
  _serverMs: number;
  /** Whether the fields below were said at all. */
  _speaks: boolean;
  _limits: [number, number][];
  _pressure: number;
  _config: number | undefined;
}

/** A JSON object of a reasonable size, else undefined. */
export function readObject(body: string | undefined): any {
  try {
    const read = JSON.parse(body!);
    if (read && typeof read === "object" && !Array.isArray(read) && utf8(body!).length <= BODY_MAX)
      return read;
  } catch {}
}

export function classify(
  reply: Reply,
  batch: string,
  count: number,
  wall: number,
  date?: ReadDate,
): Verdict {
  const status = reply._status;
  const object = readObject(reply._body);
  const read = object || {};
  const list = read.rejected ?? [];
  const rejected = Array.isArray(list) ? list.length : NaN;
  const refusal = status >= 400 && status < 500;
  // R15: a definitive 200 is the gateway's own and about all of this batch.
  const settles =
    status === 200 &&
    typeof read.batch === "string" &&
    read.batch.toLowerCase() === batch &&
    (read.unchecked === true
      ? whole(read.accepted) === count
      : whole(read.accepted ?? 0)! + whole(read.filtered ?? 0)! + rejected === count);
  const foreign = !settles && status < 400;
  return {
    _act: settles
      ? Act.Settled
      : !refusal || [408, 425, 429].includes(status)
        ? Act.Retry
        : status === 413
          ? Act.Split
          : [401, 403, 404].includes(status)
            ? Act.DropAndPause
            : Act.Drop,
    _answered: settles || refusal || (status === 503 && ["pressure", "busy"].includes(read.reason)),
    _filtered: whole(read.filtered) || 0,
    _rejected: rejected || 0,
    _serverMs: status < 400 ? 0 : serverMs(reply._retryAfter, read.retry_ms, wall, date),
    _speaks: !!object && !foreign,
    _limits: (Array.isArray(read.limits) ? read.limits : [])
      .filter(
        (pair: any) =>
          Array.isArray(pair) &&
          pair.length === 2 &&
          whole(pair[0])! <= 2 &&
          whole(pair[1]) != null,
      )
      .map((pair: any) => [pair[0], Math.min(pair[1], WAIT_MAX)]),
    _pressure: Math.min(whole(read.pressure) || 0, 3),
    _config: whole(read.config),
  };
}
