"""What whoever asks may do in a tenant: some may create and delete PodDefaults, not patch them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from kfsecrets_ext.cluster import PODDEFAULT, SECRET, Cluster, Kind

from .parallel import in_order

__all__ = ["Rights", "rights"]

_KINDS = (SECRET, PODDEFAULT)
_VERBS = ("patch", "create", "delete")
_QUESTIONS = tuple((kind, verb) for kind in _KINDS for verb in _VERBS)

Place = TypeVar("Place", bound="str | None")


@dataclass(frozen=True, slots=True)
class Rights:
    """What may be done with the objects of one kind.

    Attributes
    ----------
    patch, create, delete : bool
        Yes where it cannot be known: whoever tries is told.
    """

    patch: bool = True
    create: bool = True
    delete: bool = True

    @property
    def by_post(self) -> bool:
        """Whether a new one is created and an old one replaced, since none may be patched."""
        return self.create and not self.patch

    def missing(self, action: str) -> str | None:
        """Give the verb that an action lacks."""
        needed: dict[str, tuple[str, ...]] = {
            "create": ("create",) if self.by_post else ("create", "patch"),
            "unknown": ("create", "patch"),
            "change": ("create", "delete") if self.by_post else ("patch",),
            "recreate": ("delete", "create"),
            "delete": ("delete",),
        }
        return next((verb for verb in needed.get(action, ()) if not getattr(self, verb)), None)


def rights(cluster: Cluster, namespaces: Iterable[str]) -> dict[str, dict[Kind, Rights]]:
    """Ask what may be done with Secrets and PodDefaults.

    Parameters
    ----------
    cluster : Cluster
    namespaces : iterable of str

    Returns
    -------
    dict
        By namespace and kind. What may be done everywhere is asked about once.
    """
    names = list(namespaces)
    if len(names) == 1:
        return _asked(cluster, names, _QUESTIONS)
    everywhere = _asked(cluster, [None], _QUESTIONS)[None]
    denied = [(kind, verb) for kind, verb in _QUESTIONS if not getattr(everywhere[kind], verb)]
    if not denied:
        return dict.fromkeys(names, everywhere)
    return _asked(cluster, names, denied)


def _asked(
    cluster: Cluster, namespaces: Sequence[Place], questions: Sequence[tuple[Kind, str]]
) -> dict[Place, dict[Kind, Rights]]:
    """Ask for each namespace; all questions are under way at once, as far as may be."""

    def ask(question: tuple[Place, Kind, str]) -> bool:
        namespace, kind, verb = question
        return cluster.allowed(verb, kind, namespace=namespace) is not False

    each = ((namespace, kind, verb) for namespace in namespaces for kind, verb in questions)
    answers = in_order(ask, each, workers=cluster.workers)
    found: dict[Place, dict[Kind, Rights]] = {}
    for namespace in namespaces:
        said = {question: next(answers) for question in questions}
        found[namespace] = {
            kind: Rights(**{verb: said.get((kind, verb), True) for verb in _VERBS})
            for kind in _KINDS
        }
    return found
