"""HTTP/1.1 with the standard library: no redirects, bounded replies, requests can be aborted."""

from __future__ import annotations

import contextlib
import encodings.idna  # noqa: F401 - else `connect` imports it: a fork meanwhile leaves it locked
import http.client
import os
import select
import socket
import ssl
import threading
from typing import Callable, Dict, List, Optional, Tuple, Union
from urllib.parse import urlsplit

from ._platform import Request, Response
from ._reply import BODY_BYTES_MAX

_IDLE_MAX = 2
_SHOWN = ("retry-after", "etag")

Connection = Union[http.client.HTTPConnection, http.client.HTTPSConnection]
Origin = Tuple[str, str]


class Transport:
    """Connections of one client, kept alive between requests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: List[Tuple[Origin, Connection]] = []
        self._calls: List[Call] = []
        self._context: Optional[ssl.SSLContext] = None
        self._closed = False

    def begin(self, request: Request, done: Callable[[Response], None]) -> Call:
        """Sends it on a thread of its own."""
        call = Call(self, request, done)
        with self._lock:
            self._calls.append(call)
        thread = threading.Thread(target=call.run, name="tidegate-http", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads: the interpreter is ending
            call.run()
        return call

    def close(self) -> None:
        """Nothing stays open."""
        with self._lock:
            idle, self._idle, self._closed = self._idle, [], True
        for _, connection in idle:
            connection.close()

    def reset(self) -> None:
        """In a forked child: gives up the parent's sockets without ending its connections."""
        connections = [connection for _, connection in self._idle]
        connections += [call.connection for call in self._calls if call.connection is not None]
        for connection in connections:
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    os.close(connection.sock.detach())
        self._lock = threading.Lock()
        self._idle, self._calls = [], []

    def take(self, origin: Origin, timeout_s: float) -> Connection:
        """A connection: an idle one that is still good, or a new one."""
        with self._lock:
            found = [pair for pair in self._idle if pair[0] == origin]
            for pair in found:
                self._idle.remove(pair)
        kept: Optional[Connection] = None
        for _, connection in found:
            if kept is None and _still_open(connection):
                kept = connection
            else:
                connection.close()
        if kept is not None:
            if kept.sock is not None:
                kept.sock.settimeout(timeout_s)
            return kept
        scheme, place = origin
        if scheme == "https":
            if self._context is None:
                self._context = ssl.create_default_context()
            return http.client.HTTPSConnection(place, timeout=timeout_s, context=self._context)
        return http.client.HTTPConnection(place, timeout=timeout_s)

    def give(self, origin: Origin, connection: Connection) -> None:
        """A request is over and the connection can take another."""
        with self._lock:
            if not self._closed and len(self._idle) < _IDLE_MAX:
                self._idle.append((origin, connection))
                return
        connection.close()

    def ended(self, call: Call) -> None:
        """A call is over."""
        with self._lock, contextlib.suppress(ValueError):
            self._calls.remove(call)


class Call:
    """A request under way."""

    def __init__(
        self, transport: Transport, request: Request, done: Callable[[Response], None]
    ) -> None:
        self._transport = transport
        self._request = request
        self._done = done
        self._aborted = False
        self.connection: Optional[Connection] = None

    def abort(self) -> None:
        """Cuts the connection; never blocks."""
        self._aborted = True
        connection = self.connection
        sock = None if connection is None else connection.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def run(self) -> None:
        """The request, from its beginning to `done`."""
        try:
            response = self._exchange()
        except Exception:  # name, refusal, reset, TLS, timeout, garbage: all R22
            response = Response()
        self._transport.ended(self)
        self._done(Response() if self._aborted else response)

    def _exchange(self) -> Response:
        request = self._request
        parts = urlsplit(request.url)
        origin = (parts.scheme, parts.netloc)
        connection = self._transport.take(origin, request.timeout_ms / 1000)
        self.connection = connection
        reusable = False
        try:
            if connection.sock is None:
                connection.connect()
            if self._aborted:
                return Response()
            target = request.url[len(parts.scheme) + 3 + len(parts.netloc) :]
            # A gateway may answer and hang up before it has read everything (413).
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(request.method, target, request.body, dict(request.headers))
            reply = connection.getresponse()
            if not reply.headers.items() or reply.headers.defects:
                return Response()  # the head was cut off
            body, whole = _read(reply)
            reusable = whole and not reply.will_close
            return Response(reply.status, _headers(reply), body)
        finally:
            self.connection = None
            if reusable and not self._aborted:
                self._transport.give(origin, connection)
            else:
                connection.close()


def _read(reply: http.client.HTTPResponse) -> Tuple[bytes, bool]:
    """The body, at most one byte more than is allowed (R14), and whether that was all of it."""
    body = b""
    while len(body) <= BODY_BYTES_MAX:
        piece = reply.read(BODY_BYTES_MAX + 1 - len(body))
        if not piece:
            if reply.length:  # cut off before its announced length
                raise http.client.IncompleteRead(body, reply.length)
            return body, True
        body += piece
    return body, False


def _headers(reply: http.client.HTTPResponse) -> Dict[str, str]:
    found = {name: reply.getheader(name) for name in _SHOWN}
    return {name: value for name, value in found.items() if value is not None}


def _still_open(connection: Connection) -> bool:
    """Whether nothing arrived on an idle connection, not even its end."""
    if connection.sock is None:
        return False
    try:
        if hasattr(select, "poll"):
            poll = select.poll()
            poll.register(connection.sock, select.POLLIN)
            return not poll.poll(0)
        return not select.select([connection.sock], [], [], 0)[0]
    except (OSError, ValueError):
        return False
