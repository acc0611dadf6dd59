"""What runs inside a pod's mount namespaces: the node that holds its volumes, and its container.

Started by `rig.pod` as a script in a new mount namespace each, with a plan in JSON on stdin::

    unshare --mount …              namespaces.py node SIZE        → becomes kubelet-volumes
    nsenter … unshare --mount      namespaces.py container SIZE   → stays, and ends what it holds

The node's ``/var/lib`` is a tmpfs with ``kubelet/pods/<uid>/volumes/…`` in it, one tmpfs for each
volume that the kubelet keeps in memory. The container gets a root of its own, an overlay as
container runtimes make it, into which the machine's directories and the volumes are
bind-mounted; the node's side is out of its sight. Nothing is made on the machine's own file
systems, so nothing can stay there. Only the standard library and the C library are used.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from typing import Any

NODE = "/var/lib"
"""Where the node's own tmpfs lies: a directory that every Linux machine has."""

# From the headers of mount(2) and umount(2).
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC = 0x1, 0x20, 0x1000, 0x4000
_MNT_DETACH = 2

# A pod has its own, whatever the machine has there.
_FRESH = ("/run", "/secret", "/secrets")

# Where the node finds what its tmpfs covers.
_COVERED = f"{NODE}/covered"

_libc = ctypes.CDLL(None, use_errno=True)


def node(plan: dict[str, Any]) -> None:
    """Make the node's directories and volumes, then become the kubelet.

    Parameters
    ----------
    plan : dict
        ``kubelet``: the program's path; ``volumes``: mappings with ``path`` and ``memory``.
    """
    # Opened first: the program may lie below the directory that is about to be covered.
    kubelet = os.open(plan["kubelet"], os.O_RDONLY | os.O_CLOEXEC)
    covered = os.open(NODE, os.O_PATH | os.O_CLOEXEC)
    _mount("tmpfs", NODE, "tmpfs", data="mode=755")
    os.mkdir(_COVERED)
    _mount(f"/proc/self/fd/{covered}", _COVERED, flags=_MS_BIND | _MS_REC)
    _unmount(_COVERED)  # the tmpfs once more: a recursive bind brings what lies on the directory
    # The node's disk, for what the kubelet does not keep in memory (ConfigMaps).
    _overlay(f"{NODE}/kubelet")
    for volume in plan["volumes"]:
        os.makedirs(volume["path"])
        if volume["memory"]:
            # kubelet: a tmpfs with size=<the pod's memory>, mode 1777
            _mount("tmpfs", volume["path"], "tmpfs", data="size=1048576k")
    os.execve(kubelet, [plan["kubelet"]], dict(os.environ))


def container(plan: dict[str, Any]) -> None:
    """Make the container's root, enter it, say so, and hold it until stdin ends.

    Then every other process of this namespace is killed. Where stdin ends without the word
    ``stop``, whoever started the pod has gone.

    Parameters
    ----------
    plan : dict
        ``mounts``: mappings with ``source`` (on the node), ``sub_path`` (or null), ``path``
        and ``read_only``.
    """
    root = f"{NODE}/container"
    _overlay(root)
    mounts = [(_resolved(mount["path"]), mount) for mount in plan["mounts"]]
    _fill("/", root, {NODE, *(target for target, _ in mounts if not os.path.exists(target))})
    os.mkdir(f"{root}/run")
    # containerd: orderedMounts, outer mount points before those inside them
    for target, mount in sorted(mounts, key=lambda mount: mount[0].count("/")):
        source = mount["source"]
        if mount["sub_path"] is not None:
            source = os.path.realpath(f"{source}/{mount['sub_path']}")
            if not os.path.lexists(source):
                os.makedirs(source, 0o750)  # kubelet: SafeMakeDir of a subPath that is not there
        _make(root + target, like=source)
        _mount(source, root + target, flags=_MS_BIND | _MS_REC)
        if mount["read_only"]:
            _mount(None, root + target, flags=_MS_BIND | _MS_REMOUNT | _MS_RDONLY)
    os.chdir(root)
    _check(_libc.pivot_root(b".", b"."), "pivot_root")
    _unmount(".")
    os.chdir("/")
    print("ready", flush=True)
    ordered = sys.stdin.buffer.read() == b"stop"
    # Whoever was killed may have had a command on its way in here.
    _end_the_rest(quiet=0 if ordered else 1)


def _fill(directory: str, root: str, targets: set[str]) -> None:
    """Bind the entries of a directory into the root; what a new mount point is below is opened."""
    for entry in os.scandir(directory):
        if entry.path in _FRESH:
            continue
        target = root + entry.path
        below = any(wanted.startswith(entry.path + "/") for wanted in targets)
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), target)
        elif entry.is_dir() and below:
            os.mkdir(target)
            _fill(entry.path, root, targets)
        else:
            _make(target, like=entry.path)
            source = _COVERED if entry.path == NODE else entry.path
            _mount(source, target, flags=_MS_BIND | _MS_REC)


def _resolved(path: str) -> str:
    """Return a mount point as the container's root has it: ``/var/run/x`` is ``/run/x``."""
    path = os.path.normpath(path)
    if path.split("/")[1] not in [fresh[1:] for fresh in _FRESH]:
        path = os.path.realpath(path)
    if f"{path}/".startswith(f"{NODE}/"):
        raise OSError(f"{path} cannot be a mount point: {NODE} is the node's")
    return path


def _make(target: str, like: str) -> None:
    """Make a mount point: a directory for a directory, a file for all else."""
    if os.path.isdir(like):
        os.makedirs(target, exist_ok=True)
    elif not os.path.lexists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "x", encoding="utf-8"):
            pass


def _read(size: int) -> bytes:
    """Read so much from stdin and not a byte more: what follows is for the kubelet."""
    read = b""
    while len(read) < size:
        more = os.read(0, size - len(read))
        if not more:
            raise SystemExit("the plan ended early")
        read += more
    return read


def _end_the_rest(quiet: float) -> None:
    """Kill the other processes of this namespace, until there has been none for so long [s]."""
    last = time.monotonic()
    while True:
        others = [int(name) for name in os.listdir("/proc") if name.isdigit() and _is_here(name)]
        for process in others:
            _kill(process)
            last = time.monotonic()
        if not others and time.monotonic() - last >= quiet:
            return
        time.sleep(0.005)


def _is_here(process: str) -> bool:
    if int(process) == os.getpid():
        return False
    try:
        namespace = os.stat(f"/proc/{process}/ns/mnt")
    except OSError:  # gone, a zombie, or somebody else's
        return False
    return namespace.st_ino == os.stat("/proc/self/ns/mnt").st_ino


def _kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def _overlay(where: str) -> None:
    layers = [f"{where}-{layer}" for layer in ("lower", "upper", "work")]
    for directory in (where, *layers):
        os.mkdir(directory)
    data = "lowerdir={},upperdir={},workdir={}".format(*layers)
    _mount("overlay", where, "overlay", data=data)


def _mount(
    source: str | None, target: str, kind: str | None = None, *, flags: int = 0, data: str = ""
) -> None:
    arguments = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    done = _libc.mount(*arguments, ctypes.c_ulong(flags), os.fsencode(data) or None)
    _check(done, f"mount {source} on {target}")


def _unmount(target: str) -> None:
    _check(_libc.umount2(os.fsencode(target), _MNT_DETACH), f"umount {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{os.strerror(number)}: {what}")


if __name__ == "__main__":
    os.umask(0o022)
    plan = _read(int(sys.argv[2]))
    {"node": node, "container": container}[sys.argv[1]](json.loads(plan))
