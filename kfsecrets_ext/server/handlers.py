"""The endpoints, as ``openapi.yaml`` beside this file describes them."""

# mypy: disable-error-code="untyped-decorator"
# The types of `authorized` do not say what it makes of a function.

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from kfsecrets_ext import inventory
from kfsecrets_ext.errors import InvalidName, SecretError, SecretNotFound
from kfsecrets_ext.names import check_secret

from .encoding import encode, encode_inventory

__all__ = ["AUTH_RESOURCE", "HANDLERS"]

AUTH_RESOURCE = "kfsecrets"
"""What an ``Authorizer`` is asked about; the action is always ``"read"``."""

_STATUSES: dict[type[SecretError], int] = {InvalidName: 400, SecretNotFound: 404}

# One thread of its own: requests that come together share one walk, since the second finds what
# the first found, and a mount that hangs takes no thread that others need.
_worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kfsecrets")


class _Handler(APIHandler):
    """Answers in JSON, which the work for is not done on the event loop and which nobody keeps."""

    auth_resource = AUTH_RESOURCE
    # A panel that is left open must not keep a notebook from being culled.
    _track_activity = False

    async def answer(self, body: Callable[[], bytes]) -> None:
        """Finish with the JSON document that ``body`` gives."""
        await self.finish(await asyncio.get_running_loop().run_in_executor(_worker, body))

    def set_default_headers(self) -> None:
        """Set the headers that errors carry too."""
        super().set_default_headers()
        self.set_header("Cache-Control", "no-store")

    def compute_etag(self) -> None:
        """Give none: there is nothing to revalidate in what may not be stored."""

    def decode_argument(self, value: bytes, name: str | None = None) -> str:
        """Decode a name in the path; whether it can be one is judged after authentication."""
        if name is None:
            return value.decode("utf-8", "surrogateescape")
        return super().decode_argument(value, name)

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Answer with an error: one of the package's under the status that it stands for."""
        error = _error(kwargs)
        if isinstance(error, SecretError):
            status_code = _STATUSES.get(type(error), 500)
        super().send_error(status_code, **kwargs)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write ``message`` and ``reason``, as Jupyter Server does for errors of its own."""
        error = _error(kwargs)
        if isinstance(error, SecretError):
            body = {"message": str(error), "reason": type(error).__name__}
            _ = self.finish(encode(body))
        else:
            super().write_error(status_code, **kwargs)

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Log where an unforeseen error was raised, and not its text, which may quote a file."""
        if isinstance(value, web.HTTPError):
            super().log_exception(typ, value, tb)
        elif not isinstance(value, SecretError) and typ is not None:
            frames = "".join(traceback.format_tb(tb))
            self.log.error("Uncaught %s in %s:\n%s", typ.__name__, type(self).__name__, frames)


class SecretsHandler(_Handler):
    """All Secrets in this pod."""

    @web.authenticated
    @authorized("read", "kfsecrets")
    async def get(self) -> None:
        """List them."""
        await self.answer(_secrets)


class SecretHandler(_Handler):
    """One Secret."""

    @web.authenticated
    @authorized("read", "kfsecrets")
    async def get(self, name: str) -> None:
        """Show it."""
        await self.answer(lambda: _secret(name))


class RegistriesHandler(_Handler):
    """The Docker configuration files, and the registries that they name."""

    @web.authenticated
    @authorized("read", "kfsecrets")
    async def get(self) -> None:
        """List them."""
        await self.answer(_registries)


class PodHandler(_Handler):
    """What this pod says of itself."""

    @web.authenticated
    @authorized("read", "kfsecrets")
    async def get(self) -> None:
        """Show it."""
        await self.answer(_pod)


class RedactionHandler(_Handler):
    """How values are masked in what kernels send."""

    @web.authenticated
    @authorized("read", "kfsecrets")
    async def get(self) -> None:
        """Describe it."""
        await self.answer(_redaction)


class NotFoundHandler(_Handler):
    """Every other path, for which Jupyter Server would answer in HTML."""

    @web.authenticated
    @authorized("read", "kfsecrets")
    async def get(self) -> None:
        """Say that there is nothing."""
        raise web.HTTPError(404, "There is no such endpoint.", reason="Not Found")


# `authorized` decorates each verb of each class, and with the resource: one without it keeps the
# resource of the class that it first ran for.

HANDLERS: list[tuple[str, type[_Handler]]] = [
    (r"kfsecrets/api/v1/secrets", SecretsHandler),
    (r"kfsecrets/api/v1/secrets/([^/]+)", SecretHandler),
    (r"kfsecrets/api/v1/registries", RegistriesHandler),
    (r"kfsecrets/api/v1/pod", PodHandler),
    (r"kfsecrets/api/v1/redaction", RedactionHandler),
    (r"kfsecrets/api/v1(?:/.*)?", NotFoundHandler),
]
"""Path patterns below the server's base URL."""


def _error(kwargs: dict[str, Any]) -> BaseException | None:
    _, error, _ = kwargs.get("exc_info", (None, None, None))
    return error if isinstance(error, BaseException) else None


_answered: tuple[inventory.Inventory, bytes] | None = None


def _secrets() -> bytes:
    global _answered
    found = inventory.collect()
    # `collect` gives the same object as long as nothing changes.
    if _answered is None or _answered[0] is not found:
        _answered = found, encode_inventory(found)
    return _answered[1]


def _secret(name: str) -> bytes:
    check_secret(name)
    found = inventory.collect()
    secret = found.get(name)
    if secret is None:
        raise SecretNotFound(name, available=found.names())
    return encode(secret.to_json())


def _registries() -> bytes:
    # Not by each server's start: few requests ask for it.
    from kfsecrets_ext.docker import files

    return encode({"files": [file.to_json() for file in files()], "notes": []})


def _pod() -> bytes:
    return encode(inventory.pod().to_json())


def _redaction() -> bytes:
    # Nor this: the rules come with what finds them.
    from .redaction import describe

    return encode(describe())
