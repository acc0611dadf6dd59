"""Take grants away: the PodDefault first, so that no new pod asks for a Secret that goes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from kfsecrets_ext.cluster import PODDEFAULT, SECRET, Cluster, Kind
from kfsecrets_ext.errors import ClusterError

from .changes import Change, Plan, keep_needed, kind_name, not_listed
from .compare import OURS, others_keys
from .grant import GRANT_LABEL
from .parallel import in_order
from .rights import Rights, rights
from .standing import Standing
from .tenants import Tenant
from .uses import Use, uses

__all__ = ["remove"]

_KINDS: Final = (PODDEFAULT, SECRET)


def remove(cluster: Cluster, names: Iterable[str], tenants: Sequence[Tenant] | None = None) -> Plan:
    """Plan to delete what is ours of some grants, older Secrets with a hash included.

    Parameters
    ----------
    cluster : Cluster
    names : iterable of str
        Of the grants.
    tenants : sequence of Tenant, optional
        By default all namespaces.

    Returns
    -------
    Plan
        ``"delete"`` and ``"forbidden"`` alone, the latter too for a Secret whose PodDefault has
        to stay, and for what may not be listed in a tenant; nothing for a name that is nowhere.
        A note says which pods still use a Secret, and which keys of others go with it.

    Raises
    ------
    Forbidden
        All namespaces are wanted, and what is there may not be listed.
    """
    wanted = frozenset(names)
    homes = {} if tenants is None else {one.name: one for one in tenants}
    standing = Standing(cluster, sorted(homes), everywhere=tenants is None)
    rows: dict[str, list[Change]] = {}
    for listed in _KINDS:
        kind = kind_name(listed)
        for one in standing.objects(listed, labels=OURS, metadata_only=True):
            metadata = one["metadata"]
            grant = _grant(metadata, wanted)
            if grant is not None:
                change = Change(
                    metadata["namespace"],
                    kind,
                    metadata["name"],
                    "delete",
                    note=_lost(one) if kind == "Secret" else "",
                    grant=grant,
                    resource_version=metadata["resourceVersion"],
                )
                rows.setdefault(change.tenant, []).append(change)
    found = sorted(rows)
    may = rights(cluster, found) if found else {}
    used = _used(cluster, rows)
    changes: list[Change] = []
    for tenant in sorted({*found, *(place for _, place in standing.unreadable)}):
        unseen = {kind for kind, place in standing.unreadable if place == tenant}
        some = rows.get(tenant, ())
        allowed = (_allowed(one, may[tenant], used, cluster.who) for one in some)
        known = keep_needed(allowed, readable=PODDEFAULT not in unseen)
        changes.extend(_not_seen(tenant, wanted, unseen, cluster.who))
        changes.extend(known)
    return Plan(
        tuple(changes),
        tuple(homes.get(name) or Tenant(name) for name in sorted({*homes, *found})),
        cluster.home,
        cluster.server,
        cluster.context,
        cluster.who,
    )


def _not_seen(
    tenant: str, names: Iterable[str], kinds: Collection[Kind], who: str
) -> Iterator[Change]:
    """Say of what it is not known whether it is there: "nothing to do" would be a lie."""
    for kind in (one for one in _KINDS if one in kinds):
        note = not_listed(who, kind, "whether there is one is not known, and it stays")
        for name in sorted(names):
            yield Change(tenant, kind_name(kind), name, "forbidden", note=note, grant=name)


def _allowed(
    change: Change,
    may: Mapping[Kind, Rights],
    used: Mapping[tuple[str, str], str],
    who: str,
) -> Change:
    kind = SECRET if change.kind == "Secret" else PODDEFAULT
    if not may[kind].delete:
        return replace(change, action="forbidden", note=f"{who} may not delete it.")
    note = used.get((change.tenant, change.name), "") if kind == SECRET else ""
    return replace(change, note=f"{note} {change.note}".strip())


def _lost(secret: Mapping[str, Any]) -> str:
    lost = others_keys(secret)
    more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
    return f"somebody else's keys go with it: {', '.join(lost[:5])}{more}." if lost else ""


def _grant(metadata: Mapping[str, Any], wanted: frozenset[str]) -> str | None:
    """Give the grant of an object, if it is one of those; what `create` writes may name none."""
    grant = (metadata.get("labels") or {}).get(GRANT_LABEL) or metadata["name"]
    return grant if grant in wanted else None


def _used(cluster: Cluster, rows: Mapping[str, Sequence[Change]]) -> dict[tuple[str, str], str]:
    """Say which pods still use the Secrets, or that it is not known."""
    names = {
        tenant: frozenset(one.name for one in changes if one.kind == "Secret")
        for tenant, changes in rows.items()
    }
    names = {tenant: some for tenant, some in names.items() if some}
    try:
        return _named(uses(cluster, names, frozenset().union(*names.values())))
    except ClusterError:
        pass  # of some tenants it may be known all the same

    def ask(tenant: str) -> dict[tuple[str, str], str]:
        try:
            return _named(uses(cluster, [tenant], names[tenant]))
        except ClusterError:
            why = "whether a pod uses it is not known: pods may not be read here."
            return {(tenant, name): why for name in names[tenant]}

    answers = in_order(ask, sorted(names), workers=cluster.workers)
    return {place: note for answer in answers for place, note in answer.items()}


def _named(found: Iterable[Use]) -> dict[tuple[str, str], str]:
    pods: dict[tuple[str, str], list[str]] = {}
    for use in found:
        there = pods.setdefault((use.tenant, use.secret), [])
        if use.pod not in there:
            there.append(use.pod)
    return {
        place: f"still used by pod {', '.join(some[:5])}{' and more' if len(some) > 5 else ''}."
        for place, some in pods.items()
    }
