"""The kubelet's part of the demo: volumes laid out and rotated as its AtomicWriter does.

A volume is ``..data -> ..<time>.<random>``, a directory that is never changed, and one link
``<name> -> ..data/<name>`` for each visible name. A rotation writes a new directory and renames
``..data`` over to it at once.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from secrets import randbelow

from kfsecrets_ext.values import SecretBytes

__all__ = ["MODE", "File", "Refused", "clear", "downward_payload", "secret_payload", "write"]

MODE = 0o644
"""What the API server defaults ``defaultMode`` to."""

_DATA = "..data"
_NEW_DATA = "..data_tmp"
_NAME_LIMIT = 255  # bytes
_PATH_LIMIT = 4096  # bytes


class Refused(ValueError):
    """The kubelet would not write this volume; the pod would wait."""


@dataclass(frozen=True)
class File:
    """A file of a volume.

    Attributes
    ----------
    data : SecretBytes
    mode : int
        Permission bits.
    """

    data: SecretBytes
    mode: int = MODE


def secret_payload(
    data: Mapping[str, bytes],
    *,
    items: Mapping[str, str] | None = None,
    mode: int = MODE,
    optional: bool = False,
) -> dict[str, File]:
    """Return the files of a Secret's volume.

    Parameters
    ----------
    data : mapping of str to bytes
        The Secret's keys and values.
    items : mapping of str to str, optional
        Key to path in the volume; only these are there. Without any, every key is, by its name.
    mode : int
        Permission bits of the files.
    optional : bool
        Whether a key of ``items`` may be missing.

    Returns
    -------
    dict of str to File

    Raises
    ------
    Refused
        A key of ``items`` is missing.
    """
    # kubelet: MakePayload, in its package for Secret volumes
    if not items:
        return {key: File(SecretBytes(value), mode) for key, value in data.items()}
    missing = [key for key in items if key not in data]
    if missing and not optional:
        raise Refused(f"The volume needs the key {missing[0]!r}, and the Secret has none.")
    return {path: File(SecretBytes(data[key]), mode) for key, path in items.items() if key in data}


def downward_payload(
    labels: Mapping[str, str], annotations: Mapping[str, str], *, mode: int = MODE
) -> dict[str, File]:
    """Return the files of a downward-API volume that shows labels and annotations.

    Parameters
    ----------
    labels, annotations : mapping of str to str
    mode : int

    Returns
    -------
    dict of str to File
    """
    return {
        "labels": File(SecretBytes(_format_map(labels).encode()), mode),
        "annotations": File(SecretBytes(_format_map(annotations).encode()), mode),
    }


def write(directory: str | os.PathLike[str], payload: Mapping[str, File]) -> bool:
    """Write a volume, or rotate it; nothing is written where nothing changed.

    One caller at a time, as in the kubelet.

    Parameters
    ----------
    directory : path
        Made if it is not there.
    payload : mapping of str to File
        By path in the volume.

    Returns
    -------
    bool
        Whether there is a new generation.

    Raises
    ------
    Refused
        A path that leaves the volume, is reserved or is too long; a file that would become a
        directory, or the other way round.
    """
    # kubelet: AtomicWriter.Write; its steps, by their numbers there
    volume = os.fspath(directory)
    files = {_cleaned(path): file for path, file in payload.items()}  # (1)
    os.makedirs(volume, exist_ok=True)
    old = _current(volume)  # (2)
    gone: set[str] = set()
    rotates = True
    if old is not None:
        gone = _paths(os.path.join(volume, old)) - _with_parents(files)  # (3)
        rotates = _differs(files, os.path.join(volume, old)) or bool(gone)  # (4)
    if rotates:
        new = _new_generation(volume)  # (5)
        _write_files(files, os.path.join(volume, new))  # (6), (7) is for ownership
        os.symlink(new, os.path.join(volume, _NEW_DATA))  # (8)
        os.rename(os.path.join(volume, _NEW_DATA), os.path.join(volume, _DATA))  # (9)
    for name in {path.split("/", 1)[0] for path in files}:  # (10)
        link = os.path.join(volume, name)
        if not os.path.lexists(link):
            os.symlink(f"{_DATA}/{name}", link)
    for path in gone:  # (11)
        if "/" not in path:
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(volume, path))
    if rotates and old is not None:  # (12)
        shutil.rmtree(os.path.join(volume, old))
    return rotates


def clear(directory: str | os.PathLike[str]) -> None:
    """Take away what `write` made; what else is in the directory stays.

    Parameters
    ----------
    directory : path
    """
    with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in list(entries):
            if entry.is_symlink():
                if entry.name.startswith("..") or os.readlink(entry).startswith(f"{_DATA}/"):
                    os.unlink(entry)
            elif entry.name.startswith("..") and entry.is_dir():
                shutil.rmtree(entry)


def _cleaned(path: str) -> str:
    parts = path.split("/")
    if not path:
        raise Refused("A path in a volume must not be empty.")
    if path.startswith("/"):
        raise Refused(f"{path!r} is absolute; a path in a volume is relative.")
    if len(path.encode()) > _PATH_LIMIT or any(len(part.encode()) > _NAME_LIMIT for part in parts):
        raise Refused("A path in a volume, or a name in it, is too long.")
    if ".." in parts or parts[0].startswith(".."):
        raise Refused(f"{path!r} leaves the volume, or is reserved for the kubelet.")
    return posixpath.normpath(path)


def _current(volume: str) -> str | None:
    try:
        return os.readlink(os.path.join(volume, _DATA))
    except FileNotFoundError:
        return None


def _paths(generation: str) -> set[str]:
    return {
        os.path.relpath(os.path.join(directory, name), generation)
        for directory, directories, names in os.walk(generation)
        for name in (*directories, *names)
    }


def _with_parents(files: Mapping[str, File]) -> set[str]:
    return {path for file in files for path in _and_parents(file)}


def _and_parents(path: str) -> Iterator[str]:
    while path:
        yield path
        path = posixpath.dirname(path)


def _differs(files: Mapping[str, File], generation: str) -> bool:
    # kubelet: shouldWriteFile compares the content alone, not the mode
    return any(
        _content(os.path.join(generation, path)) != file.data for path, file in files.items()
    )


def _content(path: str) -> SecretBytes | None:
    try:
        with open(path, "rb") as file:
            return SecretBytes(file.read())
    except FileNotFoundError:
        return None
    except (NotADirectoryError, IsADirectoryError):
        # kubelet: shouldWriteFile fails, and the volume stays as it is
        pass
    raise Refused("A file of the volume would become a directory, or a directory a file.")


def _new_generation(volume: str) -> str:
    # kubelet: newTimestampDir; Go's MkdirTemp appends a random number
    now = datetime.now(timezone.utc).strftime("..%Y_%m_%d_%H_%M_%S.")
    while True:
        name = f"{now}{randbelow(1 << 32)}"
        made = os.path.join(volume, name)
        with contextlib.suppress(FileExistsError):
            os.mkdir(made)
            os.chmod(made, 0o755)  # noqa: S103  # whatever the umask
            return name


def _write_files(files: Mapping[str, File], generation: str) -> None:
    for path, file in files.items():
        there = os.path.join(generation, path)
        os.makedirs(os.path.dirname(there), exist_ok=True)
        with open(there, "wb") as new:
            new.write(file.data)
        os.chmod(there, file.mode)


def _format_map(values: Mapping[str, str]) -> str:
    # kubelet: fieldpath.FormatMap; sorted by byte, as Go compares strings
    ordered = sorted(values.items(), key=lambda item: item[0].encode())
    return "\n".join(f"{key}={_quoted(value)}" for key, value in ordered)


def _quoted(text: str) -> str:
    """Quote as Go's ``%q`` does."""
    return '"' + "".join(map(_escaped, text)) + '"'


_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    number = ord(character)
    if number < 0x20 or number == 0x7F:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
