"""The administrator's ClusterRole: the rights that each verb needs, and no other."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from kfsecrets_ext.cluster import (
    CRD,
    NAMESPACE,
    NOTEBOOK,
    POD,
    PODDEFAULT,
    PROFILE,
    SECRET,
    STATEFULSET,
    WEBHOOK,
    Kind,
)
from kfsecrets_ext.errors import InvalidName

from .manifests import to_yaml

__all__ = [
    "ALIASES",
    "ENDPOINTS",
    "RIGHTS",
    "ROLE_NAME",
    "SERVICE",
    "VERBS",
    "Right",
    "cluster_role",
    "cluster_role_yaml",
    "rights_for",
    "shipped",
]

ROLE_NAME: Final = "kfsecrets-admin"

VERBS: Final = ("tenants", "plan", "apply", "rotate", "delete", "prune", "verify", "doctor")
"""What an administrator does with this package."""

_COMMANDS: Final = {"plan": "diff", "prune": "apply --prune"}
"""What is typed for it, where that is another word."""

ALIASES: Final = {"diff": "plan", "create": "apply"}
"""Commands that stand for one of `VERBS`."""

SERVICE: Final = Kind("", "v1", "services", "Service")
ENDPOINTS: Final = Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")


@dataclass(frozen=True)
class Right:
    """One right, and what it is for.

    Attributes
    ----------
    verb : str
        The API's.
    kind : Kind
    verbs : tuple of str
        Ours that need it, of `VERBS`.
    why : str
        What it is for.
    instead : tuple of str
        Verbs of the API that do as well where it is missing.
    """

    verb: str
    kind: Kind
    verbs: tuple[str, ...]
    why: str
    instead: tuple[str, ...] = ()

    def __str__(self) -> str:
        group = f".{self.kind.group}" if self.kind.group else ""
        return f"{self.verb} {self.kind.plural}{group}"


_CHANGES = ("apply", "rotate", "prune")
_WIDTH = 90

RIGHTS: Final[tuple[Right, ...]] = (
    Right("list", NAMESPACE, ("tenants", "doctor"), "to find tenants by their label"),
    Right(
        "get", NAMESPACE, ("tenants", "verify", "doctor"), "the label of a tenant, and its owner"
    ),
    Right("watch", NAMESPACE, ("tenants",), "to wait for a tenant's first login"),
    Right("list", PROFILE, ("tenants", "doctor"), "tenants whose namespace lacks the label"),
    Right("list", SECRET, ("plan", *_CHANGES, "delete"), "what stands in the tenants"),
    Right(
        "get", SECRET, ("plan", "apply", "rotate", "verify"), "the keys, and the source of a grant"
    ),
    Right("create", SECRET, ("apply", "rotate"), "a new Secret, or one of a new name or type"),
    Right("patch", SECRET, ("apply", "rotate"), "a new value, by server-side apply"),
    Right(
        "delete",
        SECRET,
        ("apply", "rotate", "prune", "delete"),
        "to take it away, or replace its type",
    ),
    Right("list", PODDEFAULT, ("plan", *_CHANGES, "delete", "verify", "doctor"), "what is there"),
    Right("create", PODDEFAULT, ("apply",), "a new PodDefault"),
    Right(
        "patch",
        PODDEFAULT,
        ("apply", "rotate"),
        "a change, by server-side apply",
        ("create", "delete"),
    ),
    Right("delete", PODDEFAULT, ("prune", "delete"), "to take it away"),
    Right("list", POD, ("rotate", "prune", "delete", "verify"), "who keeps an old value"),
    Right("create", POD, ("verify", "doctor"), "a dry run through admission; nothing is made"),
    Right("list", NOTEBOOK, ("verify",), "whose label did not reach its pod"),
    Right("list", STATEFULSET, ("verify",), "where such a label got lost"),
    Right("list", WEBHOOK, ("doctor",), "how the webhook is set up"),
    Right("get", CRD, ("doctor",), "which fields PodDefaults have here"),
    Right("get", SERVICE, ("doctor",), "whether the webhook's Service is there"),
    Right("list", ENDPOINTS, ("doctor",), "whether a pod stands behind it"),
)
"""All of them. Reviews of one's own access need no right: everyone may ask."""


