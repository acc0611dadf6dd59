"""One mounted volume: its keys, one key, or all keys of one generation."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Literal, NamedTuple, TypeVar

from kfsecrets_ext.errors import (
    KeyNotFound,
    SecretError,
    SecretNotFound,
    SecretTooLarge,
    SecretUnreadable,
)
from kfsecrets_ext.values import SecretBytes

__all__ = [
    "LIMIT",
    "KeyFile",
    "Listing",
    "Reading",
    "Snapshot",
    "list_key",
    "list_keys",
    "read_all",
    "read_key",
]

LIMIT = 1 << 20
"""The most bytes of a value: what a Kubernetes Secret may hold (1 MiB)."""

KeyState = Literal["ready", "unreadable", "too-large"]

_DATA = "..data"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO that nobody writes to must not wait.
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_FILE_NOFOLLOW = _FILE | os.O_NOFOLLOW
_LOOK = getattr(os, "O_PATH", os.O_RDONLY | os.O_NONBLOCK) | os.O_CLOEXEC

# Asking for 1 MiB at once would allocate it: dear for the few bytes that most values have.
_SMALL = 1 << 14

_ATTEMPTS = 50
_LINKS = 40  # as the Linux kernel follows
_DEPTH = 16
_KEYS = 20_000

_NOT_REGULAR = "it is not a regular file."
_LEAVES = "a symbolic link leads out of the mount, and is not followed."
_NO_PERMISSION = (
    "permission denied. The PodDefault's defaultMode or the pod's fsGroup must let this user "
    "read it; ask the administrator."
)
_ROTATES = "the volume changed under each of many attempts to read it. Try again."

_T = TypeVar("_T")


class KeyFile(NamedTuple):
    """A key of a volume, as the file system shows it.

    Attributes
    ----------
    name : str
        Path within the volume.
    state : str
        ``"ready"``, ``"unreadable"`` or ``"too-large"``.
    reason : str or None
    modified : float
        Modification time, in seconds since the epoch.
    """

    name: str
    state: KeyState
    reason: str | None
    modified: float


@dataclass(frozen=True)
class Listing:
    """The keys of a volume.

    Attributes
    ----------
    keys : tuple of KeyFile
        Sorted by name.
    generation : str or None
        ``None`` in a directory that the kubelet's writer did not lay out.
    modified : float
        When the generation was written, in seconds since the epoch.
    reason : str or None
        Why the volume cannot be listed; then ``keys`` is empty.
    """

    keys: tuple[KeyFile, ...]
    generation: str | None
    modified: float
    reason: str | None = None


@dataclass(frozen=True)
class Reading:
    """One key's value, and what tells later whether it is still that file.

    Attributes
    ----------
    value : SecretBytes
    generation : str or None
    status : os.stat_result
        Of the file that was read.
    """

    value: SecretBytes
    generation: str | None
    status: os.stat_result


@dataclass(frozen=True)
class Snapshot:
    """All keys of a volume, of one generation.

    Attributes
    ----------
    values : dict of str to SecretBytes
    errors : dict of str to SecretError
        The keys that could not be read, and why.
    generation : str or None
    """

    values: dict[str, SecretBytes]
    errors: dict[str, SecretError]
    generation: str | None


def read_key(name: str, base: str, entry: str, key: str) -> Reading:
    """Read one key.

    Parameters
    ----------
    name : str
        The Secret's name, for errors.
    base : str
        A trusted directory.
    entry : str
        The volume within ``base``; ``""`` where ``base`` is the volume.
    key : str
        Path within the volume.

    Returns
    -------
    Reading

    Raises
    ------
    SecretNotFound
        There is no such directory.
    KeyNotFound
        The volume has no such key.
    SecretUnreadable
        It is not a regular file, leads out of the mount, or may not be read.
    SecretTooLarge
    """

    def read(directory: int, generation: str | None) -> Reading:
        descriptor = _open_beneath(directory, key, _FILE)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise SecretUnreadable(name, key, reason=_NOT_REGULAR, path=path)
            return Reading(_content(descriptor, name, key), generation, status)
        finally:
            os.close(descriptor)

    path = _path(base, entry, key)
    volume = _open_volume(name, base, entry)
    try:
        missing = False
        try:
            return _in_generation(volume, read)
        except FileNotFoundError:
            missing = True
        except OSError as error:
            reason = _reason(error)
        if missing:
            raise KeyNotFound(name, key, available=_names(volume))
        raise SecretUnreadable(name, key, reason=reason, path=path)
    finally:
        os.close(volume)


def read_all(name: str, base: str, entry: str) -> Snapshot:
    """Read all keys of one generation.

    Parameters
    ----------
    name, base, entry : str
        As for `read_key`.

    Returns
    -------
    Snapshot
        Never of two generations. A directory that the kubelet's writer did not lay out has
        none, and is read file by file.

    Raises
    ------
    SecretNotFound
        There is no such directory.
    SecretUnreadable
        The directory cannot be listed.
    """

    def read(directory: int, generation: str | None) -> Snapshot:
        quickly: list[str] = []
        slowly: list[str] = []
        for key, file in _walk(directory, []):
            quick = "/" not in key and file.is_file(follow_symlinks=False)
            (quickly if quick else slowly).append(key)
        _same_generation(volume, generation)
        values: dict[str, SecretBytes] = {}
        errors: dict[str, SecretError] = {}
        opened, closed, taken = os.open, os.close, os.read
        for key in quickly:
            try:
                descriptor = opened(key, _FILE_NOFOLLOW, dir_fd=directory)
            except PermissionError:
                slowly.append(key)
                continue
            try:
                value = SecretBytes(taken(descriptor, _SMALL))
                # A generation lies in memory, which gives all that is asked for; a file system
                # of another kind may give less than there is.
                complete = generation is not None or not taken(descriptor, 1)
            finally:
                closed(descriptor)
            if complete and len(value) < _SMALL:
                values[key] = value
            else:
                slowly.append(key)
        for key in slowly:
            try:
                values[key] = _read_checked(directory, name, key, _path(base, entry, key))
            except SecretError as error:
                errors[key] = error
        return Snapshot(values, errors, generation)

    volume = _open_volume(name, base, entry)
    try:
        try:
            return _in_generation(volume, read)
        except OSError as error:
            reason = _reason(error)
        raise SecretUnreadable(name, reason=reason, path=_path(base, entry))
    finally:
        os.close(volume)


def list_keys(base: str, entry: str) -> Listing | None:
    """List the keys of a volume without reading any.

    Parameters
    ----------
    base, entry : str
        As for `read_key`.

    Returns
    -------
    Listing or None
        ``None`` where there is no such directory. The same object as before where nothing
        changed.
    """
    known = _listings.get((base, entry))
    if known is not None and known.holds():
        return known.listing

    seen: list[tuple[str, os.stat_result]] = []

    def read(directory: int, generation: str | None) -> Listing:
        seen.clear()
        files = [_look(directory, key, entry) for key, entry in _walk(directory, seen)]
        _same_generation(volume, generation)
        files.sort(key=lambda file: file.name)
        return Listing(tuple(files), generation, seen[0][1].st_mtime)

    try:
        volume = _open_volume("", base, entry)
    except SecretNotFound:
        return None
    except SecretUnreadable as error:
        return Listing((), None, 0.0, error.reason)
    try:
        listing = _in_generation(volume, read)
    except OSError as error:
        return Listing((), None, 0.0, _reason(error))
    finally:
        os.close(volume)
    _remember(base, entry, listing, seen)
    return listing


def list_key(base: str, entry: str, key: str) -> Listing | None:
    """Look at one key, as `list_keys` does at all.

    Parameters
    ----------
    base, entry, key : str
        As for `read_key`.

    Returns
    -------
    Listing or None
        With one key, or none where it is not there.
    """

    def look(directory: int, generation: str | None) -> Listing:
        try:
            file = _key_file(directory, key, not _is_link(directory, key))
        except FileNotFoundError:
            return Listing((), generation, 0.0)
        return Listing((file,), generation, file.modified)

    try:
        volume = _open_volume("", base, entry)
    except SecretNotFound:
        return None
    except SecretUnreadable as error:
        return Listing((), None, 0.0, error.reason)
    try:
        return _in_generation(volume, look)
    except OSError as error:
        return Listing((), None, 0.0, _reason(error))
    finally:
        os.close(volume)


@dataclass(frozen=True)
class _Known:
    """A listing, and what must be as it was for the listing to hold."""

    listing: Listing
    link: str
    generation: str | None
    directories: tuple[tuple[str, int, int, int], ...]

    def holds(self) -> bool:
        try:
            if self.generation is not None:
                return os.readlink(self.link) == self.generation
            for path, device, inode, changed in self.directories:
                status = os.stat(path)
                if (status.st_dev, status.st_ino, status.st_ctime_ns) != (device, inode, changed):
                    return False
        except OSError:
            return False
        return not os.path.lexists(self.link)


_listings: dict[tuple[str, str], _Known] = {}
_LISTINGS = 10_000
# A file system's clock ticks every few milliseconds: what changed within the last tick may
# change again and keep its time.
_TICK = 50_000_000  # ns


def _remember(
    base: str, entry: str, listing: Listing, seen: list[tuple[str, os.stat_result]]
) -> None:
    # What is not ready may become so with no change of the directory: look again each time.
    if any(file.state != "ready" for file in listing.keys):
        _listings.pop((base, entry), None)
        return
    if listing.generation is None:
        settled = time.time_ns() - _TICK
        if any(status.st_ctime_ns > settled for _, status in seen):
            return
    if len(_listings) >= _LISTINGS:
        _listings.clear()
    path = _path(base, entry)
    _listings[base, entry] = _Known(
        listing,
        _path(path, _DATA),
        listing.generation,
        tuple(
            (os.path.join(path, name), status.st_dev, status.st_ino, status.st_ctime_ns)
            for name, status in seen
        )
        if listing.generation is None
        else (),
    )


def _path(base: str, *parts: str) -> str:
    # os.path.join takes ten times as long, and is called for each mount.
    return "/".join([base.rstrip("/"), *filter(None, parts)])


def _open_volume(name: str, base: str, entry: str) -> int:
    if entry and "/" not in entry:
        # As below, in one step: only the last part of a path is not followed.
        with suppress(OSError):
            return os.open(_path(base, entry), _DIRECTORY | os.O_NOFOLLOW)
    try:
        trusted = os.open(base, _DIRECTORY)
        if not entry:
            return trusted
        try:
            return _open_beneath(trusted, entry, _DIRECTORY)
        finally:
            os.close(trusted)
    except (FileNotFoundError, NotADirectoryError):
        reason = None
    except OSError as error:
        reason = _reason(error)
    if reason is None:
        raise SecretNotFound(name)
    raise SecretUnreadable(name, reason=reason, path=_path(base, entry))


def _in_generation(volume: int, read: Callable[[int, str | None], _T]) -> _T:
    """Call ``read`` with the current generation's directory, again if it goes away meanwhile."""
    for attempt in range(_ATTEMPTS):
        generation = _generation(volume)
        if generation is None:
            return read(volume, None)
        try:
            directory = os.open(generation, _DIRECTORY | os.O_NOFOLLOW, dir_fd=volume)
        except FileNotFoundError:
            time.sleep(0.0002 * attempt)
            continue
        try:
            return read(directory, generation)
        except FileNotFoundError:
            if _generation(volume) == generation:
                raise
        finally:
            os.close(directory)
    raise OSError(errno.ESTALE, _ROTATES)


