"""Every vector of the contract against this SDK's own functions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

import pytest
from adapter.vectors import Unsupported, answer

_FOLDER = Path(__file__).resolve().parents[2] / "contract" / "vectors"
# The gateway's own function, not an SDK's (vectors/README.md).
_NOT_OURS = {"effective_ms"}


def _cases() -> Iterator[Tuple[str, str, Dict[str, Any]]]:
    for path in sorted(_FOLDER.glob("*.json")):
        for function in json.loads(path.read_text("utf-8"))["functions"]:
            if function["function"] not in _NOT_OURS:
                for case in function["cases"]:
                    yield path.stem, function["function"], case


@pytest.mark.parametrize(
    ("file", "function", "case"),
    [pytest.param(*case, id=f"{case[0]}-{case[1]}-{case[2]['name']}") for case in _cases()],
)
def test_vector(file: str, function: str, case: Dict[str, Any]) -> None:
    try:
        found = json.loads(json.dumps(answer(function, case["in"])))
    except Unsupported as reason:
        pytest.fail(str(reason))
    wanted = case["out"]
    if isinstance(wanted, dict) and "lines" in wanted:
        assert found["line"] in wanted["lines"]
    else:
        assert found == wanted


def test_every_file_is_read() -> None:
    assert len({case[0] for case in _cases()}) == len(list(_FOLDER.glob("*.json"))) == 12
