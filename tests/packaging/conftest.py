"""What the packaging tests share: the built wheel, uv, and environments to install into.

This directory must not become a package: it would hide the library ``packaging``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
LOCK = ROOT / "requirements" / "dev.txt"

Run = Callable[..., str]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home directory in which nothing is configured."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def run(home: Path) -> Run:
    """Run a program with nothing of the user's configuration; give what it printed."""
    own = ("JUPYTER", "IPYTHON", "KFSECRETS", "PYTHON", "VIRTUAL_ENV", "PYTEST", "HATCH")

    def run(*command: str | Path, cwd: Path | None = None, stdin: str = "") -> str:
        env = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        env |= {
            "JUPYTER_CONFIG_DIR": str(home / "config"),
            "JUPYTER_DATA_DIR": str(home / "data"),
            "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
            "IPYTHONDIR": str(home / "ipython"),
            "NO_COLOR": "1",
        }
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd or home,
            env=env,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        # Jupyter colours its lists even where nobody looks.
        return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)

    return run


@pytest.fixture(scope="session")
def uv(run: Run) -> Run:
    """Run uv."""
    program = Path(sys.executable).parent / "uv"

    def uv(*words: str | Path, stdin: str = "") -> str:
        return run(program, *words, stdin=stdin)

    return uv


@pytest.fixture(scope="session")
def wheel(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout."""
    directory = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", directory, cwd=ROOT)
    (built,) = directory.glob("*.whl")
    return built
