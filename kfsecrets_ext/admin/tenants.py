"""The tenants: namespaces that Kubeflow made for profiles, and who owns them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kfsecrets_ext.cluster import NAMESPACE, PROFILE, Cluster
from kfsecrets_ext.errors import ClusterError, Forbidden, SecretError, Unreachable
from kfsecrets_ext.poddefaults import PROFILE_LABEL
from kfsecrets_ext.values import SecretStr

from .sources import SourceError

__all__ = ["Tenant", "TenantChoice", "TenantNotFound", "read_names", "tenants", "wait_for_tenant"]

# RFC 1123
_NAME = re.compile("[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")


class TenantNotFound(SecretError):
    """There is no such namespace, or not yet.

    Attributes
    ----------
    names : tuple of str
        What was asked for.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        listed = ", ".join(map(repr, self.names[:10]))
        if len(self.names) > 10:
            listed += f" and {len(self.names) - 10} more"
        super().__init__(
            f"There is no namespace {listed}. A tenant's namespace is made at the first login; "
            "jupyter kfsecrets tenants --wait NAME waits for it."
        )


@dataclass(frozen=True)
class Tenant:
    """A namespace that gets credentials.

    Attributes
    ----------
    name : str
        Of the namespace, and of the profile.
    owner : str or None
        The user, from the namespace's annotation ``owner``.
    labels : mapping of str to str
        Of the namespace.
    injected : bool or None
        Whether the PodDefault webhook sees its pods, which it does by a label; ``None`` where the
        Namespace may not be read.
    going : bool
        Whether it is being deleted.
    """

    name: str
    owner: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict, repr=False)
    injected: bool | None = None
    going: bool = False

    @classmethod
    def of(cls, namespace: Mapping[str, Any]) -> Tenant:
        """Take what a Namespace says; its metadata is enough."""
        metadata = namespace["metadata"]
        labels = metadata.get("labels") or {}
        owner = (metadata.get("annotations") or {}).get("owner") or None
        key, value = PROFILE_LABEL
        return cls(metadata["name"], owner, labels, labels.get(key) == value, _going(namespace))

    @property
    def is_source(self) -> bool:
        """Whether it is what a hand-over copies from; one of another name is not known as such."""
        from .handover import SOURCE_NAMESPACE  # it imports grants, which import this module

        return self.name == SOURCE_NAMESPACE

    @property
    def fix(self) -> str | None:
        """The command that has the webhook see its pods, where it does not and should."""
        # with the label a hand-over would copy into its own source, and -A would reach it
        if self.injected is not False or self.is_source:
            return None
        # the profile's controller adds a label only where the key is missing: it stays
        overwrite = " --overwrite" if PROFILE_LABEL[0] in self.labels else ""
        return f"kubectl label{overwrite} namespace {self.name} {'='.join(PROFILE_LABEL)}"

    def to_json(self) -> dict[str, Any]:
        """Give ``name``, ``owner``, ``injected`` and ``fix``."""
        return {
            "name": self.name,
            "owner": self.owner,
            "injected": self.injected,
            "fix": self.fix,
        }


@dataclass(frozen=True)
class TenantChoice:
    """Which tenants; what is chosen in several ways adds up.

    Attributes
    ----------
    everyone : bool
        All profiles.
    names : tuple of str
    selector : str or None
        Of labels of the namespaces, as kubectl takes it.
    """

    everyone: bool = False
    names: tuple[str, ...] = ()
    selector: str | None = None

    def find(self, cluster: Cluster) -> list[Tenant]:
        """Ask a cluster for them: see `tenants`."""
        return tenants(cluster, names=self.names, selector=self.selector, everyone=self.everyone)


def tenants(
    cluster: Cluster,
    *,
    names: Iterable[str] = (),
    selector: str | None = None,
    everyone: bool = False,
) -> list[Tenant]:
    """Find tenants.

    Parameters
    ----------
    cluster : Cluster
    names : iterable of str
    selector : str, optional
        Of labels of the namespaces, as kubectl takes it.
    everyone : bool
        The namespaces with Kubeflow's label, and those of the Profiles, where these may be read,
        that lack it.

    Returns
    -------
    list of Tenant
        By name. Namespaces that are going are left out unless named.

    Raises
    ------
    TenantNotFound
        There is no namespace of a name given.
    Forbidden
        A selection needs to list namespaces. For names it does not: what may not be read of one
        is then not known.
    """
    found: dict[str, Tenant] = {}
    chosen = [selector] if selector is not None else []
    if everyone:
        chosen.append("=".join(PROFILE_LABEL))
    for labels in chosen:
        for namespace in cluster.list(NAMESPACE, labels=labels, metadata_only=True):
            if not _going(namespace):
                one = Tenant.of(namespace)
                found[one.name] = one
    missing = []
    wanted = {name: True for name in names if name not in found}
    if everyone:
        wanted = {**dict.fromkeys(_profiles(cluster) - set(found), False), **wanted}
    for name, named in sorted(wanted.items()):
        one_or_none = _named(cluster, name)
        if one_or_none is not None:
            found[name] = one_or_none
        elif named:
            missing.append(name)
    if missing:
        raise TenantNotFound(missing)
    return [found[name] for name in sorted(found)]


def wait_for_tenant(cluster: Cluster, name: str, *, timeout: float | None = None) -> Tenant:
    """Wait until a tenant's namespace is there.

    Parameters
    ----------
    cluster : Cluster
    name : str
    timeout : float, optional
        Seconds; by default for ever.

    Returns
    -------
    Tenant

    Raises
    ------
    TenantNotFound
        It is still not there.
    """
    started = time.monotonic()
    left = timeout
    while True:
        for event in cluster.watch(NAMESPACE, fields=f"metadata.name={name}", timeout=left):
            if event.type in ("ADDED", "MODIFIED") and not _going(event.object):
                return Tenant.of(event.object)
        if timeout is not None:
            left = timeout - (time.monotonic() - started)
            if left <= 0:
                raise TenantNotFound([name])


def read_names(text: str) -> tuple[str, ...]:
    """Read a file of names: one a line; what comes after ``#`` does not count.

    Raises
    ------
    SourceError
        A line is no name of a namespace. It is not shown: it may be a value, of another file that
        was given in the place of this one.
    """
    names: dict[str, None] = {}
    for number, line in enumerate(map(SecretStr, text.splitlines()), 1):
        name = SecretStr(line.partition("#")[0].strip())
        if name and not _NAME.fullmatch(name):
            reason = f"line {number} is no name of a namespace. It is not shown."
            raise SourceError("tenants", reason)
        if name:
            names[str(name)] = None
    return tuple(names)


def _named(cluster: Cluster, name: str) -> Tenant | None:
    try:
        namespace = cluster.get(NAMESPACE, name, metadata_only=True)
    except Forbidden:
        return Tenant(name)
    return None if namespace is None else Tenant.of(namespace)


def _profiles(cluster: Cluster) -> set[str]:
    try:
        return {one["metadata"]["name"] for one in cluster.list(PROFILE, metadata_only=True)}
    except Unreachable:
        raise
    except ClusterError:
        # no right to read them, or no such kind on this cluster: the label says it all
        return set()


def _going(namespace: Mapping[str, Any]) -> bool:
    return bool(namespace["metadata"].get("deletionTimestamp"))
