"""What becomes of each object: a plan, with names of keys and fields and never a value."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from kfsecrets_ext.cluster import SECRET, Kind
from kfsecrets_ext.poddefaults import Finding

from .compare import Field
from .tenants import Tenant
from .wanted import Book

__all__ = ["Action", "Change", "Plan", "keep_needed", "kind_name", "not_listed"]

Action = Literal[
    "create",
    "change",
    "recreate",
    "unchanged",
    "foreign",
    "forbidden",
    "delete",
    "keep",
    "unknown",
    "invalid",
]

_WRITES = frozenset({"create", "change", "recreate", "delete", "unknown"})


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one object.

    Attributes
    ----------
    tenant : str
        The namespace.
    kind : str
        ``"Secret"`` or ``"PodDefault"``.
    name : str
        ``"*"`` for what may not be listed, and would have to be, to prune.
    action : str
        ``"create"``, ``"change"``, ``"unchanged"``, ``"delete"``; ``"recreate"``: it is deleted
        and created; ``"foreign"``: it is not ours and stays as it is; ``"forbidden"``: whoever
        asks may not, or may not see whether there is one; ``"keep"``: it is no longer granted and
        stays, the note says why; ``"unknown"``: it may not be read, and is created where there is
        none; ``"invalid"``: the grant cannot be written for this tenant.
    fields : tuple of Field
        What differs.
    findings : tuple of Finding
        Lint and the admission forecast, of a PodDefault; of a Secret, that kubectl keeps a copy of
        the values, and what programs that read it would not take.
    note : str
        A sentence, or nothing.
    grant : str
        The grant's name.
    resource_version : str or None
        What was seen; the write holds to it.
    """

    tenant: str
    kind: Literal["Secret", "PodDefault"]
    name: str
    action: Action
    fields: tuple[Field, ...] = ()
    findings: tuple[Finding, ...] = ()
    note: str = ""
    grant: str = ""
    resource_version: str | None = field(default=None, repr=False)
    by_post: bool = field(default=False, repr=False)
    strips: bool = field(default=False, repr=False)

    @property
    def writes(self) -> bool:
        """Whether an apply sends anything."""
        return self.action in _WRITES

    def to_json(self) -> dict[str, Any]:
        """Give ``tenant``, ``kind``, ``name``, ``action``, ``grant``, ``fields``, ``note``."""
        return {
            "tenant": self.tenant,
            "kind": self.kind,
            "name": self.name,
            "action": self.action,
            "grant": self.grant,
            "fields": [one.to_json() for one in self.fields],
            "findings": [{**one.to_json(), "namespace": self.tenant} for one in self.findings],
            "note": self.note,
        }


def kind_name(kind: Kind) -> Literal["Secret", "PodDefault"]:
    """Name the kind as a change does."""
    return "Secret" if kind == SECRET else "PodDefault"


def not_listed(who: str, kind: Kind, consequence: str) -> str:
    """Say that what is there may not be seen, and what follows."""
    return f"{who} may not list {kind_name(kind)}s here: {consequence}."


def keep_needed(changes: Iterable[Change], *, readable: bool) -> Iterator[Change]:
    """Keep the Secrets that PodDefaults go on asking for: notebooks would wait for them.

    Parameters
    ----------
    changes : iterable of Change
        What goes of one tenant, the PodDefaults first.
    readable : bool
        Whether its PodDefaults may be listed.
    """
    needed = set()
    for one in changes:
        note = ""
        if one.kind == "PodDefault":
            if one.action == "forbidden":
                needed.add(one.grant)
        elif one.grant in needed:
            note = "its PodDefault may not be deleted."
        elif not readable:
            note = "whether it is still asked for is not known: PodDefaults may not be read here."
        blocked = bool(note) and one.action == "delete"
        yield replace(one, action="forbidden", note=note) if blocked else one


@dataclass(frozen=True)
class Plan:
    """What an apply would do; iterating gives a `Change` for each object.

    Attributes
    ----------
    changes : tuple of Change
        By tenant; for each in the order in which they are written.
    tenants : tuple of Tenant
    home, server, who : str
    context : str or None
        Which cluster, and who asks.
    adopt : bool
        Whether foreign objects and fields are taken over.
    other_findings : mapping
        By tenant: about PodDefaults of others, which stop pods from starting.
    id : str
        Of this plan; a report names it.
    """

    changes: tuple[Change, ...]
    tenants: tuple[Tenant, ...]
    home: str
    server: str
    context: str | None
    who: str
    adopt: bool = False
    other_findings: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict, repr=False)
    id: str = field(default_factory=lambda: uuid.uuid4().hex, repr=False)
    book: Book | None = field(default=None, repr=False, compare=False)

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)

    def __len__(self) -> int:
        return len(self.changes)

    def __repr__(self) -> str:
        counts = ", ".join(f"{number} {action}" for action, number in self.counts.items())
        return f"Plan({counts or 'nothing'}; {len(self.tenants)} tenants of {self.server})"

    @property
    def counts(self) -> dict[str, int]:
        """How many objects by action."""
        return dict(sorted(Counter(one.action for one in self.changes).items()))

    @property
    def pending(self) -> int:
        """How many objects an apply would write."""
        return sum(one.writes for one in self.changes)

    @property
    def findings(self) -> Iterator[tuple[str, Finding]]:
        """Lint and the admission forecast, with the tenants; each once for a tenant."""
        said: set[tuple[str, int]] = set()
        for one in self.changes:
            for finding in one.findings:
                if (one.tenant, id(finding)) not in said:
                    said.add((one.tenant, id(finding)))
                    yield one.tenant, finding
        for tenant, findings in self.other_findings.items():
            for finding in findings:
                yield tenant, finding

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What of it stops notebooks from starting; `apply` writes nothing of such a plan."""
        written = (finding for one in self.changes if one.writes for finding in one.findings)
        return tuple(dict.fromkeys(one for one in written if one.severity == "error"))

    def only(self, names: Collection[str]) -> Plan:
        """Give the part of some tenants."""
        names = frozenset(names)
        return replace(
            self,
            changes=tuple(one for one in self.changes if one.tenant in names),
            tenants=tuple(one for one in self.tenants if one.name in names),
            other_findings={
                name: found for name, found in self.other_findings.items() if name in names
            },
            id=uuid.uuid4().hex,
        )

    def to_json(self) -> dict[str, Any]:
        """Give the plan as a JSON object.

        Returns
        -------
        dict
            ``version`` (1), ``home``, ``server``, ``context``, ``who``, ``adopt``, ``counts`` by
            action, ``tenants`` (`Tenant.to_json`), ``changes`` (`Change.to_json`) and
            ``findings``: those of PodDefaults of others, as of a change.
        """
        return {
            "version": 1,
            "home": self.home,
            "server": self.server,
            "context": self.context,
            "who": self.who,
            "adopt": self.adopt,
            "counts": self.counts,
            "tenants": [one.to_json() for one in self.tenants],
            "changes": [one.to_json() for one in self.changes],
            "findings": [
                {**one.to_json(), "namespace": tenant}
                for tenant, findings in self.other_findings.items()
                for one in findings
            ],
        }
