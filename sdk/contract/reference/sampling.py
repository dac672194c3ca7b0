"""Deterministic sampling (R65, R66).

In: unit, type and the rates in force. Out: whether the event is kept, and its weight.
"""

import math
from typing import Any, Dict, Mapping, Optional

SALT = "tidegate-sdk"
MASK = 0xFFFF_FFFF


def murmur3_32(data: bytes, seed: int = 0) -> int:
    """MurmurHash3 x86_32 by Austin Appleby."""
    state = seed
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        state ^= scramble(int.from_bytes(data[at : at + 4], "little"))
        state = (rotate(state, 13) * 5 + 0xE654_6B64) & MASK
    state ^= scramble(int.from_bytes(data[whole:], "little"))
    state ^= len(data) & MASK
    state = ((state ^ (state >> 16)) * 0x85EB_CA6B) & MASK
    state = ((state ^ (state >> 13)) * 0xC2B2_AE35) & MASK
    return state ^ (state >> 16)


def rotate(word: int, bits: int) -> int:
    """Rotates a 32-bit word to the left."""
    return ((word << bits) | (word >> (32 - bits))) & MASK


def scramble(block: int) -> int:
    """Mixes four bytes."""
    return (rotate((block * 0xCC9E_2D51) & MASK, 15) * 0x1B87_3593) & MASK


def threshold(rate: float) -> int:
    """Hashes below this are kept."""
    return math.floor(rate * 2**32)


def kept(unit: str, kind: str, rate: float) -> Dict[str, Any]:
    """The decision for one event at one rate."""
    digest = murmur3_32("\0".join([SALT, unit, kind]).encode())
    keep = rate >= 1 or digest < threshold(rate)
    out: Dict[str, Any] = {"hash": digest, "keep": keep}
    if keep:
        out["weight"] = 1 if rate >= 1 else 1 / rate
    return out


def rate_of(
    kind: str,
    class_: int,
    local: Mapping[str, float],
    remote: Mapping[str, float],
    degrade: Mapping[int, float],
) -> float:
    """The rate in force; `degrade` has the factors of the pressure that holds."""
    rate = min(named(kind, class_, local), named(kind, class_, remote))
    return rate if class_ == 0 else rate * degrade.get(class_, 1)


def named(kind: str, class_: int, rates: Mapping[str, float]) -> float:
    """The type's own rate, else the one of `*`, which does not concern class 0."""
    own: Optional[float] = rates.get(kind)
    if own is not None:
        return own
    return 1 if class_ == 0 else rates.get("*", 1)
