"""Writes `vectors/*.json` from the reference; with `--check` only compares. Run it from anywhere:

    python3 sdk/contract/reference/generate.py [--check]
"""

import json
import pathlib
import sys
from typing import Any, Callable, Dict, List, Tuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from reference import cases, figures  # noqa: E402
from reference import backoff, bucket, config, event_time, eviction  # noqa: E402
from reference import random64, reply, retry_after, sampling, serialise, split  # noqa: E402

Case = Tuple[str, Dict[str, Any]]


def made(name: str, rules: str, listed: List[Case], function: Callable[..., Any]) -> Dict[str, Any]:
    """One function's cases with their answers."""
    out = []
    for title, given in listed:
        out.append({"name": title, "in": given, "out": function(**given)})
    return {"function": name, "rules": rules, "cases": out}


def event_line(event: Dict[str, Any], event_bytes_max: int) -> Dict[str, Any]:
    """Every text of a line that is right, the plainest first; or the reason of a refusal."""
    real = {key: serialise.exotic(item) for key, item in event.items()}
    try:
        line = serialise.event_line(real, event_bytes_max)
    except serialise.Refused as refused:
        return {"refused": str(refused)}
    return {"lines": [line] + alternatives(line)}


ALSO = {
    '"v":1}': ['"v":1.0}'],
    '"v":0}': ['"v":-0}', '"v":-0.0}', '"v":0.0}'],
    '"v":100000000000000000000}': ['"v":1e20}', '"v":1e+20}'],
    '"v":1e+21}': ['"v":1e21}', '"v":1E21}', '"v":1.0e21}', '"v":1.0E21}'],
    '"v":0.000001}': ['"v":1e-6}', '"v":1e-06}', '"v":1.0e-6}', '"v":1.0E-6}'],
    '"v":1e-7}': ['"v":1e-07}', '"v":1.0e-7}', '"v":1.0E-7}'],
    '"v":1.7976931348623157e+308}': ['"v":1.7976931348623157e308}', '"v":1.7976931348623157E308}'],
    '"v":5e-324}': ['"v":5E-324}', '"v":4.9e-324}', '"v":4.9E-324}'],
    '"weight":10,': ['"weight":10.0,'],
    '"weight":10}': ['"weight":10.0}'],
}


def alternatives(line: str) -> List[str]:
    """The same line with number texts and escapes that R10 allows as well."""
    out = [line.replace(one, other) for one, others in ALSO.items() if one in line for other in others]
    for sign, escaped in (("<", "\\u003c"), ("\u2028", "\\u2028"), ("\u007f", "\\u007f")):
        if sign in line:
            partner = {"<": ">&", "\u2028": "\u2029", "\u007f": ""}[sign]
            for char in sign + partner:
                line = line.replace(char, f"\\u{ord(char):04x}")
            out.append(line)
    if "\u2028" in "".join(out):
        both = out[0] if out else line
        out.append(both.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))
    return sorted(set(out))


def split_case(lines: List[str]) -> Dict[str, Any]:
    """A batch that was answered 413."""
    return split.split(lines)


def splits() -> List[Case]:
    """Batches of many sizes; lines are opaque here."""
    return [(f"{n} events", {"lines": [f"line {i}" for i in range(n)]}) for n in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17)]


def units(seed: str) -> Dict[str, Any]:
    """The first numbers of a seed."""
    words, doubles = random64.SplitMix64(int(seed)), random64.SplitMix64(int(seed))
    return {
        "u64": [str(words.next_u64()) for _ in range(4)],
        "units": [doubles.unit() for _ in range(4)],
    }


def uuid7(wall_ms: int, a: str, b: str) -> str:
    """Numbers of 64 bits are text in the files."""
    return random64.uuid7(wall_ms, int(a), int(b))


def jitter(seed: str, failures: int) -> List[int]:
    """Delays of failures in a row without a word from the server, base 1,000, cap 60,000."""
    chance = random64.SplitMix64(int(seed))
    return [backoff.delay_ms(0, n, 1000, 60000, chance.unit()) for n in range(failures)]


def configured(profile: str, local: Dict[str, Any], fetched: List[str]) -> Dict[str, Any]:
    """What holds after these fetches."""
    document = None
    for text in fetched:
        document = config.chosen(document, text)
    return config.effective(profile, local, document)


def rate(**given: Any) -> float:
    """The rate in force; JSON has text keys."""
    degrade = {int(name): factor for name, factor in given.pop("degrade").items()}
    return sampling.rate_of(given["type"], given["class"], given["local"], given["remote"], degrade)


def evict(**given: Any) -> Dict[str, Any]:
    """`class` is a word of Python."""
    return eviction.choose(class_=given.pop("class"), **given)


