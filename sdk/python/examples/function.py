"""A function that is frozen between its calls (AWS Lambda and the like): flush before returning."""

from __future__ import annotations

import sys
from typing import Any, Dict

from tidegate import Client

CLIENT = Client("wk_demo", sys.argv[1])


def handler(event: Dict[str, Any], context: object) -> Dict[str, Any]:
    """What is not sent within half a second stays queued and goes with the next call."""
    CLIENT.track("invoked", {"n": event["n"]})
    sent = CLIENT.flush(timeout_ms=500)
    return {"sent": sent}


print([handler({"n": n}, None) for n in range(3)])
CLIENT.close()
