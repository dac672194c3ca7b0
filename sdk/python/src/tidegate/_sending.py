"""What is sent when, and what its reply changes (R15-R26, R76-R91)."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

from ._batch import Batch, halves
from ._configuring import Configuring
from ._gate import NEVER, OPEN
from ._ledger import Epoch
from ._lines import header_line
from ._platform import Response
from ._reply import DROP_AND_PAUSE, RETRY, SETTLED, SPLIT, Reply, classify
from ._serialise import INTEGER_MAX
from ._state import CLASSES, always
from ._version import SDK

_REPORT_EVERY_MS = 300_000
_REPORT_CLASS = 1


class Sending(Configuring):
    """Runs on the pumping thread."""

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
        behind = self.keeper.behind
        return [epoch for epoch in self._older if not epoch.ledger.held and not behind(epoch)]

    def _client_at(self, now: int) -> float:
        """When anything may be sent at all."""
        if self.opted_out:
            return NEVER
        return max(self.gate.client_at(now), self.center.killed_until)

    def _send_at(self, now: int) -> float:
        client = self._client_at(now)
        if client == NEVER:
            return NEVER
        times = [max(self._due_at(class_, now), self.gate.class_at(class_)) for class_ in CLASSES]
        return max(client, min(times))

    def _send_step(self, now: int) -> bool:
        """Chooses what to send next, seals it if need be, and sends it."""
        with self.lock:
            if self._client_at(now) > now:
                return False
            ready = [
                class_
                for class_ in CLASSES
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
        batch.report = batch.epoch.report(batch.fin, self.keeper.behind(batch.epoch))
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
            self._drop(batch.events, always(reason))

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


class _Preparing:
    """Stands for the request of a batch that is being written."""

    def abort(self) -> None:
        """The batch is dead by then."""
