"""When may something be sent: delays, pauses, breaker and paced drain (R80-R88).

Pure but for the jitter that it draws; times are monotonic ms.
"""

from __future__ import annotations

import math
from typing import Callable, List, Optional, Set

from ._backoff import delay_ms, pause_ms
from ._reply import Reply

CLOSED, OPEN, PROBING = "closed", "open", "probing"
NEVER = math.inf

_FAILURES_TO_OPEN = 5
_ROUND_MS = 1000
_ROUND_MAX = 64
_KEY_PAUSE_MS = 300_000


class _Round:
    """One round of the drain (R88)."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.sent = 0
        self.began: Optional[int] = None
        self.open: Set[str] = set()

    def ends(self) -> float:
        """When it is over, as far as that is known."""
        if self.began is None or self.open:
            return NEVER
        return self.began + _ROUND_MS


class Gate:
    """The state of sending of one client."""

    def __init__(self, unit: Callable[[], float]) -> None:
        self._unit = unit
        self.state = CLOSED
        self.failures = 0
        self.class_failures = [0, 0, 0]
        self.delay_until = [0, 0, 0]
        self.pause_until = [0, 0, 0]
        self.all_until = 0
        self.open_until = 0
        self.probe: Optional[str] = None
        self._round: Optional[_Round] = None

    # What holds back

    def class_at(self, class_: int) -> int:
        """When a class may send, apart from the client (R82, R84). A probe ignores the delay."""
        if self.state == OPEN:
            return self.pause_until[class_]
        return max(self.delay_until[class_], self.pause_until[class_])

    def client_at(self, now: int) -> float:
        """When anything may be sent."""
        if self.state == PROBING:
            return NEVER
        if self.state == OPEN:
            return max(self.all_until, self.open_until)
        self._next_round(now)
        round_ = self._round
        if round_ is None or round_.sent < round_.number:
            return self.all_until
        return max(self.all_until, round_.ends())

    # What happens

    def sent(self, batch: str, now: int) -> None:
        """A send begins."""
        if self.state == OPEN:
            self.state, self.probe = PROBING, batch
        elif self._round is not None:
            self._round.sent += 1
            self._round.open.add(batch)
            if self._round.began is None:
                self._round.began = now

    def settled(self, batch: str, class_: int) -> None:
        """A definitive reply (R82, R85, R87)."""
        self.class_failures[class_] = 0
        self.failures = 0
        if self._round is not None:
            self._round.open.discard(batch)
        if self.state != CLOSED:
            self.state, self.probe = CLOSED, None
            self._round = _Round(1)

    def failed(
        self, batch: str, class_: int, reply: Reply, now: int, base_ms: int, cap_ms: int
    ) -> None:
        """A retryable reply or a network error (R80, R81, R85-R88)."""
        self.class_failures[class_] += 1
        failures, opens = self.class_failures[class_], False
        if self.state == CLOSED:
            if all(class_ != limited for limited, _ in reply.limits):
                self.failures += 1
                opens = self.failures >= _FAILURES_TO_OPEN or self._round is not None
        elif self.state == PROBING and self.probe == batch:
            self.failures += 1
            opens = True
        if opens:
            failures = self.failures
        delay = delay_ms(reply.server_ms, failures - 1, base_ms, cap_ms, self._unit())
        self.delay_until[class_] = now + delay
        if opens:
            self.state, self.probe, self._round = OPEN, None, None
            self.open_until = now + delay
        elif self._round is not None:
            self._round.open.discard(batch)

    def limited(self, reply: Reply, now: int) -> None:
        """Pauses of single classes (R24); a shorter one shortens nothing."""
        for class_, ms in reply.limits:
            self.pause_until[class_] = max(self.pause_until[class_], now + self._pause(ms))

    def refused(self, now: int) -> None:
        """The key is not known: everything pauses (R20)."""
        self.all_until = max(self.all_until, now + self._pause(_KEY_PAUSE_MS))

    def forget(self, batch: str) -> None:
        """A batch left without any reply (expired, purged, erased)."""
        if self._round is not None:
            self._round.open.discard(batch)
        if self.probe == batch:
            self.state, self.probe = OPEN, None

    def _pause(self, ms: int) -> int:
        return pause_ms(ms, self._unit() if ms > 0 else 0.0)

    def _next_round(self, now: int) -> None:
        """Rounds that are over make room for the next (R88)."""
        round_ = self._round
        if round_ is None or round_.ends() > now:
            return
        done = round_.sent < round_.number or round_.number >= _ROUND_MAX
        self._round = None if done else _Round(round_.number * 2)


def jitter(unit: Callable[[], float], failures: int, base_ms: int, cap_ms: int) -> List[int]:
    """The delays of failures in a row, one draw each; the form of the vectors."""
    return [delay_ms(0, n, base_ms, cap_ms, unit()) for n in range(failures)]
