"""Telling the host about drops: `on_drop` (R62) and one warning an episode (R33)."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from typing import Any, Callable, Deque, Dict, Optional, Tuple

from ._platform import log

_QUIET_MS = 60_000


class Hooks:
    """The host's functions. The client owns them, so that they do not keep it alive (R134)."""

    def __init__(
        self, before_send: Optional[Callable[..., Any]], on_drop: Optional[Callable[..., Any]]
    ) -> None:
        self.before_send = before_send
        self.on_drop = on_drop


class _Inside(threading.local):
    on = False


class Notices:
    """Drops that are still to be told, in their order."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = weakref.ref(hooks)
        self._waiting: Deque[Tuple[str, int, int, bool]] = deque()
        self._last: Dict[Tuple[str, int], int] = {}
        self._inside = _Inside()

    @property
    def inside(self) -> bool:
        """Whether this thread is in a function of the host (R59)."""
        return self._inside.on

    @property
    def hooks(self) -> Optional[Hooks]:
        """The host's functions, while the client lives."""
        return self._hooks()

    def add(self, reason: str, class_: int, count: int, now: int) -> None:
        """Under the client's lock."""
        last = self._last.get((reason, class_))
        self._last[reason, class_] = now
        self._waiting.append((reason, class_, count, last is None or now - last >= _QUIET_MS))

    def tell(self) -> None:
        """Outside of any lock."""
        while self._waiting and not self._inside.on:
            try:
                reason, class_, count, first = self._waiting.popleft()
            except IndexError:  # another thread told it
                return
            if first:
                log.warning(
                    "dropped %d event(s) of class %d: %s; see stats() for more of them",
                    count,
                    class_,
                    reason,
                )
            hooks = self._hooks()
            if hooks is not None and hooks.on_drop is not None:
                try:
                    self.call(hooks.on_drop, reason, class_, count)
                except Exception:
                    log.warning("on_drop raised", exc_info=True)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Calls a function of the host; `track` inside of it is R59."""
        before, self._inside.on = self._inside.on, True
        try:
            return function(*args)
        finally:
            self._inside.on = before
