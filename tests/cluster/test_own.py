"""A pod asks for its own Pod object once, and does without where it may not."""

from __future__ import annotations

import http.server
import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from kfsecrets_ext import cluster
from kfsecrets_ext.cluster import own

TOKEN = "a service account's token"


@dataclass
class Api:
    """An API server of one object, over TLS."""

    status: int = 200
    body: bytes = json.dumps({"metadata": {"name": "nb-0"}}).encode()
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    account = tmp_path / "serviceaccount"
    account.mkdir()
    (account / "token").write_text(TOKEN)
    (account / "namespace").write_text("alice")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(account / "ca.crt"))
    answers = Api()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers.asked.append((self.path, self.headers["Authorization"]))
            self.send_response(answers.status)
            self.end_headers()
            self.wfile.write(answers.body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(trust)
    server.socket = trust.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.delenv("KFSECRETS_CLUSTER", raising=False)
    monkeypatch.setenv("KFSECRETS_SERVICEACCOUNT", str(account))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT_HTTPS", str(server.server_port))
    monkeypatch.setattr(own.socket, "gethostname", lambda: "nb-0")
    monkeypatch.setattr(own, "_answer", None)
    yield answers
    server.shutdown()
    thread.join()
    server.server_close()


def test_own_pod_is_asked_for_once(api: Api) -> None:
    answer = cluster.own_pod()
    assert answer.pod == {"metadata": {"name": "nb-0"}}
    assert answer.home == "kubernetes"
    assert cluster.own_pod() is answer
    assert api.asked == [("/api/v1/namespaces/alice/pods/nb-0", f"Bearer {TOKEN}")]


def test_refusal_is_a_note_and_not_asked_again(api: Api) -> None:
    api.status, api.body = 403, b'{"message": "something the server says"}'
    answer = cluster.own_pod()
    assert answer.pod is None
    assert answer.note is not None
    assert "may not read its own Pod (HTTP 403)" in answer.note
    assert "something" not in answer.note
    cluster.own_pod()
    assert len(api.asked) == 1


@pytest.mark.parametrize("body", [b"no JSON", b"\xff", b""])
def test_answer_that_is_no_json_is_a_note(api: Api, body: bytes) -> None:
    api.body = body
    answer = cluster.own_pod()
    assert answer.pod is None
    assert answer.note is not None
    assert "did not answer" in answer.note


def test_server_that_is_not_the_cluster_is_not_trusted(api: Api, tmp_path: Path) -> None:
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
