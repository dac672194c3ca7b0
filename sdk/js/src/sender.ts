/** Sealing and sending: what is due, what may be sent, what a reply does (R76-R96, R107). */

import { type Epoch, reportOf, snapshot } from "./ledger.js";
import { ageText, headerLine, utf8, withAge } from "./line.js";
import { afterSave, save } from "./persist.js";
import { Reason } from "./reasons.js";
import { fetchConfig } from "./remote.js";
import { Act, classify, type Reply } from "./reply.js";
import { delayMs, pauseMs } from "./retry.js";
import {
  allBatches,
  type Batch,
  Breaker,
  type Ev,
  endBatch,
  held,
  killedMs,
  leave,
  level,
  newId,
  queued,
  Sent,
  type State,
  shift,
  tell,
  unshift,
} from "./state.js";

const HIDDEN_PIECE = 49_152;
const KEEPALIVE = 61_440;
const REPORT_MS = 300_000;

/** The ledger as text, to see whether it changed since it was told (R107). */
const tellable = (e: Epoch): string => {
  const [tracked, admitted, acked, , , ...drops] = snapshot(e);
  return [tracked, admitted, acked, e._held, ...drops].join();
};

const NOTHING_TOLD = Array(64).fill(0).join();

/** Builds a batch of these events, with a report of this moment (R8, R100). */
function assemble(s: State, class_: number, e: Epoch, events: Ev[], mono: number, fin?: boolean) {
  const id = newId(s);
  e._n++;
  e._dirty = true;
  const text = [
    headerLine(
      id,
      s._platform._sdk,
      s._instance,
      e._id,
      class_,
      events.length,
      s._now.config,
      s._context,
      reportOf(e, fin),
    ),
    ...events.map((ev) => withAge(ev._line, ev._age)),
    "",
  ].join("\n");
  const b: Batch = {
    _id: id,
    _class: class_,
    _epoch: e,
    _events: events,
    _body: utf8(text),
    _gzip: false,
    _mono: mono,
    _attempts: 0,
    _fin: fin,
    _tells: tellable(e),
    _round: -1,
  };
  return b;
}

/** Batches of recovered epochs have no monotonic time (R1). */
const sealedAt = (s: State, e: Epoch): number => (e._recovered ? NaN : s._platform._mono());

/** The oldest events of one epoch that fit (R78); always one. Sets their age. */
function pick(s: State, from: Ev[], most: number): number {
  const now = s._platform._mono();
  const e = from[0]._epoch;
  // The header's length, with the digits of the largest count.
  let room = most - assemble(s, 0, e, [], 0)._body.length - 4;
  e._n--;
  let n = 0;
  for (const ev of from) {
    if (ev._epoch !== e || n >= s._now.batchEventsMax) break;
    // Recovered events travel without an age.
    ev._age = now - ev._mono || 0;
    room -= ev._size + ageText(ev._age).length;
    if (room < 0 && n) break;
    n++;
  }
  return n;
}

function seal(s: State, c: number, most: number): Batch {
  const k = s._lanes[c];
  const n = pick(s, k._queue.slice(k._head, k._head + s._now.batchEventsMax), most);
  const events = shift(k, n);
  const b = assemble(s, c, events[0]._epoch, events, sealedAt(s, events[0]._epoch));
  k._sealed.push(b);
  return b;
}

/** A batch of R107, which travels with class 1. */
function report(s: State, e: Epoch, fin?: boolean): void {
  if (fin) e._ended = true;
  s._lanes[1]._sealed.push(assemble(s, 1, e, [], sealedAt(s, e), fin));
}

const ageOf = (s: State, ev: Ev): number => {
  const own = s._platform._mono() - ev._mono;
  return Number.isNaN(own) ? recoveredAge(s._platform._wall(), ev._ts) : own;
};

/** The age of an event from the store; what cannot be right is 0 (R90). */
export const recoveredAge = (wall: number, ts: number): number =>
  wall - ts >= 0 && wall - ts <= 2_592_000_000 ? wall - ts : 0;

