"""What a reply means (R14-R26, R104).

In: status, headers, body, the batch that was sent. Out: what to do. Never throws.
"""

import json
from typing import Any, Dict, Optional

from .config import is_number, refuse
from .retry_after import server_ms

BODY_BYTES_MAX = 65_536
REFUSALS = ("pressure", "busy")


def whole(thing: Any) -> Optional[int]:
    """An integer from 0, also if it is written with a fraction of zero."""
    if not is_number(thing) or thing != int(thing) or thing < 0:
        return None
    return int(thing)


def classify(
    status: int, retry_after: Optional[str], body: str, batch: str, count: int, wall_ms: int
) -> Dict[str, Any]:
    """`status` 0 stands for no complete reply at all."""
    read = read_object(body)
    out: Dict[str, Any] = {"act": act(status, read, batch, count)}
    if out["act"] == "settled":
        rejected = read.get("rejected") if isinstance(read.get("rejected"), list) else []
        out["filtered"] = whole(read.get("filtered")) or 0
        out["rejected"] = len(rejected)
    answered = out["act"] == "settled" or 400 <= status < 500
    answered |= status == 503 and read.get("reason") in REFUSALS
    out["answered"] = answered
    if out["act"] == "retry":
        speaks = status != 0 and not 200 <= status < 400
        out["server_ms"] = server_ms(retry_after, read.get("retry_ms"), wall_ms) if speaks else 0
    foreign = status == 0 or (out["act"] == "retry" and status < 400)
    if foreign or read_raw(body) is None:
        return out
    out["limits"] = limits(read.get("limits"))
    level = whole(read.get("pressure"))
    out["pressure"] = min(level, 3) if level is not None else 0
    out["config"] = whole(read.get("config"))
    return out


def act(status: int, read: Dict[str, Any], batch: str, count: int) -> str:
    """One of settled, retry, split, drop, drop_and_pause."""
    if 200 <= status < 300:
        return "settled" if status == 200 and settles(read, batch, count) else "retry"
    if status in (408, 425, 429) or not 400 <= status < 500:
        return "retry"
    if status == 413:
        return "split"
    return "drop_and_pause" if status in (401, 403, 404) else "drop"


def settles(read: Dict[str, Any], batch: str, count: int) -> bool:
    """Whether a 200 is the gateway's own and about all of this batch."""
    echoed = read.get("batch")
    if not isinstance(echoed, str) or echoed.lower() != batch.lower():
        return False
    accepted = whole(read.get("accepted", 0))
    if read.get("unchecked") is True:
        return accepted == count
    filtered, rejected = whole(read.get("filtered", 0)), read.get("rejected", [])
    if accepted is None or filtered is None or not isinstance(rejected, list):
        return False
    return accepted + filtered + len(rejected) == count


def limits(thing: Any) -> Any:
    """Valid pairs of class and milliseconds, in their order."""
    out = []
    for pair in thing if isinstance(thing, list) else []:
        if not isinstance(pair, list) or len(pair) != 2:
            continue
        kind, ms = whole(pair[0]), whole(pair[1])
        if kind is not None and kind <= 2 and ms is not None:
            out.append([kind, min(ms, 3_600_000)])
    return out


def read_raw(body: str) -> Optional[Dict[str, Any]]:
    """The body, if it is a JSON object of a reasonable size."""
    if len(body.encode("utf-8", "replace")) > BODY_BYTES_MAX:
        return None
    try:
        read = json.loads(body, parse_constant=refuse)
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def read_object(body: str) -> Dict[str, Any]:
    """The same, or an empty object."""
    return read_raw(body) or {}
