"""Forks at the worst moments (R133). What chance finds is looked for by `fork_stress`."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, List, Set

import pytest

from tests.gateway import Gateway
from tests.test_store import filled
from tidegate import Client
from tidegate._platform import Driven, ThreadedPlatform

_FDS = "/proc/self/fd"
_AWHILE_S = 0.5
"""How long a thread waits for something that must not happen."""

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork") or not os.path.isdir(_FDS), reason="no fork or no list of files here"
)


def open_files() -> Set[str]:
    """Numbers and targets of what this process has open."""
    found = set()
    for fd in os.listdir(_FDS):
        with suppress(OSError):  # the listing itself
            found.add(f"{fd} {os.readlink(f'{_FDS}/{fd}')}")
    return found


def in_child(before: Set[str]) -> List[str]:
    """Forks, and answers what the child has open beyond `before`."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(reader)
            ours = f"{writer} {os.readlink(f'{_FDS}/{writer}')}"
            os.write(writer, "\n".join(sorted(open_files() - before - {ours})).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        found = pipe.read().decode().splitlines()
    os.waitpid(pid, 0)
    return found


def test_a_child_has_no_file_of_its_parent(tmp_path: Path) -> None:
    """Neither the queue and its claim nor the connection."""
    with Gateway() as gateway:
        before = open_files()
        client = Client("wk_demo", gateway.url, store_dir=tmp_path, batch_ms=100)
        client.track("t")
        assert client.flush(30_000)
        _until(lambda: not client._engine.platform._transport._calls)  # type: ignore[attr-defined]
        ours = [name for name in open_files() - before if str(tmp_path) in name]
        assert len(ours) == 2  # claim and segment
        theirs = {name for name in open_files() if str(tmp_path) not in name}
        sockets = {name for name in theirs - before if "socket:" in name}
        served = {name for name in sockets if not _is_ours(name, client)}
        assert in_child(before | served) == []
        client.track("t")
        assert client.close(30_000)
        assert len(gateway.events) == 2


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def _is_ours(name: str, client: Client) -> bool:
    """Whether it is the client's end of a connection; the other belongs to the gateway."""
    platform: Any = client._engine.platform
    idle = [connection for _, connection in platform._transport._idle]
    return int(name.split(maxsplit=1)[0]) in [connection.sock.fileno() for connection in idle]


class _Slow(ThreadedPlatform):
    """Stays in the middle of taking over a dead queue until the fork is over, or for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.over = threading.Event(), threading.Event()

    def point(self, name: str) -> None:
        if name == "claimed":
            self.reached.set()
            self.over.wait(_AWHILE_S)


def test_a_fork_waits_for_the_end_of_a_step(tmp_path: Path) -> None:
    """Else the child would hold the claim on a queue that it does not know of, while it lives."""
    filled(tmp_path)
    before = open_files()
    platform = _Slow()
    client = Client("wk_demo", "http://127.0.0.1:9", store_dir=tmp_path, platform=platform)
    assert platform.reached.wait(30)
    found = in_child(before)
    platform.over.set()
    assert [name for name in found if str(tmp_path) in name] == []
    client.close(0)


class _Pumped:
    def pump(self) -> None:
        """Nothing."""

    def wake_at(self) -> None:
        return None


def test_two_threads_of_a_child_begin_one_pump(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first events of a child may come on two threads at a time."""
    platform = ThreadedPlatform()
    driven: Driven = _Pumped()
    platform.start(driven)
    parents, calls = platform._thread, platform._calls
    platform.reset()
    begun: List[int] = []
    both = threading.Barrier(2)

    class Slow(threading.Thread):
        def __init__(self, **given: Any) -> None:
            if given["name"] == "tidegate":
                begun.append(1)
                with suppress(threading.BrokenBarrierError):
                    both.wait(_AWHILE_S)
            super().__init__(**given)

    monkeypatch.setattr(threading, "Thread", Slow)
    callers = [Slow(target=platform.wake, name=f"caller-{number}") for number in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(begun) == 1
    platform.stop()
    platform._calls.put(True)
    platform.rest(30)
    calls.put(True)  # here the parent's thread still lives
    assert parents is not None
    parents.join(30)
