"""The forms that a value is written in, and the few bytes of each that the index looks for."""

from __future__ import annotations

import fnmatch
import re
from binascii import b2a_base64
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from kfsecrets_ext.values import SecretBytes

from .kinds import (
    APART,
    BASE64_JSON,
    BASE64_JSON_TEXT,
    BASE64_UTF16,
    ENCODED,
    FIRST,
    IGNORED,
    LATIN,
    PIECE,
    PLAIN,
    PLUS,
    REPLACED,
    REVERSED,
    SHOWN_AS_LATIN,
    UTF16,
    Kind,
    to_json,
    to_json_text,
    to_utf16,
)
from .parts import ANYWHERE, is_common, looks_random, parts
from .record import Known
from .views import DROPPED, ONE_ALPHABET, fold

__all__ = [
    "ANCHOR",
    "AT_BOUNDARIES",
    "HEAD",
    "WHOLE_FIELD",
    "Anchors",
    "Form",
    "Places",
    "add_forms",
    "edges",
    "is_public",
    "reason_against",
]

AT_BOUNDARIES = 5
"""From this many bytes on, a value is masked where no letter or digit touches it."""

WHOLE_FIELD = 2
"""From this many bytes on, a value is masked where it is a whole field."""

ANCHOR = 8
"""How many bytes of a form as written the index looks for."""

HEAD = 16
"""How many first bytes of a form that folding shortens are kept, as written."""

# A character less than this, at the end of a text, gives less than eight bytes of a value.
_ENCODED_ANCHOR = 10
_ENCODED_HEAD = 9
_HEX_ANCHOR = 16
_LARGE = 4096
_SHORTEST_WINDOW = 16
_MOST_WINDOWS = 128
_ESCAPED_IN_JSON = re.compile(rb"[\x00-\x1f\"\\\x7f-\xff]")
_RUNS = re.compile(rb"[A-Za-z0-9+/_=\-]{%d,}" % _SHORTEST_WINDOW)

