"""Runs the rounds of the bench and writes the table: `<folder> [--rounds N] [--smoke] sdk...`.

Every measure is a process of its own. A round runs every contestant once, each round begins with
another one; what is told is the median of the rounds and their spread.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import urllib.request
from importlib.metadata import distributions
from pathlib import Path
from statistics import median
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "RESULTS.md"
_TIMEOUT_S = 180
Figures = Dict[str, float]


class Language(NamedTuple):
    """Contestants by name, with the name of the package that they are of."""

    contestants: Dict[str, str]
    throughput: int
    tracks: int = 10_000


LANGUAGES = {
    "python": Language(
        {
            "tidegate": "tidegate",
            "tidegate plain": "tidegate",
            "tidegate store": "tidegate",
            "posthog": "posthog",
            "posthog gzip": "posthog",
            "segment": "segment-analytics-python",
            "segment gzip": "segment-analytics-python",
        },
        20_000,
    ),
    "go": Language(
        {
            "tidegate": "tidegate",
            "tidegate plain": "tidegate",
            "tidegate store": "tidegate",
            "segment": "github.com/segmentio/analytics-go/v3",
        },
        100_000,
    ),
    "node": Language(
        {
            "tidegate": "tidegate",
            "tidegate plain": "tidegate",
            "tidegate store": "tidegate",
            "posthog": "posthog-node",
            "posthog gzip": "posthog-node",
            "segment": "@segment/analytics-node",
        },
        50_000,
    ),
    "web": Language(
        {
            "tidegate": "tidegate",
            "tidegate store": "tidegate",
            "posthog": "posthog-js",
            "posthog memory": "posthog-js",
            "segment": "@segment/analytics-next",
            "segment memory": "@segment/analytics-next",
        },
        3_000,
        2_500,
    ),
}
MEASURES = ("track", "memory", "throughput")
_QUEUED = 10_000


class Bench:
    """The server, and how each contestant is started."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._server = subprocess.Popen([str(work / "server")], stdout=subprocess.PIPE, text=True)
        assert self._server.stdout is not None
        answering, holding = self._server.stdout.readline().split()
        self._answers = f"http://127.0.0.1:{answering}"
        self._holds = f"http://127.0.0.1:{holding}"

    def close(self) -> None:
        """Ends the server."""
        self._server.kill()
        self._server.wait()

    def run(self, language: str, name: str, measure: str, count: int) -> Figures:
        """One measure; of a throughput also what came over the wire."""
        endpoint = self._holds if measure == "memory" else self._answers
        self._count()
        command, environment = self._command(language, name, [endpoint, measure, str(count)])
        with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
            ran = subprocess.run(
                command,
                env={**os.environ, **environment, "TMPDIR": folder},
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
        if ran.returncode:
            raise SystemExit(f"{language}, {name}, {measure}: {ran.stdout}{ran.stderr}")
        found: Figures = json.loads(ran.stdout.splitlines()[-1])
        arrived = self._count()
        if measure != "memory" and arrived["events"] != count + count // 10:
            found["lost"] = count + count // 10 - arrived["events"]
        if measure == "throughput":
            found["wire_bytes"] = arrived["bytes"] / max(arrived["events"], 1)
        return found

    def _command(
        self, language: str, name: str, arguments: List[str]
    ) -> Tuple[List[str], Dict[str, str]]:
        package, _, form = name.partition(" ")
        if language == "go":
            return [str(self._work / package), *arguments, *([form] if form else ["gzip"])], {}
        if language in ("node", "web"):
            modules = str(self._work / language / "node_modules")
            script = str(HERE / language / "bench.mjs")
            return ["node", "--expose-gc", script, name, *arguments], {"NODE_MODULES": modules}
        python = self._work / "python" / "bin" / "python"
        found = str(python) if python.exists() else sys.executable
        source = str(HERE.parent / "python" / "src")
        return [found, str(HERE / "python" / "bench.py"), name, *arguments], {"PYTHONPATH": source}

    def _count(self) -> Dict[str, int]:
        with urllib.request.urlopen(f"{self._answers}/count", timeout=10) as reply:
            counts: Dict[str, int] = json.load(reply)
            return counts


def rounds(bench: Bench, language: str, times: int, smoke: bool) -> Dict[str, List[Figures]]:
    """All figures of every contestant, a round after the other."""
    known = LANGUAGES[language]
    names = [name for name in known.contestants if not smoke or name.startswith("tidegate")]
    found: Dict[str, List[Figures]] = {name: [] for name in names}
    counts = {"track": known.tracks, "memory": _QUEUED, "throughput": known.throughput}
    for number in range(times):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            figures: Figures = {}
            for measure in MEASURES:
                count = counts[measure] // 10 if smoke else counts[measure]
                figures.update(bench.run(language, name, measure, count))
            found[name].append(figures)
            print(f"  {language}, round {number + 1}: {name} {json.dumps(figures)}", flush=True)
    return found


def spread(figures: List[Figures], key: str, scale: float, digits: int) -> str:
    """Median, least and most."""
    values = [one[key] / scale for one in figures if key in one]
    if not values:
        return ""
    shown = [f"{value:,.{digits}f}" for value in (median(values), min(values), max(values))]
    return f"{shown[0]} ({shown[1]}–{shown[2]})"


def row(name: str, version: str, figures: List[Figures]) -> str:
    """One contestant."""
    lost = sum(one.get("lost", 0) for one in figures)
    cells = [
        f"{name} {version}".strip(),
        spread(figures, "p50_ns", 1e3, 1),
        spread(figures, "p99_ns", 1e3, 1),
        spread(figures, "max_ns", 1e6, 2),
        spread(figures, "rss_bytes", 2**20, 1),
        spread(figures, "heap_bytes", 2**20, 1),
        spread(figures, "events_per_s", 1, 0),
        spread(figures, "cpu_ns_an_event", 1e3, 1),
        spread(figures, "wire_bytes", 1, 0),
        f"{lost:,.0f}",
    ]
    if "first_bytes" in figures[0]:
        cells += [spread(figures[:1], key, 1, 0).partition(" ")[0] for key in _LOADED]
    return "| " + " | ".join(cells) + " |"


# What a page loads before its first event, and in all, gzipped.
_LOADED = ("first_bytes", "loaded_bytes")
HEAD = (
    "| client | p50 µs | p99 µs | max ms | RSS MiB | live heap MiB | events/s | CPU µs/event "
    "| bytes/event | not sent |\n|---|---|---|---|---|---|---|---|---|---|"
)


def version_of(language: str, package: str, work: Path) -> str:
    """What is installed, not what was asked for."""
    if package == "tidegate":
        return ""
    if language in ("node", "web"):
        manifest = work / language / "node_modules" / package / "package.json"
        return str(json.loads(manifest.read_text())["version"])
    if language == "go":
        command = ["go", "list", "-m", "-f", "{{.Version}}", package]
        return _said(command)
    (site,) = (work / "python" / "lib").glob("python*/site-packages")
    return next(
        found.version
        for found in distributions(path=[str(site)])
        if found.metadata["Name"] == package
    )


def _said(command: List[str]) -> str:
    ran = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    return ran.stdout.strip()


def machine() -> str:
    """Where it ran."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":")[1].strip()
            break
    said = []
    for command in (["go", "version"], ["node", "--version"]):
        said.append(_said(command))
    return (
        f"{os.cpu_count()} cores of {model}, Linux {platform.release().partition('-')[0]}, "
        f"Python {platform.python_version()}, {said[0].split()[2]}, Node {said[1]}"
    )


def section(language: str, contestants: Dict[str, List[Figures]], times: int, work: Path) -> str:
    """One language."""
    load = ", ".join(f"{one:.0f}" for one in os.getloadavg())
    more = (" loaded first | in all |", "---|---|") if language == "web" else ("", "")
    lines = [
        f"Medians of {times} rounds (least–most); load averages at their end: {load}.",
        "",
        *(line + end for line, end in zip(HEAD.split("\n"), more)),
    ]
    for name, figures in contestants.items():
        package = LANGUAGES[language].contestants[name]
        lines.append(row(name, version_of(language, package, work), figures))
    return "\n".join(lines)


def sections(text: str) -> Dict[str, str]:
    """Those of a text, by language."""
    parts = [part.partition("\n\n") for part in text.split("### ")[1:]]
    return {name: rest.strip() for name, _, rest in parts}


def table(of: Dict[str, str]) -> str:
    """What stands between the marks of the file."""
    lines = [f"{machine()}. The bench alone makes a load of 1 to 2."]
    for language in LANGUAGES:
        if language in of:
            lines += ["", f"### {language}", "", of[language]]
    return "\n".join(lines)


def main() -> None:
    """Prints the table; without `--smoke` it is written as well."""
    work, arguments = Path(sys.argv[1]), sys.argv[2:]
    smoke = "--smoke" in arguments
    times = 1 if smoke else 5
    if "--rounds" in arguments:
        times = int(arguments[arguments.index("--rounds") + 1])
    languages = [name for name in LANGUAGES if name in arguments] or list(LANGUAGES)
    bench: Optional[Bench] = None
    found: Dict[str, Dict[str, Any]] = {}
    written: Dict[str, str] = {}
    try:
        bench = Bench(work)
        for language in languages:
            found[language] = rounds(bench, language, times, smoke)
            written[language] = section(language, found[language], times, work)
    finally:
        if bench is not None:
            bench.close()
    print(table(written))
    if smoke:
        lost = sum(
            one.get("lost", 0) for all_ in found.values() for runs in all_.values() for one in runs
        )
        raise SystemExit(1 if lost else 0)
    begin, end = "<!-- figures -->\n", "\n<!-- end of figures -->"
    # What was not measured now stays as it was.
    before, _, rest = RESULTS.read_text(encoding="utf-8").partition(begin)
    old, _, after = rest.partition(end)
    text = table({**sections(old), **written})
    RESULTS.write_text(before + begin + text + end + after, encoding="utf-8")


if __name__ == "__main__":
    main()
