"""Delays after failures (R80) and pauses (R84)."""

from __future__ import annotations

import math

WAIT_MS_MAX = 3_600_000
_N_MAX = 30


def delay_ms(server_ms: int, n: int, base_ms: int, cap_ms: int, unit: float) -> int:
    """Full jitter on top of what the server asked for."""
    span = min(cap_ms, base_ms << min(n, _N_MAX))
    return min(WAIT_MS_MAX, server_ms + math.floor(unit * span))


def pause_ms(ms: int, unit: float) -> int:
    """A pause and up to a tenth of it, at most a minute."""
    return min(WAIT_MS_MAX, ms + math.floor(unit * min(ms / 10, 60_000)))
