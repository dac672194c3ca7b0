"""The real transport and the real thread against a server on loopback."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from typing import Callable, List

import pytest

from tests.gateway import Gateway, cut, status
from tidegate import Client
from tidegate._platform import Request, Response
from tidegate._transport import Transport


def exchange(url: str, timeout_ms: int = 10_000, transport: Transport | None = None) -> Response:
    """One request."""
    done: queue.SimpleQueue[Response] = queue.SimpleQueue()
    (transport or Transport()).begin(Request("POST", url, {}, b"body", timeout_ms), done.put)
    return done.get(timeout=30)


class Raw:
    """A server that answers every connection with the same bytes and hangs up."""

    def __init__(self, reply: bytes, read: bool = True) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/x"
        self._reply, self._read = reply, read
        self.held: List[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self._read:
                connection.recv(65_536)
            if self._reply:
                with contextlib.suppress(OSError):  # the client reads no more
                    connection.sendall(self._reply)
                connection.close()
            else:
                self.held.append(connection)

    def close(self) -> None:
        """No more."""
        self._listener.close()


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000,
    ],
)
def test_broken_replies_are_no_replies(reply: bytes) -> None:
    assert exchange(Raw(reply).url).status == 0


def test_endless_reply_is_cut(capfd: pytest.CaptureFixture[str]) -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n" + b" " * 4_000_000
    found = exchange(Raw(reply).url)
    assert (found.status, len(found.body)) == (200, 65_537)
    assert capfd.readouterr().out == ""


def test_redirects_are_not_followed() -> None:
    reply = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    assert exchange(Raw(reply).url).status == 302


def test_timeout_and_nobody_there() -> None:
    silent = Raw(b"")
    assert exchange(silent.url, timeout_ms=200).status == 0
    silent.close()
    assert exchange("http://127.0.0.1:9/x").status == 0
    assert exchange("http://no-such-host.invalid/x").status == 0
    assert exchange("https://127.0.0.1:9/x").status == 0


def test_abort_ends_the_thread() -> None:
    silent = Raw(b"")
    done: queue.SimpleQueue[Response] = queue.SimpleQueue()
    call = Transport().begin(Request("GET", silent.url, {}, None, 60_000), done.put)
    deadline = threading.Event()
    while call.connection is None or call.connection.sock is None:
        deadline.wait(0.005)
    call.abort()
    assert done.get(timeout=30).status == 0


def test_connections_are_kept() -> None:
    with Gateway() as gateway:
        client = Client("wk_demo", gateway.url)
        for _ in range(5):
            client.track("t")
            assert client.flush(30_000)
        assert client.close(30_000)
        assert len(gateway.sends) == 6
        assert gateway.connections <= 2


def _await(client: Client, holds: Callable[[], bool]) -> None:
    for _ in range(600):
        if holds():
            return
        client.flush(100)
    pytest.fail(f"never: {client.stats()}")


def test_trouble_and_then_success() -> None:
    with Gateway() as gateway:
        gateway.answers += [status(503, {"retry-after": "0"}), cut, status(429)]
        client = Client("wk_demo", gateway.url, batch_ms=100, retry_base_ms=100)
        for at in range(300):
            client.track("t", {"at": at, "text": "x" * 100})
        _await(client, lambda: client.stats()["acked"] == 300)
        assert client.close(30_000)
        assert sorted(event["props"]["at"] for event in gateway.events.values()) == [*range(300)]
        assert gateway.sends[0].headers["content-encoding"] == "gzip"
        assert gateway.sends[0].headers["user-agent"].startswith("tidegate-python/")
        assert gateway.sends[0].query["attempt"] == ["3"]


def test_close_aborts_at_its_deadline() -> None:
    silent = Raw(b"")
    client = Client("wk_demo", silent.url.rpartition("/")[0])
    client.track("t")
    assert client.close(300) is False
    stats = client.stats()
    assert stats["post"] == [("unconfirmed", 1, 1)]
    client.track("late")
    assert client.stats()["pre"] == [("closed", 1, 1)]
    assert client.close() is False
    assert client.flush() is True
    names = [thread.name for thread in threading.enumerate() if thread.name == "tidegate"]
    assert names == []
