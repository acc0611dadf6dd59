"""Why no PodDefault arrives: the webhook, the CRD, the tenants, the rights, each with the fix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from kfsecrets_ext.cluster import CRD, NAMESPACE, PODDEFAULT, WEBHOOK, Cluster
from kfsecrets_ext.errors import ClusterError, Rejected
from kfsecrets_ext.poddefaults import PROFILE_LABEL, lint
from kfsecrets_ext.poddefaults.selectors import Unreadable, selector

from .clusterrole import ENDPOINTS, RIGHTS, ROLE_NAME, SERVICE, VERBS, Right
from .probe import minimal
from .result import Check, Result, read, sentence
from .tenants import Tenant, tenants
from .verify import PODDEFAULT_WEBHOOKS

__all__ = ["CONFIGURATIONS", "Check", "Diagnosis", "diagnose"]

Diagnosis = Result
"""What `diagnose` gives."""

CONFIGURATIONS: Final = (
    "admission-webhook-mutating-webhook-configuration",
    "poddefaults-webhook-mutating-webhook-configuration",
)
"""What Kubeflow calls the webhook's configuration: its manifests, and the dashboard from 2.0 on."""


def diagnose(cluster: Cluster, tenant: str | None = None) -> Diagnosis:
    """Walk from the webhook to the PodDefaults of the tenants.

    Parameters
    ----------
    cluster : Cluster
    tenant : str, optional
        A namespace; by default all tenants that can be found.

    Returns
    -------
    Diagnosis
        In the order in which to mend it. ``"unknown"`` is what may not be read.
    """
    found = list(_Walk(cluster, tenant).checks())
    return Result(tuple(found), cluster.server, cluster.context, cluster.who)


_PATH = "/apply-poddefault"
_CRD_NAME = "poddefaults.kubeflow.org"
# what the PodDefaults that we write are made of
_FIELDS = frozenset({"selector", "desc", "volumes", "volumeMounts", "env", "envFrom"})


