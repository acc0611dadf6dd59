"""``jupyter kfsecrets diff``: what an apply would change."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .verb import Verb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .flags import Flag, Words

__all__ = ["register"]

_DESCRIPTION = """\
Compare grants with what tenants have, and say what an apply would do: of a Secret the names of
the keys that differ, never a value. Nothing is written.
"""

_EPILOG = """\
examples:
  jupyter kfsecrets diff -f grants.yaml
  jupyter kfsecrets diff -f grants.yaml -A --prune -o json

-o json and -o yaml are the same document, and stable.
Exit status: 0 nothing would change, 1 something would or something failed, 2 usage.
"""


def register(commands: Any) -> None:
    """Add the command to the command line."""
    _VERB.register(commands)


def _flags() -> Sequence[tuple[str, Sequence[Flag]]]:
    from .flags import Flag
    from .options import cluster_flags, file_flags, output_flag, tenant_flags

    default = "Without any, those that the file names, else the namespace of the context"
    return [
        (
            "",
            [
                *file_flags("grants"),
                Flag("prune", "switch", "as for apply"),
                Flag("adopt", "switch", "as for apply"),
                output_flag("json", "yaml"),
            ],
        ),
        tenant_flags(default=default),
        cluster_flags(),
    ]


def _run(words: Words) -> int:
    from .apply import grants_of, make_plan
    from .flags import BadUsage
    from .options import check_cluster, check_tenants, output
    from .tenancy import connected
    from .writing import dump, show_plan

    check_cluster(words)
    check_tenants(words)
    form = output(words, "json", "yaml")
    if words.before:
        raise BadUsage("the grants come with -f FILE")
    grants = grants_of(words)
    with connected(words) as cluster:
        plan = make_plan(words, cluster, grants)
    if form is not None:
        dump(plan.to_json(), form)
    else:
        show_plan(plan, stream=sys.stdout)
    return 1 if any(change.action not in ("unchanged", "keep") for change in plan) else 0


_VERB = Verb(
    name="diff",
    summary="what an apply would change",
    usage="-f FILE [-n NS | -A | -l SELECTOR] [-o FORMAT] [option ...]",
    description=_DESCRIPTION,
    epilog=_EPILOG,
    flags=_flags,
    run=_run,
)
