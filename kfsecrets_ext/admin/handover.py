"""Manifests for a controller that keeps the tenants of tomorrow in step, too.

The controller copies from one namespace, into which the grant is applied as into a tenant; so no
manifest here holds a value. What a controller does not do is written at the top of its manifests.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from kfsecrets_ext.cluster.matching import requirements
from kfsecrets_ext.errors import InvalidName, SecretError
from kfsecrets_ext.poddefaults import PROFILE_LABEL
from kfsecrets_ext.poddefaults.selectors import Requirement, Unreadable

from .from_secret import FromSecret
from .grant import Grant
from .manifests import to_yaml

__all__ = [
    "CONTROLLERS",
    "PROFILES",
    "SOURCE_NAMESPACE",
    "CannotHandOver",
    "HandOver",
    "handover",
]

CONTROLLERS: Final = ("kyverno", "external-secrets", "reflector", "replicator")
"""Whom a grant can be handed over to."""

PROFILES: Final = "=".join(PROFILE_LABEL)
"""The selector of the namespaces that Kubeflow makes for profiles."""

SOURCE_NAMESPACE: Final = "kfsecrets-source"
"""Where the controllers copy from, unless another namespace is named."""


class CannotHandOver(SecretError):
    """The controller cannot do what the grant asks for.

    Attributes
    ----------
    name : str
        Of the grant.
    to : str
        The controller.
    reason : str
        Why, and what mends it.
    """

    def __init__(self, name: str, *, to: str, reason: str):
        self.name = name
        self.to = to
        self.reason = reason
        super().__init__(f"Grant {name!r} cannot be handed over to {to}: {reason}")


@dataclass(frozen=True)
class HandOver:
    """What to apply so that a controller takes over, and what it then does not do.

    Attributes
    ----------
    name : str
        Of the grant.
    to : str
        The controller.
    manifests : tuple of mapping
        In the order in which they are to be applied. None holds a value.
    header : str
        The steps before, and what is not covered; lines without a comment sign.
    """

    name: str
    to: str
    manifests: tuple[Mapping[str, Any], ...]
    header: str = field(repr=False)

    def to_yaml(self) -> str:
        """Write the manifests as YAML, the header above them as a comment."""
        comment = "".join(f"# {line}".rstrip() + "\n" for line in self.header.splitlines())
        return comment + "".join(f"---\n{to_yaml(one)}" for one in self.manifests)

    def to_json(self) -> dict[str, Any]:
        """Give ``name``, ``to``, ``header`` and ``manifests``."""
        return {
            "name": self.name,
            "to": self.to,
            "header": self.header,
            "manifests": [dict(one) for one in self.manifests],
        }


def handover(
    grant: Grant,
    *,
    to: str,
    source_namespace: str = SOURCE_NAMESPACE,
    selector: str = PROFILES,
    legacy: bool = False,
) -> HandOver:
    """Write the manifests that let a controller distribute a grant.

    Parameters
    ----------
    grant : Grant
        Its Secret may be but a name. Its namespace does not count.
    to : str
        One of `CONTROLLERS`.
    source_namespace : str
        Where the controller copies from.
    selector : str
        Of the tenants' namespaces, as kubectl takes it; by default the profiles of Kubeflow.
    legacy : bool
        For Kyverno, whether to write a ClusterPolicy in place of a GeneratingPolicy.

    Returns
    -------
    HandOver

    Raises
    ------
    CannotHandOver
        The grant differs from tenant to tenant, or is rotated under a new name, or is immutable:
        a copy cannot be.
    InvalidName
        The selector or the namespace cannot be one, or nothing has the name `to`. Or the grant has
        a name or a path that no apply would write.
    KeyNotFound
        The grant mounts a key that its Secret does not have.
    """
    write = _WRITERS.get(to)
    if write is None:
        raise InvalidName("controller", to, reason=f"it is none of {', '.join(CONTROLLERS)}")
    if legacy and to != "kyverno":
        raise CannotHandOver(grant.name, to=to, reason="only Kyverno has a legacy form.")
    if len(source_namespace) > 63 or not _DNS_LABEL.fullmatch(source_namespace):
        raise InvalidName(
            "namespace", source_namespace, reason="lower-case letters, digits and '-' will do"
        )
    obstacle = _obstacle(grant)
    if obstacle:
        raise CannotHandOver(grant.name, to=to, reason=obstacle)
    grant.poddefault()  # whether or not the controller copies it, the source has one
    secret, kind = _secret(grant)
    about = _About(
        grant.name,
        secret,
        kind,
        source_namespace,
        selector,
        _requirements(selector),
        legacy,
    )
    manifests, covers = write(about)
    return HandOver(grant.name, to, tuple(manifests), _header(about, to, covers))


_DNS_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")


@dataclass(frozen=True)
class _About:
    """What the writers need to know."""

    name: str
    secret: str
    type: str | None
    source: str
    selector: str
    requirements: tuple[Requirement, ...]
    legacy: bool

    @property
    def own(self) -> str:
        """The name of the cluster's objects that belong to this hand-over."""
        return f"kfsecrets-{self.name}"


