"""What every SDK does with what it should never be given: one list, a column for each SDK.

A case is a client of its own. After the odd call an ordinary event has to arrive, the two sums have
to hold and `on_drop` has to have been told what the ledger says; only then a cell is written. A
case passes if the cell is what the list asks for, or if the language cannot say such a thing.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from types import MappingProxyType
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Tuple

from tests.gateway import Gateway

from .adapters import SDK, STARTED_WALL_MS, Adapter, Threw, Unsupported, sums

FILE = SDK / "bad-input.md"
ORDER = ("python", "go", "node")
_YEAR_MS = 31_536_000_000
_INTO = "arrives"
Step = Callable[[Adapter, str], None]


class Case(NamedTuple):
    """A row: `must` is what the cell has to be."""

    name: str
    must: str
    step: Step
    options: Mapping[str, Any] = MappingProxyType({})
    init: Mapping[str, Any] = MappingProxyType({})


def _odd(what: str) -> Step:
    return lambda adapter, client: _none(adapter.op("odd", client=client, what=what))


def _tracks(type_: str = "odd") -> Step:
    return lambda adapter, client: _none(
        adapter.op("track", client=client, type=type_, props={"v": 1})
    )


def _clock(**fields: int) -> Step:
    def step(adapter: Adapter, client: str) -> None:
        before = fields.get("suspend")
        _tracks()(adapter, client)
        if before is None:
            adapter.op("wall", **fields)
        else:
            adapter.op("suspend", mono_ms=0, wall_ms=before)

    return step


def _none(_: Any) -> None:
    """A step answers nothing."""


def _init(**fields: Any) -> Dict[str, Any]:
    return fields


_NUMBERS = (
    *("batch_events_max", "batch_bytes_max", "batch_ms", "event_bytes_max", "queue_bytes_max"),
    *("retry_base_ms", "retry_cap_ms", "ttl_ms", "request_timeout_ms", "store_flush_ms"),
)
_THREE_BYTES = '"AP8Q"'
CASES: List[Case] = [
    Case("props contain themselves", "`invalid`", _odd("cyclic")),
    Case("a value that throws while it is read", "`invalid`", _odd("throwing")),
    Case("a value without a form", "`invalid`", _odd("opaque")),
    Case("64 containers deep", _INTO, _odd("deep_64")),
    Case("65 containers deep", "`invalid`", _odd("deep_65")),
    Case("a text of a megabyte", "`too_large`", _odd("huge")),
    Case("100,000 keys", "`too_large`", _odd("many")),
    Case("NaN", "arrives as `null`", _odd("nan")),
    Case("infinity", "arrives as `null`", _odd("infinity")),
    Case("the integer 2^64", 'arrives as `"18446744073709551616"`', _odd("big_integer")),
    Case("half a surrogate pair", 'arrives as `"a\ufffdb"`', _odd("lone_surrogate")),
    Case("a date", 'arrives as `"2026-01-01T00:00:00.007Z"`', _odd("date")),
    Case("bytes", f"arrives as `{_THREE_BYTES}`", _odd("bytes")),
    Case("a set", "arrives as `[1]`", _odd("set")),
    Case("a map with the key 5", 'arrives as `{"5":"x"}`', _odd("number_keys")),
    Case("a function", "arrives without it", _odd("function")),
    Case("props changed right after `track`", "arrives as `1`", _odd("mutated")),
    Case("props are a list", "`invalid`", _odd("props_list")),
    Case("props are a text", "`invalid`", _odd("props_text")),
    Case("the type is a number", "`invalid`", _odd("type_number")),
    Case("the type is null", "`invalid`", _odd("type_null")),
    Case("the type is empty", "`invalid`", _odd("type_empty")),
    Case("the type has 129 letters", "`invalid`", _odd("type_long")),
    Case("the type has a blank", "`invalid`", _odd("type_blank")),
    Case("class 9", "arrives in class 1", _odd("class_9")),
    Case("the class is a text", "arrives in class 1", _odd("class_text")),
    Case("`before_send` throws", "`callback_error`", _tracks(), init=_init(before_send="throw")),
    Case(
        "`before_send` returns 5", "`callback_error`", _tracks(), init=_init(before_send="garbage")
    ),
    Case(
        "`before_send` makes the type invalid",
        "`callback_error`",
        _tracks(),
        init=_init(before_send="bad_type"),
    ),
    Case(
        "`before_send` returns nothing", "`before_send`", _tracks(), init=_init(before_send="drop")
    ),
    Case(
        "`before_send` calls `track`",
        "arrives as `1`; `callback_error` of the inner",
        _tracks(),
        init=_init(before_send="reenter"),
    ),
    Case("`on_drop` throws", "`invalid`", _tracks("a b"), init=_init(on_drop="throw")),
    Case(
        "`on_drop` calls `track`",
        "`invalid`; `callback_error` of the inner",
        _tracks("a b"),
        init=_init(on_drop="reenter"),
    ),
    Case("the clock is set back by a year", "arrives as `1`", _clock(by_ms=-_YEAR_MS)),
    Case("the clock is set ahead by a year", "arrives as `1`", _clock(by_ms=_YEAR_MS)),
    Case("the clock says before 1970", "arrives as `1`", _clock(to_ms=-5)),
    Case("the process slept for a year", "arrives as `1`", _clock(suspend=_YEAR_MS)),
    Case(
        "every number below its range",
        "arrives as `1`",
        _tracks(),
        dict.fromkeys(_NUMBERS, -1),
    ),
    Case(
        "floors larger than the queue",
        "arrives as `1`",
        _tracks(),
        {"queue_floor_bytes": [1 << 30] * 3},
    ),
    Case("`instance` with a blank", "arrives as `1`", _tracks(), {"instance": "a b"}),
    Case("a context of 5,000 bytes", "arrives as `1`", _tracks(), {"context": {"c": "x" * 5000}}),
    Case("the key is malformed", "refused at the start", _tracks(), {"key": "a b"}),
    Case("the endpoint is malformed", "refused at the start", _tracks(), {"endpoint": "ftp://x"}),
    Case("the store's folder is a file", "arrives as `1`", _tracks(), init=_init(store="file")),
    Case("the store's files are noise", "arrives as `1`", _tracks(), init=_init(store="noise")),
]


def column(sdk: str) -> Dict[str, str]:
    """One cell for every case. A cell of a case that failed begins with `WRONG`."""
    cells = {}
    with Gateway() as gateway:
        for at, case in enumerate(CASES):
            client = f"c{at}"
            with Adapter(sdk) as adapter:
                try:
                    cell = _cell(adapter, gateway, case, client)
                except Unsupported as why:
                    cell = f"— {why}"
                except (AssertionError, RuntimeError) as why:
                    cell = f"WRONG: {why}"
                except Threw as threw:
                    cell = f"WRONG: threw {threw}"
            cells[case.name] = cell.replace("\n", " ").replace("|", "\\|")
    return cells


def _cell(adapter: Adapter, gateway: Gateway, case: Case, client: str) -> str:
    gateway.sends.clear()
    options = {"key": "wk_demo", "endpoint": gateway.url, "batch_ms": 1000, **case.options}
    init = dict(case.init)
    if "store" in init:
        init["store"] = _spoilt(str(init["store"]))
    refused = adapter.op("init", client=client, seed="42", options=options, **init)["refused"]
    if refused:
        return "refused at the start"
    case.step(adapter, client)
    hooked = "before_send" in init  # it would meet the ordinary event as well
    if not hooked:
        adapter.op("track", client=client, type="after", props={"fine": True})
    adapter.advance(20_000)
    stats = adapter.stats(client)
    sums(stats)
    told = sorted(adapter.op("drops", client=client)["drops"])
    rows = sorted(stats["pre"] + stats["post"])
    silent = [row for row in rows if row[0] == "callback_error" and init.get("on_drop")]
    silent += [
        row for row in rows if row[0] == "callback_error" and init.get("before_send") == "reenter"
    ]
    assert told == [row for row in rows if row not in silent], f"told {told}, counted {rows}"
    assert hooked or any(event["type"] == "after" for event in gateway.events.values()), stats
    return _said(gateway, case, stats)


def _said(gateway: Gateway, case: Case, stats: Dict[str, Any]) -> str:
    """The cell: where the odd event went, and what else was counted."""
    arrived = [
        (sent.header["class"], event)
        for sent in gateway.sends
        for event in sent.events
        if event["type"] == "odd"
    ]
    assert len(arrived) <= 1, arrived
    dropped = [
        f"`{reason}`" for reason, _, count in stats["pre"] + stats["post"] for _ in range(count)
    ]
    if not arrived:
        inner = case.init.get("on_drop") == "reenter"
        return "; ".join(sorted(dropped, reverse=True)) + (" of the inner" if inner else "")
    class_, event = arrived[0]
    if case.name.startswith(("class", "the class")):
        text = f"arrives in class {class_}"
    elif case.must == _INTO:
        text = _INTO
    elif "v" in event.get("props", {}):
        value = json.dumps(event["props"]["v"], ensure_ascii=False, separators=(",", ":"))
        text = f"arrives as `{value}`"
    else:
        text = "arrives without it"
    return "; ".join([text, *(f"{reason} of the inner" for reason in dropped)])


def _spoilt(how: str) -> str:
    """A place where no store can be opened without more ado."""
    folder = tempfile.mkdtemp(prefix="evidence-")
    place = os.path.join(folder, "store")
    if how == "file":
        Path(place).write_bytes(b"not a folder")
        return place
    for name in ("layout", "instance", "config", "opt_out", "queues", "version"):
        os.makedirs(place, exist_ok=True)
        Path(place, name).write_bytes(bytes(range(256)) * 4)
    return place


def wrong(cells: Dict[str, str]) -> List[str]:
    """What is not as the list asks for."""
    return [
        f"{case.name}: must be {case.must!r}, is {cells[case.name]!r}"
        for case in CASES
        if cells[case.name] != case.must and not cells[case.name].startswith("— ")
    ]


def table(columns: Dict[str, Dict[str, str]]) -> str:
    """The file."""
    names = [name for name in ORDER if name in columns]
    lines = [
        "# Bad input",
        "",
        "Written by `python3 -m evidence bad-input --write` in this folder, from what the SDKs",
        "did; each SDK's own tests compare its column. A reason in `code` is the reason in the",
        "ledger. After each case an ordinary event arrived, the two sums held, `on_drop` had been",
        "told the same, and nothing was thrown. *—* is what the language or the SDK cannot be",
        "given, with its reason.",
        "",
        f"| {len(CASES)} cases | " + " | ".join(names) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    for case in CASES:
        cells = " | ".join(columns[name][case.name] for name in names)
        lines.append(f"| {case.name} | {cells} |")
    return "\n".join(lines) + "\n"


def written() -> Dict[str, Dict[str, str]]:
    """The columns that stand in the file."""
    columns: Dict[str, Dict[str, str]] = {}
    names: List[str] = []
    for line in FILE.read_text(encoding="utf-8").splitlines() if FILE.exists() else []:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and cells[0].endswith(" cases"):
            names = cells[1:]
            columns = {name: {} for name in names}
        elif names and cells and not cells[0].startswith("---"):
            for name, cell in zip(names, cells[1:]):
                columns[name][cells[0]] = cell
    return columns


def run(sdks: List[str], write: bool) -> Tuple[int, int]:
    """Passed and failed cases; with `write` the file is made anew from all of `sdks`."""
    columns = {sdk: column(sdk) for sdk in sdks}
    failed = 0
    kept = written()
    for sdk, cells in columns.items():
        for line in wrong(cells):
            failed += 1
            print(f"FAILED  {sdk}: {line}")
        if not write and kept.get(sdk) != cells:
            failed += 1
            print(f"FAILED  {sdk}: its column of {FILE.name} is not what was seen")
    if write and not failed:
        FILE.write_text(table({**kept, **columns}), encoding="utf-8")
    cells_all = [cell for cells in columns.values() for cell in cells.values()]
    missing = sum(cell.startswith("— ") for cell in cells_all)
    print(
        f"bad input, {', '.join(sdks)}: {len(cells_all) - missing} cells, {missing} not expressible"
    )
    return len(cells_all) - missing - failed, failed


assert STARTED_WALL_MS > _YEAR_MS
