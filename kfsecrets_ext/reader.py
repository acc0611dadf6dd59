"""Reading secrets by name: what a notebook user calls.

The process's redactor is told of each value before the caller has it.
"""

from __future__ import annotations

import codecs
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, overload

from . import inventory, mounts, redaction
from .errors import KeyNotFound, SecretError, SecretNotFound, SecretNotText, SecretUnreadable
from .lookup import File, find_all, find_key
from .names import check_key, check_label, check_secret
from .values import SecretBytes, SecretStr

__all__ = [
    "Secret",
    "Secrets",
    "get_secret",
    "get_secret_bytes",
    "get_secret_path",
    "secret_environ",
    "secrets",
]

_T = TypeVar("_T")


class _Missing:
    def __repr__(self) -> str:
        return "<no default>"


_MISSING: Any = _Missing()


class Secret(Mapping[str, SecretStr]):
    """The keys of one Secret, all of one generation; read-only.

    Attributes
    ----------
    name : str
        The Secret's name.

    Examples
    --------
    >>> secret = get_secret("test-secret")  # doctest: +SKIP
    >>> secret  # doctest: +SKIP
    Secret('test-secret', keys=['foo'])
    >>> secret["foo"]  # doctest: +SKIP
    SecretStr('**********')
    """

    __slots__ = ("_encoding", "_errors", "_strip", "_values", "name")

    def __init__(
        self,
        name: str,
        values: Mapping[str, SecretBytes],
        errors: Mapping[str, SecretError],
        *,
        encoding: str = "utf-8",
        strip: bool = False,
    ):
        self.name = name
        self._values = values
        self._errors = errors
        self._encoding = encoding
        self._strip = strip

    def __getitem__(self, key: str) -> SecretStr:
        return _text(self.name, key, self.read_bytes(key), self._encoding, self._strip)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._values, *self._errors}))

    def __len__(self) -> int:
        return len(self._values) + len(self._errors)

    def __contains__(self, key: object) -> bool:
        return key in self._values or key in self._errors

    def __repr__(self) -> str:
        return f"Secret({self.name!r}, keys={list(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # A plain dict, so that a worker without this package can load it.
        return dict, (dict(self),)

    def read_bytes(self, key: str) -> SecretBytes:
        """Return a key's value as bytes, of the same generation as the others.

        Parameters
        ----------
        key : str

        Returns
        -------
        SecretBytes

        Raises
        ------
        KeyNotFound
        SecretError
            Why this key could not be read.
        """
        if key in self._values:
            return self._values[key]
        if key in self._errors:
            raise self._errors[key].with_traceback(None)
        raise KeyNotFound(self.name, check_key(key), available=tuple(self))

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)


@overload
def get_secret(name: str, key: str, *, encoding: str = ..., strip: bool = ...) -> SecretStr: ...
@overload
def get_secret(
    name: str, key: None = None, *, encoding: str = ..., strip: bool = ...
) -> Secret: ...
@overload
def get_secret(
    name: str, key: str, *, default: _T, encoding: str = ..., strip: bool = ...
) -> SecretStr | _T: ...
@overload
def get_secret(
    name: str, key: None = None, *, default: _T, encoding: str = ..., strip: bool = ...
) -> Secret | _T: ...
def get_secret(
    name: str,
    key: str | None = None,
    *,
    default: Any = _MISSING,
    encoding: str = "utf-8",
    strip: bool = False,
) -> Any:
    """Read a secret that the platform mounted into this pod.

    Parameters
    ----------
    name : str
        The Secret's name, as ``list_secrets()`` shows it.
    key : str, optional
        A key of it; a path where the volume's ``items`` put it into a directory. Without it,
        all keys are read, of one generation.
    default : object, optional
        Returned where the Secret or the key is not there, instead of an error. What is there
        and cannot be read is an error all the same.
    encoding : str, default "utf-8"
        What the bytes mean.
    strip : bool, default False
        Drop white space around the value, such as the line end of a file. Without it the value
        is what is mounted, byte for byte.

    Returns
    -------
    SecretStr or Secret
        With a key, a ``str`` whose ``repr`` is a mask; without, a read-only mapping of them.

    Raises
    ------
    SecretNotFound, KeyNotFound
        It is not here; the error names what is.
    SecretUnreadable, SecretTooLarge, SecretNotText
        It is here, and cannot be had so.
    InvalidName

    Examples
    --------
    >>> get_secret("test-secret", "foo")  # doctest: +SKIP
    SecretStr('**********')
    """
    try:
        hot = _hot.get((name, key, encoding, strip))
    except TypeError:
        hot = None
    if hot is not None and hot.holds():
        return hot.value
    codecs.lookup(encoding)
    try:
        if key is None:
            values, errors = find_all(check_secret(name))
            return Secret(name, values, errors, encoding=encoding, strip=strip)
        return _read_text(check_secret(name), check_key(key), encoding, strip)
    except (SecretNotFound, KeyNotFound):
        if default is _MISSING:
            raise
        return default


