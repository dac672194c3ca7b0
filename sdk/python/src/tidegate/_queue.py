"""Events, one first-in-first-out list per class (R70-R73), their ages (R90, R91)."""

from __future__ import annotations

from collections import deque
from itertools import chain, islice
from typing import Callable, Deque, Iterator, List, Optional, Sequence

from ._eviction import choose, shrink
from ._ledger import Epoch
from ._lines import age_text

_AGE_MS_MAX = 2_592_000_000


def recovered_age_ms(wall_ms: int, ts: int) -> int:
    """The age of an event from the store (R90)."""
    age = wall_ms - ts
    return age if 0 <= age <= _AGE_MS_MAX else 0


class Event:
    """An admitted event."""

    __slots__ = (
        "born",
        "class_",
        "cut",
        "epoch",
        "held",
        "line",
        "order",
        "seq",
        "stored",
        "ts",
        "unanswered",
    )

    def __init__(
        self,
        epoch: Epoch,
        class_: int,
        seq: int,
        ts: int,
        line: bytes,
        cut: int,
        born: Optional[int],
        order: int,
    ) -> None:
        self.epoch = epoch
        self.class_ = class_
        self.seq = seq
        self.ts = ts
        self.line = line
        """Without `age` and newline."""
        self.cut = cut
        """Where `age` goes."""
        self.born = born
        """Monotonic; nothing if the event was recovered from a store."""
        self.order = order
        """The number of the admission in this client, for flushes; 0 if recovered."""
        self.unanswered = False
        """R104."""
        self.stored = False
        """An entry of the store has it."""
        self.held = "queued"
        """`queued`, `sealed`, or empty once it has left."""

    @property
    def size(self) -> int:
        """R70."""
        return len(self.line) + 1

    def renumber(self, seq: int) -> None:
        """Another epoch, another number."""
        at = self.line.index(b'"seq":') + 6
        rest = self.line.index(b",", at)
        length = len(self.line)
        self.line = self.line[:at] + str(seq).encode() + self.line[rest:]
        self.seq = seq
        self.cut += len(self.line) - length

    def age(self, now: int, wall: int) -> int:
        """R90."""
        if self.born is None:
            return recovered_age_ms(wall, self.ts)
        return max(now - self.born, 0)

    def aged_line(self, now: int) -> bytes:
        """The line as it is sealed: `age` is left out of recovered events (R9)."""
        shown = b"" if self.born is None else age_text(now - self.born)
        return self.line[: self.cut] + shown + self.line[self.cut :] if shown else self.line


class Queue:
    """What waits to be sealed. Recovered events stand in front of their class (R72)."""

    def __init__(self) -> None:
        self.old: List[Deque[Event]] = [deque(), deque(), deque()]
        self.live: List[Deque[Event]] = [deque(), deque(), deque()]
        self.bytes = [0, 0, 0]
        self.sealed_bytes = 0

    @property
    def used(self) -> int:
        """R70."""
        return sum(self.bytes) + self.sealed_bytes

    def count(self, class_: int) -> int:
        """How many events of a class wait."""
        return len(self.old[class_]) + len(self.live[class_])

    def each(self, class_: int) -> Iterator[Event]:
        """A class, oldest first."""
        return chain(self.old[class_], self.live[class_])

    def first(self, class_: int) -> Optional[Event]:
        """The oldest of a class."""
        return next(self.each(class_), None)

    def add(self, event: Event) -> None:
        """Puts an event at the end of its class, recovered ones at the end of those."""
        (self.old if event.born is None else self.live)[event.class_].append(event)
        self.bytes[event.class_] += event.size

    def back(self, class_: int, events: Sequence[Event]) -> None:
        """Events stand in front of their class again."""
        for event in reversed(events):
            event.held = "queued"
            (self.old if event.born is None else self.live)[class_].appendleft(event)
            self.bytes[class_] += event.size

    def resize(self, event: Event, change: Callable[[Event], None]) -> None:
        """Changes the line of an event that waits."""
        self.bytes[event.class_] -= event.size
        change(event)
        self.bytes[event.class_] += event.size

    def room_for(
        self, class_: int, size: int, most: int, floors: Sequence[int]
    ) -> Optional[List[Event]]:
        """Evicts for a newcomer (R71): the events that left, or nothing if it is refused."""
        need = self.used + size - most
        if need <= 0:
            return []
        if size > most:
            return None
        counts = choose(self._sizes(), self.bytes, need, class_, floors)
        return None if counts is None else self._evict(counts)

    def shrink(self, most: int, floors: Sequence[int]) -> List[Event]:
        """Evicts until `most` is kept (R73)."""
        need = self.used - most
        return self._evict(shrink(self._sizes(), self.bytes, need, floors)) if need > 0 else []

    def expire(self, class_: int, now: int, wall: int, ttl_ms: int) -> List[Event]:
        """Takes what is too old (R91)."""
        gone: List[Event] = []
        if self.old[class_]:  # ages of recovered events are in no order
            kept: Deque[Event] = deque()
            for event in self.old[class_]:
                (gone if event.age(now, wall) >= ttl_ms else kept).append(event)
            self.old[class_] = kept
        live = self.live[class_]
        while live and live[0].age(now, wall) >= ttl_ms:
            gone.append(live.popleft())
        self.bytes[class_] -= sum(event.size for event in gone)
        return gone

    def take(self, class_: int, count: int) -> List[Event]:
        """The oldest `count` events leave the list."""
        taken = []
        for _ in range(count):
            source = self.old[class_] or self.live[class_]
            taken.append(source.popleft())
        self.bytes[class_] -= sum(event.size for event in taken)
        return taken

    def batch_count(
        self, class_: int, now: int, header_bytes: int, events_max: int, bytes_max: int
    ) -> int:
        """How many of the oldest events make a batch of one epoch (R6, R78)."""
        total, count, epoch = header_bytes + 1, 0, None
        for event in islice(self.each(class_), events_max):
            shown = b"" if event.born is None else age_text(now - event.born)
            total += event.size + len(shown)
            epoch = epoch or event.epoch
            if count and (total > bytes_max or event.epoch is not epoch):
                break
            count += 1
        return count

    def clear(self) -> List[Event]:
        """Everything leaves."""
        return [event for class_ in (0, 1, 2) for event in self.take(class_, self.count(class_))]

    def _sizes(self) -> List[Iterator[int]]:
        return [(event.size for event in self.each(class_)) for class_ in (0, 1, 2)]

    def _evict(self, counts: Sequence[int]) -> List[Event]:
        return [event for class_ in (2, 1, 0) for event in self.take(class_, counts[class_])]
