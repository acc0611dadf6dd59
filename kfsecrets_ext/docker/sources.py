"""Where configuration files are: what Docker's and podman's users have, then mounted Secrets."""

from __future__ import annotations

import errno
import os
import pwd
import stat
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kfsecrets_ext import mounts
from kfsecrets_ext.errors import (
    DockerConfigError,
    KeyNotFound,
    SecretNotFound,
    SecretTooLarge,
    SecretUnreadable,
)
from kfsecrets_ext.values import SecretBytes, SecretStr

from .document import LIMIT, Document, parse_bytes, parse_text

__all__ = [
    "LAYOUT",
    "Source",
    "Unreadable",
    "forget",
    "given",
    "mounted",
    "of_user",
    "open_document",
    "search",
]

LAYOUT = ("config.json", ".dockerconfigjson", ".dockercfg")
"""Names that a configuration file has, as a file or as a key of a Secret."""

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_VARIABLE = "DOCKER_AUTH_CONFIG"
# A file that changed within the last tick of the file system's clock may change again and keep
# its time.
_TICK = 50_000_000  # ns
_REMEMBERED = 64

_Signature = tuple[int, int, int, int, int]
_SIGNS = (b"auths", b"credHelpers", b"credsStore")


class Unreadable(DockerConfigError):
    """The file is there, and cannot be read at all."""


@dataclass(frozen=True)
class Source:
    """A place where a configuration may be.

    Attributes
    ----------
    path : str
        The file; ``"$DOCKER_AUTH_CONFIG"`` for the variable.
    origin : str
        Why it is looked at.
    label : str
        What its values are called when they are masked.
    mount : Mount or None
        The mounted Secret whose key it is.
    key : str
        The key, where ``mount`` is given.
    """

    path: str
    origin: str
    label: str = "registry"
    mount: mounts.Mount | None = None
    key: str = ""

    @property
    def is_certain(self) -> bool:
        """Whether the name alone says that it is a Docker configuration."""
        return self.mount is None or os.path.basename(self.key) != "config.json"


def search() -> Iterator[Source]:
    """Yield each place to look at, the first to answer first.

    Yields
    ------
    Source
        The user's own files, then the mounted Secrets; each file once.
    """
    seen: set[str] = set()
    for places in (of_user, mounted):
        for source in places():
            real = _real(source.path)
            if real not in seen:
                seen.add(real)
                yield source


def of_user() -> Iterator[Source]:
    """Yield the places that Docker's and podman's users know.

    What a variable names comes before what is found at a usual place, and Docker's files come
    before podman's.

    Yields
    ------
    Source
    """
    environ = os.environ
    home = environ.get("HOME") or _home()
    if environ.get(_VARIABLE):
        yield Source(f"${_VARIABLE}", f"the environment variable {_VARIABLE}")
    directory = environ.get("DOCKER_CONFIG")
    if directory:
        yield from _in_directory(directory, "$DOCKER_CONFIG")
    explicit = environ.get("REGISTRY_AUTH_FILE")
    if explicit:
        yield from _at_path(explicit, "$REGISTRY_AUTH_FILE")
    if not directory:
        yield from _in_directory(os.path.join(home, ".docker"), "home directory")
    # containers/image: getPathToAuth
    runtime = environ.get("XDG_RUNTIME_DIR")
    podman = (
        os.path.join(runtime, "containers")
        if runtime
        else os.path.join("/run", "containers", str(os.getuid()))
    )
    yield from _at_path(os.path.join(podman, "auth.json"), "podman's runtime directory")
    settings = environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    yield from _at_path(
        os.path.join(settings, "containers", "auth.json"), "podman's configuration directory"
    )
    yield from _at_path(os.path.join(home, ".dockercfg"), "home directory, the old layout")


def given(path: str) -> Iterator[Source]:
    """Yield the configuration that a user names.

    Parameters
    ----------
    path : str
        A file, or a directory with configuration files in it.

    Yields
    ------
    Source
    """
    if os.path.isdir(path):
        yield from _in_directory(path, "given")
    else:
        yield Source(path, "given")


def mounted(found: Iterable[mounts.Mount] | None = None) -> Iterator[Source]:
    """Yield the keys of mounted Secrets that are named as a configuration file is.

    Parameters
    ----------
    found : iterable of Mount, optional
        Default is what is mounted here.

    Yields
    ------
    Source
        By the Secret's name; within one, ``.dockerconfigjson`` first.
    """
    if found is None:
        found, _ = mounts.find(mounts.roots(), mounts.mount_table())
    preferred = (".dockerconfigjson", "config.json", ".dockercfg")
    for mount in sorted(found, key=lambda mount: mount.name):
        if mount.key is not None:
            names = [mount.key]
        else:
            listing = mounts.list_keys(mount.base, mount.entry)
            names = [file.name for file in listing.keys] if listing else []
        keys = [name for name in names if os.path.basename(name) in LAYOUT]
        for key in sorted(keys, key=lambda key: (preferred.index(os.path.basename(key)), key)):
            yield Source(
                os.path.join(mount.directory, key),
                f"secret {mount.name}, key {key}",
                f"{mount.name}/{key}",
                mount,
                key,
            )


