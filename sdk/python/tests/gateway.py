"""A small fake gateway over loopback: takes batches once, remembers what it took."""

from __future__ import annotations

import gzip
import http.server
import json
import sys
import threading
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple
from urllib.parse import parse_qs, urlsplit

Answer = Optional[Tuple[int, Dict[str, str], bytes]]


class Sent(NamedTuple):
    """A batch as it arrived."""

    query: Dict[str, List[str]]
    headers: Dict[str, str]
    header: Dict[str, Any]
    events: List[Dict[str, Any]]
    body: bytes


class Gateway:
    """Serves until the end of the `with` block. `answers` go first, then everything is 200."""

    def __init__(self, port: int = 0) -> None:
        self.sends: List[Sent] = []
        self.answers: List[Callable[[Sent], Answer]] = []
        self.connections = 0
        self.changed = threading.Condition()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.gateway = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Gateway:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve(self) -> None:
        """In the foreground."""
        self._server.serve_forever()

    @property
    def events(self) -> Dict[str, Dict[str, Any]]:
        """Distinct events by their ids."""
        with self.changed:
            return {event["id"]: event for sent in self.sends for event in sent.events}

    @property
    def batches(self) -> List[Sent]:
        """Each batch once, as a gateway takes it: a lost reply makes a client send it again."""
        with self.changed:
            found: Dict[str, Sent] = {}
            for sent in self.sends:
                first = found.setdefault(sent.header["batch"], sent)
                assert first.body == sent.body
            return list(found.values())

    @property
    def fins(self) -> List[Dict[str, Any]]:
        """Last reports of epochs."""
        with self.changed:
            reports = [sent.header["report"] for sent in self.sends]
        return [report for report in reports if report.get("fin")]

    def wait(self, holds: Callable[[], bool], timeout_s: float = 30) -> bool:
        """Until something is so; looks again after every request."""
        with self.changed:
            return self.changed.wait_for(holds, timeout_s)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    gateway: Gateway

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that clients cut are part of the tests."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.gateway.connections += 1

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._reply(404, {}, b"{}")

    def do_POST(self) -> None:
        gateway = self.server.gateway
        body = self.rfile.read(int(self.headers["content-length"]))
        plain = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
        header, *lines = plain.split(b"\n")[:-1]
        sent = Sent(
            parse_qs(urlsplit(self.path).query),
            {name.lower(): value for name, value in self.headers.items()},
            json.loads(header),
            [json.loads(line) for line in lines],
            body,
        )
        with gateway.changed:
            answer = gateway.answers.pop(0)(sent) if gateway.answers else _accept(sent)
            if answer is not None and answer[0] == 200:
                gateway.sends.append(sent)
            gateway.changed.notify_all()
        if answer is None:
            self.close_connection = True
        else:
            self._reply(*answer)

    def _reply(self, status: int, headers: Dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _accept(sent: Sent) -> Answer:
    reply = {"batch": sent.header["batch"], "accepted": sent.header["count"]}
    return 200, {}, json.dumps(reply).encode()


def status(code: int, headers: Optional[Dict[str, str]] = None, body: bytes = b"{}") -> Any:
    """An answer that is always the same."""
    return lambda sent: (code, headers or {}, body)


def accept(sent: Sent) -> Answer:
    """The ordinary answer."""
    return _accept(sent)


def cut(sent: Sent) -> Answer:
    """The connection ends without an answer."""
    return None


if __name__ == "__main__":
    with Gateway(int(sys.argv[1])) as served:
        threading.Event().wait()
