"""What is in this pod, and where from: names only, one model for the panel, widget and commands."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import lru_cache
from operator import attrgetter
from typing import Any, Literal, NamedTuple, TypeAlias

from . import cluster, mounts, podinfo

__all__ = ["Inventory", "Key", "MountReport", "PodReport", "Secret", "collect", "pod"]

State = Literal["ready", "stale", "empty", "unreadable", "too-large"]
Kind = Literal["volume", "subPath", "environment"]

_EMPTY = (
    "It is mounted and has no keys. An optional Secret that does not exist yet looks so, and "
    "appears by itself within about a minute of its creation; a CSI volume looks so until its "
    "driver filled it."
)
# kubelet: the volume of an optional Secret that does not exist is written, with no files
_NOT_GRANTED = (
    "Declared, not granted yet: the Secret does not exist, or has none of the keys that are "
    "mounted. It appears here by itself within about a minute of its creation, with no restart."
)
# kubelet: a subPath mount is bound to one file of one generation and never follows
_STALE = (
    "The Secret changed since. A subPath mount never follows: restart the notebook to get the "
    "new value, or have the whole volume mounted."
)
_Listing: TypeAlias = mounts.Listing | None
_VARIABLES = mounts.Listing((), None, 0.0)
_UNSET = "The pod declares this variable, and it is not set in this process."


@dataclass(frozen=True)
class MountReport:
    """A place where a Secret is.

    Attributes
    ----------
    kind : str
        ``"volume"``, ``"subPath"`` or ``"environment"``.
    path : str or None
        The mount path.
    state : str
    reason : str or None
    updated : datetime or None
    """

    kind: Kind
    path: str | None
    state: State = "ready"
    reason: str | None = None
    updated: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the mount as plain data for JSON."""
        return {
            "kind": self.kind,
            "path": self.path,
            "state": self.state,
            "reason": self.reason,
            "updated": isoformat(self.updated),
        }


class Key(NamedTuple):
    """A key of a Secret, and where `get_secret` reads it.

    There may be tens of thousands: a named tuple is made three times as fast as a dataclass.

    Attributes
    ----------
    name : str
    state : str
    reason : str or None
    kind : str
    path : str or None
    variable : str or None
    updated : datetime or None
    """

    name: str
    state: State
    kind: Kind
    reason: str | None = None
    path: str | None = None
    variable: str | None = None
    updated: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the key as plain data for JSON."""
        return {
            "name": self.name,
            "state": self.state,
            "reason": self.reason,
            "kind": self.kind,
            "path": self.path,
            "variable": self.variable,
            "updated": isoformat(self.updated),
        }


@dataclass(frozen=True)
class Secret:
    """A Secret in this pod.

    Attributes
    ----------
    name : str
    state : str
        That of the place which `get_secret` reads.
    reason : str or None
        What the state means and what mends it.
    poddefault : str or None
        The PodDefault that put it here, where the pod's stamps tell.
    mounts : tuple of MountReport
        The one that `get_secret` reads first.
    keys : tuple of Key
        Sorted by name.
    """

    name: str
    state: State
    reason: str | None
    poddefault: str | None
    mounts: tuple[MountReport, ...]
    keys: tuple[Key, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the Secret as plain data for JSON."""
        return {
            "name": self.name,
            "state": self.state,
            "reason": self.reason,
            "poddefault": self.poddefault,
            "mounts": [mount.to_json() for mount in self.mounts],
            "keys": [key.to_json() for key in self.keys],
        }


