"""Who holds a queue of the store: a locked file with a generation in it (R112, R113).

The lock ends with the process, however it ends. The generation grows with every holder.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Optional

if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int) -> None:
        os.lseek(fd, 1 << 30, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)

    def _unlock(fd: int) -> None:
        """Closing does it."""

else:
    import fcntl

    def _lock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)


_NAME = "claim"
_BYTES = 20


class ClaimLost(Exception):
    """Somebody else holds the queue, or it is gone."""


class Claim:
    """A claim that is held."""

    def __init__(self, fd: int, generation: int) -> None:
        self._fd = fd
        self._pid = os.getpid()
        self.generation = generation

    @classmethod
    def take(cls, folder: str) -> Optional[Claim]:
        """The claim of a queue, or nothing if somebody lives who holds it."""
        path = os.path.join(folder, _NAME)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            _lock(fd)
            if not os.path.samestat(os.fstat(fd), os.stat(path)):
                raise OSError("deleted meanwhile")
            claim = cls(fd, _generation(fd) + 1)
            os.lseek(fd, 0, os.SEEK_SET)
            os.write(fd, str(claim.generation).zfill(_BYTES).encode())
            return claim
        except OSError:
            os.close(fd)
            return None

    def check(self) -> None:
        """Raises `ClaimLost` if a newer holder was there."""
        try:
            stands = os.fstat(self._fd).st_nlink > 0 and _generation(self._fd) == self.generation
        except OSError:
            stands = False
        if not stands:
            raise ClaimLost

    def release(self) -> None:
        """Gives it up. In a forked child this leaves the parent's claim alone (R133)."""
        with contextlib.suppress(OSError):
            # A child that was forked without the interpreter's knowledge may hold a copy of it.
            if os.getpid() == self._pid:
                _unlock(self._fd)
        with contextlib.suppress(OSError):
            os.close(self._fd)


def _generation(fd: int) -> int:
    os.lseek(fd, 0, os.SEEK_SET)
    text = os.read(fd, _BYTES)
    return int(text) if text.isdigit() else 0
