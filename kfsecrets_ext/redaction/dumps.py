"""Hexadecimal dumps with offsets: lines of ``xxd``, ``hexdump -C`` and ``od -t x1``."""

from __future__ import annotations

import re

from .views import Layer, replaced

__all__ = ["dump_begun", "hex_of_dump", "may_be_dump", "may_become_dump"]

# xxd: an offset and a colon, groups one space apart, the characters two spaces apart.
_XXD = rb"[0-9a-fA-F]{8}: ((?:[0-9a-fA-F]{2,32} )*[0-9a-fA-F]{2,32})(?: {2,}[^\n]{0,256}?)?"
# hexdump -C, od -A x -t x1z: the characters between bars.
_BARS = rb"[0-9a-fA-F]{6,8} {1,2}((?:[0-9a-fA-F]{2} {1,2}){0,63}[0-9a-fA-F]{2}) *[|>][^\n]{0,64}?"
# od -t x1: an octal offset, no characters.
_OD = rb"[0-7]{7} ((?:[0-9a-fA-F]{2} ){0,63}[0-9a-fA-F]{2})"

_LINE = rb"(?:" + _XXD + rb"|" + _BARS + rb"|" + _OD + rb")\r?$"
_AT_START = re.compile(rb"(?:\A|(?<=\n))" + _LINE + rb"|[^\n]+", re.MULTILINE)
_INSIDE = re.compile(rb"(?<=\n)" + _LINE + rb"|[^\n]+", re.MULTILINE)
_ONLY_AT_START = re.compile(rb"(?:\A|(?<=\n))" + _LINE, re.MULTILINE)
_ONLY_INSIDE = re.compile(rb"(?<=\n)" + _LINE, re.MULTILINE)
_BEGUN = re.compile(
    rb"[0-9a-fA-F]{0,8}\Z"
    rb"|[0-9a-fA-F]{8}: ?(?:\Z|(?:[0-9a-fA-F]{2,32} )*(?:[0-9a-fA-F]{0,32}\Z| [^\n]*\Z))"
    rb"|[0-9a-fA-F]{6,8} {1,2}(?:[0-9a-fA-F]{2} {1,2}){0,64}"
    rb"(?:[0-9a-fA-F]{0,2}\r?\Z| *(?:\Z|[|>][^\n]*\Z))"
)
_OFFSET = re.compile(rb"^[0-9a-fA-F]{6,8}(?::|  ?)[ ]?[0-9a-fA-F]{2}", re.MULTILINE)
_LONGEST_LINE = 512
(_LINE_END,) = b"\n"
_ZEROS = b"000"


def may_be_dump(data: bytes) -> bool:
    """Tell whether there is something that looks like a line of a dump."""
    return _has_zeros(data) and _OFFSET.search(data) is not None


def hex_of_dump(data: bytes, *, at_start: bool) -> tuple[Layer, Layer] | None:
    """Make lines of dumps what they are the dump of, in hexadecimal.

    Parameters
    ----------
    data : bytes
    at_start : bool
        Whether a line begins where the data does.

    Returns
    -------
    (Layer, Layer) or None
        The dumps alone, each other line a full stop; and the dumps with the other lines as they
        are. None where there are no dumps.
    """
    whole = replaced(_ONLY_AT_START if at_start else _ONLY_INSIDE, data)
    alone = replaced(_AT_START if at_start else _INSIDE, data)
    return None if whole is None or alone is None else (alone, whole)


def dump_begun(data: bytes, *, at_start: bool) -> int:
    """Return where a line begins that may become one of a dump, else the length."""
    size = len(data)
    line = data.rfind(b"\n", max(0, size - _LONGEST_LINE)) + 1
    if line == size or (not line and (size > _LONGEST_LINE or not at_start)):
        return size
    if not _ZEROS.startswith(data[line : line + 3]) and not _has_zeros(data):
        return size
    return line if _BEGUN.match(data, line) else size


def may_become_dump(text: str) -> bool:
    """Tell, of a text that holds no dump, whether its last line may become one."""
    line = text[text.rfind("\n") + 1 :].encode("ascii", "replace")
    zeros = _ZEROS.startswith(line[:3]) or text.startswith("000") or "\n000" in text
    return bool(line) and zeros and _BEGUN.match(line) is not None


def _has_zeros(data: bytes) -> bool:
    # The offsets of what is smaller than a mebibyte begin so; a line end is looked for as a number,
    # which is far quicker.
    return data.startswith(_ZEROS) or (_LINE_END in data and b"\n000" in data)