# Where the anchors stand in what `_base64_anchors` encodes, by the number of bytes.
_CORES = tuple(
    tuple(
        slice(start + first, start + min(first + _ENCODED_ANCHOR, 8 * (phase + size) // 6))
        for phase, (start, first) in enumerate(zip((0, 12, 28), FIRST, strict=True))
    )
    for size in range(_ENCODED_HEAD + 1)
)
_ALL = slice(None)


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


class _Group(NamedTuple):
    """Anchors in a row, of one value.

    Attributes
    ----------
    label, part : str
    value : SecretBytes
    bounded : bool
    kinds : tuple of Kind
        One for each anchor, which stands at the beginning of the form; or one for all of them.
    places : sequence of int or None
        Where in the one form the anchors stand, from 0 on.
    """

    label: str
    part: str
    value: SecretBytes
    bounded: bool
    kinds: tuple[Kind, ...]
    places: Sequence[int] | None = None


class Places:
    """Some bytes of each form, as the index sees it, and the forms they belong to.

    There are many more forms than are ever met: they are made when they are asked for.
    """

    __slots__ = ("_anchors", "_forms", "_groups", "_starts")

    def __init__(self) -> None:
        self._anchors: list[bytes] = []
        self._groups: list[_Group] = []
        self._starts: list[int] = []
        self._forms: dict[tuple[int, int], Form] = {}

    def add(self, group: _Group, anchors: Iterable[bytes]) -> None:
        """Add anchors of a value."""
        self._starts.append(len(self._anchors))
        self._groups.append(group)
        self._anchors += anchors

    def once(self) -> tuple[dict[bytes, int], dict[int, list[int]]]:
        """Return the anchors, each once with its last number, and the earlier ones of a number."""
        anchors = self._anchors
        last = dict(zip(anchors, range(len(anchors)), strict=True))
        earlier: dict[int, list[int]] = {}
        if len(last) < len(anchors):
            for number, anchor in enumerate(anchors):
                if last[anchor] != number:
                    earlier.setdefault(last[anchor], []).append(number)
        return last, earlier

    def owner(self, number: int) -> tuple[Form, int]:
        """Return the form that an anchor belongs to, and where in it the anchor stands."""
        which = bisect_right(self._starts, number) - 1
        label, part, value, bounded, kinds, places = self._groups[which]
        at = number - self._starts[which]
        kind = at if places is None else 0
        form = self._forms.get((which, kind))
        if form is None:
            form = Form(label, part, value, kinds[kind], bounded)
            form = self._forms.setdefault((which, kind), form)
        return form, 0 if places is None else places[at]

    def beginnings(self) -> Iterator[bytes]:
        """Yield the anchors that forms begin with."""
        for group, start, end in zip(
            self._groups, self._starts, (*self._starts[1:], len(self._anchors)), strict=True
        ):
            yield from self._anchors[start : end if group.places is None else start + 1]

    def __len__(self) -> int:
        return len(self._anchors)

    def __repr__(self) -> str:
        return f"Places({len(self)} anchors)"


class Anchors:
    """What is looked for.

    Attributes
    ----------
    folded, raw : Places
        In folded and in unfolded text.
    shortened : list of (Form, SecretBytes)
        The forms that folding shortens at their beginning, and their first bytes as written.
    """

    __slots__ = ("folded", "raw", "shortened")

    def __init__(self) -> None:
        self.folded = Places()
        self.raw = Places()
        self.shortened: list[tuple[Form, SecretBytes]] = []


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
            _add_plain(anchors, known.label, part, rule, PLAIN)
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
    _add_plain(anchors, label, value, part, PLAIN)
    head = SecretBytes(_cut(value, slice(_ENCODED_HEAD)))
    anchors.folded.add(
        _Group(label, part, value, bounded, ENCODED), (*_base64_anchors(head), *_hex_anchors(head))
    )
    if bounded:
        return
    _add_windows(anchors, label, value, part)
    if len(value) > _LARGE:
        return
    if not value.isascii():
        # Whichever of these say nothing new are found at the same place: no harm.
        _add_plain(anchors, label, value, part, LATIN)
        _add_plain(anchors, label, value, part, SHOWN_AS_LATIN)
        left = IGNORED.written(value)
        if len(left) < len(value) and len(left) >= ANYWHERE and not is_common(left):
            _add_plain(anchors, label, value, part, REPLACED)
            _add_plain(anchors, label, value, part, IGNORED)
        wide = SecretBytes(to_utf16(value))
        if len(fold(wide)) >= ANCHOR:
            _add_folded(anchors, _Group(label, part, value, False, (UTF16,)), wide)
    if value.find(b" ") >= 0:
        _add_plain(anchors, label, value, part, PLUS)
    _add_plain(anchors, label, value, part, REVERSED)
    head = SecretBytes(_cut(value, slice(4 * _ENCODED_HEAD)))
    head = SecretBytes(to_utf16(head)[:_ENCODED_HEAD])
    anchors.folded.add(_Group(label, part, value, False, BASE64_UTF16), _base64_anchors(head))
    if _ESCAPED_IN_JSON.search(value) is None:
        return
    for kinds, make in ((BASE64_JSON, to_json), (BASE64_JSON_TEXT, to_json_text)):
        # JSON with the value in it, encoded as a whole.
        head = SecretBytes(_cut(make(value), slice(_ENCODED_HEAD)))
        anchors.folded.add(_Group(label, part, value, False, kinds), _base64_anchors(head))


def _add_plain(anchors: Anchors, label: str, value: SecretBytes, part: str, kind: Kind) -> None:
    bounded = len(value) < ANYWHERE
    written = kind.written(SecretBytes(_cut(value, slice(_LARGE))))
    folded = SecretBytes(fold(written))
    # What folding leaves too little of, and what an escape sequence may swallow.
    if (len(folded) < ANCHOR and len(folded) < len(written)) or written.find(b"\x1b") >= 0:
        kinds = (kind,) if bounded else (kind, *APART.get(kind, ()))
        anchors.raw.add(
            _Group(label, part, value, bounded, tuple(one._replace(raw=True) for one in kinds)),
            [_cut(one.written(value), slice(ANCHOR)) for one in kinds],
        )
        return
    _add_folded(anchors, _Group(label, part, value, bounded, (kind,)), written)


def _add_folded(anchors: Anchors, group: _Group, written: SecretBytes) -> None:
    anchor = fold(written)[:ANCHOR]
    anchors.folded.add(group, (anchor,))
    if not written.startswith(anchor):
        form, _ = anchors.folded.owner(len(anchors.folded) - 1)
        anchors.shortened.append((form, SecretBytes(_cut(written, slice(HEAD)))))


def _add_windows(anchors: Anchors, label: str, value: SecretBytes, part: str) -> None:
    for match in _RUNS.finditer(value):
        run = SecretBytes(match[0])
        size = len(run)
        if not looks_random(run if size <= _LARGE else run[:_LARGE]):
            continue
        stride = ANCHOR * -(-size // (ANCHOR * _MOST_WINDOWS))
        folded = SecretBytes(fold(run))
        places: Sequence[int] = range(0, size - ANCHOR + 1, stride)
        pieces = [_cut(folded, slice(at, at + ANCHOR)) for at in places]
        if len(set(pieces)) < len(pieces):
            # A run may repeat itself very often: the first of those that are the same will do.
            first: dict[bytes, int] = {}
            for piece, at in zip(pieces, places, strict=True):
                first.setdefault(piece, at)
            pieces, places = list(first), tuple(first.values())
        anchors.folded.add(_Group(label, part, run, False, PIECE, places), pieces)


def _base64_anchors(head: SecretBytes) -> list[bytes]:
    """Return the first characters of the cores of base64 that a value with this head has."""
    padded = SecretBytes(head.ljust(_ENCODED_HEAD, b"\0"))
    # All phases by one call, each in bytes that are a multiple of three.
    encoded = SecretBytes(
        b2a_base64(b"%b\0%b\0\0\0\0%b\0" % (padded, padded, padded)).translate(ONE_ALPHABET)
    )
    return [_cut(encoded, core) for core in _CORES[len(head)]]


def _hex_anchors(head: SecretBytes) -> tuple[bytes, ...]:
    # In the order of `ENCODED`.
    plain = SecretBytes(head.hex()[:_HEX_ANCHOR].encode())
    dashed = SecretBytes(head.hex("+")[:_HEX_ANCHOR].encode())
    return _cut(plain, _ALL), plain.upper(), _cut(dashed, _ALL), dashed.upper()


def edges(value: bytes) -> tuple[bytes, bytes]:
    """Return what folding drops at the beginning and at the end of a value."""
    start = len(value) - len(value.lstrip(DROPPED))
    end = len(value.rstrip(DROPPED))
    return SecretBytes(_cut(value, slice(start))), SecretBytes(_cut(value, slice(end, None)))
