"""The Secret: its data, its name and its form for the API server, as kubectl makes them."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from kfsecrets_ext.poddefaults import MANAGED_BY
from kfsecrets_ext.values import SecretBytes, SecretStr

from .sources import Entry, SourceError, exact, sealed

__all__ = [
    "DOCKER_CONFIG_KEY",
    "DOCKER_CONFIG_TYPE",
    "DOCKER_HUB",
    "SecretObject",
    "docker_registry",
    "generic",
]

DOCKER_CONFIG_TYPE: Final = "kubernetes.io/dockerconfigjson"
DOCKER_CONFIG_KEY: Final = ".dockerconfigjson"
DOCKER_HUB: Final = "https://index.docker.io/v1/"
"""The key for Docker Hub that every program understands; ``docker.io`` is not."""


@dataclass(frozen=True)
class SecretObject:
    """A Secret that is to be written.

    Attributes
    ----------
    name : str
    data : mapping of str to SecretBytes
        The values as they are, not in base64.
    type : str or None
        ``None`` leaves it to the API server: ``Opaque``.
    namespace : str or None
        ``None`` leaves it to whoever applies it.
    immutable : bool
        Whether the API server refuses to change it.
    labels, annotations : mapping of str to str
        Beside the label of what this package owns.
    """

    name: str
    data: Mapping[str, SecretBytes] = field(default_factory=dict)
    type: str | None = None
    namespace: str | None = None
    immutable: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sealed = MappingProxyType({key: SecretBytes(self.data[key]) for key in sorted(self.data)})
        object.__setattr__(self, "data", sealed)

    def with_hash(self) -> SecretObject:
        """Give the Secret with the hash of its content at the end of its name.

        Returns
        -------
        SecretObject
            As ``kubectl create secret --append-hash`` names it.
        """
        # kubectl, util/hash: name, type and data as Go writes them in JSON, by sorted names
        data = SecretBytes(
            b",".join(
                b'%b:"%b"' % (_go_string(SecretBytes(key.encode())), base64.b64encode(value))
                for key, value in self.data.items()
            )
        )
        content = SecretBytes(
            b'{"data":{%b},"kind":"Secret","name":%b,"type":%b}'
            % (
                data,
                _go_string(SecretBytes(self.name.encode())),
                _go_string(SecretBytes((self.type or "").encode())),
            )
        )
        digest = hashlib.sha256(content).hexdigest()[:10]
        return replace(self, name=f"{self.name}-{digest.translate(_NO_VOWELS)}")

    def to_mapping(self) -> dict[str, Any]:
        """Give the object for the API server or a file; its values are `SecretStr` in base64."""
        metadata: dict[str, Any] = {"name": self.name}
        if self.namespace is not None:
            metadata["namespace"] = self.namespace
        metadata["labels"] = {**self.labels, MANAGED_BY[0]: MANAGED_BY[1]}
        if self.annotations:
            metadata["annotations"] = dict(self.annotations)
        given: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
        if self.type is not None:
            given["type"] = self.type
        if self.immutable:
            given["immutable"] = True
        if self.data:
            given["data"] = {
                key: SecretStr(base64.b64encode(value).decode()) for key, value in self.data.items()
            }
        return given


def generic(
    name: str,
    entries: Iterable[Entry] = (),
    *,
    type: str | None = None,  # noqa: A002  kubectl's word
    namespace: str | None = None,
    append_hash: bool = False,
) -> SecretObject:
    """Make a Secret as ``kubectl create secret generic`` does.

    Parameters
    ----------
    name : str
        It is not checked here: see `problems`.
    entries : iterable of (str, SecretBytes)
        From `from_literal`, `from_file`, `from_environment_file` and `from_prompt`.
    type, namespace : str, optional
    append_hash : bool
        Whether the name gets the hash of the content at its end.

    Returns
    -------
    SecretObject

    Raises
    ------
    SourceError
        A key comes twice.
    """
    data: dict[str, SecretBytes] = {}
    for key, value in entries:
        if key in data:
            raise SourceError(f"key {key!r}", "it is given twice.")
        data[key] = SecretBytes(value)
    made = SecretObject(name, data, type or None, namespace or None)
    return made.with_hash() if append_hash else made


def docker_registry(
    name: str,
    *,
    username: str | bytes,
    password: str | bytes,
    server: str | bytes = DOCKER_HUB,
    email: str | bytes = "",
    namespace: str | None = None,
    append_hash: bool = False,
) -> SecretObject:
    """Make a Secret as ``kubectl create secret docker-registry`` does.

    Parameters
    ----------
    name : str
        It is not checked here: see `problems`.
    username, password, server, email : str or bytes
        What is no UTF-8 stays exact in the field ``auth`` alone, as with kubectl.
    namespace : str, optional
    append_hash : bool
        Whether the name gets the hash of the content at its end.

    Returns
    -------
    SecretObject

    Raises
    ------
    SourceError
        User name, password or server is empty.
    """
    username, password, server, email = map(sealed, (username, password, server, email))
    given = {
        "username": exact(username, "user name"),
        "password": exact(password, "password"),
        "server": exact(server, "server"),
        "email": exact(email, "e-mail"),
    }
    del username, password, server, email
    for part in ("username", "password", "server"):
        if not given[part]:
            raise SourceError(f"--docker-{part}", "it is empty.")
    content = docker_config(given)
    return generic(
        name,
        [(DOCKER_CONFIG_KEY, content)],
        type=DOCKER_CONFIG_TYPE,
        namespace=namespace,
        append_hash=append_hash,
    )


def docker_config(given: Mapping[str, SecretBytes]) -> SecretBytes:
    """Write a registry's credentials as Go's encoding/json does, to the byte.

    Parameters
    ----------
    given : mapping of str to SecretBytes
        ``username``, ``password``, ``server`` and ``email``, which may be empty.

    Returns
    -------
    SecretBytes
        The content of a ``.dockerconfigjson``.
    """
    auth = SecretBytes(base64.b64encode(b"%b:%b" % (given["username"], given["password"])))
    fields = (
        ("username", given["username"]),
        ("password", given["password"]),
        ("email", given["email"]),
        ("auth", auth),
    )
    entry = SecretBytes(
        b",".join(
            b'"%b":%b' % (name.encode(), _go_string(value)) for name, value in fields if value
        )
    )
    return SecretBytes(b'{"auths":{%b:{%b}}}' % (_go_string(given["server"]), entry))


# kubectl, util/hash: no vowels, no bad words
_NO_VOWELS = str.maketrans("013ae", "ghkmt")

# encoding/json: with HTML escaping; a byte that is no UTF-8 becomes U+FFFD
_ESCAPED = re.compile('[\\x00-\\x1f"\\\\<>&\u2028\u2029\udc80-\udcff]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _go_string(value: SecretBytes) -> SecretBytes:
    text = SecretStr(value.decode("utf-8", "surrogateescape"))
    return SecretBytes(b'"%b"' % _ESCAPED.sub(_escape, text).encode())


def _escape(found: re.Match[str]) -> str:
    one = found[0]
    if "\udc80" <= one <= "\udcff":
        return "\\ufffd"
    return _SHORT.get(one) or f"\\u{ord(one):04x}"
