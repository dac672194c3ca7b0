"""A real preforking server: gunicorn loads the application, then forks (R133)."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Set, Tuple

import pytest

from tests.gateway import Gateway
from tidegate import Client

_ROOT = Path(__file__).resolve().parents[1]
_REQUESTS = 60


_WORKERS = 4
_KILLED = 2
_WINDOW_S = 1.0
"""The documented default of `store_flush_ms`. The application's is twenty times as quick, so that a
busy machine does not decide about the verdict."""
_SETTLED_S = 0.5

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gunicorn") is None or not hasattr(os, "fork"),
    reason="gunicorn is not installed",
)


@contextlib.contextmanager
def serving(gateway: Gateway, **more: str) -> Iterator[Tuple[int, int]]:
    """A gunicorn with preforked workers: its process and its port."""
    server = subprocess.Popen(
        [
            *[sys.executable, "-m", "gunicorn", "--preload", "--workers", str(_WORKERS)],
            *["--bind", "127.0.0.1:0", "--no-control-socket", "tests.wsgi:app"],
        ],
        cwd=_ROOT,
        env={**os.environ, "GATEWAY": gateway.url, "PYTHONPATH": str(_ROOT / "src"), **more},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr is not None
    try:
        port = 0
        for line in server.stderr:
            found = re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", line)
            if found:
                port = int(found[1])
                break
        assert port
        drain = threading.Thread(target=server.stderr.read)
        drain.start()
        yield server.pid, port
    finally:
        server.terminate()
        server.wait(60)
        drain.join()
        server.stderr.close()


def ask(port: int, path: str) -> Optional[int]:
    """One request: who answered, or nothing if that worker died over it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        assert reply.status == 200
        return int(reply.headers["x-pid"])
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def epochs(gateway: Gateway) -> Dict[int, str]:
    """The epoch of every process that sent anything; it has one alone."""
    found: Dict[int, Set[str]] = {}
    for sent in gateway.sends:
        for event in sent.events:
            found.setdefault(event["props"]["pid"], set()).add(sent.header["epoch"])
    assert all(len(mine) == 1 for mine in found.values())
    by_pid = {pid: next(iter(mine)) for pid, mine in found.items()}
    assert len(set(by_pid.values())) == len(by_pid)
    return by_pid


def test_preforked_workers() -> None:
    with Gateway() as gateway:
        with serving(gateway) as (master, port):
            for at in range(_REQUESTS):
                assert ask(port, f"/{at}") is not None
            assert gateway.wait(lambda: len(gateway.events) == _REQUESTS + 1)
        by_type = Counter(event["type"] for event in gateway.events.values())
        assert by_type == {"loaded": 1, "request": _REQUESTS}
        assert sum(len(sent.events) for sent in gateway.sends) == _REQUESTS + 1
        by_pid = epochs(gateway)
        assert len(by_pid) >= 2
        assert master in by_pid


