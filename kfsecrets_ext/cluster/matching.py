"""Label and field selectors, as kubectl takes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from kfsecrets_ext.errors import Rejected
from kfsecrets_ext.poddefaults.selectors import (
    Requirement,
    Unreadable,
    label_key_fault,
    label_value_fault,
)

from .kinds import Kind

__all__ = ["matcher", "requirements"]

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
    asked = _asked(labels or "")
    comparisons = _comparisons(kind, fields or "")

    def matches(obj: Mapping[str, Any]) -> bool:
        held = (obj.get("metadata") or {}).get("labels") or {}
        return all(one.matches(held) for one in asked) and all(
            (_text(obj, path) == value) is equal for path, equal, value in comparisons
        )

    return matches


def requirements(text: str) -> tuple[Requirement, ...]:
    """Read a label selector; none where it is empty.

    Parameters
    ----------
    text : str
        Without ``>`` and ``<``, which the API server knows and a ``LabelSelector`` does not.

    Raises
    ------
    Unreadable
    """
    # apimachinery, labels.Parse
    found: list[Requirement] = []
    place, ended = 0, True
    while text[place:].strip():
        term = _TERM.match(text, place)
        if term is None:
            raise Unreadable(_FORM)
        place, ended = term.end(), not term["more"]
        found.append(_checked(_requirement(term)))
    if not ended:
        raise Unreadable(_FORM)
    return tuple(found)


_FORM = "write it as kubectl takes it: a=b,c in (d)"
_TERM = re.compile(
    r"\s*(?:(?P<key>[^\s,=!()]+)\s+(?P<set>in|notin)\s*\((?P<values>[^()]*)\)"
    r"|(?P<left>[^\s,=!()]+)\s*(?P<operator>==|=|!=)\s*(?P<right>[^\s,=!()]*)"
    r"|(?P<not>!?)\s*(?P<there>[^\s,=!()]+))\s*(?:(?P<more>,)|$)"
)
_TERM_FIELD = re.compile(r"\s*([^\s,=!]+?)\s*(==|=|!=)\s*([^,=!]*?)\s*(?:,|$)")
# kube-apiserver: what a field selector knows besides these is refused
_FIELDS = {
    "Secret": ("type",),
    "Pod": ("spec.nodeName", "spec.restartPolicy", "status.phase"),
    "Namespace": ("status.phase",),
}


def _asked(labels: str) -> tuple[Requirement, ...]:
    try:
        return requirements(labels)
    except Unreadable as error:
        fault = error.fault
    raise Rejected(f"{labels!r} is no label selector: {fault}.", reason="BadRequest")


def _requirement(term: re.Match[str]) -> Requirement:
    if term["key"]:
        values = frozenset(value.strip() for value in term["values"].split(","))
        return Requirement(term["key"], "In" if term["set"] == "in" else "NotIn", values)
    if term["left"]:
        operator = "NotIn" if term["operator"] == "!=" else "In"
        return Requirement(term["left"], operator, frozenset({term["right"]}))
    return Requirement(term["there"], "DoesNotExist" if term["not"] else "Exists")


def _checked(asked: Requirement) -> Requirement:
    fault = label_key_fault(asked.key)
    if fault:
        raise Unreadable(f"{asked.key!r} cannot be a label: {fault}")
    for value in sorted(asked.values):
        fault = label_value_fault(value)
        if fault:
            raise Unreadable(f"{value!r} cannot be a label's value: {fault}")
    return asked


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
