"""The text as it is shown, not as it is written: without markup and borders, dumps as their bytes.

Highlighters colour a part of a value, frames break its lines, and a dump may be printed as an entry
of a list. All this is looked for in a whole text, not over several pieces of a stream.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from .index import Index
from .markers import marker
from .ranges import Range
from .scan import scan

__all__ = ["look", "may_hide"]

# What a browser shows with nothing around it; any other tag stands apart from its neighbours.
_INLINE = (
    "a|abbr|b|big|bdi|bdo|cite|code|data|del|dfn|em|font|i|ins|kbd|label|mark|q|s|samp|small|span"
    "|strike|strong|sub|sup|time|tspan|tt|u|var|wbr"
)
_TAG = r"<(?:!--[^<]{0,4096}?-->|/?[a-zA-Z][^<>]{0,4096}>)"
_INLINE_TAG = re.compile(rf"</?(?:{_INLINE})(?![a-zA-Z0-9])|<!--", re.IGNORECASE)
# rich, tabulate: the right border of a line, and the left one of the next
_BARS = "\u2502\u2503\u2551\u2506\u250a|"
_BORDER = (
    rf"[{_BARS}](?:[ \t]{{0,64}}[{_BARS}]){{0,7}}[ \t]{{0,256}}\r?\n"
    rf"(?:[ \t]{{0,64}}[{_BARS}]){{1,8}}[ \t]{{0,256}}"
)
# pprint: bytes in several lines are several literals
_BYTES_GO_ON = r"(?<=['\"])\r?\n[ \t]*b(?=['\"])"
# a byte as hex() and xxd -i write it
_BYTE = r"(?<![0-9a-zA-Z])0[xX](?=[0-9a-fA-F]{1,2}(?![0-9a-zA-Z]))"
_TAGS = re.compile(_TAG)
_MARKUP = re.compile(f"{_TAG}|{_BORDER}|{_BYTES_GO_ON}|{_BYTE}")

# What begins with a character that is rare is found far quicker than all of it.
_MAY_BE_TAG = re.compile(r"<(?:/?[a-zA-Z]|!--)")
_MAY_BE_BORDER = re.compile(rf"[{_BARS}][ \t]{{0,256}}\r?\n[ \t]{{0,64}}[{_BARS}]")
_MAY_BE_ASCII_BORDER = re.compile(r"\|[ \t]{0,256}\r?\n[ \t]{0,64}\|")
_MAY_GO_ON = re.compile(r"\n[ \t]*b['\"]")
_MAY_BE_BYTE = re.compile(r"0[xX][0-9a-fA-F]{1,2}(?![0-9a-zA-Z])")
_MAY_BE_DUMP = re.compile(r"0000[0-9a-fA-F]{2,4}:? {1,2}[0-9a-fA-F]{2}")

# pygments: what LaTeX would take for a command; commands around each token.
_PYGMENTS = re.compile(r"\\PYZ([a-z]{2})\{\}|\\PY\{[^{}]{0,64}\}\{|\}")
_LATEX = {
    "bs": "\\",
    "us": "_",
    "ob": "{",
    "cb": "}",
    "ca": "^",
    "am": "&",
    "lt": "<",
    "gt": ">",
    "sh": "#",
    "pc": "%",
    "dl": "$",
    "hy": "-",
    "sq": "'",
    "dq": '"',
    "ti": "~",
}

# xxd; hexdump -C and od -t x1
_DUMP = re.compile(
    r"([0-9a-fA-F]{8}): ((?:[0-9a-fA-F]{2,32} ){0,31}[0-9a-fA-F]{2,32})"
    r"|([0-9a-fA-F]{6,8}) {1,2}((?:[0-9a-fA-F]{2} {1,2}){0,31}[0-9a-fA-F]{2})(?![0-9a-fA-F])"
)
_UNIT = r"(?:\\+[^\n]|&[#\w]{1,8};|[^\n])"
_OCTAL = re.compile(r"[0-7]+")
_BETWEEN = 512
# What is a field by what stands around it is one in the text as it is written.
_FIELD = "whole field"


class _Part(NamedTuple):
    """A part of what is shown, and where it is written.

    Attributes
    ----------
    shown, size : int
        Where it is shown, and how long.
    start, end : int
        Where it is written.
    is_markup : bool
        Tags stay when what is around them is masked, so that each is closed.
    """

    shown: int
    size: int
    start: int
    end: int
    is_markup: bool


def may_hide(text: str) -> bool:
    """Tell whether a text holds what `look` looks behind.

    Parameters
    ----------
    text : str
    """
    return _may_be_tags(text) or _may_be_more(text) or "\\PY" in text or _may_be_dump(text)


def look(index: Index, text: str) -> tuple[str, list[Range]]:
    """Mask what a text holds where it is shown.

    Parameters
    ----------
    index : Index
    text : str

    Returns
    -------
    (str, list of Range)
        The text, and what was found, by places in one of the ways to read it.

    Raises
    ------
    WorkLimitError
    """
    found: list[Range] = []
    if _may_be_dump(text):
        edits = list(_dumps(index, text))
        text = _edited(text, edits)
        found += edits
    if _may_be_more(text):
        text = _without(index, text, _MARKUP, found)
    elif _may_be_tags(text) and not index.is_quiet(_TAGS.sub("", text)):
        text = _without(index, text, _TAGS, found)
    if "\\PY" in text:
        text = _without(index, text, _PYGMENTS, found)
    return text, found


def _may_be_tags(text: str) -> bool:
    return "<" in text and _MAY_BE_TAG.search(text) is not None


def _may_be_more(text: str) -> bool:
    border = _MAY_BE_ASCII_BORDER if text.isascii() else _MAY_BE_BORDER
    return ("\n" in text and (border.search(text) or _MAY_GO_ON.search(text)) is not None) or (
        ("0x" in text or "0X" in text) and _MAY_BE_BYTE.search(text) is not None
    )


def _may_be_dump(text: str) -> bool:
    # The offset of what is smaller than 64 KiB begins so, and the first of every other dump.
    return "0000" in text and _MAY_BE_DUMP.search(text) is not None


def _without(index: Index, text: str, pattern: re.Pattern[str], found: list[Range]) -> str:
    pieces, parts = _parts(text, pattern)
    shown = "".join(pieces)
    if index.is_quiet(shown):
        return text
    ranges = [one for one in scan(index, shown, final=False).ranges if one.rule != _FIELD]
    found += ranges
    return _edited(text, list(_written(ranges, parts)))


def _parts(text: str, pattern: re.Pattern[str]) -> tuple[list[str], list[_Part]]:
    """Give what is shown, and each part of it."""
    pieces: list[str] = []
    parts: list[_Part] = []
    shown = position = 0
    for match in pattern.finditer(text):
        start, end = match.span()
        for piece, first, last, is_markup in (
            (text[position:start], position, start, False),
            (_meaning(match), start, end, match[0].startswith(("<", "\\PY{", "}"))),
        ):
            pieces.append(piece)
            parts.append(_Part(shown, len(piece), first, last, is_markup))
            shown += len(piece)
        position = end
    pieces.append(text[position:])
    parts.append(_Part(shown, len(text) - position, position, len(text), is_markup=False))
    return pieces, parts


def _meaning(match: re.Match[str]) -> str:
    if match.lastindex:
        return _LATEX.get(match[1], "?")
    if match[0] in ("0x", "0X"):
        return "" if match.string[match.end() + 1 : match.end() + 2].isalnum() else "0"
    is_apart = match[0][:1] == "<" and not _INLINE_TAG.match(match[0])
    return "\n" if is_apart else ""


def _written(ranges: list[Range], parts: list[_Part]) -> Iterator[Range]:
    """Give the places in the text to be masked: the first of each range has its label."""
    at = 0
    for one in ranges:
        label = one.label
        while at and parts[at].shown > one.start:
            at -= 1
        while at < len(parts) and parts[at].shown < one.end:
            part = parts[at]
            first = max(one.start, part.shown)
            last = min(one.end, part.shown + part.size)
            dropped = not part.size and one.start < part.shown
            if (first < last or dropped) and not part.is_markup:
                whole = part.end - part.start != part.size
                start = part.start if whole else part.start + first - part.shown
                end = part.end if whole else part.start + last - part.shown
                yield Range(start, end, label, one.rule)
                label = ""
            at += 1
        at -= 1


def _edited(text: str, edits: list[Range]) -> str:
    pieces: list[str] = []
    position = 0
    for start, end, label, _ in edits:
        if start < position:
            continue
        pieces += (text[position:start], marker(label) if label else "")
        position = end
    pieces.append(text[position:])
    return "".join(pieces)


# ── dumps ────────────────────────────────────────────────────────────────────


def _dumps(index: Index, text: str) -> Iterator[Range]:
    """Give the dumps, with what is shown beside their digits, that hold a value."""
    lines: list[re.Match[str]] = []
    data = bytearray()
    for match in _DUMP.finditer(text):
        if lines and not _follows(lines[-1], match):
            yield from _dump(index, text, lines, data)
            lines, data = [], bytearray()
        lines.append(match)
        data += _bytes(match)
    if lines:
        yield from _dump(index, text, lines, data)


def _dump(index: Index, text: str, lines: list[re.Match[str]], data: bytearray) -> Iterator[Range]:
    content = data.decode("utf-8", "surrogateescape")
    if index.is_quiet(content):
        return
    ranges = scan(index, content).ranges
    if ranges:
        last = lines[-1]
        # The characters of the last line: as many as its bytes, each perhaps escaped.
        beside = re.compile(rf"(?: {{2,}}[|>]?{_UNIT}{{0,{len(_bytes(last))}}}[|<]?)?")
        end = beside.match(text, last.end())
        stop = last.end() if end is None else end.end()
        yield Range(lines[0].start(), stop, ranges[0].label, ranges[0].rule)


def _follows(before: re.Match[str], match: re.Match[str]) -> bool:
    if match.start() - before.end() > _BETWEEN:
        return False
    first, second = before[1] or before[3], match[1] or match[3]
    size = len(_bytes(before))
    return any(
        int(second, base) - int(first, base) == size
        for base in (16, 8)
        if base == 16 or _OCTAL.fullmatch(first + second)
    )


def _bytes(match: re.Match[str]) -> bytes:
    digits = (match[2] or match[4]).replace(" ", "")
    return bytes.fromhex(digits[: len(digits) // 2 * 2])
