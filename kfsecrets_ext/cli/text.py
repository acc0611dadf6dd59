"""Text for a terminal: one line stays one line, whatever a name holds and the locale can show."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["columns", "line"]


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out rows as kubectl does."""
    cells = [[line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def line(text: str) -> str:
    """Write what cannot be printed as escapes."""
    shown = "".join(
        one if one.isprintable() else one.encode("unicode_escape", "replace").decode()
        for one in text
    )
    encoding = sys.stdout.encoding or "utf-8"
    return shown.encode(encoding, "backslashreplace").decode(encoding)
