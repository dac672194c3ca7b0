"""Splitting a batch that was too large (R18, R19).

In: the event lines of the batch. Out: the lines of its two halves, or the drop of a single event.
"""

from typing import Any, Dict, List


def split(lines: List[str]) -> Dict[str, Any]:
    """What becomes of a batch that was answered 413."""
    if not lines:
        return {"forgotten": True}
    if len(lines) == 1:
        return {"dropped": "rejected_413"}
    middle = (len(lines) + 1) // 2
    return {"batches": [lines[:middle], lines[middle:]]}
