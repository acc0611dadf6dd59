"""One thing that was looked at: whether it is as it should be, and what mends it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from kfsecrets_ext.errors import ClusterError

__all__ = ["STATES", "Check", "Result", "State", "read", "sentence", "worst"]

State = Literal["ok", "failed", "unknown"]

STATES: Final[tuple[State, ...]] = ("failed", "unknown", "ok")
"""The worst first."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    subject : str
        What, in a word that stays the same: ``"namespace"``, ``"secret"``, ``"mount"`` …
    state : str
        ``"ok"``, ``"failed"``, or ``"unknown"``: it could not be found out, and who refused.
    what : str
        What was found. Never a value.
    fix : str or None
        What mends it: a command where one does.
    tenant, grant : str or None
        Whose it is.
    on : str
        The name of what it is about; empty where there is none.
    """

    subject: str
    state: State
    what: str
    fix: str | None = None
    tenant: str | None = None
    grant: str | None = None
    on: str = ""

    def to_json(self) -> dict[str, Any]:
        """Give it as a JSON object."""
        return {
            "tenant": self.tenant,
            "grant": self.grant,
            "subject": self.subject,
            "on": self.on,
            "state": self.state,
            "what": self.what,
            "fix": self.fix,
        }


@dataclass(frozen=True)
class Result:
    """All that was looked at, in the order in which it was.

    Attributes
    ----------
    checks : tuple of Check
    server : str
        Which cluster was asked.
    context : str or None
        Of the kubeconfig.
    who : str
        Who asked.
    """

    checks: tuple[Check, ...]
    server: str = ""
    context: str | None = None
    who: str = ""

    @property
    def state(self) -> State:
        """The worst of all."""
        return worst(self.checks)

    @property
    def counts(self) -> dict[State, int]:
        """How many there are of each state."""
        counted = Counter(check.state for check in self.checks)
        return {state: counted[state] for state in STATES}

    @property
    def failed(self) -> tuple[Check, ...]:
        """What is not as it should be."""
        return tuple(check for check in self.checks if check.state == "failed")

    @property
    def unknown(self) -> tuple[Check, ...]:
        """What could not be found out."""
        return tuple(check for check in self.checks if check.state == "unknown")

    def __iter__(self) -> Iterator[Check]:
        return iter(self.checks)

    def __len__(self) -> int:
        return len(self.checks)

    def to_json(self) -> dict[str, Any]:
        """Give it as a JSON object."""
        return {
            "server": self.server,
            "context": self.context,
            "who": self.who,
            "state": self.state,
            "counts": dict(self.counts),
            "checks": [check.to_json() for check in self.checks],
        }


def worst(checks: Iterable[Check]) -> State:
    """Give the worst state of several checks."""
    there = {check.state for check in checks}
    return next((state for state in STATES if state in there), "ok")


Found = TypeVar("Found")


def read(ask: Callable[[], Found]) -> tuple[Found | None, str | None]:
    """Ask a cluster, and give the reason where there is no answer."""
    try:
        return ask(), None
    except ClusterError as error:
        # a kind that the cluster does not have has no objects
        return None, None if error.reason == "NotFound" else sentence(error)


def sentence(error: ClusterError) -> str:
    """Give what an error says as a part of a sentence."""
    return str(error).rstrip(".")
