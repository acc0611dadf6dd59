"""The checks say of a Secret what a real API server says, and it takes what is made here."""

from __future__ import annotations

import os

import pytest
from rig.apiserver import ApiServer

from kfsecrets_ext.admin import Grant, SecretObject, docker_registry, problems
from kfsecrets_ext.admin.checks import SIZE_LIMIT
from kfsecrets_ext.values import SecretBytes

pytestmark = [pytest.mark.slow, pytest.mark.platform]

DOCKER = "kubernetes.io/dockerconfigjson"
HALF = b"x" * (SIZE_LIMIT // 2)

SECRETS: list[tuple[str, str | None, dict[str, bytes]]] = [
    *((name, None, {}) for name in ("a", "a.b-c", "0", "a--b", "a" * 253, "a" * 254)),
    *((name, None, {}) for name in ("A", "a_b", "-a", "a-", "a..b", "a.-b", "é", "a b", "a\n")),
    *(("s", None, {key: b""}) for key in ("a", ".", "..", "..a", ".a", "a b", "-", "a" * 253)),
    *(("s", None, {key: b""}) for key in ("a" * 254, "é", "a/b", "_")),
    ("s", None, {"a": HALF, "b": HALF}),
    ("s", None, {"a": HALF, "b": HALF, "c": b"y"}),
    ("s", "my/type", {}),
    ("s", "<&>", {}),
    *(
        ("s", DOCKER, {".dockerconfigjson": content})
        for content in (
            *(
                b"{}",
                b"null",
                b"",
                b"x",
                b"[]",
                b"1",
                b'"a"',
                b"true",
                b' {"a": "\xff"} ',
                b"{} {}",
            ),
            *(b'{"a":NaN}', b'{"a":1e5}', b'{"a":01}', b'{"a":"\n"}', b"\xef\xbb\xbf{}", b"{,}"),
            *(b'{"a":1,"a":2}', b'{"a":"\\ud800"}', b"{'a':1}", b'{"a":1}\n', b"\0{}", b"\x0c{}"),
            b'{"a":%b}' % (b"9" * 300),
            *(b'{"a":%b}' % (b"9" * 5000), b'{"a":1e308}', b'{"a":-1e309}', b'{"a":1e-999}'),
        )
    ),
    ("s", DOCKER, {}),
    ("s", DOCKER, {"config.json": b"{}"}),
    ("s", "kubernetes.io/dockercfg", {".dockercfg": b"{}"}),
    ("s", "kubernetes.io/dockercfg", {".dockercfg": b"x"}),
    ("s", "kubernetes.io/dockercfg", {}),
    ("s", "kubernetes.io/basic-auth", {}),
    ("s", "kubernetes.io/basic-auth", {"username": b""}),
    ("s", "kubernetes.io/ssh-auth", {"ssh-privatekey": b""}),
    ("s", "kubernetes.io/ssh-auth", {"ssh-privatekey": b"k"}),
    ("s", "kubernetes.io/tls", {"tls.crt": b""}),
    ("s", "kubernetes.io/tls", {"tls.crt": b"", "tls.key": b""}),
    ("s", "kubernetes.io/service-account-token", {}),
    ("s", "bootstrap.kubernetes.io/token", {}),
]


@pytest.fixture(scope="module")
def tenant(api_server: ApiServer) -> str:
    name = f"author-{os.getpid()}"
    api_server.create_tenant(name)
    return name


@pytest.mark.parametrize("number", range(len(SECRETS)))
def test_the_api_server_refuses_what_the_checks_say(
    api_server: ApiServer, tenant: str, number: int
) -> None:
    name, type_, data = SECRETS[number]
    secret = SecretObject(name, {key: SecretBytes(data[key]) for key in data}, type_, tenant)
    path = f"/api/v1/namespaces/{tenant}/secrets?dryRun=All"
    answer = api_server.call("POST", path, secret.to_mapping())
    assert (answer.status == 201) == (problems(secret) == ()), answer.body.get("message")


def test_the_api_server_keeps_a_grant_as_it_is_written(api_server: ApiServer, tenant: str) -> None:
    secret = docker_registry("docker-config", username="u", password="p", namespace=tenant)
    written, poddefault = Grant("docker-config", secret, desc="Registry").to_mappings()
    kept = api_server.create(f"/api/v1/namespaces/{tenant}/secrets", written)
    assert (kept["data"], kept["type"]) == (written["data"], written["type"])
    path = f"/apis/kubeflow.org/v1alpha1/namespaces/{tenant}/poddefaults"
    assert api_server.create(path, poddefault)["spec"] == poddefault["spec"]


def test_a_namespace_is_checked_as_the_api_server_does(api_server: ApiServer) -> None:
    for name in ("a", "a-0", "0", "a.b", "A", "-a", "a-", "a" * 63, "a" * 64, "a_b"):
        answer = api_server.call(
            "POST", "/api/v1/namespaces?dryRun=All", {"metadata": {"name": name}}
        )
        taken = problems(SecretObject("s", namespace=name)) == ()
        assert (answer.status in (201, 409)) == taken, name
