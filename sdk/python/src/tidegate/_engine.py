"""The state of one client and what drives it.

`track`, `stats`, `flush`, `close` and the opt-out come from any thread and hold `lock` briefly, never
across I/O or a function of the host. `pump` does everything else: on one thread of its own, or, under
virtual time, on the thread of the tests. It looks for one thing to do, does it, and looks again.
"""

from __future__ import annotations

import math
import threading
import uuid
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Optional, Sequence, Tuple
from urllib.parse import quote

from ._batch import Batch, halves
from ._bucket import Bucket
from ._center import Center
from ._gate import NEVER, OPEN, Gate
from ._intake import event_of
from ._keeper import CHORES, Keeper
from ._ledger import Epoch
from ._lines import Draft, header_line
from ._notices import Hooks, Notices
from ._options import Options
from ._platform import Platform, Request, Response, log
from ._queue import Event, Queue
from ._recovery import Recovered
from ._reply import DROP_AND_PAUSE, RETRY, SETTLED, SPLIT, Reply, classify
from ._serialise import INTEGER_MAX
from ._store import Store
from ._uuid import uuid7
from ._version import SDK
from ._waiters import Waiter

_REPORT_EVERY_MS = 300_000
_REPORT_CLASS = 1
_CLASSES = (0, 1, 2)


