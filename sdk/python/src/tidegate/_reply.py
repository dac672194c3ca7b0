"""What a reply means (R14-R26, R104). Never throws."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

from ._backoff import WAIT_MS_MAX
from ._numbers import read_object, whole
from ._retry_after import server_ms

BODY_BYTES_MAX = 65_536
_REFUSALS = ("pressure", "busy")
_RETRYABLE = (408, 425, 429)

SETTLED, RETRY, SPLIT, DROP, DROP_AND_PAUSE = "settled", "retry", "split", "drop", "drop_and_pause"


@dataclass
class Reply:
    """A classified reply."""

    act: str
    answered: bool
    """R104."""
    filtered: int = 0
    rejected: int = 0
    server_ms: int = 0
    """R23; the server's part of a delay."""
    speaks: bool = False
    """A JSON object of the gateway: `limits`, `pressure` and `config` count."""
    limits: List[Tuple[int, int]] = field(default_factory=list)
    pressure: int = 0
    config: Optional[int] = None


def classify(
    status: int, retry_after: Optional[str], body: bytes, batch: str, count: int, wall_ms: int
) -> Reply:
    """`status` 0 stands for no complete reply at all (R22)."""
    read = None if len(body) > BODY_BYTES_MAX else read_object(body.decode("utf-8", "replace"))
    known = read or {}
    act = _act(status, known, batch, count)
    answered = act == SETTLED or 400 <= status < 500
    answered |= status == 503 and known.get("reason") in _REFUSALS
    reply = Reply(act, answered)
    if act == SETTLED:
        rejected = known.get("rejected")
        reply.filtered = whole(known.get("filtered")) or 0
        reply.rejected = len(rejected) if isinstance(rejected, list) else 0
    foreign = act == RETRY and status < 400
    if act == RETRY and not foreign:
        reply.server_ms = server_ms(retry_after, known.get("retry_ms"), wall_ms)
    if foreign or read is None:
        return reply
    reply.speaks = True
    reply.limits = _limits(known.get("limits"))
    reply.pressure = min(whole(known.get("pressure")) or 0, 3)
    reply.config = whole(known.get("config"))
    return reply


def _act(status: int, read: Dict[str, Any], batch: str, count: int) -> str:
    if status == 200 and _settles(read, batch, count):
        return SETTLED
    if status in _RETRYABLE or not 400 <= status < 500:
        return RETRY
    if status == 413:
        return SPLIT
    # 400 with reason `version` ends here too: there is nothing below version 1 (R17).
    return DROP_AND_PAUSE if status in (401, 403, 404) else DROP


def _settles(read: Dict[str, Any], batch: str, count: int) -> bool:
    """Whether a 200 is the gateway's own and about all of this batch (R15)."""
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


def _limits(thing: Any) -> List[Tuple[int, int]]:
    """Valid pairs of class and milliseconds, in their order (R24)."""
    out = []
    for pair in thing if isinstance(thing, list) else []:
        if not isinstance(pair, list) or len(pair) != 2:
            continue
        kind, ms = whole(pair[0]), whole(pair[1])
        if kind is not None and kind <= 2 and ms is not None:
            out.append((kind, min(ms, WAIT_MS_MAX)))
    return out
