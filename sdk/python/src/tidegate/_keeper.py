"""When what is written to the store (R79, R110-R116). Runs on the pumping thread.

What is in memory is the truth while the client lives; the store follows. Everything that is written
takes the evictions before it along, so that ledgers in the store agree with what is found there.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

from ._batch import Batch
from ._claim import ClaimLost
from ._journal import Key, batch_entry, entry_of, event_entry
from ._ledger import Epoch, Ledger
from ._platform import log
from ._queue import Event
from ._store import Store

if TYPE_CHECKING:
    from ._state import State

_BLOCK = 256
_AHEAD = 128
_WAITING_BYTES_MAX = 65_536
_RETRY_MS = 60_000
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

CHORES = -1
"""`at` of what is to be done at once, before everything else."""

Entries = List[Tuple[Optional[Key], Optional[Union[Event, Batch]], bytes]]


class _Pending:
    """What of one epoch is not in the store yet."""

    def __init__(self) -> None:
        self.events: List[Event] = []
        self.gone: List[int] = []
        self.settled: List[str] = []
        """Batches whose end could not be written."""


class Keeper:
    """The store side of a client. Its fields are guarded by the client's lock."""

    def __init__(self, engine: State, store: Optional[Store], wanted: bool) -> None:
        self._engine = engine
        self.store = store
        self._wanted = wanted
        self._pending: Dict[Epoch, _Pending] = {}
        self._due: Optional[int] = None
        self._bytes = 0
        self._broken: Optional[str] = None if store or not wanted else "store_error"
        self._first: Optional[Epoch] = None
        """The epoch whose first event waits for its number."""
        self._retry_at = 0
        self._erase: List[Epoch] = []
        self._jobs: List[Callable[[], None]] = []
        """Small files to write."""

    # Under the lock, from any thread

    def admitted(self, event: Event, now: int) -> bool:
        """An event is queued; answers whether the pump should look at once."""
        if self.store is None:
            return False
        if self._broken is None:
            self._of(event.epoch).events.append(event)
            self._bytes += event.size
        urgent = self._bytes >= _WAITING_BYTES_MAX
        if urgent and self._broken is None:
            self._due = now
            return True
        return self._mark(now)

    def short(self, epoch: Epoch, asked: bool = False) -> bool:
        """Whether a block of numbers is to be reserved (R111): not before somebody asks for one."""
        if self.store is None or self._broken is not None or epoch.recovered:
            return False
        if epoch.reserved - epoch.seq > _AHEAD:
            return False
        if asked:
            self._first = epoch
        return epoch.seq > 0 or self._first is epoch

    def behind(self, epoch: Epoch) -> bool:
        """Whether the store has something of an epoch and cannot be told of the rest (R116)."""
        return self._broken is not None and epoch.told is not None

    def counted(self, now: int) -> bool:
        """The ledger changed (R111)."""
        return self.store is not None and self._mark(now)

    def left(self, events: Sequence[Event], now: int) -> None:
        """Queued events left for good."""
        if self.store is None:
            return
        for event in events:
            if event.stored:
                self._of(event.epoch).gone.append(event.seq)
        self._mark(now)

    def erase(self, epochs: Sequence[Epoch]) -> None:
        """Queues of the store that are to go (R135)."""
        for epoch in epochs:
            self._pending.pop(epoch, None)
            if epoch.journal is not None:
                self._erase.append(epoch)

    def soon(self, job: Callable[[], None]) -> None:
        """A small file is to be written."""
        if self.store is not None:
            self._jobs.append(job)

    @property
    def settled(self) -> bool:
        """Whether nothing is left of what `erase` and `soon` were asked for."""
        return not self._erase and not self._jobs

    def at(self) -> Optional[int]:
        """When there is something to write."""
        if self._jobs or self._erase:
            return CHORES
        if self.store is None or self._due is None:
            return None
        return self._due if self._broken is None else max(self._due, self._retry_at)

    def bytes(self, epochs: Sequence[Epoch]) -> int:
        """`stats().store_bytes`."""
        return sum(epoch.journal.size for epoch in epochs if epoch.journal is not None)

    def loss(self, event: Event, batch: Optional[Batch]) -> Optional[str]:
        """Why an event would be lost now, or nothing if the store keeps it (R116, R131)."""
        if not self._wanted:
            return "shutdown_timeout"
        if event.stored or (batch is not None and batch.stored):
            return None
        return self._broken or "store_error"

    def forget(self) -> None:
        """A forked child holds nothing of its parent (R133)."""
        self._pending, self._due, self._bytes = {}, None, 0
        self._erase, self._jobs = [], []

    def _of(self, epoch: Epoch) -> _Pending:
        return self._pending.setdefault(epoch, _Pending())

    def _mark(self, now: int) -> bool:
        if self._due is not None:
            return False
        self._due = now + self._engine.options.store_flush_ms
        return True

    # On the pumping thread, without the lock

    def chores(self) -> None:
        """Erases and small files."""
        with self._engine.lock:
            erase, self._erase = self._erase, []
            jobs, self._jobs = self._jobs, []
        for epoch in erase:
            if epoch.journal is not None:
                epoch.journal.delete()
                epoch.journal = None
        for job in jobs:
            try:
                job()
            except OSError as error:
                log.warning("the store refused a small file: %s", error)

    def flush(self, last: bool = False) -> None:
        """Writes what waits (R110); after a failure everything that is not there (R116)."""
        engine = self._engine
        with engine.lock:
            again = self._broken is not None
            self._due = None
            epochs = [
                epoch for epoch in engine.epochs() if epoch.ledger.tracked and not epoch.closed
            ]
            if again:
                if self.store is None:
                    return
                self._broken = None
                for event in engine.queued():
                    if not event.stored:
                        self._of(event.epoch).events.append(event)
            busy = [
                epoch
                for epoch in epochs
                if again or epoch is engine.epoch or epoch in self._pending
            ]
        for epoch in busy:
            if not self._write(epoch, [], (), ledger=True):
                break
        if self._broken is not None and last:
            return
        with engine.lock:
            if any(pending.events for pending in self._pending.values()):
                self._mark(engine.now())

    def seal(self, batch: Batch) -> None:
        """Before the first send (R79): its bytes, and the ledger that its report told."""
        batch.stored = self._write(
            batch.epoch,
            [
                (
                    batch.id if batch.events else None,
                    batch,
                    batch_entry(batch, True),
                )
            ],
            [event.seq for event in batch.events],
            ledger=True,
        )
        if batch.stored:
            self._engine.platform.point("sealed")

    def attempt(self, batch: Batch, sending: bool) -> None:
        """Before and after every further send: its number, and R104."""
        if not batch.stored or not batch.events:
            return
        thing = {
            "batch": batch.id,
            "attempts": batch.attempts,
            "open": sending,
            "unanswered": batch.unanswered,
        }
        self._write(batch.epoch, [(None, None, entry_of(b"A", thing))], ())

    def end(self, batch: Batch) -> None:
        """A batch is settled (R111)."""
        with self._engine.lock:
            if not batch.stored or not batch.events:
                self.left(batch.events, self._engine.now())
                return
            self._of(batch.epoch).settled.append(batch.id)
        if self._write(batch.epoch, [], ()):
            self._engine.platform.point("settled")

    def split(self, batch: Batch) -> None:
        """A batch became two that are not sealed yet: its events stand for themselves (R19)."""
        if not batch.stored:
            return
        with self._engine.lock:
            for event in batch.events:
                event.stored = True
            texts: Entries = [(event.seq, event, event_entry(event)) for event in batch.events]
            self._of(batch.epoch).settled.append(batch.id)
        if not self._write(batch.epoch, texts, ()):
            with self._engine.lock:
                for event in batch.events:
                    event.stored = False

    def finish(self, epoch: Epoch) -> None:
        """Its last report was acknowledged (R114)."""
        with self._engine.lock:
            self._pending.pop(epoch, None)
            journal, epoch.journal = epoch.journal, None
        if journal is not None:
            journal.delete()

    def release(self, epochs: Sequence[Epoch]) -> None:
        """The client ends."""
        for epoch in epochs:
            if epoch.journal is not None:
                epoch.journal.release()
                epoch.journal = None

    def _write(
        self, epoch: Epoch, more: Entries, gone: Sequence[Key], ledger: bool = False
    ) -> bool:
        """Writes what waits of an epoch, then `more`. Answers whether that worked."""
        engine = self._engine
        if self.store is None or self._broken is not None:
            return False
        with engine.lock:
            if engine.opted_out:
                return False
            pending = self._pending.pop(epoch, None) or _Pending()
            view: Dict[str, Any] = epoch.ledger.dump()
            events = [event for event in pending.events if event.held == "queued"]
            for event in events:
                event.stored = True
            self._bytes = 0
        data: Entries = [(event.seq, event, event_entry(event)) for event in events]
        dead: List[Key] = [*gone, *pending.gone, *pending.settled]
        if pending.gone:
            data.append((None, None, entry_of(b"X", {"seqs": pending.gone, "ledger": view})))
        for batch in pending.settled:
            data.append((None, None, entry_of(b"T", {"batch": batch, "ledger": view})))
        try:
            self._reserve(epoch)
            assert epoch.journal is not None
            data.extend(more)
            if ledger or events:
                engine.platform.point("snapshot")
                data.append((None, None, entry_of(b"L", view)))
            if data:
                epoch.journal.append(epoch, data, dead, crash_points=bool(events))
            if ledger or events or dead:
                epoch.told = view
            return True
        except ClaimLost:
            engine.claim_lost(epoch)
        except OSError as error:
            with engine.lock:
                for event in events:
                    event.stored = False
                again = self._of(epoch)
                again.gone[:0] = pending.gone
                again.settled[:0] = pending.settled
            self._failed(error)
        return False

    def reserve(self, epoch: Epoch) -> None:
        """A block of sequence numbers, for who waits to give one (R111)."""
        engine = self._engine
        try:
            self._reserve(epoch)
        except ClaimLost:
            engine.claim_lost(epoch)
        except OSError as error:
            self._failed(error)
        with engine.lock:
            epoch.late = False
            engine.answered.notify_all()

    def _reserve(self, epoch: Epoch) -> None:
        """Sequence numbers in blocks, before the first of a block is given (R111)."""
        if epoch.journal is None:
            assert self.store is not None
            epoch.journal = self.store.create(epoch.id, self._limit)
        seq = epoch.seq
        if epoch.recovered or epoch.reserved - seq > _AHEAD:
            return
        reserved = (seq // _BLOCK + 1) * _BLOCK
        reserved += _BLOCK if reserved - seq <= _AHEAD else 0
        thing = {"reserved": reserved, "seq": seq}
        epoch.journal.append(epoch, [(None, None, entry_of(b"R", thing))])
        epoch.reserved = reserved
        epoch.told = epoch.told or Ledger().dump()
        self._engine.platform.point("reserved")

    @property
    def _limit(self) -> int:
        return 2 * self._engine.center.conf.queue_bytes_max + 1_048_576

    def recover(self) -> None:
        """Takes over what dead clients left (R112, R114)."""
        if self.store is None:
            return
        for found in self.store.take_over(self._limit):
            self._engine.adopt(found)

    def _failed(self, error: OSError) -> None:
        """Once a minute it is tried again (R116)."""
        engine = self._engine
        with engine.lock:
            self._broken = "store_full" if error.errno in _FULL else "store_error"
            self._retry_at = engine.now() + _RETRY_MS
            self._mark(engine.now())
            for pending in self._pending.values():
                pending.events.clear()  # found again with everything that is not stored
            self._bytes = 0
        engine.part()
        log.warning("the store fails, events are kept in memory: %s", error)