/** Events beyond their age leave (R91). */
export function expire(s: State): void {
  const old = (ev: Ev) => ageOf(s, ev) >= s._now.ttlMs;
  const how = (ev: Ev) => (ev._sent ? Reason.RetryExhausted : Reason.Expired);
  for (const k of s._lanes) {
    // Own events stand in the order of their age, recovered ones before them in any.
    const from = k._queue;
    let at = k._head;
    const stay: Ev[] = [];
    const go: Ev[] = [];
    while (at < from.length && (Number.isNaN(from[at]._mono) || old(from[at])))
      (old(from[at]) ? go : stay).push(from[at++]);
    if (go.length) {
      k._queue = stay.concat(from.slice(at));
      k._head = 0;
      for (const ev of go) {
        k._bytes -= ev._size;
        leave(s, ev, how(ev));
      }
    }
    for (const b of k._sealed)
      if (!b._busy && b._events.length && b._events.every(old)) endBatch(s, b, how);
  }
}

const batchMs = (s: State, c: number): number => s._now.batchMs * (c ? 2 ** level(s) : 1);

/** Whether a class has queued events to send (R76). */
function isDue(s: State, c: number): boolean {
  const k = s._lanes[c];
  const n = queued(k);
  if (!n) return false;
  const first = k._queue[k._head];
  return (
    n >= s._now.batchEventsMax ||
    k._bytes >= s._now.batchBytesMax ||
    // Recovered, also: it has no time of its own.
    !(s._platform._mono() - first._mono < batchMs(s, c)) ||
    s._flushes.some((f) => first._order <= f._order)
  );
}

/** Whether anything at all may be sent, apart from breaker and drain. */
const isClear = (s: State): boolean =>
  s._ready && !s._offline && !s._out && !killedMs(s) && s._platform._mono() >= s._pausedUntil;

const hasRoom = (s: State): boolean =>
  s._breaker === Breaker.Closed && (s._round < 0 || s._roundLeft > 0);

/** Runs everything that can run now, then sets the one timer. */
export function pump(s: State): void {
  if (s._pumping || s._stopped || !s._ready) return;
  s._pumping = true;
  expire(s);
  work(s);
  s._pumping = false;
  tell(s);
  s._onEnd?.();
  arm(s);
}

function work(s: State): void {
  const now = s._platform._mono();
  if (now >= s._saveAt) save(s);
  if (s._wanted && now >= s._fetchedAt + 60_000) fetchConfig(s);
  if (!isClear(s)) return;
  lastReports(s);
  if (s._breaker === Breaker.Open && now >= s._openUntil) probe(s, now);
  nextRound(s, now);
  if (s._hiddenOrder) sendHidden(s);
  for (const c of [0, 1, 2]) sendLane(s, c, now);
  // Only if nothing else has anything to send.
  if (now >= s._lastSend + REPORT_MS && isUntold(s._epoch) && !allBatches(s).length && !s._ending) {
    report(s, s._epoch);
    sendLane(s, 1, now);
  }
}

/** One batch in flight for each class (R77); the waiting one goes first (R82). */
function sendLane(s: State, c: number, now: number): void {
  const k = s._lanes[c];
  if (
    hasRoom(s) &&
    now >= k._pausedUntil &&
    now >= k._delayUntil &&
    !k._sealed.some((b) => b._busy) &&
    (k._sealed.length || isDue(s, c))
  )
    start(s, k._sealed[0] || seal(s, c, s._now.batchBytesMax));
}

/** One probe: the waiting batch with the fewest attempts, else the next that is due (R86). */
function probe(s: State, now: number): void {
  const free = s._lanes.map((_, c) => c).filter((c) => now >= s._lanes[c]._pausedUntil);
  const [waiting] = free
    .flatMap((c) => s._lanes[c]._sealed)
    .filter((b) => !b._busy)
    .sort((a, b) => a._attempts - b._attempts);
  const due = free.find((c) => isDue(s, c));
  const b = waiting || (due != null && seal(s, due, s._now.batchBytesMax));
  if (!b) return;
  s._breaker = Breaker.Probing;
  s._probe = b;
  start(s, b);
}

/** The drain's next round (R88). */
function nextRound(s: State, now: number): void {
  if (s._round < 0 || s._roundOpen || now < s._roundAt + 1000) return;
  beginRound(s, s._roundLeft > 0 || s._round >= 6 ? -1 : s._round + 1);
}

function beginRound(s: State, round: number): void {
  if (round < 0) for (const b of allBatches(s)) b._round = -1;
  s._round = round;
  s._roundLeft = 2 ** round;
  s._roundOpen = 0;
  s._roundAt = Infinity;
}

/** The last reports of recovered epochs that are over, and of this one at the end (R107, R114). */
function lastReports(s: State): void {
  for (const e of s._ending && !held(s) ? [...s._older, s._epoch] : s._older)
    if (
      !e._held &&
      !e._ended &&
      e._tracked + +!!e._recovered &&
      allBatches(s).every((b) => b._events.length)
    )
      report(s, e, true);
}

