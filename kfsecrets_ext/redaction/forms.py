"""The forms that a value is written in, and the few bytes of each that the index looks for."""

from __future__ import annotations

import base64
import fnmatch
import json
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

from kfsecrets_ext.values import SecretBytes, SecretStr

from .parts import ANYWHERE, is_common, looks_random, parts
from .record import Known
from .views import DROPPED, ONE_ALPHABET, fold

__all__ = [
    "ANCHOR",
    "AT_BOUNDARIES",
    "WHOLE_FIELD",
    "Anchors",
    "Form",
    "Kind",
    "Owners",
    "add_forms",
    "edges",
    "is_public",
    "pairs",
    "reason_against",
]

AT_BOUNDARIES = 5
"""From this many bytes on, a value is masked where no letter or digit touches it."""

WHOLE_FIELD = 2
"""From this many bytes on, a value is masked where it is a whole field."""

ANCHOR = 8
"""How many bytes of a form as written the index looks for."""

# A character less than this, at the end of a text, gives less than eight bytes of a value.
_ENCODED_ANCHOR = 10
_ENCODED_HEAD = 9
_HEX_ANCHOR = 16
_LARGE = 4096
_SHORTEST_WINDOW = 16
_ESCAPED_IN_JSON = re.compile(rb"[\x00-\x1f\"\\\x7f-\xff]")
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

    def head(self, size: int) -> SecretBytes:
        """Return the first bytes of the form as it is written."""
        written = self._value if self.kind.make is None else self.written()
        return SecretBytes(_cut(written, slice(size)))

    def sought(self) -> SecretBytes:
        """Return the form as the index sees it."""
        written = self.written()
        return written if self.kind.raw else SecretBytes(fold(written))

    def __repr__(self) -> str:
        return f"Form({self.label!r}, {self.rule!r})"


Owners = Form | tuple[tuple[Form, int], ...]
"""The form that an anchor begins; or forms, and where in each of them the anchor stands."""


class Anchors:
    """Some bytes of each form, as the index sees it, and the forms they belong to.

    Attributes
    ----------
    folded, raw : dict of bytes to Owners
        What is looked for in folded and in unfolded text.
    plain : list of (Form, bytes)
        The forms that are no encodings, and the anchor of each.
    """

    __slots__ = ("folded", "plain", "raw")

    def __init__(self) -> None:
        self.folded: dict[bytes, Owners] = {}
        self.raw: dict[bytes, Owners] = {}
        self.plain: list[tuple[Form, bytes]] = []


def pairs(owners: Owners) -> tuple[tuple[Form, int], ...]:
    """Return the forms that an anchor belongs to, and where in each of them it stands."""
    return owners if isinstance(owners, tuple) else ((owners, 0),)


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


def add_forms(anchors: Anchors, known: Known) -> None:
    """Add the forms of a value that are looked for.

    Every form that is no window gets one anchor, at its beginning.
    """
    value = SecretBytes(known.value.strip())
    if len(value) < AT_BOUNDARIES or is_common(value):
        return
    _add_forms(anchors, known.label, value, "value")
    for rule, part in parts(known.value):
        if rule == "line":
            _add_plain(anchors, known.label, part, rule, _PLAIN)
            _add_windows(anchors, known.label, part, rule)
        else:
            _add_forms(anchors, known.label, part, rule)


def is_public(label: str, public: Iterable[str]) -> bool:
    """Tell whether a label's key is one whose values are no secrets."""
    key = label.partition("/")[2] or label
    return _any_of(tuple(public)).match(key) is not None


@lru_cache(maxsize=8)
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(fnmatch.translate, patterns)) or r"(?!)")


