"""The two sums (R101) and the promise of R104, under random lives of a client."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, Optional, Set, Tuple

import pytest

from tests.virtual import Virtual

_RETRYABLE = [0, 408, 429, 500, 503]
_TERMINAL = [400, 401, 409, 413, 413, 413]


def check_sums(ledger: Dict[str, Any]) -> None:
    """R101."""
    pre = sum(count for _, _, count in ledger["pre"])
    post = sum(count for _, _, count in ledger["post"])
    assert ledger["tracked"] == ledger["admitted"] + pre
    assert ledger["admitted"] == ledger["acked"] + ledger["held"] + post


def check(virtual: Virtual) -> Dict[str, Any]:
    """All that always holds."""
    stats: Dict[str, Any] = dict(virtual.client.stats())
    for ledger in [stats, *stats["older"]]:
        check_sums(ledger)
    held = stats["held"] + sum(older["held"] for older in stats["older"])
    assert held >= sum(stats["queued"])
    assert stats["queue_bytes"] <= 65_536
    assert stats["in_flight"] <= 3
    return stats


class Life:
    """Random things happen to a client; the test's own record is the oracle."""

    def __init__(self, seed: int, store: Optional[Path]) -> None:
        self.chance = random.Random(seed)
        self.tracked = 0
        self.arrived: Set[str] = set()
        self.drops: Counter[Tuple[str, int]] = Counter()
        self.options: Dict[str, Any] = {
            "queue_bytes_max": 65_536,
            "batch_events_max": 7,
            "batch_ms": 500,
            "ttl_ms": 120_000,
            "event_bytes_max": 3000,
            "store_dir": store,
            "on_drop": self.drop,
        }
        self.virtual = Virtual(**self.options)
        self.reports: Dict[str, List[Dict[str, Any]]] = {}

    def drop(self, reason: str, class_: int, count: int) -> None:
        """`on_drop`."""
        self.drops[reason, class_] += count

    def step(self) -> None:
        """One thing."""
        chance, client = self.chance, self.virtual.client
        what = chance.random()
        if what < 0.6:
            for _ in range(chance.randrange(1, 12)):
                self.tracked += 1
                size = chance.choice([1, 10, 300, 2000, 4000])
                kind = chance.choice(["t", "t", "t", "a b"])
                client.track(kind, {"v": "x" * size}, class_=chance.randrange(3))
        elif what < 0.9:
            self.virtual.advance(chance.choice([1, 100, 600, 5000]))
        elif what < 0.95:
            client._engine.begin_flush(1000)
        else:
            self.virtual.advance(70_000)
        self.answer(chance.choice([1.0, 0.7, 0.2]))
        check(self.virtual)

    def answer(self, kindness: float) -> None:
        """Answers what was sent."""
        for call in self.virtual.batches():
            header, *events = call.lines
            check_sums(header["report"])
            self.reports.setdefault(header["epoch"], []).append(header["report"])
            if self.chance.random() < kindness:
                self.arrived.update(call.accept())
            elif self.chance.random() < 0.6:
                status = self.chance.choice(_RETRYABLE)
                if status == 0 and self.chance.random() < 0.5:  # taken, the answer got lost
                    self.arrived.update(event["id"] for event in events)
                call.answer(status)
            else:
                call.answer(self.chance.choice(_TERMINAL))
        self.virtual.run()


@pytest.mark.parametrize("seed", range(40))
def test_sums_and_drops(seed: int) -> None:
    life = Life(seed, None)
    for _ in range(60):
        life.step()
    waiter = life.virtual.client._engine.begin_close(20_000)
    while not waiter.done:
        life.virtual.advance(500)
        life.answer(0.7)
    stats = check(life.virtual)
    assert stats["tracked"] == life.tracked
    assert stats["held"] == 0
    told = Counter({(reason, class_): n for reason, class_, n in stats["pre"] + stats["post"]})
    assert life.drops == told
    unconfirmed = sum(n for reason, _, n in stats["post"] if reason == "unconfirmed")
    assert 0 <= len(life.arrived) - stats["acked"] <= unconfirmed
    for reports in life.reports.values():
        numbers = [report["n"] for report in reports]
        by_number = sorted({report["n"]: report for report in reports}.items())
        assert max(numbers) == by_number[-1][0]
        for (_, before), (_, after) in zip(by_number, by_number[1:]):
            for key in ("tracked", "admitted", "acked"):
                assert before[key] <= after[key]


