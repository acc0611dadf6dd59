"""Bring new values: to all tenants, or to a few first; and who keeps the old ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kfsecrets_ext.cluster import PODDEFAULT, SECRET, Cluster
from kfsecrets_ext.errors import Forbidden, InvalidName, SecretError
from kfsecrets_ext.poddefaults import volume_name

from .changes import Change, Plan, not_listed
from .compare import OURS, is_ours
from .from_secret import FromSecret
from .grant import BASE_NAME, Grant
from .parallel import in_order
from .plan import plan_pairs
from .secret import SecretObject
from .standing import Standing
from .tenants import Tenant, TenantChoice
from .uses import Use, uses

__all__ = ["NotGranted", "Rotation", "rotate"]

_SHOWN = 10


class NotGranted(SecretError):
    """No PodDefault of ours of that name is there.

    Attributes
    ----------
    name : str
    tenants : tuple of str
        Where; empty for everywhere.
    """

    def __init__(self, name: str, tenants: Collection[str] = ()) -> None:
        self.name = name
        self.tenants = tuple(tenants)
        where = f"tenant {', '.join(self.tenants[:_SHOWN])}" if tenants else "any tenant"
        super().__init__(f"Nothing named {name!r} was granted to {where} by this package.")


@dataclass(frozen=True)
class Rotation:
    """The plans of a rotation, and whom it does not reach.

    Attributes
    ----------
    canary : Plan
        Of the tenants that come first; empty where none were asked for.
    rest : Plan
        Of the others.
    uses : tuple of Use or None
        Running pods that keep the old values until they are restarted; ``None`` where pods may
        not be listed.
    without : tuple of str
        Tenants that were chosen, though not by name, and do not have the grant.
    """

    canary: Plan
    rest: Plan
    uses: tuple[Use, ...] | None = field(default=None, repr=False)
    without: tuple[str, ...] = field(default=(), repr=False)

    @property
    def plans(self) -> tuple[Plan, ...]:
        """The plans that have something in them, in order."""
        return tuple(one for one in (self.canary, self.rest) if len(one))

    def to_json(self) -> dict[str, Any]:
        """Give the fields, and ``version`` (1); ``uses`` may be null."""
        return {
            "version": 1,
            "canary": self.canary.to_json(),
            "rest": self.rest.to_json(),
            "uses": None if self.uses is None else [one.to_json() for one in self.uses],
            "without": list(self.without),
        }


def rotate(
    cluster: Cluster,
    grant: Grant | str,
    tenants: Sequence[Tenant] | TenantChoice | None = None,
    secret: SecretObject | None = None,
    *,
    canary: Collection[str] | int = (),
    adopt: bool = False,
    prune: bool = False,
) -> Rotation:
    """Plan to bring new values.

    A Secret keeps its name, and mounted volumes get the new values in a minute or two. One that
    is immutable, or has a hash in its name, gets a new name: new pods mount the new one, and the
    old one stays while a pod uses it.

    Parameters
    ----------
    cluster : Cluster
    grant : Grant or str
        A name stands for what was granted, as it is now in each tenant.
    tenants : sequence of Tenant or TenantChoice, optional
        By default those of the grant; of a name, all that have it. Each of a sequence, and each
        name of a choice, has to have it; of those chosen otherwise, and of those that the grant
        itself is for, the ones that have it are meant.
    secret : SecretObject, optional
        The new values; its name does not count. Needed with a name.
    canary : collection of str, or int
        The tenants that come first, or how many.
    adopt : bool
        Take over fields that others own.
    prune : bool
        Delete older Secrets of the grant that no pod uses.

    Returns
    -------
    Rotation

    Raises
    ------
    NotGranted
        Nothing of that name is in a tenant that has to have it, or in any.
    Forbidden
        Whether it is there may not be seen. Among tenants that need not have it, such a one is
        ``"forbidden"`` in the plan instead, as long as another has it.
    InvalidName
        A canary is none of the tenants.
    """
    if isinstance(grant, str):
        if secret is None:
            raise InvalidName("grant", grant, reason="its new values are not given")
        holders = _holders(cluster, grant, tenants)
        pairs = _as_granted(cluster, grant, holders, secret)
    else:
        chosen = tenants
        if chosen is None:
            if grant.tenants is None:
                reason = "it does not say for which tenants it is"
                raise InvalidName("grant", grant.name, reason=reason)
            chosen = grant.tenants.find(cluster)
        strict = None if tenants is not None else ()
        holders = _holders(cluster, grant.name, chosen, strict)
        pairs = [(_renewed(grant, secret), holders.tenants)]
    whole = _with_unseen(plan_pairs(cluster, pairs, adopt=adopt, tidy=prune), holders)
    names = [one.name for one in whole.tenants]
    holding = [one.name for one in holders.tenants]
    first = holding[:canary] if isinstance(canary, int) else sorted(set(canary))
    for name in first:
        if name not in names:
            raise InvalidName("canary", name, reason="it is none of the tenants of this rotation")
    return Rotation(
        whole.only(first),
        whole.only(frozenset(names).difference(first)),
        _keeping(cluster, whole),
        holders.without,
    )


@dataclass(frozen=True)
class _Holders:
    """Who has a grant, among those that were chosen.

    Attributes
    ----------
    name : str
    poddefaults : mapping
        By tenant.
    tenants : tuple of Tenant
        Of those.
    without : tuple of str
    unseen : tuple of Tenant
        Where PodDefaults may not be listed.
    """

    name: str
    poddefaults: Mapping[str, Mapping[str, Any]]
    tenants: tuple[Tenant, ...]
    without: tuple[str, ...]
    unseen: tuple[Tenant, ...]


def _holders(
    cluster: Cluster,
    name: str,
    tenants: Sequence[Tenant] | TenantChoice | None,
    strict: Collection[str] | None = None,
) -> _Holders:
    """Look who has a grant.

    Parameters
    ----------
    cluster : Cluster
    name : str
    tenants : sequence of Tenant, TenantChoice or None
        ``None`` for everywhere.
    strict : collection of str, optional
        Who has to have it; by default each of a sequence, and each name of a choice.
    """
    if isinstance(tenants, TenantChoice):
        strict = tenants.names
        tenants = tenants.find(cluster)
    homes = {} if tenants is None else {one.name: one for one in tenants}
    strict = homes if strict is None else strict
    standing = Standing(cluster, sorted(homes), everywhere=tenants is None)
    found = {
        one["metadata"]["namespace"]: one
        for one in standing.objects(PODDEFAULT, labels=OURS, fields=f"metadata.name={name}")
    }
    hidden = {place for kind, place in standing.unreadable if kind == PODDEFAULT}
    missing = sorted(set(homes) - set(found) - hidden)
    needed = [one for one in missing if one in strict]
    if needed:
        raise NotGranted(name, needed)
    if hidden and (not found or not hidden.isdisjoint(strict)):
        where = ", ".join(sorted(hidden)[:_SHOWN])
        raise Forbidden(
            f"{cluster.who} may not list PodDefaults in {where}: whether {name!r} was granted "
            "there is not known.",
            reason="Forbidden",
        )
    if not found:
        raise NotGranted(name, missing)
    return _Holders(
        name,
        found,
        tuple(homes.get(one) or Tenant(one) for one in sorted(found)),
        tuple(missing),
        tuple(homes[one] for one in sorted(hidden)),
    )


def _with_unseen(plan: Plan, holders: _Holders) -> Plan:
    """Say of whom it is not known whether they have it."""
    if not holders.unseen:
        return plan
    note = not_listed(plan.who, PODDEFAULT, "whether it was granted is not known, and it stays")
    more = (
        Change(one.name, "PodDefault", holders.name, "forbidden", note=note, grant=holders.name)
        for one in holders.unseen
    )
    return replace(
        plan,
        changes=tuple(sorted((*plan.changes, *more), key=lambda one: one.tenant)),
        tenants=tuple(sorted((*plan.tenants, *holders.unseen), key=lambda one: one.name)),
    )


def _renewed(grant: Grant, secret: SecretObject | None) -> Grant:
    if secret is None:
        return grant
    given = grant.secret
    if isinstance(given, SecretObject):
        return replace(
            grant, secret=replace(given, data=secret.data, type=secret.type or given.type)
        )
    name = given.as_name or grant.name if isinstance(given, FromSecret) else given
    return replace(grant, secret=replace(secret, name=name))


def _keeping(cluster: Cluster, plan: Plan) -> tuple[Use, ...] | None:
    """Find the pods that keep the old values."""
    replaced: dict[str, set[str]] = {}
    same: dict[str, set[str]] = {}
    for one in plan:
        if one.kind == "Secret" and one.action in ("change", "recreate"):
            same.setdefault(one.tenant, set()).add(one.name)
        elif one.kind == "Secret" and one.action in ("keep", "delete"):
            replaced.setdefault(one.tenant, set()).add(one.name)
    names = {name for some in (*replaced.values(), *same.values()) for name in some}
    if not names:
        return ()
    try:
        found = uses(cluster, {*replaced, *same}, names)
    except Forbidden:
        return None
    return tuple(
        use
        for use in found
        if use.secret in replaced.get(use.tenant, ())
        or (use.secret in same.get(use.tenant, ()) and not use.refreshes)
    )


def _as_granted(
    cluster: Cluster, name: str, holders: _Holders, secret: SecretObject
) -> list[tuple[Grant, Sequence[Tenant]]]:
    """Give the grant as it stands in each tenant, those together that have the same."""

    def ask(tenant: Tenant) -> tuple[Tenant, Grant]:
        poddefault = holders.poddefaults[tenant.name]
        called = _secret_name(poddefault, name)
        live = cluster.get(SECRET, called, namespace=tenant.name)
        return tenant, _grant_of(name, poddefault, called, live, secret)

    groups: dict[tuple[Any, ...], tuple[Grant, list[Tenant]]] = {}
    for tenant, grant in in_order(ask, holders.tenants, workers=cluster.workers):
        _, chosen = groups.setdefault(_key(grant), (grant, []))
        chosen.append(tenant)
    return [*groups.values()]


def _secret_name(poddefault: Mapping[str, Any], name: str) -> str:
    return str(_volume(poddefault, name).get("secretName") or name)


def _volume(poddefault: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    for volume in (poddefault.get("spec") or {}).get("volumes") or ():
        if volume.get("name") == volume_name(name):
            return volume.get("secret") or {}
    return {}


def _grant_of(
    name: str,
    poddefault: Mapping[str, Any],
    called: str,
    live: Mapping[str, Any] | None,
    secret: SecretObject,
) -> Grant:
    spec = poddefault.get("spec") or {}
    source = _volume(poddefault, name)
    mounts = {one.get("name"): one.get("mountPath") for one in spec.get("volumeMounts") or ()}
    metadata = (live or {}).get("metadata") or {}
    base = (metadata.get("annotations") or {}).get(BASE_NAME)
    labels = metadata.get("labels") or {}
    items = source.get("items")
    ours = live is not None and is_ours(live)
    return Grant(
        name,
        replace(
            secret,
            name=base or called,
            type=secret.type or (live or {}).get("type"),
            namespace=None,
            labels={},
            annotations={},
            immutable=False,
        ),
        desc=spec.get("desc"),
        mount_path=mounts.get(volume_name(name)),
        items=None if items is None else {one["key"]: one["path"] for one in items},
        required=not source.get("optional"),
        can_mount=labels.get("notebooks.kubeflow.org/can-mount") == "true",
        can_update=labels.get("notebooks.kubeflow.org/can-update") == "true",
        immutable=ours and bool((live or {}).get("immutable")),
        append_hash=base is not None,
    )


def _key(grant: Grant) -> tuple[Any, ...]:
    """What tells grants of the same new values apart."""
    secret = grant.secret
    return (
        secret.name if isinstance(secret, SecretObject) else secret,
        secret.type if isinstance(secret, SecretObject) else None,
        grant.desc,
        grant.mount_path,
        None if grant.items is None else tuple(grant.items.items()),
        grant.required,
        grant.can_mount,
        grant.can_update,
        grant.immutable,
        grant.append_hash,
    )
