"""The text as a value would look in it: without colours, escapes, separators; and the way back.

A layer is the text with some pieces replaced. Folding is what stands at the end of each layer: it
drops what a value is commonly written apart with, and makes the two alphabets of base64 one.
"""

from __future__ import annotations

import html
import re
from bisect import bisect_left, bisect_right
from enum import IntEnum
from functools import lru_cache
from itertools import accumulate, compress

__all__ = [
    "DROPPED",
    "KINDS",
    "ONE_ALPHABET",
    "Drop",
    "Folded",
    "Layer",
    "Source",
    "begun",
    "drop_colours",
    "escapes_in",
    "fold",
    "may_be_escaped",
    "may_be_invisible",
    "replaced",
    "unescape",
    "without",
]


class Drop(IntEnum):
    """What of a text is dropped before it is looked at."""

    NOTHING = 0
    COLOURS = 1
    INVISIBLE = 2


DROPPED = b" \t\n\r\x0b\x0c\x00'\",[]:"
"""The bytes that folding drops: ``list(value)``, one character a line, ``ab:cd`` read the same."""

ONE_ALPHABET = bytes.maketrans(b"-_", b"+/")
"""Makes the url-safe alphabet of base64 the standard one."""

_KEPT = bytes(0 if byte in DROPPED else 1 for byte in range(256))

