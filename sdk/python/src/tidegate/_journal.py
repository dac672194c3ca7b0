"""One queue in the store (R110-R116): segments of checked entries, appended to, dropped when dead.

Entries are replayed in their order (`_recovery`). A segment goes only when every older one has,
so what settles an entry always outlives the entry.

E event        S sealed batch     A attempt of a batch   T settled batch
X events gone  R numbers reserved L ledger               V layout and epoch
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import struct
import zlib
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from ._batch import Batch
from ._claim import Claim
from ._ledger import Epoch, Ledger
from ._platform import Disk
from ._queue import Event

LAYOUT = 1
UNANSWERED = 0x80
_HEAD = struct.Struct("<IIc")
_META = struct.Struct("<I")
_ENTRY_BYTES_MAX = 1 << 26

Key = Union[int, str]


class StoreFull(OSError):
    """The store has its size (R116)."""


def entry(kind: bytes, payload: bytes) -> bytes:
    """A checked entry."""
    return _HEAD.pack(len(payload), zlib.crc32(kind + payload), kind) + payload


def entry_of(kind: bytes, thing: Any) -> bytes:
    """A checked entry of JSON."""
    return entry(kind, json.dumps(thing, separators=(",", ":")).encode())


def entries(data: bytes) -> Iterator[Tuple[bytes, bytes]]:
    """Kind and payload of all good entries; the rest after a torn one is cut off (R115)."""
    at = 0
    while at + _HEAD.size <= len(data):
        length, check, kind = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        if length > _ENTRY_BYTES_MAX or at + length > len(data):
            return
        payload = data[at : at + length]
        at += length
        if zlib.crc32(kind + payload) == check:
            yield kind, payload


def event_entry(event: Event) -> bytes:
    """An event that is queued."""
    flag = UNANSWERED if event.unanswered else 0
    return entry(b"E", bytes([event.class_ | flag]) + event.line)


def batch_entry(batch: Batch, sending: bool) -> bytes:
    """A sealed batch with its final bytes; a report alone has no events to keep."""
    meta = {
        "batch": batch.id,
        "class": batch.class_,
        "n": batch.report.get("n", 0),
        "seqs": [event.seq for event in batch.events],
        "attempts": batch.attempts,
        "open": sending,
        "unanswered": batch.unanswered,
    }
    text = json.dumps(meta, separators=(",", ":")).encode()
    return entry(b"S", _META.pack(len(text)) + text + (batch.body or b""))


def read_batch(payload: bytes) -> Tuple[Dict[str, Any], bytes]:
    """Meta and body of a sealed batch."""
    (length,) = _META.unpack_from(payload)
    at = _META.size + length
    meta: Dict[str, Any] = json.loads(payload[_META.size : at])
    return meta, payload[at:]


class _Segment:
    def __init__(self, number: int, path: str, size: int) -> None:
        self.number = number
        self.path = path
        self.size = size
        self.live: Dict[Key, Union[Event, Batch]] = {}


class Journal:
    """A queue that this client holds. Used by the pumping thread alone."""

    def __init__(
        self,
        folder: str,
        claim: Claim,
        disk: Disk,
        point: Callable[[str], None],
        limit: int,
    ) -> None:
        self.folder = folder
        self._claim = claim
        self._disk = disk
        self._point = point
        self._limit = limit
        self._segment_max = max(65_536, limit // 16)
        self._fd: Optional[int] = None
        self._segments: List[_Segment] = []
        self._where: Dict[Key, _Segment] = {}

    @property
    def size(self) -> int:
        """What it takes on disk."""
        return sum(segment.size for segment in self._segments)

    def adopt(self, files: Sequence[Tuple[int, str, int]]) -> None:
        """Segments of the former holder: number, path, size. They are only read, never written."""
        self._segments = [_Segment(*file) for file in files]

    def keep(self, number: int, key: Key, thing: Union[Event, Batch]) -> None:
        """Something live was found in an adopted segment."""
        for segment in self._segments:
            if segment.number == number:
                segment.live[key] = thing
                self._where[key] = segment

    def append(
        self,
        epoch: Epoch,
        data: Sequence[Tuple[Optional[Key], Optional[Union[Event, Batch]], bytes]],
        gone: Sequence[Key] = (),
        crash_points: bool = False,
    ) -> None:
        """Writes entries, each with the key of what it keeps alive; `gone` are keys that died."""
        self._claim.check()
        size = sum(len(text) for _, _, text in data)
        self._make_room(epoch, size)
        if crash_points:
            self._point("append")
        self._write(epoch, b"".join(text for _, _, text in data), crash_points)
        if crash_points:
            self._point("appended")
        for dead in gone:
            self._forget(dead)
        for key, thing, _ in data:
            if key is not None and thing is not None:
                self._keep_here(key, thing)
        self._drop_dead()

    def delete(self) -> None:
        """The queue is over (R114)."""
        self._close()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._claim.release()

    def release(self) -> None:
        """The client ends; what is here is found by the next."""
        self._close()
        self._claim.release()

    def _keep_here(self, key: Key, thing: Union[Event, Batch]) -> None:
        self._forget(key)
        segment = self._segments[-1]
        segment.live[key] = thing
        self._where[key] = segment

    def _forget(self, key: Key) -> None:
        segment = self._where.pop(key, None)
        if segment is not None:
            segment.live.pop(key, None)

    def _write(self, epoch: Epoch, data: bytes, torn: bool) -> None:
        if self._fd is None or self._segments[-1].size + len(data) > self._segment_max:
            self._next_segment(epoch)
        fd, segment = self._fd, self._segments[-1]
        assert fd is not None
        try:
            if torn and self._disk.tears:
                middle = len(data) // 2
                self._disk.write(fd, data[:middle])
                self._point("append_torn")
                self._disk.write(fd, data[middle:])
            else:
                self._disk.write(fd, data)
        except OSError:
            # What was written of it would hide what comes later.
            try:
                os.ftruncate(fd, segment.size)
            except OSError:
                self._close()
            raise
        segment.size += len(data)

    def _next_segment(self, epoch: Epoch) -> None:
        """Begins with what replay needs when older segments have gone."""
        self._close()
        number = self._segments[-1].number + 1 if self._segments else 1
        path = os.path.join(self.folder, f"{number:08d}.seg")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        fd = os.open(path, flags | getattr(os, "O_CLOEXEC", 0), 0o600)
        data = entry_of(b"V", {"layout": LAYOUT, "epoch": epoch.id})
        data += entry_of(b"R", {"reserved": epoch.reserved, "seq": epoch.seq})
        data += entry_of(b"L", epoch.told or Ledger().dump())
        try:
            self._disk.write(fd, data)
        except OSError:
            os.close(fd)
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise
        self._fd = fd
        self._segments.append(_Segment(number, path, len(data)))

    def _make_room(self, epoch: Epoch, size: int) -> None:
        """Copies what lives in the oldest segments forward, until there is room (R116)."""
        budget = self._limit - 2 * self._segment_max
        for _ in range(len(self._segments)):
            if self.size + size <= budget or len(self._segments) < 2:
                break
            oldest = self._segments[0]
            texts = [
                (key, thing, event_entry(thing))
                if isinstance(thing, Event)
                else (key, thing, batch_entry(thing, thing.handle is not None))
                for key, thing in oldest.live.items()
            ]
            if texts:
                self._write(epoch, b"".join(text for _, _, text in texts), False)
                for key, thing, _ in texts:
                    self._keep_here(key, thing)
            self._drop_dead()
        if self.size + size > self._limit:
            raise StoreFull(errno.ENOSPC, "the store has its size")

    def _drop_dead(self) -> None:
        while len(self._segments) > 1 and not self._segments[0].live:
            with contextlib.suppress(OSError):
                os.unlink(self._segments[0].path)
            del self._segments[0]

    def _close(self) -> None:
        # Forgotten first: a number that is closed may be somebody else's in the next moment.
        fd, self._fd = self._fd, None
        if fd is not None:
            with contextlib.suppress(OSError):
                os.close(fd)
