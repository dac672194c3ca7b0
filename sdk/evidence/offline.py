"""Ten minutes without a gateway, 50 events a second, a queue of 1 MB; then SIGKILL and a restart.

What has to stay is worked out here from R70-R74 alone, with the contract's reference for the choice
(`contract/reference/eviction.py`): every figure of every class has to be exactly that, in
`stats()`, in what arrives after the restart, and in the last report of the epoch.
"""

from __future__ import annotations

import socket
import tempfile
from collections import deque
from contextlib import suppress
from typing import Any, Deque, Dict, List, Set, Tuple

from reference.eviction import choose
from tests.gateway import Gateway

from .adapters import STARTED_WALL_MS, Adapter, sums

SECONDS = 600
# Of the 50 events of a second; the critical ones fit, the ordinary ones do not.
EACH_SECOND = (2, 15, 33)
QUEUE_BYTES = 1_048_576
_BATCH_MS = 2000
_PAD_BYTES = 150
_FIRST_MARKER = 100_000
_CANDIDATES = 256
"""As many of the oldest events of a class as one newcomer can possibly displace."""


class Model:
    """What R70-R74 ask for, worked out without any SDK."""

    def __init__(self) -> None:
        self.queued: List[Deque[Tuple[int, int]]] = [deque(), deque(), deque()]
        self.sealed: List[List[int]] = [[], [], []]
        self.bytes = [0, 0, 0]
        self.sealed_bytes = 0
        self.evicted, self.refused = [0, 0, 0], [0, 0, 0]
        self.seq = 0

    def track(self, class_: int, marker: int) -> None:
        """One event at the door."""
        size = event_bytes(self.seq + 1, marker)
        floors = [QUEUE_BYTES // 8] * 3
        floors, lists = self._near(floors)
        sealed = self.sealed_bytes + sum(self.bytes) - sum(map(sum, lists))
        found = choose(lists, sealed, class_, size, QUEUE_BYTES, floors)
        if not found["admitted"]:
            self.refused[class_] += 1
            return
        self.seq += 1
        for other, count in enumerate(found["evicted"]):
            for _ in range(count):
                self.bytes[other] -= self.queued[other].popleft()[1]
                self.evicted[other] += 1
        self.queued[class_].append((marker, size))
        self.bytes[class_] += size

    def _near(self, floors: List[int]) -> Tuple[List[int], List[List[int]]]:
        """The front of every class alone, so that a choice costs little; floors move along."""
        lists = []
        for class_, events in enumerate(self.queued):
            front = [size for _, (_, size) in zip(range(_CANDIDATES), events)]
            lists.append(front)
            floors[class_] -= self.bytes[class_] - sum(front)
        return floors, lists

    def seal(self) -> None:
        """Everything queued becomes one batch a class, which nobody takes (R77)."""
        for class_, events in enumerate(self.queued):
            self.sealed[class_] = [marker for marker, _ in events]
            self.sealed_bytes += self.bytes[class_]
            self.bytes[class_] = 0
            events.clear()

    def held(self, class_: int) -> Set[int]:
        """Markers of what stayed."""
        return {*self.sealed[class_], *(marker for marker, _ in self.queued[class_])}


def event_bytes(seq: int, marker: int) -> int:
    """R70: the line without `age`, and its newline."""
    line = (
        f'{{"id":"{"0" * 36}","seq":{seq},"ts":{STARTED_WALL_MS},"type":"t",'
        f'"props":{{"pad":"{"x" * _PAD_BYTES}","n":{marker}}}}}'
    )
    return len(line) + 1


def classes() -> List[int]:
    """One second's classes, mixed, always in the same order."""
    left, order = list(EACH_SECOND), []
    total = sum(EACH_SECOND)
    for at in range(1, total + 1):
        behind = [EACH_SECOND[c] * at / total - (EACH_SECOND[c] - left[c]) for c in range(3)]
        class_ = max(range(3), key=lambda c: (left[c] > 0, behind[c]))
        left[class_] -= 1
        order.append(class_)
    return order


def run(sdk: str) -> Tuple[int, int]:
    """One SDK in virtual time. Answers passed and failed checks and prints the figures."""
    port = _free_port()
    folder = tempfile.mkdtemp(prefix="evidence-")
    model, marker = Model(), _FIRST_MARKER
    by_class: List[Set[int]] = [set(), set(), set()]
    with Adapter(sdk) as adapter:
        _init(adapter, "a", port, folder)
        for second in range(SECONDS):
            for class_ in classes():
                props = {"pad": "x" * _PAD_BYTES}
                adapter.op(
                    "track", client="a", type="t", props=props, marker=marker, **_class(class_)
                )
                model.track(class_, marker)
                by_class[class_].add(marker)
                marker += 1
            adapter.advance(1000)
            if (second + 1) * 1000 == _BATCH_MS:
                model.seal()
        stats = adapter.stats("a")
        adapter.kill()
    sums(stats)
    arrived, fin = _restart(sdk, port, folder, STARTED_WALL_MS + SECONDS * 1000)
    return _report(sdk, model, by_class, stats, arrived, fin)


def _class(class_: int) -> Dict[str, int]:
    return {"class": class_}


def _init(adapter: Adapter, client: str, port: int, folder: str) -> None:
    options = {
        "key": "wk_demo",
        "endpoint": f"http://127.0.0.1:{port}",
        "queue_bytes_max": QUEUE_BYTES,
        "batch_ms": _BATCH_MS,
        "batch_events_max": 500,
        "batch_bytes_max": 262_144,
        "ttl_ms": 3_600_000,
        "store_flush_ms": 1000,
    }
    given = {key: value for key, value in options.items() if value is not None}
    adapter.op("init", client=client, seed="42", options=given, store=folder)


def _restart(
    sdk: str, port: int, folder: str, wall_ms: int
) -> Tuple[List[List[int]], Dict[str, Any]]:
    """A new process on the store, and a gateway: markers that arrived, and the last report."""
    with Gateway(port) as gateway, Adapter(sdk, wall_ms=wall_ms) as adapter:
        _init(adapter, "b", port, folder)
        for _ in range(60):
            adapter.advance(1000)
            if gateway.fins:
                break
        arrived: List[List[int]] = [[], [], []]
        for sent in gateway.sends:
            arrived[sent.header["class"]] += [event["props"]["n"] for event in sent.events]
        assert len(gateway.fins) == 1, "the epoch was not closed"
        return arrived, gateway.fins[0]


def _report(
    sdk: str,
    model: Model,
    by_class: List[Set[int]],
    stats: Dict[str, Any],
    arrived: List[List[int]],
    fin: Dict[str, Any],
) -> Tuple[int, int]:
    rows = {(reason, class_): count for reason, class_, count in stats["pre"] + stats["post"]}
    passed = failed = 0
    print(f"offline, {sdk}: {SECONDS} s, {sum(EACH_SECOND)} events/s, {QUEUE_BYTES} bytes")
    print("| class | tracked | refused_full | queue_full | stayed | arrived | twice |")
    print("|---|---|---|---|---|---|---|")
    for class_ in range(3):
        evicted, refused = (
            rows.get(("queue_full", class_), 0),
            rows.get(("refused_full", class_), 0),
        )
        stayed = stats["queued"][class_] + len(model.sealed[class_])
        distinct = set(arrived[class_])
        twice = len(arrived[class_]) - len(distinct)
        print(
            f"| {class_} | {len(by_class[class_])} | {refused} | {evicted} | {stayed} "
            f"| {len(distinct)} | {twice} |"
        )
        for what, seen, must in (
            ("queue_full", evicted, model.evicted[class_]),
            ("refused_full", refused, model.refused[class_]),
            ("queued", stats["queued"][class_], len(model.queued[class_])),
            ("the very events that arrived", distinct, model.held(class_)),
            ("twice", twice, 0),
        ):
            if seen == must:
                passed += 1
                continue
            failed += 1
            odd = f"{len(seen ^ must)} differ" if isinstance(seen, set) else f"{seen}, not {must}"
            print(f"FAILED  class {class_}, {what}: {odd}")
    used = model.sealed_bytes + sum(model.bytes)
    whole = sum(map(len, by_class))
    for what, seen, must in (
        ("queue_bytes", stats["queue_bytes"], used),
        (
            "others dropped",
            [row for row in rows if row[0] not in ("queue_full", "refused_full")],
            [],
        ),
        ("last report: tracked", fin["tracked"], whole),
        ("last report: acked", fin["acked"], sum(len(model.held(c)) for c in range(3))),
        ("last report: post", fin["post"], [row for row in stats["post"] if row[2]]),
        ("last report: pre", fin["pre"], [row for row in stats["pre"] if row[2]]),
    ):
        passed, failed = passed + (seen == must), failed + (seen != must)
        if seen != must:
            print(f"FAILED  {what}: {seen}, not {must}")
    return passed, failed


def real(sdk: str, seconds: int = 20, per_s: int = 1500) -> Tuple[int, int]:
    """The same on the real clock, faster and shorter: of every class the oldest left, one gap."""
    port, folder = _free_port(), tempfile.mkdtemp(prefix="evidence-")
    order, marker = classes(), _FIRST_MARKER
    by_class: List[List[int]] = [[], [], []]
    with Adapter(sdk, "real") as adapter:
        _init(adapter, "a", port, folder)
        for _ in range(seconds * 10):
            for at in range(per_s // 10):
                class_ = order[at % len(order)]
                props = {"pad": "x" * _PAD_BYTES}
                adapter.op(
                    "track", client="a", type="t", props=props, marker=marker, **_class(class_)
                )
                by_class[class_].append(marker)
                marker += 1
            adapter.op("advance", ms=100)
        adapter.op("advance", ms=2000)
        stats = adapter.stats("a")
        adapter.kill()
    sums(stats)
    rows = {(reason, class_): count for reason, class_, count in stats["pre"] + stats["post"]}
    with Gateway(port) as gateway, Adapter(sdk, "real") as adapter:
        _init(adapter, "b", port, folder)
        gateway.wait(lambda: bool(gateway.fins), 60)
        arrived: List[List[int]] = [[], [], []]
        for sent in gateway.sends:
            arrived[sent.header["class"]] += [event["props"]["n"] for event in sent.events]
    print(f"offline on the real clock, {sdk}: {seconds} s, {per_s} events/s wanted")
    print("| class | tracked | refused_full | queue_full | arrived | twice |")
    print("|---|---|---|---|---|---|")
    failed = 0
    for class_, tracked in enumerate(by_class):
        evicted, refused = (
            rows.get(("queue_full", class_), 0),
            rows.get(("refused_full", class_), 0),
        )
        got = sorted(set(arrived[class_]))
        twice = len(arrived[class_]) - len(got)
        print(f"| {class_} | {len(tracked)} | {refused} | {evicted} | {len(got)} | {twice} |")
        # What was sealed at first stays; behind it the oldest leave: one gap at most.
        places = {marker: at for at, marker in enumerate(tracked)}
        at = [places[marker] for marker in got]
        gaps = sum(b != a + 1 for a, b in zip(at, at[1:]))
        whole = len(got) + evicted + refused == len(tracked)
        if twice or gaps > 1 or not whole or (at and at[-1] != len(tracked) - 1 and not refused):
            failed += 1
            print(f"FAILED  class {class_}: {gaps} gaps, {len(tracked) - len(got)} left")
    return 3 - failed, failed


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        with suppress(OSError):
            return int(probe.getsockname()[1])
    raise OSError("no port")
