"""Reading a queue whose holder is gone (R114, R115)."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from ._batch import Batch, plain_lines, report_number
from ._journal import LAYOUT, UNANSWERED, entries, read_batch
from ._ledger import Epoch
from ._lines import read_line
from ._queue import Event


class NewerLayout(Exception):
    """A later version of this library wrote it; it is left alone."""


class Recovered(NamedTuple):
    """What was found: the epoch, its events and batches with the segments that keep them."""

    epoch: Epoch
    events: List[Tuple[Event, int]]
    batches: List[Tuple[Batch, int]]
    files: List[Tuple[int, str, int]]
    lost: int
    """Admitted events of which nothing was found, newly counted as `store_error`."""


class _Replay:
    def __init__(self, epoch: Epoch) -> None:
        self.epoch = epoch
        self.highest = 0
        self.events: Dict[int, Tuple[Event, int]] = {}
        self.batches: Dict[str, Tuple[Batch, int, bool]] = {}

    def apply(self, kind: bytes, payload: bytes, segment: int) -> None:
        """One entry."""
        if kind == b"E":
            flag = payload[0] & UNANSWERED
            self._event(payload[0] & ~UNANSWERED, payload[1:], segment, flag != 0)
        elif kind == b"S":
            self._sealed(payload, segment)
        else:
            thing: Dict[str, Any] = json.loads(payload)
            if kind == b"A":
                self._attempt(thing)
            elif kind == b"T":
                self.batches.pop(thing["batch"], None)
                self._load(thing["ledger"])
            elif kind == b"X":
                for seq in thing["seqs"]:
                    self.events.pop(seq, None)
                    self.highest = max(self.highest, seq)
                self._load(thing["ledger"])
            elif kind == b"R":
                self.epoch.reserved = max(self.epoch.reserved, thing["reserved"])
            elif kind == b"L":
                self._load(thing)
            elif kind == b"V" and thing["layout"] > LAYOUT:
                raise NewerLayout

    def _event(self, class_: int, line: bytes, segment: int, unanswered: bool) -> None:
        parts = read_line(line)
        if parts is None or class_ > 2:
            return
        event = Event(self.epoch, class_, parts.seq, parts.ts, parts.line, parts.cut, None, 0)
        event.stored, event.unanswered = True, unanswered
        self.events[parts.seq] = (event, segment)
        self.highest = max(self.highest, parts.seq)

    def _sealed(self, payload: bytes, segment: int) -> None:
        meta, body = read_batch(payload)
        self.epoch.ledger.n = max(self.epoch.ledger.n, meta["n"])
        if not meta["seqs"]:
            return
        self.highest = max(self.highest, *meta["seqs"])
        seqs = set(meta["seqs"])
        for other in list(self.batches.values()):
            if seqs & {event.seq for event in other[0].events} and other[0].id != meta["batch"]:
                self._dissolve(other, seqs)
        lines = plain_lines(body)
        batch = Batch(meta["batch"], meta["class"], self.epoch, [])
        for line in lines[1:]:
            parts = read_line(line)
            if parts is not None:
                event = Event(
                    self.epoch, batch.class_, parts.seq, parts.ts, parts.line, parts.cut, None, 0
                )
                event.stored, event.held = True, "sealed"
                batch.events.append(event)
                self.events.pop(parts.seq, None)
        batch.body, batch.lines, batch.header = body, lines[1:], lines[0]
        batch.report = {"n": report_number(lines[0])}
        batch.recovered = batch.stored = True
        batch.attempts, batch.unanswered = meta["attempts"], meta["unanswered"]
        self.batches[batch.id] = (batch, segment, meta["open"])

    def _dissolve(self, other: Tuple[Batch, int, bool], taken: set[int]) -> None:
        """A batch that was split: what is not in the new half waits again (R19)."""
        batch, segment, _ = other
        del self.batches[batch.id]
        for event, line in zip(batch.events, batch.lines):
            if event.seq not in taken:
                self._event(batch.class_, line, segment, batch.unanswered)

    def _attempt(self, thing: Dict[str, Any]) -> None:
        found = self.batches.get(thing["batch"])
        if found is not None:
            batch, segment, _ = found
            batch.attempts, batch.unanswered = thing["attempts"], thing["unanswered"]
            self.batches[batch.id] = (batch, segment, thing["open"])

    def _load(self, view: Dict[str, Any]) -> None:
        """The ledger as it was then; report numbers never fall."""
        n = self.epoch.ledger.n
        self.epoch.ledger.load(view)
        self.epoch.ledger.n = max(n, view["n"])

    def settle_sums(self) -> int:
        """Brings the ledger up to date with what is found (R114); answers how many are lost."""
        ledger = self.epoch.ledger
        ledger.admitted = max(ledger.admitted, self.highest)
        self.epoch.seq = ledger.admitted
        held = len(self.events) + sum(len(found[0].events) for found in self.batches.values())
        lost = ledger.held - held
        if lost > 0:
            ledger.drop("store_error", 1, lost)
        elif lost < 0:  # the ledger is older than what is found
            ledger.admitted -= lost
        return max(lost, 0)


def recover(folder: str) -> Optional[Recovered]:
    """Replays a queue; nothing if there is none. Raises `OSError` and `NewerLayout`."""
    files = []
    for name in sorted(os.listdir(folder)):
        if name.endswith(".seg") and name[:-4].isdigit():
            path = os.path.join(folder, name)
            files.append((int(name[:-4]), path, os.path.getsize(path)))
    if not files:
        return None
    replay = _Replay(Epoch(os.path.basename(folder), recovered=True))
    for number, path, _ in files:
        with open(path, "rb") as file:
            data = file.read()
        for kind, payload in entries(data):
            try:
                replay.apply(kind, payload, number)
            except NewerLayout:
                raise
            except Exception:  # a checked entry that makes no sense is skipped as well
                continue
    lost = replay.settle_sums()
    if not replay.epoch.ledger.tracked and not replay.epoch.reserved:
        return None
    replay.epoch.told = replay.epoch.ledger.dump()
    # The former holder may have used one report more than it could write (R116).
    replay.epoch.ledger.n += 1
    batches = []
    for batch, segment, sending in replay.batches.values():
        # It may have been sent: the next attempt is another, without an answer to this one (R114).
        if sending:
            batch.attempts += 1
            batch.unanswered = True
        for event in batch.events:
            event.unanswered = batch.unanswered
        batches.append((batch, segment))
    events = sorted(replay.events.values(), key=lambda found: found[0].seq)
    return Recovered(replay.epoch, events, batches, files, lost)