@dataclass(frozen=True)
class _Hook:
    """A webhook of PodDefaults, and the configuration that it is part of."""

    configuration: str
    number: int
    hook: Mapping[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        return str(self.hook.get("name"))

    def sees(self, labels: Mapping[str, Any]) -> bool:
        try:
            return selector(self.hook.get("namespaceSelector")).matches(labels)
        except Unreadable:
            return False


class _Walk:
    """One walk, and what was found on the way."""

    def __init__(self, cluster: Cluster, tenant: str | None) -> None:
        self.cluster = cluster
        self.tenant = tenant
        self.hooks: list[_Hook] | None = None
        self.tenants: list[Tenant] = []

    def checks(self) -> Iterator[Check]:
        server = self._server()
        yield server
        if server.state == "failed":
            return
        found, missing = self._tenants()
        self.tenants = found
        if self.cluster.home == "embedded":
            yield Check("webhook", "ok", "the embedded cluster admits pods itself")
        else:
            yield from self._webhooks()
            yield from self._crd()
        yield from missing
        yield from self._seen()
        seen = [one for one in self.tenants if one.injected is not False]
        if seen:
            yield self._answer(seen[0].name)
        yield from self._poddefaults()
        yield from self._rights()

    def _server(self) -> Check:
        refused = None
        try:
            self.cluster.allowed("list", NAMESPACE)
        except ClusterError as error:
            refused = error
        if refused is None:
            return Check("server", "ok", f"{self.cluster.server} answers {self.cluster.who}")
        known = refused.reason == "Unauthorized"
        fix = "renew the credentials of the context" if known else "kubectl version"
        return Check("server", "failed", sentence(refused), fix)

    # ── the webhook ──────────────────────────────────────────────────────────

    def _webhooks(self) -> Iterator[Check]:
        listed, error = read(lambda: list(self.cluster.list(WEBHOOK)))
        if listed is None:
            what = f"its configuration may not be read: {error}"
            yield Check("webhook", "unknown", what)
            return
        self.hooks = [
            _Hook(str(one["metadata"]["name"]), number, hook)
            for one in listed
            for number, hook in enumerate(one.get("webhooks") or ())
            if one["metadata"]["name"] in CONFIGURATIONS
            or hook.get("name") in PODDEFAULT_WEBHOOKS
            or _path(hook) == _PATH
        ]
        if not self.hooks:
            yield Check(
                "webhook",
                "failed",
                "there is none: neither " + " nor ".join(CONFIGURATIONS),
                "install the PodDefaults webhook of Kubeflow (admission-webhook)",
            )
        for hook in self.hooks:
            faults = list(self._faults(hook))
            yield from faults
            if not faults:
                yield Check("webhook", "ok", "it is set up as it should be", on=hook.configuration)
            yield self._endpoints(hook)

    def _faults(self, one: _Hook) -> Iterator[Check]:
        hook, at = one.hook, f"/webhooks/{one.number}"

        def fault(what: str, fix: str) -> Check:
            return Check("webhook", "failed", what, fix, on=one.configuration)

        def set_to(path: str, value: str) -> str:
            patch = f'[{{"op": "replace", "path": "{at}/{path}", "value": {value}}}]'
            return (
                f"kubectl patch mutatingwebhookconfiguration {one.configuration} --type=json "
                f"-p='{patch}'"
            )

        versions = hook.get("admissionReviewVersions") or []
        if versions[:1] != ["v1beta1"]:
            # its answers carry neither apiVersion nor kind, which v1 does not forgive
            yield fault(
                "admissionReviewVersions does not begin with v1beta1: every pod of every tenant "
                "fails with an error of the API server",
                set_to("admissionReviewVersions", '["v1beta1", "v1"]'),
            )
        if hook.get("failurePolicy") != "Fail":
            yield fault(
                "failurePolicy is not Fail: while the webhook is down, notebooks start without "
                "their credentials, and nothing says so",
                set_to("failurePolicy", '"Fail"'),
            )
        if hook.get("sideEffects") not in ("None", "NoneOnDryRun"):
            yield fault(
                "sideEffects is not None: the API server refuses a dry run, and nothing can be "
                "proved",
                set_to("sideEffects", '"None"'),
            )
        if not any(_creates_pods(rule) for rule in hook.get("rules") or ()):
            yield fault(
                "no rule asks it about pods that are created",
                "install the webhook's configuration again",
            )
        # without one the API server goes by the machine's, which know no Service's certificate
        if _service(hook) and not hook["clientConfig"].get("caBundle"):
            yield fault(
                "it has no caBundle: the API server does not trust the webhook's certificate",
                "see whether cert-manager runs, which writes it: kubectl get certificates -A",
            )

    def _endpoints(self, one: _Hook) -> Check:
        service = _service(one.hook)
        on = one.configuration
        if not service:
            what = "it is behind an address of its own, which is not looked at"
            return Check("service", "unknown", what, on=on)
        namespace, name = str(service.get("namespace")), str(service.get("name"))
        there, error = read(lambda: self.cluster.get(SERVICE, name, namespace=namespace))
        whole = f"{namespace}/{name}"
        if error is not None:
            return Check("service", "unknown", f"Service {whole} may not be read: {error}", on=on)
        if there is None:
            what = f"Service {whole} is not there: no notebook of any tenant starts"
            return Check("service", "failed", what, "install the webhook again", on=on)
        label = f"kubernetes.io/service-name={name}"
        slices, error = read(
            lambda: list(self.cluster.list(ENDPOINTS, namespace=namespace, labels=label))
        )
        if slices is None:
            return Check(
                "service", "unknown", f"what stands behind {whole} may not be read: {error}", on=on
            )
        if not any(_ready(one) for each in slices for one in each.get("endpoints") or ()):
            return Check(
                "service",
                "failed",
                f"no pod stands behind Service {whole}: no notebook of any tenant starts",
                f"kubectl -n {namespace} get pods",
                on=on,
            )
        return Check("service", "ok", f"a pod stands behind Service {whole}", on=on)

    def _answer(self, tenant: str) -> Check:
        """Ask for a pod that chooses nothing: whether the webhook answers at all."""
        refused = None
        try:
            self.cluster.create(minimal(tenant, {}), dry_run=True)
        except Rejected as error:
            refused = error
        except ClusterError as error:
            what = f"whether pods are admitted could not be tried: {sentence(error)}"
            return Check("admission", "unknown", what, tenant=tenant)
        if refused is None:
            return Check("admission", "ok", "a pod is admitted", tenant=tenant)
        if refused.webhook in PODDEFAULT_WEBHOOKS.union(hook.name for hook in self.hooks or ()):
            down = refused.reason == "InternalError"
            return Check(
                "admission",
                "failed",
                f"no pod is admitted: {sentence(refused)}",
                "kubectl -n kubeflow get pods" if down else f"jupyter kfsecrets lint -n {tenant}",
                tenant=tenant,
            )
        what = f"a pod is refused by something else: {sentence(refused)}"
        return Check("admission", "unknown", what, tenant=tenant)

    # ── the CRD ──────────────────────────────────────────────────────────────

    def _crd(self) -> Iterator[Check]:
        crd, error = read(lambda: self.cluster.get(CRD, _CRD_NAME))
        install = "install the PodDefault CRD of Kubeflow"
        if error is not None:
            listed, _ = read(self._one_poddefault)
            if listed is None:
                yield Check("crd", "unknown", f"it may not be read: {error}", on=_CRD_NAME)
            else:
                what = "PodDefaults can be read; which fields they have may not be"
                yield Check("crd", "ok", what, on=_CRD_NAME)
            return
        if crd is None:
            yield Check("crd", "failed", "it is not installed", install, on=_CRD_NAME)
            return
        versions = [
            version
            for version in (crd.get("spec") or {}).get("versions") or ()
            if version.get("name") == PODDEFAULT.version and version.get("served")
        ]
        if not versions:
            what = f"version {PODDEFAULT.version} is not served"
            yield Check("crd", "failed", what, install, on=_CRD_NAME)
            return
        schema = (versions[0].get("schema") or {}).get("openAPIV3Schema") or {}
        spec = (schema.get("properties") or {}).get("spec") or {}
        known = set(spec.get("properties") or ())
        missing = sorted(_FIELDS - known)
        if missing and not spec.get("x-kubernetes-preserve-unknown-fields"):
            what = f"it does not know {', '.join(missing)}, which are dropped without a word"
            yield Check("crd", "failed", what, install, on=_CRD_NAME)
            return
        yield Check("crd", "ok", "it is served, with the fields that are used here", on=_CRD_NAME)

    def _one_poddefault(self) -> list[Any]:
        for one in self.cluster.list(PODDEFAULT, namespace=self.tenant, metadata_only=True, page=1):
            return [one]
        return []

    # ── the tenants ──────────────────────────────────────────────────────────

    def _tenants(self) -> tuple[list[Tenant], list[Check]]:
        if self.tenant is None:
            found, error = read(lambda: tenants(self.cluster, everyone=True))
            if found is None:
                what = f"tenants may not be listed, name one: {error}"
                return [], [Check("namespace", "unknown", what)]
            if not found:
                label = "=".join(PROFILE_LABEL)
                what = f"there is no tenant: no namespace has the label {label}"
                return [], [Check("namespace", "failed", what, "jupyter kfsecrets tenants")]
            return found, []
        name = self.tenant
        space, error = read(lambda: self.cluster.get(NAMESPACE, name, metadata_only=True))
        if error is not None:
            what = f"its label may not be read: {error}"
            return [Tenant(name)], [Check("namespace", "unknown", what, tenant=name)]
        if space is None:
            what = "it is not there: a tenant's namespace comes with the first login"
            fix = f"jupyter kfsecrets tenants --wait {name}"
            return [], [Check("namespace", "failed", what, fix, tenant=name)]
        return [Tenant.of(space)], []

    def _seen(self) -> Iterator[Check]:
        fine = 0
        for one in self.tenants:
            if one.injected is False and one.is_source:
                what = "it is what a hand-over copies from: no PodDefault applies, and none has to"
                yield Check("namespace", "ok", what, tenant=one.name)
            elif one.injected is False:
                what = (
                    f"it does not have the label {'='.join(PROFILE_LABEL)}: the webhook is not "
                    "asked about its pods, and no PodDefault applies"
                )
                yield Check("namespace", "failed", what, one.fix, tenant=one.name)
            elif one.injected and self.hooks:
                seeing = [hook for hook in self.hooks if hook.sees(one.labels)]
                if not seeing:
                    yield Check(
                        "namespace",
                        "failed",
                        "no webhook's namespaceSelector chooses it",
                        "kubectl get mutatingwebhookconfiguration "
                        f"{self.hooks[0].configuration} -o yaml",
                        tenant=one.name,
                    )
                elif len(seeing) > 1:
                    yield Check("namespace", "failed", *_one_too_many(seeing), tenant=one.name)
                else:
                    fine += 1
            elif one.injected:
                fine += 1
        if fine:
            many = "it has" if self.tenant is not None else f"{fine} have"
            what = f"{many} the label that the webhook goes by"
            yield Check("namespace", "ok", what, tenant=self.tenant)

    def _poddefaults(self) -> Iterator[Check]:
        by_name = {one.name: one for one in self.tenants}
        listed, error = read(lambda: list(self.cluster.list(PODDEFAULT, namespace=self.tenant)))
        if listed is None:
            if error is not None:
                what = f"PodDefaults may not be read: {error}"
                yield Check("poddefaults", "unknown", what, tenant=self.tenant)
            return
        grouped: dict[str, list[Mapping[str, Any]]] = {name: [] for name in by_name}
        for one in listed:
            home = str(one["metadata"].get("namespace"))
            if home in grouped:
                grouped[home].append(one)
        for home, group in grouped.items():
            findings = [
                finding
                for finding in lint(group, namespace=home)
                if finding.severity in ("error", "warning")
            ]
            errors = [finding for finding in findings if finding.severity == "error"]
            for finding in errors:
                named = ", ".join(finding.subjects)
                what = f"{finding.code}: {finding.what}"
                yield Check("poddefaults", "failed", what, finding.fix, tenant=home, on=named)
            if not errors and (group or self.tenant is not None):
                warnings = len(findings)
                count = f"{len(group)} PodDefault{'' if len(group) == 1 else 's'}"
                what = f"{count}, of which no choice is refused"
                fix = f"jupyter kfsecrets lint -n {home}" if warnings else None
                if warnings:
                    what += f"; {warnings} warning{'' if warnings == 1 else 's'}"
                yield Check("poddefaults", "ok", what, fix, tenant=home)

    # ── the rights ───────────────────────────────────────────────────────────

    def _rights(self) -> Iterator[Check]:
        asked: dict[tuple[str, Any], bool | None] = {}

        def may(verb: str, right: Right) -> bool | None:
            place = (verb, right.kind)
            if place not in asked:
                # apiserver: a Namespace is in the namespace of its own name
                its_own = right.kind == NAMESPACE and verb == "get"
                home = self.tenant if right.kind.namespaced or its_own else None
                asked[place], _ = read(
                    lambda: self.cluster.allowed(
                        verb, right.kind, namespace=home, name=home if its_own else None
                    )
                )
            return asked[place]

        missing: dict[str, list[Right]] = {ours: [] for ours in VERBS}
        unknown: dict[str, list[Right]] = {ours: [] for ours in VERBS}
        for right in RIGHTS:
            answer = may(right.verb, right)
            if answer or (right.instead and all(may(verb, right) for verb in right.instead)):
                continue
            for ours in right.verbs:
                (unknown if answer is None else missing)[ours].append(right)
        fix = _grants([ours for ours in VERBS if missing[ours]])
        where = "" if self.tenant is None else f" in {self.tenant}"
        who = self.cluster.who
        for ours in VERBS:
            if missing[ours]:
                what = f"{who} lacks{where}: {_listed(missing[ours])}"
                yield Check("permissions", "failed", what, fix, self.tenant, on=ours)
            elif unknown[ours]:
                what = f"whether {who} may{where} cannot be known: {_listed(unknown[ours])}"
                yield Check("permissions", "unknown", what, tenant=self.tenant, on=ours)
            else:
                what = f"{who} may do all that it needs{where}"
                yield Check("permissions", "ok", what, tenant=self.tenant, on=ours)


def _grants(verbs: Iterable[str]) -> str:
    """Write the command that gives the rights for some verbs of ours."""
    # unlike apply and create, it adds to a role and a binding that are there
    reconcile = "kubectl auth reconcile -f -"
    return (
        f"jupyter kfsecrets clusterrole {' '.join(verbs)} | {reconcile}; "
        f"kubectl create clusterrolebinding {ROLE_NAME} --clusterrole={ROLE_NAME} --user=… "
        f"--dry-run=client -o yaml | {reconcile}"
    )


def _one_too_many(seeing: list[_Hook]) -> tuple[str, str]:
    """Say that several webhooks see a tenant, and which has to go."""
    homes = list(dict.fromkeys(hook.configuration for hook in seeing))
    names = " and ".join(hook.name for hook in seeing)
    twice = "what adds up comes twice"
    if len(homes) == 1:
        return (
            f"two webhooks of {homes[0]} are asked about its pods, {names}: {twice}",
            f"kubectl edit mutatingwebhookconfiguration {homes[0]}  # leave one of {names}",
        )
    delete = f"kubectl delete mutatingwebhookconfiguration {homes[0]}"
    return (
        f"two webhooks are asked about its pods, {' and '.join(homes)}: {twice}",
        f"{delete}  # the one that is left over from before",
    )


def _listed(rights: Iterable[Right]) -> str:
    return ", ".join(map(str, rights))


def _service(hook: Mapping[str, Any]) -> Mapping[str, Any]:
    service = (hook.get("clientConfig") or {}).get("service")
    return service if isinstance(service, Mapping) else {}


def _path(hook: Mapping[str, Any]) -> str:
    client = hook.get("clientConfig") or {}
    return str(_service(hook).get("path") or urlsplit(str(client.get("url") or "")).path)


def _creates_pods(rule: Mapping[str, Any]) -> bool:
    def has(name: str, *wanted: str) -> bool:
        return bool({*wanted, "*"} & set(rule.get(name) or ()))

    return (
        has("operations", "CREATE")
        and has("resources", "pods", "*/*")
        and has("apiGroups", "")
        and has("apiVersions", "v1")
    )


def _ready(endpoint: Mapping[str, Any]) -> bool:
    # discovery.k8s.io: unknown is to be taken for ready
    return (endpoint.get("conditions") or {}).get("ready") is not False
