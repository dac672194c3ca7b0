"""The inputs of the vectors that are about numbers: chance, sampling, queue, time, configuration.

In: nothing. Out: lists of `(name, input)`; `generate.py` adds what the reference answers.
"""

import json
from typing import Any, Dict, List, Tuple

from .cases import EPOCH, ID, NOW

Case = Tuple[str, Dict[str, Any]]

SEEDS = [0, 1, 2, 42, 1234567, 2**31, 2**32 - 1, 2**32, 2**53 - 1, 2**63, 2**64 - 1, 0x0123456789ABCDEF]

UUIDS: List[Case] = [
    (name, {"wall_ms": wall_ms, "a": a, "b": b})
    for name, wall_ms, a, b in [
        ("zeros", 0, 0, 0),
        ("ones", 2**48 - 1, 2**64 - 1, 2**64 - 1),
        ("an ordinary moment", NOW, 0x0123456789ABCDEF, 0xFEDCBA9876543210),
        ("one ms later", NOW + 1, 0x0123456789ABCDEF, 0xFEDCBA9876543210),
        ("a clock before 1970", -1, 0, 0),
        ("a clock beyond 48 bits", 2**53, 0, 0),
        ("the lowest 52 bits of a are not used", NOW, 2**52 - 1, 0),
        ("the highest 12 bits of a are", NOW, 0xABC << 52, 0),
        ("the lowest 2 bits of b are not used", NOW, 0, 3),
        ("the highest bits of b follow the variant", NOW, 0, 2**63),
        ("2038", 2**31 * 1000, 7, 7),
        ("the year 2100", 4102444800000, 2**63, 2**62),
    ]
]


def delay(name: str, server_ms: int, n: int, unit: float, base_ms: int = 1000, cap_ms: int = 60000) -> Case:
    """A delay."""
    return name, {"server_ms": server_ms, "n": n, "base_ms": base_ms, "cap_ms": cap_ms, "unit": unit}


HALF, MOST = 0.5, 1 - 2.0**-53
DELAYS: List[Case] = [
    delay("no chance, no delay", 0, 0, 0),
    delay("first failure", 0, 0, HALF),
    delay("first failure, longest", 0, 0, MOST),
    delay("second", 0, 1, HALF),
    delay("third", 0, 2, HALF),
    delay("sixth is below the cap", 0, 5, MOST),
    delay("seventh is capped", 0, 6, MOST),
    delay("tenth", 0, 9, HALF),
    delay("n is capped", 0, 1000, HALF),
    delay("n of 31 bits", 0, 2**31, HALF),
    delay("the server's wish is a floor", 5000, 0, 0),
    delay("and the jitter comes on top", 5000, 3, HALF),
    delay("an hour at most", 3600000, 6, HALF),
    delay("nearly an hour", 3599999, 6, 0.00001),
    delay("another base", 0, 2, HALF, 100, 60000),
    delay("a cap below the base", 0, 0, MOST, 60000, 1000),
    delay("another cap", 0, 20, MOST, 1000, 3600000),
    delay("rounded down", 0, 0, 0.9999),
]
PAUSES: List[Case] = [
    (name, {"ms": ms, "unit": unit})
    for name, ms, unit in [
        ("nothing", 0, MOST), ("one ms", 1, MOST), ("ten ms", 10, HALF), ("99 ms", 99, MOST),
        ("a second", 1000, 0), ("a second and a bit", 1000, HALF), ("a minute", 60000, MOST),
        ("five minutes", 300000, HALF), ("ten minutes", 600000, MOST),
        ("20 minutes: the bit is a minute at most", 1200000, MOST),
        ("an hour", 3600000, MOST), ("nearly an hour", 3599000, MOST),
    ]
]

HASHES = [
    "", "a", "ab", "abc", "abcd", "abcde", "test", "Hello, world!", "\u00e9", "\u4e2d\u6587",
    "\U0001f600", "a\0b", "The quick brown fox jumps over the lazy dog",
]


def sample(unit: str, kind: str, rate: float) -> Case:
    """A decision."""
    return f"{kind} of {unit or 'nobody'} at {rate}", {"unit": unit, "type": kind, "rate": rate}


