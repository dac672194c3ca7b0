"""What the SDK takes from its environment, and the production form of it."""

from __future__ import annotations

import logging
import os
import queue
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Mapping, Optional, Protocol

log = logging.getLogger("tidegate")

_SLEEP_S_MIN = 0.001
_SLEEP_S_MAX = 3600.0


@dataclass
class Request:
    """One HTTP request."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: Optional[bytes]
    timeout_ms: int


@dataclass
class Response:
    """What came of it; `status` 0: no complete reply (R22). Header names are lower case."""

    status: int = 0
    headers: Dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Handle(Protocol):
    """A request under way."""

    def abort(self) -> None:
        """Gives it up; `done` may still be called and is then ignored by the caller."""


class Driven(Protocol):
    """What a platform drives: the engine of a client."""

    def pump(self) -> None:
        """Does everything that is due. Never called by two threads at a time."""

    def wake_at(self) -> Optional[int]:
        """The monotonic time of the next thing to do, or nothing."""


class Disk:
    """Writes of the store; tests put failing ones in its place."""

    tears = False
    """Whether appends are written in two halves, for the crash point between them."""

    def write(self, fd: int, data: bytes) -> None:
        """Everything, or an exception."""
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]


class Platform(Protocol):
    """The environment of one client."""

    disk: Disk

    def mono_ms(self) -> int:
        """The monotonic clock."""

    def wall_ms(self) -> int:
        """The system clock, Unix ms."""

    def unit(self) -> float:
        """A random number in [0, 1), for jitter only."""

    def u64(self) -> int:
        """A random number of 64 bits, for ids only."""

    def start(self, driven: Driven) -> None:
        """Begins to drive: `pump` after every `wake` and at `wake_at`."""

    def wake(self) -> None:
        """There is something to do. Called from any thread, holding any lock; never blocks."""

    def stop(self) -> None:
        """Drives no more. Called from `pump`."""

    def rest(self, timeout_s: float) -> None:
        """After `stop`: waits until what drove has ended (R131)."""

    def reset(self) -> None:
        """In a forked child: no thread, no connection of the parent is left (R133)."""

    def http(self, request: Request, done: Callable[[Response], None]) -> Handle:
        """Begins a request; `done` is called once, on any thread."""

    def point(self, name: str) -> None:
        """A crash point of the tests."""

    def inside(self) -> bool:
        """Whether this thread is the one that pumps, which must not wait for itself."""


class ThreadedPlatform:
    """One daemon thread a client, and one for each request under way."""

    def __init__(self) -> None:
        from ._transport import Transport  # noqa: PLC0415

        self.disk = Disk()
        self._transport = Transport()
        self._calls: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread: Optional[threading.Thread] = None
        self._beginning = threading.RLock()
        self._begun = False
        self._driven: Optional[Driven] = None
        self._stopped = False

    def mono_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def unit(self) -> float:
        return random.random()

    def u64(self) -> int:
        return int.from_bytes(os.urandom(8), "little")

    def start(self, driven: Driven) -> None:
        self._driven = driven
        self.wake()

    def wake(self) -> None:
        if self._stopped:
            return
        self._calls.put(True)
        if not self._begun:
            self._begin()

    def _begin(self) -> None:
        """At `init`, and in a forked child at its first event, which may be two at a time."""
        with self._beginning:  # a signal handler of the host may come in between
            if self._begun:
                return
            self._begun = True
            thread = threading.Thread(target=self._run, name="tidegate", daemon=True)
            self._thread = thread
            try:
                thread.start()
            except RuntimeError:  # the interpreter is ending
                self._thread, self._begun = None, False

    def stop(self) -> None:
        self._stopped = True
        self._transport.close()

    def rest(self, timeout_s: float) -> None:
        thread = self._thread
        if thread is not None and not self.inside():
            thread.join(timeout_s)

    def reset(self) -> None:
        self._transport.reset()
        self._calls = queue.SimpleQueue()
        self._beginning, self._begun = threading.RLock(), False
        self._thread = None

    def http(self, request: Request, done: Callable[[Response], None]) -> Handle:
        return self._transport.begin(request, done)

    def point(self, name: str) -> None:
        pass

    def inside(self) -> bool:
        return threading.current_thread() is self._thread

    def _run(self) -> None:
        driven = self._driven
        while driven is not None and not self._stopped:
            try:
                driven.pump()
                at = driven.wake_at()
            except Exception:  # never ends the host's process, never ends this thread
                log.exception("internal error")
                at = self.mono_ms() + 1000
            if self._stopped:
                break
            self._sleep(at)

    def _sleep(self, at: Optional[int]) -> None:
        """Until `at`, or until somebody calls."""
        try:
            if at is None:
                self._calls.get()
            else:
                seconds = (at - self.mono_ms()) / 1000
                self._calls.get(timeout=min(max(seconds, _SLEEP_S_MIN), _SLEEP_S_MAX))
            while True:  # many calls, one pump
                self._calls.get_nowait()
        except queue.Empty:
            pass


def never(*_: Any) -> None:
    """Does nothing."""
