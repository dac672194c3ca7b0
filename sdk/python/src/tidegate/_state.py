"""What a client knows, and how events leave it (R104, R106). Everything is guarded by `lock`."""

from __future__ import annotations

import threading
import uuid
from collections import deque
from typing import Callable, Deque, Dict, List, Optional, Sequence, Tuple

from ._batch import Batch
from ._bucket import Bucket
from ._center import Center
from ._forks import forks
from ._gate import Gate
from ._keeper import Keeper
from ._ledger import Epoch
from ._notices import Hooks, Notices
from ._options import Options
from ._platform import Platform, log
from ._queue import Event, Queue
from ._recovery import Recovered
from ._store import Store
from ._uuid import uuid7
from ._waiters import Waiter

CLASSES = (0, 1, 2)


class State:
    """One client, at rest."""

    def __init__(self, options: Options, platform: Platform, hooks: Hooks, profile: str) -> None:
        self.options = options
        self.platform = platform
        self.lock = threading.RLock()
        self.answered = threading.Condition(self.lock)
        """The store has answered to who waits for a block of numbers (R111)."""
        self.stepping = threading.RLock()
        """Held by the pump while it does one thing, files and all; taken before `lock`."""
        self.made = False
        with self.stepping:
            forks.add(self)
            self._make(hooks, profile)
            self.made = True

    def _make(self, hooks: Hooks, profile: str) -> None:
        options, platform = self.options, self.platform
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

    def forked(self) -> None:
        """In a child (R133)."""

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
        return [event for class_ in CLASSES for event in self.queue.each(class_)]

    def _in_flight(self) -> List[Batch]:
        return [batch for batches in self.sealed for batch in batches if batch.handle is not None]

    def _waiting(self) -> List[Batch]:
        return [batch for batches in self.sealed for batch in batches if batch.handle is None]

    def _held(self) -> int:
        return sum(epoch.ledger.held for epoch in self.epochs())

    def post(self, job: Callable[[], None]) -> None:
        """Something for the pump."""
        self._inbox.append(job)
        self.platform.wake()

    def _leave(self, events: Sequence[Event], reason: str) -> None:
        """Queued events leave (R104)."""
        if not events:
            return
        now = self.now()
        self._drop(events, always(reason))
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

    def _remove(self, batch: Batch) -> int:
        """A batch leaves; answers where it stood."""
        batches = self.sealed[batch.class_]
        at = batches.index(batch)
        del batches[at]
        batch.dead = True
        self.queue.sealed_bytes -= batch.size
        self.gate.forget(batch.id)
        return at

    def _later(self, batch: Batch) -> None:
        """The store hears of the end of a batch."""
        self._inbox.append(lambda: self.keeper.end(batch))

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
            self._drop(batch.events, always(reason))
            self._later(batch)
        return bool(gone or old)

    def _expire_all(self) -> None:
        now = self.now()
        for class_ in CLASSES:
            self._expire(class_, now)

    def adopt(self, found: Recovered) -> None:
        """A queue that was taken over (R72, R114)."""
        with self.lock:
            if self.opted_out or self.ended:
                if found.epoch.journal is not None:
                    found.epoch.journal.release()
                return
            self._older.append(found.epoch)
            if found.lost:
                self.notices.add("store_error", 1, found.lost, self.now())
            for event, _ in found.events:
                self.queue.add(event)
            for batch, _ in found.batches:
                self.sealed[batch.class_].append(batch)
                self.queue.sealed_bytes += batch.size
            conf = self.center.conf
            gone = self.queue.shrink(conf.queue_bytes_max, conf.queue_floor_bytes)
            self._leave(gone, "queue_full")

    def part(self) -> None:
        """The store refused a write (R116): what it has of the epoch is left to it; what is only in
        memory was never sent and goes on in an epoch of its own, under new numbers."""
        with self.lock:
            for epoch in self.epochs():
                if epoch.told is not None:
                    epoch.ledger.n = epoch.told["n"] + 1
            for batches in self.sealed:
                for batch in [one for one in batches if not one.stored and not one.attempts]:
                    if batch.epoch.told is not None:
                        self._unseal(batch)
            if self.epoch.told is None:
                return
            old, self.epoch = self.epoch, Epoch(self.new_id(self.platform.wall_ms()))
            self._older.append(old)
            if self._fin_at is old:
                self._fin_at = None
            moved = [one for one in self.queued() if one.epoch is old and not one.stored]
            for event in sorted(moved, key=lambda event: event.seq):
                self.queue.resize(event, self._move)
            self.answered.notify_all()

    def _unseal(self, batch: Batch) -> None:
        """Takes back a batch that was never sent."""
        self._remove(batch)
        batch.handle = None
        self.queue.back(batch.class_, batch.events)

    def _move(self, event: Event) -> None:
        """An event gets the next number of the current epoch, as if it had been admitted there."""
        event.epoch.ledger.admitted -= 1
        event.epoch = self.epoch
        self.epoch.ledger.admitted += 1
        self.epoch.seq += 1
        event.renumber(self.epoch.seq)

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


def always(reason: str) -> Callable[[Event], str]:
    """The same reason for every event."""
    return lambda event: reason