@dataclass(frozen=True)
class Inventory:
    """All Secrets in this pod.

    Attributes
    ----------
    secrets : tuple of Secret
        Sorted by name.
    roots : tuple of str
        The directories that were looked into.
    notes : tuple of str
        What could not be known, and why.
    """

    secrets: tuple[Secret, ...]
    roots: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the inventory as plain data for JSON."""
        return {
            "secrets": [secret.to_json() for secret in self.secrets],
            "roots": list(self.roots),
            "notes": list(self.notes),
        }

    def names(self) -> tuple[str, ...]:
        """Return the Secrets' names."""
        return tuple(secret.name for secret in self.secrets)

    def get(self, name: str) -> Secret | None:
        """Return the Secret of that name, if it is here."""
        return next((secret for secret in self.secrets if secret.name == name), None)


@dataclass(frozen=True)
class PodReport:
    """What is known of this pod.

    Attributes
    ----------
    namespace, name, notebook : str or None
    information : str
        ``"downward-api"``, ``"kubernetes"``, ``"embedded"`` or ``"none"``.
    labels : mapping of str to str
    poddefaults : tuple of mapping
        ``name`` of each PodDefault that was applied, and its ``stamp``.
    roots, notes : tuple of str
    """

    namespace: str | None
    name: str | None
    notebook: str | None
    information: str
    labels: Mapping[str, str]
    poddefaults: tuple[Mapping[str, str], ...]
    roots: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain data for JSON."""
        return {
            "namespace": self.namespace,
            "name": self.name,
            "notebook": self.notebook,
            "information": self.information,
            "labels": dict(self.labels),
            "poddefaults": [dict(one) for one in self.poddefaults],
            "roots": list(self.roots),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Place:
    """Where a Secret's keys can be read: a mount, or variables.

    Attributes
    ----------
    names : tuple of str
        What the place is called: its directory's name, and its Secret's name where known.
    mount : mounts.Mount or None
    variables : tuple of podinfo.SecretVariable
    """

    names: tuple[str, ...]
    mount: mounts.Mount | None = None
    variables: tuple[podinfo.SecretVariable, ...] = field(default=())


def collect() -> Inventory:
    """Take the inventory of this pod.

    Nothing is read but names and metadata. Where no permission to read the Pod object exists,
    what only it tells (the Secrets behind variables, the names of Secrets mounted outside the
    roots) is missing, and `Inventory.notes` says so.

    Returns
    -------
    Inventory
        The same object as before where nothing changed.
    """
    global _last
    paths = mounts.roots()
    info, notes = _pod_info()
    found, more = places(paths, info)
    listings = tuple(_listing(place) for place in found)
    # A listing that did not change is the same object, so that comparing is quick.
    basis = (paths, notes, info, more, found, listings, _set_variables(info))
    if _last is None or _last[0] != basis:
        _last = basis, _inventory(paths, (*more, *notes), info, found, listings)
    return _last[1]


def places(
    paths: tuple[str, ...], info: podinfo.PodInfo
) -> tuple[tuple[Place, ...], tuple[str, ...]]:
    """Find each place where a Secret can be read, in the order in which they count.

    Parameters
    ----------
    paths : tuple of str
        The roots.
    info : PodInfo
        What the pod says of itself.

    Returns
    -------
    places : tuple of Place
    notes : tuple of str
    """
    # The mount table has the paths that links such as /var/run lead to.
    volumes = {os.path.realpath(volume.path): volume for volume in info.volumes}
    found, notes = mounts.find(paths, mounts.mount_table(), declared=volumes)
    result = [Place(_names(mount, volumes, paths), mount) for mount in found]
    variables: dict[str, list[podinfo.SecretVariable]] = {}
    for variable in info.variables:
        variables.setdefault(variable.secret, []).append(variable)
    result += [Place((name,), None, tuple(group)) for name, group in variables.items()]
    return tuple(result), notes


def elsewhere(name: str) -> tuple[Place, ...]:
    """Find the places of one Secret, whatever the place is called.

    Parameters
    ----------
    name : str

    Returns
    -------
    tuple of Place
    """
    info, _ = _pod_info()
    found, _ = places(mounts.roots(), info)
    return tuple(place for place in found if name in place.names)


def variable_keys(
    variables: Iterable[podinfo.SecretVariable],
) -> Iterator[tuple[str, str, bool]]:
    """Yield key, variable and whether it is set, for the variables that are known one by one."""
    for variable in variables:
        if variable.key is not None:
            yield variable.key, variable.variable, variable.variable in os.environ


def pod() -> PodReport:
    """Report what is known of this pod.

    Returns
    -------
    PodReport
    """
    info, notes = _pod_info()
    identity = cluster.identity()
    return PodReport(
        namespace=info.namespace or identity.namespace,
        name=info.name or identity.name,
        notebook=info.notebook or identity.notebook,
        information=info.information,
        labels=dict(sorted(info.labels.items())),
        poddefaults=tuple(
            {"name": name, "stamp": stamp} for name, stamp in sorted(info.stamps.items())
        ),
        roots=mounts.roots(),
        notes=notes,
    )


@lru_cache(maxsize=256)
def isoformat(time: datetime | None) -> str | None:
    """Return a time as JSON has it, for example ``2026-11-24T22:51:07Z``."""
    return None if time is None else time.isoformat().replace("+00:00", "Z")


_last: tuple[tuple[Any, ...], Inventory] | None = None


def _inventory(
    paths: tuple[str, ...],
    notes: tuple[str, ...],
    info: podinfo.PodInfo,
    found: tuple[Place, ...],
    listings: tuple[_Listing, ...],
) -> Inventory:
    secrets: dict[str, list[tuple[Place, mounts.Listing]]] = {}
    for place, listing in zip(found, listings, strict=True):
        if listing is not None:
            secrets.setdefault(place.names[0], []).append((place, listing))
    return Inventory(
        secrets=tuple(_secret(name, here, info) for name, here in sorted(secrets.items())),
        roots=paths,
        notes=notes,
    )


def _listing(place: Place) -> _Listing:
    if place.mount is None:
        return _VARIABLES
    mount = place.mount
    if mount.key is not None:
        return mounts.list_key(mount.base, mount.entry, mount.key)
    return mounts.list_keys(mount.base, mount.entry)


def _set_variables(info: podinfo.PodInfo) -> tuple[bool, ...]:
    return tuple(is_set for _, _, is_set in variable_keys(info.variables))


def _pod_info() -> tuple[podinfo.PodInfo, tuple[str, ...]]:
    files = podinfo.from_files(os.environ.get("KFSECRETS_PODINFO") or podinfo.PODINFO_DIRECTORY)
    own = cluster.own_pod()
    if own.pod is None:
        return files, (own.note,) if own.note else ()
    return podinfo.merge(files, podinfo.from_pod(own.pod, information=own.home)), ()


def _names(
    mount: mounts.Mount, volumes: Mapping[str, podinfo.SecretVolume], paths: tuple[str, ...]
) -> tuple[str, ...]:
    volume = volumes.get(mount.path)
    secret = volume.secret if volume is not None else None
    if secret is None or secret == mount.name:
        return (mount.name,)
    # In a root the directory's name is the one users see; elsewhere it means nothing.
    inside = any(mount.path.startswith(f"{path}/") for path in paths)
    return (mount.name, secret) if inside else (secret, mount.name)


def _secret(name: str, here: list[tuple[Place, mounts.Listing]], info: podinfo.PodInfo) -> Secret:
    reports: list[MountReport] = []
    keys: list[Key] = []
    single = {
        place.mount.path: place.mount
        for place, _ in here
        if place.mount is not None and place.mount.kind == "subPath"
    }
    for place, listing in here:
        report, more = (
            _from_variables(place.variables)
            if place.mount is None
            else _from_mount(place.mount, listing, single)
        )
        if report.reason == _EMPTY and _is_declared(place, listing, info):
            report = replace(report, reason=_NOT_GRANTED)
        reports.append(report)
        keys += more
    # Of a key that is in several places, the first counts.
    keys = sorted({key.name: key for key in reversed(keys)}.values(), key=attrgetter("name"))
    # A directory of subPath mounts is none itself.
    shown = [
        report
        for report in reports
        if report.kind != "volume" or report.path not in _parents(single)
    ] or reports
    first = shown[0]
    stale = bool(single) and first.state == "ready" and any(key.state == "stale" for key in keys)
    return Secret(
        name=name,
        state="stale" if stale else first.state,
        reason=_STALE if stale else first.reason,
        poddefault=next(
            (one for place, _ in here for one in place.names if one in info.stamps), None
        ),
        mounts=tuple(shown),
        keys=tuple(keys),
    )


def _is_declared(place: Place, listing: mounts.Listing, info: podinfo.PodInfo) -> bool:
    """Tell whether an empty mount waits for its Secret."""
    if place.mount is None or listing.generation is None:
        return False  # a CSI driver's volume has no generation before it is filled
    if info.complete:
        path = place.mount.path
        return any(one.optional for one in info.volumes if os.path.realpath(one.path) == path)
    return any(name in info.stamps for name in place.names)


def _parents(paths: Iterable[str]) -> set[str]:
    return {os.path.dirname(path) for path in paths}


def _from_mount(
    mount: mounts.Mount, listing: mounts.Listing, single: Mapping[str, mounts.Mount]
) -> tuple[MountReport, list[Key]]:
    if mount.key is not None:
        keys = [_key(file, mount.kind, mount.path, mount.deleted) for file in listing.keys]
        state: State = keys[0].state if keys else "empty"
        if state == "too-large":
            state = "unreadable"
        reason = keys[0].reason if keys else _EMPTY
        return MountReport("subPath", mount.path, state, reason, _time(listing.modified)), keys
    keys = []
    prefix = os.path.join(mount.directory, "")
    for file in listing.keys:
        path = prefix + file.name
        part = single.get(path)
        if part is None:
            keys.append(_key(file, mount.kind, path, False))
        else:
            keys.append(_key(file, part.kind, path, part.deleted))
    if listing.reason is not None:
        return MountReport(mount.kind, mount.path, "unreadable", _sentence(listing.reason)), keys
    if not keys:
        return MountReport(mount.kind, mount.path, "empty", _EMPTY, _time(listing.modified)), keys
    unreadable = [key for key in keys if key.state == "unreadable"]
    if len(unreadable) == len(keys):
        return MountReport(mount.kind, mount.path, "unreadable", unreadable[0].reason), keys
    return MountReport(mount.kind, mount.path, updated=_time(listing.modified)), keys


def _key(file: mounts.KeyFile, kind: Kind, path: str, deleted: bool) -> Key:
    name, state, reason, modified = file
    if deleted and state == "ready":
        return Key(name, "stale", kind, _STALE, path, None, _time(modified))
    return Key(name, state, kind, reason and _sentence(reason), path, None, _time(modified))


def _sentence(reason: str) -> str:
    # The reasons of the volumes end a sentence; here they stand alone.
    return reason[:1].upper() + reason[1:]


def _from_variables(
    variables: tuple[podinfo.SecretVariable, ...],
) -> tuple[MountReport, list[Key]]:
    keys = [
        Key(key, "ready", "environment", variable=variable)
        if is_set
        else Key(key, "unreadable", "environment", _UNSET, variable=variable)
        for key, variable, is_set in variable_keys(variables)
    ]
    if keys and all(key.state == "unreadable" for key in keys):
        return MountReport("environment", None, "empty", _UNSET), keys
    return MountReport("environment", None), keys


def _time(seconds: float) -> datetime | None:
    # A file may have any time; a date has four digits for its year.
    return _second(int(seconds)) if 0 < seconds < _YEAR_10000 else None


_YEAR_10000 = 253402300800  # s since the epoch


# The files of a volume are written together: most have the time of the one before.
@lru_cache(maxsize=256)
def _second(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