SAMPLES: List[Case] = [
    sample("i-1", "scroll", rate) for rate in (0, 0.000001, 0.1, 0.25, 0.3, 0.5, 0.75, 0.9, 0.999999, 1)
] + [
    sample("", "scroll", 0.5), sample("i-1", "page.view", 0.5), sample("i-2", "scroll", 0.5),
    sample(ID, "scroll", 0.5), sample(EPOCH, "scroll", 0.5), sample("gr\u00fc\u00df", "scroll", 0.5),
    sample("\u4e2d\u6587", "a:b", 0.5), sample("i-3", "scroll", 0.1), sample("i-4", "scroll", 0.1),
    sample("i-1", "scroll", 2), sample("i-7", "scroll", 1 / 3),
]


def rate(name: str, kind: str, class_: int, local: Any, remote: Any, degrade: Any) -> Case:
    """A rate in force."""
    given = {"type": kind, "class": class_, "local": local, "remote": remote}
    return name, {**given, "degrade": degrade}


RATES: List[Case] = [
    rate("nothing said", "a", 1, {}, {}, {}),
    rate("remote", "a", 1, {}, {"a": 0.1}, {}),
    rate("local", "a", 1, {"a": 0.2}, {}, {}),
    rate("local is lower", "a", 1, {"a": 0.05}, {"a": 0.1}, {}),
    rate("remote is lower", "a", 1, {"a": 0.5}, {"a": 0.1}, {}),
    rate("everything else", "a", 1, {}, {"*": 0.3, "b": 0.1}, {}),
    rate("a name goes before everything else", "a", 1, {}, {"*": 0.3, "a": 0.9}, {}),
    rate("a local name, a remote rest", "a", 1, {"a": 0.9}, {"*": 0.3}, {}),
    rate("pressure", "a", 2, {}, {}, {2: 0.2}),
    rate("pressure multiplies", "a", 2, {}, {"a": 0.5}, {2: 0.2}),
    rate("pressure on another class", "a", 1, {}, {}, {2: 0.2}),
    rate("critical and everything else", "a", 0, {}, {"*": 0.3}, {}),
    rate("critical and named", "a", 0, {}, {"a": 0.3}, {}),
    rate("critical under pressure", "a", 0, {}, {}, {1: 0.5, 2: 0.1}),
    rate("nothing at all is kept", "a", 1, {}, {"a": 0}, {}),
]


def full(name: str, queued: Any, sealed: int, class_: int, size: int, most: int = 1000, floors: Any = None) -> Case:
    """A newcomer at a queue."""
    given = {"queued": queued, "sealed_bytes": sealed, "class": class_, "size": size}
    return name, {**given, "queue_bytes_max": most, "floor_bytes": floors or [125, 125, 125]}


H = [100] * 10
EVICTIONS: List[Case] = [
    full("there is room", [[], [], []], 0, 1, 1000),
    full("just room", [[100], [100], [100]], 0, 2, 700),
    full("one byte less evicts its own class", [[], [], H], 0, 2, 1),
    full("larger than the queue", [[], [], []], 0, 0, 1001),
    full("bulk goes first", [[], [100] * 5, [100] * 5], 0, 0, 250),
    full("bulk goes for normal", [[], [100] * 5, [100] * 5], 0, 1, 100),
    full("bulk does not displace normal", [[], [100] * 8, [100] * 2], 0, 2, 100),
    full("bulk displaces bulk", [[], [100] * 5, [100] * 5], 0, 2, 100),
    full("down to its floor, then the next class", [[], [100] * 5, [100] * 5], 0, 0, 500),
    full("normal displaces normal when bulk is at its floor", [[], [100] * 8, [100] * 2], 0, 1, 100),
    full("critical displaces critical last", [[100] * 7, [100] * 2, [100]], 0, 0, 200),
    full("critical is not displaced by normal", [[100] * 9, [], [100]], 0, 1, 100),
    full("all or nothing", [[100] * 7, [100] * 2, [100]], 0, 1, 200),
    full("sealed bytes count and stay", [[], [], [100] * 3], 700, 0, 100),
    full("sealed bytes cannot be freed", [[], [], [100] * 3], 700, 0, 300),
    full("the oldest large one frees enough", [[], [], [600, 100, 100, 200]], 0, 1, 50),
    full("an oldest that would go below the floor ends its class", [[], [100] * 4, [600]], 0, 1, 50),
    full("no floors", [[], [100] * 5, [100] * 5], 0, 0, 1000, floors=[0, 0, 0]),
    full("a floor of its own for each", [[], [100] * 5, [100] * 5], 0, 0, 300, floors=[0, 400, 300]),
    full("exactly the floor stays", [[], [], H], 0, 2, 875),
]


def time(name: str, **given: Any) -> Case:
    """A moment."""
    return name, {"arrival": NOW, "wait": None, "sent": None, "ts": None, "age": None, **given}


