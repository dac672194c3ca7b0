/** One send: compression, store, request, and what its reply does (R15-R22, R79-R84). */

import { isClear, pump } from "./pump.js";
import { Reason } from "./reasons.js";
import { Act, classify, type Reply } from "./reply.js";
import { delayMs, pauseMs } from "./retry.js";
import { type Batch, endBatch, Sent, type State, unshift } from "./state.js";

declare const PAGE: boolean;

/** Begins a send; it has one body from now on (R5). */
export function start(s: State, b: Batch): void {
  b._busy = true;
  s._more?._starts(s, b);
  const stored = () => {
    if (b._gone) return;
    const go = () => transmit(s, b);
    if (s._more) s._more._keep(s, b, go);
    else go();
  };
  if (b._final || b._body.length < s._now.gzipBytesMin) return stored();
  s._platform._gzip(b._body, (out) => {
    if (out && out.length < b._body.length) {
      b._body = out;
      b._gzip = true;
    }
    stored();
  });
}

const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16)}`);

/** A URL of the gateway, with the key if it is public (R1, R2). */
export const urlOf = (s: State, path: string, query = ""): string =>
  // A secret key travels in a header; pages have none.
  `${s._endpoint}/v1/${path}?${
    !PAGE && s._options.key.startsWith("sk_")
      ? query.slice(1)
      : `key=${encode(s._options.key)}${query}`
  }`;

export function batchUrl(s: State, b: Batch): string {
  const wall = s._platform._wall();
  const wait = s._platform._mono() - b._mono;
  return urlOf(
    s,
    "batch",
    `&class=${b._class}&attempt=${b._attempts}${
      wall >= 0 && Number.isSafeInteger(wall) ? `&sent=${wall}` : ""
    }${Number.isNaN(wait) ? "" : `&wait=${wait}`}`,
  );
}

function transmit(s: State, b: Batch): void {
  const p = s._platform;
  if (b._gone || s._stopped) return;
  b._final = true;
  // Killed, offline or broken while it was being prepared.
  if (!isClear(s) || (s._breaker && s._probe !== b)) {
    b._busy = false;
    s._more?._stops(s, b);
    return pump(s);
  }
  const _url = batchUrl(s, b);
  b._attempts++;
  s._lastSend = p._mono();
  const done = (reply: Reply) => {
    b._abort = undefined;
    cancel();
    if (b._gone || s._stopped) return;
    b._busy = false;
    receive(s, b, reply);
    pump(s);
  };
  const request = p._http({ _url, _body: b._body, _gzip: b._gzip, _keepalive: b._keepalive }, done);
  const cancel = p._timer(s._now.requestTimeoutMs, () => {
    request();
    done({ _status: 0 });
  });
  b._abort = () => {
    cancel();
    request();
  };
  if (!PAGE) p._point?.("sent");
}

/** What a reply, or the lack of one, does. */
function receive(s: State, b: Batch, reply: Reply): void {
  const { _platform: p, _lanes: lanes, _more: more } = s;
  const now = p._mono();
  const k = lanes[b._class];
  const n = b._events.length;
  const v = classify(reply, b._id, n, p._wall(), more?._date);
  const act = v._act;
  if (reply._status) s._heard = true;
  if (!PAGE && act !== Act.Retry) p._point?.("reply");
  for (const ev of b._events)
    ev._sent = Math.max(ev._sent, v._answered ? Sent.Answered : Sent.Unanswered);
  if (v._speaks) {
    // Of 0 ms nothing is drawn (R84).
    for (const [c, ms] of v._limits)
      if (ms) lanes[c]._pausedUntil = Math.max(lanes[c]._pausedUntil, now + pauseMs(ms, p._unit()));
    more?._heard(s, v);
  }
  if (act === Act.Retry) {
    k._failures++;
    if (more) return more._failed(s, b, v);
    const { retryBaseMs, retryCapMs } = s._now;
    k._delayUntil = now + delayMs(v._serverMs, k._failures - 1, retryBaseMs, retryCapMs, p._unit());
    return;
  }
  k._failures = k._delayUntil = 0;
  if (act === Act.Split && n > 1) {
    if (more) more._split(s, b);
    else {
      // Half as many at a time, sealed anew.
      s._now.batchEventsMax = n >> 1;
      unshift(k, b._events);
    }
    endBatch(s, b);
  } else
    endBatch(
      s,
      b,
      act === Act.Settled ? null : act === Act.Split ? Reason.Rejected413 : Reason.Rejected4xx,
    );
  if (act === Act.Settled) {
    s._filtered += v._filtered;
    s._rejected += v._rejected;
    b._epoch._told = b._tells;
  }
  if (act === Act.DropAndPause)
    s._pausedUntil = Math.max(s._pausedUntil, now + pauseMs(300_000, p._unit()));
  more?._answered(s, b, v);
}
