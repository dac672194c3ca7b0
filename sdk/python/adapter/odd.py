"""Odd input (adapter.md, section 5): what to call `track` with."""

from __future__ import annotations

import datetime
from typing import Any, Callable, Dict, Tuple

from .vectors import nested

Call = Tuple[Any, Any, Any]


class _Throws:
    def __json__(self) -> Any:
        raise RuntimeError("never read me")


def _cyclic() -> Any:
    thing: Dict[str, Any] = {}
    thing["v"] = thing
    return thing


_VALUES: Dict[str, Callable[[], Any]] = {
    "nan": lambda: float("nan"),
    "infinity": lambda: float("inf"),
    "big_integer": lambda: 2**64,
    "lone_surrogate": lambda: "a\ud800b",
    "date": lambda: datetime.datetime(2026, 1, 1, 0, 0, 0, 7000, datetime.timezone.utc),
    "bytes": lambda: b"\x00\xff\x10",
    "set": lambda: {1},
    "function": lambda: _cyclic,
    "opaque": object,
    "throwing": _Throws,
    # The event's own object and props are the first two containers.
    "deep_64": lambda: nested(62),
    "deep_65": lambda: nested(63),
    "huge": lambda: "x" * 1_048_576,
}

_CALLS: Dict[str, Callable[[], Call]] = {
    "cyclic": lambda: ("odd", _cyclic(), None),
    "many": lambda: ("odd", {f"k{at}": at for at in range(100_000)}, None),
    "number_keys": lambda: ("odd", {"v": {5: "x"}}, None),
    "props_list": lambda: ("odd", [1], None),
    "props_text": lambda: ("odd", "text", None),
    "type_number": lambda: (5, None, None),
    "type_null": lambda: (None, None, None),
    "type_empty": lambda: ("", None, None),
    "type_long": lambda: ("t" * 129, None, None),
    "type_blank": lambda: ("a b", None, None),
    "class_9": lambda: ("odd", None, 9),
    "class_text": lambda: ("odd", None, "0"),
    "mutated": lambda: ("odd", {"v": 1}, None),
}


def build(what: str) -> Call:
    """Type, props and class; raises `KeyError` for what is not known."""
    if what in _VALUES:
        return "odd", {"v": _VALUES[what]()}, None
    return _CALLS[what]()
