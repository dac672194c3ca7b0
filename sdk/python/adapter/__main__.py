"""Reads operations, calls the SDK, answers. No logic of the contract is here."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import time
from typing import Any, Callable, Dict, List, Optional, TextIO, Tuple

from tidegate import Client, OptionError
from tidegate._version import SDK
from tidegate._waiters import Waiter

from . import odd
from .vectors import Unsupported, answer
from .world import RealPlatform, VirtualPlatform, World

CAPS = [
    "virtual",
    "store",
    "crash",
    "kill",
    "share",
    "fork",
    "exit",
    "disk",
    "secret_key",
    "gzip",
    "etag",
    "headers",
    "undefined",
    "dynamic",
]
MISSING = {
    "net": "Python is not told whether the machine is online",
    "page": "no pages in Python",
    "beacon": "no pages in Python",
    "bfcache": "no pages in Python",
}
OPTIONS = {
    "instance",
    "context",
    "batch_events_max",
    "batch_bytes_max",
    "batch_ms",
    "event_bytes_max",
    "queue_bytes_max",
    "queue_floor_bytes",
    "rate_per_s",
    "rate_burst",
    "sample",
    "sample_by",
    "retry_base_ms",
    "retry_cap_ms",
    "ttl_ms",
    "request_timeout_ms",
    "gzip_bytes_min",
    "store_flush_ms",
    "opted_out",
}
V = Dict[str, Any]


class Warnings(logging.Handler):
    """Counts warnings."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1


