"""Keeps what a process starts, what it opens to write, and what it deletes: for `rig.witness`.

Python imports this by itself where the directory is in PYTHONPATH, before anything else runs.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
from typing import Any

_PLACE = os.environ["RIG_WITNESS"]
_STARTS = {"subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "pty.spawn"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

_said = os.open(os.path.join(_PLACE, "said"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
_number = itertools.count()
_own = threading.local()


def _seen(event: str, arguments: tuple[Any, ...]) -> None:
    if getattr(_own, "busy", False):
        return
    _own.busy = True
    try:
        if event in _STARTS:
            _say(event, arguments)
        elif event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITES and not isinstance(path, int):
                _say(event, path)
                # what is overwritten
                _keep(path, None)
        elif event in ("os.remove", "os.rename"):
            _keep(arguments[0], arguments[-1] if event == "os.remove" else None)
            _say(event, arguments[0])
    finally:
        _own.busy = False


def _say(event: str, what: Any) -> None:
    line = json.dumps([event, what], default=_plain, skipkeys=True)
    os.write(_said, line.encode("utf-8", "surrogatepass") + b"\n")


def _plain(what: Any) -> Any:
    # a value that masks itself must not be masked here; str and its kin are written as they are
    if isinstance(what, (bytes, bytearray)):
        return bytes.decode(bytes(what), "utf-8", "surrogateescape")
    if isinstance(what, os.PathLike):
        return os.fspath(what)
    if hasattr(what, "items"):
        return [[_key(name), value] for name, value in what.items()]
    return list(what) if hasattr(what, "__iter__") else repr(what)


def _key(name: Any) -> str:
    return name if isinstance(name, str) else _plain(name)


def _keep(path: Any, directory: Any) -> None:
    """Copy a file before it goes."""
    at = directory if isinstance(directory, int) and directory >= 0 else None
    try:
        source = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=at)
    except (OSError, TypeError, ValueError):
        return
    try:
        with open(os.path.join(_PLACE, f"{os.getpid()}-{next(_number)}"), "wb") as copy:
            while part := os.read(source, 1 << 16):
                copy.write(part)
    except OSError:
        pass
    finally:
        os.close(source)


sys.addaudithook(_seen)
