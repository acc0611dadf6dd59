"""Planning: what is granted, compared with what stands in the tenants."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal

from kfsecrets_ext.cluster import LAST_APPLIED, PODDEFAULT, SECRET, Cluster, Kind
from kfsecrets_ext.errors import ClusterError, InvalidName
from kfsecrets_ext.poddefaults import Finding

from .changes import Action, Change, Plan, keep_needed, kind_name, not_listed
from .compare import (
    OURS,
    Field,
    controller,
    is_ours,
    keeper,
    others_keys,
    poddefault_fields,
    secret_fields,
)
from .forecast import Forecast
from .grant import GRANT_LABEL, Grant
from .parallel import in_order
from .rights import Rights, rights
from .standing import Standing
from .tenants import Tenant
from .uses import uses
from .wanted import Book, Wanted

__all__ = ["plan", "plan_pairs"]


def plan(
    cluster: Cluster,
    grants: Iterable[Grant],
    tenants: Sequence[Tenant] | None = None,
    *,
    adopt: bool = False,
    prune: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Plan:
    """Compare what is granted with what stands in the tenants.

    Parameters
    ----------
    cluster : Cluster
    grants : iterable of Grant
    tenants : sequence of Tenant, optional
        Who gets all the grants; by default each grant's own choice counts.
    adopt : bool
        Take over objects and fields of others.
    prune : bool
        Delete what is ours and no longer granted: the grants given are then all that there is in
        these tenants, or in the cluster where no tenants are given. A Secret with a hash in its
        name stays while a pod uses it.
    progress : callable, optional
        Called with the tenants that are looked at, and how many there are.

    Returns
    -------
    Plan

    Raises
    ------
    InvalidName
        A grant has no tenants, or a tenant would get two grants or Secrets of one name.
    ValueError
        The whole cluster would be pruned of everything, for there is no grant.
    Forbidden, Unreachable, ClusterError
    """
    pairs: list[tuple[Grant, Sequence[Tenant]]] = []
    for grant in grants:
        if tenants is not None:
            pairs.append((grant, tenants))
        elif grant.tenants is not None:
            pairs.append((grant, grant.tenants.find(cluster)))
        else:
            raise InvalidName("grant", grant.name, reason="it does not say for which tenants it is")
    everywhere = prune and tenants is None
    if everywhere and not pairs:
        raise ValueError("to prune without a grant, name the tenants: all of ours would be deleted")
    scope = () if tenants is None else tenants
    return plan_pairs(
        cluster,
        pairs,
        scope=scope,
        adopt=adopt,
        prune=prune,
        everywhere=everywhere,
        progress=progress,
    )


def plan_pairs(
    cluster: Cluster,
    pairs: Sequence[tuple[Grant, Sequence[Tenant]]],
    *,
    scope: Sequence[Tenant] = (),
    adopt: bool = False,
    prune: bool = False,
    tidy: bool = False,
    everywhere: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Plan:
    """Plan grants, each for tenants of its own.

    Parameters
    ----------
    cluster : Cluster
    pairs : sequence of (Grant, sequence of Tenant)
    scope : sequence of Tenant
        Who is looked at, though nothing may be granted to them.
    adopt, prune, progress
        As for `plan`.
    tidy : bool
        Whether to delete older Secrets of these grants that no pod uses.
    everywhere : bool
        Whether to prune in all namespaces.
    """
    book = Book(cluster, pairs)
    _check_names(book)
    homes = {**{one.name: one for one in scope}, **book.tenants}
    planner = _Planner(
        cluster,
        book,
        homes,
        adopt=adopt,
        prune=prune,
        tidy=tidy or prune,
        everywhere=everywhere,
    )
    changes = planner.changes(progress or (lambda _done, _total: None))
    return Plan(
        tuple(changes),
        tuple(homes[name] for name in sorted(homes)),
        cluster.home,
        cluster.server,
        cluster.context,
        cluster.who,
        adopt,
        planner.other_findings,
        book=book,
    )


def _check_names(book: Book) -> None:
    checked = set()
    for tenant in book:
        numbers = book.numbers(tenant)
        if numbers in checked:
            continue
        checked.add(numbers)
        names = [book.grant(number).name for number in numbers]
        for name in names:
            if names.count(name) > 1:
                reason = f"two grants for tenant {tenant} have it. Give one of them another name"
                raise InvalidName("grant", name, reason=reason)


@dataclass(slots=True)
class _Found:
    """What was found of a tenant: the wanted Secrets, and what is no longer granted."""

    secrets: dict[int, Change] = field(default_factory=dict)
    poddefaults: dict[int, Change] = field(default_factory=dict)
    absent: set[int] = field(default_factory=set)
    old_secrets: list[Change] = field(default_factory=list)
    old_poddefaults: list[Change] = field(default_factory=list)


class _Planner:
    def __init__(
        self,
        cluster: Cluster,
        book: Book,
        homes: Mapping[str, Tenant],
        *,
        adopt: bool,
        prune: bool,
        tidy: bool,
        everywhere: bool,
    ) -> None:
        self._cluster = cluster
        self._book = book
        self._homes = homes
        self._adopt = adopt
        self._prune = prune
        self._tidy = tidy
        self._everywhere = everywhere
        self._standing = Standing(cluster, sorted(homes), everywhere=everywhere)
        self._found: dict[str, _Found] = {}
        self._rights: dict[str, dict[Kind, Rights]] = {}
        self.other_findings: dict[str, tuple[Finding, ...]] = {}

    def changes(self, progress: Callable[[int, int], None]) -> Iterator[Change]:
        """Look at the cluster, and give the changes in order."""
        self._rights = rights(self._cluster, sorted(self._homes))
        self._want_all()
        self._check_secrets()
        self._our_secrets()
        self._other_secrets()
        self._all_poddefaults(progress)
        return self._ordered()

    # ── the Secrets ──────────────────────────────────────────────────────────

    def _want_all(self) -> None:
        """Ask for the Secrets that grants take their values from, several at once."""
        differing = (
            (number, self._homes[name])
            for name in self._book
            for number in self._book.numbers(name)
            if self._book.grant(number).per_tenant
        )
        for _ in in_order(
            lambda one: self._book.wanted(*one), differing, workers=self._cluster.workers
        ):
            pass

    def _check_secrets(self) -> None:
        """Two grants must not write one Secret: each apply would undo the other's."""
        for tenant in self._book:
            writers: dict[str, str] = {}
            for _, wanted in self._wants(tenant):
                if wanted.secret is None:
                    continue
                other = writers.setdefault(wanted.secret.name, wanted.grant)
                if other != wanted.grant:
                    reason = (
                        f"the grants {other} and {wanted.grant} would both write it, in {tenant}"
                    )
                    raise InvalidName("secret", wanted.secret.name, reason=reason)

    def _wants(self, tenant: str) -> Iterator[tuple[int, Wanted]]:
        for number in self._book.numbers(tenant):
            yield number, self._book.wanted(number, self._homes[tenant])

    def _our_secrets(self) -> None:
        for secret in self._standing.objects(SECRET, labels=OURS):
            metadata = secret["metadata"]
            tenant, name = metadata["namespace"], metadata["name"]
            found = self._found.setdefault(tenant, _Found())
            for number, wanted in self._wants(tenant):
                if wanted.secret is not None and wanted.secret.name == name:
                    found.secrets[number] = self._compared(secret, wanted, tenant)
                    break
            else:
                old = self._no_longer("Secret", metadata)
                if old is not None:
                    found.old_secrets.append(old)

    def _compared(self, secret: Mapping[str, Any], wanted: Wanted, tenant: str) -> Change:
        assert wanted.secret is not None  # noqa: S101  for the type checker
        fields, others = secret_fields(secret, wanted.secret)
        changed = {one.path for one in fields}
        action: Action = "change" if fields else "unchanged"
        note = ""
        frozen = secret.get("immutable") and (
            "immutable" in changed or any(path.startswith("data.") for path in changed)
        )
        if "type" in changed or frozen:
            action = "recreate"
            why = "its type" if "type" in changed else "an immutable Secret"
            note = f"{why} cannot be changed: it is deleted and created."
            if others:
                action = "foreign"
                note = (
                    f"{why} cannot be changed, and somebody else's keys would go with it: "
                    f"{_some(others)}. Delete it yourself, or take another name."
                )
        elif others:
            note = f"somebody else's keys stay: {_some(others)}."
        change = Change(
            tenant,
            "Secret",
            wanted.secret.name,
            action,
            fields,
            note=note,
            grant=wanted.grant,
            resource_version=secret["metadata"]["resourceVersion"],
        )
        return self._without_copy(secret, self._taken(change))

    def _taken(self, change: Change) -> Change:
        """Take in which fields others own: without force, an apply would be refused."""
        theirs = [one for one in change.fields if one.owners]
        if change.action != "change" or not theirs or self._adopt:
            return change
        owners = sorted({owner for one in theirs for owner in one.owners})
        note = (
            f"{_some([one.path for one in theirs])} belongs to {_some(owners)}; "
            "--adopt takes it over."
        )
        return replace(change, action="foreign", note=note)

    def _without_copy(self, live: Mapping[str, Any], change: Change) -> Change:
        """Take in the copy that kubectl's client-side apply keeps of an object."""
        if LAST_APPLIED not in (live["metadata"].get("annotations") or {}):
            return change
        if self._adopt and change.action in ("change", "unchanged"):
            path = f"metadata.annotations.{LAST_APPLIED}"
            fields = [one for one in change.fields if one.path != path]
            fields.append(Field(path, "removed"))
            return replace(change, action="change", fields=tuple(fields), strips=True)
        if change.kind != "Secret" or change.action == "recreate":
            return change
        return replace(change, findings=(_copied(change.name),))

    def _no_longer(
        self, kind: Literal["Secret", "PodDefault"], metadata: Mapping[str, Any]
    ) -> Change | None:
        """Say what becomes of an object that is ours and not wanted."""
        tenant, name = metadata["namespace"], metadata["name"]
        grant = (metadata.get("labels") or {}).get(GRANT_LABEL)
        granted = {wanted.grant: wanted for _, wanted in self._wants(tenant)}
        if grant is None or (grant not in granted and not self._prunes(tenant)):
            return None
        if grant in granted and granted[grant].unfit is not None:
            return None  # which one would be wanted is not known
        goes = self._tidy if grant in granted else self._prune
        action: Action = "delete" if goes else "keep"
        note = "" if goes else _older(grant)
        lost = others_keys({"metadata": metadata}) if goes and kind == "Secret" else []
        if lost:
            note = f"somebody else's keys go with it: {_some(lost)}."
        return Change(
            tenant,
            kind,
            name,
            action,
            note=note,
            grant=grant,
            resource_version=metadata["resourceVersion"],
        )

    def _prunes(self, tenant: str) -> bool:
        """Say whether what is no longer granted goes."""
        # what a hand-over copies from is granted to no tenant, and would go from all of them
        return self._prune and not (self._everywhere and Tenant(tenant).is_source)

    def _other_secrets(self) -> None:
        """Look for Secrets of the names that are wanted and were not found among ours."""
        missing: dict[str, list[tuple[str, int]]] = {}
        for tenant in self._book:
            found = self._found.get(tenant)
            if (SECRET, tenant) in self._standing.unreadable:
                continue
            for number, wanted in self._wants(tenant):
                if wanted.unfit is None and (found is None or number not in found.secrets):
                    missing.setdefault(wanted.secret_name, []).append((tenant, number))
        if len(missing) <= _NAMES_LISTED:
            for name, places in missing.items():
                there = {
                    one["metadata"]["namespace"]: one
                    for one in self._standing.objects(
                        SECRET, fields=f"metadata.name={name}", metadata_only=True
                    )
                }
                for tenant, number in places:
                    self._other_secret(tenant, number, there.get(tenant))
            return

        def ask(place: tuple[str, str, int]) -> tuple[str, int, Any]:
            name, tenant, number = place
            one = self._cluster.get(SECRET, name, namespace=tenant, metadata_only=True)
            return tenant, number, one

        each = ((name, *place) for name, places in missing.items() for place in places)
        for tenant, number, one in in_order(ask, each, workers=self._cluster.workers):
            self._other_secret(tenant, number, one)

    def _other_secret(self, tenant: str, number: int, there: Mapping[str, Any] | None) -> None:
        wanted = self._book.wanted(number, self._homes[tenant])
        found = self._found.setdefault(tenant, _Found())
        if wanted.secret is None:
            if there is None:
                found.absent.add(number)
            return
        if there is None:
            found.secrets[number] = Change(
                tenant,
                "Secret",
                wanted.secret.name,
                "create",
                tuple(Field(f"data.{key}", "added") for key in wanted.secret.digests),
                grant=wanted.grant,
            )
            return
        whole = None
        if self._adopt or is_ours(there):
            whole = self._cluster.get(SECRET, wanted.secret.name, namespace=tenant)
        kept = controller(there)
        if whole is None or (kept is not None and not is_ours(whole)):
            change = Change(
                tenant,
                "Secret",
                wanted.secret.name,
                "foreign",
                note=_kept_in_step(kept) if kept else _foreign(there),
                grant=wanted.grant,
            )
            found.secrets[number] = self._without_copy(there, change)
            return
        change = self._compared(whole, wanted, tenant)
        if not is_ours(whole):
            if change.action == "recreate":
                change = replace(
                    change,
                    action="foreign",
                    note="there is one that is not ours, and it cannot be changed into this one: "
                    "its type differs, or it is immutable. Delete it yourself, or take another "
                    "name.",
                )
            else:
                change = replace(change, note=f"taken over; {change.note}".rstrip("; "))
        found.secrets[number] = change

    # ── the PodDefaults ──────────────────────────────────────────────────────

    def _all_poddefaults(self, progress: Callable[[int, int], None]) -> None:
        forecast = Forecast()
        total = len(self._homes)
        seen: set[str] = set()
        here: list[Mapping[str, Any]] = []
        again: set[str] = set()

        def close() -> None:
            if not here:
                return
            tenant = here[0]["metadata"]["namespace"]
            if tenant in seen:
                again.add(tenant)
            else:
                seen.add(tenant)
                self._poddefaults(tenant, here, forecast)
                progress(len(seen), max(total, len(seen)))
            here.clear()

        # the API server lists by namespace: what one tenant has is looked at and forgotten
        for poddefault in self._standing.objects(PODDEFAULT):
            if here and here[0]["metadata"]["namespace"] != poddefault["metadata"]["namespace"]:
                close()
            here.append(poddefault)
        close()
        for tenant in sorted(again):
            # a list that started anew, or a home that lists otherwise
            self._found[tenant].old_poddefaults.clear()
            listed = list(self._cluster.list(PODDEFAULT, namespace=tenant))
            self._poddefaults(tenant, listed, forecast)
        for tenant in self._homes:
            if tenant not in seen:
                seen.add(tenant)
                self._poddefaults(tenant, [], forecast)
                progress(len(seen), max(total, len(seen)))

    def _poddefaults(
        self, tenant: str, there: Sequence[Mapping[str, Any]], forecast: Forecast
    ) -> None:
        found = self._found.setdefault(tenant, _Found())
        live = {one["metadata"]["name"]: one for one in there}
        specs = {name: one.get("spec") or {} for name, one in live.items()}
        changes = found.poddefaults
        for number, wanted in self._wants(tenant):
            changes[number], spec = self._poddefault(tenant, number, wanted, live.get(wanted.grant))
            if number in found.absent:
                note = f"the Secret {wanted.secret_name}, which something else brings, is not there"
                note += (
                    " yet." if not self._book.grant(number).required else ": a pod waits for it."
                )
                note = f"{changes[number].note} {note}".strip()
                changes[number] = replace(changes[number], note=note)
            if spec is not None:
                specs[wanted.grant] = spec
        names = {one.name for one in changes.values()}
        for name, one in live.items():
            if self._prune and is_ours(one) and name not in names:
                old = self._no_longer("PodDefault", one["metadata"])
                if old is not None:
                    found.old_poddefaults.append(old)
                    specs.pop(name, None)
        if not changes:
            return
        ours = [one.name for one in changes.values() if one.action not in _NOT_THERE]
        findings = forecast.of(specs, ours, self._homes[tenant])
        for number, change in changes.items():
            own = tuple(one for one in findings if change.name in one.subjects)
            changes[number] = replace(change, findings=own)
        rest = tuple(one for one in findings if set(ours).isdisjoint(one.subjects))
        if rest:
            self.other_findings[tenant] = rest

    def _poddefault(
        self, tenant: str, number: int, wanted: Wanted, live: Mapping[str, Any] | None
    ) -> tuple[Change, Mapping[str, Any] | None]:
        """Say what becomes of one, and its spec then."""
        change = Change(tenant, "PodDefault", wanted.grant, "create", grant=wanted.grant)
        if wanted.unfit is not None:
            unfit = wanted.unfit
            return replace(change, action=unfit.action, note=unfit.note), None
        obj = self._book.poddefault(number, self._homes[tenant])
        if (PODDEFAULT, tenant) in self._standing.unreadable:
            note = "PodDefaults may not be read here; it is created where there is none."
            return replace(change, action="unknown", note=note), obj["spec"]
        if live is None:
            return change, obj["spec"]
        change = replace(change, resource_version=live["metadata"]["resourceVersion"])
        note = ""
        if not is_ours(live):
            kept = controller(live)
            if kept or not self._adopt:
                note = _kept_in_step(kept) if kept else _foreign(live)
                return replace(change, action="foreign", note=note), None
            note = "taken over."
        posted = self._rights[tenant][PODDEFAULT].by_post
        fields = poddefault_fields(live, obj, posted=posted)
        action: Action = "change" if fields else "unchanged"
        change = self._taken(replace(change, action=action, fields=fields, note=note))
        if change.action == "foreign":
            return change, None
        return (change if posted else self._without_copy(live, change)), obj["spec"]

    # ── all together ─────────────────────────────────────────────────────────

    def _ordered(self) -> Iterator[Change]:
        used = self._used() if self._tidy else {}
        if self._everywhere:
            more = [name for name in self._found if name not in self._rights]
            self._rights.update(rights(self._cluster, more) if more else {})
        for tenant in sorted({*self._homes, *self._found}):
            found = self._found.get(tenant, _Found())
            failed = set()
            for number, want in self._wants(tenant):
                secret = self._secret(tenant, number, want, found)
                poddefault = self._allowed(found.poddefaults[number])
                if secret is not None:
                    secret = _advised(self._allowed(secret), want)
                    yield secret
                    poddefault = _after(secret, poddefault)
                yield poddefault
                if any(
                    one is not None and one.action in (*_NOT_THERE, "unknown")
                    for one in (secret, poddefault)
                ):
                    failed.add(want.grant)
            old = (*found.old_poddefaults, *(_kept(one, used, failed) for one in found.old_secrets))
            readable = (PODDEFAULT, tenant) not in self._standing.unreadable
            yield from keep_needed(map(self._allowed, old), readable=readable)
            yield from self._not_listed(tenant)

    def _not_listed(self, tenant: str) -> Iterator[Change]:
        """Say of what it is not known whether something is no longer granted."""
        kinds = (PODDEFAULT, SECRET) if self._prune else (SECRET,) if self._tidy else ()
        for kind in kinds:
            if (kind, tenant) in self._standing.unreadable:
                note = not_listed(self._cluster.who, kind, "what is no longer granted is not known")
                yield Change(tenant, kind_name(kind), _ANY, "forbidden", note=note)

    def _secret(self, tenant: str, number: int, want: Wanted, found: _Found) -> Change | None:
        change = found.secrets.get(number)
        if change is not None:
            return change
        if want.unfit is not None:
            if isinstance(self._book.grant(number).secret, str):
                return None
            return Change(
                tenant,
                "Secret",
                want.secret_name,
                want.unfit.action,
                note=want.unfit.note,
                grant=want.grant,
            )
        if want.secret is None:
            return None
        note = "Secrets may not be read here; it is created where there is none, and else stays."
        return Change(tenant, "Secret", want.secret.name, "unknown", note=note, grant=want.grant)

    def _allowed(self, change: Change) -> Change:
        """Take in what whoever asks may do."""
        kind = SECRET if change.kind == "Secret" else PODDEFAULT
        tenant = self._homes.get(change.tenant)
        if tenant is not None and tenant.going and change.writes and change.action != "delete":
            return replace(change, action="invalid", note="the namespace is being deleted.")
        may = self._rights[change.tenant][kind]
        verb = may.missing(change.action)
        if verb is not None:
            note = f"{self._cluster.who} may not {verb} {kind.plural} here."
            return replace(change, action="forbidden", note=note)
        if not may.by_post or change.action not in ("create", "unknown", "change", "recreate"):
            return change
        if kind == SECRET:
            return replace(change, action="forbidden", note="Secrets may not be patched here.")
        action: Action = "recreate" if change.action == "change" else change.action
        note = "deleted and created, since patching it is denied here."
        note = f"{change.note} {note}".strip() if action == "recreate" else change.note
        return replace(change, action=action, note=note, by_post=True)

    def _used(self) -> dict[tuple[str, str], str]:
        """Say by whom the Secrets that would go are used; several tenants are asked at once."""
        old = {
            tenant: frozenset(one.name for one in found.old_secrets)
            for tenant, found in self._found.items()
            if found.old_secrets
        }

        def ask(tenant: str) -> list[tuple[tuple[str, str], str]]:
            try:
                found = uses(self._cluster, [tenant], old[tenant])
            except ClusterError:
                why = "whether a pod uses it is not known: pods may not be read here."
                return [((tenant, name), why) for name in old[tenant]]
            return [((tenant, one.secret), f"pod {one.pod} uses it.") for one in found]

        answers = in_order(ask, sorted(old), workers=self._cluster.workers)
        return {place: why for answer in answers for place, why in answer}


