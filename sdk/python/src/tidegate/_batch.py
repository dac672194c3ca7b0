"""Sealed batches: final bytes, split halves (R4-R6, R19, R78)."""

from __future__ import annotations

import gzip
import re
from typing import Any, Dict, List, Optional

from ._ledger import Epoch
from ._queue import Event

_GZIP_LEVEL = 6
_MAGIC = b"\x1f\x8b"


class Batch:
    """A batch from the moment when its events are taken."""

    __slots__ = (
        "attempts",
        "body",
        "class_",
        "dead",
        "deadline",
        "epoch",
        "events",
        "fin",
        "handle",
        "header",
        "id",
        "lines",
        "recovered",
        "report",
        "sealed_ms",
        "stored",
        "unanswered",
    )

    def __init__(self, id_: str, class_: int, epoch: Epoch, events: List[Event]) -> None:
        self.id = id_
        self.class_ = class_
        self.epoch = epoch
        self.events = events
        self.lines: List[bytes] = []
        """As they are sent, with `age`."""
        self.header = b""
        self.report: Dict[str, Any] = {}
        self.body: Optional[bytes] = None
        """Final once it is there (R5)."""
        self.sealed_ms: Optional[int] = None
        """Monotonic; nothing if anything in it was recovered (R1 `wait`)."""
        self.attempts = 0
        self.unanswered = False
        self.fin = False
        self.recovered = False
        self.stored = False
        self.handle: Any = None
        """The request in flight."""
        self.deadline = 0
        self.dead = False
        """Left while it was being prepared or sent."""

    @property
    def size(self) -> int:
        """What its events count in `used` (R70)."""
        return sum(event.size for event in self.events)

    @property
    def gzipped(self) -> bool:
        """Whether its body is compressed."""
        return self.body is not None and self.body[:2] == _MAGIC

    def write(self, gzip_bytes_min: int) -> bytes:
        """Makes the final bytes; slow, so never on the caller's thread (R4)."""
        plain = b"\n".join([self.header, *self.lines, b""])
        self.body = plain
        if len(plain) >= gzip_bytes_min:
            small = gzip.compress(plain, _GZIP_LEVEL, mtime=0)
            if len(small) <= len(plain):
                self.body = small
        return self.body


def halves(lines: List[Any]) -> List[List[Any]]:
    """The two parts of a batch that was too large (R19)."""
    middle = (len(lines) + 1) // 2
    return [lines[:middle], lines[middle:]]


_REPORT = re.compile(rb'"report":\{"n":(\d+),')


def plain_lines(body: bytes) -> List[bytes]:
    """The lines of a body from the store, header first. Raises on garbage."""
    plain = gzip.decompress(body) if body[:2] == _MAGIC else body
    return plain.split(b"\n")[:-1]


def report_number(header: bytes) -> int:
    """`n` of the report in a header line."""
    found = _REPORT.search(header)
    return int(found[1]) if found else 0