class Adapter:
    """One process of the driver."""

    def __init__(self) -> None:
        self.world = World(True, 0, 0)
        self.clients: Dict[str, Client] = {}
        self.drops: Dict[str, Dict[Tuple[str, int], int]] = {}
        self.calls: List[Waiter] = []
        self.warnings = Warnings(logging.WARNING)
        logger = logging.getLogger("tidegate")
        logger.addHandler(self.warnings)
        logger.addHandler(logging.StreamHandler(sys.stderr))
        logger.propagate = False

    def serve(self, lines: TextIO, out: TextIO) -> None:
        """Until the driver hangs up."""
        for line in lines:
            message = json.loads(line)
            reply: V = {"id": message.get("id"), "ok": True}
            try:
                reply["v"] = self.perform(message)
            except Unsupported as unsupported:
                reply.update(ok=False, unsupported=str(unsupported))
            except Threw as threw:
                reply.update(ok=False, threw=repr(threw.__cause__))
            except Exception as error:
                reply.update(ok=False, error=repr(error))
            out.write(json.dumps(reply) + "\n")
            out.flush()

    def perform(self, message: V) -> V:
        """One operation, and then until idle."""
        operation: Optional[Callable[[V], V]] = getattr(self, "op_" + message["op"], None)
        if operation is None:
            raise Unsupported(MISSING.get(message["op"], f"no operation {message['op']}"))
        found = operation(message)
        self.world.run()
        pulse = {
            "http": self.world.http,
            "begun": self.world.begun,
            "timer_ms": self.world.next_timer(),
        }
        return {**found, **pulse}

    def client(self, message: V) -> Client:
        """The client that a message names."""
        return self.clients[message.get("client") or "a"]

    # Operations

    def op_hello(self, message: V) -> V:
        virtual = message.get("clock", "virtual") == "virtual"
        self.world = World(virtual, message.get("mono_ms", 0), message.get("wall_ms", 0))
        return {
            "sdk": SDK,
            "contract": 1,
            "profile": "server",
            "caps": CAPS,
            "missing": MISSING,
        }

    def op_init(self, message: V) -> V:
        name = message.get("client") or "a"
        given: V = message.get("options") or {}
        seed = int(message.get("seed") or 42)
        drops = self.drops[name] = {}
        virtual = self.world.virtual
        platform = VirtualPlatform(self.world, seed) if virtual else RealPlatform(self.world)
        on_drop = message.get("on_drop")

        def record(reason: str, class_: int, count: int) -> None:
            drops[reason, class_] = drops.get((reason, class_), 0) + count
            if on_drop == "throw":
                raise RuntimeError("on_drop throws")
            if on_drop == "reenter":
                self.clients[name].track("inner")

        try:
            self.clients[name] = Client(
                given.get("key"),  # type: ignore[arg-type]
                given.get("endpoint"),  # type: ignore[arg-type]
                **{option: value for option, value in given.items() if option in OPTIONS},
                store_dir=message.get("store"),
                before_send=self._hook(name, message.get("before_send")),
                on_drop=record,
                platform=platform,
            )
        except OptionError as refused:
            return {"refused": str(refused)}
        return {"refused": None}

    def _hook(self, name: str, what: Optional[str]) -> Any:
        def throw(event: Any) -> Any:
            raise RuntimeError("before_send throws")

        def change(event: Any) -> Any:
            event["props"]["touched"] = True
            return event

        def reenter(event: Any) -> Any:
            self.clients[name].track("inner")
            return event

        hooks: Dict[Optional[str], Any] = {
            None: None,
            "drop": lambda event: None,
            "throw": throw,
            "change": change,
            "demote": lambda event: {**event, "class": 2},
            "garbage": lambda event: 5,
            "reenter": reenter,
            "bad_type": lambda event: {**event, "type": "a b"},
        }
        return hooks[what]

    def op_track(self, message: V) -> V:
        client, props, marker = self.client(message), message.get("props"), message.get("marker")
        longest = 0.0
        for at in range(message.get("count") or 1):
            given = props if marker is None else {**(props or {}), "n": marker + at}
            began = time.perf_counter()
            self._track(client, message["type"], given, message.get("class"))
            longest = max(longest, time.perf_counter() - began)
        return {"us": round(longest * 1_000_000)}

    def op_odd(self, message: V) -> V:
        try:
            type_, props, class_ = odd.build(message["what"])
        except KeyError:
            raise Unsupported(f"no {message['what']} in Python") from None
        if class_ is None:
            class_ = message.get("class")
        marker = message.get("marker")
        if marker is not None and (props is None or isinstance(props, dict)):
            props = {} if props is None else props
            props["n"] = marker
        self._track(self.client(message), type_, props, class_)
        if message["what"] == "mutated":
            props["v"] = 2
        return {}

    @staticmethod
    def _track(client: Client, type_: Any, props: Any, class_: Any) -> None:
        try:
            client.track(type_, props, class_=class_)
        except Exception as error:
            raise Threw from error

    def op_advance(self, message: V) -> V:
        return {"moved_ms": self.world.advance(message["ms"])}

    def op_settle(self, message: V) -> V:
        self.world.settle()
        return {}

    def op_wall(self, message: V) -> V:
        by_ms = message.get("by_ms")
        self.world.wall = message["to_ms"] if by_ms is None else self.world.wall + by_ms
        return {}

    def op_suspend(self, message: V) -> V:
        self.world.mono += message["mono_ms"]
        self.world.wall += message["wall_ms"]
        return {}

    def op_flush(self, message: V) -> V:
        return self._begin(self.client(message)._engine.begin_flush, message)

    def op_close(self, message: V) -> V:
        return self._begin(self.client(message)._engine.begin_close, message)

    def _begin(self, begin: Callable[[int], Waiter], message: V) -> V:
        self.calls.append(begin(message["timeout_ms"]))
        return {"call": len(self.calls) - 1}

    def op_call(self, message: V) -> V:
        waiter = self.calls[message["call"]]
        now = next(iter(self.clients.values()))._engine.now()
        return {
            "done": waiter.done,
            "result": waiter.result if waiter.done else None,
            "took_ms": (waiter.ended if waiter.done else now) - waiter.began,
        }

    def op_opt_out(self, message: V) -> V:
        self.client(message).opt_out()
        return {}

    def op_opt_in(self, message: V) -> V:
        self.client(message).opt_in()
        return {}

    def op_stats(self, message: V) -> V:
        return {"stats": self.client(message).stats()}

    def op_drops(self, message: V) -> V:
        drops = self.drops[message.get("client") or "a"]
        return {"drops": sorted([reason, class_, n] for (reason, class_), n in drops.items())}

    def op_exit(self, message: V) -> V:
        for client in self.clients.values():
            client._engine.begin_close(0)
        self.world.run()
        os._exit(0)

    def op_crash_at(self, message: V) -> V:
        self.world.crash_at(message["point"], message.get("nth") or 1)
        for platform in self.world.platforms:
            platform.disk.tears = message["point"] == "append_torn"
        return {}

    def op_disk(self, message: V) -> V:
        disk: Any = self.client(message)._engine.platform.disk
        disk.mode = message["mode"]
        return {}

    def op_fork(self, message: V) -> V:
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        sys.stdout.flush()
        if os.fork():
            listener.close()
            return {"port": port}
        self.world.forked()
        connection, _ = listener.accept()
        listener.close()
        with connection.makefile("r", encoding="utf-8") as lines:
            with connection.makefile("w", encoding="utf-8") as out:
                self.serve(lines, out)
        os._exit(0)

    def op_logs(self, message: V) -> V:
        return {"warnings": self.warnings.count}

    def op_vec(self, message: V) -> V:
        return {"out": answer(message["function"], message["in"])}


class Threw(Exception):
    """A public call of the SDK threw."""


Adapter().serve(sys.stdin, sys.stdout)