def open_document(source: Source) -> Document | None:
    """Read and parse a configuration, or take it from memory where it did not change.

    Parameters
    ----------
    source : Source

    Returns
    -------
    Document or None
        ``None`` where there is no file, or a Secret's ``config.json`` is not of Docker.

    Raises
    ------
    Unreadable
        The file cannot be read.
    DockerConfigError
        The file is malformed.
    """
    if source.path.startswith("$"):
        text = SecretStr(os.environ.get(source.path[1:], ""))
        return parse_text(text, path=source.path, label=source.label)
    known = _memory.get(source)
    if known is not None:
        try:
            if _signature(os.stat(source.path)) == known[0]:
                return known[1]
        except OSError:
            pass
    read = _read(source) if source.mount is None else _read_key(source, source.mount)
    if read is None:
        return None
    data, status = read
    if not source.is_certain and not any(data.find(sign) >= 0 for sign in _SIGNS):
        return None
    document = parse_bytes(data, path=source.path, label=source.label)
    if max(status.st_ctime_ns, status.st_mtime_ns) < time.time_ns() - _TICK:
        _memory.put(source, _signature(status), document)
    return document


def forget() -> None:
    """Forget what was read, so that the next look-up reads its files again."""
    _memory.clear()


class _Memory:
    """The documents that were read last; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Source, tuple[_Signature, Document]] = {}

    def __repr__(self) -> str:
        return f"_Memory({len(self._known)} documents)"

    def clear(self) -> None:
        with self._lock:
            self._known.clear()

    def get(self, source: Source) -> tuple[_Signature, Document] | None:
        return self._known.get(source)

    def put(self, source: Source, signature: _Signature, document: Document) -> None:
        with self._lock:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[source] = (signature, document)


_memory = _Memory()


def _at_path(path: str, origin: str) -> Iterator[Source]:
    if not os.path.isdir(path):
        yield Source(path, origin)
        return
    # A Secret mounted on `config.json` itself; an optional subPath mount whose Secret is
    # missing leaves an empty directory.
    for name in LAYOUT:
        inner = os.path.join(path, name)
        if os.path.lexists(inner) and not os.path.isdir(inner):
            yield Source(inner, origin)


def _in_directory(directory: str, origin: str) -> Iterator[Source]:
    yield from _at_path(os.path.join(directory, LAYOUT[0]), origin)
    # A Secret mounted without `items` keeps its own key's name.
    for name in LAYOUT[1:]:
        path = os.path.join(directory, name)
        if os.path.lexists(path) and not os.path.isdir(path):
            yield Source(path, origin)


def _real(path: str) -> str:
    try:
        return os.path.realpath(path)
    except FileNotFoundError:
        # A relative one, and the working directory is gone.
        return path


def _home() -> str:
    # docker CLI: the password database's, where HOME is empty
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "/"


def _signature(status: os.stat_result) -> _Signature:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _read(source: Source) -> tuple[SecretBytes, os.stat_result] | None:
    reason = ""
    try:
        descriptor = os.open(source.path, _FLAGS)
        try:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode):
                return _content(descriptor), status
            reason = "it is not a regular file."
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        reason = _why(error)
    raise Unreadable(f"the file cannot be read: {reason}", path=source.path)


def _content(descriptor: int) -> SecretBytes:
    """Read up to the limit; a file of that size is refused by its parser."""
    data = SecretBytes()
    while len(data) < LIMIT:
        chunk = SecretBytes(os.read(descriptor, LIMIT - len(data)))
        if not chunk:
            break
        data = SecretBytes(data + chunk)
    return data


def _read_key(source: Source, mount: mounts.Mount) -> tuple[SecretBytes, os.stat_result] | None:
    reason = ""
    try:
        reading = mounts.read_key(mount.name, mount.base, mount.entry, source.key)
        return reading.value, reading.status
    except (KeyNotFound, SecretNotFound):
        return None
    except SecretTooLarge as error:
        reason = f"it is over {error.limit} bytes, which no Kubernetes Secret can hold."
    except SecretUnreadable as error:
        reason = error.reason
    raise Unreadable(f"the file cannot be read: {reason}", path=source.path)


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{os.strerror(error.errno or errno.EIO)}."
    return "its path has a NUL in it."
