"""The client: what a host calls. No call raises but the constructor, and only `OptionError`."""

from __future__ import annotations

import atexit
import math
import os
import time
import weakref
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Union

from ._engine import Engine
from ._intake import track
from ._notices import Hooks
from ._numbers import bounded
from ._options import check
from ._platform import Platform, ThreadedPlatform, log
from ._waiters import Waiter
from .types import Event, Stats

_TIMEOUT_MS = 5000
_TIMEOUT_MS_MAX = 600_000
_EXIT_MS = 1000
_ERASE_S = 1.0
_GRACE_S = 1.0

_clients: weakref.WeakSet[Client] = weakref.WeakSet()


class Client:
    """Collects events and sends them to a Tidegate gateway.

    >>> client = Client("wk_demo", "https://gateway.example")   # doctest: +SKIP
    >>> client.track("page.view", {"path": "/"})                # doctest: +SKIP
    >>> client.close()                                          # doctest: +SKIP

    `track` never blocks and never raises. Everything is sent by a daemon thread. Options, units and
    defaults are listed in the README; numbers out of range are clamped, everything else that is
    wrong is ignored and logged. Only a missing or malformed `key` or `endpoint` is refused.
    """

    def __init__(
        self,
        key: str,
        endpoint: str,
        *,
        instance: Optional[str] = None,
        context: Optional[Mapping[str, Any]] = None,
        batch_events_max: Optional[int] = None,
        batch_bytes_max: Optional[int] = None,
        batch_ms: Optional[int] = None,
        event_bytes_max: Optional[int] = None,
        queue_bytes_max: Optional[int] = None,
        queue_floor_bytes: Optional[Sequence[int]] = None,
        rate_per_s: Optional[float] = None,
        rate_burst: Optional[int] = None,
        sample: Optional[Dict[str, float]] = None,
        sample_by: Optional[str] = None,
        retry_base_ms: Optional[int] = None,
        retry_cap_ms: Optional[int] = None,
        ttl_ms: Optional[int] = None,
        request_timeout_ms: Optional[int] = None,
        gzip_bytes_min: Optional[int] = None,
        store_dir: Union[str, os.PathLike[str], None] = None,
        store_flush_ms: Optional[int] = None,
        opted_out: bool = False,
        before_send: Optional[Callable[[Event], Optional[Event]]] = None,
        on_drop: Optional[Callable[[str, int, int], None]] = None,
        platform: Optional[Platform] = None,
    ) -> None:
        given = {
            name: value for name, value in locals().items() if name not in ("self", "platform")
        }
        given.pop("__class__", None)
        options = check(given)
        self._hooks = Hooks(options.before_send, options.on_drop)
        options.before_send = options.on_drop = None
        for name in ("before_send", "on_drop"):
            options.local.pop(name)
        self._engine = Engine(options, platform or ThreadedPlatform(), self._hooks, "server")
        self._finalizer = weakref.finalize(self, self._engine.abandon)
        self._finalizer.atexit = False
        _clients.add(self)
        self._engine.start()

    def track(
        self,
        type: str,
        props: Optional[Mapping[str, Any]] = None,
        *,
        class_: Optional[int] = None,
    ) -> None:
        """Records an event. Class 0 is critical, 1 ordinary (the default), 2 bulk."""
        try:
            track(self._engine, type, props, class_)
        except Exception:
            log.exception("internal error in track")

    def flush(self, timeout_ms: float = _TIMEOUT_MS) -> bool:
        """Sends what is queued now. True once all of it has left, false at the deadline.

        Blocks the caller until then. Nothing that is held is lost at the deadline.
        """
        return self._wait(self._engine.begin_flush(_clamped(timeout_ms)))

    def close(self, timeout_ms: float = _TIMEOUT_MS) -> bool:
        """Refuses new events, sends what is queued, tells the gateway that this was all, and ends.

        True if nothing is held and nothing had to be dropped. With a store, what could not be sent
        in time stays there for the next start.
        """
        waiter = self._engine.begin_close(_clamped(timeout_ms))
        result = self._wait(waiter)
        if waiter.done:
            self._engine.platform.rest(_GRACE_S)
        return result

    async def flush_async(self, timeout_ms: float = _TIMEOUT_MS) -> bool:
        """`flush` that does not block the event loop."""
        import asyncio  # noqa: PLC0415 - whoever awaits has it, and others need not pay for it

        return await asyncio.get_running_loop().run_in_executor(None, self.flush, timeout_ms)

    async def close_async(self, timeout_ms: float = _TIMEOUT_MS) -> bool:
        """`close` that does not block the event loop."""
        import asyncio  # noqa: PLC0415 - whoever awaits has it, and others need not pay for it

        return await asyncio.get_running_loop().run_in_executor(None, self.close, timeout_ms)

    def opt_out(self) -> None:
        """Erases everything that is held, here and in the store, and sends nothing any more."""
        erased = self._engine.opt_out()
        if not self._engine.platform.inside():
            erased.wait(_ERASE_S)

    def opt_in(self) -> None:
        """Collects again, beginning with nothing."""
        self._engine.opt_in()

    def stats(self) -> Stats:
        """What became of every event so far; see the README for how to read it."""
        return self._engine.stats()  # type: ignore[return-value]

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait(self, waiter: Waiter) -> bool:
        if self._engine.platform.inside():  # called from a hook: waiting would be for ever
            return waiter.done and waiter.result
        left_ms = max(waiter.deadline - self._engine.now(), 0)
        return waiter.wait(left_ms / 1000 + _GRACE_S)


def _clamped(timeout_ms: Any) -> int:
    """R130."""
    if not isinstance(timeout_ms, (int, float)) or math.isnan(timeout_ms):
        return _TIMEOUT_MS
    read = bounded(min(max(timeout_ms, 0), _TIMEOUT_MS_MAX), 0, _TIMEOUT_MS_MAX, False)
    return int(read or 0)


def _at_exit() -> None:
    """R132: sends what it can and writes the rest to the store, within a second in all."""
    try:
        end = time.monotonic() + _EXIT_MS / 1000
        # Most of the second for sending, the rest for the store.
        waiters = [
            client._engine.begin_close(_EXIT_MS * 3 // 4)
            for client in list(_clients)
            if not client._engine.untouched
        ]
        for waiter in waiters:
            waiter.wait(max(end - time.monotonic(), 0))
    except Exception:
        log.exception("internal error at exit")


atexit.register(_at_exit)
