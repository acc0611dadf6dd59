"""A place to run our programs in, which keeps all that they say, write, delete and start.

Home, temporary files and working directory are its own. An audit hook in each Python process
(``witness_hook/``) tells of each program that is started, with its arguments and environment, and
of each file that is opened to be written, and copies a file before it is deleted, replaced or
truncated. Beside it the list of processes is read all the time, for programs that are no Python.

What it can miss: the arguments of a program that another one, which is no Python, starts for less
than some ten milliseconds; what a file held in between, where it was overwritten in place; and what
code in C writes without Python's knowing, in a place that is gone at the end.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

HOOK = Path(__file__).with_name("witness_hook")


@dataclass(frozen=True)
class Ran:
    """A program that ended.

    Attributes
    ----------
    status : int
    out, err : bytes
    """

    status: int
    out: bytes = field(repr=False)
    err: bytes = field(repr=False)


class Sandbox:
    """The place.

    Parameters
    ----------
    base : Path
        An empty directory.

    Attributes
    ----------
    home, temporary, work : Path
    commands : list
        The arguments of what was run here.
    """

    def __init__(self, base: Path) -> None:
        self.home, self.temporary, self.work, self._evidence = (
            base / name for name in ("home", "temporary", "work", "evidence")
        )
        for place in (self.home, self.temporary, self.work, self._evidence):
            place.mkdir(parents=True)
        self.commands: list[Sequence[str]] = []
        self._ran: list[Ran] = []
        self._listed: set[tuple[str, ...]] = set()

    def run(
        self, *command: str, given: bytes = b"", environment: Mapping[str, str] | None = None
    ) -> Ran:
        """Run a program to its end.

        Parameters
        ----------
        *command : str
        given : bytes
            Its standard input.
        environment : mapping, optional
            Added to the sandbox's.
        """
        self.commands.append(command)
        with subprocess.Popen(
            command,
            cwd=self.work,
            env={**self._environment(), **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            ended = threading.Event()
            watch = threading.Thread(target=self._watch, args=(process.pid, ended), daemon=True)
            watch.start()
            out, err = process.communicate(given)
            ended.set()
            watch.join()
        self._ran.append(Ran(process.returncode, out, err))
        return self._ran[-1]

    def started(self) -> list[Any]:
        """Give what the hook saw start: event and arguments."""
        return [one for one in self._said() if one[0] not in ("open", "os.remove", "os.rename")]

    def written(self) -> set[str]:
        """Give the paths that were opened to be written."""
        return {os.path.join(self.work, one[1]) for one in self._said() if one[0] == "open"}

    def shown(self) -> Iterator[tuple[str, bytes]]:
        """Yield all that was said, written and started here: what it is, and its bytes."""
        for number, command in enumerate(self.commands):
            yield f"arguments of command {number}", "\n".join(command).encode()
        for number, ran in enumerate(self._ran):
            yield f"output of command {number}", ran.out
            yield f"errors of command {number}", ran.err
        for listed in sorted(self._listed):
            yield "the list of processes", "\n".join(listed).encode("utf-8", "surrogateescape")
        for one in self._said():
            # each string by itself, as the operating system gets it
            yield f"seen: {one[0]}", "\n".join(_strings(one[1])).encode("utf-8", "surrogateescape")
        for place in (self.home, self.temporary, self.work, self._evidence):
            for path in sorted(place.rglob("*")):
                yield "the name of a file", os.fsencode(path.relative_to(place))
                if path.is_file() and not path.is_symlink() and path.name != "said":
                    yield f"the file {path}", path.read_bytes()

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(HOOK),
            "PYTHONDONTWRITEBYTECODE": "1",
            "RIG_WITNESS": str(self._evidence),
        }

    def _said(self) -> list[Any]:
        path = self._evidence / "said"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_bytes().splitlines()]

    def _watch(self, pid: int, ended: threading.Event) -> None:
        while not ended.is_set():
            with contextlib.suppress(psutil.Error):
                first = psutil.Process(pid)
                for one in (first, *first.children(recursive=True)):
                    with contextlib.suppress(psutil.Error):
                        variables = (f"{name}={value}" for name, value in one.environ().items())
                        self._listed.add((*one.cmdline(), *sorted(variables)))
            time.sleep(0.01)


def _strings(what: Any) -> Iterator[str]:
    if isinstance(what, str):
        yield what
    elif isinstance(what, list):
        for one in what:
            yield from _strings(one)
