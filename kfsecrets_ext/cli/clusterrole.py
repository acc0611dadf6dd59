"""``jupyter kfsecrets clusterrole``: the rights that an administrator needs, and no more."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .verb import Verb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .flags import Flag, Words

__all__ = ["register"]

_DESCRIPTION = """\
Write the ClusterRole with the rights that these commands need, each with its reason, and no more.
Nothing is applied, and no cluster is asked.
"""

_EPILOG = """\
examples:
  jupyter kfsecrets clusterrole | kubectl auth reconcile -f -
  jupyter kfsecrets clusterrole tenants diff verify --name kfsecrets-auditor
  kubectl create clusterrolebinding kfsecrets-admin --clusterrole=kfsecrets-admin --user=you

Exit status: 0 done, 1 something failed, 2 usage.
"""


def register(commands: Any) -> None:
    """Add the command to the command line."""
    _VERB.register(commands)


def _flags() -> Sequence[tuple[str, Sequence[Flag]]]:
    from .flags import Flag
    from .options import output_flag

    return [
        (
            "",
            [
                Flag("name", "text", "of the ClusterRole; default is kfsecrets-admin", "NAME"),
                output_flag("yaml", "json"),
            ],
        )
    ]


def _run(words: Words) -> int:
    from .flags import BadUsage
    from .options import output
    from .sources import text

    form = output(words, "yaml", "json")
    name = words.text("name")
    if name == "":
        raise BadUsage("--name is empty")
    from kfsecrets_ext.admin.clusterrole import (
        ALIASES,
        ROLE_NAME,
        VERBS,
        cluster_role,
        cluster_role_yaml,
    )

    verbs = tuple(map(text, words.before)) or VERBS
    if not set(verbs) <= {*VERBS, *ALIASES}:
        known = [*VERBS, *ALIASES]
        raise BadUsage("a VERB is " + ", ".join(known[:-1]) + f" or {known[-1]}")
    called = ROLE_NAME if name is None else text(name)
    if form == "json":
        from .writing import dump

        dump(cluster_role(verbs, name=called), form)
    else:
        sys.stdout.write(cluster_role_yaml(verbs, name=called))
    return 0


_VERB = Verb(
    name="clusterrole",
    summary="the rights that an administrator needs, as a manifest",
    usage="[VERB ...] [--name NAME] [-o FORMAT]",
    description=_DESCRIPTION,
    epilog=_EPILOG,
    flags=_flags,
    run=_run,
    arguments=[("VERB", "what is done with it: tenants, diff, apply, rotate …; default is all")],
)
