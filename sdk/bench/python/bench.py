"""One measure of one contestant as a line of JSON: `<contestant> <endpoint> <measure> <count>`."""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import tempfile
import time
from typing import Any, Callable, Dict, Tuple

BATCH_EVENTS = 100
BATCH_S = 0.5
QUEUE_EVENTS = 1_000_000
TEXT = "the quick brown fox jumps over the lazy dog, again and again, until the evening comes"
Contestant = Tuple[Callable[[int], None], Callable[[], None]]


def props(at: int) -> Dict[str, Any]:
    """Of every event."""
    return {
        "bench": at,
        "path": "/shop/cart/checkout",
        "user": f"u-{at * 7919 % 1000003}",
        "session": f"{at * 2654435761 % 4294967296:08x}",
        "amount": 19.9,
        "items": ["a-1", "b-2", "c-3"],
        "text": TEXT,
    }


def tidegate(endpoint: str, **more: Any) -> Contestant:
    """This repository's."""
    from tidegate import Client

    client = Client(
        "wk_bench",
        endpoint,
        batch_events_max=BATCH_EVENTS,
        batch_ms=int(BATCH_S * 1000),
        queue_bytes_max=64 << 20,
        **more,
    )

    def close() -> None:
        assert client.close(60_000), client.stats()

    return lambda at: client.track("bench.event", props(at)), close


def posthog(endpoint: str, **more: Any) -> Contestant:
    """posthog-python."""
    from posthog import Posthog

    client = Posthog(
        "phc_bench",
        host=endpoint,
        flush_at=BATCH_EVENTS,
        flush_interval=BATCH_S,
        max_queue_size=QUEUE_EVENTS,
        **more,
    )

    def track(at: int) -> None:
        client.capture("bench.event", distinct_id="u-1234567", properties=props(at))

    return track, client.shutdown


def segment(endpoint: str, **more: Any) -> Contestant:
    """segment-analytics-python."""
    from segment.analytics.client import Client

    client = Client(
        "bench",
        host=endpoint,
        upload_size=BATCH_EVENTS,
        upload_interval=BATCH_S,
        max_queue_size=QUEUE_EVENTS,
        **more,
    )

    def close() -> None:
        client.flush()
        client.shutdown()

    return lambda at: client.track("u-1234567", "bench.event", props(at)), close


CONTESTANTS: Dict[str, Callable[[str], Contestant]] = {
    "tidegate": tidegate,
    "tidegate plain": lambda endpoint: tidegate(endpoint, gzip_bytes_min=2**53 - 1),
    "tidegate store": lambda endpoint: tidegate(endpoint, store_dir=tempfile.mkdtemp()),
    "posthog": posthog,
    "posthog gzip": lambda endpoint: posthog(endpoint, gzip=True),
    "segment": segment,
    "segment gzip": lambda endpoint: segment(endpoint, gzip=True),
}


def measure_track(contestant: Contestant, count: int) -> Dict[str, float]:
    """On the caller's thread: 20 calls, a pause of 2 ms, and so on."""
    track, close = contestant
    warm, took = count // 10, []
    for at in range(count + warm):
        began = time.perf_counter_ns()
        track(at)
        took.append(time.perf_counter_ns() - began)
        if at % 20 == 19:
            time.sleep(0.002)
    close()
    took = sorted(took[warm:])
    return {"p50_ns": took[count // 2], "p99_ns": took[count * 99 // 100], "max_ns": took[-1]}


def measure_memory(contestant: Contestant, count: int) -> Dict[str, float]:
    """What events cost while nobody takes them."""
    track, _ = contestant
    gc.collect()
    before = _resident()
    for at in range(count):
        track(at)
        if at % 1000 == 999:
            time.sleep(0.02)
    time.sleep(1)
    gc.collect()
    return {"rss_bytes": _resident() - before}


def measure_throughput(contestant: Contestant, count: int) -> Dict[str, float]:
    """From the first call to the last reply."""
    track, close = contestant
    for at in range(count // 10):
        track(at)
    time.sleep(2 * BATCH_S)
    began, cpu = time.perf_counter(), _processor()
    for at in range(count):
        track(at)
    close()
    took = time.perf_counter() - began
    return {"events_per_s": count / took, "cpu_ns_an_event": (_processor() - cpu) / count * 1e9}


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    name, endpoint, what, number = sys.argv[1:]
    found = globals()[f"measure_{what}"](CONTESTANTS[name](endpoint), int(number))
    print(json.dumps(found), flush=True)
    os._exit(0)
