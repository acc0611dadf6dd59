"""``jupyter kfsecrets verify``: prove that grants arrive in notebooks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .verb import Verb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kfsecrets_ext.admin import Grant

    from .flags import Flag, Words

__all__ = ["register"]

_DESCRIPTION = """\
Prove that grants arrive: a pod with a tenant's labels goes through all of admission as a dry run,
so that nothing is made, and its mounts, variables and stamps are compared with what was meant.
Then notebooks that run are looked at: which are stale, and which to restart.
"""

_EPILOG = """\
examples:
  jupyter kfsecrets verify test-secret -n alice
  jupyter kfsecrets verify -f grants.yaml -A -o json | jq '.checks[] | select(.state != "ok")'

"unknown" is what could not be proved either way, with who refused: a quota, Pod Security, another
webhook, or a missing right. -o json and -o yaml are the same document, and stable.
Exit status: 0 all is proved, 1 something failed or is unknown, 2 usage.
"""


def register(commands: Any) -> None:
    """Add the command to the command line."""
    _VERB.register(commands)


def _flags() -> Sequence[tuple[str, Sequence[Flag]]]:
    from .options import cluster_flags, file_flags, output_flag, tenant_flags

    default = "Without any, those that the file names, else the namespace of the context"
    return [
        ("", [*file_flags("grants"), output_flag("json", "yaml")]),
        tenant_flags(default=default),
        cluster_flags(),
    ]


def _run(words: Words) -> int:
    from .flags import BadUsage
    from .options import check_cluster, check_tenants, output
    from .tenancy import connected, warn_of

    check_cluster(words)
    check_tenants(words)
    form = output(words, "json", "yaml")
    grants: list[Grant | str] = list(map(str, words.before))
    if words.texts("filename"):
        from .apply import grants_of

        if grants:
            raise BadUsage("give names, or grants with -f FILE")
        grants = [*grants_of(words)]
    if not grants or "" in grants:
        raise BadUsage("at least one NAME is required, or -f FILE")
    from kfsecrets_ext.admin.verify import verify

    from .progress import ProgressLine

    with connected(words) as cluster:
        tenants = _tenants(words, cluster, grants)
        done: list[str] = []
        with ProgressLine("verifying") as line:

            def progress(name: str) -> None:
                done.append(name)
                line(len(done), len(tenants))

            result = verify(cluster, grants, tenants, progress=progress)
    if form is not None:
        from .writing import dump

        dump(result.to_json(), form)
    else:
        from .checks import show_checks

        show_checks(result, stream=sys.stdout)
    sys.stdout.flush()
    warn_of(tenants)
    return 0 if result.state == "ok" else 1


def _tenants(words: Words, cluster: Any, grants: Sequence[Grant | str]) -> Any:
    from kfsecrets_ext.admin import tenants

    from .tenancy import chosen, chosen_or_all

    found = chosen_or_all(words, cluster)
    choices = [None if isinstance(grant, str) else grant.tenants for grant in grants]
    if found is not None or None in choices:
        return chosen(words, cluster) if found is None else found
    united = {
        tenant.name: tenant
        for choice in choices
        if choice is not None
        for tenant in tenants(
            cluster, names=choice.names, selector=choice.selector, everyone=choice.everyone
        )
    }
    return [united[name] for name in sorted(united)]


_VERB = Verb(
    name="verify",
    summary="prove that grants arrive in notebooks",
    usage="NAME ... | -f FILE [-n NS | -A | -l SELECTOR] [option ...]",
    description=_DESCRIPTION,
    epilog=_EPILOG,
    flags=_flags,
    run=_run,
    arguments=[("NAME", "of grants: the PodDefault's")],
)
