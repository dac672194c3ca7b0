"""The folder of the store: what all clients share, and the queues (R110-R117).

layout  instance  opt_out  config  queues/<epoch>/{claim,00000001.seg,...}
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
import zlib
from typing import Any, Callable, Dict, List, Optional

from ._claim import Claim
from ._journal import LAYOUT, Journal
from ._platform import Disk, log
from ._recovery import NewerLayout, Recovered, recover


class Store:
    """A store that could be opened."""

    def __init__(self, folder: str, disk: Disk, point: Callable[[str], None]) -> None:
        self._folder = folder
        self._queues = os.path.join(folder, "queues")
        self._disk = disk
        self._point = point

    @classmethod
    def open(cls, folder: str, disk: Disk, point: Callable[[str], None]) -> Optional[Store]:
        """Nothing if there can be none here; never raises (R115, R117)."""
        try:
            return cls._open(folder, disk, point)
        except OSError:
            pass
        try:  # whatever stands there is put aside
            os.rename(folder, f"{folder}.aside-{uuid.uuid4().hex[:8]}")
            log.warning("the store was unreadable and was put aside")
            return cls._open(folder, disk, point)
        except OSError as error:
            log.warning("no store, events are kept in memory: %s", error)
            return None

    @classmethod
    def _open(cls, folder: str, disk: Disk, point: Callable[[str], None]) -> Optional[Store]:
        store = cls(folder, disk, point)
        os.makedirs(store._queues, mode=0o700, exist_ok=True)
        layout = store._read("layout")
        if layout is None:
            with contextlib.suppress(OSError):
                store._write("layout", str(LAYOUT))
        elif layout.isdigit() and int(layout) > LAYOUT:
            log.warning("the store has a newer layout; events are kept in memory")
            return None
        return store

    # What all clients share

    def instance(self) -> Optional[str]:
        """The instance that was made here (R42)."""
        return self._read("instance")

    def keep_instance(self, instance: str) -> None:
        """Raises `OSError`."""
        self._write("instance", instance)

    def opted_out(self) -> Optional[bool]:
        """The opt-out, if the store knows one (R136)."""
        said = self._read("opt_out")
        return None if said is None else said == "true"

    def keep_opted_out(self, out: bool) -> None:
        """Raises `OSError`."""
        self._write("opt_out", "true" if out else "false")

    def config(self) -> Optional[Dict[str, Any]]:
        """The last good configuration: `text`, `etag`, `first_ms`, `last_ms` (R111)."""
        text = self._read("config")
        try:
            read = None if text is None else json.loads(text)
        except ValueError:
            return None
        return read if isinstance(read, dict) else None

    def keep_config(self, thing: Dict[str, Any]) -> None:
        """Raises `OSError`."""
        self._write("config", json.dumps(thing))

    # Queues

    def create(self, epoch: str, limit: int) -> Journal:
        """A new queue. Raises `OSError`."""
        folder = os.path.join(self._queues, epoch)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        claim = Claim.take(folder)
        if claim is None:
            raise OSError("the new queue is held by somebody else")
        return Journal(folder, claim, self._disk, self._point, limit)

    def take_over(self, limit: int) -> List[Recovered]:
        """All queues whose holders are dead, oldest first (R112)."""
        found = []
        try:
            names = sorted(os.listdir(self._queues))
        except OSError:
            return []
        for name in names:
            try:
                taken = self._take_over(os.path.join(self._queues, name), limit)
            except FileNotFoundError:  # its holder has just ended it
                continue
            except OSError as error:
                log.warning("a queue of the store cannot be read: %s", error)
                continue
            if taken is not None:
                found.append(taken)
        return found

    def _take_over(self, folder: str, limit: int) -> Optional[Recovered]:
        if not any(name.endswith(".seg") for name in os.listdir(folder)):
            return None  # somebody is about to begin it, or died then: there is nothing in it
        claim = Claim.take(folder)
        if claim is None:
            return None
        self._point("claimed")
        try:
            found = recover(folder)
        except NewerLayout:
            log.warning("a queue of the store has a newer layout and is left alone")
            claim.release()
            return None
        except OSError:
            claim.release()
            raise
        journal = Journal(folder, claim, self._disk, self._point, limit)
        if found is None:
            journal.delete()
            return None
        journal.adopt(found.files)
        for event, number in found.events:
            journal.keep(number, event.seq, event)
        for batch, number in found.batches:
            journal.keep(number, batch.id, batch)
        found.epoch.journal = journal
        return found

    # Small files: a checksum, then the text

    def _read(self, name: str) -> Optional[str]:
        try:
            with open(os.path.join(self._folder, name), "rb") as file:
                check, _, data = file.read().partition(b"\n")
            return data.decode() if int(check, 16) == zlib.crc32(data) else None
        except (OSError, ValueError):
            return None

    def _write(self, name: str, text: str) -> None:
        data = text.encode()
        path = os.path.join(self._folder, name)
        temporary = f"{path}.{uuid.uuid4().hex[:8]}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        fd = os.open(temporary, flags, 0o600)
        try:
            try:
                self._disk.write(fd, b"%08x\n%s" % (zlib.crc32(data), data))
            finally:
                os.close(fd)
            os.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
