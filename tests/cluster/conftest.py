"""Both homes of a cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rig.homes import Home

from kfsecrets_ext.cluster import Cluster


@pytest.fixture
def cluster(home: Home) -> Iterator[Cluster]:
    with home.connect() as cluster:
        yield cluster


@pytest.fixture
def tenant(home: Home, cluster: Cluster) -> str:
    return home.tenant(cluster)