def get_secret_bytes(name: str, key: str) -> SecretBytes:
    """Read a key's value as bytes, as it is mounted.

    Parameters
    ----------
    name, key : str
        As for `get_secret`.

    Returns
    -------
    SecretBytes
        A ``bytes`` whose ``repr`` is a mask.

    Raises
    ------
    SecretNotFound, KeyNotFound, SecretUnreadable, SecretTooLarge, InvalidName
    """
    return find_key(check_secret(name), check_key(key)).value


def get_secret_path(name: str, key: str) -> Path:
    """Return the file of a key, for libraries that want a path.

    The path stays right when the Secret rotates. The file was read once, so that its value is
    known to the redactor whoever opens it.

    Parameters
    ----------
    name, key : str
        As for `get_secret`.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    SecretNotFound, KeyNotFound, SecretUnreadable, SecretTooLarge, InvalidName
        ``SecretUnreadable`` too where the key is an environment variable and has no file.
    """
    found = find_key(check_secret(name), check_key(key))
    if found.file is None:
        raise SecretUnreadable(
            name, key, reason=f"it is the environment variable {found.variable}, and no file."
        )
    return Path(found.file.path)


class Secrets(Mapping[str, Secret]):
    """The Secrets in this pod, by name: ``secrets["test-secret"]["foo"]``."""

    __slots__ = ()

    def __getitem__(self, name: str) -> Secret:
        return get_secret(name)

    def __iter__(self) -> Iterator[str]:
        return iter(inventory.collect().names())

    def __len__(self) -> int:
        return len(inventory.collect().secrets)

    def __contains__(self, name: object) -> bool:
        return name in inventory.collect().names()

    def __repr__(self) -> str:
        return f"Secrets({list(self)!r})"

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    @overload
    def register(self, label: str, value: bytes) -> SecretBytes: ...
    @overload
    def register(self, label: str, value: str) -> SecretStr: ...
    def register(self, label: str, value: str | bytes) -> SecretStr | SecretBytes:
        """Guard one more value, which came from elsewhere.

        Parameters
        ----------
        label : str
            What stands for the value where it is masked.
        value : str or bytes
            An empty one is refused: there is nothing to guard.

        Returns
        -------
        SecretStr or SecretBytes
            The value, masked in displays.

        Raises
        ------
        InvalidName
            The label is no text of one line.
        """
        check_label(label)
        if not isinstance(value, (str, bytes, bytearray)):
            raise TypeError(f"A value is str or bytes, not {type(value).__name__}.")
        guarded = SecretStr(value) if isinstance(value, str) else SecretBytes(value)
        if not guarded:
            raise ValueError(f"The value for {label!r} is empty: there is nothing to guard.")
        redaction.guard().add(label, guarded)
        return guarded


secrets = Secrets()
"""The Secrets in this pod, by name."""


