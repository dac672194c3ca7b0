"""Forks of the host (R133): between two steps of every engine, so that a child gets whole states.

A child of a moment within a step would hold files that it knows nothing of, claims on queues among
them, and half of a change. So a fork waits for the end of what is under way. A disk that hangs must
not hang the host's fork: after a second it goes on without.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, List

from ._platform import log

if TYPE_CHECKING:
    from ._state import State

_WAIT_S = 1.0


class _Held(threading.local):
    """What this thread holds while it forks."""

    def __init__(self) -> None:
        self.locks: List[Any] = []


class _Forks:
    """All engines of the process, also those whose client is gone but which still end."""

    def __init__(self) -> None:
        self._engines: weakref.WeakSet[State] = weakref.WeakSet()
        self._guard = threading.RLock()
        self._held = _Held()

    def add(self, engine: State) -> None:
        """An engine that is about to open files; it holds `stepping` meanwhile."""
        with self._guard:
            self._engines.add(engine)

    def before(self) -> None:
        """Waits for the end of every step and call, and lets nothing begin."""
        try:
            end = time.monotonic() + _WAIT_S
            locks = [self._guard]
            with self._guard:
                for engine in self._engines:
                    locks += [engine.stepping, engine.lock]
            for lock in locks:
                if lock.acquire(timeout=max(end - time.monotonic(), 0)):
                    self._held.locks.append(lock)
        except Exception:
            log.exception("internal error before a fork")

    def in_parent(self) -> None:
        """Everything goes on."""
        while self._held.locks:
            with suppress(RuntimeError):
                self._held.locks.pop().release()

    def in_child(self) -> None:
        """Nothing of the parent is left; the locks are made anew."""
        self._held.locks = []
        self._guard = threading.RLock()
        for engine in list(self._engines):
            try:
                engine.forked()
            except Exception:
                log.exception("internal error after a fork")


forks = _Forks()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=forks.before, after_in_parent=forks.in_parent, after_in_child=forks.in_child
    )
