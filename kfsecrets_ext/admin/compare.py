"""What of an object would change: names of keys and fields, never what is in them."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from kfsecrets_ext.cluster import FIELD_MANAGER
from kfsecrets_ext.poddefaults import MANAGED_BY

from .grant import GRANT_LABEL
from .secret import SecretObject

__all__ = ["Field", "SecretForm", "is_ours", "poddefault_fields", "secret_fields"]


@dataclass(frozen=True, slots=True)
class Field:
    """A field that would change.

    Attributes
    ----------
    path : str
        Such as ``data.foo`` or ``spec.desc``.
    change : str
        ``"added"``, ``"changed"`` or ``"removed"``.
    """

    path: str
    change: Literal["added", "changed", "removed"]

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
            {key: _digest(base64.b64encode(secret.data[key])) for key in secret.data},
        )


def is_ours(obj: Mapping[str, Any]) -> bool:
    """Say whether an object carries the label of what this package owns."""
    return bool(_labels(obj).get(MANAGED_BY[0]) == MANAGED_BY[1])


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
            if not secrets.compare_digest(_digest(there[key].encode()), wanted.digests[key]):
                fields.append(Field(f"data.{key}", "changed"))
        elif _goes(live, ("data", key), posted=False):
            fields.append(Field(f"data.{key}", "removed"))
        else:
            others.append(key)
    if (live.get("type") or _OPAQUE) != wanted.type:
        fields.append(Field("type", "changed"))
    if bool(live.get("immutable")) != wanted.immutable and (
        wanted.immutable or live.get("immutable")
    ):
        fields.append(Field("immutable", "added" if wanted.immutable else "removed"))
    metadata = {"labels": wanted.labels, "annotations": wanted.annotations}
    fields.extend(_metadata_fields(live, metadata, posted=False))
    return tuple(fields), tuple(others)


def poddefault_fields(
    live: Mapping[str, Any], wanted: Mapping[str, Any], *, posted: bool = False
) -> tuple[Field, ...]:
    """Compare a PodDefault with what is wanted.

    Parameters
    ----------
    live, wanted : mapping
    posted : bool
        Whether it would be deleted and created anew.

    Returns
    -------
    tuple of Field
        Paths alone: an ``env`` of somebody else's may hold a literal.
    """
    spec = _differences(live.get("spec") or {}, wanted["spec"], ("spec",), live, posted)
    return (*spec, *_metadata_fields(live, wanted["metadata"], posted))


_OPAQUE: Final = "Opaque"
_SECRET_OF_THIS_PROCESS: Final = secrets.token_bytes(32)


def _digest(value: bytes) -> bytes:
    return hashlib.blake2b(value, key=_SECRET_OF_THIS_PROCESS, digest_size=16).digest()


def _labels(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    return (obj.get("metadata") or {}).get("labels") or {}


def _metadata_fields(
    live: Mapping[str, Any], wanted: Mapping[str, Any], posted: bool
) -> Iterator[Field]:
    there = live.get("metadata") or {}
    for part in ("labels", "annotations"):
        yield from _differences(
            there.get(part) or {}, wanted.get(part) or {}, ("metadata", part), live, posted
        )


def _differences(
    there: Mapping[str, Any],
    wanted: Mapping[str, Any],
    path: tuple[str, ...],
    live: Any,
    posted: bool,
) -> Iterator[Field]:
    # lists of a PodDefault are atomic: its definition gives them no keys
    for name in sorted({*there, *wanted}):
        below = (*path, name)
        one, other = there.get(name), wanted.get(name)
        if name not in there:
            yield Field(".".join(below), "added")
        elif isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from _differences(one, other, below, live, posted)
        elif name in wanted:
            if one != other:
                yield Field(".".join(below), "changed")
        elif _goes(live, below, posted):
            yield Field(".".join(below), "removed")


def _goes(live: Mapping[str, Any], path: tuple[str, ...], posted: bool) -> bool:
    """Say whether a field of ours goes where it is left out.

    Server-side apply removes what an earlier apply brought and nobody else owns; what is deleted
    and created anew loses all.
    """
    owners = set()
    for entry in (live.get("metadata") or {}).get("managedFields") or ():
        tree = entry.get("fieldsV1") or {}
        for name in path:
            tree = tree.get(f"f:{name}")
            if tree is None:
                break
        else:
            owners.add((entry.get("manager"), entry.get("operation")))
    if posted:
        return any(manager == FIELD_MANAGER for manager, _ in owners)
    return owners == {(FIELD_MANAGER, "Apply")}
