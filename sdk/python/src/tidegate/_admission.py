"""Gates and counts of `track` that need the lock (R51-R53, R57, R61-R63)."""

from __future__ import annotations

from typing import List, Optional, Sequence

from ._intake import event_of
from ._lines import Draft
from ._queue import Event
from ._state import State

_STORE_WAIT_MS = 100
"""How long a call waits for a block of numbers (R43, R111)."""


class Admission(State):
    """Runs on the callers' threads."""

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
        if self.center.conf.rate_per_s is None:
            return True
        with self.lock:
            return self._bucket.passes(class_, self.now())

    def admit(self, made: Draft, ts: int, born: int, class_: int) -> None:
        """R61, R63: the only place where an event enters the queue."""
        with self.lock:
            self._number()
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

    def _number(self) -> None:
        """The next number is reserved in the store, unless it does not answer (R111)."""
        while self.turned_away() is None and self.keeper.short(self.epoch, asked=True):
            epoch = self.epoch
            if self.platform.inside():
                self.keeper.reserve(epoch)
                if self.epoch is epoch:
                    return
                continue
            self.platform.wake()
            if epoch.seq < epoch.reserved or epoch.late:
                return
            until = self.now() + _STORE_WAIT_MS
            while self.epoch is epoch and self.keeper.short(epoch) and epoch.seq >= epoch.reserved:
                left = until - self.now()
                if left <= 0:  # a disk that hangs does not stop the host
                    epoch.late = True
                    return
                self.answered.wait(left / 1000)

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
        calls |= count in (1, conf.batch_events_max)
        return calls or bytes_ - event.size < conf.batch_bytes_max <= bytes_
