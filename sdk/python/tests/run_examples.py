"""Runs every example against the fake gateway; each has to end well and its events to arrive."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.gateway import Gateway

_ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Raises for the first that fails."""
    for path in sorted((_ROOT / "examples").glob("*.py")):
        with Gateway() as gateway:
            ran = subprocess.run(
                [sys.executable, str(path), gateway.url],
                env={**os.environ, "PYTHONPATH": str(_ROOT / "src")},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            print(f"{path.name}: {len(gateway.events)} events\n{ran.stdout}{ran.stderr}")
            if ran.returncode or "Traceback" in ran.stderr or not gateway.events:
                raise SystemExit(f"{path.name} failed")
            if not gateway.fins:
                raise SystemExit(f"{path.name} did not end its epoch")


if __name__ == "__main__":
    main()