@contextmanager
def secret_environ(**variables: tuple[str, str]) -> Iterator[None]:
    """Set environment variables from secrets while a block runs.

    Subprocesses started in the block inherit them. All are read before any is set, and what
    was there before comes back at the end.

    Parameters
    ----------
    **variables : tuple of (str, str)
        Variable name to Secret and key.

    Raises
    ------
    SecretNotFound, KeyNotFound, SecretUnreadable, SecretTooLarge, SecretNotText, InvalidName
        ``SecretNotText`` too where the value holds a NUL, which no variable can.

    Examples
    --------
    >>> with secret_environ(AWS_SECRET_ACCESS_KEY=("aws", "secret")):  # doctest: +SKIP
    ...     subprocess.run(["aws", "s3", "ls"])
    """
    values: dict[str, SecretStr] = {}
    for variable, source in variables.items():
        name, key = _pair(variable, source)
        values[variable] = get_secret(name, key)
        if "\0" in values[variable]:
            raise SecretNotText(name, key, encoding="a form without NUL, as a variable must be")
    before = {
        variable: SecretStr(os.environ[variable]) if variable in os.environ else None
        for variable in values
    }
    try:
        os.environ.update(values)
        yield
    finally:
        for variable, value in before.items():
            if value is None:
                os.environ.pop(variable, None)
            else:
                os.environ[variable] = value


class _Hot:
    """A value that was read, and what must be as it was for the value to hold."""

    __slots__ = ("_earlier", "_generation", "_link", "_path", "_roots", "_status", "value")

    def __init__(self, value: SecretStr, file: File, roots: str | None, earlier: list[str]):
        self.value = value
        self._roots = roots
        self._earlier = earlier
        self._path = file.path
        self._link = os.path.join(file.directory, "..data")
        self._generation = file.generation
        self._status = _same(file.status)

    def holds(self) -> bool:
        # Whether the path still is the very file that was read through the mount's descriptor:
        # that it is confined was checked then.
        try:
            if os.environ.get("KFSECRETS_ROOTS") != self._roots:
                return False
            generation = self._generation
            if generation is not None and os.readlink(self._link) != generation:
                return False
            if _same(os.stat(self._path)) != self._status:
                return False
        except OSError:
            return False
        return not any(map(os.path.lexists, self._earlier))


_hot: dict[tuple[str, str | None, str, bool], _Hot] = {}
_HOT = 4096
# A file system's clock ticks every few milliseconds: what changed within the last tick may
# change again and keep its time.
_TICK = 50_000_000  # ns


def _same(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_ctime_ns, status.st_dev


def _read_text(name: str, key: str, encoding: str, strip: bool) -> SecretStr:
    setting = os.environ.get("KFSECRETS_ROOTS")
    found = find_key(name, key)
    value = _text(name, key, found.value, encoding, strip)
    file = found.file
    if file is None or file.status.st_ctime_ns > time.time_ns() - _TICK:
        return value
    if len(_hot) >= _HOT:
        _hot.clear()
    directories = [os.path.join(root, name) for root in mounts.roots()]
    if file.directory in directories:
        earlier = directories[: directories.index(file.directory)]
        _hot[name, key, encoding, strip] = _Hot(value, file, setting, earlier)
    return value


def _text(name: str, key: str, value: SecretBytes, encoding: str, strip: bool) -> SecretStr:
    try:
        text = SecretStr(value.decode(encoding))
    except UnicodeError:
        # Raised below: the decoder's error holds the value, and must not become its context.
        pass
    else:
        return SecretStr(text.strip()) if strip else text
    raise SecretNotText(name, key, encoding=encoding)


def _pair(variable: str, source: object) -> tuple[str, str]:
    if not isinstance(source, (tuple, list)) or len(source) != 2:
        raise TypeError(f"{variable} needs a pair of secret and key.")
    return check_secret(source[0]), check_key(source[1])
