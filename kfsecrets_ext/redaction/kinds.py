"""The ways to write a value: plain, backwards, in base64, in hexadecimal."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import NamedTuple

from kfsecrets_ext.values import SecretBytes, SecretStr

__all__ = [
    "APART",
    "BASE64",
    "BASE64_JSON",
    "BASE64_JSON_TEXT",
    "BASE64_UTF16",
    "ENCODED",
    "FIRST",
    "HEX",
    "IGNORED",
    "LATIN",
    "PIECE",
    "PLAIN",
    "PLUS",
    "REPLACED",
    "REVERSED",
    "SHOWN_AS_LATIN",
    "UTF16",
    "Kind",
    "to_json",
    "to_json_text",
    "to_utf16",
]

FIRST = (0, 2, 3)
"""By phase: the first character of a value's base64 that its neighbours have no share in."""


class Kind(NamedTuple):
    """A way to write a value.

    Attributes
    ----------
    name : str
        What a report calls it; empty for the value as it is.
    make : callable or None
        Writes it so.
    run : bool
        The whole run of base64 or hex around it is masked.
    window : bool
        A piece of it is enough, where the piece looks random.
    raw : bool
        It is looked for in unfolded text.
    phase : int or None
        Of base64: the place of its first character in a group of four.
    """

    name: str
    make: Callable[[bytes], bytes] | None = None
    run: bool = False
    window: bool = False
    raw: bool = False
    phase: int | None = None

    def written(self, value: SecretBytes) -> SecretBytes:
        """Return a value written so."""
        return value if self.make is None else SecretBytes(self.make(value))


def _core(phase: int) -> Callable[[bytes], bytes]:
    first = FIRST[phase]

    def core(value: bytes) -> bytes:
        encoded = base64.b64encode(bytes(phase) + value)
        return encoded[first : 8 * (phase + len(value)) // 6]

    return core


def _core_of_utf16(phase: int) -> Callable[[bytes], bytes]:
    core = _core(phase)
    return lambda value: core(to_utf16(value))


def _core_of_json(phase: int) -> Callable[[bytes], bytes]:
    core = _core(phase)
    return lambda value: core(to_json(value))


def _core_of_json_text(phase: int) -> Callable[[bytes], bytes]:
    core = _core(phase)
    return lambda value: core(to_json_text(value))


def to_json(value: bytes) -> bytes:
    """Return a value as it stands between the quotes of ASCII JSON."""
    return json.dumps(value.decode("utf-8", "surrogateescape"))[1:-1].encode()


def to_json_text(value: bytes) -> bytes:
    """Return a value as it stands between the quotes of JSON that keeps its characters."""
    text = SecretStr(value.decode("utf-8", "surrogateescape"))
    shown = SecretStr(json.dumps(str(text), ensure_ascii=False))
    return str.__getitem__(shown, slice(1, -1)).encode("utf-8", "surrogateescape")


def _to_shell(value: bytes) -> bytes:
    # shlex.quote: a quote is closed, written in other quotes, and opened again.
    return value.replace(b"'", b"'\"'\"'")


def _to_spaced(value: bytes) -> bytes:
    return _with_between(value, " ")


def _to_lines(value: bytes) -> bytes:
    return _with_between(value, "\n")


def _with_between(value: bytes, separator: str) -> bytes:
    text = SecretStr(value.decode("utf-8", "surrogateescape"))
    return separator.join(text).encode("utf-8", "surrogateescape")


def to_utf16(value: bytes) -> bytes:
    """Return a value in UTF-16, little-endian."""
    return value.decode("utf-8", "surrogateescape").encode("utf-16-le", "replace")


def _to_latin(value: bytes) -> bytes:
    # ascii() writes \xe9 for a character, repr() of bytes for a byte: here, one byte for either.
    text = SecretStr(value.decode("utf-8", "surrogateescape"))
    return b"".join(
        bytes([ord(one)]) if 0x80 <= ord(one) < 0x100 else one.encode("utf-8", "surrogateescape")
        for one in text
    )


def _to_shown_as_latin(value: bytes) -> bytes:
    return value.decode("latin-1").encode()


def _to_replaced(value: bytes) -> bytes:
    return value.decode("utf-8", "replace").encode()


def _to_ignored(value: bytes) -> bytes:
    return value.decode("utf-8", "ignore").encode()


def _to_plus(value: bytes) -> bytes:
    return value.replace(b" ", b"+")


def _backwards(value: bytes) -> bytes:
    return value.decode("utf-8", "surrogateescape")[::-1].encode("utf-8", "surrogateescape")


def _to_hex(value: bytes) -> bytes:
    return value.hex().encode()


def _to_hex_upper(value: bytes) -> bytes:
    return value.hex().upper().encode()


def _to_hex_dashed(value: bytes) -> bytes:
    return value.hex("-").encode()


def _to_hex_dashed_upper(value: bytes) -> bytes:
    return value.hex("-").upper().encode()


PLAIN = Kind("")
PLUS = Kind("URL", _to_plus)
PIECE = (Kind("a piece", window=True),)
REVERSED = Kind("reversed", _backwards)
LATIN = Kind("ascii()", _to_latin)
SHOWN_AS_LATIN = Kind("as Latin-1", _to_shown_as_latin)
# What a terminal, IPython's "!" and open(…, errors=…) make of bytes that are no UTF-8.
REPLACED = Kind("as UTF-8", _to_replaced)
IGNORED = Kind("as UTF-8", _to_ignored)
UTF16 = Kind("UTF-16", to_utf16)
BASE64 = tuple(Kind("base64", _core(one), run=True, phase=FIRST[one]) for one in range(3))
HEX = (
    Kind("hex", _to_hex, run=True),
    Kind("hex", _to_hex_upper, run=True),
    Kind("hex", _to_hex_dashed, run=True),
    Kind("hex", _to_hex_dashed_upper, run=True),
)
ENCODED = (*BASE64, *HEX)
BASE64_JSON = tuple(
    Kind("base64", _core_of_json(one), run=True, phase=FIRST[one]) for one in range(3)
)
BASE64_JSON_TEXT = tuple(
    Kind("base64", _core_of_json_text(one), run=True, phase=FIRST[one]) for one in range(3)
)
# How a value that folding leaves too little of is written with something in between.
APART = {PLAIN: (Kind("", _to_spaced), Kind("", _to_lines), Kind("", _to_shell))}
BASE64_UTF16 = tuple(
    Kind("base64 of UTF-16", _core_of_utf16(one), run=True, phase=FIRST[one]) for one in range(3)
)
