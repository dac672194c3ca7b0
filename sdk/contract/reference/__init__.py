"""The pure functions of the contract in plain Python, written to be read rather than to be fast."""
