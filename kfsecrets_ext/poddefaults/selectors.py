"""Label selectors as the platform reads them: which labels match, which cannot be read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "Requirement",
    "Selector",
    "Unreadable",
    "label_key_fault",
    "label_value_fault",
    "selector",
]


class Unreadable(ValueError):
    """A selector that the platform cannot read: one is enough to deny every pod.

    Parameters
    ----------
    fault : str
        What is wrong with it.
    """

    def __init__(self, fault: str) -> None:
        super().__init__(fault)
        self.fault = fault


@dataclass(frozen=True)
class Requirement:
    """What a selector asks of one label.

    Parameters
    ----------
    key : str
        The label.
    operator : str
        ``"In"``, ``"NotIn"``, ``"Exists"`` or ``"DoesNotExist"``.
    values : frozenset of str
        Values of the first two.
    """

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, Any]) -> bool:
        """Say whether these labels are as asked."""
        # apimachinery: Requirement.Matches; NotIn holds where the label is absent
        if self.operator == "In":
            return self.key in labels and (labels[self.key] or "") in self.values
        if self.operator == "NotIn":
            return self.key not in labels or (labels[self.key] or "") not in self.values
        return (self.key in labels) == (self.operator == "Exists")


@dataclass(frozen=True)
class Selector:
    """A label selector: all of its requirements, every pod where there are none."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, Any]) -> bool:
        """Say whether a pod with these labels is chosen."""
        return all(requirement.matches(labels) for requirement in self.requirements)


def selector(value: Any) -> Selector:
    """Read ``spec.selector``.

    Parameters
    ----------
    value : Any
        The mapping as stored.

    Raises
    ------
    Unreadable
        Where the platform refuses it.
    """
    # apimachinery: LabelSelectorAsSelector, then NewRequirement for each part
    if not isinstance(value, Mapping):
        return Selector()
    requirements = []
    labels = value.get("matchLabels")
    for key, wanted in labels.items() if isinstance(labels, Mapping) else ():
        requirements.append(_requirement(key, "In", (wanted or "",)))
    expressions = value.get("matchExpressions")
    for expression in expressions if isinstance(expressions, (list, tuple)) else ():
        if not isinstance(expression, Mapping):
            raise Unreadable("an entry of matchExpressions is no mapping")
        values = expression.get("values")
        requirements.append(
            _requirement(
                expression.get("key") or "",
                expression.get("operator") or "",
                tuple(values) if isinstance(values, (list, tuple)) else (),
            )
        )
    return Selector(tuple(requirements))


def label_key_fault(key: object) -> str | None:
    """Say what is wrong with the key of a label or an annotation; None where it is a good one."""
    # apimachinery, IsQualifiedName
    if not isinstance(key, str):
        return "must be a text: write it in quotes"
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        return "must be a name with at most one prefix and one '/'"
    if slash and not prefix:
        return "the prefix must not be empty"
    if len(prefix) > 253 or (prefix and not _SUBDOMAIN.fullmatch(prefix)):
        return "the prefix must be a DNS subdomain"
    if not name:
        return "the name part must not be empty"
    if len(name.encode()) > 63:
        return "the name part must be no more than 63 bytes"
    if not _NAME.fullmatch(name):
        return "the name part must be of letters, digits, '-', '_', '.', and begin and end well"
    return None


def label_value_fault(value: object) -> str | None:
    """Say what is wrong with the value of a label; None where it is a good one."""
    # apimachinery, IsValidLabelValue
    if not isinstance(value, str):
        return "must be a text: write it in quotes"
    if len(value.encode()) > 63:
        return "must be no more than 63 bytes"
    if value and not _NAME.fullmatch(value):
        return "must be of letters, digits, '-', '_', '.', and begin and end with a letter or digit"
    return None


def _requirement(key: Any, operator: Any, values: tuple[Any, ...]) -> Requirement:
    if operator in ("In", "NotIn"):
        if not values:
            raise Unreadable(f"{operator} of {key!r} names no values")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            raise Unreadable(f"{operator} of {key!r} must not have values")
    else:
        raise Unreadable(f"{operator!r} is no operator: In, NotIn, Exists or DoesNotExist")
    fault = label_key_fault(key)
    if fault:
        raise Unreadable(f"label key {key!r}: {fault}")
    for value in values:
        fault = label_value_fault(value or "")
        if fault:
            raise Unreadable(f"value {value!r} of label {key!r}: {fault}")
    return Requirement(key, operator, frozenset(value or "" for value in values))


_NAME = re.compile(r"(?:[A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