const isUntold = (e: Epoch): boolean => tellable(e) !== (e._told || NOTHING_TOLD);

/** Hidden: what was queued by then goes at once, plain, in small pieces (R140). */
function sendHidden(s: State): void {
  const now = s._platform._mono();
  s._lanes.forEach((k, c) => {
    for (;;) {
      const first = k._queue[k._head];
      const flying = keepaliveBytes(s);
      const most = Math.min(HIDDEN_PIECE, s._now.batchBytesMax, KEEPALIVE - flying);
      if (
        !first ||
        first._order > s._hiddenOrder ||
        first._size + 5000 > most ||
        now < k._pausedUntil ||
        now < k._delayUntil ||
        !hasRoom(s)
      )
        return;
      const b = seal(s, c, most);
      b._keepalive = b._final = true;
      start(s, b);
    }
  });
}

const keepaliveBytes = (s: State): number =>
  allBatches(s).reduce((n, b) => n + (b._busy && b._keepalive ? b._body.length : 0), 0);

/** Begins a send: compression, store, request. */
function start(s: State, b: Batch): void {
  const p = s._platform;
  const e = b._epoch;
  b._busy = true;
  b._round = -1;
  if (s._breaker === Breaker.Closed && s._round >= 0) {
    b._round = s._round;
    s._roundLeft--;
    s._roundOpen++;
    if (s._roundAt === Infinity) s._roundAt = p._mono();
  }
  const stored = () => {
    if (b._gone) return;
    const first = !b._attempts && b._events.length;
    if (e._queue && b._events.length) {
      if (!b._stored)
        e._puts.set(`b${b._id}`, [
          b._class,
          b._events.map((ev) => ev._seq),
          b._events.map((ev) => ev._age),
          b._gzip,
          b._body,
        ]);
      // The next attempt's number: this one may have been sent when it is found (R111).
      e._puts.set(`a${b._id}`, b._attempts + 1);
      b._stored = e._dirty = true;
    }
    const go = () => {
      if (first) p._point?.("sealed");
      transmit(s, b);
    };
    // A page that goes away cannot wait for its store.
    if (b._keepalive) {
      if (e._queue) save(s, e);
      go();
    } else if (b._events.length) afterSave(s, e, go);
    else go();
  };
  if (b._final) return stored();
  const done = (out: Uint8Array<ArrayBuffer> | null) => {
    b._final = true;
    if (out && out.length < b._body.length) {
      b._body = out;
      b._gzip = true;
    }
    stored();
  };
  if (b._body.length < s._now.gzipBytesMin) done(null);
  else p._gzip(b._body, done);
}

