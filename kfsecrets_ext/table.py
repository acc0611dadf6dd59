"""What a notebook shows, in text and in HTML: names and states, never values.

`list_secrets` for a tenant; for an administrator `show`, which makes a table of a plan, a report,
checks or tenants, and `Progress`, a bar.
"""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, overload

from . import inventory
from .inventory import Inventory, Secret

if TYPE_CHECKING:
    from kfsecrets_ext.admin import Change, Plan, Report, Rotation, Tenant
    from kfsecrets_ext.admin.result import Result

__all__ = ["COLUMNS", "Progress", "SecretTable", "Table", "kept", "list_secrets", "show", "some"]

COLUMNS = ("NAME", "KEYS", "SOURCE", "STATE")

_KEYS_SHOWN = 8
_SOME = 5
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
        return repr(self._table()) if self else self._nothing()

    def _repr_html_(self) -> str:
        return self._table()._repr_html_() if self else f"<p>{html.escape(self._nothing())}</p>"

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(repr(self))

    def _table(self) -> Table:
        return Table(COLUMNS, tuple(self.rows()), tuple(self._notes()))

    def _nothing(self) -> str:
        roots = ", ".join(self.inventory.roots) or "no directory"
        return "\n".join([_NOTHING.format(roots=roots), *self._notes()])

    def _notes(self) -> list[str]:
        reasons = [f"{secret.name}: {secret.reason}" for secret in self if secret.reason]
        return [*map(_line, reasons), *(f"Note: {note}" for note in self.inventory.notes)]


@dataclass(frozen=True)
class Table:
    """Rows that display as a table.

    Attributes
    ----------
    columns : tuple of str
    rows : tuple of tuple of str
    notes : tuple of str
        Sentences below.
    title : str
        A sentence above, or nothing.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    title: str = ""

    def __repr__(self) -> str:
        rows = [self.columns, *((*map(_line, row),) for row in self.rows)] if self.rows else []
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        notes = [*map(_line, self.notes)]
        above = [_line(self.title)] if self.title else []
        return "\n".join([*above, *lines, *([""] if notes and lines else []), *notes])

    def _repr_html_(self) -> str:
        above = f"<p>{html.escape(self.title)}</p>" if self.title else ""
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        if not self.rows:
            return above + notes
        head = "".join(
            f'<th style="{_CELL}">{html.escape(column.capitalize())}</th>'
            for column in self.columns
        )
        body = "".join(
            "<tr>"
            + "".join(f'<td style="{_CELL}">{html.escape(cell)}</td>' for cell in row)
            + "</tr>"
            for row in self.rows
        )
        return f"{above}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(repr(self))


def show(given: Plan | Report | Rotation | Result | Iterable[Tenant]) -> Table:
    """Make a table of what an administrator works with.

    Parameters
    ----------
    given : Plan, Report, Rotation, Result or iterable of Tenant
        Of `kfsecrets_ext.admin`.

    Returns
    -------
    Table
        What is the same for several tenants is one row.
    """
    from kfsecrets_ext.admin import Plan, Report, Rotation
    from kfsecrets_ext.admin.result import Result

    if isinstance(given, Plan):
        return _plan_table((given,))
    if isinstance(given, Rotation):
        return _plan_table(given.plans, kept(given))
    if isinstance(given, Report):
        return _report_table(given)
    if isinstance(given, Result):
        return _check_table(given)
    return _tenant_table(given)


def kept(rotation: Rotation) -> Iterator[str]:
    """Say who has no such grant, and which running notebooks keep the old value.

    Parameters
    ----------
    rotation : Rotation

    Yields
    ------
    str
    """
    lacking = rotation.without
    if lacking:
        has = "1 tenant has" if len(lacking) == 1 else f"{len(lacking)} tenants have"
        yield f"{has} no such grant, and nothing is rotated there: {some(lacking)}."
    if rotation.uses is None:
        yield "Pods may not be listed: who keeps the old value is not known."
    for use in rotation.uses or ():
        notebook = use.notebook or use.pod
        yield (
            f"{use.tenant}/{notebook} keeps the old value of {use.secret} until it is restarted: "
            f"{_HOW.get(use.how, use.how)}."
        )


def some(names: Sequence[str]) -> str:
    """Name the first five, and say how many more there are.

    Parameters
    ----------
    names : sequence of str

    Returns
    -------
    str
    """
    more = f" and {len(names) - _SOME} more" if len(names) > _SOME else ""
    return ", ".join(names[:_SOME]) + more


class Progress:
    """A bar that fills up while something is done, for the ``progress`` of an apply or a plan.

    Parameters
    ----------
    label : str
        What is being done.

    Examples
    --------
    >>> admin.apply(cluster, plan, progress=Progress("applying"))  # doctest: +SKIP
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._handle: Any = None
        self._shown = 0.0

    def __call__(self, done: int, total: int) -> None:
        """Show that so many of so many are done."""
        now = time.monotonic()
        if done < total and now - self._shown < _EVERY:
            return
        self._shown = now
        if "IPython" not in sys.modules:
            return  # there is no notebook to show it in
        display: Any = import_module("IPython.display")
        text = f"{self._label}: {done} of {total}"
        bar = f'<progress max="{max(total, 1)}" value="{done}"></progress> {html.escape(text)}'
        shown = {"text/plain": text, "text/html": bar}
        if self._handle is None:
            self._handle = display.display(shown, raw=True, display_id=True)
        else:
            self._handle.update(shown, raw=True)


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


