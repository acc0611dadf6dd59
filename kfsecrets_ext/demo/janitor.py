"""Stops the demo's server and removes its directory if the demo is killed.

Started beside the demo as a program of its own, which needs the standard library alone. It reads
what to do from a pipe that only the demo writes to, ``stop PID`` and ``remove DIR``, and does it
when the pipe ends without ``done``: that is when nobody is left to do it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Iterator

_PATIENCE = 10.0  # s, for a server to shut its kernels down


def main(lines: Iterable[str]) -> None:
    """Read what to do, and do it unless told that it was done."""
    stop: int | None = None
    remove: str | None = None
    for line in lines:
        word, _, rest = line.rstrip("\n").partition(" ")
        if word == "stop":
            stop = int(rest)
        elif word == "remove":
            remove = rest
        elif word == "done":
            return
    if stop is not None:
        end(stop)
    if remove is not None:
        clear(remove)


def end(process: int, patience: float = _PATIENCE) -> None:
    """End a process that leads a group: kindly first, then for sure.

    Parameters
    ----------
    process : int
    patience : float
        Seconds to wait in between.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGTERM)
    until = time.monotonic() + patience
    while time.monotonic() < until and _runs(process):
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


def clear(directory: str) -> None:
    """Remove a directory, and end the kernels that run in it without a server.

    Parameters
    ----------
    directory : str
    """
    for _ in range(50):
        # One that had only begun to start would make the directory again.
        for kernel in _kernels(directory):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(kernel, signal.SIGKILL)
        shutil.rmtree(directory, ignore_errors=True)
        if not os.path.lexists(directory):
            return
        time.sleep(0.1)


def _kernels(directory: str) -> Iterator[int]:
    """Yield the processes whose runtime directory is in a directory."""
    mark = b"\0JUPYTER_RUNTIME_DIR=" + os.fsencode(os.path.join(directory, ""))
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit() and int(name) not in (os.getpid(), os.getppid()):
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
                if mark in b"\0" + file.read():
                    yield int(name)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # One that ended is still there until its parent asks for its status.
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return True


if __name__ == "__main__":
    main(sys.stdin)