_Written = tuple[Sequence[Mapping[str, Any]], Sequence[str]]


def _obstacle(grant: Grant) -> str | None:
    """Say what of a grant no copy can give."""
    if grant.immutable:
        return (
            "its Secret is immutable, and a controller could not bring a new value into the "
            "copies. Hand over a grant that is not."
        )
    if grant.hashed:
        return (
            "its Secret gets a new name with each value (append_hash), and the controller copies "
            "by name. Hand over a grant without it; then rotate the source in place."
        )
    if grant.per_tenant:
        return (
            "it has templates ({namespace}, {owner}), and a controller copies one Secret and one "
            "PodDefault to all. Keep it with `jupyter kfsecrets apply`."
        )
    return None


def _secret(grant: Grant) -> tuple[str, str | None]:
    """Give the Secret's name and its type, where that is known."""
    secret = grant.secret
    if isinstance(secret, str):
        return secret, None
    if isinstance(secret, FromSecret):
        return secret.as_name or grant.name, secret.type
    return secret.name, secret.type or "Opaque"


# ── the header ───────────────────────────────────────────────────────────────


def _header(about: _About, to: str, covers: Sequence[str]) -> str:
    manager = "" if to in ("kyverno", "external-secrets") else " --field-manager=kfsecrets-handover"
    lines = [
        f"Grant {about.name}, handed over to {to}. No value is in this file.",
        "",
        "1. kubectl create namespace " + about.source,
        f"2. apply the grant into {about.source}, as into a tenant: that is what is copied",
        f"3. kubectl apply --server-side{manager} -f FILE",
        "",
        "What it does not cover:",
    ]
    for line in (
        *covers,
        "Proof that a notebook gets it: `jupyter kfsecrets verify` gives it.",
        "The copies are not ours: `jupyter kfsecrets apply` and `delete` leave them alone.",
        f"Whoever may write Secrets in {about.source} writes them in every tenant.",
    ):
        lines += textwrap.wrap(
            line,
            width=92,
            initial_indent="- ",
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(lines) + "\n"


def _no_poddefaults(what: str) -> str:
    return (
        f"PodDefaults: {what} copies Secrets alone. Keep a grant that names the Secret without "
        "a value, and apply it to new tenants."
    )


# ── Kyverno ──────────────────────────────────────────────────────────────────


def _kyverno(about: _About) -> _Written:
    # the background controller's own role is aggregated from all that have this label
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {
            "name": f"kyverno:{about.own}",
            "labels": {"rbac.kyverno.io/aggregate-to-background-controller": "true"},
        },
        "rules": [
            {
                "apiGroups": [group],
                "resources": [resource],
                "verbs": ["get", "list", "watch", "create", "update", "delete"],
            }
            for group, resource in (("", "secrets"), ("kubeflow.org", "poddefaults"))
        ],
    }
    policy = _cluster_policy(about) if about.legacy else _generating_policy(about)
    common = [
        (
            f"Order: Kyverno waits for nothing. Secret {about.secret} and PodDefault {about.name} "
            f"have to be in {about.source} before."
        ),
        (
            "Rights: Kyverno's background controller may then read and write every Secret and "
            "PodDefault of the cluster; a narrower role would have to know the tenants."
        ),
        "A tenant that loses the label loses the copies, and deleting the policy deletes them all.",
    ]
    if about.legacy:
        return [role, policy], [
            "A Kyverno to come: the CRD of 1.19 calls ClusterPolicy deprecated.",
            "A Secret or PodDefault of that name which a tenant already has is overwritten.",
            (
                "An old Kyverno, which does not label what it makes with generate.kyverno.io/"
                "policy-name: its copies carry our label, and our delete and prune would take "
                "them for ours."
            ),
            *common,
        ]
    return [role, policy], [
        "Kyverno before 1.17, which does not know policies.kyverno.io/v1: ask for the legacy form.",
        (
            "A Secret or PodDefault of that name which a tenant already has, ours included, stays "
            "as it is and is not kept in step: remove it first."
        ),
        *common,
    ]


