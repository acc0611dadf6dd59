"""What a PodDefault gives a pod, and whether a pod has it: names, never values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .uses import used

__all__ = ["Gives", "Lacks", "gives", "lacks", "refreshes", "secret_keys"]

_Mount = tuple[str, str, str]


@dataclass(frozen=True)
class Gives:
    """What a PodDefault gives each container of a pod.

    Attributes
    ----------
    mounts : mapping of str to tuple of str
        Path → name of the volume, its part (``subPath``), and what is in it.
    variables : mapping of str to str
        Name → where from; empty for a literal.
    sources : tuple of str
        What ``envFrom`` names.
    pull_secrets : frozenset of str
        Secrets for images.
    """

    mounts: Mapping[str, _Mount]
    variables: Mapping[str, str]
    sources: tuple[str, ...]
    pull_secrets: frozenset[str]


@dataclass(frozen=True)
class Lacks:
    """One thing that a container should have and has not.

    Attributes
    ----------
    subject : str
        ``"mount"``, ``"variable"`` or ``"image pull secret"``.
    on : str
        The path or the name.
    container : str
        Empty where it is the pod's.
    other : bool
        Whether there is something else of that name.
    """

    subject: str
    on: str
    container: str
    other: bool = False


def gives(spec: Mapping[str, Any]) -> Gives:
    """Tell what a PodDefault's spec gives.

    Parameters
    ----------
    spec : Mapping

    Returns
    -------
    Gives
    """
    return Gives(
        _mounts(spec.get("volumeMounts"), _volumes(spec)),
        _variables(spec.get("env")),
        tuple(_sources(spec.get("envFrom"))),
        frozenset(str(one.get("name")) for one in _entries(spec.get("imagePullSecrets"))),
    )


def lacks(pod: Mapping[str, Any], wanted: Gives, containers: Iterable[str]) -> Iterator[Lacks]:
    """Tell what of it a pod has not.

    Parameters
    ----------
    pod : Mapping
        As admission made it.
    wanted : Gives
    containers : iterable of str
        Names of the containers that should have it: those that were there before.

    Yields
    ------
    Lacks
    """
    spec = _mapping(pod.get("spec"))
    volumes = _volumes(spec)
    among = set(containers)
    for container in _entries(spec.get("containers")):
        name = str(container.get("name"))
        if name not in among:
            continue
        mounts = _mounts(container.get("volumeMounts"), volumes)
        for path, mount in wanted.mounts.items():
            if mounts.get(path) != mount:
                yield Lacks("mount", path, name, path in mounts)
        variables = _variables(container.get("env"))
        for variable, source in wanted.variables.items():
            if variables.get(variable) != source:
                yield Lacks("variable", variable, name, variable in variables)
        there = set(_sources(container.get("envFrom")))
        for source in wanted.sources:
            if source not in there:
                yield Lacks("variable", source, name)
    held = {str(one.get("name")) for one in _entries(spec.get("imagePullSecrets"))}
    for secret in sorted(wanted.pull_secrets - held):
        yield Lacks("image pull secret", secret, "")


def secret_keys(spec: Mapping[str, Any]) -> dict[str, tuple[set[str], bool]]:
    """Tell which Secrets a PodDefault takes from.

    Parameters
    ----------
    spec : Mapping

    Returns
    -------
    dict
        Name of the Secret → the keys that are named, and whether a pod starts without it.
    """
    found: dict[str, tuple[set[str], bool]] = {}

    def add(name: Any, keys: Iterable[str], optional: Any) -> None:
        if not isinstance(name, str) or not name:
            return
        known, starts = found.get(name, (set(), True))
        found[name] = (known | set(keys), starts and optional is True)

    for volume in _entries(spec.get("volumes")):
        secret = _mapping(volume.get("secret"))
        if secret:
            keys = [str(item.get("key")) for item in _entries(secret.get("items"))]
            add(secret.get("secretName"), keys, secret.get("optional"))
        for source in _entries(_mapping(volume.get("projected")).get("sources")):
            part = _mapping(source.get("secret"))
            keys = [str(item.get("key")) for item in _entries(part.get("items"))]
            add(part.get("name"), keys, part.get("optional"))
    for variable in _entries(spec.get("env")):
        of = _mapping(_mapping(variable.get("valueFrom")).get("secretKeyRef"))
        if of:
            add(of.get("name"), [str(of.get("key"))], of.get("optional"))
    for source in _entries(spec.get("envFrom")):
        of = _mapping(source.get("secretRef"))
        add(of.get("name"), (), of.get("optional"))
    return found


def refreshes(spec: Mapping[str, Any], secret: str) -> bool:
    """Say whether a running pod gets a new value of a Secret through a PodDefault.

    Variables and parts of a volume (``subPath``) stay as they were when the pod started.
    """
    given = {kind: list(_entries(spec.get(kind))) for kind in ("env", "envFrom", "volumeMounts")}
    pod = {"containers": [given], "volumes": list(_entries(spec.get("volumes")))}
    return all(how == "volume" for name, how in used(pod) if name == secret)


def _volumes(spec: Mapping[str, Any]) -> dict[str, str]:
    return {str(one.get("name")): _content(one) for one in _entries(spec.get("volumes"))}


def _content(volume: Mapping[str, Any]) -> str:
    """Name what a volume holds, such that equal contents have equal names."""
    # modes are left out: the API server writes those that nobody gave
    return " ".join(
        _source(kind, _mapping(source)) for kind, source in sorted(volume.items()) if kind != "name"
    )


def _source(kind: str, source: Mapping[str, Any]) -> str:
    name = source.get("secretName") or source.get("name") or source.get("claimName")
    items = sorted(
        f"{item.get('key') or _mapping(item.get('fieldRef')).get('fieldPath')}={item.get('path')}"
        for item in _entries(source.get("items"))
    )
    parts = [f"({_content(part)})" for part in _entries(source.get("sources"))]
    return " ".join([kind, str(name or ""), *items, *parts])


def _mounts(listed: Any, volumes: Mapping[str, str]) -> dict[str, _Mount]:
    return {
        str(mount.get("mountPath")): (
            str(mount.get("name")),
            str(mount.get("subPath") or mount.get("subPathExpr") or ""),
            volumes.get(str(mount.get("name")), ""),
        )
        for mount in _entries(listed)
    }


def _variables(listed: Any) -> dict[str, str]:
    found = {}
    for variable in _entries(listed):
        source = _mapping(variable.get("valueFrom"))
        described = ""
        for kind, of in sorted(source.items()):
            held = _mapping(of)
            named = held.get("name") or held.get("fieldPath") or held.get("resource")
            described = f"{kind} {named} {held.get('key') or ''}".strip()
        found[str(variable.get("name"))] = described
    return found


def _sources(listed: Any) -> Iterator[str]:
    for source in _entries(listed):
        for kind in ("secretRef", "configMapRef"):
            of = _mapping(source.get(kind))
            if of:
                prefix = source.get("prefix")
                yield f"{kind} {of.get('name')}" + (f" as {prefix}…" if prefix else "")


def _entries(value: Any) -> Iterator[Mapping[str, Any]]:
    for entry in value if isinstance(value, (list, tuple)) else ():
        if isinstance(entry, Mapping):
            yield entry


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
