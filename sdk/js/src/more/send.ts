/** One send: compression, store, request, and what its reply does (R15-R22, R79-R84). */
import type { Epoch } from "../ledger.js";
import { Reason } from "../reasons.js";
import { type Batch, Sent } from "../state.js";
import { batchUrl } from "../url.js";
import { allBatches, endBatch } from "./batches.js";
import * as breaker from "./breaker.js";
import { dateMs } from "./dates.js";
import type { Full } from "./more.js";
import { discard, keepBatch, save, withNextSave } from "./persist.js";
import { isClear, pump } from "./pump.js";
import { Act, classify, type Reply, type Verdict } from "./reply.js";
import { pauseMs } from "./retry.js";
import { split } from "./split.js";

declare const PAGE: boolean;

const PRESSURE_MS = 60_000;

/** Begins a send; it has one body from now on (R5). */
export function start(s: Full, b: Batch): void {
  b._busy = true;
  breaker.starts(s, b);
  const stored = () => {
    if (!b._gone) keepBatch(s, b, () => transmit(s, b));
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

function transmit(s: Full, b: Batch): void {
  const p = s._platform;
  if (b._gone || s._stopped) return;
  b._final = true;
  // Killed, offline or broken while it was being prepared.
  if (!isClear(s) || (s._breaker && s._probe !== b)) {
    b._busy = false;
    breaker.stops(s, b);
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
    afterReply(s, b._epoch);
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
function receive(s: Full, b: Batch, reply: Reply): void {
  const { _platform: p, _lanes: lanes } = s;
  const now = p._mono();
  const k = lanes[b._class];
  const n = b._events.length;
  const v = classify(reply, b._id, n, p._wall(), dateMs);
  const act = v._act;
  if (reply._status) s._heard = true;
  if (!PAGE && act !== Act.Retry) p._point?.("reply");
  for (const ev of b._events)
    ev._sent = Math.max(ev._sent, v._answered ? Sent.Answered : Sent.Unanswered);
  if (v._speaks) {
    // Of 0 ms nothing is drawn (R84).
    for (const [c, ms] of v._limits)
      if (ms) lanes[c]._pausedUntil = Math.max(lanes[c]._pausedUntil, now + pauseMs(ms, p._unit()));
    heard(s, v, now);
  }
  if (act === Act.Retry) {
    k._failures++;
    return breaker.failed(s, b, v);
  }
  k._failures = k._delayUntil = 0;
  if (act === Act.Split && n > 1) {
    split(s, b);
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
  breaker.answered(s);
  if (act === Act.Settled && b._fin) {
    // Closed and acknowledged: nothing of this epoch is needed any more (R114).
    discard(s, b._epoch);
    s._older = s._older.filter((other) => other !== b._epoch);
  }
  if (n && b._epoch._kept) withNextSave(s, b._epoch, () => p._point?.("settled"));
}

/** What a reply has changed is written now, or with the batch that is being prepared (R111). */
function afterReply(s: Full, e: Epoch): void {
  const isPrepared = (b: Batch) => b._epoch === e && b._busy && !b._abort && b._events.length;
  if (e._kept?._after.length && !allBatches(s).some(isPrepared)) save(s, e);
}

/** What a reply says of the gateway (R94, R121). */
function heard(s: Full, v: Verdict, now: number): void {
  s._pressure = v._pressure;
  s._pressureUntil = now + PRESSURE_MS;
  if (v._config! > (s._now.config ?? -1)) s._wanted = true;
}
