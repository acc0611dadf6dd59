"""Where values come from: literals, files, environment files, standard input, a hidden prompt.

The rules are those of ``kubectl create secret``, and no error shows what was given: a literal
that is none, or the name of a file that is not there, may be a value.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator
from typing import Final, overload

from kfsecrets_ext.errors import SecretError
from kfsecrets_ext.values import SecretBytes, SecretStr

__all__ = [
    "FILE_LIMIT",
    "Entry",
    "SourceError",
    "exact",
    "from_environment_file",
    "from_file",
    "from_literal",
    "from_path",
    "from_prompt",
    "read_file",
    "sealed",
]

Entry = tuple[str, SecretBytes]
"""A key and its value."""

FILE_LIMIT: Final = 16 << 20
"""Bytes. A Secret holds 1 MiB; what is over this is not read to its end."""


class SourceError(SecretError):
    """A source that gives no key or no value; what was given is not in it.

    Attributes
    ----------
    source : str
        Which one.
    reason : str
    """

    def __init__(self, source: str, reason: str) -> None:
        self.source = source
        self.reason = reason
        super().__init__(f"{source}: {reason}")


def from_literal(literal: str | bytes, *, source: str = "literal") -> Iterator[Entry]:
    """Take ``KEY=VALUE``; the value may be empty, and may hold more ``=``.

    Parameters
    ----------
    literal : str or bytes
    source : str
        What errors call it.

    Yields
    ------
    (str, SecretBytes)

    Raises
    ------
    SourceError
        There is no ``=``, or no key that can be one.
    """
    literal = sealed(literal)
    literal = exact(literal, source)
    key, equals, value = (SecretBytes(part) for part in literal.partition(b"="))
    if not equals or not key:
        raise SourceError(source, "it must be KEY=VALUE. What was given is not shown.")
    wrong = _no_key(key)
    if wrong:
        raise SourceError(source, f"what stands before '=' {wrong} It is not shown.")
    yield key.decode("ascii"), value


def from_file(given: str, *, source: str = "file") -> Iterator[Entry]:
    """Take ``[KEY=]PATH``: a file, byte by byte; a directory's regular files; ``KEY=-``.

    Parameters
    ----------
    given : str
        Without a key the file's name is the key. ``-`` is standard input.
    source : str
        What errors call it.

    Yields
    ------
    (str, SecretBytes)

    Raises
    ------
    SourceError
        There is no such file, or no key that can be one.
    """
    given = sealed(given)
    equals = given.count("=")
    if equals > 1:
        raise SourceError(source, "neither a key nor a path may hold '='.")
    key, path = SecretStr(given.partition("=")[0]), SecretStr(given.rpartition("=")[2])
    if equals and not key:
        raise SourceError(source, "there is no key before '='.")
    if equals and not path:
        raise SourceError(source, "there is no path after '='.")
    if path == "-":
        if not equals:
            raise SourceError(source, "standard input has no name; give it a key, as in KEY=-")
        yield _checked(key, source), _standard_input(source)
        return
    is_directory = _is_directory(
        path, source, hint=" A value itself is no path; see --from-prompt."
    )
    if not equals:
        yield from from_path(path, source=source)
    elif is_directory:
        raise SourceError(source, "a directory cannot have a key; its files are the keys.")
    else:
        yield _checked(key, source), _content(path, source)


def from_path(path: str, *, source: str = "file") -> Iterator[Entry]:
    """Take a file under its own name, or the regular files of a directory.

    Parameters
    ----------
    path : str
        Standard input has no name, so that ``-`` is a file of that name.
    source : str
        What errors call it.

    Yields
    ------
    (str, SecretBytes)

    Raises
    ------
    SourceError
        There is no such file, or its name is no key.
    """
    path = sealed(path)
    if _is_directory(path, source):
        yield from _inside(path, source)
        return
    key = SecretStr(os.path.basename(path))
    if _no_key(exact(key, source)):
        place = f"{source}, {os.fsencode(path).decode('utf-8', 'backslashreplace')!r}"
        raise SourceError(place, "its name is no key; give it one, as in KEY=PATH")
    yield str(key), _content(path, source)


def from_environment_file(path: str, *, source: str = "environment file") -> Iterator[Entry]:
    """Take the lines ``KEY=VALUE`` of a file.

    Space before a key goes, space at the end and quotation marks stay. Lines with ``#`` at their
    start are comments. A line without ``=`` takes the value from the environment, where a name
    that is not set is empty.

    Parameters
    ----------
    path : str
        ``-`` is standard input.
    source : str
        What errors call it.

    Yields
    ------
    (str, SecretBytes)

    Raises
    ------
    SourceError
        There is no such file, or a line is none of these; names the line's number alone.
    """
    path = sealed(path)
    if path == "-":
        content = _standard_input(source)
    elif _is_directory(path, source):
        raise SourceError(source, "a directory is no environment file.")
    else:
        content = _content(path, source)
    # A list of values has no mask of its own, so that lines are cut one at a time.
    start = number = 0
    while start < len(content):
        end = content.find(b"\n", start)
        end = len(content) if end < 0 else end
        line = content[start:end]
        start, number = end + 1, number + 1
        # bufio.ScanLines: one carriage return goes
        if line.endswith(b"\r"):
            line = line[:-1]
        entry = _environment_line(line, number, f"{source}, line {number}")
        if entry is not None:
            yield entry


def from_prompt(key: str, *, source: str = "prompt") -> Iterator[Entry]:
    """Ask for a value at the terminal, which does not show it.

    Parameters
    ----------
    key : str
    source : str
        What errors call it.

    Yields
    ------
    (str, SecretBytes)

    Raises
    ------
    SourceError
        There is no terminal, nothing was entered, or the key cannot be one.
    """
    key = sealed(key)
    key = _checked(key, source)
    yield key, ask(f"Value of {key}: ", source)


def read_file(path: str, *, source: str = "file") -> SecretBytes:
    """Read a file, byte by byte.

    Parameters
    ----------
    path : str
        ``-`` is standard input.
    source : str
        What errors call it.

    Returns
    -------
    SecretBytes

    Raises
    ------
    SourceError
        There is no such file.
    """
    path = sealed(path)
    if path == "-":
        return _standard_input(source)
    if _is_directory(path, source):
        raise SourceError(source, "it is a directory.")
    return _content(path, source)


def ask(question: str, source: str) -> SecretBytes:
    """Ask at the terminal, which does not show what is typed.

    Parameters
    ----------
    question : str
    source : str
        What errors call it.

    Returns
    -------
    SecretBytes

    Raises
    ------
    SourceError
        There is no terminal, or nothing was entered.
    """
    import getpass
    import warnings

    answer = SecretStr()
    reason = "nothing was entered."
    try:
        with warnings.catch_warnings():
            # getpass would read from elsewhere, and show what is typed
            warnings.simplefilter("error", getpass.GetPassWarning)
            answer = SecretStr(getpass.getpass(question))
    except (getpass.GetPassWarning, OSError):
        reason = "there is no terminal to ask at. Use a file or standard input."
    except UnicodeError:
        reason = "what was entered is no text in the terminal's encoding."
    except EOFError:
        pass
    if not answer:
        raise SourceError(source, reason)
    return exact(answer, source)


def exact(given: str | bytes, source: str) -> SecretBytes:
    """Give the very bytes of an argument.

    Parameters
    ----------
    given : str or bytes
        A text as Python has it of the command line, with surrogates for what is no text.
    source : str
        What errors call it.

    Returns
    -------
    SecretBytes

    Raises
    ------
    SourceError
        It stands for no bytes.
    """
    given = sealed(given)
    if isinstance(given, SecretBytes):
        return given
    try:
        return SecretBytes(os.fsencode(given))
    except UnicodeEncodeError:
        pass  # its error holds the text
    raise SourceError(source, "it holds a character that no bytes stand for.")


@overload
def sealed(given: str) -> SecretStr: ...
@overload
def sealed(given: bytes) -> SecretBytes: ...
@overload
def sealed(given: str | bytes) -> SecretStr | SecretBytes: ...
def sealed(given: str | bytes) -> SecretStr | SecretBytes:
    """Mask an argument, which a traceback would show with the other variables of its frame.

    Parameters
    ----------
    given : str or bytes

    Returns
    -------
    SecretStr or SecretBytes
    """
    return SecretBytes(given) if isinstance(given, bytes) else SecretStr(given)


# validation.IsConfigMapKey and IsEnvVarName
_KEY = re.compile(rb"[-._a-zA-Z0-9]+")
_VARIABLE = re.compile(rb"[-._a-zA-Z][-._a-zA-Z0-9]*")
_KEY_LIMIT = 253

# unicode.IsSpace
_SPACE = re.compile("[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")

# bufio.MaxScanTokenSize: kubectl stops there and says nothing
_LINE_LIMIT = 64 << 10


def _no_key(key: SecretBytes) -> str:
    if len(key) > _KEY_LIMIT:
        return f"is longer than {_KEY_LIMIT} characters, which no key may be."
    if not _KEY.fullmatch(key):
        return "is no key: letters, digits, '-', '_' and '.' will do."
    if key == b"." or key.startswith(b".."):
        return "is no key: it may not be '.', nor start with '..'."
    return ""


def _checked(key: SecretStr, source: str) -> str:
    wrong = _no_key(exact(key, source))
    if wrong:
        raise SourceError(source, f"what is given as key {wrong} It is not shown.")
    return str(key)


def _environment_line(line: SecretBytes, number: int, source: str) -> Entry | None:
    if len(line) >= _LINE_LIMIT:
        raise SourceError(
            source,
            "it is over 64 KiB, where kubectl would leave out the rest of the file. Give that "
            "value a file of its own.",
        )
    try:
        text = SecretStr(line.decode("utf-8"))
    except UnicodeDecodeError:
        text = None  # its error holds the line
    if text is None:
        raise SourceError(source, "it is not UTF-8.")
    if number == 1 and text.startswith("\ufeff"):
        text = text[1:]
    space = _SPACE.match(text)
    if space is not None:
        text = text[space.end() :]
        space = None
    if not text or text.startswith("#"):
        return None
    cut = text.find("=")
    name = SecretBytes((text if cut < 0 else text[:cut]).encode())
    if not _VARIABLE.fullmatch(name) or _no_key(name):
        raise SourceError(
            source,
            "it is neither KEY=VALUE nor a comment; a key is of letters, digits, '-', '_' and "
            "'.', and starts with no digit. The line is not shown.",
        )
    if cut < 0:
        return name.decode("ascii"), SecretBytes(os.environb.get(bytes(name), b""))
    return name.decode("ascii"), SecretBytes(text[cut + 1 :].encode())


def _is_directory(path: str, source: str, *, hint: str = "") -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except OSError as error:
        reason = error.strerror or "it cannot be read"
    except ValueError:  # its error may hold the path
        reason = "it has a character that no path may have"
    # Not the path: a value given in the place of a file is a likely mistake.
    raise SourceError(source, f"{reason}.{hint}")


def _inside(directory: str, source: str) -> Iterator[Entry]:
    """Give the regular files of a directory; os.ReadDir sorts them by their bytes."""
    names: list[str] = []
    reason = ""
    try:
        with os.scandir(directory) as found:
            names = [one.name for one in found if one.is_file(follow_symlinks=False)]
    except OSError as error:
        reason = error.strerror or "it cannot be read"
    if reason:
        raise SourceError(source, f"{reason}.")
    for name in sorted(names, key=os.fsencode):
        place = f"{source}, {os.fsencode(name).decode('utf-8', 'backslashreplace')!r}"
        if _no_key(exact(name, source)):
            raise SourceError(place, "a file of the directory whose name is no key.")
        yield name, _content(os.path.join(directory, name), place)


def _content(path: str, source: str) -> SecretBytes:
    content = SecretBytes()
    reason = ""
    try:
        with open(path, "rb") as file:
            content = SecretBytes(file.read(FILE_LIMIT + 1))
    except OSError as error:
        reason = f"{error.strerror or 'it cannot be read'}."
    return _bounded(content, reason, source)


def _standard_input(source: str) -> SecretBytes:
    content = SecretBytes()
    reason = ""
    if sys.stdin is None:
        raise SourceError(source, "there is no standard input.")
    try:
        content = SecretBytes(sys.stdin.buffer.read(FILE_LIMIT + 1))
    except OSError as error:
        reason = f"{error.strerror or 'it cannot be read'}."
    return _bounded(content, reason, source)


def _bounded(content: SecretBytes, reason: str, source: str) -> SecretBytes:
    if reason:
        raise SourceError(source, reason)
    if len(content) > FILE_LIMIT:
        raise SourceError(source, "it is over 16 MiB; a Secret holds 1 MiB.")
    return content
