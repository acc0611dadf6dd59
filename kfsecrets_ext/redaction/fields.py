"""Values of two to four bytes: masked as a whole line, a whole string, a named value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

__all__ = ["LONGEST_LINE", "find_fields"]

LONGEST_LINE = 64
"""A line is looked at as a whole up to here, its indent and quotes included."""

_LINE = re.compile(r"^[ \t]{0,48}(['\"]?)(\S(?:.{0,3}\S)?)\1[ \t\r]{0,8}$", re.MULTILINE)
_STRING = re.compile(r"(?=(\\{0,7}['\"])([^\n]{1,4}?)\1)")
_NAMED = re.compile(
    r"([\w.\-]{1,253})\\{0,7}['\"]?[ \t]{0,8}(?:=|:|=>)[ \t]{0,8}\\{0,7}['\"]?"
    r"([^\s'\"\\,;]{1,4})(?![^\s'\"\\,;})\]])"
)


def find_fields(
    text: str, fields: Mapping[bytes, AbstractSet[str]], before: str, after: str
) -> Iterator[tuple[int, int, str]]:
    """Yield where a value is a whole field.

    Parameters
    ----------
    text : str
    fields : mapping of bytes to set of str
        Values, and the labels of each. The last part of a label is the key's name.
    before : str
        What stood before the text.
    after : str
        What comes after it, where that is no end of a line.

    Yields
    ------
    (int, int, str)
        Start, end and label.
    """
    context = before[-4 * LONGEST_LINE :]
    whole = context + text + after
    first, last = len(context), len(context) + len(text)
    for pattern in (_LINE, _STRING, _NAMED):
        for match in pattern.finditer(whole):
            start, end = match.span(2)
            labels = fields.get(_bytes(match[2]))
            if not labels or start < first or end > last:
                continue
            if pattern is _NAMED:
                name = match[1].lower()
                labels = {label for label in labels if name.endswith(_key(label))}
            if labels:
                yield start - first, end - first, min(labels)


def _key(label: str) -> str:
    return label.rpartition("/")[2].lower()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
