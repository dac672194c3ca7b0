"""UUIDv7 from the wall clock and two random 64-bit numbers (R12)."""

from __future__ import annotations

_MS_MAX = (1 << 48) - 1


def uuid7(wall_ms: int, a: int, b: int) -> str:
    """The id as text, lower case with hyphens."""
    ms = min(max(wall_ms, 0), _MS_MAX)
    high = (ms << 16) | 0x7000 | (a >> 52)
    low = (0b10 << 62) | (b >> 2)
    text = f"{high:016x}{low:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