TIMES: List[Case] = [
    time("nothing known"),
    time("monotonic times win", wait=100, sent=5, ts=7, age=2000),
    time("waiting without an age", wait=100),
    time("an age without a wait", age=5),
    time("a clock that is believed", ts=7, age=5),
    time("60 s off is believed", ts=7, sent=NOW - 60000),
    time("60.001 s behind", ts=7, sent=NOW - 60001),
    time("60 s ahead is believed", ts=7, sent=NOW + 60000),
    time("90 s ahead", ts=100000, sent=NOW + 90000),
    time("a year ahead", ts=NOW + 31536000000, sent=NOW + 31536000500),
    time("a clock before 1970", ts=-5, sent=0),
    time("zero wait", wait=0, ts=1),
    time("saturating wait and age", wait=2**63 - 1, age=2**63 - 1),
    time("saturating sum", ts=2**63 - 1, sent=-(2**63)),
]
AGES: List[Case] = [
    (name, {"wall_ms": NOW, "ts": ts})
    for name, ts in [
        ("now", NOW), ("a second", NOW - 1000), ("a day", NOW - 86400000),
        ("30 days", NOW - 2592000000), ("over 30 days is not believed", NOW - 2592000001),
        ("the future is not believed", NOW + 1), ("1970", 0), ("far ahead", 2**53 - 1),
        ("an hour", NOW - 3600000), ("one ms", NOW - 1), ("29 days", NOW - 2505600000),
        ("a year ahead", NOW + 31536000000),
    ]
]

BUCKETS: List[Case] = [
    (name, {"per_s": per_s, "burst": burst, "calls": calls})
    for name, per_s, burst, calls in [
        ("a burst and no more", 1, 3, [[0, 1]] * 4),
        ("it fills again", 1, 1, [[0, 1], [999, 1], [1000, 1], [1001, 1]]),
        ("never more than the burst", 10, 2, [[0, 1], [60000, 1], [60000, 1], [60000, 1]]),
        ("critical passes and takes nothing", 1, 1, [[0, 0], [0, 0], [0, 1], [0, 0], [0, 1]]),
        ("bulk and normal share", 1, 2, [[0, 1], [0, 2], [0, 2]]),
        ("less than one a second", 0.5, 1, [[0, 1], [1000, 1], [2000, 1]]),
        ("refused calls take nothing", 1, 1, [[0, 1], [500, 1], [999, 1], [1000, 1]]),
        ("fractions add up", 4, 1, [[0, 1], [125, 1], [250, 1], [375, 1], [500, 1]]),
        ("a clock that stands", 50, 1, [[5, 1], [5, 1]]),
        ("a clock that goes back fills nothing", 8, 1, [[1000, 1], [0, 1], [125, 1]]),
        ("the default of devices", 50, 200, [[0, 1]] * 201 + [[20, 1], [20, 1]]),
        ("no calls", 1, 1, []),
    ]
]


def merge(name: str, document: Any, local: Any = None, profile: str = "device") -> Case:
    """One document that is fetched first."""
    text = document if isinstance(document, str) else json.dumps({"version": 7, **document})
    return name, {"profile": profile, "local": local or {}, "fetched": [text]}


