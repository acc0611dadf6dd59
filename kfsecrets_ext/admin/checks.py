"""What the API server would refuse of a Secret, and what programs that read it would not take."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final

from kfsecrets_ext.errors import DockerConfigError
from kfsecrets_ext.values import SecretBytes, SecretStr

from .secret import DOCKER_CONFIG_KEY, DOCKER_CONFIG_TYPE, DOCKER_HUB, SecretObject

__all__ = ["SIZE_LIMIT", "advice", "problems"]

SIZE_LIMIT: Final = 1 << 20
"""Bytes of all values together."""


def problems(secret: SecretObject) -> tuple[str, ...]:
    """Say what the API server would refuse.

    Parameters
    ----------
    secret : SecretObject

    Returns
    -------
    tuple of str
        A sentence each, without a value; empty if it would be taken.
    """
    return tuple(_problems(secret))


def advice(secret: SecretObject) -> tuple[str, ...]:
    """Say what the API server takes and a program that reads it does not.

    Parameters
    ----------
    secret : SecretObject

    Returns
    -------
    tuple of str
        A sentence each, without a value.
    """
    return tuple(_advice(secret))


_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")

# validation.ValidateSecret: the keys that a type asks for
_DOCKER = {DOCKER_CONFIG_TYPE: DOCKER_CONFIG_KEY, "kubernetes.io/dockercfg": ".dockercfg"}
_BASIC = "kubernetes.io/basic-auth"
_SSH = "kubernetes.io/ssh-auth"
_TLS = "kubernetes.io/tls"
_TOKEN = "kubernetes.io/service-account-token"  # noqa: S105  a type's name


def _problems(secret: SecretObject) -> Iterator[str]:
    if len(secret.name) > 253 or not _SUBDOMAIN.fullmatch(secret.name):
        yield (
            f"{secret.name!r} cannot be the name of a Secret: at most 253 lower-case letters, "
            "digits, '-' and '.', a letter or digit at both ends."
        )
    if secret.namespace is not None and (
        len(secret.namespace) > 63 or not _LABEL.fullmatch(secret.namespace)
    ):
        yield (
            f"{secret.namespace!r} cannot be the name of a namespace: at most 63 lower-case "
            "letters, digits and '-', a letter or digit at both ends."
        )
    for key in secret.data:
        if not _KEY.fullmatch(key) or key == "." or key.startswith(".."):
            yield f"{key!r} cannot be a key: letters, digits, '-', '_' and '.' will do."
    if sum(map(len, secret.data.values())) > SIZE_LIMIT:
        yield "The values are over 1 MiB together, which no Secret can hold."
    yield from _by_type(secret)


def _by_type(secret: SecretObject) -> Iterator[str]:
    kind, data = secret.type, secret.data
    if kind in _DOCKER:
        key = _DOCKER[kind]
        if key not in data:
            yield f"A Secret of type {kind} must have the key {key}."
        elif not _is_object(data[key]):
            yield f"The content of {key} is no JSON object, as type {kind} asks for."
    elif kind == _BASIC and not {"username", "password"} & set(data):
        yield f"A Secret of type {kind} must have the key username or password."
    elif kind == _SSH and not data.get("ssh-privatekey"):
        yield f"A Secret of type {kind} must have the key ssh-privatekey, and not empty."
    elif kind == _TLS:
        for key in ("tls.crt", "tls.key"):
            if key not in data:
                yield f"A Secret of type {kind} must have the key {key}."
    elif kind == _TOKEN:
        yield (
            f"A Secret of type {kind} must have the annotation kubernetes.io/service-account.name, "
            "which is not set here."
        )


def _advice(secret: SecretObject) -> Iterator[str]:
    key = _DOCKER.get(secret.type or "")
    if key is None or key not in secret.data or not _is_object(secret.data[key]):
        return
    from kfsecrets_ext.docker import DockerConfig

    reason = ""
    try:
        registries = DockerConfig.from_json(secret.data[key]).registries()
    except DockerConfigError as error:
        reason = error.reason
    if reason:
        yield f"Programs cannot use the content of {key}: {reason}"
        return
    if not registries:
        yield f"The content of {key} names no registry."
    for registry in registries:
        if registry.kind == "invalid":
            yield f"Programs cannot use the entry of registry {registry.name!r} in {key}."
        if registry.name in ("docker.io", "index.docker.io", "registry-1.docker.io"):
            yield (
                f"The docker CLI, crane and kaniko do not find the registry {registry.name!r}; "
                f"for Docker Hub, every program understands {DOCKER_HUB!r}."
            )
        if registry.kind == "helper":
            yield (
                f"The entry of registry {registry.name!r} in {key} names a program that keeps "
                "the credentials, which a notebook does not have."
            )


def _is_object(content: SecretBytes) -> bool:
    """Whether json.Unmarshal takes it into a map: what is no UTF-8 is replaced, null is taken."""
    try:
        text = SecretStr(content.decode("utf-8", "replace"))
        return isinstance(_decoded(text), (dict, type(None)))
    except (ValueError, RecursionError):
        return False


def _decoded(text: SecretStr) -> Any:
    return json.loads(text, parse_constant=_refuse, parse_int=_number, parse_float=_number)


def _refuse(_constant: str) -> None:
    raise ValueError


def _number(text: str) -> float:
    # encoding/json: a number that no float64 holds is an error
    number = float(text)
    if math.isinf(number):
        raise ValueError
    return number