# ── for administrators ───────────────────────────────────────────────────────

_EVERY = 0.1  # s
_TENANTS_SHOWN = 3
_HOW = {
    "volume": "it mounts the old Secret",
    "subPath": "it mounts a single file",
    "environment": "the value is in a variable",
    "image pull": "its image is pulled with it",
}


def _plan_table(plans: Sequence[Plan], notes: Iterable[str] = ()) -> Table:
    same: dict[tuple[str, str, str, str], list[str]] = {}
    for plan in plans:
        for change in plan:
            key = (change.kind, change.name, change.action, _what(change))
            same.setdefault(key, []).append(change.tenant)
    rows = tuple(
        (_several(tenants), kind, name, action, what)
        for (kind, name, action, what), tenants in same.items()
    )
    said: dict[str, list[str]] = {}
    for plan in plans:
        for tenant, finding in plan.findings:
            text = f"{finding.severity} {finding.code}: {finding.what}; fix: {finding.fix}"
            said.setdefault(text, []).append(tenant)
    forecast = [f"{_several(tenants)}: {text}" for text, tenants in said.items()]
    if plans and not rows:
        forecast.insert(0, "Nothing to do.")
    return Table(
        ("TENANTS", "KIND", "NAME", "ACTION", "WHAT"),
        rows,
        (*forecast, *notes),
        _title(plans),
    )


def _title(plans: Sequence[Plan]) -> str:
    if not plans:
        return "There is nothing to do."
    plan = plans[0]
    count = len({tenant.name for one in plans for tenant in one.tenants})
    tenants = "1 tenant" if count == 1 else f"{count} tenants"
    return f"Plan for {tenants} of {_asked(plan)}:"


def _asked(given: Plan | Result) -> str:
    """Name the cluster, and who asks, where more than the context tells."""
    words = [given.server]
    if given.context:
        words.append(f"context {given.context}")
    if given.who not in words:
        words.append(f"as {given.who}")
    return ", ".join(words)


def _what(change: Change) -> str:
    fields = ", ".join(f"{field.path} {field.change}" for field in change.fields)
    return "; ".join(filter(None, (fields, change.note)))


def _report_table(report: Report) -> Table:
    same: dict[tuple[str, str, str, str, str], list[str]] = {}
    for row in report.rows:
        key = (row.kind, row.name, row.action, row.outcome, row.error or "")
        same.setdefault(key, []).append(row.tenant)
    notes = []
    if report.dry_run:
        notes.append("A dry run: nothing was written.")
    if report.interrupted:
        notes.append(f"Interrupted: {len(report.tenants_left)} tenants are left.")
    rows = tuple((_several(tenants), *key) for key, tenants in same.items())
    return Table(
        ("TENANTS", "KIND", "NAME", "ACTION", "OUTCOME", "WHY"),
        rows,
        tuple(notes),
        "" if rows else "Nothing was to be done.",
    )


def _check_table(result: Result) -> Table:
    rows = tuple(
        (
            check.state,
            check.tenant or "-",
            check.grant or "-",
            f"{check.subject} {check.on}".strip(),
            check.what,
        )
        for check in result
    )
    fixes: dict[str, list[str]] = {}
    for check in result:
        if check.fix is not None:
            fixes.setdefault(check.fix, []).append(check.tenant or "")
    notes = [
        f"fix ({_several(names)}): {fix}" if any(names) else f"fix: {fix}"
        for fix, names in fixes.items()
    ]
    counts = ", ".join(f"{count} {state}" for state, count in result.counts.items() if count)
    checks = "1 check" if len(result) == 1 else f"{len(result)} checks"
    notes.append(f"{checks} of {_asked(result)}: {counts or 'none'}.")
    return Table(("STATE", "TENANT", "GRANT", "CHECK", "WHAT"), rows, tuple(notes))


def _tenant_table(tenants: Iterable[Tenant]) -> Table:
    found = list(tenants)
    reached = {True: "yes", False: "no", None: "unknown"}
    notes = [
        f"Namespace {one.name} has no label of a profile, so that no PodDefault reaches its pods. "
        f"This mends it: {one.fix}"
        for one in found
        if one.fix
    ]
    return Table(
        ("NAMESPACE", "OWNER", "PODDEFAULTS"),
        tuple((one.name, one.owner or "-", reached[one.injected]) for one in found),
        tuple(notes),
        "" if found else "There are no tenants.",
    )


def _several(names: Iterable[str]) -> str:
    found = list(dict.fromkeys(filter(None, names)))
    shown = ", ".join(found[:_TENANTS_SHOWN])
    more = len(found) - _TENANTS_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
