"""Every verb of every endpoint asks who is there and what they may do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import pytest
from jupyter_server.auth import Authorizer, User
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import JupyterHandler
from tornado.routing import Rule, RuleRouter
from tornado.web import Application, RequestHandler, authenticated

pytest_plugins = ["pytest_jupyter.jupyter_server"]

Handler = type[RequestHandler]


def rules(router: RuleRouter) -> Iterator[Rule]:
    """Every rule of a router and of the routers below it."""
    for rule in router.rules:
        if isinstance(rule.target, RuleRouter):
            yield from rules(rule.target)
        else:
            yield rule


def own_handlers(application: Application) -> dict[Handler, str]:
    """The product's handlers among an application's rules → the pattern of one rule of each."""
    return {
        rule.target: rule.matcher.regex.pattern
        for router in (application.default_router, application.wildcard_router)
        for rule in rules(router)
        if isinstance(rule.target, type) and rule.target.__module__.startswith("kfsecrets_ext.")
    }


def verbs(handler: Handler) -> dict[str, Callable[..., Any]]:
    """The verbs that a handler answers by code that is not Jupyter's or Tornado's own."""
    found = {}
    for verb in handler.SUPPORTED_METHODS:
        (definer, *_) = (cls for cls in handler.__mro__ if verb.lower() in vars(cls))
        if definer.__module__.split(".")[0] not in {"jupyter_server", "tornado"}:
            found[verb] = vars(definer)[verb.lower()]
    return found


def layers(method: Callable[..., Any]) -> Iterator[CodeType]:
    """The code of a method's decorators, from the outside in, and its own."""
    while method is not None:
        yield method.__code__
        method = getattr(method, "__wrapped__", None)


def unguarded(handlers: list[Handler]) -> list[str]:
    """What lacks a decorator, as ``Handler.verb: decorator``."""

    def method(self: RequestHandler) -> None: ...

    wanted = {
        "authenticated": authenticated(method).__code__,
        "authorized": authorized("read", "kfsecrets")(method).__code__,
    }
    return [
        f"{handler.__name__}.{verb.lower()}: {name}"
        for handler in handlers
        for verb, function in verbs(handler).items()
        for name, code in wanted.items()
        if code not in set(layers(function))
    ]


class Deny(Authorizer):
    """Says no to everything, and remembers what it was asked."""

    def is_authorized(self, handler: Any, user: User, action: str, resource: str) -> bool:
        asked.append((action, resource))
        return False


asked: list[tuple[str, str]] = []


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    # The handlers' own decorators have to do it, not the server's setting.
    return {
        "ServerApp": {
            "jpserver_extensions": {"kfsecrets_ext": True},
            "allow_unauthenticated_access": True,
        }
    }


@pytest.fixture
def handlers(jp_serverapp: Any) -> dict[Handler, str]:
    found = own_handlers(jp_serverapp.web_app)
    assert len(found) >= 4, "secrets, secrets/{name}, registries, pod"
    return found


def path_of(pattern: str) -> str:
    """A path that a pattern of one group or none matches."""
    path = re.sub(r"/?\(.*\)\??", "/a-name", pattern.rstrip("$"))
    assert re.fullmatch(pattern, path)
    return path


def test_every_verb_is_authenticated_and_authorized(handlers: dict[Handler, str]) -> None:
    assert unguarded(list(handlers)) == []
    assert all(verbs(handler) for handler in handlers)


def test_there_is_nothing_but_get(handlers: dict[Handler, str]) -> None:
    assert {verb for handler in handlers for verb in verbs(handler)} == {"GET"}


async def test_no_answer_without_a_token(
    handlers: dict[Handler, str], http_server_client: Any
) -> None:
    for pattern in handlers.values():
        path = path_of(pattern)
        response = await http_server_client.fetch(path, raise_error=False)
        assert response.code == 403, path


async def test_no_answer_against_the_authorizer(
    handlers: dict[Handler, str], jp_serverapp: Any, http_server_client: Any
) -> None:
    jp_serverapp.web_app.settings["authorizer"] = Deny(parent=jp_serverapp)
    token = {"Authorization": f"token {jp_serverapp.identity_provider.token}"}
    for pattern in handlers.values():
        path = path_of(pattern)
        asked.clear()
        response = await http_server_client.fetch(path, headers=token, raise_error=False)
        assert response.code == 403, path
        assert asked == [("read", "kfsecrets")], path


def test_the_check_finds_a_verb_without_a_decorator() -> None:
    class Open(JupyterHandler):
        def get(self) -> None: ...

        @authenticated
        def post(self) -> None: ...

        @authorized("write", "kfsecrets")
        async def put(self) -> None: ...

        @authenticated
        @authorized("write", "kfsecrets")
        async def delete(self) -> None: ...

    assert unguarded([Open]) == [
        "Open.get: authenticated",
        "Open.get: authorized",
        "Open.post: authorized",
        "Open.put: authenticated",
    ]