# ECMA-48: control sequences, strings that ST or BEL ends, two-byte escapes.
_INVISIBLE = re.compile(
    rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-Z\\`-~]"
    rb"|\xe2\x80[\x8b-\x8f\xaa-\xae]|\xe2\x81[\xa0-\xa4]|\xef\xbb\xbf|\xc2\xad"
)
_COLOUR = re.compile(rb"\x1b\[[0-9;:]*[mK]")
_DROPPING = {_INVISIBLE: Drop.INVISIBLE, _COLOUR: Drop.COLOURS}
_ZERO_WIDTH = (b"\xe2\x80", b"\xe2\x81", b"\xef\xbb\xbf", b"\xc2\xad")

# JSON, Python, shell.
_BACKSLASH = (
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|[0-7]{1,3}|\r?\n|[^0-9A-Zc-eg-mo-qsuw-z])"
)
_PERCENT = rb"%[0-9a-fA-F]{2}"
_ENTITY = rb"&(?:amp|lt|gt|quot|apos|nbsp|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});"
# Looked for as numbers, which is six times as quick as looking for bytes.
_BACKSLASH_SIGN, _PERCENT_SIGN, _AMPERSAND = b"\\%&"
_PERCENTS = re.compile(_PERCENT)
_ENTITIES = re.compile(_ENTITY)
KINDS = (1, 2, 4)
"""Kinds of escapes: backslashes, percent signs, entities; several are a sum."""

_ALL_KINDS = sum(KINDS)
_ESCAPES = {
    kinds: re.compile(
        rb"|".join(
            one
            for kind, one in zip(KINDS, (_BACKSLASH, _PERCENT, _ENTITY), strict=True)
            if kinds & kind
        )
    )
    for kinds in range(1, _ALL_KINDS + 1)
}
_LETTERS = {
    b"a": b"\a",
    b"b": b"\b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
    b"v": b"\v",
    b"\n": b"",
    b"\r\n": b"",
}

# What may be the beginning of an escape or of a control sequence, at the end of a text.
_BEGUN = re.compile(
    rb"(?:\\(?:u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?|u[0-9a-fA-F]{0,3}"
    rb"|U[0-9a-fA-F]{0,7}|x[0-9a-fA-F]?|[0-7]{0,2}|\r)?"
    rb"|%[0-9a-fA-F]?|&(?:[a-z]{0,4}|#(?:[0-9]{0,7}|[xX][0-9a-fA-F]{0,6})))\Z"
)
_BEGUN_CONTROL = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|[ -/]*)\Z")
_BEGUN_STRING = re.compile(rb"\x1b[\]PX^_][^\x07\x1b]*\x1b?\Z")
_BEGUN_ZERO_WIDTH = (b"\xe2", b"\xe2\x80", b"\xe2\x81", b"\xef", b"\xef\xbb", b"\xc2")
_LONGEST_ESCAPE = 12
_LONGEST_CONTROL = 4096

_BLOCK = 1 << 13
_TAIL = 32


def fold(data: bytes) -> bytes:
    """Return the data without what folding drops, in one alphabet of base64."""
    return data.translate(ONE_ALPHABET, DROPPED)


def unescape(data: bytes, kinds: int = _ALL_KINDS) -> Layer | None:
    r"""Undo one level of JSON, Python, shell, HTML and URL escapes.

    ``\xe9`` gives one byte, ``\u00e9`` and ``&#233;`` the UTF-8 of a character.

    Parameters
    ----------
    data : bytes
    kinds : int, optional
        Which of them, as `escapes_in` tells.

    Returns
    -------
    Layer or None
        None where there is nothing to undo.
    """
    return replaced(_ESCAPES[kinds], data)


def may_be_escaped(data: bytes) -> bool:
    """Tell whether there is something that looks like an escape."""
    return (
        _BACKSLASH_SIGN in data
        or (_PERCENT_SIGN in data and _PERCENTS.search(data) is not None)
        or (_AMPERSAND in data and _ENTITIES.search(data) is not None)
    )


def may_be_invisible(data: bytes) -> bool:
    """Tell whether there is something that looks like a character without width."""
    return any(zero in data for zero in _ZERO_WIDTH)


def escapes_in(data: bytes) -> int:
    """Return the kinds of escapes that there are: 1 backslashes, 2 percent signs, 4 entities."""
    kinds = 1 if _BACKSLASH_SIGN in data else 0
    if _PERCENT_SIGN in data and _PERCENTS.search(data) is not None:
        kinds |= 2
    if _AMPERSAND in data and _ENTITIES.search(data) is not None:
        kinds |= 4
    return kinds


def drop_colours(data: bytes) -> bytes:
    """Return the data without colours; other control sequences stay."""
    return _COLOUR.sub(b"", data)


def without(data: bytes, drop: Drop) -> Layer | None:
    """Drop colours, cursor movements and characters without width.

    Returns
    -------
    Layer or None
        None where there is nothing to drop.
    """
    if drop is Drop.NOTHING:
        return None
    colours = replaced(_COLOUR, data) if b"\x1b" in data else None
    if drop is Drop.COLOURS:
        return colours
    left = data if colours is None else colours.data
    if b"\x1b" in left or (not left.isascii() and may_be_invisible(left)):
        return replaced(_INVISIBLE, data)
    # Nearly all of it is colours, and their pattern is found quicker alone.
    return colours


def replaced(pattern: re.Pattern[bytes], data: bytes) -> Layer | None:
    """Replace pieces by what they mean.

    Returns
    -------
    Layer or None
        None where there are none.
    """
    pieces, count = pattern.subn(b"" if pattern in _DROPPING else _meaning, data)
    return Layer(pieces, pattern, data) if count else None


class Source:
    """A text as bytes, and where its characters are in them.

    Attributes
    ----------
    data : bytes
        UTF-8; a lone surrogate that stands for a byte is that byte.
    """

    __slots__ = ("_known_offsets", "_plain", "_reached", "_regular", "_text", "data")

    def __init__(self, text: str):
        self._text = text
        self._known_offsets: list[int] | None = None
        self._plain = text.isascii()
        self._reached = (0, 0)
        data = _encoded(text, "strict")
        self._regular = data is not None
        self.data = _utf8(text) if data is None else data

    @property
    def _offsets(self) -> list[int] | None:
        """Where each character begins, and the end; None where the bytes tell."""
        if not self._regular and self._known_offsets is None:
            # It takes far longer than the bytes, and is asked for only where something was found.
            lengths = (len(_utf8(character)) for character in self._text)
            self._known_offsets = [0, *accumulate(lengths)]
        return self._known_offsets

    def character(self, offset: int) -> int:
        """Return the character that begins at a byte, or holds it."""
        if self._plain:
            return offset
        if self._offsets is not None:
            return bisect_right(self._offsets, offset) - 1
        data = self.data
        while 0 < offset < len(data) and data[offset] & 0xC0 == 0x80:
            offset -= 1
        known, characters = self._reached
        if known > offset:
            known = characters = 0
        characters += len(data[known:offset].decode())
        self._reached = (offset, characters)
        return characters

    def character_after(self, offset: int) -> int:
        """Return the character that begins at a byte, or the one after that which holds it."""
        if self._plain:
            return offset
        if self._offsets is not None:
            return bisect_left(self._offsets, offset)
        data = self.data
        while 0 < offset < len(data) and data[offset] & 0xC0 == 0x80:
            offset += 1
        return self.character(offset)

    def byte(self, character: int) -> int:
        """Return where a character begins."""
        if self._plain:
            return character
        if self._offsets is not None:
            return self._offsets[character]
        return len(self._text[:character].encode())


class Layer:
    """Data in which pieces were replaced, and where each byte came from.

    Attributes
    ----------
    data : bytes
    drop : Drop
        What was dropped.
    """

    __slots__ = ("_below", "_ends", "_from", "_pattern", "_starts", "_to", "data", "drop")

    def __init__(self, data: bytes, pattern: re.Pattern[bytes], below: bytes):
        self.data = data
        self.drop = _DROPPING.get(pattern, Drop.NOTHING)
        self._pattern = pattern
        self._below = below
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._from: list[int] = []
        self._to: list[int] = []

    def _map(self) -> None:
        # Only where something was found does it matter where it came from.
        shift = 0
        for match in self._pattern.finditer(self._below):
            start, end = match.span()
            length = len(_meaning(match))
            self._from.append(start)
            self._to.append(end)
            self._starts.append(start - shift)
            self._ends.append(start - shift + length)
            shift += end - start - length

    def replaced(self, data: bytes) -> bytes:
        """Return other data with the same kind of pieces replaced."""
        layer = replaced(self._pattern, data)
        return data if layer is None else layer.data

    def start(self, index: int) -> int:
        """Return where the piece begins, in the layer below, that a byte of this one came from."""
        if not self._from:
            self._map()
        at = bisect_right(self._starts, index) - 1
        if at < 0:
            return index
        if index < self._ends[at]:
            return self._from[at]
        return self._to[at] + index - self._ends[at]

    def end(self, index: int) -> int:
        """Return where the piece ends, in the layer below, that the byte before came from."""
        if not self._from:
            self._map()
        if index == 0:
            return 0
        at = bisect_right(self._starts, index - 1) - 1
        if at < 0:
            return index
        if index - 1 < self._ends[at]:
            return self._to[at]
        return self._to[at] + index - self._ends[at]

    def forward(self, below: int) -> tuple[int, int]:
        """Follow a position of the layer below into this one.

        Returns
        -------
        (int, int)
            The position here, and the position below that it stands for: the start of a replaced
            piece where the one asked for lies inside of it.
        """
        if not self._from:
            self._map()
        at = bisect_right(self._from, below) - 1
        if at < 0:
            return below, below
        if below < self._to[at]:
            return self._starts[at], self._from[at]
        return self._ends[at] + below - self._to[at], below


class Folded:
    """Folded data, and where each byte came from.

    Attributes
    ----------
    data : bytes
    """

    __slots__ = ("_block", "_counts", "_positions", "_view", "data")

    def __init__(self, view: bytes, data: bytes):
        self._view = view
        self.data = data
        self._counts: list[int] = []
        self._block = -1
        self._positions: list[int] = []

    def origin(self, index: int) -> int:
        """Return where a byte of the folded data stands in the unfolded."""
        # What is asked for most often are the last bytes.
        if len(self.data) - index <= _TAIL:
            tail = self._view[-2 * _TAIL :]
            flags = tail.translate(_KEPT)
            after = len(self.data) - index
            if flags.count(1) >= after:
                kept = list(compress(range(len(tail)), flags))
                return len(self._view) - len(tail) + kept[-after]
        if not self._counts:
            blocks = range(0, len(self._view), _BLOCK)
            counts = (len(self._view[at : at + _BLOCK].translate(None, DROPPED)) for at in blocks)
            self._counts = [0, *accumulate(counts)]
        block = bisect_right(self._counts, index) - 1
        if block != self._block:
            flags = self._view[block * _BLOCK : (block + 1) * _BLOCK].translate(_KEPT)
            self._positions = list(compress(range(len(flags)), flags))
            self._block = block
        return block * _BLOCK + self._positions[index - self._counts[block]]


def begun(data: bytes) -> int:
    """Return where an unfinished escape or control sequence begins, else the length."""
    size = len(data)
    start = size
    if b"\x1b" in data:
        first = max(0, size - _LONGEST_CONTROL)
        last = data.rfind(b"\x1b", first)
        if last >= 0 and _BEGUN_CONTROL.match(data, last):
            start = last
        string = _BEGUN_STRING.search(data, first) if data.find(b"\x1b]", first) >= 0 else None
        if string is not None:
            start = string.start()
    if data.endswith(_BEGUN_ZERO_WIDTH):
        start = min(start, size - (1 if data[-1] > 0xC0 else 2))
    # The sequence that is begun may be dropped, and an escape before it go on behind it.
    tail = data[max(0, start - _LONGEST_ESCAPE) : start]
    if b"\\" in tail or b"%" in tail or b"&" in tail:
        match = _BEGUN.search(tail)
        if match is not None:
            start = min(start, _unpaired(data, start - len(tail) + match.start()))
    return start


def _unpaired(data: bytes, start: int) -> int:
    before = data[max(0, start - _LONGEST_CONTROL) : start]
    if (len(before) - len(before.rstrip(b"\\"))) % 2:
        # The second of two backslashes begins nothing; another sign belongs to the one before it.
        return len(data) if data[start : start + 1] == b"\\" else start - 1
    return start


def _meaning(match: re.Match[bytes]) -> bytes:
    if match.re in _DROPPING:
        return b""
    if match.re.groups:
        # Of a line of a dump, the bytes in hexadecimal; what is no dump is in no value.
        return match[match.lastindex].replace(b" ", b"") if match.lastindex else b"."
    return _unescaped(match[0])


@lru_cache(maxsize=1024)
def _unescaped(piece: bytes) -> bytes:
    if piece[:1] == b"%":
        return bytes([int(piece[1:], 16)])
    if piece[:1] == b"&":
        return _utf8(html.unescape(piece.decode()))
    rest = piece[1:]
    kind = rest[:1]
    if len(rest) == 11:
        text = bytes.fromhex((rest[1:5] + rest[7:]).decode()).decode("utf-16-be")
        return _utf8(text)
    if kind == b"x" and len(rest) == 3:
        return bytes([int(rest[1:], 16)])
    if kind in (b"u", b"U") and len(rest) > 1:
        code = int(rest[1:], 16)
        return _utf8(chr(code)) if code < 0x110000 else piece
    if rest[:1].isdigit():
        return bytes([int(rest, 8) & 255])
    return _LETTERS.get(rest, rest)


def _utf8(text: str) -> bytes:
    data = _encoded(text, "surrogateescape")
    if data is not None:
        return data
    if len(text) == 1:
        return text.encode("utf-8", "surrogatepass")
    # Both kinds of lone surrogates are in it: each is a byte, or three.
    return b"".join(map(_utf8, text))


def _encoded(text: str, errors: str) -> bytes | None:
    # No other exception has this one, which holds the text, as its context.
    try:
        return text.encode("utf-8", errors)
    except UnicodeEncodeError:
        return None
