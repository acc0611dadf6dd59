"""The rig as pytest fixtures; a plugin: ``pytest_plugins = ["rig.fixtures"]``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from rig.kubelet import Kubelet
from rig.pod import Pod

if TYPE_CHECKING:
    from pathlib import Path

    from rig.apiserver import Answer, ApiServer, Webhook
    from rig.homes import Home


@pytest.fixture
def kubelet() -> Iterator[Kubelet]:
    """Give a kubelet that writes and rotates volumes in directories of this machine."""
    with Kubelet() as kubelet:
        yield kubelet


@pytest.fixture
def make_pod() -> Iterator[Callable[..., Pod]]:
    """Give a function that starts a `Pod` of its arguments; it stops with the test."""
    with ExitStack() as pods:

        def make(*arguments: Any, **options: Any) -> Pod:
            return pods.enter_context(Pod(*arguments, **options))

        yield make


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Give the API server of this test run, the same in each of its workers."""
    from rig import apiserver

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with apiserver.running(shared / "apiserver") as server:
        yield server


@pytest.fixture(scope="session")
def tenant_labels() -> dict[str, str]:
    """Give the labels of a profile's namespace, told apart from those of other workers.

    A tenant that is created with these is seen by `make_webhook` of this worker alone.
    """
    from rig import apiserver

    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return {**apiserver.KUBEFLOW_LABELS, "kfsecrets.test/worker": worker}


@pytest.fixture(
    params=[
        pytest.param("kubernetes", marks=[pytest.mark.slow, pytest.mark.platform]),
        "embedded",
    ]
)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    """Give a cluster, in each of its two homes."""
    from rig.homes import InDirectory, Real

    labels = request.getfixturevalue("tenant_labels")
    if request.param == "kubernetes":
        return Real(request.getfixturevalue("api_server"), labels)
    return InDirectory(tmp_path / "cluster", labels)


@pytest.fixture
def make_webhook(
    api_server: ApiServer, tenant_labels: dict[str, str]
) -> Iterator[Callable[[Answer], Webhook]]:
    """Give a function that has the API server ask a callable about this worker's pods."""
    from rig import apiserver

    with ExitStack() as hooks:

        def make(answer: Answer) -> Webhook:
            name = f"poddefaults-webhook-{tenant_labels['kfsecrets.test/worker']}"
            hook = apiserver.webhook(api_server, name, answer, labels=tenant_labels)
            return hooks.enter_context(hook)

        yield make
