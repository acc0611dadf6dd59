"""A plan on a terminal, the question, the work and what came of it: for each verb that writes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kfsecrets_ext.admin import Plan, Report
    from kfsecrets_ext.cluster import Cluster

    from .flags import Words

__all__ = ["FORMS", "Outcome", "carry_out", "dump", "print_names", "show_plan", "write"]

FORMS = ("json", "yaml", "name")

_INTERRUPTED = 130
_DONE = {
    "create": "created",
    "change": "configured",
    "recreate": "recreated",
    "delete": "deleted",
    "unchanged": "unchanged",
    "unknown": "created",
}
_LEFT = {
    "foreign": "not ours, and left alone: --adopt takes it over",
    "forbidden": "may not be written",
    "invalid": "cannot be written",
    "unknown": "could not be read",
}


@dataclass(frozen=True)
class Outcome:
    """What came of a plan.

    Attributes
    ----------
    plan : Plan
    report : Report or None
        ``None`` where nothing was sent.
    status : int
        The exit status.
    """

    plan: Plan
    report: Report | None
    status: int


def write(words: Words, cluster: Cluster, plan: Plan, *, question: str = "Apply this?") -> int:
    """Carry a plan out, as the options say, and tell what came of it.

    Parameters
    ----------
    words : Words
    cluster : Cluster
    plan : Plan
    question : str
        What is asked at a terminal.

    Returns
    -------
    int
        The exit status.
    """
    outcome = carry_out(words, cluster, plan, question=question)
    form = words.text("output")
    if form is not None:
        _print(str(form), outcome)
    return outcome.status


def carry_out(
    words: Words,
    cluster: Cluster,
    plan: Plan,
    *,
    question: str = "Apply this?",
    stopped: str = "Nothing was written",
) -> Outcome:
    """Carry a plan out, and tell of it unless machines are to be told.

    Parameters
    ----------
    words : Words
    cluster : Cluster
    plan : Plan
    question : str
        What is asked at a terminal.
    stopped : str
        What is then true if it is not carried out: the beginning of a sentence.

    Returns
    -------
    Outcome
    """
    from .options import dry_run
    from .text import line

    mode, for_people = dry_run(words), words.text("output") is None
    blocked = bool(plan.errors) and not words.switch("ignore-findings")
    asks = mode == "none" and bool(plan.pending) and not words.switch("yes")
    if mode == "client":
        if for_people:
            show_plan(plan, stream=sys.stdout)
        return Outcome(plan, None, _status(plan, None))
    if for_people or blocked or (asks and sys.stderr.isatty()):
        show_plan(plan, stream=sys.stderr)
    if blocked:
        sys.stderr.write(
            f"{line(stopped)}: notebooks would not start. Mend what the forecast names, or "
            "say --ignore-findings.\n"
        )
        return Outcome(plan, None, 1)
    if asks:
        from .confirm import confirmed

        if not confirmed(question):
            sys.stderr.write(f"{line(stopped)}.\n")
            return Outcome(plan, None, 1)
    report = _apply(words, cluster, plan, dry_run=mode == "server")
    if for_people:
        _print_rows(report)
    saved = _save(words, report)
    if report.interrupted:
        sys.stderr.write(
            f"Interrupted: {len(report.tenants_left)} tenants are left; the same command goes on.\n"
        )
        return Outcome(plan, report, _INTERRUPTED)
    return Outcome(plan, report, _status(plan, report) if saved else 1)


def show_plan(plan: Plan, *, stream: Any) -> None:
    """Show a plan as a table: who gets what, and what the forecast says.

    Parameters
    ----------
    plan : Plan
    stream : text file
    """
    from kfsecrets_ext.table import show

    from .text import write_table

    write_table(show(plan), stream=stream)


def dump(document: Mapping[str, Any], form: str) -> None:
    """Write a document without values to standard output, as JSON or YAML."""
    if form == "json":
        import json

        json.dump(document, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        import yaml

        yaml.safe_dump(dict(document), sys.stdout, sort_keys=False, allow_unicode=True)


def print_names(plan: Plan) -> None:
    """Write the names of a plan's objects to standard output, as kubectl does."""
    from .text import line

    sys.stdout.writelines(line(_name(change.kind, change.name)) + "\n" for change in plan)


def _apply(words: Words, cluster: Cluster, plan: Plan, *, dry_run: bool) -> Report:
    from kfsecrets_ext.admin import Report, apply
    from kfsecrets_ext.admin.report import check_place

    from .progress import ProgressLine

    resumed, place = words.text("resume"), words.text("report")
    resume = None if resumed is None else Report.load(str(resumed))
    if place is not None:
        check_place(str(place))
    with ProgressLine("checking" if dry_run else "applying") as line:
        return apply(
            cluster,
            plan,
            dry_run=dry_run,
            ignore_findings=words.switch("ignore-findings"),
            progress=line,
            resume=resume,
        )


def _save(words: Words, report: Report) -> bool:
    """Save the report where it is asked for; what was done has to be told though it fails."""
    from .text import line

    place = words.text("report")
    if place is None:
        return True
    try:
        report.save(str(place))
    except OSError as error:
        why = error.strerror or "it cannot be written"
        sys.stderr.write(line(f"the report is not saved: {place}: {why}.") + "\n")
        return False
    return True


def _status(plan: Plan, report: Report | None) -> int:
    if report is None:
        return 1 if any(change.action in _LEFT for change in plan) or plan.errors else 0
    bad = (row.outcome not in ("done", "unchanged", "skipped") for row in report.rows)
    left = (row.outcome == "skipped" and row.action in _LEFT for row in report.rows)
    return 1 if any(bad) or any(left) else 0


def _print(form: str, outcome: Outcome) -> None:
    if form == "name":
        print_names(outcome.plan)
        return
    report = None if outcome.report is None else outcome.report.to_json()
    dump({"plan": outcome.plan.to_json(), "report": report}, form)


def _print_rows(report: Report) -> None:
    from .text import line

    end = " (server dry run)" if report.dry_run else ""
    for row in report.rows:
        name = f"{_name(row.kind, row.name)}"
        if row.outcome in ("done", "unchanged"):
            done = "unchanged" if row.outcome == "unchanged" else _DONE.get(row.action, "written")
            sys.stdout.write(line(f"{name} {done} in {row.tenant}{end}") + "\n")
        elif row.outcome == "skipped" and row.action not in _LEFT:
            sys.stdout.write(line(f"{name} kept in {row.tenant}{end}") + "\n")
        else:
            why = row.error or _LEFT.get(row.action, row.outcome)
            sys.stdout.flush()
            sys.stderr.write(line(f"{row.tenant}: {name}: {row.outcome}: {why}") + "\n")


def _name(kind: str, name: str) -> str:
    prefix = {"Secret": "secret", "PodDefault": "poddefault.kubeflow.org"}.get(kind, kind.lower())
    return f"{prefix}/{name}"
