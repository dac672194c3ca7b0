"""Flushes and closes under way (R130, R131)."""

from __future__ import annotations

import threading


class Waiter:
    """What `flush` and `close` wait for."""

    def __init__(self, covers: int, began: int, deadline: int) -> None:
        self.covers = covers
        """Events up to this admission."""
        self.began = began
        self.deadline = deadline
        self.result = False
        self.ended: int = began
        self._done = threading.Event()

    @property
    def done(self) -> bool:
        """Whether there is a result."""
        return self._done.is_set()

    def end(self, result: bool, now: int) -> None:
        """The first result stands."""
        if not self._done.is_set():
            self.result, self.ended = result, now
            self._done.set()

    def wait(self, timeout_s: float) -> bool:
        """Blocks until the result is there, a little longer than the deadline at most."""
        self._done.wait(timeout_s)
        return self.done and self.result
