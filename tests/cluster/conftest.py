"""Both homes of a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rig.homes import Home, InDirectory, Real

from kfsecrets_ext.cluster import Cluster


@pytest.fixture(
    params=[
        pytest.param("kubernetes", marks=[pytest.mark.slow, pytest.mark.platform]),
        "embedded",
    ]
)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    labels = request.getfixturevalue("tenant_labels")
    if request.param == "kubernetes":
        return Real(request.getfixturevalue("api_server"), labels)
    return InDirectory(tmp_path / "cluster", labels)


@pytest.fixture
def cluster(home: Home) -> Iterator[Cluster]:
    with home.connect() as cluster:
        yield cluster


@pytest.fixture
def tenant(home: Home, cluster: Cluster) -> str:
    return home.tenant(cluster)
