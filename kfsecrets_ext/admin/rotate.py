"""Bring new values: to all tenants, or to a few first; and who keeps the old ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kfsecrets_ext.cluster import PODDEFAULT, SECRET, Cluster
from kfsecrets_ext.errors import Forbidden, InvalidName, SecretError
from kfsecrets_ext.poddefaults import volume_name

from .changes import Plan
from .compare import OURS, is_ours
from .from_secret import FromSecret
from .grant import BASE_NAME, Grant
from .parallel import in_order
from .plan import plan_pairs
from .secret import SecretObject
from .standing import Standing
from .tenants import Tenant
from .uses import Use, uses

__all__ = ["NotGranted", "Rotation", "rotate"]


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
        where = f"tenant {', '.join(self.tenants[:10])}" if tenants else "any tenant"
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
    """

    canary: Plan
    rest: Plan
    uses: tuple[Use, ...] | None = field(default=None, repr=False)

    @property
    def plans(self) -> tuple[Plan, ...]:
        """The plans that have something in them, in order."""
        return tuple(one for one in (self.canary, self.rest) if len(one))

    def to_json(self) -> dict[str, Any]:
        """Give ``version`` (1), ``canary`` and ``rest`` (`Plan.to_json`), ``uses`` or null."""
        return {
            "version": 1,
            "canary": self.canary.to_json(),
            "rest": self.rest.to_json(),
            "uses": None if self.uses is None else [one.to_json() for one in self.uses],
        }


def rotate(
    cluster: Cluster,
    grant: Grant | str,
    tenants: Sequence[Tenant] | None = None,
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
    tenants : sequence of Tenant, optional
        By default those of the grant; of a name, all that have it.
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
        Nothing of that name is in a tenant.
    InvalidName
        A canary is none of the tenants.
    """
    if isinstance(grant, str):
        if secret is None:
            raise InvalidName("grant", grant, reason="its new values are not given")
        pairs = _as_granted(cluster, grant, tenants, secret)
    else:
        if tenants is None:
            if grant.tenants is None:
                reason = "it does not say for which tenants it is"
                raise InvalidName("grant", grant.name, reason=reason)
            tenants = grant.tenants.find(cluster)
        pairs = [(_renewed(grant, secret), tenants)]
    whole = plan_pairs(cluster, pairs, adopt=adopt, tidy=prune)
    names = [one.name for one in whole.tenants]
    first = names[:canary] if isinstance(canary, int) else sorted(set(canary))
    for name in first:
        if name not in names:
            raise InvalidName("canary", name, reason="it is none of the tenants of this rotation")
    return Rotation(
        whole.only(first),
        whole.only(frozenset(names).difference(first)),
        _keeping(cluster, whole),
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
    cluster: Cluster, name: str, tenants: Sequence[Tenant] | None, secret: SecretObject
) -> list[tuple[Grant, Sequence[Tenant]]]:
    """Give the grant as it stands in each tenant, those together that have the same."""
    homes = {} if tenants is None else {one.name: one for one in tenants}
    standing = Standing(cluster, sorted(homes), everywhere=tenants is None)
    found = {
        one["metadata"]["namespace"]: one
        for one in standing.objects(PODDEFAULT, labels=OURS, fields=f"metadata.name={name}")
    }
    missing = sorted(set(homes) - set(found))
    if missing or not found:
        raise NotGranted(name, missing)

    def ask(tenant: str) -> tuple[str, Grant]:
        poddefault = found[tenant]
        called = _secret_name(poddefault, name)
        live = cluster.get(SECRET, called, namespace=tenant)
        return tenant, _grant_of(name, poddefault, called, live, secret)

    groups: dict[tuple[Any, ...], tuple[Grant, list[Tenant]]] = {}
    for tenant, grant in in_order(ask, sorted(found), workers=cluster.workers):
        _, chosen = groups.setdefault(_key(grant), (grant, []))
        chosen.append(homes.get(tenant) or Tenant(tenant))
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
