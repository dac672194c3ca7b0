"""Which events leave a full queue (R70-R73)."""

from __future__ import annotations

from typing import Iterable, List, Optional, Sequence


def choose(
    queued: Sequence[Iterable[int]],
    class_bytes: Sequence[int],
    need: int,
    class_: int,
    floors: Sequence[int],
) -> Optional[List[int]]:
    """How many of each class leave, oldest first, to free `need` bytes; nothing if they cannot.

    `queued` has the sizes of each class, oldest first; only what is needed is read.
    """
    evicted = [0, 0, 0]
    for candidate in (2, 1, 0):
        if candidate < class_ or need <= 0:
            break
        left = class_bytes[candidate]
        for size in queued[candidate]:
            if need <= 0 or left - size < floors[candidate]:
                break
            need -= size
            left -= size
            evicted[candidate] += 1
    return None if need > 0 else evicted


def shrink(
    queued: Sequence[Iterable[int]], class_bytes: Sequence[int], need: int, floors: Sequence[int]
) -> List[int]:
    """The same for a queue that became smaller (R73): with floors, then without."""
    lists = [list(sizes) for sizes in queued]
    left, evicted = list(class_bytes), [0, 0, 0]
    for held_back in (floors, (0, 0, 0)):
        for candidate in (2, 1, 0):
            sizes = lists[candidate]
            while need > 0 and evicted[candidate] < len(sizes):
                size = sizes[evicted[candidate]]
                if left[candidate] - size < held_back[candidate]:
                    break
                need -= size
                left[candidate] -= size
                evicted[candidate] += 1
    return evicted
