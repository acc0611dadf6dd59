"""The mount table of this process, as ``/proc/self/mountinfo`` gives it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

__all__ = ["MOUNTINFO", "MountPoint", "mount_table"]

MOUNTINFO = "/proc/self/mountinfo"

_DELETED = "//deleted"
_ESCAPE = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True)
class MountPoint:
    """One line of the mount table.

    Attributes
    ----------
    path : str
        Where it is mounted.
    root : str
        Which directory or file of the file system is mounted; of a ``subPath`` mount the file
        inside the volume, for example ``/..2026_11_24_22_51_07.1/foo``.
    filesystem : str
        For example ``"tmpfs"``, which Secret volumes are.
    deleted : bool
        Whether what is mounted was removed since, as the file of a ``subPath`` mount is by a
        rotation.
    """

    path: str
    root: str
    filesystem: str
    deleted: bool = False


def mount_table(path: str | None = None) -> tuple[MountPoint, ...]:
    """Read the mount table.

    Parameters
    ----------
    path : str, optional
        Default is ``KFSECRETS_MOUNTINFO``, else ``/proc/self/mountinfo``.

    Returns
    -------
    tuple of MountPoint
        In the order of the table; empty where there is none, as on macOS.
    """
    path = path or os.environ.get("KFSECRETS_MOUNTINFO") or MOUNTINFO
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError:
        return ()
    global _last
    if _last[0] != text:
        _last = text, tuple(_parse(text))
    return _last[1]


_last: tuple[bytes, tuple[MountPoint, ...]] = (b"", ())


def _parse(text: bytes) -> list[MountPoint]:
    points = []
    for line in text.split(b"\n"):
        # proc(5): id parent major:minor root mount-point options [fields …] - type source options
        before, separator, after = line.partition(b" - ")
        fields = before.split(b" ")
        if not separator or len(fields) < 6:
            continue
        root = _decode(fields[3])
        deleted = root.endswith(_DELETED)
        points.append(
            MountPoint(
                path=_decode(fields[4]),
                root=root[: -len(_DELETED)] if deleted else root,
                filesystem=_decode(after.split(b" ", 1)[0]),
                deleted=deleted,
            )
        )
    return points


def _decode(field: bytes) -> str:
    if b"\\" in field:
        field = _ESCAPE.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), field)
    return os.fsdecode(field)
