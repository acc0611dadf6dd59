"""The public face: the fixed names, and an import that costs nothing."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys

import pytest

import kfsecrets_ext

NAMES = {
    "get_docker_credentials",
    "get_secret",
    "get_secret_bytes",
    "get_secret_path",
    "list_secrets",
    "secret_environ",
    "secrets",
}


def test_public_names_are_there() -> None:
    assert set(kfsecrets_ext.__all__) == NAMES
    assert set(dir(kfsecrets_ext)) >= NAMES
    for name in NAMES:
        assert getattr(kfsecrets_ext, name) is not None
        assert getattr(kfsecrets_ext, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        kfsecrets_ext.nonsense  # noqa: B018


def test_signatures_are_the_fixed_ones() -> None:
    assert list(inspect.signature(kfsecrets_ext.get_secret).parameters) == [
        *("name", "key", "default", "encoding", "strip")
    ]
    assert list(inspect.signature(kfsecrets_ext.get_secret_bytes).parameters) == ["name", "key"]
    assert list(inspect.signature(kfsecrets_ext.get_secret_path).parameters) == ["name", "key"]
    assert list(inspect.signature(kfsecrets_ext.list_secrets).parameters) == []
    assert list(inspect.signature(kfsecrets_ext.get_docker_credentials).parameters) == [
        *("registry", "config", "helpers")
    ]


@pytest.mark.parametrize(
    "use",
    [
        "import kfsecrets_ext",
        "from kfsecrets_ext import get_secret, secrets, list_secrets",
        "from kfsecrets_ext import get_docker_credentials",
        "from kfsecrets_ext import *",
        "import kfsecrets_ext; kfsecrets_ext.list_secrets()",
    ],
)
def test_reading_secrets_brings_nothing_heavy(use: str) -> None:
    heavy = [
        "kubernetes",
        "ipywidgets",
        "jupyter_server",
        "tornado",
        "traitlets",
        "yaml",
        "IPython",
    ]
    probe = f"{use}\nimport sys\nprint([name for name in {heavy} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_import_itself_brings_no_module_of_its_own() -> None:
    probe = "import sys; a = set(sys.modules); import kfsecrets_ext; print(set(sys.modules) - a)"
    ran = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert ast.literal_eval(ran.stdout) <= {"__future__", "kfsecrets_ext"}
