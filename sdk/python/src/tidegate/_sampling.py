"""Deterministic sampling (R65, R66)."""

from __future__ import annotations

import math
from typing import Mapping, NamedTuple, Optional

_SALT = "tidegate-sdk"
_MASK = 0xFFFF_FFFF


class Decision(NamedTuple):
    """Whether an event is kept, and the weight it then has."""

    hash: int
    keep: bool
    weight: float


def murmur3_32(data: bytes) -> int:
    """MurmurHash3 x86_32 with seed 0."""
    state = 0
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        state ^= _scramble(int.from_bytes(data[at : at + 4], "little"))
        state = (_rotate(state, 13) * 5 + 0xE654_6B64) & _MASK
    state ^= _scramble(int.from_bytes(data[whole:], "little"))
    state ^= len(data) & _MASK
    state = ((state ^ (state >> 16)) * 0x85EB_CA6B) & _MASK
    state = ((state ^ (state >> 13)) * 0xC2B2_AE35) & _MASK
    return state ^ (state >> 16)


def _rotate(word: int, bits: int) -> int:
    return ((word << bits) | (word >> (32 - bits))) & _MASK


def _scramble(block: int) -> int:
    return (_rotate((block * 0xCC9E_2D51) & _MASK, 15) * 0x1B87_3593) & _MASK


def decide(unit: str, type_: str, rate: float) -> Decision:
    """The decision for one event at one rate."""
    digest = murmur3_32("\0".join((_SALT, unit, type_)).encode("utf-8", "replace"))
    if rate >= 1:
        return Decision(digest, True, 1)
    keep = digest < math.floor(rate * 2**32)
    return Decision(digest, keep, 1 / rate if keep else 1)


def rate_of(
    type_: str,
    class_: int,
    local: Mapping[str, float],
    remote: Mapping[str, float],
    degrade: Mapping[int, float],
) -> float:
    """The rate in force; `degrade` has the factors of the pressure that holds."""
    rate = min(_named(type_, class_, local), _named(type_, class_, remote))
    return rate if class_ == 0 else rate * degrade.get(class_, 1)


def _named(type_: str, class_: int, rates: Mapping[str, float]) -> float:
    """The type's own rate, else that of `*`, which does not concern class 0 (R66)."""
    own: Optional[float] = rates.get(type_)
    if own is not None:
        return own
    return 1 if class_ == 0 else rates.get("*", 1)