FULL = {
    "off_ms": 0, "purge": False, "sample": {"*": 1, "scroll": 0.1}, "sample_by": "instance",
    "batch": {"events": 100, "bytes": 49152, "ms": 5000},
    "queue": {"bytes": 1048576, "floors": [1000, 2000, 3000]}, "rate": {"per_s": 50, "burst": 200},
    "retry": {"base_ms": 1000, "cap_ms": 60000}, "ttl_s": 86400, "dedupe_s": 600,
    "classes": {"error": 0, "scroll": 2}, "degrade": [{"pressure": 1, "classes": {"2": 0.2}}],
}
CONFIGS: List[Case] = [
    ("nothing fetched, device", {"profile": "device", "local": {}, "fetched": []}),
    ("nothing fetched, server", {"profile": "server", "local": {}, "fetched": []}),
    merge("the document of the specification", FULL),
    merge("the same for a server", FULL, profile="server"),
    merge("version alone", {}),
    merge("below every range", {"batch": {"events": 0, "bytes": 1, "ms": -5}, "queue": {"bytes": 0}, "rate": {"per_s": 0, "burst": 0}, "retry": {"base_ms": 0, "cap_ms": 0}, "ttl_s": 0, "off_ms": -1, "sample": {"a": -1}}),
    merge("above every range", {"batch": {"events": 10**9, "bytes": 10**9, "ms": 10**12}, "queue": {"bytes": 10**12}, "rate": {"per_s": 1e9, "burst": 10**9}, "retry": {"base_ms": 10**9, "cap_ms": 10**9}, "ttl_s": 10**9, "off_ms": 10**12, "sample": {"a": 7}}),
    merge("wrong types are ignored alone", {"batch": {"events": "9", "bytes": True, "ms": 700}, "queue": 5, "rate": [], "retry": None, "ttl_s": 61.5, "off_ms": "x", "purge": 1, "sample": {"a": "x", "b": 0.5, "c": None}, "sample_by": "moon", "classes": {"a": 3, "b": 2, "c": "0", "d": 1.0}, "dedupe_s": -1}),
    merge("integers written with a point", {"batch": {"events": 5.0}, "ttl_s": 60.0}),
    merge("unknown keys", {"colour": "blue", "batch": {"size": 5}}),
    merge("nulls are absent", {"batch": None, "sample": None, "off_ms": None, "classes": None}),
    merge("local is lower", {"batch": {"events": 50}}, {"batch_events_max": 10}),
    merge("local is higher", {"batch": {"events": 50}}, {"batch_events_max": 70}),
    merge("local waits longer", {"batch": {"ms": 1000}}, {"batch_ms": 9000}),
    merge("local waits less", {"batch": {"ms": 10000}}, {"batch_ms": 9000}),
    merge("local alone", {}, {"queue_bytes_max": 2**21, "ttl_ms": 120000}),
    merge("local out of range is clamped", {}, {"batch_events_max": 0, "queue_bytes_max": 1}),
    merge("local of a wrong type is the default", {}, {"batch_events_max": "many", "batch_ms": None}),
    merge("a server with a rate of its own", {}, {"rate_per_s": 10}, "server"),
    merge("a server is given a burst", {"rate": {"burst": 7}}, None, "server"),
    merge("a cap below the base", {"retry": {"base_ms": 5000, "cap_ms": 2000}}),
    merge("floors of more than half are ignored", {"queue": {"bytes": 65536, "floors": [20000, 10000, 5000]}}),
    merge("floors of exactly half", {"queue": {"bytes": 65536, "floors": [20000, 10000, 2768]}}),
    merge("two floors are none", {"queue": {"floors": [1, 2]}}),
    merge("local floors go before", {"queue": {"floors": [1, 2, 3]}}, {"queue_floor_bytes": [4, 5, 6]}),
    merge("a kill of an hour with a purge", {"off_ms": 3600000, "purge": True}),
    merge("a kill is a day at most", {"off_ms": 10**12}),
    merge("samples on both sides", {"sample": {"a": 0.5, "*": 0.9}}, {"sample": {"a": 0.2, "b": 2}}),
    merge("sample by id, remote wins", {"sample_by": "id"}, {"sample_by": "instance"}),
    merge("degradation, bad entries ignored", {"degrade": [{"pressure": 1, "classes": {"2": 0.5, "0": 0.1, "x": 1}}, {"pressure": 9, "classes": {"2": 0}}, 5, {"pressure": 2}, {"pressure": 3, "classes": {"1": -1}}]}),
    merge("degradation that is empty", {"degrade": []}),
    merge("degradation that is no list", {"degrade": {"1": 0.5}}),
    merge("not JSON", "{"),
    merge("a list", "[]"),
    merge("no version", "{}"),
    merge("a version that is text", '{"version":"7"}'),
    merge("a version that is negative", '{"version":-1}'),
    merge("a version beyond 2^53-1", '{"version":9007199254740992}'),
    merge("NaN", '{"version":7,"ttl_s":NaN}'),
    merge("an endless number", '{"version":7,"ttl_s":1e999}'),
    ("a lower version is ignored", {"profile": "device", "local": {}, "fetched": ['{"version":7,"ttl_s":100}', '{"version":6,"ttl_s":200}']}),
    ("the same version replaces", {"profile": "device", "local": {}, "fetched": ['{"version":7,"ttl_s":100}', '{"version":7,"batch":{"events":9}}']}),
    ("a higher version replaces as a whole", {"profile": "device", "local": {}, "fetched": ['{"version":7,"ttl_s":100}', '{"version":8,"batch":{"events":9}}']}),
    ("garbage keeps the last good one", {"profile": "device", "local": {}, "fetched": ['{"version":7,"ttl_s":100}', '<html>', '']}),
]
