"""The PodDefaults of one namespace, read once for all checks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .choice import Choice, choice
from .findings import CODES, Finding
from .schema import struct
from .selectors import Unreadable, selector

__all__ = ["Subject", "Survey", "canonical", "named"]


class Subject:
    """One PodDefault.

    Attributes
    ----------
    name : str
    given : Mapping
        As given.
    spec : dict
        Its spec as Go holds it: unknown fields are gone.
    fault : str or None
        Why its selector cannot be read.
    choice : Mapping or None
        What its selector asks of the labels; None where no pod can be so.
    asks_for : frozenset of str
        The labels that its selector names.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        metadata = given.get("metadata")
        self.given = given
        self.metadata: Mapping[str, Any] = metadata if isinstance(metadata, Mapping) else {}
        self.name = str(self.metadata.get("name") or "")
        raw = given.get("spec")
        self.raw_spec: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
        self.spec = struct("PodDefaultSpec", self.raw_spec)
        self.fault: str | None = None
        self.choice: Choice | None = None
        self.asks_for: frozenset[str] = frozenset()
        try:
            self.selector = selector(self.raw_spec.get("selector"))
        except Unreadable as error:
            self.fault = error.fault
        else:
            self.choice = choice(self.selector)
            self.asks_for = frozenset(one.key for one in self.selector.requirements)

    def entries(self, field: str) -> Sequence[Mapping[str, Any]]:
        """Give the entries of a list field."""
        listed: Sequence[Mapping[str, Any]] = self.spec.get(field) or ()
        return listed

    def texts(self, field: str) -> Mapping[str, str]:
        """Give a map field."""
        pairs: Mapping[str, str] = self.spec.get(field) or {}
        return pairs

    @cached_property
    def match_labels(self) -> Mapping[str, Any]:
        """The ``matchLabels`` of its selector."""
        labels = (self.spec.get("selector") or {}).get("matchLabels")
        return labels if isinstance(labels, dict) else {}

    @property
    def launcher_label(self) -> str | None:
        """The label that the launcher sets for it.

        Jupyter web app: the first key of matchLabels, which the API server writes sorted.
        """
        return min(map(str, self.match_labels), default=None)

    @property
    def description(self) -> str:
        """What the launcher shows: its desc, else its name."""
        return str(self.spec.get("desc") or self.name)

    @property
    def changes_containers(self) -> bool:
        """Whether it changes the containers that are there already."""
        return any(self.spec.get(f) for f in ("env", "envFrom", "volumeMounts", "command", "args"))


@dataclass(frozen=True)
class Survey:
    """All PodDefaults of one namespace.

    Parameters
    ----------
    subjects : tuple of Subject
        Sorted by name.
    namespace : str or None
        Its name, where it is known.
    secrets : Mapping or None
        Names of the Secrets that are there, with the names of their keys; None: not known.
    """

    subjects: tuple[Subject, ...]
    namespace: str | None = None
    secrets: Mapping[str, frozenset[str]] | None = None

    @cached_property
    def selectable(self) -> tuple[tuple[Subject, Choice], ...]:
        """The PodDefaults that some labels select, with what they ask for."""
        return tuple((s, s.choice) for s in self.subjects if s.choice is not None)

    def finding(  # noqa: PLR0917
        self, code: str, what: str, whom: str, fix: str, subjects: Iterable[Subject], on: str = ""
    ) -> Finding:
        """Make a finding of this namespace."""
        names = tuple(sorted({subject.name for subject in subjects}))
        return Finding(code, CODES[code], what, whom, fix, names, on, self.namespace)


def canonical(value: Any) -> str:
    """Give one text for equal structs, and different ones for others."""
    return json.dumps(value, sort_keys=True, default=repr)


def named(subjects: Iterable[Subject], limit: int = 3) -> str:
    """Name a few PodDefaults, and how many more there are."""
    names = sorted({subject.name for subject in subjects})
    if len(names) > limit + 1:
        return f"{', '.join(names[:limit])} and {len(names) - limit} more"
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
