"""The panel works in the oldest JupyterLab and Notebook that are promised."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., str]

FLOOR = ("jupyterlab==4.2.*", "notebook==7.2.*", "ipykernel>=6.29")
SUITES = (
    *("test_panel.py", "test_insert.py", "test_notebook.py", "test_kubeflow.py"),
    "test_guard.py",
)


@pytest.fixture(scope="module")
def oldest(uv: Run, root: Path) -> Path:
    """The Python of an environment with the oldest versions; beside the checkout's own."""
    environment = root / ".cache" / "floor"
    uv("venv", "--quiet", "--clear", "--python", sys.executable, environment)
    python = environment / "bin" / "python"
    uv("pip", "install", "--quiet", "--python", python, *FLOOR)
    return python


# A whole run of tests, each of which has a limit of its own.
@pytest.mark.timeout(3600)
def test_browser_tests_pass_in_the_oldest_jupyter(oldest: Path, root: Path) -> None:
    suites = [root / "tests" / "browser" / suite for suite in SUITES]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *suites],
        cwd=root,
        env={**os.environ, "KFSECRETS_TEST_PYTHON": str(oldest)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-8000:]