def _add_forms(anchors: Anchors, label: str, value: SecretBytes, part: str) -> None:
    bounded = len(value) < ANYWHERE
    folded = anchors.folded
    _add_plain(anchors, label, value, part, _PLAIN)
    head = SecretBytes(_cut(value, slice(_ENCODED_HEAD)))
    for kind, anchor in zip(_BASE64, _encoded_anchors(head), strict=True):
        _set(folded, anchor, Form(label, part, value, kind, bounded))
    head = SecretBytes(_cut(value, slice(_HEX_ANCHOR // 2)))
    for kind, written in (
        (_HEX, head.hex()),
        (_HEX_UPPER, head.hex().upper()),
        (_HEX_DASHED, head.hex("+")),
        (_HEX_DASHED_UPPER, head.hex("+").upper()),
    ):
        anchor = written[:_HEX_ANCHOR].encode()
        _set(folded, anchor, Form(label, part, value, kind, bounded))
    if bounded:
        return
    _add_windows(anchors, label, value, part)
    if len(value) > _LARGE:
        return
    if not value.isascii():
        # Whichever of these say nothing new are found at the same place: no harm.
        _add_plain(anchors, label, value, part, _LATIN)
        _add_plain(anchors, label, value, part, _SHOWN_AS_LATIN)
        sought = SecretBytes(fold(_to_utf16(value)))
        if len(sought) >= ANCHOR:
            anchor = _cut(sought, slice(ANCHOR))
            form = Form(label, part, value, _UTF16, False)
            _set(folded, anchor, form)
            anchors.plain.append((form, anchor))
    if value.find(b" ") >= 0:
        _add_plain(anchors, label, value, part, _PLUS)
    _add_plain(anchors, label, value, part, _REVERSED)
    text = SecretStr(_cut(value, slice(4 * _ENCODED_HEAD)).decode("utf-8", "surrogateescape"))
    head = SecretBytes(text[:_ENCODED_HEAD].encode("utf-16-le", "replace"))
    for kind, anchor in zip(_BASE64_UTF16, _encoded_anchors(head), strict=True):
        _set(folded, anchor, Form(label, part, value, kind, False))
    if _ESCAPED_IN_JSON.search(value) is None:
        return
    for kinds, make in ((_BASE64_JSON, _to_json), (_BASE64_JSON_TEXT, _to_json_text)):
        # JSON with the value in it, encoded as a whole.
        head = SecretBytes(_cut(make(value), slice(_ENCODED_HEAD)))
        for kind, anchor in zip(kinds, _encoded_anchors(head), strict=True):
            _set(folded, anchor, Form(label, part, value, kind, False))


def _add_plain(anchors: Anchors, label: str, value: SecretBytes, part: str, kind: Kind) -> None:
    bounded = len(value) < ANYWHERE
    written = kind.written(SecretBytes(_cut(value, slice(_LARGE))))
    folded = SecretBytes(fold(written))
    # What folding leaves too little of, and what an escape sequence may swallow.
    if (len(folded) < ANCHOR and len(folded) < len(written)) or written.find(b"\x1b") >= 0:
        raw = (kind,) if bounded else (kind, *_APART[kind]) if kind in _APART else (kind,)
        for one in raw:
            anchor = _cut(one.written(value), slice(ANCHOR))
            _set(anchors.raw, anchor, Form(label, part, value, one._replace(raw=True), bounded))
    else:
        form = Form(label, part, value, kind, bounded)
        anchor = _cut(folded, slice(ANCHOR))
        _set(anchors.folded, anchor, form)
        anchors.plain.append((form, anchor))


def _add_windows(anchors: Anchors, label: str, value: SecretBytes, part: str) -> None:
    for match in _RUNS.finditer(value):
        run = SecretBytes(match[0])
        size = len(run)
        if not looks_random(run if size <= _LARGE else run[:_LARGE]):
            continue
        form = Form(label, part, run, _PIECE, False)
        stride = ANCHOR if size <= 1024 else 64 if size <= 4 * _LARGE else _LARGE
        folded = SecretBytes(fold(run))
        seen = set()
        for at in range(0, size - ANCHOR + 1, stride):
            anchor = _cut(folded, slice(at, at + ANCHOR))
            if anchor not in seen:
                seen.add(anchor)
                _set(anchors.folded, anchor, form, at)


def _set(anchors: dict[bytes, Owners], anchor: bytes, form: Form, at: int = 0) -> None:
    mine: Owners = ((form, at),) if at else form
    known = anchors.setdefault(anchor, mine)
    if known is not mine:
        anchors[anchor] = (*pairs(known), (form, at))


def _encoded_anchors(head: SecretBytes) -> tuple[bytes, ...]:
    """Return the first characters of the cores of base64 that a value with this head has."""
    size = len(head)
    return tuple(
        base64.b64encode(before + head)[first : 8 * (phase + size) // 6][
            :_ENCODED_ANCHOR
        ].translate(ONE_ALPHABET)
        for phase, (first, before) in enumerate(zip(_FIRST, (b"", b"\0", b"\0\0"), strict=True))
    )


def _core(phase: int) -> Callable[[bytes], bytes]:
    first = _FIRST[phase]

    def core(value: bytes) -> bytes:
        encoded = base64.b64encode(bytes(phase) + value)
        return encoded[first : 8 * (phase + len(value)) // 6]

    return core


def _core_of_utf16(phase: int) -> Callable[[bytes], bytes]:
    core = _core(phase)
    return lambda value: core(_to_utf16(value))


def _core_of_json(phase: int) -> Callable[[bytes], bytes]:
    core = _core(phase)
    return lambda value: core(_to_json(value))


def _core_of_json_text(phase: int) -> Callable[[bytes], bytes]:
    core = _core(phase)
    return lambda value: core(_to_json_text(value))


def _to_json(value: bytes) -> bytes:
    return json.dumps(value.decode("utf-8", "surrogateescape"))[1:-1].encode()


def _to_json_text(value: bytes) -> bytes:
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
_BASE64_JSON = tuple(
    Kind("base64", _core_of_json(one), run=True, phase=_FIRST[one]) for one in range(3)
)
_BASE64_JSON_TEXT = tuple(
    Kind("base64", _core_of_json_text(one), run=True, phase=_FIRST[one]) for one in range(3)
)
# How a value that folding leaves too little of is written with something in between.
_APART = {_PLAIN: (Kind("", _to_spaced), Kind("", _to_lines), Kind("", _to_shell))}
_BASE64_UTF16 = tuple(
    Kind("base64 of UTF-16", _core_of_utf16(one), run=True, phase=_FIRST[one]) for one in range(3)
)
