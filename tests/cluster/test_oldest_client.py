"""The oldest Kubernetes client that is promised does what the newest does; it has urllib3 1."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OLDEST = ("kubernetes==28.1.0", "urllib3<2")
TOOLS = ("PyYAML", "pytest>=8.3", "pytest-timeout", "trustme")

# A whole run of tests, each of which has a limit of its own.
pytestmark = [pytest.mark.slow, pytest.mark.platform, pytest.mark.timeout(3600)]


def test_the_oldest_client_passes_the_same_tests() -> None:
    environment = ROOT / ".cache" / "oldest-client"
    python = environment / "bin" / "python"
    uv = Path(sys.executable).parent / "uv"
    make = (uv, "venv", "--quiet", "--clear", "--python", sys.executable, environment)
    subprocess.run(make, check=True)
    install = (uv, "pip", "install", "--quiet", "--python", python, *OLDEST, *TOOLS)
    subprocess.run(install, check=True)
    tests = (ROOT / "tests" / "cluster" / name for name in ("test_homes.py", "test_kubernetes.py"))
    # That client's own code is not free of warnings.
    options = ("-q", "-p", "no:cacheprovider", "-W", "default", "-m", "platform")
    own = ("PYTEST", "PYTHON", "KFSECRETS", "COV")
    ran = subprocess.run(
        [python, "-m", "pytest", *options, *tests],
        cwd=ROOT,
        env={
            **{name: text for name, text in os.environ.items() if not name.startswith(own)},
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-2000:]
    assert "passed" in ran.stdout
