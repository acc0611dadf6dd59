"""Grants for what notebooks often need: Docker registries, AWS, git."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote_from_bytes

from kfsecrets_ext.errors import InvalidName
from kfsecrets_ext.values import SecretBytes

from .grant import Grant
from .secret import DOCKER_HUB, docker_registry, generic
from .sources import Entry, SourceError, exact, sealed

__all__ = ["FIELDS", "preset"]

FIELDS: Final = {
    "docker": (("username", "password"), ("server", "email")),
    "aws": (("access_key_id", "secret_access_key"), ("session_token", "region")),
    "git": (("username", "password"), ("host",)),
    "generic": (("entries",), ()),
}
"""What each preset must be given, and what it may."""


def preset(
    kind: str,
    name: str | None = None,
    *,
    username: str | bytes = "",
    password: str | bytes = "",
    server: str | bytes = DOCKER_HUB,
    email: str | bytes = "",
    access_key_id: str | bytes = "",
    secret_access_key: str | bytes = "",
    session_token: str | bytes = "",
    region: str | bytes = "",
    host: str | bytes = "github.com",
    entries: Iterable[Entry] = (),
    **options: Any,
) -> Grant:
    """Make a grant for a purpose.

    Parameters
    ----------
    kind : str
        ``"docker"``: the tutorial's registry credentials, mounted as ``config.json``; the
        environment variable ``DOCKER_CONFIG`` names the directory. ``"aws"``: the file
        ``credentials`` for ``AWS_SHARED_CREDENTIALS_FILE``, and ``config`` where a region is
        given, beside the values under their own names. ``"git"``: the file ``git-credentials``
        for ``credential.helper=store --file …``, beside ``username`` and ``password``.
        ``"generic"``: keys as they are.
    name : str, optional
        By default ``docker-config``, ``aws-credentials``, ``git-credentials``; a generic one
        must be named.
    username, password, server, email : str or bytes
        For ``"docker"``, where only the first two are needed.
    access_key_id, secret_access_key, session_token, region : str or bytes
        For ``"aws"``, where only the first two are needed.
    host : str or bytes
        For ``"git"``, with `username` and `password`, which may be a token.
    entries : iterable of (str, SecretBytes)
        For ``"generic"``, where one is needed.
    **options
        Of `Grant`.

    Returns
    -------
    Grant

    Raises
    ------
    InvalidName
        There is no such preset.
    SourceError
        A field is missing, is not of this preset, or cannot be used; no value is shown. Or
        `templates` asks for values of a preset that encodes them.
    """
    given = {
        "username": sealed(username),
        "password": sealed(password),
        "server": sealed(server),
        "email": sealed(email),
        "access_key_id": sealed(access_key_id),
        "secret_access_key": sealed(secret_access_key),
        "session_token": sealed(session_token),
        "region": sealed(region),
        "host": sealed(host),
    }
    del username, password, server, email, host
    del access_key_id, secret_access_key, session_token, region
    if kind not in FIELDS:
        raise InvalidName("preset", kind, reason=f"it is none of {', '.join(FIELDS)}")
    if kind == "generic" and name is None:
        raise InvalidName("grant", name, reason="a generic one must be named")
    fields = {field: exact(given[field], field) for field in given}
    entries = tuple(entries)
    needed, more = FIELDS[kind]
    for field, value in (*fields.items(), ("entries", entries)):
        if field in needed and not value:
            raise SourceError(f"{kind}, {field}", "it is missing or empty.")
        if field not in (*needed, *more) and value and value not in _DEFAULTS:
            raise SourceError(f"{kind}, {field}", f"it is no field of the preset {kind}.")
    asked = any(place.startswith("secret.data") for place in options.get("templates", ()))
    if asked and kind in ("docker", "git"):
        raise SourceError(
            "templates",
            "the values of docker and git are encoded: nothing can be filled in there.",
        )
    if name is not None and kind == "generic":
        return Grant(name, generic(name, entries), **options)
    if kind == "docker":
        return _docker(name or "docker-config", fields, options)
    if kind == "aws":
        return _aws(name or "aws-credentials", fields, options)
    return _git(name or "git-credentials", fields, options)


_BREAKS = re.compile(rb"[\n\r\0]")
_HOST = re.compile(rb"[-.a-zA-Z0-9]+(:[0-9]+)?|\[[0-9a-fA-F:.]+\](:[0-9]+)?")
_DEFAULTS = (DOCKER_HUB.encode(), b"github.com")


def _docker(name: str, fields: dict[str, SecretBytes], options: dict[str, Any]) -> Grant:
    secret = docker_registry(
        name,
        username=fields["username"],
        password=fields["password"],
        server=fields["server"],
        email=fields["email"],
    )
    return Grant(name, secret, **{"desc": "Docker registry credentials", **options})


def _aws(name: str, fields: dict[str, SecretBytes], options: dict[str, Any]) -> Grant:
    values = {
        "aws_access_key_id": fields["access_key_id"],
        "aws_secret_access_key": fields["secret_access_key"],
        "aws_session_token": fields["session_token"],
    }
    region = fields["region"]
    for key in [*values, "region"]:
        # botocore: an INI file, one value a line
        if _BREAKS.search(values.get(key, region)):
            raise SourceError(f"aws, {key.removeprefix('aws_')}", "it has a line break.")
    values = {key: values[key] for key in values if values[key]}
    lines = SecretBytes(b"".join(b"%b = %b\n" % (key.encode(), values[key]) for key in values))
    entries: list[Entry] = [*values.items(), ("credentials", SecretBytes(b"[default]\n" + lines))]
    if region:
        entries.append(("config", SecretBytes(b"[default]\nregion = %b\n" % region)))
    return Grant(name, generic(name, entries), **{"desc": "AWS credentials", **options})


def _git(name: str, fields: dict[str, SecretBytes], options: dict[str, Any]) -> Grant:
    host = fields["host"]
    if not _HOST.fullmatch(host):
        raise SourceError("git, host", "it must be a host, such as github.com or host:8443.")
    username, password = fields["username"], fields["password"]
    for field, value in (("username", username), ("password", password)):
        if _BREAKS.search(value):
            raise SourceError(f"git, {field}", "it has a line break or a NUL.")
    # git-credential-store: one URL a line, percent-encoded
    line = SecretBytes(
        b"https://%b:%b@%b\n"
        % (
            quote_from_bytes(username, safe="").encode(),
            quote_from_bytes(password, safe="").encode(),
            host,
        )
    )
    entries: list[Entry] = [
        ("git-credentials", line),
        ("password", password),
        ("username", username),
    ]
    return Grant(name, generic(name, entries), **{"desc": "git credentials", **options})
