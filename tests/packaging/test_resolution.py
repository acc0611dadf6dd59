"""The dependencies resolve where the package is used: beside kfp, and with the newest client."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PROJECT = ROOT / "pyproject.toml"
LOCK = ROOT / "requirements" / "dev.txt"
ENDS = ("3.10", "3.14")
SUPPORTED = ("3.10", "3.11", "3.12", "3.13", "3.14")
MACHINES = ("x86_64", "aarch64")

Run = Callable[..., str]
Versions = dict[str, str]


@pytest.fixture(scope="module")
def resolutions(uv: Run) -> Iterator[dict[str, Future[Versions]]]:
    """Every resolution of this module, under way at once: each mostly waits for an index."""

    def resolve(python: str, *words: str | Path, also: str = "") -> Versions:
        options = ("--quiet", "--no-header", "--no-annotate", "--python-version", python)
        return versions(uv("pip", "compile", *options, *words, "-", stdin=also))

    with ThreadPoolExecutor(max_workers=4) as pool:
        wanted = {}
        for python in ENDS:
            wanted[f"with kfp {python}"] = pool.submit(resolve, python, PROJECT, also="kfp==2.16.*")
            wanted[f"alone {python}"] = pool.submit(resolve, python, PROJECT)
            wanted[f"newest client {python}"] = pool.submit(resolve, python, also="kubernetes")
        for python in SUPPORTED:
            wanted[f"lock {python}"] = pool.submit(resolve, python, "--only-binary=:all:", LOCK)
            for machine in MACHINES:
                wanted[f"wheels {machine} {python}"] = pool.submit(
                    resolve,
                    python,
                    *("--python-platform", f"{machine}-manylinux_2_28"),
                    *("--only-binary=:all:", "--extra=demo", PROJECT),
                )
        yield wanted


def versions(text: str) -> Versions:
    """Name → version of what requirements pin."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE))


def major(version: str) -> int:
    return int(version.split(".", maxsplit=1)[0])


@pytest.mark.parametrize("python", ENDS)
def test_resolves_beside_kfp(resolutions: dict[str, Future[Versions]], python: str) -> None:
    chosen = resolutions[f"with kfp {python}"].result()
    assert chosen["kfp"].startswith("2.16.")
    assert 28 <= major(chosen["kubernetes"]) < 31
    assert major(chosen["jupyter-server"]) == 2


@pytest.mark.parametrize("python", ENDS)
def test_alone_takes_the_newest_client(
    resolutions: dict[str, Future[Versions]], python: str
) -> None:
    chosen = resolutions[f"alone {python}"].result()
    newest = resolutions[f"newest client {python}"].result()
    assert chosen["kubernetes"] == newest["kubernetes"]
    assert major(chosen["kubernetes"]) >= 31


@pytest.mark.parametrize("python", SUPPORTED)
@pytest.mark.parametrize("machine", MACHINES)
def test_nothing_has_to_be_compiled(
    resolutions: dict[str, Future[Versions]], python: str, machine: str
) -> None:
    chosen = resolutions[f"wheels {machine} {python}"].result()
    assert {"jupyter-server", "kubernetes", "ipywidgets", "pyyaml", "jupyterlab"} <= set(chosen)


@pytest.mark.parametrize("python", SUPPORTED)
def test_the_lock_holds_for_every_python(
    resolutions: dict[str, Future[Versions]], python: str
) -> None:
    locked = re.findall(r"^([\w.-]+)==([^\s;]+)", LOCK.read_text(), re.MULTILINE)
    chosen = resolutions[f"lock {python}"].result()
    assert set(chosen.items()) <= set(locked)
