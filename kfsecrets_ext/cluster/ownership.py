"""Who owns which field of an object: server-side apply, as the embedded cluster does it.

A field is a path of names; what is no mapping is one field, so a list belongs to one manager as
a whole. Ownership is kept as the API server does it, in ``metadata.managedFields``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Applied", "Clash", "applied", "created", "fields_of", "spelled"]

Json = dict[str, Any]
Path = tuple[str, ...]

# apimachinery: what fieldmanager strips before it looks at a set of fields
_UNOWNED = frozenset({("apiVersion",), ("kind",), ("status",)})
# apimachinery: a LabelSelector is one field, in the definition of PodDefaults too
_ATOMIC = frozenset({("spec", "selector")})
_UNOWNED_METADATA = frozenset(
    {
        *("name", "generateName", "namespace", "uid", "resourceVersion", "generation"),
        *("creationTimestamp", "deletionTimestamp", "managedFields", "selfLink"),
    }
)


@dataclass(frozen=True)
class Clash:
    """A field that another manager owns, with another value.

    Attributes
    ----------
    manager : str
    field : str
        Such as ``.data.token``.
    """

    manager: str
    field: str


@dataclass(frozen=True)
class Applied:
    """What an apply leads to.

    Attributes
    ----------
    obj : dict
        The object then.
    clashes : tuple of Clash
        Why it may not be stored.
    changed : bool
    """

    obj: Json
    clashes: tuple[Clash, ...]
    changed: bool


def created(obj: Json, *, manager: str, time: str) -> Json:
    """Return a new object with its creator as owner of all its fields."""
    entry = _entry(manager, "Update", obj, fields_of(obj), time)
    obj["metadata"]["managedFields"] = [entry]
    return obj


def applied(
    current: Mapping[str, Any] | None,
    given: Mapping[str, Any],
    *,
    manager: str,
    force: bool,
    time: str,
) -> Applied:
    """Apply an object.

    Parameters
    ----------
    current : mapping or None
        What is stored.
    given : mapping
        What a manager applies.
    manager : str
    force : bool
        Take fields from others.
    time : str
    """
    wanted = fields_of(given)
    before = {} if current is None else _owners(current)
    ours = (manager, "Apply")
    clashes, others = [], {}
    for owner, owned in before.items():
        if owner == ours:
            continue
        lost = {path for path in owned if _differs(path, given, wanted, current or {})}
        clashes += [Clash(owner[0], spelled(path)) for path in sorted(lost)]
        others[owner] = owned - lost
    obj: Json = copy.deepcopy(dict(current or {}))
    kept = frozenset().union(*others.values()) if others else frozenset()
    for path in sorted(before.get(ours, frozenset()) - wanted):
        if not any(_overlap(path, other) for other in kept):
            _remove(obj, path)
    for path in sorted(wanted):
        _put(obj, path, copy.deepcopy(_at(given, path)))
    for name in ("apiVersion", "kind"):
        obj[name] = given[name]
    metadata = obj.setdefault("metadata", {})
    for name in ("name", "namespace"):
        if (given.get("metadata") or {}).get(name):
            metadata[name] = given["metadata"][name]
    after = {**{owner: owned for owner, owned in others.items() if owned}, ours: wanted}
    changed = current is None or after != before or _without_owners(obj) != _without_owners(current)
    if changed:
        # fieldmanager: the time is that of who acts, of the others it stays
        times = {**_times(current), ours: time}
        metadata["managedFields"] = [
            _entry(*owner, obj, owned, times.get(owner, time)) for owner, owned in after.items()
        ]
    return Applied(obj, () if force else tuple(clashes), changed)


def fields_of(obj: Mapping[str, Any]) -> frozenset[Path]:
    """Return the fields of an object that can be owned."""
    return frozenset(
        path
        for path in _leaves(obj, ())
        if path[:1] not in _UNOWNED
        and not (path[0] == "metadata" and path[1:2] and path[1] in _UNOWNED_METADATA)
        and path != ("metadata",)
    )


def spelled(path: Path) -> str:
    """Write a path as the API server does in a conflict."""
    return "".join(f".{name}" for name in path)


def _leaves(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, Mapping) and value and path not in _ATOMIC:
        for name, inner in value.items():
            yield from _leaves(inner, (*path, str(name)))
    else:
        yield path


def _owners(obj: Mapping[str, Any]) -> dict[tuple[str, str], frozenset[Path]]:
    managed = (obj.get("metadata") or {}).get("managedFields")
    if not managed:
        # apimachinery: skipNonApplied names the owner of what was there before the first apply
        return {("before-first-apply", "Update"): fields_of(obj)}
    return {
        (str(entry.get("manager")), str(entry.get("operation"))): frozenset(
            _listed(entry.get("fieldsV1") or {}, ())
        )
        for entry in managed
    }


def _times(obj: Mapping[str, Any] | None) -> dict[tuple[str, str], str]:
    managed = ((obj or {}).get("metadata") or {}).get("managedFields") or ()
    return {
        (str(entry.get("manager")), str(entry.get("operation"))): entry["time"]
        for entry in managed
        if entry.get("time")
    }


def _entry(
    manager: str, operation: str, obj: Mapping[str, Any], owned: Iterable[Path], time: str
) -> Json:
    tree: Json = {}
    for path in sorted(owned):
        place = tree
        for name in path:
            place = place.setdefault(f"f:{name}", {})
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": obj.get("apiVersion"),
        "time": time,
        "fieldsType": "FieldsV1",
        "fieldsV1": tree,
    }


def _listed(tree: Mapping[str, Any], path: Path) -> Iterator[Path]:
    if not tree and path:
        yield path
    for name, inner in tree.items():
        if name.startswith("f:"):
            yield from _listed(inner, (*path, name[2:]))


def _differs(
    path: Path, given: Mapping[str, Any], wanted: frozenset[Path], current: Mapping[str, Any]
) -> bool:
    """Say whether what is applied changes a field that somebody else owns."""
    if path in wanted:
        return bool(_at(given, path) != _at(current, path))
    for other in wanted:
        if _overlap(path, other) and len(other) != len(path):
            # An empty mapping leaves room for what others own in it, and theirs for ours.
            shorter = _at(given, other) if len(other) < len(path) else _at(current, path)
            if not isinstance(shorter, Mapping):
                return True
    return False


def _overlap(one: Path, other: Path) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _at(obj: Any, path: Path) -> Any:
    for name in path:
        if not isinstance(obj, Mapping) or name not in obj:
            return None
        obj = obj[name]
    return obj


def _put(obj: Json, path: Path, value: Any) -> None:
    for name in path[:-1]:
        inner = obj.get(name)
        if not isinstance(inner, dict):
            inner = obj[name] = {}
        obj = inner
    if value == {} and isinstance(obj.get(path[-1]), dict):
        return
    obj[path[-1]] = value


def _remove(obj: Json, path: Path) -> None:
    parents = []
    for name in path[:-1]:
        parents.append((obj, name))
        inner = obj.get(name)
        if not isinstance(inner, dict):
            return
        obj = inner
    obj.pop(path[-1], None)
    for parent, name in reversed(parents):
        if parent[name]:
            break
        del parent[name]


def _without_owners(obj: Mapping[str, Any]) -> Json:
    metadata = {**obj["metadata"], "managedFields": None}
    return {**obj, "metadata": metadata}
