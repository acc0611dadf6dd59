"""The wheel carries everything a notebook image needs, and nothing else."""

from __future__ import annotations

import email
import json
import re
import zipfile
from pathlib import Path, PurePosixPath

import pytest

DATA = "share/jupyter/labextensions/kfsecrets-ext"
SERVER_CONFIG = "etc/jupyter/jupyter_server_config.d/kfsecrets_ext.json"


@pytest.fixture(scope="module")
def archive(wheel: Path) -> zipfile.ZipFile:
    with zipfile.ZipFile(wheel) as opened:
        yield opened


@pytest.fixture(scope="module")
def files(archive: zipfile.ZipFile) -> dict[str, str]:
    """Where a file lands, as a path below the environment's prefix → its name in the wheel."""
    landed = {}
    for name in archive.namelist():
        landed[re.sub(r"^kfsecrets_ext-[^/]*\.data/data/", "", name)] = name
    return landed


def test_front_end_is_prebuilt(archive: zipfile.ZipFile, files: dict[str, str]) -> None:
    package = json.loads(archive.read(files[f"{DATA}/package.json"]))
    build = package["jupyterlab"]["_build"]
    assert f"{DATA}/{build['load']}" in files
    assert build["extension"]
    assert f"{DATA}/static/style.js" in files
    schemas = [path for path in files if path.startswith(f"{DATA}/schemas/kfsecrets-ext/")]
    assert f"{DATA}/schemas/kfsecrets-ext/package.json.orig" in schemas
    assert any(path.endswith(".json") for path in schemas)
    install = json.loads(archive.read(files[f"{DATA}/install.json"]))
    assert install["packageManager"] == "python"
    assert install["packageName"] == "kfsecrets-ext"


def test_front_end_is_small(archive: zipfile.ZipFile, files: dict[str, str]) -> None:
    scripts = [
        archive.getinfo(name).file_size
        for path, name in files.items()
        if path.startswith(f"{DATA}/static/") and path.endswith(".js")
    ]
    assert 0 < sum(scripts) <= 60_000


def test_front_end_was_built_for_production(files: dict[str, str]) -> None:
    assert not [path for path in files if path.endswith(".map")]


def test_server_extension_is_enabled_by_a_file(
    archive: zipfile.ZipFile, files: dict[str, str]
) -> None:
    config = json.loads(archive.read(files[SERVER_CONFIG]))
    assert config == {"ServerApp": {"jpserver_extensions": {"kfsecrets_ext": True}}}


HOOK = {f"_kfsecrets_{name}" for name in ("guard.pth", "guard.start", "guard.py", "closed.py")}


@pytest.mark.parametrize(
    "path",
    [
        "kfsecrets_ext/py.typed",
        "kfsecrets_ext/server/openapi.yaml",
        "kfsecrets_ext/admin/clusterrole.yaml",
        "kfsecrets_ext/admin/grant.schema.json",
        "kfsecrets_ext/demo/setup.ipynb",
        *sorted(HOOK),
    ],
)
def test_data_of_the_package_is_there(files: dict[str, str], path: str) -> None:
    assert path in files


def test_every_module_of_the_checkout_is_there(files: dict[str, str], root: Path) -> None:
    modules = {
        path.relative_to(root).as_posix()
        for path in (root / "kfsecrets_ext").rglob("*.py")
        if "labextension" not in path.parts
    }
    # These two are beside the packages, under the names of the hook.
    kernel = "kfsecrets_ext/kernel"
    assert modules - {f"{kernel}/hook.py", f"{kernel}/_kfsecrets_closed.py"} <= set(files)


def test_nothing_else_is_there(files: dict[str, str]) -> None:
    tops = {PurePosixPath(path).parts[0] for path in files}
    assert tops == {"kfsecrets_ext", "share", "etc", *HOOK} | {
        top for top in tops if top.endswith(".dist-info")
    }
    unwanted = re.compile(r"(^|/)(tests?|fixtures?|bench|node_modules|__pycache__)/|\.pyc$|\.ts$")
    assert not [path for path in files if unwanted.search(path)]
    # The built front end belongs to share/, once.
    assert not [path for path in files if path.startswith("kfsecrets_ext/labextension/")]


def test_metadata_says_what_it_needs(archive: zipfile.ZipFile, root: Path) -> None:
    (name,) = (path for path in archive.namelist() if path.endswith(".dist-info/METADATA"))
    metadata = email.message_from_bytes(archive.read(name))
    package = json.loads((root / "labextension" / "package.json").read_text())
    assert metadata["Name"] == "kfsecrets-ext"
    assert metadata["Version"] == package["version"]
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] == "BSD-3-Clause"
    needed = {
        re.match(r"[\w-]+", requirement)[0].lower().replace("_", "-")
        for requirement in metadata.get_all("Requires-Dist")
        if "extra ==" not in requirement
    }
    assert needed == {"ahocorasick-rs", "ipywidgets", "jupyter-server", "kubernetes", "pyyaml"}


def test_every_dependency_is_justified(root: Path) -> None:
    guide = (root / "CONTRIBUTING.md").read_text()
    section = guide.split("## Dependencies", 1)[1].split("\n## ", 1)[0]
    for name in ("ipywidgets", "jupyter_server", "kubernetes", "PyYAML"):
        assert f"| `{name}" in section
