"""What names a registry: the argument of a look-up, and the keys of a configuration file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from kfsecrets_ext.errors import InvalidName

__all__ = ["HUB", "HUB_HOSTS", "Key", "Reference", "parse_key", "parse_reference", "shown"]

HUB = "https://index.docker.io/v1/"
"""Docker Hub's key in configuration files, and what its credential helpers are asked for."""

# containers/image: normalizeRegistry
HUB_HOSTS = ("docker.io", "index.docker.io", "registry-1.docker.io")
"""The hosts that are Docker Hub, its reference name first."""

_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*)://")
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[+._\-][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,}")
_API_ROOTS = frozenset({"v1", "v2"})
_UNUSUAL = re.compile(r"[\s\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Reference:
    """What a look-up asks for.

    Attributes
    ----------
    text : str
        The argument as it may be shown: user information of a URL is left out.
    host : str
        The registry's host, with its port.
    scopes : tuple of str
        The path prefixes to look for, most specific first; the last one, the whole host, is
        ``""``.
    hosts : tuple of str
        Names of the host, the one asked for first. Docker Hub has several.
    """

    text: str
    host: str
    scopes: tuple[str, ...]
    hosts: tuple[str, ...]

    @property
    def path(self) -> tuple[str, ...]:
        """The segments of the most specific path."""
        return tuple(self.scopes[0].split("/")) if self.scopes[0] else ()

    @property
    def is_hub(self) -> bool:
        """Whether it is Docker Hub."""
        return self.host in HUB_HOSTS

    @property
    def server(self) -> str:
        """What a credential helper is asked for."""
        return HUB if self.is_hub else self.host


@dataclass(frozen=True)
class Key:
    """A key of a configuration file, taken apart.

    Attributes
    ----------
    text : str
        The key itself.
    host : str
        With its port; ``*`` stands for any part of a label.
    path : tuple of str
        The segments that it is scoped to; ``/v1/`` and ``/v2/`` are the whole host.
    has_scheme : bool
    """

    text: str
    host: str
    path: tuple[str, ...]
    has_scheme: bool

    @property
    def is_glob(self) -> bool:
        """Whether it stands for several hosts."""
        return "*" in self.host

    def covers(self, path: tuple[str, ...]) -> bool:
        """Tell whether a path is in the key's scope, by whole segments."""
        return path[: len(self.path)] == self.path

    def matches_host(self, host: str) -> bool:
        """Tell whether the host is one that the key stands for.

        Labels are compared one by one, their number and the port must be equal.
        """
        # as the kubelet does, in URLsMatch
        return _host_pattern(self.host).fullmatch(host) is not None


@lru_cache(maxsize=1024)
def parse_reference(query: str | None) -> Reference:
    """Read a registry, an image reference or a URL.

    Parameters
    ----------
    query : str or None
        ``None`` and ``""`` are Docker Hub.

    Returns
    -------
    Reference

    Raises
    ------
    InvalidName
        It is no string, or has white space or control characters in it.

    Examples
    --------
    >>> parse_reference("ghcr.io/org/image:1.2").host
    'ghcr.io'
    >>> parse_reference("busybox").scopes
    ('library/busybox', 'library', '')
    """
    if not isinstance(query, str | None):
        raise InvalidName("registry", type(query), reason="it is no text.")
    text = query.strip() if query else ""
    text = text or HUB
    scheme, rest = _split_scheme(text)
    is_url = scheme not in ("", "docker")
    authority, slash, path = rest.partition("/")
    stripped = _without_user(authority)
    if stripped != authority:
        text = text.replace(authority, stripped, 1)
        authority = stripped
    if _UNUSUAL.search(text):
        raise InvalidName(
            "registry", shown(text), reason="it has white space or control characters in it."
        )
    if is_url:
        return _at_host(text, re.split("[?#]", authority)[0], _url_path(path), tagged=False)
    if not slash:
        return _without_path(text, authority)
    segments, tagged = _repository(path)
    if _is_host(authority):
        return _at_host(text, authority, segments, tagged=tagged)
    return _at_host(text, HUB_HOSTS[0], (authority, *segments), tagged=True)


def parse_key(text: str) -> Key:
    """Take a key of a configuration file apart.

    Parameters
    ----------
    text : str

    Returns
    -------
    Key
    """
    scheme, rest = _split_scheme(text)
    rest = re.split("[?#]", rest, maxsplit=1)[0]
    authority, _, path = rest.partition("/")
    segments = tuple(segment for segment in path.split("/") if segment)
    if segments and segments[0] in _API_ROOTS:
        segments = segments[1:]
    return Key(text, authority.rpartition("@")[2], segments, bool(scheme))


def shown(name: str) -> str:
    """Return a key of a configuration file as it may be displayed.

    User information of a URL is left out, and what no terminal or encoder takes is replaced.

    Parameters
    ----------
    name : str

    Returns
    -------
    str
    """
    scheme, rest = _split_scheme(name)
    authority, slash, path = rest.partition("/")
    prefix = f"{scheme}://" if scheme else ""
    name = f"{prefix}{_without_user(authority)}{slash}{path}"
    return name.encode("utf-8", "replace").decode("utf-8")


def _split_scheme(text: str) -> tuple[str, str]:
    match = _SCHEME.match(text)
    return (match["scheme"].lower(), text[match.end() :]) if match else ("", text)


def _without_user(authority: str) -> str:
    _, at, host = authority.rpartition("@")
    return authority if not at or _DIGEST.fullmatch(host) else host


def _is_host(component: str) -> bool:
    # distribution/reference: splitDockerDomain
    return (
        "." in component
        or ":" in component
        or component == "localhost"
        or component != component.lower()
    )


def _is_port(text: str) -> bool:
    # `registry:5000` is a host, `postgres:15` an image with its tag.
    if not (text.isascii() and text.isdigit()):
        return False
    number = int(text[:6])
    return number in (80, 443) or 1000 <= number <= 65535


def _without_path(text: str, name: str) -> Reference:
    image = name.partition("@")[0]
    bare, colon, after = image.partition(":")
    if image.startswith("[") or _is_host(bare) or (colon and _is_port(after)):
        return _at_host(text, image, (), tagged=False)
    return _at_host(text, HUB_HOSTS[0], ("library", bare), tagged=True)


def _repository(path: str) -> tuple[tuple[str, ...], bool]:
    """Split the path of an image reference, and tell whether a tag or a digest was cut off."""
    name = path.partition("@")[0]
    head, slash, last = name.rpartition("/")
    repository = f"{head}{slash}{last.partition(':')[0]}"
    segments = tuple(segment for segment in repository.split("/") if segment)
    return segments, repository != path


def _url_path(path: str) -> tuple[str, ...]:
    segments, _ = _repository(re.split("[?#]", path, maxsplit=1)[0])
    return segments[1:] if segments and segments[0] in _API_ROOTS else segments


def _at_host(text: str, host: str, path: tuple[str, ...], *, tagged: bool) -> Reference:
    paths = [path[:length] for length in range(len(path), 0, -1)]
    hosts: tuple[str, ...] = (host,)
    if host in HUB_HOSTS:
        hosts = (host, *(other for other in HUB_HOSTS if other != host))
        # `docker.io/name` is the image library/name, unless it names a namespace.
        if len(path) == 1:
            paths.append(("library", *path))
            if tagged:
                paths.append(("library",))
    return Reference(text, host, (*map("/".join, paths), ""), hosts)


@lru_cache(maxsize=1024)
def _host_pattern(host: str) -> re.Pattern[str]:
    return re.compile("[^.:]*".join(re.escape(part) for part in re.split(r"\*+", host)))
