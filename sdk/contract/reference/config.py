"""The configuration document: reading, clamping, merging (R40, R74, R122-R124).

In: profile, local options, the document in force, a fetched one. Out: effective values. A field that
is wrong is ignored alone; nothing throws.
"""

import json
import math
from typing import Any, Callable, Dict, List, Optional

INTEGER_MAX = 2**53 - 1

# option, remote path, least, most, integer, which of both
FIELDS = [
    ("batch_events_max", "batch.events", 1, 5000, True, min),
    ("batch_bytes_max", "batch.bytes", 1024, 921600, True, min),
    ("batch_ms", "batch.ms", 100, 3600000, True, max),
    ("queue_bytes_max", "queue.bytes", 65536, 67108864, True, min),
    ("rate_per_s", "rate.per_s", 0.1, 100000, False, min),
    ("rate_burst", "rate.burst", 1, 100000, True, min),
    ("retry_base_ms", "retry.base_ms", 100, 60000, True, max),
    ("retry_cap_ms", "retry.cap_ms", 1000, 3600000, True, max),
    ("ttl_ms", "ttl_s", 60000, 2592000000, True, min),
]
DEFAULTS: Dict[str, Dict[str, Any]] = {
    "device": {
        "batch_events_max": 100,
        "batch_bytes_max": 49152,
        "batch_ms": 5000,
        "queue_bytes_max": 1048576,
        "rate_per_s": 50,
        "rate_burst": 200,
        "retry_base_ms": 1000,
        "retry_cap_ms": 60000,
        "ttl_ms": 86400000,
        "sample_by": "instance",
    },
    "server": {
        "batch_events_max": 500,
        "batch_bytes_max": 262144,
        "batch_ms": 2000,
        "queue_bytes_max": 8388608,
        "rate_per_s": None,
        "rate_burst": None,
        "retry_base_ms": 1000,
        "retry_cap_ms": 60000,
        "ttl_ms": 3600000,
        "sample_by": "id",
    },
}
DEGRADE = [
    {"pressure": 1, "classes": {"2": 0.2}},
    {"pressure": 2, "classes": {"2": 0.1}},
    {"pressure": 3, "classes": {"1": 0.5, "2": 0.05}},
]


def is_number(thing: Any) -> bool:
    """A finite number; booleans are none."""
    return isinstance(thing, (int, float)) and not isinstance(thing, bool) and math.isfinite(thing)


def bounded(thing: Any, least: float, most: float, whole: bool) -> Optional[float]:
    """A number in its range, or nothing if it is none (or no integer where one is asked for)."""
    if not is_number(thing) or (whole and thing != math.floor(thing)):
        return None
    clamped = min(max(thing, least), most)
    return int(clamped) if whole or clamped == math.floor(clamped) else clamped


def rates(thing: Any) -> Dict[str, float]:
    """Names with their rates, entry by entry."""
    out: Dict[str, float] = {}
    for name, rate in list(thing.items())[:1000] if isinstance(thing, dict) else []:
        clamped = bounded(rate, 0, 1, False)
        if clamped is not None:
            out[name] = clamped
    return out


def classes(thing: Any) -> Dict[str, int]:
    """Types with their classes, entry by entry."""
    pairs = list(thing.items())[:1000] if isinstance(thing, dict) else []
    return {name: int(kind) for name, kind in pairs if is_number(kind) and kind in (0, 1, 2)}


def degrade(thing: Any) -> Optional[List[Dict[str, Any]]]:
    """Degradation by pressure, entry by entry."""
    if not isinstance(thing, list):
        return None
    out = []
    for entry in thing[:16]:
        if not isinstance(entry, dict) or not is_number(entry.get("pressure")):
            continue
        if entry["pressure"] not in (1, 2, 3):
            continue
        factors = {name: rate for name, rate in rates(entry.get("classes")).items() if name in "12"}
        out.append({"pressure": int(entry["pressure"]), "classes": factors})
    return out


