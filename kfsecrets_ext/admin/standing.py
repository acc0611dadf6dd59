"""What stands in the tenants: lists of the whole cluster, or of each namespace where need be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from kfsecrets_ext.cluster import Cluster, Kind
from kfsecrets_ext.errors import Forbidden

from .parallel import in_order

__all__ = ["Standing"]

_FEW: Final = 4
"""Namespaces that are listed one by one, though the whole cluster could be."""


class Standing:
    """The objects of some namespaces, or of all.

    Parameters
    ----------
    cluster : Cluster
    namespaces : sequence of str
    everywhere : bool
        Whether those of other namespaces are wanted, too.

    Attributes
    ----------
    unreadable : set of (Kind, str)
        Kinds that may not be listed in a namespace.
    """

    def __init__(
        self, cluster: Cluster, namespaces: Sequence[str], *, everywhere: bool = False
    ) -> None:
        self._cluster = cluster
        self._namespaces = tuple(namespaces)
        self._everywhere = everywhere
        self.unreadable: set[tuple[Kind, str]] = set()

    def objects(
        self,
        kind: Kind,
        *,
        labels: str | None = None,
        fields: str | None = None,
        metadata_only: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Yield objects; those of one namespace one after the other, as far as can be.

        Parameters
        ----------
        kind : Kind
        labels, fields : str, optional
            Selectors.
        metadata_only : bool

        Raises
        ------
        Forbidden
            All namespaces are wanted, and may not be listed; or the server does not know who asks.
        """
        if not self._everywhere and len(self._namespaces) <= _FEW:
            yield from self._one_by_one(kind, labels, fields, metadata_only)
            return
        found: Iterator[dict[str, Any]] = iter(())
        refused = False
        first = None
        try:
            found = self._cluster.list(
                kind, labels=labels, fields=fields, metadata_only=metadata_only
            )
            first = next(found, None)
        except Forbidden as error:
            if self._everywhere or error.reason == "Unauthorized":
                raise
            refused = True
        if refused:
            yield from self._one_by_one(kind, labels, fields, metadata_only)
            return
        wanted = None if self._everywhere else frozenset(self._namespaces)
        while first is not None:
            if wanted is None or first["metadata"].get("namespace") in wanted:
                yield first
            first = next(found, None)

    def _one_by_one(
        self, kind: Kind, labels: str | None, fields: str | None, metadata_only: bool
    ) -> Iterator[dict[str, Any]]:
        def listed(namespace: str) -> list[dict[str, Any]]:
            try:
                return list(
                    self._cluster.list(
                        kind,
                        namespace=namespace,
                        labels=labels,
                        fields=fields,
                        metadata_only=metadata_only,
                    )
                )
            except Forbidden as error:
                if error.reason == "Unauthorized":
                    raise
                self.unreadable.add((kind, namespace))
                return []

        for some in in_order(listed, self._namespaces, workers=self._cluster.workers):
            yield from some
