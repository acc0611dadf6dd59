"""Who may ask: authentication, authorization, other origins."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.serverapp import _has_tornado_web_authenticated
from rig.kubelet import Kubelet
from servers import KUBEFLOW, ROOT, Answer, Server
from tornado.web import RequestHandler

from kfsecrets_ext.server.handlers import AUTH_RESOURCE, HANDLERS

API = "kfsecrets/api/v1"
PATHS = ("secrets", "secrets/test-secret", "secrets/absent", "secrets/%FF", "registries", "pod")
OTHERS = ("", "/nothing", "/secrets/a/b")
ALL = (*(f"{API}/{path}" for path in PATHS), *(f"{API}{path}" for path in OTHERS))

Serve = Callable[..., Server]

# An `Authorizer` that says in the log what it was asked, and allows what its name says.
AUTHORIZERS = """
from jupyter_server.auth import Authorizer

class Asked(Authorizer):
    async def is_authorized(self, handler, user, action, resource):
        self.log.warning("ASKED %s %s %s", type(handler).__name__, action, resource)
        return self.allows(action, resource)

class Nobody(Asked):
    def allows(self, action, resource):
        return False

class AllButOurs(Asked):
    def allows(self, action, resource):
        return resource != "kfsecrets"

class OnlyReadingOurs(Asked):
    def allows(self, action, resource):
        return (action, resource) == ("read", "kfsecrets")
"""


@pytest.fixture
def protected(tmp_path: Path, kubelet: Kubelet, serve: Serve) -> Server:
    """A server with a token, which answers nothing to strangers but what it must."""
    kubelet.write_secret(tmp_path / "secret" / "test-secret", {"foo": "bar"})
    return serve(
        command=("server",),
        arguments=(
            "--no-browser",
            "--allow-root",
            "--IdentityProvider.token=open-sesame",
            "--ServerApp.allow_unauthenticated_access=False",
        ),
    )


@pytest.fixture
def authorizing(tmp_path: Path, kubelet: Kubelet, serve: Serve) -> Callable[[str], Server]:
    """Kubeflow's command line with an authorizer."""
    kubelet.write_secret(tmp_path / "secret" / "test-secret", {"foo": "bar"})
    (tmp_path / "authorizers.py").write_text(AUTHORIZERS)

    def start(name: str) -> Server:
        return serve(
            command=("server",),
            env={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
            arguments=(*KUBEFLOW, f"--ServerApp.authorizer_class=authorizers.{name}"),
        )

    return start


@pytest.mark.parametrize("handler", [handler for _, handler in HANDLERS])
def test_every_verb_asks_for_authentication_and_names_its_resource(
    handler: type[RequestHandler],
) -> None:
    verbs = [
        verb.lower()
        for verb in handler.SUPPORTED_METHODS
        if getattr(handler, verb.lower()) is not RequestHandler._unimplemented_method
    ]
    assert verbs == ["get", "options"]
    # An inherited verb would be checked for the resource of another class.
    method = vars(handler)["get"]
    assert _has_tornado_web_authenticated(method)
    variables = inspect.getclosurevars(method.__wrapped__).nonlocals
    assert (variables["action"], variables["resource"]) == ("read", AUTH_RESOURCE)


@pytest.mark.slow
def test_without_the_token_nothing_answers(
    protected: Server, conforms: Callable[[str, Answer], Any]
) -> None:
    for path in ALL:
        answer = protected.get(path)
        assert answer.status == 403, path
        assert conforms("/secrets", answer)["message"] == "Forbidden"
        wrong = protected.get(path, headers={"Authorization": "token sesame"})
        assert wrong.status == 403, path
    good = {"Authorization": "token open-sesame"}
    statuses = {path: protected.get(path, headers=good).status for path in ALL}
    assert statuses == {
        f"{API}/secrets": 200,
        f"{API}/secrets/test-secret": 200,
        f"{API}/secrets/absent": 404,
        f"{API}/secrets/%FF": 400,
        f"{API}/registries": 200,
        f"{API}/pod": 200,
        f"{API}": 404,
        f"{API}/nothing": 404,
        f"{API}/secrets/a/b": 404,
    }


@pytest.mark.slow
@pytest.mark.parametrize("authorizer", ["Nobody", "AllButOurs"])
def test_an_authorizer_that_denies_is_obeyed(
    authorizing: Callable[[str], Server], authorizer: str
) -> None:
    server = authorizing(authorizer)
    assert {path: server.get(path).status for path in ALL} == dict.fromkeys(ALL, 403)


@pytest.mark.slow
def test_the_authorizer_is_asked_for_our_resource_whatever_came_before(
    authorizing: Callable[[str], Server],
) -> None:
    server = authorizing("OnlyReadingOurs")
    assert server.get("api/contents").status == 403
    for path in (*ALL, *reversed(ALL)):
        assert server.get(path).status != 403, path
    assert server.get("api/contents").status == 403
    asked = [line.split("ASKED ", 1)[1] for line in server.log().splitlines() if "ASKED" in line]
    ours = [line for line in asked if not line.endswith(" read contents")]
    assert len(ours) == 2 * len(ALL)
    assert all(line.endswith(" read kfsecrets") for line in ours)


@pytest.mark.slow
def test_another_origin_gets_the_same_names_and_no_more(server: Server) -> None:
    # Kubeflow allows every origin.
    evil = {"Origin": "https://evil.example", "Referer": "https://evil.example/x", "Host": "evil"}
    for path in ("secrets", "secrets/test-secret", "registries", "pod"):
        there = server.get(f"{API}/{path}", headers=evil)
        assert there.status == 200
        assert there.body == server.get(f"{API}/{path}").body


@pytest.mark.slow
def test_another_origin_gets_nothing_where_it_is_not_allowed(protected: Server) -> None:
    evil = {"Origin": "https://evil.example", "Referer": "https://evil.example/x"}
    for path in ALL:
        assert protected.get(path, headers=evil).status in (403, 404), path
