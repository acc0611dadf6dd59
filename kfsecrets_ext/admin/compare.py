"""What of an object would change: names of keys and fields, never what is in them."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from kfsecrets_ext.cluster import FIELD_MANAGER
from kfsecrets_ext.poddefaults import MANAGED_BY
from kfsecrets_ext.values import SecretBytes

from .grant import GRANT_LABEL
from .secret import SecretObject

__all__ = [
    "OURS",
    "Field",
    "SecretForm",
    "controller",
    "is_ours",
    "keeper",
    "others_keys",
    "poddefault_fields",
    "secret_fields",
]

# kyverno, background/common/labels.go: each copy has it; some keep the managed-by of the source
_COPIED: Final = "generate.kyverno.io/policy-name"

OURS: Final = f"{'='.join(MANAGED_BY)},!{_COPIED}"
"""The label selector of what `is_ours`."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field that would change.

    Attributes
    ----------
    path : str
        Such as ``data.foo`` or ``spec.desc``.
    change : str
        ``"added"``, ``"changed"`` or ``"removed"``.
    owners : tuple of str
        Other field managers that own it: an apply that is not forced is refused.
    """

    path: str
    change: Literal["added", "changed", "removed"]
    owners: tuple[str, ...] = ()

    def to_json(self) -> dict[str, str]:
        """Give ``path`` and ``change``."""
        return {"path": self.path, "change": self.change}


@dataclass(frozen=True, slots=True)
class SecretForm:
    """A Secret that is wanted, without its values.

    Attributes
    ----------
    name, type : str
    immutable : bool
    labels, annotations : mapping of str to str
    digests : mapping of str to bytes
        Of the values by key, with a key of this process that nobody knows: to compare, and of no
        other use.
    """

    name: str
    type: str
    immutable: bool
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    digests: Mapping[str, bytes]

    @classmethod
    def of(cls, secret: SecretObject, grant: str) -> SecretForm:
        """Take the form of a Secret of a grant."""
        return cls(
            secret.name,
            secret.type or _OPAQUE,
            secret.immutable,
            {**secret.labels, MANAGED_BY[0]: MANAGED_BY[1], GRANT_LABEL: grant},
            dict(secret.annotations),
            {key: _digest(SecretBytes(base64.b64encode(secret.data[key]))) for key in secret.data},
        )


def is_ours(obj: Mapping[str, Any]) -> bool:
    """Say whether an object carries the label of what this package owns, and is no copy of it."""
    labels = _labels(obj)
    return labels.get(MANAGED_BY[0]) == MANAGED_BY[1] and _COPIED not in labels


def controller(obj: Mapping[str, Any]) -> str | None:
    """Name the object that keeps another one in step, such as ``ExternalSecret db``."""
    for owner in (obj.get("metadata") or {}).get("ownerReferences") or ():
        if owner.get("controller"):
            return f"{owner.get('kind')} {owner.get('name')}"
    policy = _labels(obj).get(_COPIED)
    return None if policy is None else f"Kyverno's policy {policy}"


def keeper(obj: Mapping[str, Any]) -> str:
    """Say in a few words who keeps an object that is not ours, as far as it tells."""
    metadata = obj.get("metadata") or {}
    for owner in metadata.get("ownerReferences") or ():
        return f"of {owner.get('kind')} {owner.get('name')}"
    managed = _labels(obj).get(MANAGED_BY[0])
    if managed:
        return f"managed by {managed}"
    managers = {str(one.get("manager")) for one in metadata.get("managedFields") or ()}
    return f"written by {', '.join(sorted(managers))}" if managers else "of somebody unknown"


def others_keys(obj: Mapping[str, Any]) -> list[str]:
    """Give the keys of a Secret that others own alone; its metadata is enough."""
    ours: set[str] = set()
    theirs: set[str] = set()
    for entry in (obj.get("metadata") or {}).get("managedFields") or ():
        tree = (entry.get("fieldsV1") or {}).get("f:data") or {}
        keys = {name[2:] for name in tree if name.startswith("f:")}
        (ours if entry.get("manager") == FIELD_MANAGER else theirs).update(keys)
    return sorted(theirs - ours)


def secret_fields(
    live: Mapping[str, Any], wanted: SecretForm
) -> tuple[tuple[Field, ...], tuple[str, ...]]:
    """Compare a Secret with what is wanted.

    Parameters
    ----------
    live : mapping
        As the API server has it.
    wanted : SecretForm

    Returns
    -------
    tuple of Field
        ``type`` and ``immutable`` among them where they differ.
    tuple of str
        Keys that somebody else brought, which stay.
    """
    there = live.get("data") or {}
    fields: list[Field] = []
    others: list[str] = []
    for key in sorted({*wanted.digests, *there}):
        if key not in there:
            fields.append(Field(f"data.{key}", "added"))
        elif key in wanted.digests:
            # `there` is not taken apart: its values are masked where they are, not in a copy
            if not secrets.compare_digest(
                _digest(SecretBytes(there[key].encode())), wanted.digests[key]
            ):
                owners = _others(live, ("data", key))
                fields.append(Field(f"data.{key}", "changed", owners))
        elif _goes(live, ("data", key), False):
            fields.append(Field(f"data.{key}", "removed"))
        else:
            others.append(key)
    if (live.get("type") or _OPAQUE) != wanted.type:
        fields.append(Field("type", "changed"))
    if bool(live.get("immutable")) != wanted.immutable:
        how: Literal["added", "removed"] = "added" if wanted.immutable else "removed"
        fields.append(Field("immutable", how, _others(live, ("immutable",))))
    metadata = {"labels": wanted.labels, "annotations": wanted.annotations}
    fields.extend(_metadata_fields(live, metadata, lambda path: _goes(live, path, False)))
    return tuple(fields), tuple(others)


def poddefault_fields(
    live: Mapping[str, Any], wanted: Mapping[str, Any], *, posted: bool = False
) -> tuple[Field, ...]:
    """Compare a PodDefault with what is wanted.

    Parameters
    ----------
    live, wanted : mapping
    posted : bool
        Whether it would be deleted and created anew: what others brought goes, too.

    Returns
    -------
    tuple of Field
        Paths alone: an ``env`` of somebody else's may hold a literal.
    """
    found = tuple(_fields(live, wanted, lambda path: _goes(live, path, posted)))
    if not posted:
        return found
    return tuple(replace(one, owners=()) for one in _fields(live, wanted, _all) if found)


Path = tuple[str, ...]
Goes = Callable[[Path], bool]

_OPAQUE: Final = "Opaque"
_SECRET_OF_THIS_PROCESS: Final = secrets.token_bytes(32)


def _digest(value: SecretBytes) -> bytes:
    return hashlib.blake2b(value, key=_SECRET_OF_THIS_PROCESS, digest_size=16).digest()


def _labels(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    return (obj.get("metadata") or {}).get("labels") or {}


def _all(_path: Path) -> bool:
    return True


def _fields(live: Mapping[str, Any], wanted: Mapping[str, Any], goes: Goes) -> Iterator[Field]:
    yield from _differences(live.get("spec") or {}, wanted["spec"], ("spec",), live, goes)
    yield from _metadata_fields(live, wanted["metadata"], goes)


def _metadata_fields(
    live: Mapping[str, Any], wanted: Mapping[str, Any], goes: Goes
) -> Iterator[Field]:
    there = live.get("metadata") or {}
    for part in ("labels", "annotations"):
        yield from _differences(
            there.get(part) or {}, wanted.get(part) or {}, ("metadata", part), live, goes
        )


def _differences(
    there: Mapping[str, Any],
    wanted: Mapping[str, Any],
    path: Path,
    live: Mapping[str, Any],
    goes: Goes,
) -> Iterator[Field]:
    # lists of a PodDefault are atomic: its definition gives them no keys
    for name in sorted({*there, *wanted}):
        below = (*path, name)
        one, other = there.get(name), wanted.get(name)
        if name not in there:
            yield Field(".".join(below), "added", _others(live, below))
        elif isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from _differences(one, other, below, live, goes)
        elif name in wanted:
            if one != other:
                yield Field(".".join(below), "changed", _others(live, below))
        elif goes(below):
            yield Field(".".join(below), "removed", _others(live, below))


def _goes(live: Mapping[str, Any], path: Path, posted: bool) -> bool:
    """Say whether a field goes where it is left out.

    Server-side apply removes what an earlier apply brought and nobody else owns, and what is a
    part of a field that it sets as a whole; what is deleted and created anew loses all.
    """
    owners, whole = _owners(live, path)
    if posted:
        return any(manager == FIELD_MANAGER for manager, _ in owners)
    return whole or owners == {(FIELD_MANAGER, "Apply")}


def _others(live: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    return tuple(sorted({one for one, _ in _owners(live, path)[0]} - {FIELD_MANAGER}))


def _owners(live: Mapping[str, Any], path: Path) -> tuple[set[tuple[str, str]], bool]:
    """Say who owns a field, and whether it is a part of one that is owned as a whole."""
    owners, whole = set(), False
    for entry in (live.get("metadata") or {}).get("managedFields") or ():
        tree = entry.get("fieldsV1") or {}
        owner = str(entry.get("manager")), str(entry.get("operation"))
        for name in path:
            inner = tree.get(f"f:{name}")
            if inner is None:
                # the definition of PodDefaults has atomic mappings: a selector
                if not tree and path[0] == "spec":
                    owners.add(owner)
                    whole = True
                break
            tree = inner
        else:
            owners.add(owner)
    return owners, whole
