"""Every error that a user of the package can meet.

Errors carry data (the names asked for, the names that are there) and say what to do. They never
carry a value: not in ``args``, not in their text, not in ``__cause__`` or ``__context__``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = [
    "ClusterError",
    "Conflict",
    "DockerConfigError",
    "Forbidden",
    "InvalidName",
    "KeyNotFound",
    "RegistryNotFound",
    "Rejected",
    "SecretError",
    "SecretNotFound",
    "SecretNotText",
    "SecretTooLarge",
    "SecretUnreadable",
    "Unreachable",
]

_NAMES_SHOWN = 10


class SecretError(Exception):
    """Base of all errors of this package."""

    def __str__(self) -> str:
        # KeyError would show the repr of its argument.
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, dict(self.__dict__))


class SecretNotFound(SecretError, KeyError):
    """No Secret of that name is in this pod.

    Attributes
    ----------
    name : str
        The name asked for.
    available : tuple of str
        The names that are there.
    """

    def __init__(self, name: str, *, available: Iterable[str] = (), hint: str | None = None):
        self.name = name
        self.available = tuple(available)
        super().__init__(
            _join(
                f"No secret named {name!r} is mounted here.",
                _suggest(name, self.available, "Secrets here"),
                hint,
            )
        )


class KeyNotFound(SecretError, KeyError):
    """The Secret is here, and has no such key.

    Attributes
    ----------
    name, key : str
        What was asked for.
    available : tuple of str
        The keys that are there.
    """

    def __init__(
        self, name: str, key: str, *, available: Iterable[str] = (), hint: str | None = None
    ):
        self.name = name
        self.key = key
        self.available = tuple(available)
        super().__init__(
            _join(
                f"Secret {name!r} has no key {key!r}.",
                _suggest(key, self.available, "Its keys"),
                hint,
            )
        )


class SecretUnreadable(SecretError):
    """The file is there, and may not or cannot be read.

    Attributes
    ----------
    name : str
    key : str or None
        ``None`` where the whole Secret cannot be read.
    reason : str
        Why, and what mends it.
    path : str or None
    """

    def __init__(self, name: str, key: str | None = None, *, reason: str, path: str | None = None):
        self.name = name
        self.key = key
        self.reason = reason
        self.path = path
        what = f"Secret {name!r}" if key is None else f"Key {key!r} of secret {name!r}"
        where = f" ({path})" if path else ""
        super().__init__(f"{what}{where} cannot be read: {reason}")


class SecretTooLarge(SecretError):
    """The file is larger than a Secret can be.

    Attributes
    ----------
    name, key : str
    limit : int
        The most bytes that are read.
    """

    def __init__(self, name: str, key: str, *, limit: int):
        self.name = name
        self.key = key
        self.limit = limit
        super().__init__(
            f"Key {key!r} of secret {name!r} is over {limit} bytes, which no Kubernetes Secret "
            "can hold. Open the file itself if it is meant to be that large."
        )


class SecretNotText(SecretError, ValueError):
    """The value is no text in the encoding asked for.

    Attributes
    ----------
    name, key : str
    encoding : str
    """

    def __init__(self, name: str, key: str, *, encoding: str):
        self.name = name
        self.key = key
        self.encoding = encoding
        super().__init__(
            f"Key {key!r} of secret {name!r} is not text in {encoding}. "
            f"Read it as bytes: get_secret_bytes({name!r}, {key!r})."
        )


class InvalidName(SecretError, ValueError):
    """The argument cannot name a Secret, a key or a registry.

    Attributes
    ----------
    kind : str
        What it should have named, for example ``"secret"``.
    name : object
        What was given.
    reason : str
    """

    def __init__(self, kind: str, name: object, *, reason: str):
        self.kind = kind
        self.name = name
        self.reason = reason
        what = _NO_NAMES.get(kind, f"the name of a {kind}")
        super().__init__(f"{name!r} cannot be {what}: {reason}")


_NO_NAMES = {
    "mount path": "a mount path",
    "path of a key": "the path of a key",
    "selector": "a selector",
    "template": "where a template is",
    "canary": "a canary",
}


class DockerConfigError(SecretError):
    """A Docker configuration file cannot be used.

    Attributes
    ----------
    reason : str
    path : str or None
        The file.
    place : str or None
        Where in the file, as a line or as a path of JSON names.
    helper : str or None
        The credential helper concerned.
    """

    def __init__(
        self,
        reason: str,
        *,
        path: str | None = None,
        place: str | None = None,
        helper: str | None = None,
    ):
        self.reason = reason
        self.path = path
        self.place = place
        self.helper = helper
        where = ", ".join(part for part in (path, place) if part)
        super().__init__(f"{where}: {reason}" if where else reason)


class RegistryNotFound(SecretError, KeyError):
    """No configuration file has credentials for the registry.

    Attributes
    ----------
    registry : str
        What was asked for.
    available : tuple of str
        The registries that the files name.
    """

    def __init__(self, registry: str, *, available: Iterable[str] = ()):
        self.registry = registry
        self.available = tuple(available)
        super().__init__(
            _join(
                f"No credentials for registry {registry!r} were found.",
                _suggest(registry, self.available, "Registries configured"),
            )
        )


class ClusterError(SecretError):
    """The Kubernetes API did not do what was asked.

    Attributes
    ----------
    reason : str or None
        The API server's own word for it, such as ``"NotFound"``; never a body.
    """

    def __init__(self, message: str, *, reason: str | None = None):
        self.reason = reason
        super().__init__(message)


class Forbidden(ClusterError):
    """The API server refuses who asks.

    Attributes
    ----------
    reason : str or None
        ``"Forbidden"``, or ``"Unauthorized"`` where the server does not know who asks.
    """


class Conflict(ClusterError):
    """The object changed in between, or is somebody else's.

    Attributes
    ----------
    reason : str or None
        ``"Conflict"`` or ``"AlreadyExists"``.
    fields : tuple of str
        Paths of the fields that others own, such as ``".data.token"``.
    managers : tuple of str
        Who owns them, such as ``"kubectl"``.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        fields: Iterable[str] = (),
        managers: Iterable[str] = (),
    ):
        self.fields = tuple(fields)
        self.managers = tuple(managers)
        super().__init__(message, reason=reason)


