"""The cluster and the tenants that a command line means."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kfsecrets_ext.admin import Grant, Tenant
    from kfsecrets_ext.cluster import Cluster

    from .flags import Words

__all__ = ["chosen", "chosen_or_all", "connected", "for_somebody", "warn_of"]

_NO_NAMESPACE = (
    "no tenant is named, and neither the context nor a pod names a namespace: give -n NS, "
    "-l SELECTOR or --all-tenants"
)


@contextlib.contextmanager
def connected(words: Words) -> Iterator[Cluster]:
    """Connect to the cluster that the options name.

    Parameters
    ----------
    words : Words
    """
    from kfsecrets_ext.cluster import connect

    given = {name: words.text(name) for name in ("kubeconfig", "context", "as")}
    kubeconfig, context, who = (text if text is None else str(text) for text in given.values())
    with connect(kubeconfig=kubeconfig, context=context, impersonate=who) as cluster:
        yield cluster


def chosen(words: Words, cluster: Cluster) -> list[Tenant]:
    """Give the tenants that the options choose; without any, the namespace one works in.

    Parameters
    ----------
    words : Words
    cluster : Cluster

    Returns
    -------
    list of Tenant

    Raises
    ------
    BadUsage
        None is named anywhere.
    TenantNotFound
        One that is named is not there.
    """
    from .flags import BadUsage

    found = _named(words, cluster)
    if found is not None:
        return found
    if not cluster.namespace:
        raise BadUsage(_NO_NAMESPACE)
    from kfsecrets_ext.admin import tenants

    return tenants(cluster, names=(cluster.namespace,))


def chosen_or_all(words: Words, cluster: Cluster) -> list[Tenant] | None:
    """Give the tenants that the options choose; ``None`` where they choose none."""
    return _named(words, cluster)


def for_somebody(grant: Grant, cluster: Cluster) -> Grant:
    """Give a grant that does not say for whom it is to the namespace one works in.

    Raises
    ------
    BadUsage
        There is no such namespace.
    """
    from dataclasses import replace

    from kfsecrets_ext.admin import TenantChoice

    from .flags import BadUsage

    if grant.tenants is not None:
        return grant
    if not cluster.namespace:
        raise BadUsage(_NO_NAMESPACE)
    return replace(grant, tenants=TenantChoice(names=(cluster.namespace,)))


def warn_of(tenants: Sequence[Tenant]) -> None:
    """Say of which tenants the webhook does not see the pods, and what mends it."""
    from .text import line

    for tenant in tenants:
        if tenant.fix:
            sys.stderr.write(
                line(
                    f"Warning: namespace {tenant.name} has no label of a profile, so that no "
                    f"PodDefault reaches its pods. This mends it: {tenant.fix}"
                )
                + "\n"
            )


def _named(words: Words, cluster: Cluster) -> list[Tenant] | None:
    from kfsecrets_ext.admin import tenants

    from .flags import BadUsage

    if words.switch("all-tenants"):
        return tenants(cluster, everyone=True)
    selector = words.text("selector")
    if selector is not None:
        return tenants(cluster, selector=str(selector))
    names = tuple(map(str, words.texts("namespace")))
    place = words.text("tenants-from")
    if place is not None:
        names = _from_file(str(place))
        if not names:
            # Not without a word those that are meant where the option is not given.
            raise BadUsage("the file of --tenants-from names no tenant")
    return tenants(cluster, names=names) if names else None


def _from_file(place: str) -> tuple[str, ...]:
    from kfsecrets_ext.admin import read_names
    from kfsecrets_ext.values import SecretBytes

    from .flags import BadUsage

    if place == "-":
        content = SecretBytes(sys.stdin.buffer.read())
    else:
        with open(place, "rb") as file:
            content = SecretBytes(file.read())
    try:
        return read_names(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        pass  # what is raised in here would carry the content along
    raise BadUsage("--tenants-from is a file of names, and this one is not UTF-8")
