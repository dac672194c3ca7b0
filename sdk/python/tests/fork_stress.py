"""Thousands of forks at random moments: `PYTHONPATH=src python -m tests.fork_stress [n] [seed]`.

Threads track and flush, clients come and go on one store, and the main thread forks all the while.
A child tracks one event, sends it, and has to end within 20 s without a file of its parent. In the
end every event arrived, none twice.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Dict, List, Set

from tests.gateway import Gateway
from tidegate import Client

_CHILD_S = 20.0
_AT_A_TIME = 4


class Stress:
    """One run."""

    def __init__(self, url: str, folder: str, seed: int) -> None:
        self._url, self._folder = url, folder
        self._random = random.Random(seed)
        self.tracked: Set[str] = set()
        self.wrong: List[str] = []
        self.stop = threading.Event()
        self.clients = [self.client() for _ in range(2)]
        self._running: Dict[int, float] = {}

    def client(self) -> Client:
        """On the store that all share."""
        return Client("wk_demo", self._url, store_dir=self._folder, batch_ms=100, store_flush_ms=10)

    def work(self, number: int) -> None:
        """A thread of the host."""
        at = 0
        while not self.stop.is_set():
            at += 1
            marker = f"parent-{number}-{at}"
            self.tracked.add(marker)
            self.clients[at % 2].track("t", {"marker": marker, "text": "x" * (at % 3000)})
            if at % 40 == 0:
                self.clients[at % 2].flush(200)
            time.sleep(0.002)

    def come_and_go(self) -> None:
        """Clients whose recovery, first connection and end fall between forks."""
        at = 0
        while not self.stop.is_set():
            at += 1
            client, marker = self.client(), f"guest-{at}"
            self.tracked.add(marker)
            client.track("t", {"marker": marker})
            client.close(0 if at % 2 else 5000)

    def fork(self, at: int) -> None:
        """One child."""
        time.sleep(self._random.random() * 0.01)
        pid = os.fork()
        if not pid:
            try:
                os._exit(self._child(at))
            finally:
                os._exit(9)
        self.tracked.add(f"child-{at}")
        self._running[pid] = time.monotonic() + _CHILD_S
        while len(self._running) >= _AT_A_TIME:
            self.reap()

    def _child(self, at: int) -> int:
        claims = [name for name in _targets() if self._folder in name]
        if claims:
            print(f"fork {at}: the child holds {claims}", file=sys.stderr)
        client = self.clients[at % 2]
        if client.stats()["tracked"]:
            return 3
        client.track("t", {"marker": f"child-{at}"})
        if not client.close(15_000):
            return 4
        return 5 if claims else 0

    def reap(self) -> None:
        """Children that ended, and those that hang."""
        for pid, end in list(self._running.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._running[pid]
                if status:
                    self.wrong.append(f"child {pid}: status {os.waitstatus_to_exitcode(status)}")
            elif time.monotonic() > end:
                self.wrong.append(f"child {pid} hung in {_where(pid)}")
                os.kill(pid, 9)
                os.waitpid(pid, 0)
                del self._running[pid]
        time.sleep(0.001)

    def finish(self) -> None:
        """All children, then the clients."""
        while self._running:
            self.reap()
        self.stop.set()


def _targets() -> List[str]:
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:
            continue
    return found


def _where(pid: int) -> str:
    return Path(f"/proc/{pid}/wchan").read_text()


def main() -> None:
    """Prints one line of figures; ends with 1 if anything was wrong."""
    forks = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 30)
    folder = tempfile.mkdtemp()
    with Gateway() as gateway:
        run = Stress(gateway.url, folder, seed)
        threads = [threading.Thread(target=run.work, args=(number,)) for number in range(3)]
        threads.append(threading.Thread(target=run.come_and_go))
        for thread in threads:
            thread.start()
        began = time.monotonic()
        for at in range(forks):
            run.fork(at)
        run.finish()
        took = time.monotonic() - began
        for thread in threads:
            thread.join()
        for client in run.clients:
            if not client.close(30_000):
                run.wrong.append(f"a parent's client kept {client.stats()['held']}")
        last = run.client()
        gateway.wait(lambda: len(gateway.events) >= len(run.tracked))
        last.close(30_000)
        markers = [event["props"]["marker"] for sent in gateway.batches for event in sent.events]
    shutil.rmtree(folder)
    lost, twice = len(run.tracked - set(markers)), len(markers) - len(set(markers))
    print(
        f"seed {seed}: {forks} forks in {took:.0f} s, {len(run.tracked)} events, "
        f"{len(markers)} arrived, {lost} lost, {twice} twice, {len(run.wrong)} children wrong"
    )
    for line in run.wrong[:10]:
        print(line)
    sys.exit(bool(lost or twice or run.wrong))


if __name__ == "__main__":
    main()
