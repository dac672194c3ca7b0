"""Which events leave a full queue (R70-R72).

In: the sizes of what is queued, oldest first, by class; what is sealed; the newcomer. Out: how many
leave of each class, or that the newcomer is refused.
"""

from typing import Any, Dict, List


def choose(
    queued: List[List[int]],
    sealed_bytes: int,
    class_: int,
    size: int,
    queue_bytes_max: int,
    floor_bytes: List[int],
) -> Dict[str, Any]:
    """What happens when an event of `size` bytes comes."""
    used = sealed_bytes + sum(map(sum, queued))
    need = used + size - queue_bytes_max
    evicted = [0, 0, 0]
    for candidate in (2, 1, 0):
        left = sum(queued[candidate])
        if candidate < class_:
            break
        for oldest in queued[candidate]:
            if need <= 0 or left - oldest < floor_bytes[candidate]:
                break
            need -= oldest
            left -= oldest
            evicted[candidate] += 1
    if need > 0:
        return {"admitted": False, "evicted": [0, 0, 0]}
    return {"admitted": True, "evicted": evicted}
