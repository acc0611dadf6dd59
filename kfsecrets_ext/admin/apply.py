"""Write what a plan says: several tenants at once, each in order, each object as it was seen."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from kfsecrets_ext.cluster import FIELD_MANAGER, LAST_APPLIED, PODDEFAULT, SECRET, Cluster
from kfsecrets_ext.errors import Conflict, Forbidden, Rejected, SecretError
from kfsecrets_ext.poddefaults import Finding

from .changes import Change, Plan
from .report import Outcome, Report, Row

__all__ = ["WouldNotStart", "apply"]


class WouldNotStart(SecretError):
    """Notebooks would not start with what a plan brings; nothing was written.

    Attributes
    ----------
    findings : tuple of Finding
        What stops them, and what mends it.
    """

    def __init__(self, findings: Iterable[Finding]):
        self.findings = tuple(findings)
        said = " ".join(map(str, self.findings[:_SHOWN]))
        more = len(self.findings) - _SHOWN
        super().__init__(
            f"Nothing was written: notebooks would not start. {said}"
            + (f" And {more} more." if more > 0 else "")
        )


_SHOWN = 5


def apply(
    cluster: Cluster,
    plan: Plan,
    *,
    dry_run: bool = False,
    ignore_findings: bool = False,
    progress: Callable[[int, int], None] | None = None,
    resume: Report | None = None,
) -> Report:
    """Do what a plan says.

    Parameters
    ----------
    cluster : Cluster
    plan : Plan
    dry_run : bool
        Send everything, and have the server store nothing.
    ignore_findings : bool
        Write though the plan has `errors`.
    progress : callable, optional
        Called in this thread with the tenants that are done, and how many there are.
    resume : Report, optional
        Of an earlier apply. What was done by it of this very plan is not done again; of another
        plan, what is unchanged now and was done then is told as done.

    Returns
    -------
    Report
        Ctrl-C stops new work; what is under way ends, and the report says what was not started.

    Raises
    ------
    WouldNotStart
        The forecast has errors: nothing is sent.
    """
    if plan.errors and not ignore_findings:
        raise WouldNotStart(plan.errors)
    work = _Work(cluster, plan, dry_run, resume)
    return work.run(progress or (lambda _done, _total: None))


_LOOK = 0.2  # s


class _Work:
    """The tenants that are to be done, taken by several threads."""

    def __init__(self, cluster: Cluster, plan: Plan, dry_run: bool, resume: Report | None) -> None:
        self._cluster = cluster
        self._plan = plan
        self._dry_run = dry_run
        usable = resume is not None and resume.server == plan.server and not resume.dry_run
        earlier = resume.rows if resume is not None and usable else ()
        self._done = {(one.tenant, one.kind, one.name) for one in earlier if one.outcome == "done"}
        self._same = resume is not None and usable and resume.plan == plan.id
        groups = groupby(plan.changes, key=lambda one: one.tenant)
        self._tenants = [tuple(changes) for _, changes in groups]
        self._rows: list[tuple[Row, ...] | None] = [None] * len(self._tenants)
        self._next = iter(range(len(self._tenants)))
        self._finished = 0
        self._told = threading.Condition()
        self._stopped = False
        self._broken: BaseException | None = None

    def run(self, progress: Callable[[int, int], None]) -> Report:
        total = len(self._tenants)
        crew = [
            threading.Thread(target=self._take, name=f"kfsecrets-apply-{number}")
            for number in range(min(max(1, self._cluster.workers), total))
        ]
        interrupted = False
        try:
            for one in crew:
                one.start()
            told = 0
            while told < total and self._broken is None:
                with self._told:
                    # a wait without an end may not see a Ctrl-C that another thread was told of
                    if self._finished == told and self._broken is None:
                        self._told.wait(_LOOK)
                    done = self._finished
                if done > told:
                    told = done
                    progress(told, total)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            self._stopped = True
            for one in crew:
                if one.ident is not None:
                    one.join()
        if self._broken is not None:
            raise self._broken
        return self._report(interrupted)

    def _take(self) -> None:
        while True:
            with self._told:
                number = None if self._stopped else next(self._next, None)
            if number is None:
                return
            broken = None
            try:
                self._rows[number] = tuple(self._tenant(self._tenants[number]))
            except BaseException as error:  # noqa: BLE001  it is raised in the thread that waits
                broken = error
            with self._told:
                self._finished += 1
                self._broken = self._broken or broken
                self._stopped = self._stopped or broken is not None
                self._told.notify_all()

    def _report(self, interrupted: bool) -> Report:
        rows: list[Row] = []
        for changes, done in zip(self._tenants, self._rows, strict=True):
            rows.extend(
                [_row(one, "not-started", "interrupted before it.") for one in changes]
                if done is None
                else done
            )
        left = any(one is None for one in self._rows)
        return Report(
            tuple(rows), self._plan.id, self._plan.server, self._dry_run, interrupted and left
        )

    def _tenant(self, changes: Sequence[Change]) -> Iterator[Row]:
        failed: dict[str, str] = {}
        for change in changes:
            place = (change.tenant, change.kind, change.name)
            if place in self._done and (self._same or change.action == "unchanged"):
                yield _row(change, "done")
            elif change.action == "unchanged":
                yield _row(change, "unchanged")
            elif not change.writes:
                outcome: Outcome = "forbidden" if change.action == "forbidden" else "skipped"
                yield _row(change, outcome, change.note or None)
            elif change.grant in failed:
                yield _row(change, "not-started", failed[change.grant])
            else:
                row = self._object(change)
                if row.outcome != "done":
                    failed[change.grant] = f"{change.kind} {change.name} failed before it."
                yield row

    def _object(self, change: Change) -> Row:
        outcome: Outcome = "done"
        text = None
        try:
            self._write(change)
        except Conflict as error:
            outcome, text = "conflict", str(error)
        except Forbidden as error:
            outcome, text = "forbidden", str(error)
        except SecretError as error:
            outcome, text = "failed", str(error)
        return _row(change, outcome, text)

    def _write(self, change: Change) -> None:
        kind = SECRET if change.kind == "Secret" else PODDEFAULT
        # nothing is deleted before it is known what comes after it
        obj = None if change.action == "delete" else self._wanted(change)
        if change.action == "recreate" and obj is not None:
            self._try(obj)
        if change.action in ("delete", "recreate"):
            self._cluster.delete(
                kind,
                change.name,
                namespace=change.tenant,
                resource_version=change.resource_version,
                dry_run=self._dry_run,
            )
        if obj is None or (self._dry_run and change.action == "recreate"):
            return
        if change.by_post:
            self._cluster.create(obj, dry_run=self._dry_run)
            return
        version = change.resource_version if change.action == "change" else "1"
        obj["metadata"]["resourceVersion"] = version
        if change.strips:
            self._take_copy(obj)
        try:
            self._cluster.apply(obj, force=self._plan.adopt, dry_run=self._dry_run)
            return
        except Conflict as error:
            # kubernetes/kubernetes#107417: what was made by POST clashes with the same manager
            if not error.fields or set(error.managers) != {FIELD_MANAGER}:
                raise
        self._cluster.apply(obj, force=True, dry_run=self._dry_run)

    def _try(self, obj: dict[str, Any]) -> None:
        """Have the server look at an object that is to replace one, and store nothing."""
        try:
            self._cluster.create(obj, dry_run=True)
        except Conflict as error:
            # registry/store.go: it looks whether there is one after all else
            if error.reason != "AlreadyExists":
                raise
        except Rejected as error:
            # the old one takes the place of the new one
            if error.by != "quota":
                raise

    def _take_copy(self, obj: dict[str, Any]) -> None:
        """Become the owner of kubectl's copy, emptied: what applies without it takes it away."""
        metadata = obj["metadata"]
        annotations = {**(metadata.get("annotations") or {}), LAST_APPLIED: ""}
        stored = self._cluster.apply(
            {**obj, "metadata": {**metadata, "annotations": annotations}},
            force=True,
            dry_run=self._dry_run,
        )
        if not self._dry_run:
            metadata["resourceVersion"] = stored["metadata"]["resourceVersion"]

    def _wanted(self, change: Change) -> dict[str, Any]:
        """Write the object; it may have another name by now, where its source changed."""
        book = self._plan.book
        if book is None:
            raise SecretError("This plan has nothing to apply: it was made without grants.")
        tenant = book.tenants[change.tenant]
        objects = book.objects(book.number(change.tenant, change.grant), tenant)
        for one in objects:
            if (one["kind"], one["metadata"]["name"]) == (change.kind, change.name):
                return {**one, "metadata": dict(one["metadata"])}
        raise SecretError("The Secret that the grant takes its values from changed. Plan again.")


def _row(change: Change, outcome: Outcome, error: str | None = None) -> Row:
    return Row(change.tenant, change.kind, change.name, change.action, outcome, error)
