"""Text for a terminal: one line stays one line, whatever a name holds and the locale can show."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kfsecrets_ext.table import Table

__all__ = ["columns", "line", "write_table"]

_WIDTH = 100


def write_table(table: Table, *, stream: Any) -> None:
    """Write a table, its notes below.

    Parameters
    ----------
    table : Table
    stream : text file
    """
    if table.title:
        stream.write(f"{line(table.title)}\n")
    if table.rows:
        stream.writelines(f"{text}\n" for text in columns([table.columns, *table.rows]))
    for note in table.notes:
        for part in textwrap.wrap(
            line(note),
            _WIDTH,
            initial_indent="  ",
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        ):
            stream.write(f"{part}\n")
    stream.flush()


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
