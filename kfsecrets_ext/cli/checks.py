"""Checks on a terminal: what was looked at, what was found, and what mends it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kfsecrets_ext.admin.result import Result

__all__ = ["show_checks"]

_MANY = 100


def show_checks(result: Result, *, stream: Any, quiet: bool = False) -> None:
    """Show checks as a table, and below it what mends those that failed.

    Parameters
    ----------
    result : Result
    stream : text file
    quiet : bool
        Whether to leave out what is as it should be; where there is much, it is left out anyway.
    """
    from kfsecrets_ext.table import show

    from .text import write_table

    table = show(result)
    if quiet or len(result) > _MANY:
        table = replace(table, rows=tuple(row for row in table.rows if row[0] != "ok"))
    write_table(table, stream=stream)
