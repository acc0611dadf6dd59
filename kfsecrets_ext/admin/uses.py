"""Who uses a Secret: running pods, and whether a new value reaches them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kfsecrets_ext.cluster import POD, Cluster
from kfsecrets_ext.errors import Forbidden

from .standing import Standing

__all__ = ["Use", "used", "uses"]

How = Literal["volume", "subPath", "environment", "image pull"]


@dataclass(frozen=True, slots=True)
class Use:
    """A running pod that uses a Secret.

    Attributes
    ----------
    tenant, pod : str
    notebook : str or None
        Of Kubeflow's notebook that the pod runs.
    secret : str
    how : str
        ``"volume"``, ``"subPath"``, ``"environment"`` or ``"image pull"``.
    """

    tenant: str
    pod: str
    notebook: str | None
    secret: str
    how: How

    @property
    def refreshes(self) -> bool:
        """Whether a new value reaches it with no restart, where the Secret keeps its name."""
        # the kubelet writes volumes anew; variables and subPath mounts are made once
        return self.how == "volume"

    def to_json(self) -> dict[str, Any]:
        """Give the fields, and ``refreshes``."""
        return {
            "tenant": self.tenant,
            "pod": self.pod,
            "notebook": self.notebook,
            "secret": self.secret,
            "how": self.how,
            "refreshes": self.refreshes,
        }


def uses(cluster: Cluster, tenants: Iterable[str], names: Collection[str]) -> list[Use]:
    """Find the running pods that use some Secrets.

    Parameters
    ----------
    cluster : Cluster
    tenants : iterable of str
        Namespaces.
    names : collection of str
        Of the Secrets.

    Returns
    -------
    list of Use
        By tenant and pod; one for each way in which a pod uses one.

    Raises
    ------
    Forbidden
        Pods may not be listed.
    """
    wanted = frozenset(names)
    standing = Standing(cluster, sorted(set(tenants)))
    found = [
        Use(
            pod["metadata"]["namespace"],
            pod["metadata"]["name"],
            (pod["metadata"].get("labels") or {}).get("notebook-name"),
            name,
            how,
        )
        for pod in standing.objects(POD)
        if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
        for name, how in set(used(pod.get("spec") or {}))
        if name in wanted
    ]
    if standing.unreadable:
        _, tenant = min(standing.unreadable, key=lambda one: one[1])
        raise Forbidden(f"{cluster.who} may not list pods of {tenant}.", reason="Forbidden")
    return sorted(found, key=lambda one: (one.tenant, one.pod, one.secret, one.how))


_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")


def used(spec: Mapping[str, Any]) -> Iterator[tuple[str, How]]:
    """Walk a pod's spec: each Secret that it uses, and how, as often as it does.

    Parameters
    ----------
    spec : Mapping

    Yields
    ------
    tuple of str
        The Secret's name, and what `Use.how` says.
    """
    containers = [one for kind in _CONTAINERS for one in spec.get(kind) or ()]
    mounted: dict[str, set[How]] = {}
    for container in containers:
        for mount in container.get("volumeMounts") or ():
            part = mount.get("subPath") or mount.get("subPathExpr")
            mounted.setdefault(str(mount.get("name")), set()).add("subPath" if part else "volume")
        for variable in container.get("env") or ():
            yield from _referred((variable.get("valueFrom") or {}).get("secretKeyRef"))
        for source in container.get("envFrom") or ():
            yield from _referred(source.get("secretRef"))
    for volume in spec.get("volumes") or ():
        # one that no container mounts keeps a pod waiting for its Secret all the same
        for name in _of_volume(volume):
            for how in mounted.get(str(volume.get("name")), {"volume"}):
                yield name, how
    for reference in spec.get("imagePullSecrets") or ():
        if reference.get("name"):
            yield reference["name"], "image pull"


def _referred(reference: Mapping[str, Any] | None) -> Iterator[tuple[str, How]]:
    if reference and reference.get("name"):
        yield reference["name"], "environment"


def _of_volume(volume: Mapping[str, Any]) -> Iterator[str]:
    name = (volume.get("secret") or {}).get("secretName")
    if name:
        yield name
    for source in (volume.get("projected") or {}).get("sources") or ():
        name = (source.get("secret") or {}).get("name")
        if name:
            yield name
