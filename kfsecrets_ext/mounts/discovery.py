"""Where Secrets are mounted: in the roots, and elsewhere as the mount table shows."""

from __future__ import annotations

import base64
import binascii
import errno
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from kfsecrets_ext.errors import SecretError
from kfsecrets_ext.values import SecretBytes

from .table import MountPoint
from .volume import list_keys, read_key

__all__ = ["DEFAULT_ROOTS", "Mount", "find", "roots"]

DEFAULT_ROOTS = "/secret:/secrets"
"""``/secret/<name>`` is the tutorial's path, ``/secrets/<name>`` that of Workspaces (v2)."""

# kubelet and cloud webhooks: tokens of the pod's own identity, no credential of the user's
_IDENTITY = re.compile(
    r"^(/var)?/run/secrets/(kubernetes\.io|eks\.amazonaws\.com|azure|tokens|workload-spiffe-\w+"
    r"|kubeflow/pipelines)(/|$)"
)
_DOWNWARD = frozenset({"labels", "annotations"})
_GENERATION = re.compile(r"/\.\.[^/]+/(?P<key>.+)$")
_TOKEN_LIMIT = 16 << 10


@dataclass(frozen=True)
class Mount:
    """A place where a Secret's keys are files.

    Attributes
    ----------
    name : str
        What the place is called: the directory's name.
    base, entry : str
        The directory is ``entry`` in ``base``; ``entry`` is ``""`` where it is ``base`` itself.
    kind : str
        ``"volume"`` or ``"subPath"``.
    key : str or None
        Of a ``subPath`` mount the one file in the directory that it is.
    deleted : bool
        Whether a ``subPath`` mount shows a file that its volume no longer has.
    """

    name: str
    base: str
    entry: str = ""
    kind: Literal["volume", "subPath"] = "volume"
    key: str | None = None
    deleted: bool = False

    @property
    def directory(self) -> str:
        """The directory's path."""
        # os.path.join takes ten times as long, and this is asked for often.
        return f"{self.base.rstrip('/')}/{self.entry}" if self.entry else self.base

    @property
    def path(self) -> str:
        """The mount path."""
        return self.directory if self.key is None else os.path.join(self.directory, self.key)


def roots(setting: str | None = None) -> tuple[str, ...]:
    """Return the directories whose entries are Secrets.

    Parameters
    ----------
    setting : str, optional
        Paths joined by ``:``; default is ``KFSECRETS_ROOTS``, else ``/secret:/secrets``.

    Returns
    -------
    tuple of str
        Absolute paths, each once. Relative ones are left out.
    """
    if setting is None:
        setting = os.environ.get("KFSECRETS_ROOTS", DEFAULT_ROOTS)
    paths = (os.path.expanduser(path) for path in setting.split(":"))
    return tuple(dict.fromkeys(os.path.normpath(path) for path in paths if os.path.isabs(path)))


def find(
    roots: Iterable[str], table: Iterable[MountPoint], declared: Iterable[str] = ()
) -> tuple[tuple[Mount, ...], tuple[str, ...]]:
    """Find each mounted Secret.

    Parameters
    ----------
    roots : iterable of str
        Directories whose entries are Secrets.
    table : iterable of MountPoint
        The mount table; Secrets outside the roots are found in it.
    declared : iterable of str
        Mount paths that the pod says are Secrets though they do not look so, as those of a
        CSI driver.

    Returns
    -------
    mounts : tuple of Mount
        Those of the roots first, in order of the roots.
    notes : tuple of str
        What could not be looked at, and why.
    """
    notes: list[str] = []
    mounts: dict[str, Mount] = {}
    points = {point.path: point for point in table}
    roots = tuple(roots)
    for root in roots:
        for mount in _in_root(root, points, notes):
            mounts.setdefault(mount.path, mount)
    inside = tuple(f"{root}/" for root in roots)
    wanted = set(declared)
    for point in points.values():
        if point.path in mounts or f"{point.path}/".startswith(inside):
            continue
        for mount in _elsewhere(point, point.path in wanted):
            mounts.setdefault(mount.path, mount)
    return tuple(mounts.values()), tuple(notes)


def _in_root(root: str, points: dict[str, MountPoint], notes: list[str]) -> Iterator[Mount]:
    try:
        with os.scandir(root) as entries:
            names = sorted((entry.name, entry.is_file(follow_symlinks=False)) for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        notes.append(f"{root} cannot be listed: {os.strerror(error.errno or errno.EIO)}.")
        return
    if any(name == "..data" for name, _ in names):
        yield Mount(os.path.basename(root), root)
        return
    # A mounted file shows in the table; a directory of mounted files is no mount itself.
    files: dict[str, list[MountPoint]] = {}
    for path, point in points.items():
        if path.startswith(f"{root}/"):
            files.setdefault(os.path.dirname(path), []).append(point)
    for name, is_file in names:
        path = os.path.join(root, name)
        if name.startswith(".."):
            continue
        if is_file:
            if path in points:
                yield Mount(name, root, "", "subPath", name, points[path].deleted)
            continue
        yield Mount(name, root, name)
        for point in files.get(path, ()):
            if not os.path.isdir(point.path):
                key = os.path.basename(point.path)
                yield Mount(name, root, name, "subPath", key, point.deleted)


def _elsewhere(point: MountPoint, declared: bool) -> Iterator[Mount]:
    # kubelet: Secret and projected volumes are tmpfs, so that no value reaches a disk
    if point.filesystem != "tmpfs" and not declared:
        return
    if _IDENTITY.match(point.path):
        return
    directory, name = os.path.split(point.path)
    if os.path.isdir(point.path):
        if not declared and not os.path.islink(os.path.join(point.path, "..data")):
            return
        if _is_identity_or_downward(point.path):
            return
        yield Mount(name, point.path)
        return
    origin = _GENERATION.search(point.root)
    if origin is None and not declared:
        return
    if origin is not None and origin["key"] in _DOWNWARD:
        return
    if not _is_identity_token(directory, name):
        yield Mount(name, directory, "", "subPath", name, point.deleted)


def _is_identity_or_downward(path: str) -> bool:
    listing = list_keys(path, "")
    if listing is None:
        return True
    names = {file.name for file in listing.keys}
    if names and names <= _DOWNWARD:
        return True
    if {"token", "ca.crt", "namespace"} <= names:
        return True
    return bool(names) and all(
        file.state == "ready" and _is_identity_token(path, file.name) for file in listing.keys
    )


def _is_identity_token(directory: str, key: str) -> bool:
    """Tell whether the file is a token that Kubernetes issued to the pod's service account."""
    try:
        token = read_key("", directory, "", key).value
    except SecretError:
        return False
    if len(token) > _TOKEN_LIMIT or token.count(b".") != 2:
        return False
    return _subject(token).startswith("system:serviceaccount:")


def _subject(token: SecretBytes) -> str:
    payload = SecretBytes(token.split(b".")[1])
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
    except (ValueError, binascii.Error):
        return ""
    # Only the subject leaves: it is a name.
    return str(claims.get("sub", "")) if isinstance(claims, dict) else ""
