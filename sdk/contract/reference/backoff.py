"""Delays and pauses (R80, R84).

In: what the server said, how many failures there were, a unit. Out: milliseconds.
"""

import math

WAIT_MS_MAX = 3_600_000
N_MAX = 30


def delay_ms(server_ms: int, n: int, base_ms: int, cap_ms: int, unit: float) -> int:
    """Full jitter on top of what the server asked for."""
    span = min(cap_ms, base_ms * 2 ** min(n, N_MAX))
    return min(WAIT_MS_MAX, server_ms + math.floor(unit * span))


def pause_ms(ms: int, unit: float) -> int:
    """A pause and up to a tenth of it."""
    return min(WAIT_MS_MAX, ms + math.floor(unit * min(ms / 10, 60_000)))
