"""Notebooks that are there already: whether a grant reached them, and what to restart.

The label that chooses a PodDefault goes from the Notebook to its StatefulSet's template, and from
there to the pod; the notebook controller copies it once, when it makes the StatefulSet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kfsecrets_ext.poddefaults import stamp
from kfsecrets_ext.poddefaults.selectors import Unreadable, selector

from .delivery import gives, lacks, refreshes, secret_keys
from .result import Check, State

__all__ = ["NOTEBOOK_LABEL", "Notebook", "changed", "notebooks", "reached"]

NOTEBOOK_LABEL = "notebook-name"
"""On each pod of a Notebook."""

_STOPPED = "kubeflow-resource-stopped"


@dataclass(frozen=True)
class Notebook:
    """A Notebook, with what was made of it.

    Attributes
    ----------
    name : str
    custom, template, pod : mapping or None
        The Notebook itself, its StatefulSet, its pod.
    unread : str
        Which of the latter two may not be read; empty where both may.
    """

    name: str
    custom: Mapping[str, Any] | None = field(default=None, repr=False)
    template: Mapping[str, Any] | None = field(default=None, repr=False)
    pod: Mapping[str, Any] | None = field(default=None, repr=False)
    unread: str = ""


def notebooks(
    customs: list[Mapping[str, Any]] | None,
    sets: list[Mapping[str, Any]] | None,
    pods: list[Mapping[str, Any]] | None,
) -> list[Notebook]:
    """Bring together what belongs to one Notebook.

    Parameters
    ----------
    customs, sets, pods : list of mapping, or None
        Of one namespace; ``None`` where they may not be read.
    """
    by_name = {_name(one): one for one in customs or ()}
    by_set = {_name(one): one for one in sets or ()}
    by_pod: dict[str, Mapping[str, Any]] = {}
    for pod in pods or ():
        label = _labels(pod).get(NOTEBOOK_LABEL)
        if label and not _metadata(pod).get("deletionTimestamp"):
            by_pod[str(label)] = pod
    names = set(by_name) | set(by_pod)
    unread = "StatefulSet" if sets is None else "pod" if pods is None else ""
    return [
        Notebook(name, by_name.get(name), by_set.get(name), by_pod.get(name), unread)
        for name in sorted(names)
    ]


def reached(
    notebook: Notebook,
    poddefault: Mapping[str, Any],
    *,
    tenant: str,
    changes: Mapping[str, datetime],
) -> Iterator[Check]:
    """Say whether a PodDefault reached a notebook that chose it.

    Parameters
    ----------
    notebook : Notebook
    poddefault : Mapping
        As stored.
    tenant : str
    changes : mapping of str to datetime
        Up to when the Secrets' values may have changed: see `changed`.

    Yields
    ------
    Check
        Nothing where the notebook did not choose it.
    """
    spec = _mapping(poddefault.get("spec"))
    name = _name(poddefault)

    def check(state: State, what: str, fix: str | None = None) -> Check:
        return Check("notebook", state, what, fix, tenant, name, notebook.name)

    try:
        wants = selector(spec.get("selector"))
    except Unreadable:
        return
    if wants.matches({}):
        return
    in_custom = _chosen(wants, notebook.custom, _pod_labels)
    in_template = _chosen(wants, notebook.template, _template_labels)
    in_pod = _chosen(wants, notebook.pod, _labels)
    recreate = f"kubectl delete statefulset {notebook.name} -n {tenant}"
    if in_custom and in_template is False:
        yield check(
            "failed",
            "it chose this after it was made, and the notebook controller never brings a new "
            "label of a Notebook to its pods, not with a restart either",
            f"{recreate}  # made anew with the label; the notebook restarts, its volume stays",
        )
        return
    if in_custom is False and (in_template or in_pod):
        yield check(
            "failed",
            "its label was taken away, and its pods still get this: the notebook controller does "
            "not take a label away either",
            f"{recreate}  # made anew without the label; the notebook restarts, its volume stays",
        )
        return
    if notebook.pod is None:
        if in_custom:
            stopped = _STOPPED in _mapping(_metadata(notebook.custom).get("annotations"))
            if notebook.unread and not (stopped and in_template):
                yield check("unknown", f"it chose this, and its {notebook.unread} may not be read")
                return
            why = "it is stopped" if stopped else "it has no pod now"
            yield check("ok", f"{why}; its next pod gets this")
        return
    if not in_pod:
        if in_template:
            yield check(
                "failed",
                "its pod is older than the label on its StatefulSet",
                _restart(notebook.pod, tenant),
            )
        elif in_custom:
            yield check(
                "unknown",
                "its pod does not have the label, and its StatefulSet may not be read: whether a "
                "restart is enough is not known",
                _restart(notebook.pod, tenant),
            )
        return
    yield _pod(notebook, poddefault, check, changes, tenant)


def changed(secret: Mapping[str, Any]) -> datetime | None:
    """Tell up to when the values of a Secret may have changed, as far as its managers say.

    The time of a manager that wrote values moves with its labels, too: values are older, or as old.

    Parameters
    ----------
    secret : Mapping
        Its metadata is enough.
    """
    times = []
    for entry in _metadata(secret).get("managedFields") or ():
        fields = _mapping(entry.get("fieldsV1"))
        if "f:data" in fields:
            times.append(_time(entry.get("time")))
    known = [time for time in times if time is not None]
    return max(known) if known else _time(_metadata(secret).get("creationTimestamp"))


def _pod(
    notebook: Notebook,
    poddefault: Mapping[str, Any],
    check: Callable[[State, str, str | None], Check],
    changes: Mapping[str, datetime],
    tenant: str,
) -> Check:
    pod = notebook.pod or {}
    spec = _mapping(poddefault.get("spec"))
    restart = _restart(pod, tenant)
    there = _mapping(_metadata(pod).get("annotations")).get(stamp(_name(poddefault)))
    missing = list(lacks(pod, gives(spec), _own_containers(notebook)))
    if there is None:
        return check(
            "failed",
            "its pod was made before this PodDefault, or while the webhook did not see it",
            restart,
        )
    version = _metadata(poddefault).get("resourceVersion")
    if missing:
        named = ", ".join(dict.fromkeys(one.on for one in missing))
        since = "" if there == version else ": this PodDefault changed since its pod was made"
        return check("failed", f"its pod lacks {named}{since}", restart)
    started = _started(pod)
    for secret in secret_keys(spec):
        change = changes.get(secret)
        if change is None or started is None or refreshes(spec, secret):
            continue
        if change > started:
            return check(
                "unknown",
                f"its pod may have an old value: Secret {secret} was written since it started, "
                "and variables and parts of a volume (subPath) do not follow",
                restart,
            )
    if there != version:
        return check("ok", "its pod has what it gives, of an older form of this PodDefault", None)
    return check("ok", "its pod has it", None)


def _restart(pod: Mapping[str, Any], tenant: str) -> str:
    return f"kubectl delete pod {_name(pod)} -n {tenant}  # the notebook restarts"


def _own_containers(notebook: Notebook) -> list[str]:
    """Name the containers that the Notebook itself asks for: others may come after the webhook."""
    template = _mapping(_mapping(_mapping(notebook.custom).get("spec")).get("template"))
    asked = _containers(template)
    if asked:
        return asked
    # the launcher names it as the Notebook; istio can put its own before it
    there = _containers(_mapping(notebook.pod))
    return [notebook.name] if notebook.name in there else there[:1]


def _containers(of: Mapping[str, Any]) -> list[str]:
    return [str(one.get("name")) for one in _mapping(of.get("spec")).get("containers") or ()]


def _chosen(wants: Any, of: Mapping[str, Any] | None, labels: Any) -> bool | None:
    return None if of is None else bool(wants.matches(labels(of)))


def _pod_labels(custom: Mapping[str, Any]) -> Mapping[str, Any]:
    # notebook-controller, generateStatefulSet
    name = _name(custom)
    return {**_labels(custom), "statefulset": name, NOTEBOOK_LABEL: name}


def _template_labels(of: Mapping[str, Any]) -> Mapping[str, Any]:
    return _labels(_mapping(_mapping(of.get("spec")).get("template")))


def _started(pod: Mapping[str, Any]) -> datetime | None:
    status = _mapping(pod.get("status"))
    return _time(status.get("startTime")) or _time(_metadata(pod).get("creationTimestamp"))


def _time(text: Any) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None


def _name(of: Mapping[str, Any]) -> str:
    return str(_metadata(of).get("name") or "")


def _labels(of: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(_metadata(of).get("labels"))


def _metadata(of: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return _mapping(_mapping(of).get("metadata"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