def _generating_policy(about: _About) -> dict[str, Any]:
    return {
        "apiVersion": "policies.kyverno.io/v1",
        "kind": "GeneratingPolicy",
        "metadata": {"name": about.own},
        "spec": {
            "evaluation": {
                "synchronize": {"enabled": True},
                "generateExisting": {"enabled": True},
            },
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE", "UPDATE"],
                        "resources": ["namespaces"],
                    }
                ]
            },
            "matchConditions": [
                {
                    "name": "tenants",
                    "expression": " && ".join(map(_expression, about.requirements)),
                }
            ],
            "variables": [
                {"name": "tenant", "expression": "object.metadata.name"},
                {
                    "name": "secret",
                    "expression": f'resource.Get("v1", "secrets", "{about.source}", '
                    f'"{about.secret}")',
                },
                {
                    "name": "poddefault",
                    "expression": 'resource.Get("kubeflow.org/v1alpha1", "poddefaults", '
                    f'"{about.source}", "{about.name}")',
                },
            ],
            "generate": [
                {
                    "expression": "generator.Apply(variables.tenant, "
                    "[variables.secret, variables.poddefault])"
                }
            ],
        },
    }


def _expression(asked: Requirement) -> str:
    """Write in CEL what a selector asks of one label of the namespace."""
    labels = "object.metadata.labels"
    there = f"has({labels}) && '{asked.key}' in {labels}"
    if asked.operator == "Exists":
        return f"({there})"
    if asked.operator == "DoesNotExist":
        return f"!({there})"
    # the characters of labels need no quoting in CEL or in an annotation
    values = ", ".join(f"'{value}'" for value in sorted(asked.values))
    among = f"({there} && {labels}['{asked.key}'] in [{values}])"
    return among if asked.operator == "In" else f"!{among}"


def _cluster_policy(about: _About) -> dict[str, Any]:
    def rule(api: str, kind: str, name: str) -> dict[str, Any]:
        return {
            "name": kind.lower(),
            "match": {
                "any": [
                    {
                        "resources": {
                            "kinds": ["Namespace"],
                            "selector": _label_selector(about.requirements),
                        }
                    }
                ]
            },
            "generate": {
                "generateExisting": True,
                "synchronize": True,
                "apiVersion": api,
                "kind": kind,
                "name": name,
                "namespace": "{{request.object.metadata.name}}",
                "clone": {"namespace": about.source, "name": name},
            },
        }

    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": about.own},
        "spec": {
            "rules": [
                rule("v1", "Secret", about.secret),
                rule("kubeflow.org/v1alpha1", "PodDefault", about.name),
            ]
        },
    }


# ── External Secrets ─────────────────────────────────────────────────────────


def _external_secrets(about: _About) -> _Written:
    in_source = {"name": about.own, "namespace": about.source}
    rbac = "rbac.authorization.k8s.io"
    selector = _label_selector(about.requirements)
    target: dict[str, Any] = {"name": about.secret, "creationPolicy": "Owner"}
    if about.type is not None:
        target["template"] = {"type": about.type}
    manifests: list[Mapping[str, Any]] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": dict(in_source)},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "Role",
            "metadata": dict(in_source),
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["secrets"],
                    "resourceNames": [about.secret],
                    "verbs": ["get"],
                }
            ],
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": dict(in_source),
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": about.own},
            "subjects": [{"kind": "ServiceAccount", **in_source}],
        },
        {
            "apiVersion": "external-secrets.io/v1",
            "kind": "ClusterSecretStore",
            "metadata": {"name": about.own},
            "spec": {
                "conditions": [{"namespaceSelector": selector}],
                "provider": {
                    "kubernetes": {
                        "remoteNamespace": about.source,
                        "server": {
                            "caProvider": {
                                "type": "ConfigMap",
                                "name": "kube-root-ca.crt",
                                "key": "ca.crt",
                                "namespace": about.source,
                            }
                        },
                        "auth": {"serviceAccount": dict(in_source)},
                    }
                },
            },
        },
        {
            "apiVersion": "external-secrets.io/v1",
            "kind": "ClusterExternalSecret",
            "metadata": {"name": about.own},
            "spec": {
                "externalSecretName": about.secret,
                "namespaceSelectors": [selector],
                "refreshTime": "1m",
                "externalSecretSpec": {
                    "refreshInterval": "1h0m0s",
                    "secretStoreRef": {"kind": "ClusterSecretStore", "name": about.own},
                    "target": target,
                    "dataFrom": [{"extract": {"key": about.secret}}],
                },
            },
        },
    ]
    covers = [
        _no_poddefaults("External Secrets"),
        (
            "Speed: a new value reaches the copies within the hour (refreshInterval), a new tenant "
            "within a minute (refreshTime); each tenant asks for itself."
        ),
        "A Secret of that name which a tenant already has: remove it first.",
    ]
    if about.type is None:
        covers.append(
            "The Secret's type, which is not known here: the copies are Opaque unless "
            "target.template.type is set."
        )
    return manifests, covers


