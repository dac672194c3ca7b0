"""The configuration document: reading, clamping, merging (R40, R74, R95, R122-R124)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence

from ._numbers import INTEGER_MAX, Number, bounded, is_number, read_object

CLASSES = (0, 1, 2)
_ENTRIES_MAX = 1000
_DEGRADE_MAX = 16


class Field(NamedTuple):
    """A number that an option and the document can both set (R40)."""

    option: str
    path: str
    least: Number
    most: Number
    integer: bool
    both: Callable[[Any, Any], Any]


FIELDS = (
    Field("batch_events_max", "batch.events", 1, 5000, True, min),
    Field("batch_bytes_max", "batch.bytes", 1024, 921_600, True, min),
    Field("batch_ms", "batch.ms", 100, 3_600_000, True, max),
    Field("queue_bytes_max", "queue.bytes", 65_536, 67_108_864, True, min),
    Field("rate_per_s", "rate.per_s", 0.1, 100_000, False, min),
    Field("rate_burst", "rate.burst", 1, 100_000, True, min),
    Field("retry_base_ms", "retry.base_ms", 100, 60_000, True, max),
    Field("retry_cap_ms", "retry.cap_ms", 1000, 3_600_000, True, max),
    Field("ttl_ms", "ttl_s", 60_000, 2_592_000_000, True, min),
)

_DEVICE: Dict[str, Any] = {
    "batch_events_max": 100,
    "batch_bytes_max": 49_152,
    "batch_ms": 5000,
    "queue_bytes_max": 1_048_576,
    "rate_per_s": 50,
    "rate_burst": 200,
    "retry_base_ms": 1000,
    "retry_cap_ms": 60_000,
    "ttl_ms": 86_400_000,
    "sample_by": "instance",
}
_SERVER: Dict[str, Any] = {
    **_DEVICE,
    "batch_events_max": 500,
    "batch_bytes_max": 262_144,
    "batch_ms": 2000,
    "queue_bytes_max": 8_388_608,
    "rate_per_s": None,
    "rate_burst": None,
    "ttl_ms": 3_600_000,
    "sample_by": "id",
}
DEFAULTS = {"device": _DEVICE, "server": _SERVER}


class Degrade(NamedTuple):
    """From this pressure on, these factors by class."""

    pressure: int
    classes: Dict[int, float]


_DEGRADE = (
    Degrade(1, {2: 0.2}),
    Degrade(2, {2: 0.1}),
    Degrade(3, {1: 0.5, 2: 0.05}),
)


@dataclass(frozen=True)
class Effective:
    """Every value that holds."""

    config: Optional[int]
    batch_events_max: int
    batch_bytes_max: int
    batch_ms: int
    queue_bytes_max: int
    rate_per_s: Optional[float]
    rate_burst: Optional[int]
    retry_base_ms: int
    retry_cap_ms: int
    ttl_ms: int
    queue_floor_bytes: Sequence[int]
    sample_local: Mapping[str, float]
    sample_remote: Mapping[str, float]
    sample_by: str
    classes: Mapping[str, int]
    degrade: Sequence[Degrade]
    off_ms: int
    purge: bool
    dedupe_s: Optional[int]


def parse(text: str) -> Optional[Dict[str, Any]]:
    """A document, if it is a JSON object with an integer version."""
    document = read_object(text)
    version = None if document is None else document.get("version")
    if not is_number(version) or version != int(version or 0) or not 0 <= version <= INTEGER_MAX:
        return None
    return document


def chosen(
    in_force: Optional[Dict[str, Any]], fetched: Optional[Dict[str, Any]]
) -> Optional[Dict[str, Any]]:
    """The document in force after a fetch (R124)."""
    if fetched is None or (in_force is not None and fetched["version"] < in_force["version"]):
        return in_force
    return fetched


def effective(
    profile: str, local: Mapping[str, Any], document: Optional[Mapping[str, Any]]
) -> Effective:
    """Merges options and document (R123)."""
    remote: Mapping[str, Any] = document or {}
    defaults = DEFAULTS[profile]
    out: Dict[str, Any] = {}
    for field in FIELDS:
        ours = bounded(local.get(field.option), field.least, field.most, field.integer)
        out[field.option] = _merged(ours, _theirs(field, remote), defaults[field.option], field)
    if (out["rate_per_s"] is None) != (out["rate_burst"] is None):  # R69
        for option in ("rate_per_s", "rate_burst"):
            if out[option] is None:
                out[option] = _DEVICE[option]
    out["retry_cap_ms"] = max(out["retry_cap_ms"], out["retry_base_ms"])
    sample_by = defaults["sample_by"]
    for by in (local.get("sample_by"), remote.get("sample_by")):
        if by in ("instance", "id"):
            sample_by = by
    return Effective(
        config=int(remote["version"]) if document is not None else None,
        queue_floor_bytes=_floors_of(local, remote, out["queue_bytes_max"]),
        sample_local=rates(local.get("sample")),
        sample_remote=rates(remote.get("sample")),
        sample_by=sample_by,
        classes=_classes(remote.get("classes")),
        degrade=_degrade(remote.get("degrade")),
        off_ms=int(bounded(remote.get("off_ms"), 0, 86_400_000, True) or 0),
        purge=remote.get("purge") is True,
        dedupe_s=_integer(bounded(remote.get("dedupe_s"), 0, 86_400, True)),
        **out,
    )


def factors(entries: Sequence[Degrade], pressure: int) -> Dict[int, float]:
    """The factors of classes 1 and 2 at a level (R95)."""
    out: Dict[int, float] = {}
    for entry in sorted(entries, key=lambda entry: entry.pressure):
        if entry.pressure <= pressure:
            out.update(entry.classes)
    return out


def rates(thing: Any) -> Dict[str, float]:
    """Names with their rates, entry by entry."""
    out: Dict[str, float] = {}
    for name, rate in list(thing.items())[:_ENTRIES_MAX] if isinstance(thing, dict) else []:
        clamped = bounded(rate, 0, 1, False)
        if clamped is not None:
            out[name] = clamped
    return out


def _theirs(field: Field, remote: Mapping[str, Any]) -> Optional[Number]:
    said: Any = remote
    for name in field.path.split("."):
        said = said.get(name) if isinstance(said, dict) else None
    if field.path != "ttl_s":
        return bounded(said, field.least, field.most, field.integer)
    read = bounded(said, int(field.least) // 1000, int(field.most) // 1000, True)
    return None if read is None else read * 1000


def _merged(ours: Any, theirs: Any, default: Any, field: Field) -> Any:
    if ours is not None and theirs is not None:
        return field.both(ours, theirs)
    if ours is not None:
        return ours
    return theirs if theirs is not None else default


def _integer(thing: Optional[Number]) -> Optional[int]:
    return None if thing is None else int(thing)


def _floors_of(
    local: Mapping[str, Any], remote: Mapping[str, Any], queue_bytes: int
) -> Sequence[int]:
    """Local floors, else remote ones, else an eighth each (R74)."""
    queue = remote.get("queue")
    for said in (
        local.get("queue_floor_bytes"),
        queue.get("floors") if isinstance(queue, dict) else None,
    ):
        read = _floors(said, queue_bytes)
        if read is not None:
            return read
    return [queue_bytes // 8] * 3


def _floors(thing: Any, queue_bytes: int) -> Optional[List[int]]:
    if not isinstance(thing, (list, tuple)) or len(thing) != 3:
        return None
    read = [bounded(item, 0, INTEGER_MAX, True) for item in thing]
    floors = [int(item) for item in read if item is not None]
    return floors if len(floors) == 3 and sum(floors) <= queue_bytes / 2 else None


def _classes(thing: Any) -> Dict[str, int]:
    pairs = list(thing.items())[:_ENTRIES_MAX] if isinstance(thing, dict) else []
    return {name: int(kind) for name, kind in pairs if is_number(kind) and kind in CLASSES}


def _degrade(thing: Any) -> Sequence[Degrade]:
    if not isinstance(thing, list):
        return _DEGRADE
    out = []
    for entry in thing[:_DEGRADE_MAX]:
        level = entry.get("pressure") if isinstance(entry, dict) else None
        if is_number(level) and level in (1, 2, 3):
            named = rates(entry.get("classes"))
            out.append(
                Degrade(
                    int(level or 0),
                    {int(name): rate for name, rate in named.items() if name in ("1", "2")},
                )
            )
    return out
