"""The token bucket (R69).

In: times of calls on the monotonic clock. Out: which of them pass.
"""

from typing import List


def passes(per_s: float, burst: int, calls: List[List[int]]) -> List[bool]:
    """`calls` are `[now_ms, class]`; the bucket is full at the first one's time."""
    tokens, last, out = float(burst), calls[0][0] if calls else 0, []
    for now, class_ in calls:
        tokens = min(burst, tokens + max(now - last, 0) * per_s / 1000)
        last = now
        taken = class_ == 0 or tokens >= 1
        if taken and class_ != 0:
            tokens -= 1
        out.append(taken)
    return out
