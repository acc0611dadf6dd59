"""What is wrong with the PodDefaults of a namespace, to whom it happens, and the fix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .contents import contents
from .findings import CODES, Finding
from .reach import namespace_label, reach
from .refused import refused
from .survey import Subject, Survey

__all__ = ["lint"]


def lint(
    poddefaults: Iterable[Mapping[str, Any]],
    *,
    namespace: Mapping[str, Any] | str | None = None,
    secrets: Mapping[str, Iterable[str]] | None = None,
) -> list[Finding]:
    """Check PodDefaults, each and all together.

    There is an error exactly where some choice of labels gets a pod refused.

    Parameters
    ----------
    poddefaults : iterable of Mapping
        PodDefaults, as stored or from a file, in any order.
    namespace : Mapping or str, optional
        The Namespace object, or its name: only its PodDefaults count then, and those that name
        no namespace. Without it the PodDefaults of each namespace are checked apart.
    secrets : Mapping, optional
        Names of the Secrets of the namespace with the names of their keys, where they are known.

    Returns
    -------
    list of Finding
        Errors first; one for each name that clashes, not for each pair.
    """
    groups: dict[str | None, dict[tuple[str, int], Mapping[str, Any]]] = {}
    wanted = _wanted(namespace)
    found: list[Finding] = []
    twice: dict[str | None, set[str]] = {}
    for given in poddefaults:
        metadata = given.get("metadata")
        metadata = metadata if isinstance(metadata, Mapping) else {}
        home = metadata.get("namespace") or wanted
        if wanted is not None and home != wanted:
            continue
        group = groups.setdefault(home, {})
        name = str(metadata.get("name") or "")
        # a file may have one twice: the later one is what the API server keeps
        key = (name, 0 if name else len(group))
        if key in group:
            twice.setdefault(home, set()).add(name)
        group[key] = given
    held = None if secrets is None else {name: frozenset(keys) for name, keys in secrets.items()}
    for home, group in groups.items():
        ordered = sorted(group.items(), key=lambda pair: pair[0])
        survey = Survey(tuple(Subject(given) for _, given in ordered), home, held)
        repeated = twice.get(home, set())
        found.extend(
            survey.finding(
                "name-twice",
                f"{subject.name} is there more than once; the last one counts, here and on the "
                "API server",
                "who looks for what the first one gave",
                "Remove one, or rename it.",
                (subject,),
                subject.name,
            )
            for subject in survey.subjects
            if subject.name in repeated
        )
        if isinstance(namespace, Mapping):
            found.extend(namespace_label(survey, namespace))
        found.extend(refused(survey))
        found.extend(reach(survey))
        found.extend(contents(survey))
    found.sort(key=_order)
    return found


_SEVERITIES = {"error": 0, "warning": 1, "note": 2}
_RANK = {code: rank for rank, code in enumerate(CODES)}


def _order(finding: Finding) -> tuple[int, str, int, str, tuple[str, ...]]:
    return (
        _SEVERITIES[finding.severity],
        finding.namespace or "",
        _RANK[finding.code],
        finding.on,
        finding.subjects,
    )


def _wanted(namespace: Mapping[str, Any] | str | None) -> str | None:
    if namespace is None or isinstance(namespace, str):
        return namespace
    metadata = namespace.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    return str(name) if name else None
