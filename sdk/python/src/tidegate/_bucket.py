"""The token bucket (R69)."""

from __future__ import annotations

from typing import Optional


class Bucket:
    """Refilled by the monotonic clock; without a rate everything passes."""

    def __init__(self, per_s: Optional[float], burst: Optional[float], now: int) -> None:
        self._per_s, self._burst = per_s, burst
        self._tokens, self._last = float(burst or 0), now

    def passes(self, class_: int, now: int) -> bool:
        """Takes a token, if the class needs one."""
        if self._per_s is None or self._burst is None:
            return True
        self._refill(now)
        if class_ == 0:
            return True
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def change(self, per_s: Optional[float], burst: Optional[float], now: int) -> None:
        """Another rate: the tokens stay, cut to the new burst."""
        if (per_s, burst) == (self._per_s, self._burst):
            return
        if self._per_s is None:
            self._tokens = float(burst or 0)
        else:
            self._refill(now)
        self._per_s, self._burst, self._last = per_s, burst, now
        self._tokens = min(self._tokens, float(burst or 0))

    def _refill(self, now: int) -> None:
        earned = max(now - self._last, 0) * (self._per_s or 0) / 1000
        self._tokens = min(float(self._burst or 0), self._tokens + earned)
        self._last = now