def test_workers_that_are_killed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SIGKILL in the middle: nothing twice, loss within the window and visible as a gap."""
    answered: List[Tuple[float, int, str]] = []
    killed: Dict[int, float] = {}
    with Gateway() as gateway:
        with serving(gateway, STORE=str(tmp_path / "store")) as (_, port):
            _load(port, answered, killed)
        with Client("wk_demo", gateway.url, store_dir=tmp_path / "store", batch_ms=100) as last:
            for pid in killed:
                assert gateway.wait(partial(_closed, gateway, pid)), pid
            assert last.close(30_000)
        paths = [event["props"]["path"] for event in _requests(gateway)]
        assert len(set(paths)) == len(paths)
        lost = [one for one in answered if one[2] not in set(paths)]
        figures = [f"{len(answered)} requests, {len(paths)} events arrived, {len(lost)} lost"]
        assert {pid for _, pid, _ in lost} <= set(killed)
        for pid, when in killed.items():
            figures.append(_judge(gateway, pid, when, answered, lost))
    with capsys.disabled():
        print("\ngunicorn, 4 workers, 2 killed: " + "; ".join(figures))


def _load(port: int, answered: List[Tuple[float, int, str]], killed: Dict[int, float]) -> None:
    """Clients that ask all the while; two workers are killed in the middle of a burst."""
    lock = threading.Lock()
    stop = threading.Event()

    def work(number: int) -> None:
        at = 0
        while not stop.is_set():
            at += 1
            path = f"/{number}/{at}"
            pid = ask(port, path)
            if pid is not None:
                with lock:
                    answered.append((time.monotonic(), pid, path))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        for enough in (200, 500):
            _until(partial(_at_least, answered, enough))
            _until(lambda: _victim(answered, killed, lock) is not None)
            pid = _victim(answered, killed, lock) or 0
            os.kill(pid, signal.SIGKILL)
            killed[pid] = time.monotonic()
        _until(partial(_at_least, answered, 700))
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _victim(
    answered: List[Tuple[float, int, str]], killed: Dict[int, float], lock: threading.Lock
) -> Optional[int]:
    """The worker that answered last, if it wrote to the store before: one that is killed within the
    first `store_flush_ms` of its life leaves no trace."""
    with lock:
        for _, pid, _ in reversed(answered):
            first = min(at for at, by, _ in answered if by == pid)
            if pid not in killed and time.monotonic() - first > _SETTLED_S:
                return pid
    return None


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.001)


def _requests(gateway: Gateway) -> List[Dict[str, Any]]:
    return [
        event for sent in gateway.batches for event in sent.events if event["type"] == "request"
    ]


def _fin(gateway: Gateway, pid: int) -> Optional[Dict[str, Any]]:
    """The last report of a process."""
    epoch = epochs(gateway).get(pid)
    for sent in gateway.sends:
        report: Dict[str, Any] = sent.header["report"]
        if sent.header["epoch"] == epoch and report.get("fin"):
            return report
    return None


def _closed(gateway: Gateway, pid: int) -> bool:
    return _fin(gateway, pid) is not None


def _at_least(answered: List[Tuple[float, int, str]], number: int) -> bool:
    return len(answered) >= number


def _judge(
    gateway: Gateway,
    pid: int,
    when: float,
    answered: List[Tuple[float, int, str]],
    lost: List[Tuple[float, int, str]],
) -> str:
    """One killed worker; the request that it died over may have been tracked or not."""
    mine = [at for at, by, _ in lost if by == pid]
    oldest = when - min(mine) if mine else 0.0
    assert oldest <= _WINDOW_S
    # What is lost is the end of what the worker tracked.
    got = [at for at, by, path in answered if by == pid and (at, by, path) not in lost]
    assert not mine or not got or max(got) <= min(mine)
    fin = _fin(gateway, pid)
    arrived = sum(event["props"]["pid"] == pid for event in _requests(gateway))
    assert fin is not None
    assert fin["admitted"] == fin["acked"] == arrived
    assert fin["reserved"] - fin["admitted"] >= len(mine)
    return (
        f"killed {arrived} arrived, {len(mine)} lost, the oldest {oldest * 1000:.0f} ms old, "
        f"reserved {fin['reserved']}, admitted {fin['admitted']}"
    )


def test_nothing_is_imported_after_init(tmp_path: Path) -> None:
    """A fork while a thread imports leaves that module locked in the child for ever."""
    with Gateway() as gateway:
        gateway.answers += [
            lambda sent: (503, {"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, b"busy"),
            lambda sent: (429, {}, b'{"retry_ms":1}'),
            lambda sent: None,
        ]
        loaded = subprocess.run(
            [sys.executable, "-c", _LATE, gateway.url, str(tmp_path)],
            env={**os.environ, "PYTHONPATH": str(_ROOT / "src")},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    assert loaded == "[]\n"


_LATE = """
import datetime, decimal, logging, sys, threading, tidegate

def throws(*_):
    raise ValueError("on purpose")

def client(at, **more):
    more.update(store_dir=sys.argv[2], batch_ms=100, retry_base_ms=100)
    return tidegate.Client("wk_demo", at, **more)

logging.basicConfig(stream=sys.stderr)
good = client(sys.argv[1])
before = set(sys.modules)
good.track("a", {"text": "x" * 5000, "at": datetime.datetime.now(), "sum": decimal.Decimal(1)})
assert good.flush(30_000) and good.close()
odd = client(sys.argv[1], before_send=throws, on_drop=throws)
odd.track("a")
odd.track("b", {"self": odd})
odd.close()
for nobody in ("http://127.0.0.1:9", "http://localhost:9", "https" + sys.argv[1][4:]):
    left = client(nobody)
    left.track("left")
    assert not left.flush(300) and not left.close(0)
last = client(sys.argv[1])
last.track("last")
assert last.flush(30_000) and last.close()
print(sorted(set(sys.modules) - before))
"""
