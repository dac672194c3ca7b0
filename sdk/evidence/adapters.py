"""Drives the adapter of one SDK (contract/adapter.md) over its standard input and output."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Dict, List, Optional, Type

SDK = Path(__file__).resolve().parents[1]
FOLDERS = {"python": "python", "go": "go", "node": "js"}
STARTED_WALL_MS = 1_767_225_600_000
_STEPS_MAX = 100_000


class Unsupported(Exception):
    """The language or the SDK has no such thing; the text says why."""


class Threw(Exception):
    """A public call of the SDK threw."""


class Adapter:
    """One process. Time stands still but in `advance`."""

    def __init__(self, sdk: str, clock: str = "virtual", wall_ms: int = STARTED_WALL_MS) -> None:
        folder = SDK / FOLDERS[sdk]
        manifest = (folder / "adapter.toml").read_text()
        found = re.search(r"^command = (\[.*\])$", manifest, re.MULTILINE)
        assert found, f"{folder}/adapter.toml has no command in one line"
        command: List[str] = json.loads(found[1])
        if command[0] == "python3":
            command[0] = sys.executable
        home = tempfile.mkdtemp(prefix="evidence-")
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "TIDEGATE_CONTRACT": str(SDK / "contract"), "TIDEGATE_HOME": home},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._id = 0
        self.mono_ms = 0
        self.op("hello", clock=clock, mono_ms=0, wall_ms=wall_ms)

    def __enter__(self) -> Adapter:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def op(self, name: str, **fields: Any) -> Dict[str, Any]:
        """One operation and its answer."""
        self._id += 1
        given = {key: value for key, value in fields.items() if value is not None}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"id": self._id, "op": name, **given}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the adapter ended during {name} {fields}")
        reply = json.loads(line)
        if reply.get("ok"):
            answer: Dict[str, Any] = reply["v"]
            return answer
        if "threw" in reply:
            raise Threw(reply["threw"])
        if "unsupported" in reply:
            raise Unsupported(reply["unsupported"])
        raise RuntimeError(f"{name} {fields}: {reply.get('error')}")

    def settle(self) -> None:
        """Until no request is open: nobody holds one back on purpose here."""
        for _ in range(_STEPS_MAX):
            if not self.op("settle")["http"]:
                return
        raise RuntimeError("requests do not end")

    def advance(self, ms: int) -> None:
        """Lets time pass, timer by timer, through requests and their replies."""
        end = self.mono_ms + ms
        for _ in range(_STEPS_MAX):
            self.settle()
            left = end - self.mono_ms
            moved = self.op("advance", ms=left)
            self.mono_ms += moved["moved_ms"]
            if self.mono_ms >= end and not moved["http"] and moved["timer_ms"] != 0:
                return
        raise RuntimeError("timers without an end")

    def stats(self, client: str) -> Dict[str, Any]:
        """`stats()`, R105."""
        answer: Dict[str, Any] = self.op("stats", client=client)["stats"]
        return answer


def sums(stats: Dict[str, Any]) -> None:
    """R101; raises `AssertionError`."""
    pre, post = (sum(row[2] for row in stats[name]) for name in ("pre", "post"))
    assert stats["tracked"] == stats["admitted"] + pre, stats
    assert stats["admitted"] == stats["acked"] + stats["held"] + post, stats
