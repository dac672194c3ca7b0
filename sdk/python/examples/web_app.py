"""A web application (WSGI) with hooks, a store and a clean end."""

from __future__ import annotations

import sys
import tempfile
import time
from typing import Any, Iterable, Optional
from wsgiref.util import setup_testing_defaults

import tidegate


def without_secrets(event: tidegate.Event) -> Optional[tidegate.Event]:
    """`before_send`: what is returned is sent, `None` drops."""
    event["props"].pop("password", None)
    return None if event["type"] == "health" else event


def count(reason: str, class_: int, number: int) -> None:
    """`on_drop`: for your own metrics."""
    print(f"dropped {number} of class {class_}: {reason}")


CLIENT = tidegate.Client(
    "wk_demo",
    sys.argv[1],
    store_dir=tempfile.mkdtemp(prefix="tidegate-"),
    context={"service": "shop"},
    before_send=without_secrets,
    on_drop=count,
)


def app(environ: Any, start_response: Any) -> Iterable[bytes]:
    """`track` costs microseconds and never blocks."""
    began = time.monotonic()
    CLIENT.track("health" if environ["PATH_INFO"] == "/health" else "request", {"password": "x"})
    start_response("200 OK", [])
    CLIENT.track("timing", {"ms": (time.monotonic() - began) * 1000}, class_=2)
    return [b"hello\n"]


for path in ("/", "/health"):
    environment = {"PATH_INFO": path}
    setup_testing_defaults(environment)
    print(b"".join(app(environment, lambda *_: None)))
print("everything arrived:", CLIENT.close())