const encode = (text: string): string =>
  encodeURIComponent(text).replace(
    /[!'()*]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  );

/** A URL of the gateway, with the key if it is public (R1, R2). */
export const urlOf = (s: State, path: string, query = ""): string =>
  `${s._endpoint}/v1/${path}?${`${s._secret ? "" : `key=${encode(s._key)}`}${query}`.replace(/^&/, "")}`;

const batchUrl = (s: State, b: Batch): string => {
  const wall = s._platform._wall();
  const wait = s._platform._mono() - b._mono;
  return urlOf(
    s,
    "batch",
    `&class=${b._class}&attempt=${b._attempts}${
      wall >= 0 && Number.isSafeInteger(wall) ? `&sent=${wall}` : ""
    }${Number.isNaN(wait) ? "" : `&wait=${wait}`}`,
  );
};

function transmit(s: State, b: Batch): void {
  const p = s._platform;
  if (b._gone || s._stopped) return;
  // Killed, offline or broken while it was being prepared.
  if (!isClear(s) || (s._breaker !== Breaker.Closed && s._probe !== b)) {
    b._busy = false;
    if (b._round >= 0 && b._round === s._round) {
      s._roundOpen--;
      s._roundLeft++;
    }
    if (s._probe === b) {
      s._breaker = Breaker.Open;
      s._probe = undefined;
    }
    return pump(s);
  }
  const url = batchUrl(s, b);
  b._attempts++;
  s._lastSend = p._mono();
  const headers: Record<string, string> = p._page
    ? { "content-type": "text/plain" }
    : { "content-type": "application/x-ndjson", "user-agent": `tidegate-${p._sdk}` };
  if (s._secret) headers.authorization = `Bearer ${s._key}`;
  if (b._gzip && !p._page) headers["content-encoding"] = "gzip";
  const done = (reply: Reply) => {
    b._abort = undefined;
    cancel();
    if (b._gone || s._stopped) return;
    b._busy = false;
    receive(s, b, reply);
    pump(s);
  };
  const request = p._http(
    {
      _method: "POST",
      _url: url,
      _headers: headers,
      _body: b._body,
      _keepalive: b._keepalive && s._hidden,
    },
    done,
  );
  const cancel = p._timer(s._now.requestTimeoutMs, () => {
    request();
    done({ _status: 0 });
  });
  b._abort = () => {
    cancel();
    request();
  };
  p._point?.("sent");
}

/** What a reply, or the lack of one, does. */
function receive(s: State, b: Batch, reply: Reply): void {
  const p = s._platform;
  const x = s._now;
  const now = p._mono();
  const k = s._lanes[b._class];
  const v = classify(reply, b._id, b._events.length, p._wall());
  const wasProbe = s._probe === b;
  if (wasProbe) s._probe = undefined;
  if (reply._status) s._heard = true;
  if (v._act !== Act.Retry) p._point?.("reply");
  for (const ev of b._events)
    ev._sent = Math.max(ev._sent, v._answered ? Sent.Answered : Sent.Unanswered);
  if (v._speaks) {
    for (const [c, ms] of v._limits) {
      // Of 0 ms nothing is drawn (R84).
      const until = ms && now + pauseMs(ms, p._unit());
      s._lanes[c]._pausedUntil = Math.max(s._lanes[c]._pausedUntil, until);
    }
    s._pressure = v._pressure;
    s._pressureUntil = now + 60_000;
    if (v._config! > (x.config ?? -1)) s._wanted = true;
  }
  if (v._act === Act.Retry)
    return failed(
      s,
      b,
      v._serverMs,
      v._limits.some(([c]) => c === b._class),
      wasProbe,
    );
  if (b._round >= 0 && b._round === s._round) s._roundOpen--;
  k._failures = s._failures = 0;
  k._delayUntil = 0;
  if (s._breaker !== Breaker.Closed) {
    s._breaker = Breaker.Closed;
    beginRound(s, 0);
  }
  settle(s, b, v._act);
  if (v._act === Act.Settled) {
    s._filtered += v._filtered;
    s._rejected += v._rejected;
  }
  if (v._act === Act.DropAndPause)
    s._pausedUntil = Math.max(s._pausedUntil, now + pauseMs(300_000, p._unit()));
  if (b._stored) afterSave(s, b._epoch, () => p._point?.("settled"));
}

/** A definitive reply: the batch is over, or in halves (R15-R20). */
function settle(s: State, b: Batch, act: Act): void {
  const e = b._epoch;
  const n = b._events.length;
  if (act === Act.Split && n > 1) {
    const k = s._lanes[b._class];
    const middle = Math.ceil(n / 2);
    const at = k._sealed.indexOf(b);
    endBatch(s, { ...b, _events: [] }, null);
    b._gone = true;
    const halves = [b._events.slice(0, middle), b._events.slice(middle)].map((events) =>
      // The lines keep their ages, so `wait` goes on from where these were measured.
      assemble(s, b._class, e, events, b._mono),
    );
    k._sealed = k._sealed.filter((other) => other !== b);
    k._sealed.splice(at, 0, ...halves);
    return;
  }
  endBatch(
    s,
    b,
    act === Act.Settled ? null : act === Act.Split ? Reason.Rejected413 : Reason.Rejected4xx,
  );
  if (act !== Act.Settled) return;
  e._told = b._tells;
  if (!b._fin) return;
  // Closed and acknowledged: nothing of this epoch is needed any more (R114).
  if (e._queue) {
    const queue = e._queue;
    e._queue = undefined;
    e._dirty = false;
    s._platform._store!._drop(queue, () => {});
  }
  s._older = s._older.filter((other) => other !== e);
}

/** A retryable reply or a network error (R80-R88). */
function failed(s: State, b: Batch, serverMs: number, named: boolean, wasProbe: boolean): void {
  const p = s._platform;
  const now = p._mono();
  const k = s._lanes[b._class];
  k._failures++;
  let n = k._failures;
  let opens = wasProbe;
  // A failure that names its own class is a live gateway speaking (R85).
  if (wasProbe || (s._breaker === Breaker.Closed && !named)) {
    s._failures++;
    opens ||= s._failures >= 5 || s._round >= 0;
  } else if (b._round >= 0 && b._round === s._round) s._roundOpen--;
  if (opens) n = s._failures;
  let delay = delayMs(serverMs, n - 1, s._now.retryBaseMs, s._now.retryCapMs, p._unit());
  // Blocked from the beginning, by an ad blocker for example (R144).
  if (p._page && opens && !s._heard && now - s._lastSend < 1000) {
    if (s._failures === 5) p._warn("tidegate: requests are blocked");
    delay = 3_600_000;
  }
  k._delayUntil = now + delay;
  if (opens) {
    s._breaker = Breaker.Open;
    s._openUntil = now + delay;
    beginRound(s, -1);
  }
  // Killed with a purge while it was in flight (R126).
  if (s._now.purge && killedMs(s)) endBatch(s, b, Reason.PurgedKill);
}

/** The last chance of a page: what was never sent goes by beacon (R141). */
export function beacons(s: State): void {
  const p = s._platform;
  if (!p._beacon || !isClear(s)) return;
  s._lanes.forEach((k, c) => {
    if (p._mono() < k._pausedUntil) return;
    // What was sealed and not sent yet is queued again.
    for (const b of k._sealed.slice().reverse()) {
      if (b._attempts || !b._events.length) continue;
      endBatch(s, { ...b, _events: [] }, null);
      b._gone = true;
      k._sealed = k._sealed.filter((other) => other !== b);
      unshift(k, b._events);
    }
    const all = k._queue.slice(k._head).filter((ev) => !ev._sent);
    const taken = new Set<Ev>();
    const post = (events: Ev[]): void => {
      const b = assemble(s, c, events[0]._epoch, events, sealedAt(s, events[0]._epoch));
      if (p._beacon!(batchUrl(s, b), b._body)) {
        for (const ev of events) taken.add(ev);
      } else {
        b._epoch._n--;
        const middle = Math.ceil(events.length / 2);
        if (events.length > 1) {
          post(events.slice(0, middle));
          post(events.slice(middle));
        }
      }
    };
    while (all.length)
      post(all.splice(0, pick(s, all, Math.min(HIDDEN_PIECE, s._now.batchBytesMax))));
    unshift(
      k,
      shift(k, queued(k)).filter((ev) => !taken.has(ev)),
    );
    for (const ev of taken) leave(s, ev, Reason.Unconfirmed);
  });
  save(s);
}

/** The platform says whether there is a network (R89). */
export function online(s: State, is: boolean): void {
  if (is && s._offline) {
    s._breaker = Breaker.Open;
    s._probe = undefined;
    beginRound(s, -1);
    s._openUntil = s._platform._mono() + Math.floor(s._platform._unit() * s._now.retryBaseMs);
  }
  s._offline = !is;
  pump(s);
}

/** Makes sure that the timer fires at `at` or earlier. */
export function wake(s: State, at: number): void {
  if (!(at < s._timerAt) || s._stopped) return;
  s._cancel?.();
  s._timerAt = at;
  s._cancel = s._platform._timer(Math.max(0, at - s._platform._mono()), () => {
    s._cancel = undefined;
    s._timerAt = Infinity;
    pump(s);
  });
}

/** Sets the timer to the next moment at which anything could change. */
function arm(s: State): void {
  const now = s._platform._mono();
  s._cancel?.();
  s._cancel = undefined;
  s._timerAt = Infinity;
  let next = Infinity;
  const at = (t: number) => {
    if (t > now && t < next) next = t;
  };
  if (s._saveAt === Infinity && [s._epoch, ...s._older].some((e) => e._queue && e._dirty))
    s._saveAt = s._fault ? Math.max(s._retryStoreAt, now + 1) : now + s._now.storeFlushMs;
  if (!s._saving) at(s._saveAt);
  if (s._wanted) at(s._fetchedAt + 60_000);
  at(s._killedUntil);
  if (!s._offline && !s._out) {
    at(s._pausedUntil);
    if (s._breaker === Breaker.Open) at(s._openUntil);
    if (s._round >= 0) at(s._roundAt + 1000);
    if (isUntold(s._epoch)) at(s._lastSend + REPORT_MS);
    s._lanes.forEach((k, c) => {
      if (!queued(k) && !k._sealed.length) return;
      at(k._pausedUntil);
      at(k._delayUntil);
      at(s._pressureUntil);
      if (queued(k)) at(k._queue[k._head]._mono + batchMs(s, c));
    });
  }
  wake(s, next);
}