# ── annotations: Reflector, replicator ───────────────────────────────────────

_REFLECTOR = "reflector.v1.k8s.emberstack.com"
_REPLICATOR = "replicator.v1.mittwald.de"
# Names are lower-case. Reflector takes a namespace that either the names or the selector allow,
# so this adds none; a release that knows no selector would take all without it.
_NO_NAMESPACE = "NO-NAMESPACE"


def _reflector(about: _About) -> _Written:
    annotations = {f"{_REFLECTOR}/reflection-allowed": "true"}
    for what in ("allowed", "auto"):
        annotations[f"{_REFLECTOR}/reflection-{what}-namespaces"] = _NO_NAMESPACE
        annotations[f"{_REFLECTOR}/reflection-{what}-namespaces-selector"] = about.selector
    annotations[f"{_REFLECTOR}/reflection-auto-enabled"] = "true"
    return [_annotated(about, annotations)], [
        _no_poddefaults("Reflector"),
        (
            "Reflector before March 2026, which knows no selector: it copies nothing, since the "
            f"names are limited to {_NO_NAMESPACE}, which none can have. Do not remove that: it "
            "would then copy to every namespace of the cluster."
        ),
        "A Secret of that name which a tenant already has may be taken over: remove it first.",
        _annotate(about),
    ]


def _replicator(about: _About) -> _Written:
    annotations = {
        f"{_REPLICATOR}/replicate-to-matching": about.selector,
        # else the copies would carry the label that marks what is ours
        f"{_REPLICATOR}/strip-labels": "true",
    }
    return [_annotated(about, annotations)], [
        _no_poddefaults("the replicator"),
        (
            "An old replicator, which knows no strip-labels: its copies carry our label, and "
            "our prune would take them for ours."
        ),
        "A Secret of that name which a tenant already has gets the keys of this one, unasked.",
        _annotate(about),
    ]


def _annotated(about: _About, annotations: Mapping[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": about.secret,
            "namespace": about.source,
            "annotations": dict(annotations),
        },
    }


def _annotate(about: _About) -> str:
    return (
        f"The Secret itself: these are annotations for Secret {about.secret} of {about.source}. "
        "Applied before it is there, they make an empty one."
    )


_WRITERS: Mapping[str, Callable[[_About], _Written]] = MappingProxyType(
    {
        "kyverno": _kyverno,
        "external-secrets": _external_secrets,
        "reflector": _reflector,
        "replicator": _replicator,
    }
)


# ── selectors ────────────────────────────────────────────────────────────────


def _requirements(selector: str) -> tuple[Requirement, ...]:
    fault = ""
    try:
        asked = requirements(selector)
    except Unreadable as error:
        fault = error.fault
    if fault or not asked:
        raise InvalidName("selector", selector, reason=fault or "it would take every namespace")
    return asked


def _label_selector(asked_for: Iterable[Requirement]) -> dict[str, Any]:
    labels: dict[str, str] = {}
    expressions: list[dict[str, Any]] = []
    for asked in asked_for:
        if asked.operator == "In" and len(asked.values) == 1 and asked.key not in labels:
            (labels[asked.key],) = asked.values
            continue
        one: dict[str, Any] = {"key": asked.key, "operator": asked.operator}
        if asked.values:
            one["values"] = sorted(asked.values)
        expressions.append(one)
    made: dict[str, Any] = {}
    if labels:
        made["matchLabels"] = labels
    if expressions:
        made["matchExpressions"] = expressions
    return made