def decide(**given: Any) -> Dict[str, Any]:
    """`type` is a word of Python."""
    return sampling.kept(given["unit"], given["type"], given["rate"])


def classify(**given: Any) -> Dict[str, Any]:
    """A reply."""
    body = given["body"].replace("FILL", "y" * given["fill"])
    return reply.classify(
        given["status"], given["retry_after"], body,
        given["batch"], given["count"], given["wall_ms"],
    )


def levels() -> List[Case]:
    """Every level with the default, and with an odd list."""
    odd = [{"pressure": 3, "classes": {"1": 0.5}}, {"pressure": 1, "classes": {"1": 0.9, "2": 0.4}}]
    return [
        (f"{name}, level {level}", {"degrade": listed, "pressure": level})
        for name, listed in (("default", config.DEGRADE), ("odd", odd), ("none", []))
        for level in range(4)
    ]


def factors(degrade: List[Dict[str, Any]], pressure: int) -> Dict[str, float]:
    """Factors by class as text."""
    return {str(name): factor for name, factor in config.factors(degrade, pressure).items()}


def files() -> Dict[str, List[Dict[str, Any]]]:
    """Every vector file."""
    seeds = [(f"seed {seed}", {"seed": str(seed)}) for seed in figures.SEEDS]
    long_seeds = [(name, {**given, "failures": 12}) for name, given in seeds]
    uuids = [
        (name, {"wall_ms": given["wall_ms"], "a": str(given["a"]), "b": str(given["b"])})
        for name, given in figures.UUIDS
    ]
    rates = [
        (name, {**given, "degrade": {str(k): v for k, v in given["degrade"].items()}})
        for name, given in figures.RATES
    ]
    hashes = [(f"text of {len(text.encode())} bytes", {"text": text}) for text in figures.HASHES]
    return {
        "random": [
            made("splitmix64", "vectors/README", seeds, units),
            made("uuid7", "R12", uuids, uuid7),
        ],
        "event_line": [made("event_line", "R9-R11 R54 R61", cases.EVENT_LINES, event_line)],
        "header_line": [
            made("header_line", "R8 R100-R103", cases.HEADER_LINES,
                 lambda **header: serialise.header_line(header))
        ],
        "split": [made("split", "R18 R19", splits(), split_case)],
        "backoff": [
            made("delay_ms", "R80", figures.DELAYS, backoff.delay_ms),
            made("pause_ms", "R84", figures.PAUSES, backoff.pause_ms),
            made("jitter", "R80 R81", long_seeds, jitter),
        ],
        "retry_after": [
            made("server_ms", "R23", cases.RETRY_AFTER, retry_after.server_ms),
        ],
        "reply": [made("classify", "R14-R26 R104", cases.REPLIES, classify)],
        "sampling": [
            made("murmur3_32", "R65", hashes, lambda text: sampling.murmur3_32(text.encode())),
            made("decide", "R65", figures.SAMPLES, decide),
            made("rate", "R65 R66", rates, rate),
            made("degrade", "R95", levels(), factors),
        ],
        "config": [made("effective", "R40 R74 R122-R124", figures.CONFIGS, configured)],
        "eviction": [made("choose", "R70-R72", figures.EVICTIONS, evict)],
        "event_time": [
            made("effective_ms", "R29", figures.TIMES, event_time.effective_ms),
            made("recovered_age_ms", "R90", figures.AGES, event_time.recovered_age_ms),
        ],
        "bucket": [made("passes", "R69", figures.BUCKETS, bucket.passes)],
    }


def text_of(functions: List[Dict[str, Any]]) -> str:
    """A file: one case a line, so that changes read well. Pure ASCII."""
    out = ['{"contract":1,"functions":[']
    for at, function in enumerate(functions):
        out.append(f'{{"function":"{function["function"]}","rules":"{function["rules"]}","cases":[')
        lines = [json.dumps(case, separators=(",", ":")) for case in function["cases"]]
        out.append(",\n".join(lines))
        out.append("]}" + ("," if at + 1 < len(functions) else ""))
    out.append("]}")
    return "\n".join(out) + "\n"


def main() -> int:
    """Writes or compares."""
    check, stale, total = "--check" in sys.argv[1:], [], 0
    for name, functions in files().items():
        path = ROOT / "vectors" / f"{name}.json"
        text = text_of(functions)
        total += sum(len(function["cases"]) for function in functions)
        if check:
            if not path.exists() or path.read_text() != text:
                stale.append(path.name)
        else:
            path.write_text(text)
    for name in stale:
        print(f"vectors/{name} is not what the reference gives; run reference/generate.py")
    print(f"{total} vectors")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
