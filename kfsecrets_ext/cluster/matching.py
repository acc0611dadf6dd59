"""Label and field selectors, as kubectl takes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from kfsecrets_ext.errors import Rejected
from kfsecrets_ext.poddefaults.selectors import Requirement

from .kinds import Kind

__all__ = ["matcher"]

Match = Callable[[Mapping[str, Any]], bool]


def matcher(kind: Kind, labels: str | None, fields: str | None) -> Match:
    """Return a function that says whether an object is chosen.

    Parameters
    ----------
    kind : Kind
    labels : str or None
        Such as ``a=b,c!=d,e in (f,g),h notin (i),j,!k``.
    fields : str or None
        Such as ``metadata.name=a``.

    Raises
    ------
    Rejected
        One of them cannot be read.
    """
    requirements = _requirements(labels or "")
    comparisons = _comparisons(kind, fields or "")

    def matches(obj: Mapping[str, Any]) -> bool:
        held = (obj.get("metadata") or {}).get("labels") or {}
        return all(one.matches(held) for one in requirements) and all(
            (_text(obj, path) == value) is equal for path, equal, value in comparisons
        )

    return matches


_TERM = re.compile(
    r"\s*(?:(?P<key>[^\s,=!()]+)\s+(?P<set>in|notin)\s*\((?P<values>[^()]*)\)"
    r"|(?P<left>[^\s,=!()]+)\s*(?P<operator>==|=|!=)\s*(?P<right>[^\s,=!()]*)"
    r"|(?P<not>!?)\s*(?P<there>[^\s,=!()]+))\s*(?:,|$)"
)
_TERM_FIELD = re.compile(r"\s*([^\s,=!]+?)\s*(==|=|!=)\s*([^,=!]*?)\s*(?:,|$)")
# kube-apiserver: what a field selector knows besides these is refused
_FIELDS = {
    "Secret": ("type",),
    "Pod": ("spec.nodeName", "spec.restartPolicy", "status.phase"),
    "Namespace": ("status.phase",),
}


def _requirements(text: str) -> list[Requirement]:
    found, place = [], 0
    while text[place:].strip():
        term = _TERM.match(text, place)
        if term is None:
            raise Rejected(f"{text!r} is no label selector.", reason="BadRequest")
        place = term.end()
        if term["key"]:
            values = frozenset(value.strip() for value in term["values"].split(","))
            found.append(Requirement(term["key"], "In" if term["set"] == "in" else "NotIn", values))
        elif term["left"]:
            operator = "NotIn" if term["operator"] == "!=" else "In"
            found.append(Requirement(term["left"], operator, frozenset({term["right"]})))
        else:
            found.append(Requirement(term["there"], "DoesNotExist" if term["not"] else "Exists"))
    return found


def _comparisons(kind: Kind, text: str) -> list[tuple[str, bool, str]]:
    known = ("metadata.name", *_FIELDS.get(kind.kind, ()))
    if kind.namespaced:
        known = ("metadata.namespace", *known)
    found, place = [], 0
    while text[place:].strip():
        term = _TERM_FIELD.match(text, place)
        if term is None or term[1] not in known:
            raise Rejected(
                f"{text!r} is no field selector of {kind.kind} objects, which have "
                f"{', '.join(known)}.",
                reason="BadRequest",
            )
        place = term.end()
        found.append((term[1], term[2] != "!=", term[3]))
    return found


def _text(obj: Any, path: str) -> str:
    for name in path.split("."):
        obj = obj.get(name) if isinstance(obj, Mapping) else None
    return "" if obj is None else str(obj)
