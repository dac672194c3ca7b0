"""`python3 -m evidence <bad-input|offline|offline-real|package> [--write] sdk...`, in `sdk`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

SDK = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(SDK), str(SDK / "python"), str(SDK / "python" / "src"), str(SDK / "contract")]

from evidence import bad_input, offline, package  # noqa: E402


def main() -> int:
    """The last line is `sdk evidence: N passed, M failed`."""
    what, *rest = sys.argv[1:] or ["help"]
    if what == "serve":  # of `package`
        apart, port, project, *command = rest
        return package.serve(apart == "True", int(port), project, command)
    write = "--write" in rest
    sdks = [name for name in rest if name != "--write"] or list(bad_input.ORDER)
    if what == "bad-input":
        results = [bad_input.run(sdks, write)]
    elif what == "offline":
        results = [offline.run(sdk) for sdk in sdks]
    elif what == "offline-real":
        results = [offline.real(sdk) for sdk in sdks]
    elif what == "package":
        results = [package.run(sdk) for sdk in sdks]
    else:
        print(__doc__)
        return 2
    passed, failed = sum(one for one, _ in results), sum(two for _, two in results)
    print(f"sdk evidence: {passed} passed, {failed} failed")
    return 1 if failed else 0


with tempfile.TemporaryDirectory(prefix="evidence-", ignore_cleanup_errors=True) as folder:
    tempfile.tempdir = folder  # stores and homes of adapters, all gone in the end
    code = main()
sys.exit(code)
