"""The forms that a value is written in, and the few bytes of each that the index looks for."""

from __future__ import annotations

import base64
import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from kfsecrets_ext.values import SecretBytes, SecretStr

from .parts import ANYWHERE, is_common, looks_random, parts
from .record import Known
from .views import DROPPED, fold

__all__ = [
    "ANCHOR",
    "AT_BOUNDARIES",
    "RUN",
    "WHOLE_FIELD",
    "Form",
    "Found",
    "Kind",
    "edges",
    "forms",
    "is_public",
    "reason_against",
]

AT_BOUNDARIES = 5
"""From this many bytes on, a value is masked where no letter or digit touches it."""

WHOLE_FIELD = 2
"""From this many bytes on, a value is masked where it is a whole field."""

RUN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_=-"
"""The bytes of both base64 alphabets: what an encoded value is a run of."""

ANCHOR = 8
"""How many bytes of a form as written the index looks for."""

_ENCODED_ANCHOR = 12
_HEX_ANCHOR = 16
_LARGE = 4096
_SHORTEST_WINDOW = 16
_RUNS = re.compile(rb"[A-Za-z0-9+/_=\-]{%d,}" % _SHORTEST_WINDOW)

# core: base64 of a value at a phase, without the characters that its neighbours share.
_FIRST = (0, 2, 3)


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


class Form:
    """A value, or a part of it, written in one way.

    Attributes
    ----------
    label : str
    kind : Kind
    bounded : bool
        No letter or digit may touch it, and nothing stand in between.
    """

    __slots__ = ("_part", "_value", "bounded", "kind", "label")

    def __init__(self, label: str, part: str, value: SecretBytes, kind: Kind, bounded: bool):
        self.label = label
        self.kind = kind
        self.bounded = bounded
        self._part = part
        self._value = value

    @property
    def rule(self) -> str:
        """What a report calls it."""
        return f"{self._part}, {self.kind.name}" if self.kind.name else self._part

    def written(self) -> SecretBytes:
        """Return the form as it is written."""
        return self.kind.written(self._value)

    def sought(self) -> SecretBytes:
        """Return the form as the index sees it."""
        written = self.written()
        return written if self.kind.raw else SecretBytes(fold(written))

    def __repr__(self) -> str:
        return f"Form({self.label!r}, {self.rule!r})"


Found = tuple[Form, bytes, int]
"""A form, some bytes of it as the index sees it, and where they stand in it."""

# The pieces that become anchors are cut as plain bytes: they go into the index at once.
_cut = bytes.__getitem__


def reason_against(value: bytes) -> str | None:
    """Return why a value cannot be masked by looking for it, or None where it can."""
    value = SecretBytes(value.strip())
    if len(value) < WHOLE_FIELD:
        return "too short"
    if is_common(value):
        return "too common"
    return None


def forms(known: Known, public: Iterable[str] = ()) -> Iterator[Found]:
    """Yield the forms of a value that are looked for, each with its anchors.

    Parameters
    ----------
    known : Known
    public : iterable of str
        Patterns of key names whose values are no secrets.

    Yields
    ------
    Found
        Every form that is no window has one anchor, at its beginning.
    """
    if is_public(known.label, public):
        return
    value = SecretBytes(known.value.strip())
    if len(value) < AT_BOUNDARIES or is_common(value):
        return
    yield from _forms(known.label, value, "value")
    for rule, part in parts(known.value):
        if rule == "line":
            yield from _plain(known.label, part, rule, _PLAIN)
            yield from _windows(known.label, part, rule)
        else:
            yield from _forms(known.label, part, rule)


def is_public(label: str, public: Iterable[str]) -> bool:
    """Tell whether a label's key is one whose values are no secrets."""
    key = label.partition("/")[2] or label
    return any(fnmatch.fnmatchcase(key, pattern) for pattern in public)


