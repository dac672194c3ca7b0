"""Many threads, hooks, garbage, event loops and the end of the process."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import subprocess
import sys
import threading
import weakref
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

import tidegate.logging
from tests.gateway import Gateway
from tests.test_ledger import check_sums
from tidegate import Client

_SRC = str(Path(__file__).resolve().parents[1] / "src")


def test_many_threads() -> None:
    drops: Counter[Tuple[str, int]] = Counter()
    lock = threading.Lock()

    def on_drop(reason: str, class_: int, count: int) -> None:
        with lock:
            drops[reason, class_] += count

    with Gateway() as gateway:
        client = Client(
            "wk_demo",
            gateway.url,
            queue_bytes_max=65_536,
            batch_ms=100,
            on_drop=on_drop,
        )
        stop = threading.Event()

        def look() -> None:
            while not stop.is_set():
                check_sums(dict(client.stats()))
                client.flush(5)

        def work(number: int) -> None:
            for at in range(1500):
                client.track("t" if at % 50 else "a b", {"by": number, "at": at}, class_=at % 3)

        looking = threading.Thread(target=look)
        looking.start()
        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stop.set()
        looking.join()
        assert client.close(60_000)
        stats: Dict[str, Any] = dict(client.stats())
        assert stats["tracked"] == 9000
        assert stats["held"] == 0
        assert len(gateway.events) == stats["acked"]
        told = Counter({(reason, class_): n for reason, class_, n in stats["pre"] + stats["post"]})
        assert drops == told
        seqs = sorted(event["seq"] for event in gateway.events.values())
        assert len(set(seqs)) == len(seqs)


def test_forgotten_client_ends() -> None:
    """R134: a client that nobody holds ends its thread, also if a hook refers to it."""
    ended = threading.Event()

    class Host:
        def __init__(self) -> None:
            self.client = Client("wk_demo", "http://127.0.0.1:9", on_drop=self.dropped)

        def dropped(self, reason: str, class_: int, count: int) -> None:
            pass

    host = Host()
    engine = host.client._engine
    stop = engine.platform.stop
    engine.platform.stop = lambda: (stop(), ended.set())  # type: ignore[method-assign,func-returns-value,assignment]
    gone = weakref.ref(host.client)
    host.client.track("t")
    del host
    gc.collect()
    assert gone() is None
    assert ended.wait(30)


def test_track_inside_hooks_of_another_client() -> None:
    with Gateway() as gateway:
        other = Client("wk_demo", gateway.url)
        client = Client(
            "wk_demo", gateway.url, on_drop=lambda reason, class_, n: other.track("drop")
        )
        client.track("a b")
        assert other.stats()["admitted"] == 1
        assert client.close(30_000)
        assert other.close(30_000)


def test_flush_inside_a_hook_does_not_wait_for_itself() -> None:
    found: List[bool] = []
    done = threading.Event()

    def on_drop(reason: str, class_: int, count: int) -> None:
        found.append(client.flush(60_000))
        done.set()

    with Gateway() as gateway:
        gateway.answers.append(lambda sent: (400, {}, b"{}"))
        client = Client("wk_demo", gateway.url, batch_ms=100, on_drop=on_drop)
        client.track("t")
        assert done.wait(30)
        client.close(30_000)


def test_event_loop() -> None:
    async def main(url: str) -> bool:
        client = Client("wk_demo", url)
        client.track("t")
        return await client.flush_async(30_000) and await client.close_async(30_000)

    with Gateway() as gateway:
        assert asyncio.run(main(gateway.url))
        assert len(gateway.events) == 1


def test_exit_hook_sends(tmp_path: Path) -> None:
    """R132: the process ends by itself, nothing on its standard output."""
    code = "import sys, tidegate; c = tidegate.Client('wk_demo', sys.argv[1]); c.track('t')"
    with Gateway() as gateway:
        ran = subprocess.run(
            [sys.executable, "-c", code, gateway.url],
            env={**os.environ, "PYTHONPATH": _SRC},
            capture_output=True,
            timeout=60,
            check=True,
        )
        assert ran.stdout == b""
        assert len(gateway.events) == 1
        assert len(gateway.fins) == 1


def test_exit_hook_writes(tmp_path: Path) -> None:
    """What cannot be sent in time is found by the next process."""
    code = (
        "import sys, tidegate;"
        "c = tidegate.Client('wk_demo', 'http://127.0.0.1:9', store_dir=sys.argv[1]);"
        "[c.track('t', {'at': at}) for at in range(500)]"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": _SRC},
        timeout=60,
        check=True,
    )
    with Gateway() as gateway:
        client = Client("wk_demo", gateway.url, store_dir=tmp_path, batch_ms=100)
        assert gateway.wait(lambda: len(gateway.fins) == 1)
        assert len(gateway.events) == 500
        assert gateway.fins[0]["admitted"] == 500
        assert client.close(30_000)


def test_logging_handler() -> None:
    with Gateway() as gateway:
        client = Client("wk_demo", gateway.url)
        logger = logging.Logger("app")
        logger.addHandler(tidegate.logging.TidegateHandler(client))
        logger.info("hello %s", "world")
        try:
            raise ValueError("oh")
        except ValueError:
            logger.exception("failed")
        own = logging.getLogger("tidegate.something")
        handler = tidegate.logging.TidegateHandler(client)
        handler.emit(own.makeRecord(own.name, 40, "f", 1, "loop", (), None))
        assert client.close(30_000)
        by_type = {event["type"]: event["props"] for event in gateway.events.values()}
        assert set(by_type) == {"log.info", "log.error"}
        assert by_type["log.info"]["message"] == "hello world"
        assert "ValueError: oh" in by_type["log.error"]["exception"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork() -> None:
    """R133: the child's events are the child's, the parent's are sent once, by the parent."""
    with Gateway() as gateway:
        client = Client("wk_demo", gateway.url, batch_ms=60_000)
        client.track("t", {"in": "parent"})
        pid = os.fork()
        if not pid:
            status = 1
            try:
                ours = client.stats()["tracked"] == 0
                client.track("t", {"in": "child"})
                status = 0 if ours and client.close(30_000) else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        client.track("t", {"in": "parent"})
        assert client.close(30_000)
        places = Counter(event["props"]["in"] for event in gateway.events.values())
        assert places == {"parent": 2, "child": 1}
        assert sum(len(sent.events) for sent in gateway.sends) == 3
        assert len({sent.header["epoch"] for sent in gateway.sends}) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_fork_with_a_store(tmp_path: Path) -> None:
    """A child that is killed leaves the parent's claim alone; its own queue is found later."""
    with Gateway() as gateway:
        client = Client("wk_demo", "http://127.0.0.1:9", store_dir=tmp_path, store_flush_ms=10)
        client.track("t", {"in": "parent"})
        assert not client.flush(200)
        pid = os.fork()
        if not pid:
            try:
                client.track("t", {"in": "child"})
                client.close(200)
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        late = Client("wk_demo", gateway.url, store_dir=tmp_path, batch_ms=100)
        assert gateway.wait(lambda: len(gateway.fins) == 1)
        assert [event["props"]["in"] for event in gateway.events.values()] == ["child"]
        assert client.close(0) is False
        assert late.close(30_000)
        last = Client("wk_demo", gateway.url, store_dir=tmp_path, batch_ms=100)
        assert gateway.wait(lambda: len(gateway.events) == 2)
        assert last.close(30_000)


def test_stats_are_json() -> None:
    client = Client("wk_demo", "http://127.0.0.1:9")
    client.track("a b")
    assert json.loads(json.dumps(client.stats()))["pre"] == [["invalid", 1, 1]]
    client.close(0)
