"""`pip install` is all that a notebook image needs, and `pip uninstall` takes all of it out."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., str]


@pytest.fixture(scope="module")
def image(uv: Run, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment like a notebook image's: JupyterLab and Notebook, not the product."""
    environment = tmp_path_factory.mktemp("image") / "venv"
    uv("venv", "--quiet", "--seed", "--python", sys.executable, environment)
    uv(
        *("pip", "install", "--quiet", "--python", environment / "bin" / "python"),
        *("--constraints", root / "requirements" / "dev.txt"),
        *("jupyterlab", "notebook", "ipywidgets", "kubernetes", "PyYAML", "ahocorasick_rs"),
    )
    return environment


def contents(environment: Path) -> set[Path]:
    """All files of an environment but compiled ones."""
    return {
        path.relative_to(environment)
        for path in environment.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def test_installed_means_enabled_and_uninstalled_means_gone(
    image: Path, wheel: Path, run: Run
) -> None:
    before = contents(image)
    run(image / "bin" / "python", "-m", "pip", "install", "--quiet", wheel)
    added = contents(image) - before
    assert Path("etc/jupyter/jupyter_server_config.d/kfsecrets_ext.json") in added
    assert Path("bin/jupyter-kfsecrets") in added
    hook = ("_kfsecrets_guard.py", "_kfsecrets_guard.pth", "_kfsecrets_guard.start")
    beside_the_packages = {path.name for path in added if path.parent.name == "site-packages"}
    assert {*hook, "_kfsecrets_closed.py"} <= beside_the_packages

    server = run(image / "bin" / "jupyter", "server", "extension", "list")
    assert re.search(r"kfsecrets_ext.*enabled", server), server
    assert re.search(r"kfsecrets_ext.* OK", server), server
    lab = run(image / "bin" / "jupyter", "labextension", "list")
    assert re.search(r"kfsecrets-ext .*enabled.* OK", lab), lab
    help_text = run(image / "bin" / "jupyter", "kfsecrets", "--help")
    assert "demo" in help_text

    run(image / "bin" / "python", "-m", "pip", "uninstall", "--quiet", "--yes", "kfsecrets-ext")
    assert contents(image) == before
    assert "kfsecrets" not in run(image / "bin" / "jupyter", "server", "extension", "list")
    assert "kfsecrets" not in run(image / "bin" / "jupyter", "labextension", "list")