class Rejected(ClusterError):
    """The API server finds the object invalid, or admission refuses it.

    Attributes
    ----------
    reason : str or None
        Such as ``"Invalid"``.
    causes : tuple of str
        Paths of the fields concerned, such as ``"metadata.name"``.
    by : str or None
        Which part of admission refused: ``"webhook"``, ``"quota"``, ``"pod security"``,
        ``"namespace"`` (it is going) or ``"admission"``; ``None`` where the object is invalid.
    webhook : str or None
        The webhook's name.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        causes: Iterable[str] = (),
        by: str | None = None,
        webhook: str | None = None,
    ):
        self.causes = tuple(causes)
        self.by = by
        self.webhook = webhook
        super().__init__(message, reason=reason)


class Unreachable(ClusterError):
    """There is no answer from the API server, or none that says what became of the request."""


def _restore(cls: type[SecretError], args: tuple[Any, ...], state: dict[str, Any]) -> SecretError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


def _join(*sentences: str | None) -> str:
    return " ".join(sentence for sentence in sentences if sentence)


def _suggest(name: str, available: tuple[str, ...], label: str) -> str:
    if not available:
        return ""
    shown = ", ".join(repr(other) for other in available[:_NAMES_SHOWN])
    if len(available) > _NAMES_SHOWN:
        shown += f" and {len(available) - _NAMES_SHOWN} more"
    nearest = difflib.get_close_matches(name, available, n=1)
    question = f"Did you mean {nearest[0]!r}? " if nearest else ""
    return f"{question}{label}: {shown}."