def rights_for(verbs: Iterable[str]) -> tuple[Right, ...]:
    """Give the rights that some of our verbs need.

    Raises
    ------
    InvalidName
        One is none of `VERBS`, and of `ALIASES`.
    """
    wanted = {ALIASES.get(verb, verb) for verb in verbs}
    for verb in sorted(wanted - set(VERBS)):
        raise InvalidName("verb", verb, reason=f"it is none of {', '.join((*VERBS, *ALIASES))}")
    return tuple(right for right in RIGHTS if wanted & set(right.verbs))


def cluster_role(
    verbs: Collection[str] = VERBS,
    *,
    name: str = ROLE_NAME,
    without: Collection[Right] = (),
) -> dict[str, Any]:
    """Write the ClusterRole.

    Parameters
    ----------
    verbs : collection of str
        Ours, of `VERBS` or `ALIASES`.
    name : str
    without : collection of Right
        What is left out.

    Returns
    -------
    dict
    """
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": [
            {
                "apiGroups": [kind.group],
                "resources": [kind.plural],
                "verbs": [right.verb for right in rights],
            }
            for kind, rights in _by_kind(
                right for right in rights_for(verbs) if right not in without
            )
        ],
    }


def cluster_role_yaml(verbs: Collection[str] = VERBS, *, name: str = ROLE_NAME) -> str:
    """Write the ClusterRole as YAML, with a comment that says what each right is for."""
    rights = rights_for(verbs)
    ours = {ALIASES.get(verb, verb): _COMMANDS.get(verb, verb) for verb in verbs}
    lines = [f"# What `jupyter kfsecrets {' | '.join(ours.values())}` needs, and nothing else."]
    lines += [f"# {line}" for line in textwrap.wrap(" ".join(_said_of(ours, rights)), _WIDTH)]
    lines += ["# To leave a part out:", "#   jupyter kfsecrets clusterrole VERB…", "#"]
    lines += [
        f"# {right!s}: {right.why} ({', '.join(ours[one] for one in right.verbs if one in ours)})"
        for right in rights
    ]
    return "\n".join(lines) + "\n" + to_yaml(cluster_role(verbs, name=name))


def shipped() -> str:
    """Give the manifest that comes with this package, for all verbs."""
    return files(__package__).joinpath("clusterrole.yaml").read_text(encoding="utf-8")


def _said_of(verbs: Collection[str], rights: Collection[Right]) -> Iterator[str]:
    """Say what whoever has these rights may do, and what these verbs do with more of them."""
    secrets = {right.verb for right in rights if right.kind == SECRET}
    reads, writes = secrets & {"get", "list", "watch"}, secrets & {"create", "patch", "delete"}
    powers = []
    if secrets:
        does = " and ".join([*(["reads"] if reads else []), *(["writes"] if writes else [])])
        powers.append(f"{does} every Secret of the cluster")
    if any(right.kind == POD and right.verb == "create" for right in rights):
        # a pod mounts what it likes of its namespace
        powers.append("may create pods, which can mount any Secret")
    if powers:
        yield f"Whoever has it {', and '.join(powers)}: bind it to few."
    else:
        yield "It reads no Secret, and writes nothing."
    if "tenants" not in verbs and not {*verbs} <= {"doctor"}:
        yield "To choose tenants with -A or -l, add tenants."
    if "prune" in verbs and "apply" not in verbs:
        yield "To write what is granted, add apply."
    if "rotate" in verbs and "verify" not in verbs:
        yield "To prove a canary, add verify."


def _by_kind(rights: Iterable[Right]) -> Iterator[tuple[Kind, list[Right]]]:
    grouped: dict[Kind, list[Right]] = {}
    for right in rights:
        grouped.setdefault(right.kind, []).append(right)
    yield from grouped.items()
