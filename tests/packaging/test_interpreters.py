"""The parts that read and redact, on every supported Python of this machine, from the wheel.

The interpreters are those on PATH and those that uv or pyenv know; the one that runs the tests
is always among them. Their versions are in the names of the tests.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., str]

SUPPORTED = ("3.10", "3.11", "3.12", "3.13", "3.14")
PARTS = ("values", "errors", "names", "mounts", "redaction")
"""Modules of the standard library alone, and the names of their tests."""

_VERSION = "import sys; print('%d.%d.%d' % sys.version_info[:3])"


def interpreters() -> dict[str, Path]:
    """One interpreter of each supported version → its path."""
    candidates = [Path(sys.executable)]
    candidates += [
        Path(found) for version in SUPPORTED if (found := shutil.which(f"python{version}"))
    ]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates += sorted(pyenv.glob("versions/3.*/bin/python3"))
    listed = subprocess.run(
        [Path(sys.executable).parent / "uv", "python", "list", "--only-installed"],
        capture_output=True,
        text=True,
    ).stdout
    candidates += [Path(path) for path in re.findall(r"^\S+\s+(/\S+)", listed, re.MULTILINE)]

    found: dict[str, Path] = {}
    for candidate in candidates:
        version = subprocess.run(
            [candidate, "-c", _VERSION], capture_output=True, text=True
        ).stdout.strip()
        minor = ".".join(version.split(".")[:2])
        if minor in SUPPORTED and not any(known.startswith(f"{minor}.") for known in found):
            found[version] = candidate
    return dict(sorted(found.items()))


INTERPRETERS = interpreters()


def test_this_python_is_supported() -> None:
    assert ".".join(map(str, sys.version_info[:3])) in INTERPRETERS


@pytest.fixture(params=INTERPRETERS)
def python(uv: Run, root: Path, request: pytest.FixtureRequest) -> Path:
    """The Python of an empty environment; beside the checkout's own, as test pods hide /tmp."""
    environment = root / ".cache" / "interpreters" / request.param
    uv("venv", "--quiet", "--clear", "--python", INTERPRETERS[request.param], environment)
    return environment / "bin" / "python"


def test_parts_that_read_need_no_other_library(
    uv: Run, run: Run, wheel: Path, python: Path
) -> None:
    uv("pip", "install", "--quiet", "--no-deps", "--python", python, wheel)
    imports = "; ".join(f"import kfsecrets_ext.{part}" for part in PARTS)
    run(python, "-W", "error", "-c", imports)


# A whole run of tests, each of which has a limit of its own.
@pytest.mark.timeout(3600)
def test_unit_tests_pass(
    uv: Run, run: Run, wheel: Path, root: Path, tmp_path: Path, python: Path
) -> None:
    lock = root / "requirements" / "dev.txt"
    uv("pip", "install", "--quiet", "--python", python, "-r", lock, wheel)
    # In a copy, so that the installed wheel is tested and not the checkout.
    shutil.copytree(root / "tests", tmp_path / "tests")
    shutil.copy(root / "pyproject.toml", tmp_path)
    tests = [
        path.relative_to(tmp_path)
        for part in PARTS
        for path in (tmp_path / "tests" / part, tmp_path / "tests" / f"test_{part}.py")
        if path.exists()
    ]
    assert tests
    report = run(
        *(python, "-m", "pytest", "-q", "-m", "not slow and not platform"),
        *("-p", "no:cacheprovider", *tests),
        cwd=tmp_path,
    )
    assert re.search(r"\d+ passed", report), report
    assert "skipped" not in report
