"""SplitMix64, which stands in for chance (`vectors/README.md`)."""

_MASK = 0xFFFF_FFFF_FFFF_FFFF


class SplitMix64:
    """One 64-bit word of state."""

    def __init__(self, seed: int) -> None:
        self.state = seed & _MASK

    def u64(self) -> int:
        """The next number."""
        self.state = (self.state + 0x9E37_79B9_7F4A_7C15) & _MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB) & _MASK
        return z ^ (z >> 31)

    def unit(self) -> float:
        """The next number in [0, 1)."""
        return (self.u64() >> 11) * 2.0**-53