def floors(thing: Any, queue_bytes: int) -> Optional[List[int]]:
    """Three floors that leave at least half of the queue to everybody."""
    if not isinstance(thing, list) or len(thing) != 3:
        return None
    read = [bounded(item, 0, INTEGER_MAX, True) for item in thing]
    if any(item is None for item in read) or sum(item or 0 for item in read) > queue_bytes / 2:
        return None
    return [int(item or 0) for item in read]


def parse(text: str) -> Optional[Dict[str, Any]]:
    """A document, if it is a JSON object with an integer version."""
    try:
        document = json.loads(text, parse_constant=refuse)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    version = document.get("version")
    if not is_number(version) or version != math.floor(version) or not 0 <= version <= INTEGER_MAX:
        return None
    return document


def refuse(name: str) -> None:
    """NaN and Infinity are no JSON."""
    raise ValueError(name)


def at(document: Dict[str, Any], path: str) -> Any:
    """The value at a dotted path, or nothing."""
    thing: Any = document
    for name in path.split("."):
        thing = thing.get(name) if isinstance(thing, dict) else None
    return thing


def chosen(in_force: Optional[Dict[str, Any]], fetched: str) -> Optional[Dict[str, Any]]:
    """The document in force after a fetch (R124)."""
    document = parse(fetched)
    if document is None or (in_force and document["version"] < in_force["version"]):
        return in_force
    return document


def effective(profile: str, local: Dict[str, Any], document: Optional[Dict[str, Any]]) -> Dict[str, Any]:
    """Every value that holds."""
    remote = document or {}
    out: Dict[str, Any] = {"config": int(remote["version"]) if document else None}
    for option, path, least, most, whole, both in FIELDS:
        said = at(remote, path)
        if path == "ttl_s":
            read = bounded(said, least // 1000, most // 1000, whole)
            theirs = None if read is None else read * 1000
        else:
            theirs = bounded(said, least, most, whole)
        ours = bounded(local.get(option), least, most, whole)
        out[option] = merged(ours, theirs, DEFAULTS[profile][option], both)
    if (out["rate_per_s"] is None) != (out["rate_burst"] is None):
        for option in ("rate_per_s", "rate_burst"):
            if out[option] is None:
                out[option] = DEFAULTS["device"][option]
    out["retry_cap_ms"] = max(out["retry_cap_ms"], out["retry_base_ms"])
    eighth = out["queue_bytes_max"] // 8
    theirs_or_ours = [local.get("queue_floor_bytes"), at(remote, "queue.floors")]
    valid = [read for read in (floors(one, out["queue_bytes_max"]) for one in theirs_or_ours) if read]
    out["queue_floor_bytes"] = valid[0] if valid else [eighth] * 3
    out["sample_local"], out["sample_remote"] = rates(local.get("sample")), rates(at(remote, "sample"))
    out["sample_by"] = DEFAULTS[profile]["sample_by"]
    for by in (local.get("sample_by"), at(remote, "sample_by")):
        if by in ("instance", "id"):
            out["sample_by"] = by
    out["classes"] = classes(at(remote, "classes"))
    read_degrade = degrade(at(remote, "degrade"))
    out["degrade"] = DEGRADE if read_degrade is None else read_degrade
    out["off_ms"] = bounded(at(remote, "off_ms"), 0, 86400000, True) or 0
    out["purge"] = at(remote, "purge") is True
    out["dedupe_s"] = bounded(at(remote, "dedupe_s"), 0, 86400, True)
    return out


def merged(ours: Any, theirs: Any, default: Any, both: Callable[[Any, Any], Any]) -> Any:
    """Both: the frugal one; one: that one; none: the default."""
    if ours is not None and theirs is not None:
        return both(ours, theirs)
    if ours is not None:
        return ours
    return theirs if theirs is not None else default


def factors(entries: List[Dict[str, Any]], pressure: int) -> Dict[int, float]:
    """The factors of classes 1 and 2 at a level (R95)."""
    out: Dict[int, float] = {}
    for entry in sorted(entries, key=lambda entry: entry["pressure"]):
        if entry["pressure"] <= pressure:
            out.update({int(name): rate for name, rate in entry["classes"].items()})
    return out
