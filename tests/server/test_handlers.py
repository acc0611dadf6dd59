"""The endpoints of a real server, started as Kubeflow does: what they say and do not do."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from rig.kubelet import Kubelet
from servers import ROOT, Answer, Server, quote

pytestmark = pytest.mark.slow

API = "kfsecrets/api/v1"
ENDPOINTS = ("secrets", "secrets/test-secret", "registries", "redaction", "pod")

Conforms = Callable[[str, Answer], Any]
Serve = Callable[..., Server]


@pytest.fixture
def small(tmp_path: Path, kubelet: Kubelet) -> Path:
    """A pod with one Secret, for a test that changes it."""
    kubelet.write_secret(tmp_path / "secret" / "test-secret", {"foo": "bar"})
    return tmp_path


def test_secrets_lists_every_secret_as_described(server: Server, conforms: Conforms) -> None:
    body = conforms("/secrets", server.get(f"{API}/secrets"))
    states = {secret["name"]: secret["state"] for secret in body["secrets"]}
    assert states == {
        "aws": "ready",
        "docker-config": "ready",
        "gone": "empty",
        "nested": "ready",
        "optional": "empty",
        "plain": "ready",
        "schlüssel-🔑": "ready",
        "test-secret": "ready",
        "undecodable": "ready",
        "unreadable": "unreadable",
    }
    assert list(states) == sorted(states)


def test_a_secret_shows_keys_places_and_origin(
    server: Server, conforms: Conforms, pod: Any
) -> None:
    body = conforms("/secrets/{name}", server.get(f"{API}/secrets/test-secret"))
    assert [key["name"] for key in body["keys"]] == ["bar", "foo"]
    assert body["keys"][1]["path"] == str(pod.root / "test-secret" / "foo")
    assert body["poddefault"] == "test-secret"
    assert [(one["kind"], one["path"]) for one in body["mounts"]] == [
        ("volume", str(pod.root / "test-secret"))
    ]


def test_each_secret_of_the_list_is_found_by_its_name(server: Server, conforms: Conforms) -> None:
    listed = conforms("/secrets", server.get(f"{API}/secrets"))["secrets"]
    for secret in listed:
        path = f"{API}/secrets/{quote(secret['name'])}"
        assert conforms("/secrets/{name}", server.get(path)) == secret


def test_any_key_name_comes_through(server: Server) -> None:
    keys = server.get(f"{API}/secrets/plain").json()["keys"]
    states = {key["name"]: key["state"] for key in keys}
    assert states == {
        "ancient": "ready",
        "far": "ready",
        "fifo": "unreadable",
        "too-large": "too-large",
        'we"ird\n\\key \N{ZERO WIDTH SPACE}': "ready",
    }
    undecodable = server.get(f"{API}/secrets/undecodable").json()["keys"]
    assert [key["name"] for key in undecodable] == ["??"]
    nested = server.get(f"{API}/secrets/nested").json()["keys"]
    assert [key["name"] for key in nested] == ["b", "x/y/a"]


def test_variables_of_the_pod_are_listed_with_their_secret(server: Server) -> None:
    keys = server.get(f"{API}/secrets/aws").json()["keys"]
    found = [(key["name"], key["variable"], key["kind"], key["state"]) for key in keys]
    assert found == [
        ("key", "AWS_KEY", "environment", "ready"),
        ("unset", "AWS_UNSET", "environment", "unreadable"),
    ]


def test_registries_names_files_and_registries(server: Server, conforms: Conforms) -> None:
    files = conforms("/registries", server.get(f"{API}/registries"))["files"]
    kinds = {
        registry["name"]: registry["kind"] for file in files for registry in file["registries"]
    }
    assert kinds["https://index.docker.io/v1/"] == "static"
    assert kinds["quay.io"] == "token"
    assert kinds["1.dkr.ecr.eu-west-1.amazonaws.com"] == "helper"
    assert "invalid" in {file["state"] for file in files}


def test_redaction_says_how_values_are_masked(server: Server, conforms: Conforms) -> None:
    body = conforms("/redaction", server.get(f"{API}/redaction"))
    assert body["marker"] == "[redacted:<secret>/<key>]"
    assert [(one["from"], one["to"]) for one in body["sizes"]] == [
        (8, None),
        (5, 7),
        (2, 4),
        (1, 1),
    ]
    rules = {one["rule"]: one["text"] for one in body["rules"]}
    assert rules["base64"] == "in base64"
    assert "*.crt" in body["public"]
    assert "/etc/kfsecrets/guard.json" in body["policy"]["places"]


def test_pod_tells_who_it_is(server: Server, conforms: Conforms) -> None:
    body = conforms("/pod", server.get(f"{API}/pod"))
    assert (body["namespace"], body["name"], body["notebook"]) == ("alice", "nb-0", "nb")
    assert body["poddefaults"] == [{"name": "test-secret", "stamp": "4711"}]


def test_an_unknown_name_is_404_with_the_nearest_one(server: Server, conforms: Conforms) -> None:
    answer = server.get(f"{API}/secrets/test-secert")
    body = conforms("/secrets/{name}", answer)
    assert answer.status == 404
    assert body["reason"] == "SecretNotFound"
    assert "Did you mean 'test-secret'?" in body["message"]


@pytest.mark.parametrize(
    "segment",
    [
        *("..", ".", "..data", "%2e%2e", "%2E%2E%2Fetc", "a%2Fb", "%2Fetc%2Fpasswd"),
        *("%00", "a%00b", "%0A", "%0d%0aX-Evil:%201", "%1b%5b2J", "%7f", "%E2%80%AE"),
        *("%FF", "%C0%AE", "%ED%A0%80", "x" * 254, "%C3%BC" * 127),
    ],
)
def test_what_cannot_be_a_name_is_400(server: Server, conforms: Conforms, segment: str) -> None:
    answer = server.get(f"{API}/secrets/{segment}")
    assert answer.status == 400
    assert conforms("/secrets/{name}", answer)["reason"] == "InvalidName"


@pytest.mark.parametrize(
    "segment", ["100%25s", "%25(name)s", "%7B0%7D", "%22%3Cscript%3E", "x" * 253]
)
def test_a_name_is_told_back_as_it_was_asked(
    server: Server, conforms: Conforms, segment: str
) -> None:
    answer = server.get(f"{API}/secrets/{segment}")
    assert answer.status == 404
    assert unquote(segment) in conforms("/secrets/{name}", answer)["message"]


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/secrets/", "/secrets/test-secret/", "/secrets/test-secret/foo"),
        *("/registries/x", "/pod/", "/nothing", "/secrets%2Ftest-secret", "//secrets"),
    ],
)
def test_other_paths_are_404_in_json(server: Server, path: str) -> None:
    answer = server.get(API + path)
    assert answer.status == 404
    assert set(answer.json()) == {"message", "reason"}


@pytest.mark.parametrize("path", ENDPOINTS)
def test_endpoints_are_below_the_base_url_only(server: Server, path: str) -> None:
    assert server.get(f"{API}/{path}").status == 200
    assert server.get(f"/{API}/{path}").status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "HEAD"])
def test_nothing_but_get_is_there(server: Server, method: str) -> None:
    for path in (*ENDPOINTS, "nothing"):
        assert server.get(f"{API}/{path}", method=method).status in (403, 405)


def test_requests_are_no_activity(server: Server) -> None:
    def last() -> str:
        return str(server.get("api/status").json()["last_activity"])

    before = last()
    for path in (*ENDPOINTS, "secrets/absent", "secrets/..", "nothing"):
        server.get(f"{API}/{path}")
    assert last() == before
    # What the test would see if they were.
    server.get("api/contents")
    assert last() != before


def test_an_unchanged_inventory_is_the_same_answer(server: Server) -> None:
    assert server.get(f"{API}/secrets").body == server.get(f"{API}/secrets").body


def test_a_rotation_shows_in_the_next_answer(small: Path, serve: Serve, kubelet: Kubelet) -> None:
    server = serve(small, command=("server",))

    def keys() -> list[str]:
        (secret,) = server.get(f"{API}/secrets").json()["secrets"]
        return [key["name"] for key in secret["keys"]]

    assert keys() == ["foo"]
    kubelet.write_secret(small / "secret" / "test-secret", {"foo": "bar", "new": "x"})
    assert keys() == ["foo", "new"]


def test_a_slow_walk_does_not_block_the_server(small: Path, serve: Serve) -> None:
    # Whoever opens a FIFO for reading waits until somebody writes to it.
    mountinfo = small / "mountinfo"
    os.mkfifo(mountinfo)
    server = serve(small, command=("server",))
    answers: list[Answer] = []
    walk = threading.Thread(target=lambda: answers.append(server.get(f"{API}/secrets")))
    walk.start()
    try:
        # A server that waits itself would never answer these.
        for _ in range(20):
            assert server.get("api/status", timeout=60).status == 200
        assert walk.is_alive()
    finally:
        mountinfo.write_bytes(b"")
        walk.join()
    assert [answer.status for answer in answers] == [200]


def test_a_walk_that_hangs_takes_no_thread_that_others_need(small: Path, serve: Serve) -> None:
    mountinfo = small / "mountinfo"
    os.mkfifo(mountinfo)
    server = serve(small, command=("server",))
    walks = [threading.Thread(target=server.get, args=(f"{API}/secrets",)) for _ in range(64)]
    for walk in walks:
        walk.start()
    try:
        # Jupyter lists a folder in a thread.
        assert server.get("api/contents", timeout=60).status == 200
        assert all(walk.is_alive() for walk in walks)
    finally:
        while any(walk.is_alive() for walk in walks):
            # Not by an open that waits for a reader: the last one may have had its turn.
            with contextlib.suppress(OSError):
                os.close(os.open(mountinfo, os.O_WRONLY | os.O_NONBLOCK))
            walks[0].join(0.01)
            walks = [walk for walk in walks if walk.is_alive()] or walks[:1]


def test_an_unforeseen_error_is_a_500_that_tells_nothing(small: Path, serve: Serve) -> None:
    # Its text quotes what was to be read, as that of a parser may.
    (small / "sitecustomize.py").write_text(
        "import kfsecrets_ext.inventory as inventory\n"
        "def collect():\n"
        "    canary = 'quoted-' + 'canary'\n"
        "    raise ValueError(f'invalid literal: {canary}')\n"
        "inventory.collect = collect\n"
    )
    server = serve(small, command=("server",), env={"PYTHONPATH": f"{small}:{ROOT}"})
    answer = server.get(f"{API}/secrets")
    assert answer.status == 500
    assert "quoted-canary" not in json.dumps(answer.json())
    log = server.log()
    assert "Uncaught ValueError" in log
    assert "quoted-canary" not in log
    # Enough to find the fault.
    assert "sitecustomize.py" in log
