"""A cluster to somebody who lacks rights, in either home."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kfsecrets_ext.cluster import Cluster, Kind
from kfsecrets_ext.errors import Forbidden


class Barred:
    """A cluster where some things may not be done.

    Parameters
    ----------
    cluster : Cluster
    *denied : str
        Such as ``"delete secrets"``, or ``"list pods in alice"``.
    """

    def __init__(self, cluster: Cluster, *denied: str) -> None:
        self._cluster = cluster
        self._denied = denied

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    def allowed(self, verb: str, kind: Kind, *, namespace: str | None = None) -> bool | None:
        barred = self._is_barred(verb, kind, namespace)
        return False if barred else self._cluster.allowed(verb, kind, namespace=namespace)

    def list(self, kind: Kind, *, namespace: str | None = None, **options: Any) -> Iterator[Any]:
        if self._is_barred("list", kind, namespace):
            raise Forbidden(f"{self.who} may not list {kind.plural}.", reason="Forbidden")
        return self._cluster.list(kind, namespace=namespace, **options)

    def _is_barred(self, verb: str, kind: Kind, namespace: str | None) -> bool:
        asked = f"{verb} {kind.plural}"
        if namespace is None:
            return any(one.partition(" in ")[0] == asked for one in self._denied)
        return asked in self._denied or f"{asked} in {namespace}" in self._denied
