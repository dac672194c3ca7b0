"""JSON text of any Python value (R10, R11), written once, with a budget (R61)."""

from __future__ import annotations

import base64
import datetime
import decimal
import enum
import math
import numbers
import os
import types
import uuid
from collections.abc import Mapping, Sequence, Set
from json.encoder import encode_basestring
from typing import Any, Callable, List

INTEGER_MAX = 2**53 - 1
DEPTH_MAX = 64

_ABSENT = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    type,
)


class Refused(Exception):
    """The event cannot be written; `reason` is a name of the ledger (R102)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def quote(text: str) -> str:
    """A JSON string with the fewest escapes. Surrogates are left to `to_bytes`."""
    return encode_basestring(text)


def to_bytes(text: str) -> bytes:
    """UTF-8; pairs of surrogates are joined, lone ones become U+FFFD (R10)."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def number(value: float) -> str:
    """A double: the shortest text that reads back, or null."""
    return repr(value) if math.isfinite(value) else "null"


def integer(value: int) -> str:
    """An integer, or the string of its digits where a double could not hold it."""
    return int.__repr__(value) if -INTEGER_MAX <= value <= INTEGER_MAX else f'"{value:d}"'


def json_text(thing: Any, depth: int, room: int) -> str:
    """`thing` as JSON; `depth` containers are open around it, `room` characters are left.

    Raises `Refused`, or whatever the value raises while it is read.
    """
    out: List[str] = []
    _write(thing, depth, out.append, room)
    return "".join(out)


def _write(thing: Any, depth: int, put: Callable[[str], None], room: int) -> int:
    """Writes one value and returns what is left of `room`."""
    kind = type(thing)
    if kind is str:
        text = encode_basestring(thing)
    elif thing is None:
        text = "null"
    elif kind is bool:
        text = "true" if thing else "false"
    elif kind is int:
        text = integer(thing)
    elif kind is float:
        text = number(thing)
    elif kind is dict:
        return _write_map(thing, depth, put, room)
    elif kind is list or kind is tuple:
        return _write_list(thing, depth, put, room)
    else:
        return _write_other(thing, depth, put, room)
    put(text)
    return _less(room, len(text))


def _less(room: int, by: int) -> int:
    if by > room:
        raise Refused("too_large")
    return room - by


def _write_map(thing: Any, depth: int, put: Callable[[str], None], room: int) -> int:
    if depth >= DEPTH_MAX:
        raise Refused("invalid")
    room = _less(room, 2)
    before = "{"
    for key, item in thing.items():
        if isinstance(item, _ABSENT):  # left out of objects (R11)
            continue
        name = before + encode_basestring(key if type(key) is str else _key(key)) + ":"
        before = ","
        put(name)
        room = _write(item, depth + 1, put, _less(room, len(name) - 1))
    put("{}" if before == "{" else "}")
    return room


def _write_list(thing: Any, depth: int, put: Callable[[str], None], room: int) -> int:
    if depth >= DEPTH_MAX:
        raise Refused("invalid")
    room = _less(room, 2)
    before = "["
    for item in thing:
        put(before)
        before = ","
        room = _write(item, depth + 1, put, _less(room, 1))
    put("[]" if before == "[" else "]")
    return room


def _key(key: Any) -> str:
    """The plain text of a key that is not a plain string."""
    return _enum_text(key) if isinstance(key, enum.Enum) else str(key)


def _enum_text(thing: enum.Enum) -> str:
    return thing.value if isinstance(thing.value, str) else thing.name


def _write_other(thing: Any, depth: int, put: Callable[[str], None], room: int) -> int:
    """Everything that is not exactly one of JSON's own types (R11)."""
    if isinstance(thing, _ABSENT):
        text = "null"
    elif hasattr(thing, "__json__"):  # a type's own JSON form is asked
        if depth >= DEPTH_MAX:
            raise Refused("invalid")
        return _write(thing.__json__(), depth + 1, put, room)
    elif isinstance(thing, enum.Enum):
        text = quote(_enum_text(thing))
    elif isinstance(thing, str):
        text = quote(str.__str__(thing))
    elif isinstance(thing, numbers.Integral):
        text = integer(int(thing))
    elif isinstance(thing, decimal.Decimal):
        text = quote(str(thing))
    elif isinstance(thing, numbers.Real):
        text = number(float(thing))
    elif isinstance(thing, (bytes, bytearray, memoryview)):
        if len(thing) > room:
            raise Refused("too_large")
        text = quote(base64.b64encode(bytes(thing)).decode())
    elif isinstance(thing, (datetime.date, datetime.time)):
        text = quote(_moment(thing))
    elif isinstance(thing, (uuid.UUID, os.PathLike)):
        text = quote(str(thing))
    elif isinstance(thing, Mapping):
        return _write_map(thing, depth, put, room)
    elif isinstance(thing, (Sequence, Set)) or _is_deque(thing):
        return _write_list(thing, depth, put, room)
    else:
        raise Refused("invalid")
    put(text)
    return _less(room, len(text))


def _is_deque(thing: Any) -> bool:
    return hasattr(thing, "__len__") and hasattr(thing, "__iter__") and hasattr(thing, "popleft")


def _moment(thing: Any) -> str:
    """ISO 8601 in UTC with milliseconds; a bare date is its midnight, a bare time its own text."""
    if isinstance(thing, datetime.time):
        return thing.isoformat("milliseconds")
    if not isinstance(thing, datetime.datetime):
        return f"{thing.isoformat()}T00:00:00.000Z"
    utc = thing.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    return utc.isoformat(timespec="milliseconds") + "Z"
