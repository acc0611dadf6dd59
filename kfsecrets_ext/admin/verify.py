"""Proof that a grant arrives: what a real API server makes of a notebook's pod, and what runs.

A pod is asked for as a dry run: the whole of admission looks at it, and nothing is made. Then
notebooks that run are looked at. Whatever a webhook says stays unsaid, since it quotes values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from kfsecrets_ext.cluster import (
    NAMESPACE,
    NOTEBOOK,
    POD,
    PODDEFAULT,
    SECRET,
    STATEFULSET,
    Cluster,
)
from kfsecrets_ext.errors import ClusterError, Forbidden, Rejected, SecretError
from kfsecrets_ext.poddefaults import PROFILE_LABEL, Admission, PodDefault, admit, stamp
from kfsecrets_ext.poddefaults.defaults import defaulted
from kfsecrets_ext.poddefaults.selectors import Selector, Unreadable, selector
from kfsecrets_ext.values import SecretBytes

from .delivery import gives, lacks, secret_keys
from .from_secret import FromSecret
from .grant import Grant
from .parallel import in_order
from .probe import from_notebook, minimal
from .result import Check, Result, State, read, sentence
from .running import NOTEBOOK_LABEL, changed, notebooks, reached
from .secret import SecretObject
from .tenants import Tenant

__all__ = ["PODDEFAULT_WEBHOOKS", "Check", "Verification", "verify"]

PODDEFAULT_WEBHOOKS = frozenset(
    {
        "poddefaults-webhook-deployment.kubeflow.org",
        "admission-webhook-deployment.kubeflow.org",
        "admission-webhook.kubeflow.org",
    }
)
"""The names of the PodDefaults' webhook: Kubeflow's dashboard from 2.0 on, and before; Charmed
Kubeflow (canonical/admission-webhook-operator)."""

Verification = Result
"""What `verify` gives."""


def verify(
    cluster: Cluster,
    grants: Iterable[Grant | str],
    tenants: Iterable[Tenant | str],
    *,
    progress: Callable[[str], object] | None = None,
) -> Verification:
    """Prove that grants arrive.

    Parameters
    ----------
    cluster : Cluster
    grants : iterable of Grant or str
        A name stands for the PodDefault of that name, as it is stored; with a grant, what is
        stored is compared with it.
    tenants : iterable of Tenant or str
        Names of namespaces will do.
    progress : callable, optional
        Is told the name of each tenant that is done, from any thread.

    Returns
    -------
    Verification
        By tenant, in the order given. ``"unknown"`` is what could not be proved either way:
        a right that is missing, a quota or another webhook that refused the pod.
    """
    wanted = list(grants)
    sources = _Sources(cluster)

    def one(tenant: Tenant | str) -> list[Check]:
        name = tenant if isinstance(tenant, str) else tenant.name
        checks = _Tenant(cluster, name).checks(wanted, sources)
        if progress is not None:
            progress(name)
        return checks

    found = [
        check for checks in in_order(one, tenants, workers=cluster.workers) for check in checks
    ]
    return Result(tuple(found), cluster.server, cluster.context, cluster.who)


_APPLY = "jupyter kfsecrets apply -f FILE"


@dataclass(frozen=True)
class _Wanted:
    """A grant, as it is for one tenant."""

    name: str
    spec: Mapping[str, Any] | None = field(default=None, repr=False)
    secret: str | None = None
    keys: frozenset[str] = frozenset()
    type: str | None = None


@dataclass(frozen=True)
class _Asked:
    """What became of a pod that was asked for."""

    kind: str  # made, denied, down, refused, forbidden, unknown
    why: str = ""
    pod: Mapping[str, Any] = field(default_factory=dict, repr=False)
    sent: Mapping[str, Any] = field(default_factory=dict, repr=False)


class _Tenant:
    """One tenant, and what was read of it."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self.space: Mapping[str, Any] | None = None
        self.poddefaults: dict[str, Mapping[str, Any]] | None = None
        self.changes: dict[str, datetime] = {}

    def checks(self, grants: Sequence[Grant | str], sources: _Sources) -> list[Check]:
        """Look at all of it."""
        found = self._namespace()
        if self.space is None and found[0].state == "failed":
            return found
        wanted = []
        for grant in grants:
            try:
                wanted.append(sources.wanted(grant, self._tenant()))
            except SecretError as error:
                # what a template asks for may be what could not be read
                known = self.space is not None and not isinstance(error, ClusterError)
                state: State = "failed" if known else "unknown"
                name = grant if isinstance(grant, str) else grant.name
                found.append(self._check("grant", state, str(error), _Wanted(name)))
        found += self._poddefaults(wanted)
        for one in wanted:
            found += self._secrets(one)
        tenant = self._tenant()
        if tenant.is_source and not tenant.injected:
            return found  # no pod of this namespace is to get it
        probed = [one for one in wanted if self.poddefaults is None or one.name in self.poddefaults]
        customs, no_customs = read(lambda: list(self.cluster.list(NOTEBOOK, namespace=self.name)))
        found += self._probe(probed, customs or [])
        found += self._running(probed, customs, no_customs)
        return found

    # ── what is there ────────────────────────────────────────────────────────

    def _namespace(self) -> list[Check]:
        space, error = read(lambda: self.cluster.get(NAMESPACE, self.name, metadata_only=True))
        if error is not None:
            return [
                self._check(
                    "namespace",
                    "unknown",
                    f"whether the webhook looks at this namespace could not be read: {error}",
                )
            ]
        if space is None:
            return [
                self._check(
                    "namespace",
                    "failed",
                    "it is not there: a tenant's namespace comes with the first login",
                    fix=f"jupyter kfsecrets tenants --wait {self.name}",
                )
            ]
        self.space = space
        tenant = self._tenant()
        if not tenant.injected:
            if tenant.is_source:
                what = "it is what a hand-over copies from: no PodDefault applies here, as is meant"
                fix = "name tenants that get the copies, with -n or -A"
                return [self._check("namespace", "failed", what, fix=fix)]
            label, value = PROFILE_LABEL
            return [
                self._check(
                    "namespace",
                    "failed",
                    f"it does not have the label {label}={value}: the webhook is not asked about "
                    "its pods, and no PodDefault applies",
                    fix=tenant.fix,
                )
            ]
        return [self._check("namespace", "ok", "it has the label that the webhook goes by")]

    def _poddefaults(self, wanted: Sequence[_Wanted]) -> list[Check]:
        listed, error = read(lambda: list(self.cluster.list(PODDEFAULT, namespace=self.name)))
        if listed is None and error is None:
            what = "the cluster has no PodDefaults: their CRD is not installed"
            fix = "install the PodDefault CRD of Kubeflow"
            return [self._check("poddefault", "failed", what, one, fix=fix) for one in wanted]
        if listed is None:
            return [
                self._check("poddefault", "unknown", f"PodDefaults may not be read: {error}", one)
                for one in wanted
            ]
        self.poddefaults = {str(one["metadata"]["name"]): one for one in listed}
        return [self._poddefault(one) for one in wanted]

    def _poddefault(self, one: _Wanted) -> Check:
        stored = (self.poddefaults or {}).get(one.name)
        if stored is None:
            return self._check("poddefault", "failed", "it is not there", one, fix=_APPLY)
        if one.spec is None:
            return self._check("poddefault", "ok", "it is there", one)
        kept = PodDefault.from_mapping(stored).spec
        differs = sorted(key for key in {*kept, *one.spec} if kept.get(key) != one.spec.get(key))
        if differs:
            what = f"it is not as granted: {', '.join(differs)}"
            return self._check("poddefault", "failed", what, one, fix=_APPLY)
        return self._check("poddefault", "ok", "it is as granted", one)

    def _secrets(self, one: _Wanted) -> list[Check]:
        spec = self._spec(one)
        needed = dict(secret_keys(spec)) if spec is not None else {}
        if one.secret is not None:
            keys, starts = needed.get(one.secret, (set(), True))
            needed[one.secret] = (keys | one.keys, starts)
        return [
            self._secret(one, name, keys, starts) for name, (keys, starts) in sorted(needed.items())
        ]

    def _secret(self, one: _Wanted, name: str, keys: set[str], starts: bool) -> Check:
        about, error = read(lambda: self._about_secret(name))
        if error is not None:
            what = f"whether it is there and has the keys could not be read: {error}"
            return self._check("secret", "unknown", what, one, on=name)
        mends = f"{_APPLY}, or whoever brings this Secret"
        if about is None:
            waits = "notebooks start without it" if starts else "notebooks wait for it"
            return self._check(
                "secret", "failed", f"it is not there: {waits}", one, fix=mends, on=name
            )
        there, kind, change = about
        if change is not None:
            self.changes[name] = change
        missing = sorted(keys - there)
        if missing:
            what = f"it lacks {', '.join(map(repr, missing))}"
            return self._check("secret", "failed", what, one, fix=mends, on=name)
        if one.type is not None and name == one.secret and kind != one.type:
            what = f"it is of type {kind}, and {one.type} is granted"
            fix = f"kubectl delete secret {name} -n {self.name}, then {_APPLY}"
            return self._check("secret", "failed", what, one, fix=fix, on=name)
        return self._check("secret", "ok", "it is there, with its keys", one, on=name)

    def _about_secret(self, name: str) -> tuple[frozenset[str], str, datetime | None] | None:
        """Read of a Secret the names of its keys; the values end here."""
        secret = self.cluster.get(SECRET, name, namespace=self.name)
        if secret is None:
            return None
        keys = frozenset(map(str, secret.get("data") or {}))
        return keys, str(secret.get("type") or "Opaque"), changed(secret)

    # ── what admission makes of a pod ────────────────────────────────────────

    def _probe(
        self, wanted: Sequence[_Wanted], customs: Sequence[Mapping[str, Any]]
    ) -> list[Check]:
        if not wanted:
            return []
        labels = {one.name: self._labels(one) for one in wanted}
        merged = {key: value for one in labels.values() for key, value in one.items()}
        together = None
        # two that go by one label cannot be on one pod
        if all(self._selector(one).matches(merged) for one in wanted):
            together = self._ask(merged, customs)
            if together.kind != "denied" or len(wanted) == 1:
                return [check for one in wanted for check in self._judge(one, together)]
        found: list[Check] = []
        for one in wanted:
            found += self._judge(one, self._ask(labels[one.name], customs))
        if together is not None and not any(check.state == "failed" for check in found):
            what = f"each is well, and they cannot be chosen together: {together.why}"
            names = ", ".join(one.name for one in wanted)
            fix = "Give each its own volume, path and variables."
            found.append(self._check("together", "failed", what, fix=fix, on=names))
        return found

    def _ask(self, labels: Mapping[str, str], customs: Sequence[Mapping[str, Any]]) -> _Asked:
        """Ask for a pod as a notebook has it, and for a smaller one where that is refused."""
        chosen = sorted(
            customs,
            key=lambda one: (
                -len(set(labels) & set(one["metadata"].get("labels") or {})),
                str(one["metadata"].get("name")),
            ),
        )
        candidates = [from_notebook(one, labels) for one in chosen[:1]]
        asked = _Asked("unknown")
        for candidate in (*candidates, minimal(self.name, labels)):
            if candidate is None:
                continue
            asked = self._ask_for(candidate)
            if asked.kind != "refused":
                break
        return asked

    def _ask_for(self, pod: Mapping[str, Any]) -> _Asked:
        made, refused = None, None
        why = ""
        try:
            made = self.cluster.create(pod, dry_run=True)
        except Rejected as error:
            refused, why = (error.by, error.webhook, error.reason), sentence(error)
        except Forbidden as error:
            return _Asked("forbidden", sentence(error))
        except ClusterError as error:
            why = sentence(error)
        if made is not None:
            return _Asked("made", pod=made, sent=pod)
        foreseen = self._foreseen(pod)
        if refused is None or refused[0] is None:
            # an answer of the webhook's that breaks the pod comes as one of the API server's own
            if foreseen is not None and (foreseen.outcome == "broken patch" or foreseen.invalid):
                return _Asked("denied", foreseen.message)
            return _Asked("unknown" if refused is None else "refused", why)
        by, webhook, reason = refused
        called = reason != "InternalError"
        if by == "webhook" and called and foreseen is not None and foreseen.outcome == "denied":
            # whatever it is called
            return _Asked("denied", foreseen.message)
        if by != "webhook" or webhook not in PODDEFAULT_WEBHOOKS:
            return _Asked("refused", why)
        if not called:
            return _Asked("down", why)
        return _Asked(
            "denied",
            f"{why}; its reason is not repeated here, since it can quote values",
        )

    def _foreseen(self, pod: Mapping[str, Any]) -> Admission | None:
        if self.poddefaults is None:
            return None
        label, value = PROFILE_LABEL
        space = self.space or {"metadata": {"name": self.name, "labels": {label: value}}}
        return admit(defaulted(pod), self.poddefaults.values(), namespace=space)

    def _judge(self, one: _Wanted, asked: _Asked) -> list[Check]:
        if asked.kind == "made":
            return self._arrived(one, asked)
        if asked.kind == "denied":
            fix = f"jupyter kfsecrets lint -n {self.name}"
            return [self._check("admission", "failed", asked.why, one, fix=fix)]
        if asked.kind == "down":
            what = f"no notebook starts here, since its webhook does not answer: {asked.why}"
            fix = "jupyter kfsecrets doctor; kubectl -n kubeflow get pods,endpoints"
            return [self._check("admission", "failed", what, one, fix=fix)]
        if asked.kind == "forbidden":
            what = f"no pod may be asked for: {asked.why}"
            return [self._check("admission", "unknown", what, one)]
        if asked.kind == "unknown":
            what = f"no pod could be asked for: {asked.why}"
            return [self._check("admission", "unknown", what, one)]
        what = f"the pod that was asked for is refused by something else: {asked.why}"
        return [self._check("admission", "unknown", what, one)]

    def _arrived(self, one: _Wanted, asked: _Asked) -> list[Check]:
        spec = self._spec(one)
        annotations = asked.pod["metadata"].get("annotations") or {}
        there = annotations.get(stamp(one.name))
        if there is None:
            return [self._unstamped(one, asked)]
        found = [self._check("stamp", "ok", "the webhook applied it", one)]
        version = self._version(one)
        if version is not None and there != version:
            found = [
                self._check(
                    "stamp",
                    "unknown",
                    "the webhook applied another version of it: it changes right now",
                    one,
                )
            ]
        if spec is None:
            return found
        given = gives(spec)
        sent = [str(each.get("name")) for each in asked.sent["spec"].get("containers") or ()]
        missing = list(lacks(asked.pod, given, sent))
        for lack in missing:
            other = "has another one there" if lack.other else "does not have it"
            whose = f"container {lack.container}" if lack.container else "the pod"
            found.append(
                self._check(
                    lack.subject,
                    "failed",
                    f"{whose} {other}",
                    one,
                    fix=_APPLY,
                    on=lack.on,
                )
            )
        for subject, names in (("mount", given.mounts), ("variable", given.variables)):
            if names and not any(lack.subject == subject for lack in missing):
                what = f"every container has {', '.join(names)}"
                found.append(self._check(subject, "ok", what, one))
        return found

    def _unstamped(self, one: _Wanted, asked: _Asked) -> Check:
        foreseen = self._foreseen(asked.sent)
        if foreseen is not None and one.name not in foreseen.applied:
            what = f"it is not applied: {foreseen.message}"
            fix = f"jupyter kfsecrets lint -n {self.name}"
            return self._check("stamp", "failed", what, one, fix=fix)
        what = "it is not applied, and should be: the webhook was not asked, or let the pod be"
        return self._check("stamp", "failed", what, one, fix="jupyter kfsecrets doctor")

    # ── what runs ────────────────────────────────────────────────────────────

    def _running(
        self,
        wanted: Sequence[_Wanted],
        customs: list[dict[str, Any]] | None,
        no_customs: str | None,
    ) -> list[Check]:
        if self.poddefaults is None:
            return []
        pods, no_pods = read(
            lambda: list(self.cluster.list(POD, namespace=self.name, labels=NOTEBOOK_LABEL))
        )
        sets, no_sets = read(lambda: list(self.cluster.list(STATEFULSET, namespace=self.name)))
        found = [
            self._check("notebook", "unknown", f"{what} may not be read: {why}")
            for what, why in (
                ("Notebooks", no_customs),
                ("StatefulSets", no_sets),
                ("pods", no_pods),
            )
            if why is not None
        ]
        for notebook in notebooks(_plain(customs), _plain(sets), _plain(pods)):
            for one in wanted:
                found += reached(
                    notebook,
                    self.poddefaults[one.name],
                    tenant=self.name,
                    changes=self.changes,
                )
        return found

    # ── how ──────────────────────────────────────────────────────────────────

    def _tenant(self) -> Tenant:
        return Tenant(self.name) if self.space is None else Tenant.of(self.space)

    def _spec(self, one: _Wanted) -> Mapping[str, Any] | None:
        """What was granted, else what is stored."""
        if one.spec is not None:
            return one.spec
        stored = (self.poddefaults or {}).get(one.name)
        return None if stored is None else stored.get("spec") or {}

    def _version(self, one: _Wanted) -> str | None:
        stored = (self.poddefaults or {}).get(one.name)
        return None if stored is None else str(stored["metadata"].get("resourceVersion"))

    def _labels(self, one: _Wanted) -> dict[str, str]:
        """What chooses it: by what is stored, where that is known."""
        labels = {
            requirement.key: min(requirement.values or {"true"})
            for requirement in self._selector(one).requirements
            if requirement.operator in ("In", "Exists")
        }
        stored = one.name in (self.poddefaults or {})
        return labels if stored or labels else {one.name: "true"}

    def _selector(self, one: _Wanted) -> Selector:
        stored = (self.poddefaults or {}).get(one.name)
        spec = one.spec if stored is None else stored.get("spec")
        try:
            return selector((spec or {}).get("selector") or {})
        except Unreadable:
            return Selector()

    def _check(
        self,
        subject: str,
        state: State,
        what: str,
        one: _Wanted | None = None,
        *,
        fix: str | None = None,
        on: str = "",
    ) -> Check:
        grant = None if one is None else one.name
        return Check(subject, state, what, fix, self.name, grant, on or grant or self.name)


class _Sources:
    """Secrets that grants take their values from: of each the names of its keys, read once."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: dict[str, SecretObject] = {}

    def wanted(self, grant: Grant | str, tenant: Tenant) -> _Wanted:
        """Give a grant as it is for one tenant.

        Raises
        ------
        SecretError
            It cannot be written for this tenant, or its source cannot be read.
        """
        if isinstance(grant, str):
            return _Wanted(grant)
        source = grant.source(tenant)
        concrete = grant.for_tenant(tenant, None if source is None else self._read(grant, source))
        spec = concrete.poddefault()["spec"]
        secret = concrete.secret
        if isinstance(secret, SecretObject):
            return _Wanted(grant.name, spec, secret.name, frozenset(secret.data), secret.type)
        return _Wanted(grant.name, spec, str(secret))

    def _read(self, grant: Grant, source: FromSecret) -> SecretObject:
        place = repr(source)
        if place not in self._known:
            read = source.read(self._cluster)
            if not grant.hashed:
                # the values are of no use here
                read = replace(read, data=dict.fromkeys(read.data, SecretBytes()))
            self._known[place] = read
        return self._known[place]


def _plain(found: list[dict[str, Any]] | None) -> list[Mapping[str, Any]] | None:
    return None if found is None else list(found)
