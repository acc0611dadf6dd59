"""The administrator's notebook: the story closes, on the embedded cluster and on a real one."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from demo.running import environment
from demo.values import leaks, values
from nbclient import NotebookClient
from rig.apiserver import ApiServer
from rig.homes import administrator_kubeconfig, kubeconfig_as, poddefault

from kfsecrets_ext.admin import WouldNotStart
from kfsecrets_ext.cluster import PODDEFAULT, SECRET
from kfsecrets_ext.demo.follow import following
from kfsecrets_ext.demo.pod import SETUP, TOUR, DemoPod, lay_out, packaged
from kfsecrets_ext.errors import Forbidden

CHECKOUT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def outputs(notebook: nbformat.NotebookNode, cell: str) -> str:
    """What a cell showed, as text."""
    [found] = [one for one in notebook.cells if one.id == cell]
    return "".join(
        output.get("text") or output.get("data", {}).get("text/plain", "")
        for output in found.outputs
    )


def execute(text: str, home: Path) -> nbformat.NotebookNode:
    notebook = nbformat.reads(text, as_version=4)
    NotebookClient(
        notebook,
        resources={"metadata": {"path": str(home)}},
        startup_timeout=300,
        iopub_timeout=120,
    ).execute()
    return notebook


def seen(pod: DemoPod) -> set[bytes]:
    """The values that are in the cluster now, a made-up one as a part of another too."""
    found = values(pod.directory)
    for value in list(found):
        match = re.search(rb'"password": ?"([^"]+)"', value)
        found |= {match[1]} if match else set()
    return found


@dataclass(frozen=True)
class Ran:
    """A pod, the notebooks that ran in it one after the other, and all values that there were."""

    pod: DemoPod
    setup: nbformat.NotebookNode
    tour: nbformat.NotebookNode
    known: set[bytes]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    directory = tmp_path_factory.mktemp("setup")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("JUPYTER", "KFSECRETS_"))]:
            patch.delenv(name)
        for name in ("PATH", "PYDEVD_DISABLE_FILE_VALIDATION"):
            patch.setenv(name, environment(directory)[name])
        pod = lay_out(directory / "pod")
        pod.configure_jupyter("not used")
        for name, value in pod.environment().items():
            patch.setenv(name, value)
        known = seen(pod)
        with following(pod):
            setup = execute((pod.home / SETUP).read_text(), pod.home)
            known |= seen(pod)
            tour = execute((pod.home / TOUR).read_text(), pod.home)
        yield Ran(pod, setup, tour, known | seen(pod))


def test_the_story_closes_on_the_embedded_cluster(ran: Ran) -> None:
    shown = {
        cell.id: outputs(ran.setup, cell.id) for cell in ran.setup.cells if cell.cell_type == "code"
    }
    assert shown["connect"].startswith("embedded cluster at ")
    assert "bob@example.com" in shown["tenants"]
    assert "bob" not in shown["chosen"]
    # Taken away, and no longer mounted
    assert re.search(r"alice +PodDefault +test-secret +delete +done", shown["remove"])
    assert f"{ran.pod.directory}/secret/test-secret is gone" in shown["remove"]
    # Planned and created, the Secret first
    assert re.search(r"alice +Secret +test-secret +create +data.foo added", shown["plan"])
    assert re.search(r"alice +PodDefault +docker-config +create", shown["plan"])
    assert "error" not in shown["plan"]
    assert shown["apply"].count(" done") == 4
    # The pod is admitted again, and mounts them
    assert "test-secret" in shown["restart"].splitlines()[0]
    assert f"{ran.pod.directory}/secret/test-secret is mounted now" in shown["restart"]
    assert f"{ran.pod.directory}/home/jovyan/.docker is mounted now" in shown["restart"]
    # The inventory, as the panel has it
    for name in ("test-secret", "docker-config"):
        assert re.search(rf"{name} .*PodDefault {name} +ready", shown["listed"])
    # Proved
    assert "failed" not in shown["verify"]
    assert re.search(r"ok +alice +test-secret +mount", shown["verify"])
    # Rotated, and there with no restart
    assert re.search(r"Secret +test-secret +change +data.foo changed", shown["rotate"])
    assert re.search(r"Secret +test-secret +change +done", shown["rotate"])
    assert "keeps the old" not in shown["rotate"]
    assert "The new value is here: True" in shown["arrived"]
    assert "kind: GeneratingPolicy" in shown["handover"]


def test_the_tour_reads_what_was_granted(ran: Ran) -> None:
    assert outputs(ran.tour, "get-secret") == "SecretStr('**********')"
    listed = outputs(ran.tour, "list-secrets")
    assert re.search(r"test-secret +foo .*PodDefault test-secret +ready", listed)
    assert "https://index.docker.io/v1/" in outputs(ran.tour, "docker-credentials")
    assert outputs(ran.tour, "rotated") == "False"


def test_no_value_stands_in_either_notebook(ran: Ran) -> None:
    assert len(ran.known) > 20
    for notebook in (ran.setup, ran.tour):
        assert not leaks(nbformat.writes(notebook), ran.known)


def test_what_the_notebook_made_is_in_the_cluster(ran: Ran) -> None:
    with ran.pod.cluster() as cluster:
        for name in ("test-secret", "docker-config"):
            for kind in (SECRET, PODDEFAULT):
                found = cluster.get(kind, name, namespace="alice", metadata_only=True)
                assert found is not None
                assert (
                    found["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "kfsecrets-ext"
                )
                assert cluster.get(kind, name, namespace="bob") is None


@pytest.fixture
def cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Run cells of the notebook here, on an embedded cluster with one tenant."""
    for name in [name for name in os.environ if name.startswith(("JUPYTER", "KFSECRETS_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "cluster" / "namespaces" / "alice").mkdir(parents=True)
    monkeypatch.setenv("KFSECRETS_CLUSTER", str(tmp_path / "cluster"))
    monkeypatch.setenv("KFSECRETS_ROOTS", str(tmp_path / "secret"))
    code = {one.id: one.source for one in nbformat.reads(packaged(SETUP), as_version=4).cells}
    shown: list[str] = []
    known: dict[str, Any] = {"display": lambda one: shown.append(str(one)), "shown": shown}

    def run(*names: str) -> dict[str, Any]:
        for name in names:
            exec(compile(code[name], name, "exec"), known)
        return known

    return run


def test_a_plan_that_stops_notebooks_is_not_applied(cells: Callable[..., dict[str, Any]]) -> None:
    known = cells("parameters", "connect", "chosen", "grants")
    taken = [{"name": "volume-other", "mountPath": "/secret/test-secret", "readOnly": True}]
    known["cluster"].create(poddefault("alice", "other", volumeMounts=taken))
    cells("plan")
    with pytest.raises(WouldNotStart, match="Nothing was written: notebooks would not") as it:
        cells("apply")
    # what the table above it says
    assert "mount-path-clash" in {one.code for _, one in known["plan"].findings}
    assert "/secret/test-secret" in str(it.value)
    assert known["cluster"].get(SECRET, "test-secret", namespace="alice") is None


def test_a_rotation_that_fails_is_told(
    cells: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = cells("parameters", "connect", "chosen", "grants", "plan", "apply")
    assert known["report"].ok

    def refused(*_: object, **__: object) -> None:
        raise Forbidden("you may not do that.", reason="Forbidden")

    monkeypatch.setattr(known["cluster"], "apply", refused)
    del known["shown"][:]
    with pytest.raises(RuntimeError, match="Not as granted, in alice: 1 of 2 objects"):
        cells("listed", "rotate")
    plan, report = known["shown"]
    assert "change" in plan
    assert "you may not do that." in report


@pytest.mark.parametrize("who", ["administrator", "tenant"])
def test_it_runs_on_a_real_cluster(
    api_server: ApiServer, make_webhook, tenant_labels, tmp_path: Path, monkeypatch, who: str
) -> None:
    make_webhook(lambda _: {"allowed": True})
    space = f"setup-notebook-of-{who}"
    api_server.create_tenant(space, labels=tenant_labels)
    for name in [name for name in os.environ if name.startswith(("JUPYTER", "KFSECRETS_"))]:
        monkeypatch.delenv(name)
    for name in ("PATH", "PYDEVD_DISABLE_FILE_VALIDATION"):
        monkeypatch.setenv(name, environment(tmp_path)[name])
    if who == "administrator":
        # with the least rights
        config = administrator_kubeconfig(api_server, tmp_path)
    else:
        account = f"system:serviceaccount:{space}:default-editor"
        config = kubeconfig_as(account, api_server, tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(config))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("KFSECRETS_ROOTS", str(tmp_path / "secret"))
    text = packaged(SETUP).replace('[\\"alice\\"]', f'[\\"{space}\\"]')
    assert space in text
    notebook = execute(text, tmp_path)
    assert outputs(notebook, "connect").startswith(f"kubernetes cluster at {api_server.url}")
    listed = outputs(notebook, "tenants")
    assert space in listed if who == "administrator" else "may not list Namespaces" in listed
    assert outputs(notebook, "apply").count(" done") == 4
    assert outputs(notebook, "remove") == outputs(notebook, "restart") == ""
    assert "not mount it" in outputs(notebook, "arrived")
    known: set[bytes] = set()
    path = f"/api/v1/namespaces/{space}/secrets"
    for name in ("test-secret", "docker-config"):
        stored = api_server.call("GET", f"{path}/{name}").body
        known |= {base64.b64decode(value) for value in stored["data"].values()}
        poddefault = api_server.call(
            "GET", f"/apis/kubeflow.org/v1alpha1/namespaces/{space}/poddefaults/{name}"
        )
        assert poddefault.status == 200
    assert len(known) == 2
    auths = json.loads(next(value for value in known if b"auths" in value))["auths"]
    known.add(auths["https://index.docker.io/v1/"]["password"].encode())
    assert not leaks(nbformat.writes(notebook), known)


def test_no_output_is_stored_in_it() -> None:
    notebook = nbformat.reads(packaged(SETUP), as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


def test_binder_opens_the_same_notebook() -> None:
    assert json.loads((CHECKOUT / "binder" / SETUP).read_text()) == json.loads(packaged(SETUP))
