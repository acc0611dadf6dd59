"""The inventory as a table, in text and in HTML: names, keys, source, state; never values."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import Any, overload

from . import inventory
from .inventory import Inventory, Secret

__all__ = ["COLUMNS", "SecretTable", "list_secrets"]

COLUMNS = ("NAME", "KEYS", "SOURCE", "STATE")

_KEYS_SHOWN = 8
_CELL = "text-align: left; vertical-align: top; overflow-wrap: anywhere"
_NOTHING = "No secrets are mounted here. Looked in: {roots}."


def list_secrets() -> SecretTable:
    """List the Secrets in this pod.

    Returns
    -------
    SecretTable
        A sequence of `kfsecrets_ext.inventory.Secret` that displays as a table.

    Examples
    --------
    >>> list_secrets()  # doctest: +SKIP
    NAME         KEYS  SOURCE                                      STATE
    test-secret  foo   /secret/test-secret, PodDefault test-secret ready
    """
    return SecretTable(inventory.collect())


class SecretTable(Sequence[Secret]):
    """Secrets that display as a table.

    Attributes
    ----------
    inventory : Inventory
        What is shown.
    """

    def __init__(self, inventory: Inventory):
        self.inventory = inventory

    @overload
    def __getitem__(self, index: int) -> Secret: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Secret]: ...
    def __getitem__(self, index: int | slice) -> Secret | Sequence[Secret]:
        return self.inventory.secrets[index]

    def __len__(self) -> int:
        return len(self.inventory.secrets)

    def __iter__(self) -> Iterator[Secret]:
        return iter(self.inventory.secrets)

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Return the table's rows, as text, one a Secret."""
        return [_row(secret) for secret in self]

    def __repr__(self) -> str:
        if not self:
            return self._nothing()
        rows = [COLUMNS, *((*map(_line, row),) for row in self.rows())]
        widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        notes = self._notes()
        return "\n".join([*lines, *([""] if notes else []), *notes])

    def _repr_html_(self) -> str:
        if not self:
            return f"<p>{html.escape(self._nothing())}</p>"
        head = "".join(f'<th style="{_CELL}">{column.capitalize()}</th>' for column in COLUMNS)
        body = "".join(
            "<tr>"
            + "".join(f'<td style="{_CELL}">{html.escape(cell)}</td>' for cell in row)
            + "</tr>"
            for row in self.rows()
        )
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self._notes())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(repr(self))

    def _nothing(self) -> str:
        roots = ", ".join(self.inventory.roots) or "no directory"
        return "\n".join([_NOTHING.format(roots=roots), *self._notes()])

    def _notes(self) -> list[str]:
        reasons = [f"{secret.name}: {secret.reason}" for secret in self if secret.reason]
        return [*map(_line, reasons), *(f"Note: {note}" for note in self.inventory.notes)]


def _row(secret: Secret) -> tuple[str, str, str, str]:
    names = [key.name for key in secret.keys]
    keys = ", ".join(names[:_KEYS_SHOWN])
    if len(names) > _KEYS_SHOWN:
        keys += f" and {len(names) - _KEYS_SHOWN} more"
    source = ", ".join(_source(secret))
    return secret.name, keys, source, secret.state


def _source(secret: Secret) -> Iterator[str]:
    for mount in secret.mounts:
        if mount.path is None:
            variables = ", ".join(key.variable for key in secret.keys if key.variable)
            yield f"environment {variables}".strip()
        elif mount.kind == "subPath":
            yield f"{mount.path} (subPath)"
        else:
            yield mount.path
    if secret.poddefault is not None:
        yield f"PodDefault {secret.poddefault}"


def _line(cell: str) -> str:
    # A key may hold a line end; a table's cell may not.
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in cell
    )
