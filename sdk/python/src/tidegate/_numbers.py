"""Reading numbers from JSON that somebody else wrote (R122)."""

from __future__ import annotations

import json
import math
from typing import Any, Dict, Optional, Union

from ._serialise import INTEGER_MAX

Number = Union[int, float]


def is_number(thing: Any) -> bool:
    """A finite number; booleans are none."""
    if isinstance(thing, bool) or not isinstance(thing, (int, float)):
        return False
    return not isinstance(thing, float) or math.isfinite(thing)


def whole(thing: Any) -> Optional[int]:
    """An integer from 0, also if it is written with a fraction of zero."""
    if not is_number(thing) or thing < 0 or thing != int(thing):
        return None
    return int(thing)


def bounded(thing: Any, least: Number, most: Number, integer: bool) -> Optional[Number]:
    """A number in its range, or nothing if it is none (or no integer where one is asked for)."""
    if not is_number(thing) or (integer and thing != math.floor(thing)):
        return None
    clamped = min(max(thing, least), most)
    return int(clamped) if integer or clamped == math.floor(clamped) else float(clamped)


def read_object(text: str) -> Optional[Dict[str, Any]]:
    """A JSON object, or nothing. `NaN` is no JSON; `1e999` is a number that is not finite."""
    try:
        read = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def _refuse(name: str) -> None:
    raise ValueError(name)


__all__ = ["INTEGER_MAX", "Number", "bounded", "is_number", "read_object", "whole"]