def _advised(change: Change, want: Wanted) -> Change:
    """Take in what programs that read the Secret would not take."""
    if not want.advice or change.action not in (*_NEW, "unchanged"):
        return change
    found = (_unread(change.name, sentence) for sentence in want.advice)
    return replace(change, findings=(*change.findings, *found))


_NEW = ("create", "change", "recreate", "unknown")


@cache
def _unread(name: str, sentence: str) -> Finding:
    """Give the finding of a Docker configuration that programs cannot use; one for all tenants."""
    return Finding(
        "docker-config",
        "warning",
        sentence.rstrip("."),
        "whoever uses the registry with it",
        "Write it as docker login does.",
        subjects=(name,),
        on=name,
    )


@cache
def _copied(name: str) -> Finding:
    """Give the finding of kubectl's copy; one for all tenants."""
    return Finding(
        "last-applied",
        "warning",
        f"its annotation {LAST_APPLIED} holds a copy of the values",
        "whoever may read the annotations of Secrets, and what keeps them",
        "--adopt takes it away. Use kubectl apply --server-side instead of kubectl apply.",
        subjects=(name,),
        on=name,
    )


_SHOWN = 10


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _foreign(there: Mapping[str, Any]) -> str:
    return f"there is one that is not ours ({keeper(there)}); --adopt takes it over."


def _kept_in_step(kept: str) -> str:
    return (
        f"{kept} keeps one in step that is not ours, and would write it again. Name it in the "
        "grant as an existing Secret, or take another name."
    )


def _older(grant: str) -> str:
    return (
        "an older one; once no pod uses it, `jupyter kfsecrets rotate "
        f"{grant} --prune` with the values of now deletes it, or "
        "`jupyter kfsecrets apply -f FILE --prune`."
    )


_ANY = "*"
_NAMES_LISTED = 16
_NOT_THERE = ("foreign", "forbidden", "invalid")


def _kept(change: Change, used: Mapping[tuple[str, str], str], failed: Collection[str]) -> Change:
    why = used.get((change.tenant, change.name))
    if change.grant in failed:
        why = "what comes after it is not there."
    if change.action != "delete" or why is None:
        return change
    return replace(change, action="keep", note=f"no longer granted, and stays: {why}")


def _after(secret: Change, poddefault: Change) -> Change:
    """A PodDefault is not written for a Secret that is not ours, or cannot be written."""
    if secret.action not in _NOT_THERE or not poddefault.writes:
        return poddefault
    note = f"its Secret {secret.name} is {secret.action}."
    return replace(poddefault, action=secret.action, note=note)
