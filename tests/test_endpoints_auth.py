"""Every verb of every endpoint asks who is there and what they may do.

That the answer counts is held by ``tests/server/test_access.py``, on a running server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import pytest
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import JupyterHandler
from tornado.web import RequestHandler, authenticated

from kfsecrets_ext import server
from kfsecrets_ext.server import KfSecretsExtension

Handler = type[RequestHandler]


def own_handlers() -> dict[Handler, str]:
    """The product's handlers → the pattern of one rule of each."""
    return {handler: pattern for pattern, handler in KfSecretsExtension.handlers}


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


@pytest.fixture
def handlers() -> dict[Handler, str]:
    found = own_handlers()
    assert len(found) >= 5, "secrets, secrets/{name}, registries, redaction, pod"
    return found


def test_every_handler_of_the_product_is_checked(handlers: dict[Handler, str]) -> None:
    defined = {
        item
        for item in vars(server.handlers).values()
        if isinstance(item, type)
        and issubclass(item, RequestHandler)
        and item.__module__.startswith("kfsecrets_ext.")
        and not item.__name__.startswith("_")
    }
    assert defined == set(handlers)


def test_every_verb_is_authenticated_and_authorized(handlers: dict[Handler, str]) -> None:
    assert unguarded(list(handlers)) == []
    assert all(verbs(handler) for handler in handlers)


def test_there_is_nothing_but_get(handlers: dict[Handler, str]) -> None:
    assert {verb for handler in handlers for verb in verbs(handler)} == {"GET"}


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