@pytest.mark.parametrize("seed", range(25))
def test_sums_over_deaths(seed: int, tmp_path: Path) -> None:
    """The process dies again and again; what is found again is counted once."""
    life = Life(seed, tmp_path)
    fins: Dict[str, Dict[str, Any]] = {}
    for death in range(4):
        for _ in range(15):
            life.step()
        life.virtual.die()
        life.virtual = Virtual(life.virtual.world, seed=1000 * death + seed, **life.options)
        check(life.virtual)

    for _ in range(400):
        life.virtual.advance(2000)
        for call in life.virtual.batches():
            header = call.lines[0]
            check_sums(header["report"])
            if header["report"].get("fin"):
                fins[header["epoch"]] = header["report"]
            life.arrived.update(call.accept())
        life.virtual.run()
    stats = check(life.virtual)
    assert stats["older"] == []
    assert stats["held"] == 0
    for report in fins.values():
        assert report["held"] == 0
        assert report["reserved"] >= report["admitted"]


def never_fall(reports: Dict[str, List[Dict[str, Any]]]) -> None:
    """R100, over all lives of an epoch."""
    for told in reports.values():
        by_number: Dict[int, Dict[str, Any]] = {}
        for report in told:
            assert by_number.setdefault(report["n"], report) == report
        ordered = [by_number[n] for n in sorted(by_number)]
        for before, after in zip(ordered, ordered[1:]):
            for key in ("tracked", "admitted", "acked"):
                assert before[key] <= after[key]
            for side in ("pre", "post"):
                rows = {(reason, class_): n for reason, class_, n in after[side]}
                for reason, class_, count in before[side]:
                    assert rows.get((reason, class_), 0) >= count


@pytest.mark.parametrize("seed", range(25))
def test_what_a_kill_takes_is_seen(seed: int, tmp_path: Path) -> None:
    """Killed at any moment, in bursts, on a disk that is sometimes full: reports never fall, and
    every number that was given is reserved in the last report of its epoch (R111, R116)."""
    life = Life(seed, tmp_path)
    life.options.update(batch_events_max=500, queue_bytes_max=8_388_608)
    chance, given, fins = life.chance, {}, {}
    for death in range(5):
        life.virtual = Virtual(life.virtual.world, seed=1000 * death + seed, **life.options)
        disk: Any = life.virtual.platform.disk
        for _ in range(8):
            if chance.random() < 0.3:
                disk.mode = chance.choice(["ok", "full", "error"])
            for at in range(chance.choice([1, 20, 700])):
                kind = "a b" if at % 9 == 8 else "t"
                life.virtual.client.track(kind, class_=chance.randrange(3))
            engine = life.virtual.client._engine
            if engine.keeper._broken is None and engine.epoch.seq:
                given[engine.epoch.id] = engine.epoch.seq
            life.virtual.advance(chance.choice([0, 0, 300, 2000, 70_000]))
            life.answer(0.8)
        life.virtual.die()
    life.virtual = Virtual(life.virtual.world, seed=seed, **life.options)
    for _ in range(100):
        life.virtual.advance(5000)
        life.answer(1)
    stats = life.virtual.client.stats()
    assert stats["older"] == []
    never_fall(life.reports)
    for name, reports in life.reports.items():
        for report in [report for report in reports if report.get("fin")]:
            fins[name] = report
    for epoch, seq in given.items():
        assert seq <= fins[epoch]["reserved"] <= seq + 128 + 256 + 700


def test_a_disk_that_hangs_does_not_stop_the_host(tmp_path: Path) -> None:
    """Numbers go on (R111)."""
    virtual = Virtual(store_dir=tmp_path)
    engine = virtual.client._engine
    waits: List[float] = []
    platform: Any = virtual.platform
    platform.inside = lambda: False  # as if another thread had the disk
    clock = iter(range(0, 10_000, 6))

    class Answered:
        def wait(self, timeout: float) -> None:
            waits.append(timeout)
            virtual.world.mono = next(clock)

        def notify_all(self) -> None:
            """Nobody waits."""

    engine.answered = Answered()  # type: ignore[assignment]
    for _ in range(1000):
        virtual.client.track("t")
    assert 0 < len(waits) <= 20
    assert max(waits) <= 0.1
    assert engine.epoch.seq == 1000
    assert engine.epoch.reserved == 0
    assert engine.epoch.late
    virtual.run()
    assert engine.epoch.reserved >= 1000
    assert not engine.epoch.late
