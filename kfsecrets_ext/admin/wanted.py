"""What grants want of a tenant, without the values; and the objects themselves, with them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from kfsecrets_ext.cluster import Cluster
from kfsecrets_ext.errors import Forbidden, SecretError, Unreachable
from kfsecrets_ext.values import SecretBytes

from .checks import advice, problems
from .compare import SecretForm
from .grant import Grant
from .secret import SecretObject
from .tenants import Tenant

__all__ = ["Book", "Unfit", "Wanted"]


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why a grant cannot be written for a tenant.

    Attributes
    ----------
    action : str
        ``"invalid"``, or ``"forbidden"`` where its source may not be read.
    note : str
    """

    action: Literal["invalid", "forbidden"]
    note: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a grant wants of one tenant.

    Attributes
    ----------
    grant : str
    secret_name : str
    secret : SecretForm or None
        ``None`` where something else brings the Secret.
    unfit : Unfit or None
    hashed : bool
        Whether a Secret of another name is an older one of the same grant.
    advice : tuple of str
        What programs that read the Secret would not take, as `advice` says it.
    """

    grant: str
    secret_name: str = ""
    secret: SecretForm | None = None
    unfit: Unfit | None = None
    hashed: bool = False
    advice: tuple[str, ...] = ()


class Book:
    """What is granted to whom.

    Parameters
    ----------
    cluster : Cluster
        Where Secrets that grants take their values from are read.
    pairs : sequence of (Grant, sequence of Tenant)
    """

    def __init__(self, cluster: Cluster, pairs: Sequence[tuple[Grant, Sequence[Tenant]]]) -> None:
        self._cluster = cluster
        self._grants = tuple(grant for grant, _ in pairs)
        self.tenants: dict[str, Tenant] = {}
        granted: dict[str, list[int]] = {}
        for number, (_, chosen) in enumerate(pairs):
            for tenant in chosen:
                self.tenants.setdefault(tenant.name, tenant)
                granted.setdefault(tenant.name, []).append(number)
        # one tuple for all who get the same
        same: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._granted = {
            name: same.setdefault(tuple(numbers), tuple(numbers))
            for name, numbers in sorted(granted.items())
        }
        self._lock = threading.Lock()
        self._wanted: dict[int | tuple[int, str], Wanted] = {}
        self._read: dict[int, SecretObject] = {}
        self._objects: dict[int, list[dict[str, Any]]] = {}
        self._poddefaults: dict[int, dict[str, Any]] = {}

    def __iter__(self) -> Iterator[str]:
        """Give the names of the tenants, in order."""
        return iter(self._granted)

    def numbers(self, tenant: str) -> tuple[int, ...]:
        """Give the numbers of a tenant's grants."""
        return self._granted.get(tenant, ())

    def grant(self, number: int) -> Grant:
        """Give a grant."""
        return self._grants[number]

    def number(self, tenant: str, grant: str) -> int:
        """Give the number of a tenant's grant."""
        return next(one for one in self.numbers(tenant) if self._grants[one].name == grant)

    def wanted(self, number: int, tenant: Tenant) -> Wanted:
        """Say what a grant wants of a tenant; asked about once, unless tenants differ."""
        grant = self._grants[number]
        key = (number, tenant.name) if grant.per_tenant else number
        found = self._wanted.get(key)
        if found is None:
            found = self._wanted[key] = self._form(number, tenant)
        return found

    def poddefault(self, number: int, tenant: Tenant) -> dict[str, Any]:
        """Write the PodDefault of a grant for a tenant."""
        grant = self._grants[number]
        if not grant.per_tenant:
            known = self._poddefaults.get(number)
            if known is None:
                known = self._poddefaults[number] = self.objects(number, tenant)[-1]
            return _in_namespace(known, tenant.name)
        wanted = self.wanted(number, tenant)
        form = wanted.secret
        secret: SecretObject | str = wanted.secret_name
        if form is not None:
            data = dict.fromkeys(form.digests, SecretBytes())
            secret = SecretObject(form.name, data, form.type, tenant.name)
        concrete = grant.for_tenant(tenant, _EMPTY)
        return replace(concrete, secret=secret).to_labelled_mappings()[-1]

    def objects(self, number: int, tenant: Tenant) -> list[dict[str, Any]]:
        """Write the objects of a grant for a tenant, with the values, the Secret first.

        Raises
        ------
        SecretError
            The grant cannot be written for this tenant.
        """
        grant = self._grants[number]
        if grant.per_tenant:
            return grant.for_tenant(tenant, self._source(number, tenant)).to_labelled_mappings()
        known = self._objects.get(number)
        if known is None:
            concrete = grant.for_tenant(tenant, self._source(number, tenant))
            known = self._objects[number] = concrete.to_labelled_mappings()
        return [_in_namespace(one, tenant.name) for one in known]

    def _form(self, number: int, tenant: Tenant) -> Wanted:
        grant = self._grants[number]
        action: Literal["invalid", "forbidden"] = "invalid"
        try:
            concrete = grant.for_tenant(tenant, self._source(number, tenant))
            concrete.poddefault()
            note = ""
            if isinstance(concrete.secret, SecretObject):
                note = " ".join(problems(concrete.secret))
        except Unreachable:
            raise
        except Forbidden as error:
            action, note = "forbidden", str(error)
        except SecretError as error:
            note = str(error)
        if note:
            name = grant.secret if isinstance(grant.secret, str) else grant.name
            return Wanted(grant.name, name, unfit=Unfit(action, note))
        secret = concrete.secret
        if isinstance(secret, SecretObject):
            form = SecretForm.of(secret, grant.name)
            said = advice(secret)
            return Wanted(grant.name, secret.name, form, hashed=grant.hashed, advice=said)
        return Wanted(grant.name, str(secret))

    def _source(self, number: int, tenant: Tenant) -> SecretObject | None:
        grant = self._grants[number]
        source = grant.source(tenant)
        if source is None:
            return None
        if not _SOURCES.isdisjoint(grant.templates):
            return source.read(self._cluster)
        with self._lock:
            if number not in self._read:
                self._read[number] = source.read(self._cluster)
            return self._read[number]


_SOURCES = frozenset({"secret.from.name", "secret.from.namespace"})
_EMPTY = SecretObject("")


def _in_namespace(obj: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    return {**obj, "metadata": {**obj["metadata"], "namespace": namespace}}
