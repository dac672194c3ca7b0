"""Each package as a stranger gets it: built, installed into an empty project, its example run.

The README's first example runs as it stands, against a small gateway on the address that it names,
in a network of its own where the system allows that (else the address has to be free). Nothing is
fetched: Python's wheel and sdist are built with the backend of `target/python-test`, npm and pip
work offline, Go takes the module's zip from a proxy that is a folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Callable, Dict, List, Optional, Set, Tuple
from urllib.parse import urlsplit

from tests.gateway import Gateway

from .adapters import FOLDERS, SDK

_ROOT = SDK.parent
_GO_MODULE = "github.com/tidegate/tidegate/sdk/go"
_VERSION = "0.1.0"
_TIMEOUT_S = 300
Check = Callable[[str], None]


def run(sdk: str) -> Tuple[int, int]:
    """Passed and failed steps."""
    here = Path(tempfile.mkdtemp(prefix=f"evidence-{sdk}-"))
    done: List[str] = []
    try:
        {"python": _python, "node": _node, "go": _go}[sdk](here, done.append)
    except (subprocess.SubprocessError, AssertionError, OSError) as error:
        said = getattr(error, "stdout", None) or ""
        print(f"FAILED  {sdk} package, after {done}: {error}\n{said[-3000:]}")
        return len(done), 1
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(here)], check=False)  # Go's cache is read-only
        shutil.rmtree(here, ignore_errors=True)
    print(f"package, {sdk}: " + "; ".join(done))
    return len(done), 0


def _python(here: Path, done: Check) -> None:
    source, built = SDK / "python", here / "built"
    hatch = str(_ROOT / "target" / "python-test" / "bin" / "python")
    _call([hatch, "-m", "hatchling", "build", "-d", str(built)], source)
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    done(f"built {wheel.name} and {sdist.name}")
    with tarfile.open(sdist) as archive:
        archive.extractall(here / "sdist")
    (unpacked,) = (here / "sdist").iterdir()
    _call([hatch, "-m", "hatchling", "build", "-t", "wheel", "-d", str(here / "again")], unpacked)
    (again,) = (here / "again").glob("*.whl")
    assert _zipped(again) == _zipped(wheel), "the sdist builds another wheel"
    done("the sdist builds the same wheel")
    project = _empty(here)
    _call([sys.executable, "-m", "venv", "env"], project)
    _call(["env/bin/pip", "install", "--quiet", "--no-index", "--no-deps", str(wheel)], project)
    done("installed into an empty environment")
    (project / "main.py").write_text(first_example("python", "python"))
    _example(project, ["env/bin/python", "-W", "error", "main.py"], done)


def _zipped(path: Path) -> Set[Tuple[str, int]]:
    with zipfile.ZipFile(path) as archive:
        return {(one.filename, one.CRC) for one in archive.infolist()}


def _node(here: Path, done: Check) -> None:
    source = SDK / "js"
    _call(["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", str(here)], source)
    (packed,) = here.glob("*.tgz")
    done(f"packed {packed.name}")
    project = _empty(here)
    (project / "package.json").write_text('{"name":"empty","version":"1.0.0","private":true}\n')
    quiet = ["--offline", "--no-audit", "--no-fund", "--loglevel=error"]
    _call(["npm", "install", *quiet, str(packed)], project)
    kept = json.loads((project / "package.json").read_text())["dependencies"]
    assert list(kept) == ["tidegate"], kept
    assert sorted(os.listdir(project / "node_modules")) == [".package-lock.json", "tidegate"]
    done("installed into an empty project")
    for how, code in (
        ("module", 'import { init } from "tidegate"; if (!init) process.exit(1)'),
        ("commonjs", 'if (!require("tidegate").init) process.exit(1)'),
    ):
        _call(["node", f"--input-type={how}", "-e", code], project)
    done("imported and required")
    (project / "main.mjs").write_text(first_example("node", "js"))
    _example(project, ["node", "main.mjs"], done)


def _go(here: Path, done: Check) -> None:
    source, versions = SDK / "go", here / "proxy" / _GO_MODULE / "@v"
    versions.mkdir(parents=True)
    name = f"v{_VERSION}"
    (versions / "list").write_text(name + "\n")
    (versions / f"{name}.info").write_text(json.dumps({"Version": name}))
    shutil.copy(source / "go.mod", versions / f"{name}.mod")
    listed = _call(["git", "ls-files", "-co", "--exclude-standard", "."], source).splitlines()
    with zipfile.ZipFile(versions / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(listed):
            archive.write(source / file, f"{_GO_MODULE}@{name}/{file}")
    done(f"zipped {len(listed)} files as {name}")
    project = _empty(here)
    environment = {
        "GOPROXY": (here / "proxy").as_uri(),
        "GOSUMDB": "off",
        "GOMODCACHE": str(here / "cache"),
        "GOFLAGS": "-mod=mod",
        "GOTOOLCHAIN": "local",
    }
    _call(["go", "mod", "init", "example.org/empty"], project, environment)
    _call(["go", "get", f"{_GO_MODULE}@{name}"], project, environment)
    done("added to an empty module with `go get`")
    (project / "main.go").write_text(first_example("go", "go"))
    _call(["go", "vet", "."], project, environment)
    _call(["go", "build", "-o", "main", "."], project, environment)
    listed = _call(["go", "list", "-m", "all"], project, environment).split()
    assert listed == ["example.org/empty", _GO_MODULE, name], listed
    done("vetted and built, no other module")
    _example(project, ["./main"], done)


def first_example(sdk: str, language: str) -> str:
    """The first block of code in the README that is in the language."""
    text = (SDK / FOLDERS[sdk] / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found, f"no {language} in the README of {sdk}"
    return found[1]


def _empty(here: Path) -> Path:
    project = here / "project"
    project.mkdir()
    return project


def _example(project: Path, command: List[str], done: Check) -> None:
    source = next(path for path in project.glob("main.*") if path.suffix in (".py", ".mjs", ".go"))
    found = re.search(r"http://127\.0\.0\.1:\d+", source.read_text())
    assert found, "the example names no gateway on this machine"
    port = urlsplit(found[0]).port
    apart: List[str] = []
    test = ["unshare", "-rn", "ip", "link", "set", "lo", "up"]
    if (
        shutil.which("unshare")
        and not subprocess.run(test, capture_output=True, check=False).returncode
    ):
        apart = ["unshare", "-rn"]
    inner = [sys.executable, "-m", "evidence", "serve", str(bool(apart)), str(port), str(project)]
    done(_call([*apart, *inner, *command], SDK).strip().splitlines()[-1])


def serve(apart: bool, port: int, project: str, command: List[str]) -> int:
    """Runs the example beside a small gateway; says what came."""
    if apart:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with Gateway(port) as gateway:
        ran = subprocess.run(
            command, cwd=project, capture_output=True, text=True, timeout=60, check=False
        )
    print(ran.stdout, ran.stderr)
    types = sorted(event["type"] for event in gateway.events.values())
    if ran.returncode or not types or not gateway.fins:
        print(f"exit code {ran.returncode}, events {types}, last reports {len(gateway.fins)}")
        return 1
    print(f"README's example ran as it stands: {', '.join(types)} arrived, the epoch was closed")
    return 0


def _call(command: List[str], cwd: Path, more: Optional[Dict[str, str]] = None) -> str:
    environment = {**os.environ, **(more or {})}
    environment.pop("PYTHONPATH", None)
    ran = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_TIMEOUT_S,
        check=True,
    )
    return ran.stdout
