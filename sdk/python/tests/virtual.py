"""A client in virtual time whose requests end in this process: no sockets, no threads."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional

from adapter.world import VirtualPlatform, World

from tidegate import Client
from tidegate._platform import Request, Response

ENDPOINT = "http://gateway.test"


@dataclass
class Call:
    """A request that waits for its answer."""

    request: Request
    done: Callable[[Response], None]
    aborted: bool = False

    def abort(self) -> None:
        """Given up."""
        self.aborted = True

    @property
    def batch(self) -> bool:
        """Whether it is no configuration request."""
        return self.request.method == "POST"

    @property
    def lines(self) -> List[Dict[str, Any]]:
        """Header and events."""
        body = self.request.body or b""
        plain = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
        return [json.loads(line) for line in plain.split(b"\n")[:-1]]

    def answer(self, status: int, body: bytes = b"{}", **headers: str) -> None:
        """Ends it."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self.done(Response(status, names, body))

    def accept(self) -> List[str]:
        """Takes all of it: the ids."""
        header, *events = self.lines
        reply = {"batch": header["batch"], "accepted": header["count"]}
        self.answer(200, json.dumps(reply).encode())
        return [event["id"] for event in events]


class Platform(VirtualPlatform):
    """Keeps requests instead of sending them."""

    def __init__(self, world: World, seed: int) -> None:
        super().__init__(world, seed)
        self.calls: List[Call] = []

    def http(self, request: Request, done: Callable[[Response], None]) -> Any:
        call = Call(request, done)
        self.calls.append(call)
        return call

    def take(self) -> List[Call]:
        """Requests that were not given up; each once."""
        calls, self.calls = self.calls, []
        return [call for call in calls if not call.aborted]


class Virtual:
    """A client and its surroundings."""

    def __init__(self, world: Optional[World] = None, seed: int = 42, **options: Any) -> None:
        self.world = world or World(True, 0, 1767225600000)
        self.platform = Platform(self.world, seed)
        self.client = Client("wk_demo", ENDPOINT, platform=self.platform, **options)
        self.run()
        for call in [call for call in self.platform.calls if not call.batch]:
            self.platform.calls.remove(call)
            call.answer(404)  # no configuration
        self.run()

    def run(self) -> None:
        """Until idle."""
        self.world.run()

    def advance(self, ms: int) -> None:
        """Timer by timer."""
        end = self.world.mono + ms
        while self.world.mono < end:
            self.world.advance(end - self.world.mono)

    def batches(self) -> List[Call]:
        """Batches that wait for their answers."""
        self.run()
        return [call for call in self.platform.take() if call.batch]

    def die(self) -> None:
        """What a SIGKILL leaves: the lock is gone, nothing is written."""
        engine = self.client._engine
        for epoch in engine.epochs():
            if epoch.journal is not None:
                epoch.journal.release()
        engine.ended = True
        self.world.platforms.remove(self.platform)
