"""Event line, header line and report (R8, R9, R100), keys in their order."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ._serialise import INTEGER_MAX, Refused, json_text, number, quote, to_bytes

TYPE = re.compile(r"[A-Za-z0-9_.:-]{1,128}\Z", re.ASCII)
AGE_SHOWN_OVER_MS = 1000
CONTEXT_BYTES_MAX = 4096

Row = Tuple[str, int, int]

PRE = (
    "sampled",
    "rate_limited",
    "invalid",
    "too_large",
    "no_consent",
    "killed",
    "before_send",
    "callback_error",
    "refused_full",
    "closed",
)
POST = (
    "queue_full",
    "store_full",
    "store_error",
    "expired",
    "retry_exhausted",
    "rejected_4xx",
    "rejected_413",
    "purged_kill",
    "shutdown_timeout",
    "unconfirmed",
)

# The fixed beginning of every line that this SDK writes; what is stored is read back with it.
_LINE = re.compile(rb'\{"id":"([0-9a-f-]{36})","seq":(\d+),"ts":(\d+)(,"age":\d+)?')


class Draft(NamedTuple):
    """A line before its seq is known (R63): `{"id":..,"seq":` N `middle` `tail`."""

    head: bytes
    middle: bytes
    tail: bytes

    def size(self, seq: int) -> int:
        """The bytes of the line without `age` and newline."""
        return len(self.head) + len(str(seq)) + len(self.middle) + len(self.tail)


def valid_type(thing: Any) -> bool:
    """R54."""
    return isinstance(thing, str) and TYPE.match(thing) is not None


def draft(
    id_: str,
    ts: int,
    type_: str,
    props: Optional[Mapping[Any, Any]],
    weight: float,
    bytes_max: int,
) -> Draft:
    """Writes an event (R60). Raises `Refused`, or what the values raise."""
    tail = f',"type":"{type_}"'
    if weight != 1:
        tail += f',"weight":{_weight(weight)}'
    if props:
        body = json_text(props, 1, bytes_max)
        if body != "{}":
            tail += f',"props":{body}'
    return Draft(
        f'{{"id":"{id_}","seq":'.encode(),
        f',"ts":{min(max(ts, 0), INTEGER_MAX)}'.encode(),
        to_bytes(tail + "}"),
    )


def _weight(weight: float) -> str:
    return str(int(weight)) if weight == int(weight) else number(weight)


def age_text(age_ms: int) -> bytes:
    """The `age` member, if the age is worth showing (R9)."""
    return b',"age":%d' % min(age_ms, INTEGER_MAX) if age_ms > AGE_SHOWN_OVER_MS else b""


def event_line(event: Mapping[str, Any], bytes_max: int) -> bytes:
    """The whole line of an event whose parts are all known; the form of the vectors."""
    props = event.get("props")
    if not valid_type(event["type"]) or not (props is None or isinstance(props, Mapping)):
        raise Refused("invalid")
    weight = float(event.get("weight", 1))
    try:
        made = draft(event["id"], event["ts"], event["type"], props, weight, bytes_max)
    except Refused:
        raise
    except Exception:
        raise Refused("invalid") from None
    if made.size(event["seq"]) > bytes_max:
        raise Refused("too_large")
    seq = str(event["seq"]).encode()
    return made.head + seq + made.middle + age_text(event.get("age_ms") or 0) + made.tail


class Parts(NamedTuple):
    """What a stored line says about itself."""

    id: str
    seq: int
    ts: int
    cut: int
    """Where `age` belongs."""
    line: bytes
    """The line without `age`."""


def read_line(line: bytes) -> Optional[Parts]:
    """Reads a line that this SDK wrote; nothing if it is none."""
    found = _LINE.match(line)
    if not found:
        return None
    cut = found.end(3)
    return Parts(
        found[1].decode(),
        int(found[2]),
        int(found[3]),
        cut,
        line[:cut] + line[found.end() :],
    )


def ordered(rows: Sequence[Sequence[Any]], names: Sequence[str]) -> List[Row]:
    """Rows without zeros, by the closed list's order, then by class (R100)."""
    kept = [(row[0], row[1], row[2]) for row in rows if row[2] > 0]
    return sorted(kept, key=lambda row: (names.index(row[0]), row[1]))


def _rows_text(rows: Sequence[Sequence[Any]], names: Sequence[str]) -> str:
    return "[" + ",".join(f'["{r}",{c},{n}]' for r, c, n in ordered(rows, names)) + "]"


def report_text(report: Mapping[str, Any]) -> str:
    """The report (R100)."""
    keys = ("n", "tracked", "admitted", "acked", "held")
    text = "".join(f'"{key}":{report[key]},' for key in keys)
    text += f'"pre":{_rows_text(report["pre"], PRE)},"post":{_rows_text(report["post"], POST)}'
    if report.get("fin"):
        text += f',"reserved":{report["reserved"]},"fin":1'
    return "{" + text + "}"


def header_line(header: Mapping[str, Any]) -> bytes:
    """The header line (R8)."""
    out = f'{{"tidegate":1,"batch":"{header["batch"]}","sdk":{quote(header["sdk"])}'
    out += f',"instance":{quote(header["instance"])},"epoch":"{header["epoch"]}"'
    out += f',"class":{header["class"]},"count":{header["count"]}'
    config: Optional[int] = header.get("config")
    if config is not None:
        out += f',"config":{config}'
    context: Optional[Dict[str, Any]] = header.get("context")
    if context:
        out += f',"context":{json_text(context, 1, 2**31)}'
    return to_bytes(out + f',"report":{report_text(header["report"])}}}')
