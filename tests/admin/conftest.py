"""Both homes of a cluster, with tenants as Kubeflow makes them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest
from rig.homes import Home

from kfsecrets_ext.admin import Tenant
from kfsecrets_ext.admin import tenants as find_tenants
from kfsecrets_ext.cluster import NAMESPACE, Cluster


@pytest.fixture
def cluster(home: Home) -> Iterator[Cluster]:
    """Give an administrator's connection, who has the ClusterRole that ships and no other right."""
    with home.administrator() as cluster:
        yield cluster


@pytest.fixture
def root(home: Home) -> Iterator[Cluster]:
    """Give the connection of whoever may do everything: to lay things out, and to look."""
    with home.connect() as root:
        yield root


@pytest.fixture
def make_tenants(home: Home, root: Cluster) -> Callable[[int], list[Tenant]]:
    """Give a function that makes so many tenants, and gives them by name."""

    def make(number: int, **labels: str) -> list[Tenant]:
        group = f"t{uuid.uuid4().hex[:8]}"
        names = [f"{group}-{one:02}" for one in range(number)]
        for name in names:
            metadata = {
                "name": name,
                "annotations": {"owner": f"{name}@example.com"},
                "labels": {**home.labels, "test/group": group, **labels},
            }
            root.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        assert root.get(NAMESPACE, names[0]) is not None
        return find_tenants(root, names=names)

    return make
