/** The configuration centre (R120-R126). */

import { Reason } from "../reasons.js";
import { keep, leave, recall, type State, shift } from "../state.js";
import { urlOf } from "../url.js";
import { allBatches, endBatch } from "./batches.js";
import { effective, parseDocument } from "./config.js";
import { sift } from "./forget.js";
import type { Full } from "./more.js";
import { pump } from "./pump.js";
import { type Reply, readObject } from "./reply.js";

const WEEK = 604_800_000;

/** Another fetch waits so long after the last one began (R121). */
const FETCH_MS = 60_000;

/** Fetches the document; its result touches neither breaker nor delays (R120). */
export function fetchConfig(s: Full): void {
  const p = s._platform;
  if (s._fetching || s._out || s._stopped) return;
  s._wanted = false;
  s._fetchedAt = p._mono();
  const done = (reply: Reply) => {
    s._fetching = undefined;
    cancel();
    if (s._stopped || s._out) return;
    if (reply._status) s._heard = true;
    const document = reply._status === 200 && parseDocument(reply._body);
    if (document && document.version >= (s._now.config ?? 0)) {
      s._etag = reply._etag || null;
      const wall = p._wall();
      // The switch counts from the first receipt of its version (R126).
      const same = s._document && s._document.version === document.version;
      s._firstAt = same ? s._firstAt : wall;
      keep(s, "config", JSON.stringify([wall, s._firstAt, s._etag, document]));
      apply(s, document, same ? undefined : document.off_ms);
    }
    pump(s);
  };
  const request = p._http({ _url: urlOf(s, "config"), _etag: s._etag }, done);
  const cancel = p._timer(s._now.requestTimeoutMs, () => {
    request();
    done({ _status: 0 });
  });
  s._fetching = () => {
    cancel();
    request();
    s._fetching = undefined;
  };
}

/** Fetches if a reply has named a newer document. */
export function fetchDue(s: Full, now: number): void {
  if (s._wanted && now >= s._fetchedAt + FETCH_MS) fetchConfig(s);
}

export function nextFetch(s: Full, at: (mono: number) => void): void {
  if (s._wanted) at(s._fetchedAt + FETCH_MS);
}

/** Puts a document into force; `off` is how long it switches the client off, if it is new. */
export function apply(s: Full, document: any, off?: unknown): void {
  s._document = document;
  s._now = effective(s._options, document, s._platform._defaults);
  if (off !== undefined || document.version !== s._killedBy) {
    const left = off === undefined ? s._now.offMs : Math.min(s._now.offMs, Number(off) || 0);
    s._killedUntil = s._platform._mono() + left;
    s._killedBy = document.version;
  }
  shrink(s);
  if (s._now.purge && s._killedUntil > s._platform._mono()) purge(s);
}

/** The last good document of the store counts for a week (R124). */
export function restore(s: Full): void {
  const kept = readObject(`{"v":${recall(s, "config") || 0}}`)?.v;
  if (!Array.isArray(kept)) return;
  const [at, first, etag, document] = kept;
  const wall = s._platform._wall();
  if (!parseDocument(JSON.stringify(document)) || wall - at > WEEK) return;
  s._etag = etag;
  s._firstAt = first;
  const { offMs } = effective(s._options, document, s._platform._defaults);
  apply(s, document, Math.max(0, offMs - Math.max(0, wall - first)));
}

/** A smaller queue evicts at once (R73), with floors, then without. */
export function shrink(s: State): void {
  for (const floors of [s._now.queueFloorBytes, [0, 0, 0]]) {
    for (let c = 2; c >= 0 && s._used > s._now.queueBytesMax; c--) {
      const k = s._lanes[c];
      while (s._used > s._now.queueBytesMax && k._queue[k._head]) {
        if (k._bytes - k._queue[k._head]._size < floors[c]) break;
        leave(s, shift(k, 1)[0], Reason.QueueFull);
      }
    }
  }
}

/** A kill with `purge`: all that is held leaves, but what is in flight ends normally (R126). */
export function purge(s: Full): void {
  for (const b of allBatches(s)) if (!b._busy) endBatch(s, b, Reason.PurgedKill);
  for (const k of s._lanes) for (const ev of sift(k, () => false)) leave(s, ev, Reason.PurgedKill);
}
