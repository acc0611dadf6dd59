"""The floors of the house: imports run down, and the contracts notice one that does not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "kfsecrets_ext"


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the package below a root, with the project's own contracts."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            str(root / "pyproject.toml"),
            "--no-cache",
        ],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
    )


def broken(report: str) -> set[str]:
    """Names of the contracts that a report calls broken."""
    return set(re.findall(r"^(.+) BROKEN", report, re.MULTILINE))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package and its contracts, free to be broken."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(
        PACKAGE,
        tmp_path / "kfsecrets_ext",
        ignore=shutil.ignore_patterns("__pycache__", "labextension"),
    )
    return tmp_path


def add_import(root: Path, module: str, imported: str) -> None:
    """Let a module of the copy import another one; either is made where it is missing."""
    path = source(root, module)
    source(root, imported)
    path.write_text(f"{path.read_text()}\nimport kfsecrets_ext.{imported}\n")


def source(root: Path, module: str) -> Path:
    """The file that a module or a package of the copy begins in."""
    path = root / "kfsecrets_ext" / f"{module}.py"
    if path.with_suffix("").is_dir():
        path = path.with_suffix("") / "__init__.py"
    path.touch()
    return path


def test_every_import_runs_down() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "imported", "contract"),
    [
        ("values", "server", "Every import runs down the floors"),
        ("values", "errors", "Every import runs down the floors"),
        ("mounts", "inventory", "Every import runs down the floors"),
        ("mounts", "redaction", "Every import runs down the floors"),
        ("mounts", "docker", "Every import runs down the floors"),
        ("poddefaults", "cluster", "Every import runs down the floors"),
        ("inventory", "reader", "Every import runs down the floors"),
        ("inventory", "doctor", "Every import runs down the floors"),
        ("redaction", "kernel", "Every import runs down the floors"),
        ("kernel", "server", "Every import runs down the floors"),
        ("widget", "kernel", "Every import runs down the floors"),
        ("demo", "cli", "Every import runs down the floors"),
        ("server", "demo", "Only the command line knows the demo"),
        ("reader", "doctor", "The reader knows the inventory, nothing else of its floor"),
        ("docker", "poddefaults", "docker knows mounts and redaction, not PodDefaults"),
        ("cluster", "redaction", "cluster knows PodDefaults, not mounts or redaction"),
        ("cluster", "mounts", "cluster knows PodDefaults, not mounts or redaction"),
    ],
)
def test_an_import_up_or_sideways_breaks_a_contract(
    copy: Path, module: str, imported: str, contract: str
) -> None:
    add_import(copy, module, imported)
    result = lint_imports(copy)
    assert result.returncode == 1, result.stdout + result.stderr
    assert contract in broken(result.stdout)


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("docker", "mounts"),
        ("docker", "redaction"),
        ("cluster", "poddefaults"),
        ("reader", "inventory"),
        ("cli", "demo"),
        ("server", "inventory"),
    ],
)
def test_the_imports_that_the_design_draws_are_allowed(
    copy: Path, module: str, imported: str
) -> None:
    add_import(copy, module, imported)
    result = lint_imports(copy)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_module_without_a_floor_breaks_a_contract(copy: Path) -> None:
    (copy / "kfsecrets_ext" / "attic.py").write_text("")
    result = lint_imports(copy)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "Every import runs down the floors" in broken(result.stdout)
