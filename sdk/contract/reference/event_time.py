"""When an event happened, as the gateway computes it (R29), and how old it is (R90).

In: clocks. Out: Unix ms, or an age in ms. Sums saturate at 64 bits.
"""

from typing import Optional

LEAST, MOST = -(2**63), 2**63 - 1
SKEW_MS_MAX = 60_000
AGE_MS_MAX = 2_592_000_000


def cut(number: int) -> int:
    """Saturates as a 64-bit integer."""
    return min(max(number, LEAST), MOST)


def effective_ms(
    arrival: int,
    wait: Optional[int],
    sent: Optional[int],
    ts: Optional[int],
    age: Optional[int],
) -> int:
    """The event's time."""
    if wait is not None:
        return cut(arrival - cut(wait + (age or 0)))
    if ts is None:
        return arrival
    skew = 0 if sent is None else cut(arrival - sent)
    return cut(ts + skew) if abs(skew) > SKEW_MS_MAX else ts


def recovered_age_ms(wall_ms: int, ts: int) -> int:
    """The age of an event from the store."""
    age = wall_ms - ts
    return age if 0 <= age <= AGE_MS_MAX else 0
