"""An application for a preforking server: one client, made before the fork."""

from __future__ import annotations

import os
from typing import Any, Iterable

import tidegate

CLIENT = tidegate.Client(
    "wk_demo",
    os.environ["GATEWAY"],
    batch_ms=200,
    store_dir=os.environ.get("STORE"),
    store_flush_ms=50,
)
CLIENT.track("loaded", {"pid": os.getpid()})


def app(environ: Any, start_response: Any) -> Iterable[bytes]:
    """One event a request; says who answered."""
    CLIENT.track("request", {"pid": os.getpid(), "path": environ["PATH_INFO"]})
    start_response("200 OK", [("content-length", "0"), ("x-pid", str(os.getpid()))])
    return [b""]
