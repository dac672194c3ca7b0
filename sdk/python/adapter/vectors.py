"""The pure functions under the names of the vectors, and the values that JSON cannot say."""

from __future__ import annotations

import datetime
import math
from typing import Any, Callable, Dict, List

from tidegate import _backoff, _config, _gate, _lines, _queue, _reply, _retry_after, _sampling
from tidegate._batch import halves
from tidegate._bucket import Bucket
from tidegate._eviction import choose
from tidegate._serialise import Refused
from tidegate._uuid import uuid7

from .splitmix import SplitMix64


class Unsupported(Exception):
    """This language cannot express it."""


def answer(function: str, given: Dict[str, Any]) -> Any:
    """What the SDK's own function says."""
    known = _FUNCTIONS.get(function)
    if known is None:
        raise Unsupported(f"no function {function} here")
    return known(given)


def exotic(thing: Any) -> Any:
    """Builds what JSON cannot say from `{"$": name, ...}`."""
    if isinstance(thing, list):
        return [exotic(item) for item in thing]
    if not isinstance(thing, dict):
        return thing
    name = thing.get("$")
    if name is None:
        return {key: exotic(item) for key, item in thing.items()}
    made: Dict[str, Callable[[], Any]] = {
        "nan": lambda: math.nan,
        "infinity": lambda: math.inf,
        "minus_infinity": lambda: -math.inf,
        "float": lambda: float(thing["text"]),
        "integer": lambda: int(thing["text"]),
        "absent": lambda: exotic,  # a function: what Python has of absent values
        "opaque": object,
        "utf16": lambda: "".join(map(chr, thing["units"])),
        "bytes": lambda: bytes.fromhex(thing["hex"]),
        "date": lambda: datetime.datetime.fromtimestamp(thing["ms"] / 1000, datetime.timezone.utc),
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


def _splitmix64(given: Dict[str, Any]) -> Any:
    first, second = SplitMix64(int(given["seed"])), SplitMix64(int(given["seed"]))
    return {
        "u64": [str(first.u64()) for _ in range(4)],
        "units": [second.unit() for _ in range(4)],
    }


def _event_line(given: Dict[str, Any]) -> Any:
    try:
        line = _lines.event_line(exotic(given["event"]), given["event_bytes_max"])
    except Refused as refused:
        return {"refused": refused.reason}
    return {"line": line.decode()}


def _split(given: Dict[str, Any]) -> Any:
    lines: List[Any] = given["lines"]
    if not lines:
        return {"forgotten": True}
    return {"dropped": "rejected_413"} if len(lines) == 1 else {"batches": halves(lines)}


def _classify(given: Dict[str, Any]) -> Any:
    body = given["body"].replace("FILL", "y" * given["fill"]).encode("utf-8", "surrogatepass")
    reply = _reply.classify(
        given["status"],
        given["retry_after"],
        body,
        given["batch"],
        given["count"],
        given["wall_ms"],
    )
    out: Dict[str, Any] = {"act": reply.act, "answered": reply.answered}
    if reply.act == _reply.SETTLED:
        out.update(filtered=reply.filtered, rejected=reply.rejected)
    if reply.act == _reply.RETRY:
        out["server_ms"] = reply.server_ms
    if reply.speaks:
        limits = [list(pair) for pair in reply.limits]
        out.update(limits=limits, pressure=reply.pressure, config=reply.config)
    return out


def _decide(given: Dict[str, Any]) -> Any:
    decision = _sampling.decide(given["unit"], given["type"], given["rate"])
    out: Dict[str, Any] = {"hash": decision.hash, "keep": decision.keep}
    return {**out, "weight": decision.weight} if decision.keep else out


def _rate(given: Dict[str, Any]) -> Any:
    degrade = {int(name): rate for name, rate in given["degrade"].items()}
    return _sampling.rate_of(
        given["type"], given["class"], given["local"], given["remote"], degrade
    )


def _degrade(given: Dict[str, Any]) -> Any:
    entries = [
        _config.Degrade(
            entry["pressure"], {int(name): rate for name, rate in entry["classes"].items()}
        )
        for entry in given["degrade"]
    ]
    factors = _config.factors(entries, given["pressure"])
    return {str(name): rate for name, rate in factors.items()}


def _effective(given: Dict[str, Any]) -> Any:
    document = None
    for text in given["fetched"]:
        document = _config.chosen(document, _config.parse(text))
    found = _config.effective(given["profile"], given["local"], document)
    out = dict(vars(found))
    out["degrade"] = [
        {"pressure": entry.pressure, "classes": {str(n): r for n, r in entry.classes.items()}}
        for entry in found.degrade
    ]
    return out


def _choose(given: Dict[str, Any]) -> Any:
    queued = given["queued"]
    sizes = [sum(list_) for list_ in queued]
    need = given["sealed_bytes"] + sum(sizes) + given["size"] - given["queue_bytes_max"]
    evicted = choose(queued, sizes, need, given["class"], given["floor_bytes"])
    return {"admitted": evicted is not None, "evicted": evicted or [0, 0, 0]}


def _passes(given: Dict[str, Any]) -> Any:
    calls = given["calls"]
    bucket = Bucket(given["per_s"], given["burst"], calls[0][0] if calls else 0)
    return [bucket.passes(class_, now) for now, class_ in calls]


_FUNCTIONS: Dict[str, Callable[[Dict[str, Any]], Any]] = {
    "splitmix64": _splitmix64,
    "uuid7": lambda given: uuid7(given["wall_ms"], int(given["a"]), int(given["b"])),
    "event_line": _event_line,
    "header_line": lambda given: _lines.header_line(given).decode(),
    "split": _split,
    "delay_ms": lambda given: _backoff.delay_ms(**given),
    "pause_ms": lambda given: _backoff.pause_ms(**given),
    "jitter": lambda given: _gate.jitter(
        SplitMix64(int(given["seed"])).unit, given["failures"], 1000, 60_000
    ),
    "server_ms": lambda given: _retry_after.server_ms(**given),
    "classify": _classify,
    "murmur3_32": lambda given: _sampling.murmur3_32(given["text"].encode()),
    "decide": _decide,
    "rate": _rate,
    "degrade": _degrade,
    "effective": _effective,
    "choose": _choose,
    "recovered_age_ms": lambda given: _queue.recovered_age_ms(**given),
    "passes": _passes,
}
