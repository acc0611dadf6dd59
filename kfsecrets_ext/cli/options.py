"""Options that commands share, as kubectl spells them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .flags import Flag, Words

__all__ = [
    "DRY_RUN",
    "OUTPUTS",
    "add_cluster_options",
    "add_file_options",
    "check_cluster",
    "check_tenants",
    "check_write",
    "cluster_flags",
    "dry_run",
    "file_flags",
    "output",
    "output_flag",
    "tenant_flags",
    "write_flags",
]

DRY_RUN = ("none", "server", "client")
OUTPUTS = ("json", "yaml", "name")


def add_file_options(parser: argparse.ArgumentParser, meaning: str) -> None:
    """Add ``-f`` and ``-R``."""
    parser.add_argument(
        "-f",
        "--filename",
        action="append",
        default=[],
        metavar="FILE",
        help=f"{meaning}: YAML or JSON, several documents and Lists too; a directory stands for "
        "the .yaml, .yml and .json files in it, - for standard input. May be repeated",
    )
    parser.add_argument(
        "-R", "--recursive", action="store_true", help="descend into the directories of -f"
    )


def add_cluster_options(parser: argparse._ArgumentGroup) -> None:
    """Add ``--kubeconfig``, ``--context`` and ``--as``."""
    parser.add_argument("--kubeconfig", metavar="FILE", help="default is as kubectl's")
    parser.add_argument("--context", metavar="NAME", help="default is the current one")
    parser.add_argument("--as", dest="impersonate", metavar="USER", help="act as that user")


def cluster_flags() -> tuple[str, Sequence[Flag]]:
    """Give ``--kubeconfig``, ``--context`` and ``--as``."""
    from .flags import Flag

    return "the cluster", [
        Flag("kubeconfig", "text", "default is as kubectl's", "FILE"),
        Flag("context", "text", "default is the current one", "NAME"),
        Flag("as", "text", "act as that user", "USER"),
    ]


def tenant_flags(*, default: str) -> tuple[str, Sequence[Flag]]:
    """Give the options that choose tenants."""
    from .flags import Flag

    return "the tenants", [
        Flag(
            "namespace",
            "list",
            f"these; may be repeated, or several with commas. {default}",
            "NS",
            "n",
        ),
        Flag("all-tenants", "switch", "all profile namespaces", short="A"),
        Flag("selector", "text", "those with these labels, as key=value,…", "SELECTOR", "l"),
        Flag(
            "tenants-from",
            "text",
            "those that a file names, one a line; # starts a comment, - is standard input",
            "FILE",
        ),
    ]


def write_flags(*, resumes: bool = True, adopts: bool = True) -> tuple[str, Sequence[Flag]]:
    """Give the options of what writes to a cluster."""
    from .flags import Flag

    flags = [
        Flag(
            "dry-run",
            "joined",
            "none (default); server: the API server and its webhooks check each write and keep "
            "none; client: show the plan, and send no write",
            "none|server|client",
        ),
        Flag(
            "yes",
            "switch",
            "do not ask; without a terminal, and in a cell, nobody is asked",
            short="y",
        ),
        Flag(
            "ignore-findings",
            "switch",
            "write though the forecast says that notebooks would not start",
        ),
    ]
    if adopts:
        flags.append(Flag("adopt", "switch", "take over objects that are not ours"))
    if resumes:
        flags += [
            Flag("report", "text", "save what was done for whom, as JSON without values", "FILE"),
            Flag("resume", "text", "leave out what such a report says is done", "FILE"),
        ]
    return "writing", flags


def output_flag(*forms: str) -> Flag:
    """Give ``-o``."""
    from .flags import Flag

    shown = ", ".join(forms[:-1]) + f" or {forms[-1]}" if len(forms) > 1 else forms[0]
    return Flag("output", "text", f"{shown}: for machines, without values", "FORMAT", "o")


def file_flags(meaning: str) -> Sequence[Flag]:
    """Give ``-f`` and ``-R``."""
    from .flags import Flag

    return [
        Flag(
            "filename",
            "texts",
            f"{meaning}: YAML or JSON; a directory stands for the .yaml, .yml and .json files in "
            "it, - for standard input. May be repeated",
            "FILE",
            "f",
        ),
        Flag("recursive", "switch", "descend into the directories of -f", short="R"),
    ]


def check_cluster(words: Words) -> None:
    """Refuse options that are empty.

    Raises
    ------
    BadUsage
    """
    from .flags import BadUsage

    for name in ("kubeconfig", "context", "as", "selector", "tenants-from", "report", "resume"):
        if words.text(name) == "":
            raise BadUsage(f"--{name} is empty")


def check_tenants(words: Words) -> None:
    """Refuse more than one way to choose tenants.

    Raises
    ------
    BadUsage
    """
    from .flags import BadUsage

    given = [
        name
        for name in ("namespace", "all-tenants", "selector", "tenants-from")
        if (words.switch(name) if name == "all-tenants" else words.text(name) is not None)
    ]
    if len(given) > 1:
        raise BadUsage("choose the tenants one way: --" + " or --".join(given))
    names = words.texts("namespace")
    if "" in names or ("namespace" in words.given and not names):
        raise BadUsage("-n/--namespace is empty")


def check_write(words: Words) -> None:
    """Refuse options of writing that do not go together, and a report that is none.

    Raises
    ------
    BadUsage
    NotAReport
    """
    from .flags import BadUsage

    if dry_run(words) != "none":
        for name in ("report", "resume"):
            if words.text(name) is not None:
                raise BadUsage(f"--{name} is for what is written: not with --dry-run")
    resumed = words.text("resume")
    if resumed is not None:
        from kfsecrets_ext.admin import Report

        Report.load(str(resumed))  # before the tenants are looked at, which may take minutes


def dry_run(words: Words) -> str:
    """Give the mode.

    Raises
    ------
    BadUsage
        It is none of the three; a bare ``--dry-run`` is not, either.
    """
    from .flags import BadUsage

    given = words.text("dry-run")
    if given is None:
        return "none"
    if given not in DRY_RUN:
        raise BadUsage("--dry-run=none, --dry-run=server or --dry-run=client")
    return str(given)


def output(words: Words, *forms: str) -> str | None:
    """Give the form of the output.

    Raises
    ------
    BadUsage
    """
    from .flags import BadUsage

    given = words.text("output")
    if given is None:
        return None
    if given not in forms:
        raise BadUsage("-o/--output is " + " or ".join(forms))
    return str(given)
