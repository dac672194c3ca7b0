"""Time, chance, HTTP and faults as the driver wants them (adapter.md, sections 1-2)."""

from __future__ import annotations

import errno
import os
import queue
import signal
import time
from typing import Any, Callable, List, Optional, Tuple

from tidegate._platform import Disk, Driven, Request, Response, ThreadedPlatform
from tidegate._transport import Call, Transport

from .splitmix import SplitMix64

_REAL_TIMEOUT_MS = 600_000


class World:
    """What all clients of this process share."""

    def __init__(self, virtual: bool, mono_ms: int, wall_ms: int) -> None:
        self.virtual = virtual
        self.mono, self.wall = mono_ms, wall_ms
        self.http = self.begun = 0
        self.platforms: List[VirtualPlatform] = []
        self.ended: queue.SimpleQueue[Tuple[Counted, Response]] = queue.SimpleQueue()
        self._crash: Optional[Tuple[str, int]] = None

    def crash_at(self, point: str, nth: int) -> None:
        """The process is to end at a point."""
        self._crash = (point, nth)

    def point(self, name: str) -> None:
        """Ends the process if it was asked for."""
        if self._crash is None or self._crash[0] != name:
            return
        nth = self._crash[1] - 1
        self._crash = (name, nth)
        if nth == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def run(self) -> None:
        """Until nothing is runnable without a timer or a reply."""
        while True:
            self._deliver(0)
            woken = [platform for platform in self.platforms if platform.woken]
            if not woken:
                return
            for platform in woken:
                platform.pump()

    def settle(self) -> None:
        """The same, after a moment for what is on its way."""
        if self.http:
            self._deliver(0.002)
        self.run()

    def _deliver(self, wait_s: float) -> None:
        try:
            while True:
                call, response = (
                    self.ended.get(timeout=wait_s) if wait_s else self.ended.get_nowait()
                )
                wait_s = 0
                call.finish(response)
        except queue.Empty:
            pass

    def next_timer(self) -> Optional[int]:
        """Milliseconds to the earliest timer."""
        times = [platform.wake_at() for platform in self.platforms]
        known = [at for at in times if at is not None]
        return max(min(known) - self.mono, 0) if known else None

    def advance(self, ms: int) -> int:
        """Moves both clocks, no further than to the next timer, and runs what is due then."""
        if not self.virtual:
            time.sleep(ms / 1000)
            return ms
        timer = self.next_timer()
        moved = ms if timer is None else min(ms, timer)
        self.mono += moved
        self.wall += moved
        for platform in self.platforms:
            at = platform.wake_at()
            if at is not None and at <= self.mono:
                platform.pump()
        self.run()
        return moved

    def forked(self) -> None:
        """The child has no requests under way."""
        self.http = 0
        self.ended = queue.SimpleQueue()


class FaultyDisk(Disk):
    """Writes that fail as the driver wants."""

    mode = "ok"

    def write(self, fd: int, data: bytes) -> None:
        if self.mode != "ok":
            raise OSError(errno.ENOSPC if self.mode == "full" else errno.EIO, "as the driver wants")
        super().write(fd, data)


class Counted:
    """A request that is counted until its continuation ran or it was given up."""

    def __init__(self, world: World, done: Callable[[Response], None]) -> None:
        self._world = world
        self._done = done
        self._open = True
        self.call: Optional[Call] = None
        world.http += 1
        world.begun += 1

    def arrived(self, response: Response) -> None:
        """On the thread of the request."""
        self._world.ended.put((self, response))

    def finish(self, response: Response) -> None:
        """On the thread of the adapter."""
        if self._open:
            self._open = False
            self._world.http -= 1
            self._done(response)

    def abort(self) -> None:
        """Given up by the SDK."""
        if self._open:
            self._open = False
            self._world.http -= 1
        if self.call is not None:
            self.call.abort()


class VirtualPlatform:
    """Both clocks stand still; everything runs on the adapter's thread but HTTP."""

    def __init__(self, world: World, seed: int) -> None:
        self.disk: Disk = FaultyDisk()
        self.woken = False
        self._world = world
        self._seed = seed
        self._jitter, self._ids = SplitMix64(seed), SplitMix64(seed + 1)
        self._transport = Transport()
        self._driven: Optional[Driven] = None
        self._stopped = False

    def mono_ms(self) -> int:
        return self._world.mono

    def wall_ms(self) -> int:
        return self._world.wall

    def unit(self) -> float:
        return self._jitter.unit()

    def u64(self) -> int:
        return self._ids.u64()

    def start(self, driven: Driven) -> None:
        self._driven = driven
        self._world.platforms.append(self)
        self.wake()

    def wake(self) -> None:
        self.woken = True

    def stop(self) -> None:
        self._stopped = True
        self._transport.close()

    def rest(self, timeout_s: float) -> None:
        pass

    def reset(self) -> None:
        # Chance must not repeat itself in a child.
        self._ids = SplitMix64(self._seed + 1_000_003)
        self._transport.reset()

    def http(self, request: Request, done: Callable[[Response], None]) -> Any:
        request.timeout_ms = _REAL_TIMEOUT_MS
        counted = Counted(self._world, done)
        counted.call = self._transport.begin(request, counted.arrived)
        return counted

    def point(self, name: str) -> None:
        self._world.point(name)

    def inside(self) -> bool:
        return True

    def pump(self) -> None:
        """What the thread does in production."""
        self.woken = False
        if self._driven is not None and not self._stopped:
            self._driven.pump()

    def wake_at(self) -> Optional[int]:
        """The client's timer."""
        return None if self._driven is None or self._stopped else self._driven.wake_at()


class RealPlatform(ThreadedPlatform):
    """The production platform, counted."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def http(self, request: Request, done: Callable[[Response], None]) -> Any:
        world = self._world
        world.http += 1
        world.begun += 1

        def ended(response: Response) -> None:
            done(response)
            world.http -= 1

        return super().http(request, ended)