class Engine:
    """One client."""

    def __init__(self, options: Options, platform: Platform, hooks: Hooks, profile: str) -> None:
        self.options = options
        self.platform = platform
        self.lock = threading.RLock()
        self.notices = Notices(hooks)
        self.center = Center(profile, options.local)
        self._inbox: Deque[Callable[[], None]] = deque()
        self.ended = False
        self._closing: Optional[Waiter] = None
        self._fin_at: Optional[Epoch] = None
        """The epoch whose last report a close waits for."""
        self._fin_tried = False
        wanted = options.store_dir is not None
        store = None
        if options.store_dir is not None:
            store = Store.open(options.store_dir, platform.disk, platform.point)
        self.keeper = Keeper(self, store, wanted)
        self.opted_out = options.opted_out
        self.instance = options.instance or ""
        self._restore(store)
        self._recover = store is not None
        self._begin()
        for note in options.notes:
            log.warning("%s", note)

    def _restore(self, store: Optional[Store]) -> None:
        """The small files of the store, read at once: an opt-out must hold from the first call."""
        if store is not None:
            said = store.opted_out()
            self.opted_out = self.opted_out if said is None else said
            kept = store.config()
            if kept is not None:
                self.center.restore(kept, self.now(), self.platform.wall_ms())
            if not self.instance:
                self.instance = store.instance() or ""
        if not self.instance:
            made = self.instance = str(uuid.uuid4())
            if store is not None:
                keep = store.keep_instance
                self.keeper.soon(lambda: keep(made))

    def _begin(self) -> None:
        """An empty queue and a new epoch (R106)."""
        self.epoch = Epoch(self.new_id(self.platform.wall_ms()))
        self._older: List[Epoch] = []
        self.queue = Queue()
        self.sealed: List[List[Batch]] = [[], [], []]
        self.gate = Gate(self.platform.unit)
        conf = self.center.conf
        self._bucket = Bucket(conf.rate_per_s, conf.rate_burst, self.now())
        self._order = 0
        self._flushed = 0
        """Events up to this admission are due, whatever their age (R130)."""
        self._waiters: List[Waiter] = []
        self._last_send = self.now()
        self._report_armed = False
        """Whether the pump knows that there is something to report."""
        self.filtered = 0
        self.rejected = 0

    def now(self) -> int:
        """The monotonic clock."""
        return self.platform.mono_ms()

    def new_id(self, wall_ms: int) -> str:
        """A UUIDv7."""
        return uuid7(wall_ms, self.platform.u64(), self.platform.u64())

    def epochs(self) -> List[Epoch]:
        """All that are open here."""
        return [self.epoch, *self._older]

    def queued(self) -> List[Event]:
        """Everything that waits to be sealed."""
        return [event for class_ in _CLASSES for event in self.queue.each(class_)]

    # From `track`, on any thread

    def turned_away(self) -> Optional[str]:
        """The gates that concern the client (R51-R53)."""
        if self._closing is not None or self.ended:
            return "closed"
        if self.opted_out:
            return "no_consent"
        return "killed" if self.center.killed_ms(self.now()) else None

    def refuse(self, reason: str, class_: int, silent: bool = False) -> None:
        """A `pre` drop."""
        with self.lock:
            now = self.now()
            self.epoch.ledger.refuse(reason, class_)
            if not silent:
                self.notices.add(reason, class_, 1, now)
            calls = not self.opted_out and self.keeper.counted(now)
            calls |= not self._report_armed
        if calls:
            self.platform.wake()
        self.notices.tell()

    def take_token(self, class_: int) -> bool:
        """R57."""
        with self.lock:
            return self._bucket.passes(class_, self.now())

    def admit(self, made: Draft, ts: int, born: int, class_: int) -> None:
        """R61, R63: the only place where an event enters the queue."""
        with self.lock:
            size = made.size(self.epoch.seq + 1)
            reason = self.turned_away()
            conf = self.center.conf
            if reason is None and size > self.options.event_bytes_max:
                reason = "too_large"
            evicted: Optional[List[Event]] = []
            if reason is None:
                evicted = self.queue.room_for(
                    class_, size + 1, conf.queue_bytes_max, conf.queue_floor_bytes
                )
                reason = "refused_full" if evicted is None else None
            if reason is None:
                calls = self._enter(made, ts, born, class_, evicted or [])
        if reason is not None:
            return self.refuse(reason, class_)
        if calls:
            self.platform.wake()
        if evicted:
            self.notices.tell()
        return None

    def _enter(
        self, made: Draft, ts: int, born: int, class_: int, evicted: Sequence[Event]
    ) -> bool:
        """Queues an event; answers whether the pump should look."""
        now = self.now()
        self._leave(evicted, "queue_full")
        self._order += 1
        event = event_of(self, made, ts, born, class_, self._order)
        self.queue.add(event)
        self.epoch.ledger.admitted += 1
        calls = self.keeper.admitted(event, now)
        conf, bytes_ = self.center.conf, self.queue.bytes[class_]
        count = self.queue.count(class_)
        calls |= count == 1 or count == conf.batch_events_max
        return calls or bytes_ - event.size < conf.batch_bytes_max <= bytes_

    def _leave(self, events: Sequence[Event], reason: str) -> None:
        """Queued events leave (R104)."""
        if not events:
            return
        now = self.now()
        self._drop(events, _always(reason))
        self.keeper.left(events, now)

    def _drop(self, events: Sequence[Event], why: Callable[[Event], str]) -> None:
        """Counts what leaves by any way but `acked`; R104 goes before every other reason."""
        now = self.now()
        told: Dict[Tuple[str, int], int] = {}
        for event in events:
            event.held = ""
            reason = "unconfirmed" if event.unanswered else why(event)
            event.epoch.ledger.drop(reason, event.class_)
            told[reason, event.class_] = told.get((reason, event.class_), 0) + 1
        for (reason, class_), count in told.items():
            self.notices.add(reason, class_, count, now)

    # The pump

    def start(self) -> None:
        """Begins to drive (R31)."""
        self.platform.start(self)

    def post(self, job: Callable[[], None]) -> None:
        """Something for the pump."""
        self._inbox.append(job)
        self.platform.wake()

    def pump(self) -> None:
        """Everything that is due. One thread at a time."""
        while not self.ended and self._step():
            self.notices.tell()
        self.notices.tell()

    def _step(self) -> bool:
        """One thing, if there is one."""
        if self._inbox:
            self._inbox.popleft()()
            return True
        if self._recover:
            self._recover = False
            if not self.opted_out:
                self.keeper.recover()
            return True
        now = self.now()
        at = self.keeper.at()
        if at == CHORES:
            self.keeper.chores()
            return True
        with self.lock:
            late = next((batch for batch in self._in_flight() if batch.deadline <= now), None)
        if late is not None:
            self._give_up(late)
            return True
        if self._config_step(now):
            return True
        if at is not None and at <= now:
            self.keeper.flush()
            return True
        with self.lock:
            ended = self._waiters_step(now)
        if ended:
            return True
        return self._closing_step(now) or self._send_step(now)

    def wake_at(self) -> Optional[int]:
        """The next time at which something is due by itself."""
        with self.lock:
            if self.ended:
                return None
            now = self.now()
            times: List[float] = [waiter.deadline for waiter in self._waiters]
            if self._closing is not None:
                times.append(self._closing.deadline)
            at = self.keeper.at()
            if at is not None:
                times.append(at)
            times.extend(batch.deadline for batch in self._in_flight())
            if self.center.fetching is not None:
                times.append(self.center.fetch_until)
            fetch = self.center.fetch_at()
            if fetch is not None and not self.opted_out and self._closing is None:
                times.append(fetch)
            self._report_armed = self.epoch.news
            times.append(self._send_at(now))
            ends = self.center.pressure_ends(now)
            if ends is not None and (self.queue.count(1) or self.queue.count(2)):
                times.append(ends)
            least = min(times, default=NEVER)
            return None if math.isinf(least) else max(int(least), now)

    # Configuration (R120-R126)

    def _config_step(self, now: int) -> bool:
        center = self.center
        if center.fetching is not None and center.fetch_until <= now:
            center.fetching.abort()
            center.fetched(Response(), now, self.platform.wall_ms())
            return True
        with self.lock:
            if center.purges(now) and self._purge():
                return True
            fetch = center.fetch_at()
            if fetch is None or fetch > now or self.opted_out or self._closing is not None:
                return False
            request = self._request("GET", "/v1/config", [], None)
            if center.etag is not None:
                request.headers = {**request.headers, "If-None-Match": center.etag}
            until = now + self.options.request_timeout_ms
            handle = self.platform.http(
                request, lambda response: self.post(lambda: self._fetched(handle, response))
            )
            center.began(handle, now, until)
        return True

    def _fetched(self, handle: Any, response: Response) -> None:
        """An answer of the configuration centre."""
        with self.lock:
            center, now = self.center, self.now()
            if center.fetching is not handle:
                return
            kept = center.fetched(response, now, self.platform.wall_ms())
            if kept is None:
                return
            store = self.keeper.store
            if store is not None:
                keep = store.keep_config
                self.keeper.soon(lambda: keep(kept))
            conf = center.conf
            self._bucket.change(conf.rate_per_s, conf.rate_burst, now)
            gone = self.queue.shrink(conf.queue_bytes_max, conf.queue_floor_bytes)  # R73
            self._leave(gone, "queue_full")

    def _purge(self) -> bool:
        """Everything that is held leaves, what is in flight later (R126)."""
        events = self.queue.clear()
        self._leave(events, "purged_kill")
        batches = [batch for batch in self._waiting() if batch.events]
        for batch in batches:
            self._remove(batch)
            self._drop(batch.events, _always("purged_kill"))
            self._later(batch)
        return bool(events or batches)

    def _later(self, batch: Batch) -> None:
        """The store hears of the end of a batch."""
        self._inbox.append(lambda: self.keeper.end(batch))

    # Sending (R76-R89)

    def _in_flight(self) -> List[Batch]:
        return [batch for batches in self.sealed for batch in batches if batch.handle is not None]

    def _waiting(self) -> List[Batch]:
        return [batch for batches in self.sealed for batch in batches if batch.handle is None]

    def _class_busy(self, class_: int) -> bool:
        return any(batch.handle is not None for batch in self.sealed[class_])

    def _due_at(self, class_: int, now: int) -> float:
        """When a class has something to send (R76), whatever holds it back."""
        if self._class_busy(class_):
            return NEVER
        if self.sealed[class_]:
            return now
        due = self._events_at(class_, now)
        return min(due, self._report_at(now)) if class_ == _REPORT_CLASS else due

    def _events_at(self, class_: int, now: int) -> float:
        """When the queued events of a class are due."""
        first = self.queue.first(class_)
        if first is None:
            return NEVER
        conf = self.center.conf
        if (
            first.born is None
            or first.order <= self._flushed
            or self.queue.count(class_) >= conf.batch_events_max
            or self.queue.bytes[class_] >= conf.batch_bytes_max
        ):
            return now
        return first.born + self.center.batch_ms(class_, now)

    def _report_at(self, now: int) -> float:
        """When a report goes alone (R107)."""
        if self._fin_at is not None or any(not epoch.stuck for epoch in self._empty_older()):
            return now
        if self.epoch.news:
            return self._last_send + _REPORT_EVERY_MS
        return NEVER

    def _empty_older(self) -> List[Epoch]:
        return [epoch for epoch in self._older if not epoch.ledger.held]

    def _client_at(self, now: int) -> float:
        """When anything may be sent at all."""
        if self.opted_out:
            return NEVER
        return max(self.gate.client_at(now), self.center.killed_until)

    def _send_at(self, now: int) -> float:
        client = self._client_at(now)
        if client == NEVER:
            return NEVER
        times = [max(self._due_at(class_, now), self.gate.class_at(class_)) for class_ in _CLASSES]
        return max(client, min(times))

    def _send_step(self, now: int) -> bool:
        """Chooses what to send next, seals it if need be, and sends it."""
        with self.lock:
            if self._client_at(now) > now:
                return False
            ready = [
                class_
                for class_ in _CLASSES
                if max(self._due_at(class_, now), self.gate.class_at(class_)) <= now
            ]
            if not ready:
                return False
            for class_ in ready:
                if self._expire(class_, now):
                    return True  # and look again
            batch = self._probe(ready) if self.gate.state == OPEN else None
            if batch is None:
                waiting = self.sealed[ready[0]]
                batch = waiting[0] if waiting else self._seal(ready[0], now)
            batch.handle = _Preparing()
            batch.deadline = now + self.options.request_timeout_ms
            self.gate.sent(batch.id, now)
            self._last_send = now
            if batch.body is None:
                self._head(batch)
        self._send(batch)
        return True

    def _probe(self, ready: Sequence[int]) -> Optional[Batch]:
        """Of the waiting batches the one with the fewest attempts, then the lowest class (R86)."""
        waiting = [batch for class_ in ready for batch in self.sealed[class_]]
        return min(waiting, key=lambda batch: batch.attempts, default=None)

    def _seal(self, class_: int, now: int) -> Batch:
        """Takes the oldest events of one epoch (R78), or makes a report alone (R107)."""
        conf, first = self.center.conf, self.queue.first(class_)
        wall = self.platform.wall_ms()
        if first is None or self._events_at(class_, now) > now:
            older = [epoch for epoch in self._empty_older() if not epoch.stuck]
            epoch = older[0] if older and self._fin_at is None else self.epoch
            batch = Batch(self.new_id(wall), _REPORT_CLASS, epoch, [])
            batch.fin = epoch is not self.epoch or self._fin_at is not None
            self.sealed[_REPORT_CLASS].append(batch)
            return batch
        batch = Batch(self.new_id(wall), class_, first.epoch, [])
        room = len(self._header(batch, first.epoch.ledger.dump())) + 64  # and for larger numbers
        count = self.queue.batch_count(
            class_, now, room, conf.batch_events_max, conf.batch_bytes_max
        )
        batch.events = self.queue.take(class_, count)
        for event in batch.events:
            event.held = "sealed"
        self.queue.sealed_bytes += batch.size
        batch.lines = [event.aged_line(now) for event in batch.events]
        batch.sealed_ms = now
        batch.recovered = first.epoch.recovered
        batch.unanswered = any(event.unanswered for event in batch.events)
        self.sealed[class_].append(batch)
        return batch

    def _head(self, batch: Batch) -> None:
        """Header and report, as things are at this moment (R100)."""
        batch.report = batch.epoch.report(batch.fin)
        batch.header = self._header(batch, batch.report)
        if batch.sealed_ms is None:
            batch.sealed_ms = self.now()

    def _header(self, batch: Batch, report: Dict[str, Any]) -> bytes:
        return header_line(
            {
                "batch": batch.id,
                "sdk": SDK,
                "instance": self.instance,
                "epoch": batch.epoch.id,
                "class": batch.class_,
                "count": len(batch.events),
                "config": self.center.conf.config,
                "context": self.options.context,
                "report": report,
            }
        )

    def _send(self, batch: Batch) -> None:
        """Final bytes, the store, the request. Without the lock but for its beginning."""
        if batch.body is None:
            batch.write(self.options.gzip_bytes_min)
            if not batch.dead:
                self.keeper.seal(batch)
        elif not batch.dead:
            self.keeper.attempt(batch, True)
        with self.lock:
            if batch.dead:
                return
            request = self._request("POST", "/v1/batch", self._query(batch), batch.body)
            if batch.gzipped:
                request.headers = {**request.headers, "Content-Encoding": "gzip"}
            batch.attempts += 1
            batch.handle = self.platform.http(
                request, lambda response: self.post(lambda: self._replied(batch, handle, response))
            )
            handle = batch.handle
        self.platform.point("sent")

    def _query(self, batch: Batch) -> List[Tuple[str, str]]:
        """R1, in its order."""
        query = [("class", str(batch.class_)), ("attempt", str(batch.attempts))]
        wall = self.platform.wall_ms()
        if 0 <= wall <= INTEGER_MAX:
            query.append(("sent", str(wall)))
        if batch.sealed_ms is not None and not batch.recovered:
            query.append(("wait", str(max(self.now() - batch.sealed_ms, 0))))
        return query

    def _request(
        self, method: str, path: str, query: List[Tuple[str, str]], body: Optional[bytes]
    ) -> Request:
        """R1-R3, R27."""
        key = self.options.key
        headers = {"User-Agent": f"tidegate-{SDK}"}
        if key.startswith("sk_"):
            headers["Authorization"] = f"Bearer {key}"
        else:
            query = [("key", quote(key, safe="")), *query]
        if body is not None:
            headers["Content-Type"] = "application/x-ndjson"
        text = "&".join(f"{name}={value}" for name, value in query)
        url = self.options.endpoint + path + (f"?{text}" if text else "")
        return Request(method, url, headers, body, self.options.request_timeout_ms)

    # Replies

    def _replied(self, batch: Batch, handle: Any, response: Response) -> None:
        """A request ended. One that was given up is not listened to (R83)."""
        if batch.dead or batch.handle is not handle:
            return
        reply = classify(
            response.status,
            response.headers.get("retry-after"),
            response.body,
            batch.id,
            len(batch.events),
            self.platform.wall_ms(),
        )
        if reply.act != RETRY:
            self.platform.point("reply")
        self._judge(batch, reply)

    def _give_up(self, batch: Batch) -> None:
        """No complete reply in time (R83)."""
        handle = batch.handle
        handle.abort()
        self._judge(batch, Reply(RETRY, False))

    def _judge(self, batch: Batch, reply: Reply) -> None:
        """What a reply changes."""
        with self.lock:
            now = self.now()
            batch.handle = None
            self.center.heard(reply, now)
            self.gate.limited(reply, now)
            if not reply.answered:
                batch.unanswered = True
                for event in batch.events:
                    event.unanswered = True
            if reply.act == RETRY:
                self._retry(batch, reply, now)
            else:
                self.gate.settled(batch.id, batch.class_)
                if reply.act == DROP_AND_PAUSE:
                    self.gate.refused(now)
                self._definitive(batch, reply)
        if batch.dead:
            self._ended(batch, reply)
        else:
            self.keeper.attempt(batch, False)

    def _retry(self, batch: Batch, reply: Reply, now: int) -> None:
        conf = self.center.conf
        self.gate.failed(batch.id, batch.class_, reply, now, conf.retry_base_ms, conf.retry_cap_ms)

    def _definitive(self, batch: Batch, reply: Reply) -> None:
        """R15-R20."""
        at = self._remove(batch)
        if reply.act == SETTLED:
            batch.epoch.ledger.acked += len(batch.events)
            for event in batch.events:
                event.held = ""
            self.filtered += reply.filtered
            self.rejected += reply.rejected
            if not batch.epoch.recovered or not batch.events:
                batch.epoch.acknowledged(batch.report)
        elif reply.act == SPLIT and len(batch.events) > 1:
            self._split(batch, at)
        else:
            reason = "rejected_413" if reply.act == SPLIT else "rejected_4xx"
            self._drop(batch.events, _always(reason))

    def _split(self, batch: Batch, at: int) -> None:
        """Two halves, sealed when they are sent, before everything else of the class (R19)."""
        new: List[Batch] = []
        wall = self.platform.wall_ms()
        for events, lines in zip(halves(batch.events), halves(batch.lines)):
            half = Batch(self.new_id(wall), batch.class_, batch.epoch, events)
            # `age` stays, so `wait` still counts from the moment that `age` was measured.
            half.lines, half.sealed_ms = lines, batch.sealed_ms
            half.recovered, half.unanswered = batch.recovered, batch.unanswered
            new.append(half)
        self.queue.sealed_bytes += batch.size
        self.sealed[batch.class_][at:at] = new

    def _ended(self, batch: Batch, reply: Reply) -> None:
        """What the store hears of a definitive reply."""
        if reply.act == SPLIT and len(batch.events) > 1:
            self.keeper.split(batch)
            return
        if not batch.events:
            if batch.fin and batch.epoch is self.epoch:
                self._fin_at, self._fin_tried = None, True
            if batch.fin and reply.act == SETTLED:
                with self.lock:
                    if batch.epoch in self._older:
                        self._older.remove(batch.epoch)
                batch.epoch.closed = True
                self.keeper.finish(batch.epoch)
                return
            if batch.fin:
                batch.epoch.stuck = True
        self.keeper.end(batch)

    def _remove(self, batch: Batch) -> int:
        """A batch leaves; answers where it stood."""
        batches = self.sealed[batch.class_]
        at = batches.index(batch)
        del batches[at]
        batch.dead = True
        self.queue.sealed_bytes -= batch.size
        self.gate.forget(batch.id)
        return at

    # Age (R90, R91)

    def _expire(self, class_: int, now: int) -> bool:
        """What is too old leaves; answers whether anything did."""
        wall, ttl = self.platform.wall_ms(), self.center.conf.ttl_ms
        gone = self.queue.expire(class_, now, wall, ttl)
        self._leave(gone, "expired")
        old = [
            batch
            for batch in self.sealed[class_]
            if batch.handle is None
            and batch.events
            and all(event.age(now, wall) >= ttl for event in batch.events)
        ]
        for batch in old:
            self._remove(batch)
            reason = "retry_exhausted" if batch.attempts else "expired"
            self._drop(batch.events, _always(reason))
            self._later(batch)
        return bool(gone or old)

    def _expire_all(self) -> None:
        now = self.now()
        for class_ in _CLASSES:
            self._expire(class_, now)

    # Flush, close, exit (R130-R132)

    def begin_flush(self, timeout_ms: int) -> Waiter:
        """Everything queued is due; the waiter tells when it has left."""
        with self.lock:
            now = self.now()
            self._expire_all()
            self._flushed = self._order
            waiter = Waiter(self._order, now, now + timeout_ms)
            if self._covered(waiter):
                if self._stuck() or self.ended:
                    waiter.end(False, now)
                else:
                    self._waiters.append(waiter)
            else:
                waiter.end(True, now)
        self.platform.wake()
        self.notices.tell()
        return waiter

    def begin_close(self, timeout_ms: int) -> Waiter:
        """Refuses new events, sends what is held and the last report (R131)."""
        with self.lock:
            now = self.now()
            if self._closing is None:
                self._expire_all()
                self._flushed = self._order
                self._closing = Waiter(self._order, now, now + timeout_ms)
                if self.ended:
                    self._closing.end(True, now)
            waiter = self._closing
        self.platform.wake()
        self.notices.tell()
        return waiter

    def _stuck(self) -> bool:
        """Nothing that is held can leave now."""
        return self.opted_out or self.center.killed_ms(self.now()) > 0

    def _covered(self, waiter: Waiter) -> bool:
        """Whether anything that a flush covers is still held."""
        for class_ in _CLASSES:
            first = self.queue.first(class_)
            if first is not None and first.order <= waiter.covers:
                return True
            for batch in self.sealed[class_]:
                if any(event.order <= waiter.covers for event in batch.events):
                    return True
        return False

    def _waiters_step(self, now: int) -> bool:
        """Ends the flushes that are over."""
        over = []
        for waiter in self._waiters:
            if not self._covered(waiter):
                waiter.end(True, now)
            elif now >= waiter.deadline or self._stuck() or self.ended:
                waiter.end(False, now)
            if waiter.done:
                over.append(waiter)
        for waiter in over:
            self._waiters.remove(waiter)
        return bool(over)

    def _held(self) -> int:
        return sum(epoch.ledger.held for epoch in self.epochs())

    def _closing_step(self, now: int) -> bool:
        """Where a close stands."""
        closing = self._closing
        if closing is None or closing.done:
            return False
        with self.lock:
            if not self._held() and not self._fin_tried and not self._stuck():
                if self._fin_at is None and self.epoch.ledger.tracked:
                    self._fin_at = self.epoch
                    return True
            waits = self._fin_at is not None or self._held() > 0
            waits |= any(not epoch.stuck for epoch in self._empty_older())
            if waits and now < closing.deadline and not self._stuck():
                return False
        self._finish(closing)
        return True

    def _finish(self, closing: Waiter) -> None:
        """The end: requests are aborted, what is held stays in the store or is counted."""
        with self.lock:
            for batch in self._in_flight():
                batch.handle.abort()
                batch.handle = None
                batch.unanswered = True
                for event in batch.events:
                    event.unanswered = True
            if self.center.fetching is not None:
                self.center.fetching.abort()
                self.center.fetching = None
        self.keeper.flush(last=True)
        with self.lock:
            held: List[Tuple[Event, Optional[Batch]]] = [(event, None) for event in self.queued()]
            for batch in self._waiting():
                held.extend((event, batch) for event in batch.events)
            lost = {event: self.keeper.loss(event, batch) for event, batch in held}
            events = [event for event, reason in lost.items() if reason is not None]
            self._drop(events, lambda event: lost[event] or "")
            if not self._held():
                self.queue, self.sealed = Queue(), [[], [], []]
            result = not events and not self._held()
            self._inbox.clear()
        self.keeper.chores()
        self.keeper.release(self.epochs())
        with self.lock:
            self.ended = True
            now = self.now()
            for waiter in self._waiters:
                waiter.end(not self._covered(waiter), now)
            self._waiters = []
        self.platform.stop()
        self.notices.tell()
        closing.end(result, now)

    def abandon(self) -> None:
        """The host let go of the client (R134): what is in the store stays, nothing waits."""
        if not self.ended:
            self.begin_close(0)

    # Opt-out and opt-in (R135, R136)

    def opt_out(self) -> threading.Event:
        """In memory at once; the store follows on the pumping thread, which sets the answer."""
        erased = threading.Event()
        with self.lock:
            if self.opted_out:
                erased.set()
                return erased
            now = self.now()
            told: Dict[int, int] = {}
            for event in self.queued():
                told[event.class_] = told.get(event.class_, 0) + 1
            for batches in self.sealed:
                for batch in batches:
                    batch.dead = True
                    told[batch.class_] = told.get(batch.class_, 0) + len(batch.events)
                    if batch.handle is not None:
                        batch.handle.abort()
            if self.center.fetching is not None:
                self.center.fetching.abort()
                self.center.fetching = None
            self.opted_out = True
            self.keeper.erase(self.epochs())
            self._new_epoch()
            self._keep_consent()
            self.keeper.soon(erased.set)
            if self.keeper.store is None or self.ended:
                erased.set()
            for class_, count in sorted(told.items()):
                if count:
                    self.notices.add("no_consent", class_, count, now)
        self.platform.wake()
        self.notices.tell()
        return erased

    def opt_in(self) -> None:
        """One more epoch."""
        with self.lock:
            if not self.opted_out:
                return
            self.opted_out = False
            self.keeper.erase(self.epochs())
            self._new_epoch()
            if self.center.conf.config is None:
                self.center.want(0)
            self._keep_consent()
        self.platform.wake()

    def _keep_consent(self) -> None:
        store, out = self.keeper.store, self.opted_out
        if store is not None:
            keep = store.keep_opted_out
            self.keeper.soon(lambda: keep(out))

    def _new_epoch(self) -> None:
        """An empty queue and a zero ledger; breaker, delays and flushes stay."""
        for batches in self.sealed:
            for batch in batches:
                batch.dead = True
                self.gate.forget(batch.id)
        self.epoch = Epoch(self.new_id(self.platform.wall_ms()))
        self._older = []
        self.queue = Queue()
        self.sealed = [[], [], []]
        self._fin_at = None

    # Store

    def adopt(self, found: Recovered) -> None:
        """A queue that was taken over (R72, R114)."""
        with self.lock:
            if self.opted_out or self.ended:
                if found.epoch.journal is not None:
                    found.epoch.journal.release()
                return
            self._older.append(found.epoch)
            for event, _ in found.events:
                self.queue.add(event)
            for batch, _ in found.batches:
                self.sealed[batch.class_].append(batch)
                self.queue.sealed_bytes += batch.size
            conf = self.center.conf
            gone = self.queue.shrink(conf.queue_bytes_max, conf.queue_floor_bytes)
            self._leave(gone, "queue_full")

    def claim_lost(self, epoch: Epoch) -> None:
        """Somebody else holds the queue and counts it (R113)."""
        log.warning("the claim on the queue was lost; a new epoch begins")
        with self.lock:
            for batch in self._in_flight():
                batch.handle.abort()
            for other in self.epochs():
                if other.journal is not None:
                    other.journal.release()
                    other.journal = None
            self._new_epoch()
            self.keeper.forget()

    # Fork (R133)

    def forked(self) -> None:
        """In the child: nothing of the parent is left but options, configuration and consent."""
        self.lock = threading.RLock()
        self.platform.reset()
        self._inbox = deque()
        for epoch in self.epochs():
            if epoch.journal is not None:
                epoch.journal.release()
        self.keeper.forget()
        hooks = self.notices.hooks
        self.notices = Notices(hooks or Hooks(None, None))
        self._recover = False
        self._begin()
        self._fin_at = None
        self.center.fetching = None
        if self.center.conf.config is None:
            self.center.last_fetch = None
            self.center.want(0)
        if self._closing is not None:
            self.ended = True
            self._closing.end(True, self.now())

    # What the host may know (R105)

    def stats(self) -> Dict[str, Any]:
        """One consistent view."""
        with self.lock:
            if not self.ended:
                self._expire_all()
            now = self.now()
            view = {
                **self.epoch.view(),
                "queued": [self.queue.count(class_) for class_ in _CLASSES],
                "sealed": sum(len(b.events) for batches in self.sealed for b in batches),
                "in_flight": len(self._in_flight()),
                "queue_bytes": self.queue.used,
                "store_bytes": self.keeper.bytes(self.epochs()),
                "filtered": self.filtered,
                "rejected": self.rejected,
                "breaker": self.gate.state,
                "pressure": self.center.pressure(now),
                "config": self.center.conf.config,
                "killed_ms": self.center.killed_ms(now),
                "opted_out": self.opted_out,
                "older": [epoch.view() for epoch in self._older],
            }
            if self._inbox:
                self.platform.wake()
        self.notices.tell()
        return view


def _always(reason: str) -> Callable[[Event], str]:
    return lambda event: reason


class _Preparing:
    """Stands for the request of a batch that is being written."""

    def abort(self) -> None:
        """The batch is dead by then."""
