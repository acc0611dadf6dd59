"""A pod asks for its own Pod object once, and does without where it may not."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import trustme
from rig.podapi import TOKEN, PodApi, serving

from kfsecrets_ext import cluster
from kfsecrets_ext.cluster import own


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PodApi]:
    with serving(tmp_path / "serviceaccount") as answers:
        monkeypatch.delenv("KFSECRETS_CLUSTER", raising=False)
        for name, value in answers.variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(own.socket, "gethostname", lambda: "nb-0")
        monkeypatch.setattr(own, "_answer", None)
        # how long a pod waits at its start is not what is tested here
        monkeypatch.setattr(own, "_TIMEOUT", 60.0)
        yield answers


def test_own_pod_is_asked_for_once(api: PodApi) -> None:
    answer = cluster.own_pod()
    assert answer.pod == {"metadata": {"name": "nb-0"}}
    assert answer.home == "kubernetes"
    assert cluster.own_pod() is answer
    assert api.asked == [("/api/v1/namespaces/alice/pods/nb-0", f"Bearer {TOKEN}")]


def test_refusal_is_a_note_and_not_asked_again(api: PodApi) -> None:
    api.status, api.body = 403, b'{"message": "something the server says"}'
    answer = cluster.own_pod()
    assert answer.pod is None
    assert answer.note is not None
    assert "may not read its own Pod (HTTP 403)" in answer.note
    assert "something" not in answer.note
    cluster.own_pod()
    assert len(api.asked) == 1


@pytest.mark.parametrize("body", [b"no JSON", b"\xff", b"", b"[]"])
def test_answer_that_is_no_json_is_a_note(api: PodApi, body: bytes) -> None:
    api.body = body
    answer = cluster.own_pod()
    assert answer.pod is None
    assert answer.note is not None
    assert "did not answer" in answer.note


def test_server_that_is_silent_is_asked_again_ever_less_often(
    api: PodApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [time.monotonic()]
    monkeypatch.setattr(own, "_silence", own._SILENT)
    monkeypatch.setattr(own, "time", SimpleNamespace(monotonic=lambda: now[0]))
    api.status = 503
    for pause in (10.0, 20.0, 40.0):
        count = len(api.asked)
        answer = cluster.own_pod()
        assert answer.pod is None
        assert answer.may_come
        now[0] += pause - 0.1
        assert cluster.own_pod() is answer
        assert len(api.asked) == count + 1
        now[0] += 0.2
    api.status = 200
    assert cluster.own_pod().pod is not None


def test_body_that_trickles_is_waited_for_no_longer_than_the_limit(
    api: PodApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own, "_TIMEOUT", 2.0)
    api.pause, api.body = 0.5, b" " * 100
    began = time.monotonic()
    answer = cluster.own_pod()
    assert time.monotonic() - began < 20
    assert answer.pod is None
    assert answer.may_come


@pytest.mark.parametrize("port", ["http", "tcp://10.0.0.1:443"])
def test_a_port_that_is_none_is_a_note(
    api: PodApi, monkeypatch: pytest.MonkeyPatch, port: str
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT_HTTPS", port)
    answer = cluster.own_pod()
    assert answer.pod is None
    assert answer.note is not None


def test_server_that_is_not_the_cluster_is_not_trusted(api: PodApi, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "serviceaccount" / "ca.crt"))
    assert cluster.own_pod().pod is None
    assert api.asked == []


def test_nothing_is_asked_outside_a_cluster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("KFSECRETS_CLUSTER", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KFSECRETS_SERVICEACCOUNT", str(tmp_path))
    monkeypatch.setattr(own, "_answer", None)
    answer = cluster.own_pod()
    assert (answer.pod, answer.note) == (None, None)


@pytest.mark.parametrize(
    ("prefix", "namespace", "notebook"),
    [
        ("/notebook/alice/tf-gpu", "alice", "tf-gpu"),
        ("/workspace/connect/bob/ws/8888/", "bob", "ws"),
        ("/", None, None),
        ("/notebook/alice", None, None),
        ("", None, None),
    ],
)
def test_identity_is_read_from_the_prefix(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    prefix: str,
    namespace: str | None,
    notebook: str | None,
) -> None:
    monkeypatch.setenv("KFSECRETS_SERVICEACCOUNT", str(tmp_path))
    monkeypatch.setenv("NB_PREFIX", prefix)
    who = cluster.identity()
    assert (who.namespace, who.notebook) == (namespace, notebook)
    (tmp_path / "namespace").write_text("carol\n")
    assert cluster.identity().namespace == "carol"


def test_own_pod_shows_no_literal_value() -> None:
    answer = cluster.OwnPod({"spec": {"env": "a literal"}}, "kubernetes")
    assert "literal" not in repr(answer)


def test_import_brings_no_kubernetes_client() -> None:
    probe = (
        "import sys, kfsecrets_ext.cluster as c; c.own_pod(); print('kubernetes' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