def _forms(label: str, value: SecretBytes, part: str) -> Iterator[Found]:
    bounded = len(value) < ANYWHERE
    yield from _plain(label, value, part, _PLAIN)
    head = SecretBytes(_cut(value, slice(_ENCODED_ANCHOR)))
    for kind in _BASE64:
        yield (
            Form(label, part, value, kind, bounded),
            fold(kind.written(head))[:_ENCODED_ANCHOR],
            0,
        )
    head = SecretBytes(_cut(value, slice(_HEX_ANCHOR // 2)))
    hexadecimal = head.hex()
    for kind, anchor in (
        (_HEX, hexadecimal),
        (_HEX_UPPER, hexadecimal.upper()),
        (_HEX_DASHED, head.hex("+")),
        (_HEX_DASHED_UPPER, head.hex("+").upper()),
    ):
        yield Form(label, part, value, kind, bounded), anchor[:_HEX_ANCHOR].encode(), 0
    if bounded:
        return
    yield from _windows(label, value, part)
    if len(value) > _LARGE:
        return
    text = SecretStr(value.decode("utf-8", "surrogateescape"))
    if not value.isascii():
        yield from _beyond_ascii(label, value, part)
    if value.find(b" ") >= 0:
        yield from _plain(label, value, part, _PLUS)
    sought = SecretBytes(fold(_backwards(value)))
    if len(sought) >= ANCHOR and sought != fold(value):
        yield Form(label, part, value, _REVERSED, False), _cut(sought, slice(ANCHOR)), 0
    head = SecretBytes(
        str.__getitem__(text, slice(_ENCODED_ANCHOR)).encode("utf-8", "surrogateescape")
    )
    for kind in _BASE64_UTF16:
        yield Form(label, part, value, kind, False), fold(kind.written(head))[:_ENCODED_ANCHOR], 0


def _plain(label: str, value: SecretBytes, part: str, kind: Kind) -> Iterator[Found]:
    bounded = len(value) < ANYWHERE
    head = SecretBytes(_cut(value, slice(_LARGE)))
    written = kind.written(head)
    folded = fold(written)[:ANCHOR]
    # What folding leaves too little of, and what an escape sequence may swallow.
    if (len(folded) < ANCHOR and len(folded) < len(written)) or value.find(b"\x1b") >= 0:
        yield (
            Form(label, part, value, kind._replace(raw=True), bounded),
            _cut(written, slice(ANCHOR)),
            0,
        )
    else:
        yield Form(label, part, value, kind, bounded), folded, 0


def _windows(label: str, value: SecretBytes, part: str) -> Iterator[Found]:
    for match in _RUNS.finditer(value):
        run = SecretBytes(match[0])
        size = len(run)
        if not looks_random(run[:_LARGE]):
            continue
        form = Form(label, part, run, _PIECE, False)
        stride = ANCHOR if size <= 1024 else 64 if size <= 4 * _LARGE else _LARGE
        folded = SecretBytes(fold(run))
        seen = set()
        for at in range(0, size - ANCHOR + 1, stride):
            anchor = _cut(folded, slice(at, at + ANCHOR))
            if anchor not in seen:
                seen.add(anchor)
                yield form, anchor, at


def _beyond_ascii(label: str, value: SecretBytes, part: str) -> Iterator[Found]:
    # Whichever of these say nothing new are found at the same place: no harm.
    yield from _plain(label, value, part, _LATIN)
    yield from _plain(label, value, part, _SHOWN_AS_LATIN)
    sought = SecretBytes(fold(_to_utf16(value)))
    if len(sought) >= ANCHOR:
        yield Form(label, part, value, _UTF16, False), _cut(sought, slice(ANCHOR)), 0


def _core(phase: int) -> Callable[[bytes], bytes]:
    first = _FIRST[phase]

    def core(value: bytes) -> bytes:
        encoded = base64.b64encode(bytes(phase) + value)
        return encoded[first : 8 * (phase + len(value)) // 6]

    return core


def _core_of_utf16(phase: int) -> Callable[[bytes], bytes]:
    core = _core(phase)
    return lambda value: core(_to_utf16(value))


def _to_utf16(value: bytes) -> bytes:
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


def edges(value: bytes) -> tuple[bytes, bytes]:
    """Return what folding drops at the beginning and at the end of a value."""
    start = len(value) - len(value.lstrip(DROPPED))
    end = len(value.rstrip(DROPPED))
    return SecretBytes(_cut(value, slice(start))), SecretBytes(_cut(value, slice(end, None)))


_PLAIN = Kind("")
_PLUS = Kind("URL", _to_plus)
_PIECE = Kind("a piece", window=True)
_REVERSED = Kind("reversed", _backwards)
_LATIN = Kind("ascii()", _to_latin)
_SHOWN_AS_LATIN = Kind("as Latin-1", _to_shown_as_latin)
_UTF16 = Kind("UTF-16", _to_utf16)
_HEX = Kind("hex", _to_hex, run=True)
_HEX_UPPER = Kind("hex", _to_hex_upper, run=True)
_HEX_DASHED = Kind("hex", _to_hex_dashed, run=True)
_HEX_DASHED_UPPER = Kind("hex", _to_hex_dashed_upper, run=True)
_BASE64 = tuple(Kind("base64", _core(one), run=True, phase=_FIRST[one]) for one in range(3))
_BASE64_UTF16 = tuple(
    Kind("base64 of UTF-16", _core_of_utf16(one), run=True, phase=_FIRST[one]) for one in range(3)
)