def _generation(volume: int) -> str | None:
    try:
        link = os.readlink(_DATA, dir_fd=volume)
    except OSError as error:
        # EINVAL: it is there, and no link
        if error.errno in (errno.ENOENT, errno.EINVAL):
            return None
        raise
    # kubelet: AtomicWriter links ..data to a directory beside it whose name starts with ".."
    if "/" in link or not link.startswith("..") or link == "..":
        raise OSError(errno.EXDEV, _LEAVES)
    return link


def _same_generation(volume: int, generation: str | None) -> None:
    # The kubelet empties an old generation: a listing is whole only if it was the current one
    # until the listing's end.
    if generation is not None and _generation(volume) != generation:
        raise FileNotFoundError(errno.ENOENT, _ROTATES)


def _walk(
    directory: int, seen: list[tuple[str, os.stat_result]], prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield each key and its entry, while its directory is open.

    ``seen`` is told of each directory before its first key.
    """
    seen.append((prefix, os.fstat(directory)))
    nested: list[str] = []
    with os.scandir(directory) as entries:
        for entry in islice(entries, _KEYS):
            name = entry.name
            # kubelet: names that start with ".." are the writer's own
            if depth == 0 and name.startswith(".."):
                continue
            if entry.is_dir(follow_symlinks=False):
                nested.append(name)
            else:
                yield prefix + name, entry
    for name in nested if depth < _DEPTH else ():
        inner = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
        try:
            yield from _walk(inner, seen, f"{prefix}{name}/", depth + 1)
        finally:
            os.close(inner)


def _look(volume: int, key: str, entry: os.DirEntry[str]) -> KeyFile:
    """Look at a key that was walked to; most need no more than the entry tells."""
    regular = entry.is_file(follow_symlinks=False)
    if regular:
        status = entry.stat(follow_symlinks=False)
        if status.st_mode & stat.S_IROTH and status.st_size <= LIMIT:
            return KeyFile(key, "ready", None, status.st_mtime)
    return _key_file(volume, key, regular)


def _names(volume: int) -> tuple[str, ...]:
    try:
        return _in_generation(volume, lambda fd, _: tuple(sorted(key for key, _ in _walk(fd, []))))
    except OSError:
        return ()


def _key_file(directory: int, key: str, regular: bool) -> KeyFile:
    reason: str | None = None
    try:
        if regular:
            status = os.stat(key, dir_fd=directory, follow_symlinks=False)
        else:
            descriptor = _open_following(directory, key, _LOOK)
            try:
                status = os.fstat(descriptor)
            finally:
                os.close(descriptor)
    except OSError as error:
        if regular and isinstance(error, FileNotFoundError):
            raise
        return KeyFile(key, "unreadable", _reason(error), 0.0)
    if not stat.S_ISREG(status.st_mode):
        reason = _NOT_REGULAR
    elif not status.st_mode & stat.S_IROTH and not os.access(key, os.R_OK, dir_fd=directory):
        reason = _NO_PERMISSION
    elif status.st_size > LIMIT:
        return KeyFile(key, "too-large", f"it is over {LIMIT} bytes.", status.st_mtime)
    return KeyFile(key, "unreadable" if reason else "ready", reason, status.st_mtime)


def _read_checked(directory: int, name: str, key: str, path: str) -> SecretBytes:
    try:
        descriptor = _open_beneath(directory, key, _FILE)
    except FileNotFoundError:
        if not _is_link(directory, key):
            raise
        reason = "a symbolic link leads nowhere."
    except OSError as error:
        reason = _reason(error)
    else:
        try:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return _content(descriptor, name, key)
        finally:
            os.close(descriptor)
        reason = _NOT_REGULAR
    raise SecretUnreadable(name, key, reason=reason, path=path)


def _content(descriptor: int, name: str, key: str) -> SecretBytes:
    value = SecretBytes(os.read(descriptor, _SMALL))
    while len(value) <= LIMIT:
        more = SecretBytes(os.read(descriptor, LIMIT + 1 - len(value)))
        if not more:
            return value
        value = SecretBytes(value + more)
    raise SecretTooLarge(name, key, limit=LIMIT)


def _is_link(directory: int, key: str) -> bool:
    try:
        return stat.S_ISLNK(os.stat(key, dir_fd=directory, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _open_beneath(base: int, path: str, flags: int) -> int:
    """Open a path below a directory; a symbolic link is followed only where it stays below."""
    if "/" not in path:
        try:
            return os.open(path, flags | os.O_NOFOLLOW, dir_fd=base)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
    return _open_following(base, path, flags)


def _open_following(base: int, path: str, flags: int) -> int:
    pending = deque(part for part in path.split("/") if part not in ("", "."))
    directories = [base]
    links = 0
    try:
        while pending:
            part = pending.popleft()
            if part == "..":
                if len(directories) == 1:
                    raise OSError(errno.EXDEV, _LEAVES)
                os.close(directories.pop())
                continue
            target = _link(directories[-1], part)
            if target is None:
                kind = _DIRECTORY if pending else flags
                descriptor = os.open(part, kind | os.O_NOFOLLOW, dir_fd=directories[-1])
                if not pending:
                    return descriptor
                directories.append(descriptor)
                continue
            links += 1
            if links > _LINKS:
                raise OSError(errno.ELOOP, "too many symbolic links.")
            if target.startswith("/"):
                raise OSError(errno.EXDEV, _LEAVES)
            pending.extendleft(
                reversed([step for step in target.split("/") if step not in ("", ".")])
            )
        raise IsADirectoryError(errno.EISDIR, _NOT_REGULAR)
    finally:
        for descriptor in directories[1:]:
            os.close(descriptor)


def _link(directory: int, name: str) -> str | None:
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return None
        raise


def _reason(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return _NO_PERMISSION
    if error.errno in (errno.EXDEV, errno.ESTALE, errno.EISDIR):
        return str(error.strerror)
    if error.errno == errno.ENXIO:
        return _NOT_REGULAR
    return f"{os.strerror(error.errno or 0).lower()}."
