"""What a look-up answers: credentials that do not show themselves."""

from __future__ import annotations

import base64
from dataclasses import dataclass, fields
from typing import Any

from kfsecrets_ext.redaction import guard
from kfsecrets_ext.values import MASK, SecretStr

__all__ = ["DockerCredentials", "issue"]


@dataclass(frozen=True, repr=False)
class DockerCredentials:
    """The credentials of one registry.

    Its display names the registry, and nothing that it holds.

    Attributes
    ----------
    registry : str
        The entry that answered, or the server that a credential helper was asked for.
    username : str
        ``""`` where a token stands alone.
    password : SecretStr
        ``""`` where a token stands alone.
    identity_token : SecretStr or None
        A refresh token, for the registry's token server.
    registry_token : SecretStr or None
        A bearer token, for the registry itself.
    source : str
        What answered, as its masked values are labelled.

    Examples
    --------
    >>> credentials = get_docker_credentials("ghcr.io")            # doctest: +SKIP
    >>> docker.from_env().images.pull(
    ...     "ghcr.io/org/image", auth_config=credentials.as_auth_config()
    ... )                                                          # doctest: +SKIP
    """

    registry: str
    username: str
    password: SecretStr
    identity_token: SecretStr | None = None
    registry_token: SecretStr | None = None
    source: str = "registry"

    def as_auth_config(self) -> dict[str, str]:
        """Return the credentials as the Docker Engine API takes them.

        Returns
        -------
        dict
            ``username``, ``password``, ``serveraddress`` and, where there is one,
            ``identitytoken`` or ``registrytoken``; the values are masked in its display.
        """
        config: dict[str, str] = {
            "username": self.username,
            "password": self.password,
            "serveraddress": self.registry,
        }
        if self.identity_token is not None:
            config["identitytoken"] = self.identity_token
        if self.registry_token is not None:
            config["registrytoken"] = self.registry_token
        return config

    def __repr__(self) -> str:
        return f"DockerCredentials(registry={self.registry!r}, {MASK})"

    def __copy__(self) -> DockerCredentials:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> DockerCredentials:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process learns of the values before its user has them.
        return _restored, ({field.name: getattr(self, field.name) for field in fields(self)},)


def issue(
    registry: str,
    username: str,
    password: str,
    *,
    identity_token: str | None = None,
    registry_token: str | None = None,
    source: str = "registry",
    auth: str | None = None,
) -> DockerCredentials:
    """Make credentials, known to the redactor before anyone has them.

    Parameters
    ----------
    registry, username, password, identity_token, registry_token, source
        As `DockerCredentials`.
    auth : str, optional
        The base64 form as the file had it.

    Returns
    -------
    DockerCredentials
    """
    password = SecretStr(password)
    identity_token = SecretStr(identity_token) if identity_token else None
    registry_token = SecretStr(registry_token) if registry_token else None
    auth = SecretStr(auth) if auth else None
    label = f"{source}:{registry}"
    redactor = guard()
    if password:
        pair = f"{username}:{password}".encode("utf-8", "surrogatepass")
        redactor.add(label, SecretStr(base64.b64encode(pair).decode("ascii")))
    for value in (password, identity_token, registry_token, auth):
        if value:
            redactor.add(label, value)
    return DockerCredentials(registry, username, password, identity_token, registry_token, source)


def _restored(values: dict[str, Any]) -> DockerCredentials:
    return issue(**values)
