"""Values, options and hooks that the vectors do not reach (R11, R40-R42, R54, R58)."""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import json
import pathlib
import types
import uuid
from collections import OrderedDict, deque, namedtuple
from typing import Any, Dict

import pytest

from tests.virtual import ENDPOINT, Virtual
from tidegate import Client, OptionError
from tidegate._serialise import Refused, json_text, to_bytes

_Point = namedtuple("_Point", "x y")


class _Colour(enum.Enum):
    RED = 1


class _Text(str, enum.Enum):
    A = "a"


class _Own:
    def __json__(self) -> Any:
        return {"own": [1]}


class _Odd:
    @property
    def __json__(self) -> Any:
        raise RuntimeError("no")


def read(thing: Any) -> Any:
    """Through the serialiser and back."""
    return json.loads(to_bytes(json_text(thing, 1, 10**9)))


@pytest.mark.parametrize(
    ("thing", "wanted"),
    [
        ((1, 2), [1, 2]),
        (_Point(1, 2), [1, 2]),
        (deque([1]), [1]),
        (range(3), [0, 1, 2]),
        (frozenset([1]), [1]),
        ({}.keys(), []),
        (OrderedDict(a=1), {"a": 1}),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        (_Colour.RED, "RED"),
        (_Text.A, "a"),
        ({_Text.A: 1, None: 2, (1, 2): 3}, {"a": 1, "None": 2, "(1, 2)": 3}),
        (decimal.Decimal("1.10"), "1.10"),
        (fractions.Fraction(1, 2), 0.5),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (pathlib.PurePosixPath("/a/b"), "/a/b"),
        (datetime.date(2026, 1, 2), "2026-01-02T00:00:00.000Z"),
        (datetime.datetime(1, 1, 1, tzinfo=datetime.timezone.utc), "0001-01-01T00:00:00.000Z"),
        (bytearray(b"\0"), "AA=="),
        (_Own(), {"own": [1]}),
        (len, None),
        ({"a": len, "b": dict}, {}),
        (2**53, "9007199254740992"),
        (-(2**53) + 1, -(2**53) + 1),
        ("\ud83d\ude00", "\U0001f600"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
    ],
)
def test_values(thing: Any, wanted: Any) -> None:
    assert read(thing) == wanted


@pytest.mark.parametrize("thing", [object(), iter([]), (at for at in "ab"), 1j, _Odd()])
def test_values_without_a_form(thing: Any) -> None:
    with pytest.raises((Refused, RuntimeError)):
        json_text({"v": thing}, 1, 10**9)


def test_room_is_kept() -> None:
    with pytest.raises(Refused, match="too_large"):
        json_text({str(at): at for at in range(10**5)}, 1, 1000)
    assert json_text([1, 22], 1, 7) == "[1,22]"


@pytest.mark.parametrize(
    "given",
    [
        {"key": ""},
        {"key": "abc"},
        {"key": "a b c d"},
        {"key": "x" * 129},
        {"key": None},
        {"endpoint": ""},
        {"endpoint": "gateway"},
        {"endpoint": "ftp://gateway"},
        {"endpoint": "http://"},
        {"endpoint": "http://gateway?x=1"},
        {"endpoint": "http://gateway#x"},
        {"endpoint": "http://gate way"},
        {"endpoint": "http://gateway:x"},
        {"endpoint": None},
    ],
)
def test_refused(given: Dict[str, Any]) -> None:
    options: Dict[str, Any] = {"key": "wk_demo", "endpoint": ENDPOINT, **given}
    with pytest.raises(OptionError):
        Client(**options)


def test_nonsense_is_not_refused() -> None:
    options: Dict[str, Any] = {
        "batch_ms": "soon",
        "batch_events_max": -1,
        "rate_per_s": float("nan"),
        "sample": [1],
        "context": {"a": object()},
        "instance": "a b",
        "queue_floor_bytes": [1],
        "before_send": 5,
        "request_timeout_ms": 1e99,
    }
    virtual = Virtual(**options)
    virtual.client.track("t")
    (call,) = virtual.batches()
    assert "context" not in call.lines[0]
    assert len(call.lines) == 2


@pytest.mark.parametrize("props", [[1], "x", 5, object()])
@pytest.mark.parametrize("type_", [None, 5, "", "a b", "t" * 129, "\u00fc", [], "t\n"])
def test_nothing_raises(type_: Any, props: Any) -> None:
    virtual = Virtual()
    virtual.client.track(type_, props)
    virtual.client.track(type_)
    virtual.client.track("t", props, class_=[])  # type: ignore[arg-type]
    stats = virtual.client.stats()
    assert stats["tracked"] == 3
    assert stats["pre"] == [("invalid", 1, 3)]


def test_before_send_gets_a_copy() -> None:
    def change(event: Any) -> Any:
        event["props"]["list"].append(2)
        del event["class"]
        return event

    props = {"list": [1]}
    virtual = Virtual(before_send=change)
    virtual.client.track("t", props, class_=0)
    assert props == {"list": [1]}
    virtual.advance(3000)
    (call,) = virtual.batches()
    assert call.lines[0]["class"] == 0
    assert call.lines[1]["props"] == {"list": [1, 2]}


def test_timeouts_of_every_kind() -> None:
    virtual = Virtual()
    for timeout in (None, "x", float("nan"), float("inf"), -1, 1e300, 5.5):
        assert virtual.client.flush(timeout) is True  # type: ignore[arg-type]
