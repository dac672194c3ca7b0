"""The store: torn and wrong entries, claims, size, what cannot be opened (R110-R117)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, List

import pytest

from tests.test_ledger import check_sums
from tests.virtual import Virtual
from tidegate._claim import Claim
from tidegate._journal import entries, entry
from tidegate._platform import Disk
from tidegate._store import Store


def segments(folder: Path) -> List[Path]:
    """All segment files."""
    return sorted(folder.glob("queues/*/*.seg"))


def filled(folder: Path, count: int = 10) -> Virtual:
    """A client that died with some events in the store."""
    virtual = Virtual(store_dir=folder, batch_ms=60_000)
    for at in range(count):
        virtual.client.track("t", {"at": at})
    virtual.advance(2000)
    virtual.die()
    return virtual


def drained(folder: Path, before: Virtual) -> Dict[str, Any]:
    """What the next client sends: markers and last reports."""
    after = Virtual(before.world, seed=7, store_dir=folder)
    found: Dict[str, Any] = {"at": [], "fins": []}
    for _ in range(100):
        after.advance(1000)
        for call in after.batches():
            header, *events = call.lines
            check_sums(header["report"])
            found["at"] += [event["props"]["at"] for event in events]
            if header["report"].get("fin"):
                found["fins"].append(header["report"])
            call.accept()
    stats = after.client.stats()
    assert stats["older"] == []
    assert stats["held"] == 0
    assert segments(folder) == []
    return found


def test_entries() -> None:
    data = entry(b"E", b"one") + entry(b"L", b"two")
    assert list(entries(data)) == [(b"E", b"one"), (b"L", b"two")]
    for cut in range(len(data)):
        assert len(list(entries(data[:cut]))) == (1 if cut >= len(entry(b"E", b"one")) else 0)
    assert list(entries(data.replace(b"one", b"0ne"))) == [(b"L", b"two")]


@pytest.mark.parametrize("cut", [1, 5, 40, 200, 400])
def test_torn_end(tmp_path: Path, cut: int) -> None:
    before = filled(tmp_path)
    (path,) = segments(tmp_path)
    with open(path, "r+b") as file:
        file.truncate(os.path.getsize(path) - cut)
    found = drained(tmp_path, before)
    assert found["at"] == list(range(len(found["at"])))
    assert len(found["fins"]) == 1


def test_wrong_checksum_is_skipped_and_counted(tmp_path: Path) -> None:
    before = filled(tmp_path)
    (path,) = segments(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'{"at":4}', b'{"at":x}'))
    found = drained(tmp_path, before)
    assert found["at"] == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    (fin,) = found["fins"]
    assert (fin["admitted"], fin["acked"]) == (10, 9)
    assert fin["post"] == [["store_error", 1, 1]]


@pytest.mark.parametrize("garbage", [b"", b"\0" * 5000, b"\xff" * 5000, b"text"])
def test_garbage_never_prevents_a_start(tmp_path: Path, garbage: bytes) -> None:
    before = filled(tmp_path)
    segments(tmp_path)[0].write_bytes(garbage)
    assert drained(tmp_path, before)["at"] == []


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.write_text("not a folder")
    before = filled(folder)
    assert drained(folder, before)["at"] == list(range(10))
    assert len(list(tmp_path.glob("store.aside-*"))) == 1


def test_newer_layout_is_left_alone(tmp_path: Path) -> None:
    store = Store(str(tmp_path), Disk(), lambda name: None)
    (tmp_path / "queues").mkdir()
    store._write("layout", "2")
    virtual = Virtual(store_dir=tmp_path)
    virtual.client.track("t")
    virtual.advance(500)
    assert virtual.client.stats()["held"] == 1
    assert segments(tmp_path) == []
    assert store._read("layout") == "2"


def test_claims(tmp_path: Path) -> None:
    first = Claim.take(str(tmp_path))
    assert first is not None
    assert Claim.take(str(tmp_path)) is None
    first.release()
    second = Claim.take(str(tmp_path))
    assert second is not None
    assert second.generation == first.generation + 1
    second.check()


def test_a_lost_claim_begins_anew(tmp_path: Path) -> None:
    """R113: what was held is counted by the new holder."""
    virtual = Virtual(store_dir=tmp_path, batch_ms=60_000)
    virtual.client.track("t")
    virtual.advance(2000)
    before = virtual.client.stats()["epoch"]
    (claim,) = tmp_path.glob("queues/*/claim")
    claim.write_text("9".zfill(20))
    virtual.client.track("t")
    virtual.advance(2000)
    stats = virtual.client.stats()
    assert stats["epoch"] != before
    assert (stats["tracked"], stats["held"]) == (0, 0)
    virtual.client.track("t")
    virtual.advance(2000)
    assert virtual.client.stats()["held"] == 1


def test_size_and_segments(tmp_path: Path) -> None:
    """R116, and that nothing is lost when segments are dropped."""
    virtual = Virtual(store_dir=tmp_path, queue_bytes_max=65_536, batch_ms=100, batch_events_max=9)
    limit = 2 * 65_536 + 1_048_576
    for at in range(60):
        for number in range(60):
            virtual.client.track("t", {"at": at, "number": number, "pad": "x" * 500}, class_=1)
        virtual.advance(1000)
        for call in virtual.batches()[: 1 if at % 4 else 0]:
            call.accept()
        size = sum(os.path.getsize(path) for path in segments(tmp_path))
        assert size == virtual.client.stats()["store_bytes"] <= limit
    held = virtual.client.stats()["held"]
    assert held > 50
    virtual.die()
    after = Virtual(virtual.world, seed=9, store_dir=tmp_path)
    assert sum(older["held"] for older in after.client.stats()["older"]) >= held


def test_opt_out_erases_files(tmp_path: Path) -> None:
    virtual = Virtual(store_dir=tmp_path, batch_ms=60_000)
    virtual.client.track("t", {"secret": "word"})
    virtual.advance(2000)
    assert segments(tmp_path)
    virtual.client.opt_out()
    virtual.run()
    assert segments(tmp_path) == []
    virtual.die()
    again = Virtual(virtual.world, store_dir=tmp_path)
    again.client.track("t")
    assert again.client.stats()["pre"] == [("no_consent", 1, 1)]
    again.client.opt_in()
    again.client.track("t")
    assert again.client.stats()["held"] == 1


def test_instance_is_kept(tmp_path: Path) -> None:
    first = Virtual(store_dir=tmp_path)
    first.run()
    second = Virtual(first.world, store_dir=tmp_path)
    assert first.client._engine.instance == second.client._engine.instance
    assert len(first.client._engine.instance) == 36
