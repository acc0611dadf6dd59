"""``jupyter kfsecrets delete``: take grants away, the PodDefault first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .verb import Verb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .flags import Flag, Words

__all__ = ["register"]

_DESCRIPTION = """\
Take grants away from tenants: the PodDefault first, so that no notebook starts with a mount of
what is going, then the Secret. Only what is ours is deleted. Notebooks that run keep an optional
mount, which becomes empty.
"""

_EPILOG = """\
examples:
  jupyter kfsecrets delete test-secret -n alice
  jupyter kfsecrets delete test-secret docker-config -A --dry-run=client

-o json, yaml and name are stable.
Exit status: 0 done (also where there was nothing), 1 something failed, 2 usage, 130 interrupted.
"""


def register(commands: Any) -> None:
    """Add the command to the command line."""
    _VERB.register(commands)


def _flags() -> Sequence[tuple[str, Sequence[Flag]]]:
    from .options import cluster_flags, output_flag, tenant_flags, write_flags
    from .writing import FORMS

    return [
        ("", [output_flag(*FORMS)]),
        tenant_flags(default="Without any, the namespace of the context"),
        write_flags(adopts=False),
        cluster_flags(),
    ]


def _run(words: Words) -> int:
    from .options import check_cluster, check_tenants, check_write, dry_run, output
    from .tenancy import chosen, connected
    from .verb import several_names
    from .writing import FORMS, write

    names = several_names(words)
    check_cluster(words)
    check_tenants(words)
    check_write(words)
    dry_run(words)
    output(words, *FORMS)
    from kfsecrets_ext.admin import remove

    with connected(words) as cluster:
        plan = remove(cluster, names, chosen(words, cluster))
        return write(words, cluster, plan, question="Delete this?")


_VERB = Verb(
    name="delete",
    summary="take grants away from tenants",
    usage="NAME ... [-n NS | -A | -l SELECTOR] [--dry-run=MODE] [option ...]",
    description=_DESCRIPTION,
    epilog=_EPILOG,
    flags=_flags,
    run=_run,
    arguments=[("NAME", "of grants: the PodDefault's")],
)
