"""Types of the public interface."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple, TypedDict

Event = TypedDict("Event", {"type": str, "props": Dict[str, Any], "class": int})
"""What `before_send` gets and returns."""

Row = Tuple[str, int, int]
"""Reason, class, count."""


class EpochStats(TypedDict):
    """The ledger of one epoch.

    `tracked = admitted + sum(pre)` and `admitted = acked + held + sum(post)`, always.
    """

    epoch: str
    tracked: int
    admitted: int
    acked: int
    held: int
    pre: List[Row]
    post: List[Row]


class Stats(EpochStats):
    """The current epoch, and the state of the client."""

    queued: List[int]
    """Events that wait to be sealed, by class."""
    sealed: int
    """Batches that wait for their answer or their next attempt."""
    in_flight: int
    """Requests under way."""
    queue_bytes: int
    store_bytes: int
    filtered: int
    rejected: int
    breaker: str
    """`closed`, `open` or `probing`."""
    pressure: int
    config: Optional[int]
    """The version of the configuration in force."""
    killed_ms: int
    opted_out: bool
    older: List[EpochStats]
    """Epochs of earlier processes that this client found in its store and still settles."""
