"""Flush and close (R130, R131)."""

from __future__ import annotations

from typing import List, Optional, Tuple

from ._batch import Batch
from ._queue import Event, Queue
from ._sending import Sending
from ._state import CLASSES
from ._waiters import Waiter


class Ending(Sending):
    """Begun on any thread, ended on the pumping one."""

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
        for class_ in CLASSES:
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

    def _closing_step(self, now: int) -> bool:
        """Where a close stands."""
        closing = self._closing
        if closing is None or closing.done:
            return False
        with self.lock:
            ready = not self._held() and not self._fin_tried and not self._stuck()
            if ready and self._fin_at is None and self.epoch.ledger.tracked:
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
