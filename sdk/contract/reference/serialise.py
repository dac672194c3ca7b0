"""Event line and header line (R8-R11): JSON text by concatenation, keys in their order.

In: the parts of an event or a header. Out: one line without its newline, or a refusal. Values that
JSON files cannot hold are built by `exotic`.
"""

import base64
import datetime
import math
import re
from typing import Any, Dict, List, Optional

INTEGER_MAX = 2**53 - 1
DEPTH_MAX = 64
TYPE = re.compile(r"[A-Za-z0-9_.:-]{1,128}\Z")
SHORT = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}


class Refused(Exception):
    """The event cannot be written; the text is the reason of the ledger."""


def quote(text: str) -> str:
    """A JSON string: the fewest escapes, lone surrogates as U+FFFD."""
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    out = []
    for char in whole:
        code = ord(char)
        if code in SHORT:
            out.append(SHORT[code])
        elif code < 0x20:
            out.append(f"\\u{code:04x}")
        else:
            out.append(char)
    return '"' + "".join(out) + '"'


def number(value: float) -> str:
    """A finite number as ECMAScript writes it, which is the first of the allowed texts."""
    if math.isnan(value) or math.isinf(value):
        return "null"
    if value == 0:
        return "0"
    sign, text = ("-", repr(-value)) if value < 0 else ("", repr(value))
    mantissa, _, exponent = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    digits = (whole + fraction).lstrip("0")
    # The value is 0.DIGITS * 10^point.
    point = len(whole + fraction) - len(fraction) + int(exponent or 0)
    point -= len(whole + fraction) - len(digits)
    digits = digits.rstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return sign + digits[:point] + "." + digits[point:]
    if -6 < point <= 0:
        return sign + "0." + "0" * -point + digits
    rest = "." + digits[1:] if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{'+' if point > 0 else '-'}{abs(point - 1)}"


def integer(value: int) -> str:
    """An integer, or the string of its digits where a double could not hold it."""
    return str(value) if abs(value) <= INTEGER_MAX else f'"{value}"'


def value(thing: Any, depth: int) -> str:
    """Any value; `depth` is how many containers are open around it."""
    if thing is None or isinstance(thing, Absent):
        return "null"
    if isinstance(thing, bool):
        return "true" if thing else "false"
    if isinstance(thing, int):
        return integer(thing)
    if isinstance(thing, float):
        return number(thing)
    if isinstance(thing, str):
        return quote(thing)
    if isinstance(thing, bytes):
        return quote(base64.b64encode(thing).decode())
    if isinstance(thing, datetime.datetime):
        utc = thing.astimezone(datetime.timezone.utc)
        return quote(utc.strftime("%Y-%m-%dT%H:%M:%S.") + f"{utc.microsecond // 1000:03d}Z")
    if depth >= DEPTH_MAX:
        raise Refused("invalid")
    if isinstance(thing, dict):
        kept = [(key, item) for key, item in thing.items() if not isinstance(item, Absent)]
        return "{" + ",".join(f"{quote(key)}:{value(item, depth + 1)}" for key, item in kept) + "}"
    if isinstance(thing, list):
        return "[" + ",".join(value(item, depth + 1) for item in thing) + "]"
    raise Refused("invalid")


class Absent:
    """What JavaScript calls undefined."""


class Opaque:
    """A thing that has no JSON form."""


def event_line(event: Dict[str, Any], event_bytes_max: int) -> str:
    """The line of an event. `age_ms` is none before sealing; it never counts for the limit."""
    kind, props = event["type"], event.get("props")
    if not isinstance(kind, str) or not TYPE.match(kind):
        raise Refused("invalid")
    if props is not None and not isinstance(props, dict):
        raise Refused("invalid")
    head = f'{{"id":"{event["id"]}","seq":{event["seq"]}'
    head += f',"ts":{min(max(event["ts"], 0), INTEGER_MAX)}'
    tail = f',"type":"{kind}"'
    weight = event.get("weight", 1)
    if weight != 1:
        tail += f',"weight":{number(float(weight))}'
    body = value(props, 1) if props else "{}"
    if body != "{}":
        tail += f',"props":{body}'
    tail += "}"
    if len((head + tail).encode()) > event_bytes_max:
        raise Refused("too_large")
    age = min(event.get("age_ms") or 0, INTEGER_MAX)
    return head + (f',"age":{age}' if age > 1000 else "") + tail


def report_text(report: Dict[str, Any]) -> str:
    """The report (R100)."""
    rows = {
        side: "[" + ",".join(f'["{name}",{kind},{count}]' for name, kind, count in ordered) + "]"
        for side, ordered in (
            ("pre", order(report["pre"], PRE)),
            ("post", order(report["post"], POST)),
        )
    }
    text = "".join(f'"{key}":{report[key]},' for key in ("n", "tracked", "admitted", "acked", "held"))
    text = "{" + text + f'"pre":{rows["pre"]},"post":{rows["post"]}'
    if report.get("fin"):
        text += f',"reserved":{report["reserved"]},"fin":1'
    return text + "}"


PRE = "sampled rate_limited invalid too_large no_consent killed before_send callback_error "
PRE = (PRE + "refused_full closed").split()
POST = "queue_full store_full store_error expired retry_exhausted rejected_4xx rejected_413 "
POST = (POST + "purged_kill shutdown_timeout unconfirmed").split()


def order(rows: List[List[Any]], names: List[str]) -> List[List[Any]]:
    """Rows without zeros, by reason in the closed list's order, then by class."""
    kept = [row for row in rows if row[2] > 0]
    return sorted(kept, key=lambda row: (names.index(row[0]), row[1]))


def header_line(header: Dict[str, Any]) -> str:
    """The header line."""
    out = f'{{"tidegate":1,"batch":"{header["batch"]}","sdk":{quote(header["sdk"])}'
    out += f',"instance":{quote(header["instance"])},"epoch":"{header["epoch"]}"'
    out += f',"class":{header["class"]},"count":{header["count"]}'
    config: Optional[int] = header.get("config")
    if config is not None:
        out += f',"config":{config}'
    if header.get("context"):
        out += f',"context":{value(header["context"], 1)}'
    return out + f',"report":{report_text(header["report"])}}}'


def exotic(thing: Any) -> Any:
    """Builds what JSON cannot say from `{"$": name, ...}`; see vectors/README.md."""
    if isinstance(thing, list):
        return [exotic(item) for item in thing]
    if not isinstance(thing, dict):
        return thing
    name = thing.get("$")
    if name is None:
        return {key: exotic(item) for key, item in thing.items()}
    made = {
        "nan": lambda: math.nan,
        "infinity": lambda: math.inf,
        "minus_infinity": lambda: -math.inf,
        "float": lambda: float(thing["text"]),
        "integer": lambda: int(thing["text"]),
        "absent": Absent,
        "opaque": Opaque,
        "utf16": lambda: "".join(map(chr, thing["units"])),
        "bytes": lambda: bytes.fromhex(thing["hex"]),
        "date": lambda: datetime.datetime.fromtimestamp(
            thing["ms"] / 1000, datetime.timezone.utc
        ),
        "nested": lambda: nested(thing["containers"]),
        "repeat": lambda: thing["text"] * thing["times"],
    }
    return made[name]()


def nested(containers: int) -> Any:
    """Arrays inside of arrays."""
    thing: Any = 1
    for _ in range(containers):
        thing = [thing]
    return thing
