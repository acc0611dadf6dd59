"""What an apply did, object by object, to be saved and taken up again; no value is in it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from kfsecrets_ext.errors import SecretError

__all__ = ["NotAReport", "Outcome", "Report", "Row", "check_place"]

Outcome = Literal["done", "unchanged", "skipped", "conflict", "forbidden", "failed", "not-started"]


class NotAReport(SecretError):
    """What was given is no report of this package."""


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one object.

    Attributes
    ----------
    tenant, kind, name, action : str
        As in the plan.
    outcome : str
        ``"done"``; ``"unchanged"``; ``"skipped"``: the plan says that it stays, or cannot be
        written; ``"conflict"``: somebody else changed it since the plan, or owns a field;
        ``"forbidden"``; ``"failed"``; ``"not-started"``.
    error : str or None
        Why; no value is in it.
    """

    tenant: str
    kind: str
    name: str
    action: str
    outcome: Outcome
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the fields."""
        return {
            "tenant": self.tenant,
            "kind": self.kind,
            "name": self.name,
            "action": self.action,
            "outcome": self.outcome,
            "error": self.error,
        }


@dataclass(frozen=True)
class Report:
    """What an apply did.

    Attributes
    ----------
    rows : tuple of Row
        In the order of the plan.
    plan : str
        The plan's `id`.
    server : str
    dry_run : bool
        Whether nothing was written.
    interrupted : bool
        Whether it was stopped before its end.
    """

    rows: tuple[Row, ...] = field(repr=False)
    plan: str
    server: str
    dry_run: bool = False
    interrupted: bool = False

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def counts(self) -> dict[str, int]:
        """How many objects by outcome."""
        return dict(sorted(Counter(one.outcome for one in self.rows).items()))

    @property
    def failed(self) -> tuple[Row, ...]:
        """What is not as it was granted."""
        return tuple(one for one in self.rows if one.outcome not in _FINE and _is_due(one))

    @property
    def ok(self) -> bool:
        """Whether all is as it was granted."""
        return not self.failed and not self.interrupted

    @property
    def tenants_left(self) -> tuple[str, ...]:
        """The tenants where something is not as it was granted."""
        return tuple(dict.fromkeys(one.tenant for one in self.failed))

    def to_json(self) -> dict[str, Any]:
        """Give the report as a JSON object.

        Returns
        -------
        dict
            ``version`` (1), ``plan``, ``server``, ``dryRun``, ``interrupted``, ``ok``, ``counts``
            by outcome, and ``rows`` (`Row.to_json`).
        """
        return {
            "version": 1,
            "plan": self.plan,
            "server": self.server,
            "dryRun": self.dry_run,
            "interrupted": self.interrupted,
            "ok": self.ok,
            "counts": self.counts,
            "rows": [one.to_json() for one in self.rows],
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Report:
        """Take what `to_json` gave.

        Raises
        ------
        NotAReport
        """
        report = None
        try:
            if given["version"] == 1:
                report = cls(
                    tuple(_row(one) for one in given["rows"]),
                    str(given["plan"]),
                    str(given["server"]),
                    bool(given["dryRun"]),
                    bool(given["interrupted"]),
                )
        except (KeyError, TypeError, ValueError):
            pass
        if report is None:
            raise NotAReport("This is no report of jupyter kfsecrets, or one of another version.")
        return report

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report to a file, which is whole or not there; to a pipe as it is."""
        text = json.dumps(self.to_json(), indent=1) + "\n"
        if _is_no_file(path):
            Path(path).write_text(text, encoding="utf-8")
            return
        descriptor, name = _beside(path)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(name, os.path.realpath(path))
        except BaseException:
            os.unlink(name)
            raise

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Report:
        """Read a report from a file.

        Raises
        ------
        NotAReport
        """
        given = None
        with contextlib.suppress(ValueError):
            given = json.loads(Path(path).read_text(encoding="utf-8"))
        return cls.from_json(given if isinstance(given, dict) else {})


def check_place(path: str | os.PathLike[str]) -> None:
    """Look whether a report can be saved there, before there is one.

    Raises
    ------
    OSError
    """
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not _is_no_file(path):
        descriptor, name = _beside(path)
        os.close(descriptor)
        os.unlink(name)
    elif not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))


def _is_no_file(path: str | os.PathLike[str]) -> bool:
    """Say whether a pipe or a device is there, which must not be replaced."""
    return os.path.exists(path) and not os.path.isfile(path)


def _beside(path: str | os.PathLike[str]) -> tuple[int, str]:
    """Open a file that can take the place of the one to which a path leads."""
    target = Path(os.path.realpath(path))
    try:
        return tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        error.filename = os.fspath(path)
        raise


_FINE = ("done", "unchanged")


def _is_due(row: Row) -> bool:
    # an object that is no longer granted may stay
    return not (row.outcome == "skipped" and row.action == "keep")


def _row(given: Mapping[str, Any]) -> Row:
    if given["outcome"] not in get_args(Outcome):
        raise ValueError
    error = given["error"]
    return Row(
        str(given["tenant"]),
        str(given["kind"]),
        str(given["name"]),
        str(given["action"]),
        given["outcome"],
        None if error is None else str(error),
    )
