"""A real preforking server: gunicorn loads the application, then forks (R133)."""

from __future__ import annotations

import http.client
import importlib.util
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.gateway import Gateway

_ROOT = Path(__file__).resolve().parents[1]
_REQUESTS = 60


@pytest.mark.skipif(
    importlib.util.find_spec("gunicorn") is None or not hasattr(os, "fork"),
    reason="gunicorn is not installed",
)
def test_preforked_workers() -> None:
    with Gateway() as gateway:
        server = subprocess.Popen(
            [
                *[sys.executable, "-m", "gunicorn", "--preload", "--workers", "2"],
                *["--bind", "127.0.0.1:0", "--no-control-socket", "tests.wsgi:app"],
            ],
            cwd=_ROOT,
            env={**os.environ, "GATEWAY": gateway.url, "PYTHONPATH": str(_ROOT / "src")},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert server.stderr is not None
            port = 0
            for line in server.stderr:
                found = re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", line)
                if found:
                    port = int(found[1])
                    break
            assert port
            for at in range(_REQUESTS):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                connection.request("GET", f"/{at}")
                assert connection.getresponse().status == 200
                connection.close()
            assert gateway.wait(lambda: len(gateway.events) == _REQUESTS + 1)
        finally:
            server.terminate()
            server.communicate(timeout=30)
        by_type = Counter(event["type"] for event in gateway.events.values())
        assert by_type == {"loaded": 1, "request": _REQUESTS}
        assert sum(len(sent.events) for sent in gateway.sends) == _REQUESTS + 1
        pids = {
            event["props"]["pid"]: sent.header["epoch"]
            for sent in gateway.sends
            for event in sent.events
        }
        assert len(set(pids.values())) == len(pids) >= 2
        assert server.pid in pids


def test_nothing_is_imported_after_init(tmp_path: Path) -> None:
    """A fork while a thread imports leaves that module locked in the child for ever."""
    with Gateway() as gateway:
        loaded = subprocess.run(
            [sys.executable, "-c", _LATE, gateway.url, str(tmp_path)],
            env={**os.environ, "PYTHONPATH": str(_ROOT / "src")},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    assert loaded == "[]\n"


_LATE = """
import sys, tidegate
client = tidegate.Client("wk_demo", sys.argv[1], store_dir=sys.argv[2])
before = set(sys.modules)
client.track("a", {"text": "x" * 5000})
assert client.flush() and client.close()
print(sorted(set(sys.modules) - before))
"""
