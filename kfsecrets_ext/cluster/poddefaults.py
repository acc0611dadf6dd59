"""One tenant of a cluster, as far as a check of its PodDefaults needs it.

Names, PodDefaults and the Namespace; of Secrets the names alone, asked for as metadata, so that no
value crosses the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kfsecrets_ext.errors import ClusterError, Forbidden, SecretError

from .connect import connect
from .kinds import NAMESPACE, PODDEFAULT, SECRET
from .own import identity
from .protocol import Cluster

__all__ = ["NoNamespace", "Tenant", "read_tenant"]


class NoNamespace(SecretError):
    """Neither the caller nor the context nor a pod names the namespace."""


@dataclass(frozen=True)
class Tenant:
    """A namespace, and what a check of its PodDefaults needs.

    Attributes
    ----------
    name : str
        Of the namespace.
    namespace : mapping or None
        The Namespace object, where it may be read.
    poddefaults : tuple of mapping
        As stored.
    secrets : frozenset of str or None
        Names of its Secrets, where they may be listed.
    home : str
        ``"kubernetes"`` or ``"embedded"``.
    server : str
        Address of the API server, or the directory of the embedded cluster.
    context : str or None
        Of the kubeconfig.
    notes : tuple of str
        What could not be known, and why.
    """

    name: str
    namespace: Mapping[str, Any] | None = field(repr=False)
    # literals in env.value stay out of the repr
    poddefaults: tuple[Mapping[str, Any], ...] = field(repr=False)
    secrets: frozenset[str] | None
    home: str
    server: str
    context: str | None = None
    notes: tuple[str, ...] = ()


def read_tenant(
    namespace: str | None = None,
    *,
    kubeconfig: str | None = None,
    context: str | None = None,
    impersonate: str | None = None,
) -> Tenant:
    """Read the PodDefaults of a namespace, and what is around them.

    Parameters
    ----------
    namespace : str, optional
        Default is the context's, else this pod's own.
    kubeconfig, context : str, optional
        As kubectl takes them. Without a kubeconfig this pod's service account asks.
    impersonate : str, optional
        The user to act as.

    Returns
    -------
    Tenant

    Raises
    ------
    NoNamespace
        No namespace is named anywhere.
    Forbidden, Unreachable, ClusterError
        The PodDefaults cannot be read.
    """
    with connect(kubeconfig=kubeconfig, context=context, impersonate=impersonate) as cluster:
        name = namespace or cluster.namespace or identity().namespace
        if not name:
            raise NoNamespace("neither the context nor a pod names a namespace: give one with -n.")
        return _read(cluster, name)


def _read(cluster: Cluster, name: str) -> Tenant:
    notes = []
    poddefaults = tuple(cluster.list(PODDEFAULT, namespace=name))
    namespace: Mapping[str, Any] | None = None
    forbidden = False
    try:
        namespace = cluster.get(NAMESPACE, name)
    except Forbidden:
        forbidden = True
        notes.append(
            f"Namespace {name} may not be read (HTTP 403): whether the webhook sees it was not "
            "checked."
        )
    if namespace is None and not forbidden:
        where = "the embedded cluster" if cluster.home == "embedded" else cluster.server
        raise ClusterError(f"{where} has no namespace {name!r}.", reason="NotFound")
    if cluster.home == "embedded" and not poddefaults:
        notes.append("The embedded cluster keeps no PodDefaults here.")
    secrets: frozenset[str] | None = None
    try:
        listed = cluster.list(SECRET, namespace=name, metadata_only=True)
        secrets = frozenset(str(secret["metadata"]["name"]) for secret in listed)
    except Forbidden:
        notes.append(
            f"The names of Secrets in {name} may not be listed (HTTP 403): whether they are "
            "there was not checked."
        )
    return Tenant(
        name,
        namespace,
        poddefaults,
        secrets,
        cluster.home,
        cluster.server,
        cluster.context,
        tuple(notes),
    )
