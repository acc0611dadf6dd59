"""What may name a Secret, a key or a label, and how a name is written in Python."""

from __future__ import annotations

import os

from .errors import InvalidName
from .values import SecretBytes, SecretStr

__all__ = ["NAME_LIMIT", "check_key", "check_label", "check_secret", "literal"]

NAME_LIMIT = 253
"""Bytes. Kubernetes: the longest DNS-1123 subdomain, and the longest key of a Secret."""


def check_secret(name: object) -> str:
    """Return the name if it can be a Secret's.

    Parameters
    ----------
    name : object
        What a user gave.

    Returns
    -------
    str

    Raises
    ------
    InvalidName
        It could name nothing, or something outside the roots.
    """
    text = _text("secret", name)
    if "/" in text:
        raise InvalidName("secret", text, reason="it holds a slash; the key is an argument itself.")
    if text.startswith("..") or text == ".":
        raise InvalidName("secret", text, reason="such names are reserved.")
    if not text.isprintable():
        raise InvalidName("secret", text, reason="it holds a character that is not printable.")
    if len(os.fsencode(text)) > NAME_LIMIT:
        raise InvalidName("secret", text, reason=f"it is longer than {NAME_LIMIT} bytes.")
    return text


def check_key(key: object) -> str:
    """Return the key if it can be one: a relative path within a volume.

    Parameters
    ----------
    key : object
        What a user gave.

    Returns
    -------
    str

    Raises
    ------
    InvalidName
        It could name nothing, or something outside the volume.
    """
    text = _text("key", key)
    parts = text.split("/")
    if text.startswith("/"):
        raise InvalidName("key", text, reason="it is an absolute path.")
    # kubernetes: items[].path may neither hold ".." nor start with it
    if ".." in parts or text.startswith(".."):
        raise InvalidName("key", text, reason="it leaves the volume, or is reserved.")
    if "" in parts or "." in parts:
        raise InvalidName("key", text, reason="it has an empty part.")
    if any(_too_long(part) for part in parts):
        raise InvalidName("key", text, reason=f"a part is longer than {NAME_LIMIT} bytes.")
    return text


def check_label(label: object) -> str:
    """Return the label if it can stand for a value where the value is masked.

    Parameters
    ----------
    label : object
        What a user gave.

    Returns
    -------
    str

    Raises
    ------
    InvalidName
        It is no text of one line.
    """
    text = _text("label", label)
    if not text.isprintable():
        raise InvalidName("label", text, reason="it holds a character that is not printable.")
    return text


def literal(name: str, quote: str = '"') -> str:
    r"""Return a name as a Python string literal, on one line and harmless to show.

    Parameters
    ----------
    name : str
    quote : str, default '"'
        The quotation mark to write it with.

    Returns
    -------
    str

    Examples
    --------
    >>> print(literal('two\nlines of "text"'))
    "two\nlines of \"text\""
    """
    return quote + "".join(_written(one, quote) for one in name) + quote


def _written(one: str, quote: str) -> str:
    if one in (quote, "\\"):
        return f"\\{one}"
    return one if one.isprintable() else one.encode("unicode_escape").decode("ascii")


def _text(kind: str, name: object) -> str:
    # Neither message shows what was given: it may be a value.
    if isinstance(name, (SecretStr, SecretBytes)):
        raise InvalidName(kind, type(name)(), reason="a secret's value was given as the name.")
    if not isinstance(name, str):
        raise InvalidName(kind, type(name).__name__, reason="a name is a str.")
    if not name:
        raise InvalidName(kind, name, reason="it is empty.")
    if "\0" in name:
        raise InvalidName(kind, name, reason="it holds a NUL.")
    return name


def _too_long(part: str) -> bool:
    try:
        return len(os.fsencode(part)) > NAME_LIMIT
    except UnicodeEncodeError:
        # A lone surrogate that stands for no byte: no file can have such a name.
        return True
