"""SplitMix64, the generator that stands in for chance in tests, and UUIDv7 (R12).

In: a 64-bit seed. Out: 64-bit numbers, units in [0, 1), ids. Production code uses the platform's
own generators for both.
"""

MASK = 0xFFFF_FFFF_FFFF_FFFF


class SplitMix64:
    """Sebastiano Vigna's SplitMix64. One 64-bit word of state."""

    def __init__(self, seed: int) -> None:
        self.state = seed & MASK

    def next_u64(self) -> int:
        """The next number, 0 to 2^64-1."""
        self.state = (self.state + 0x9E37_79B9_7F4A_7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB) & MASK
        return z ^ (z >> 31)

    def unit(self) -> float:
        """The next number as a unit: its upper 53 bits times 2^-53."""
        return (self.next_u64() >> 11) * 2.0**-53


def uuid7(wall_ms: int, a: int, b: int) -> str:
    """An id from the wall clock and two random 64-bit numbers."""
    ms = min(max(wall_ms, 0), (1 << 48) - 1)
    high = (ms << 16) | (0x7 << 12) | (a >> 52)
    low = (0b10 << 62) | (b >> 2)
    text = f"{high:016x}{low:016x}"
    return "-".join([text[:8], text[8:12], text[12:16], text[16:20], text[20:]])
