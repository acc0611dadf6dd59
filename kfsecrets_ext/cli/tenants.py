"""``jupyter kfsecrets tenants``: whose namespaces there are, and waiting for one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .verb import Verb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .flags import Flag, Words

__all__ = ["register"]

_DESCRIPTION = """\
List the tenants: the namespaces that Kubeflow made for profiles, with their owners. A namespace
is there only after its owner logged in for the first time, and has the name that she chose.
"""

_EPILOG = """\
examples:
  jupyter kfsecrets tenants
  jupyter kfsecrets tenants alice bob
  jupyter kfsecrets tenants -l team=vision -o name
  jupyter kfsecrets tenants --wait carol && jupyter kfsecrets apply -f grants.yaml -n carol

A namespace whose pods the PodDefaults' webhook does not see is named on standard error, with the
command that mends it. -o json and -o yaml are the same document, and stable.
Exit status: 0 done, 1 something failed, 2 usage.
"""


def register(commands: Any) -> None:
    """Add the command to the command line."""
    _VERB.register(commands)


def _flags() -> Sequence[tuple[str, Sequence[Flag]]]:
    from .flags import Flag
    from .options import cluster_flags, output_flag

    return [
        (
            "",
            [
                Flag("selector", "text", "those with these labels", "SELECTOR", "l"),
                Flag("wait", "text", "wait until this one is there", "NAME"),
                Flag("timeout", "text", "how long to wait; default is for ever", "SECONDS"),
                output_flag("json", "yaml", "name"),
            ],
        ),
        cluster_flags(),
    ]


def _run(words: Words) -> int:
    from .flags import BadUsage
    from .options import check_cluster, output
    from .tenancy import connected, warn_of

    check_cluster(words)
    form = output(words, "json", "yaml", "name")
    names, selector, wait = words.before, words.text("selector"), words.text("wait")
    if wait == "" or (wait is not None and (names or selector)):
        raise BadUsage("--wait takes the name of one tenant, and goes with no other")
    if words.text("timeout") is not None and wait is None:
        raise BadUsage("--timeout goes with --wait")
    timeout = _seconds(words.text("timeout"))
    from kfsecrets_ext.admin import tenants, wait_for_tenant

    with connected(words) as cluster:
        if wait is not None:
            found = [wait_for_tenant(cluster, str(wait), timeout=timeout)]
        elif names or selector is not None:
            chosen = None if selector is None else str(selector)
            found = tenants(cluster, names=tuple(map(str, names)), selector=chosen)
        else:
            found = tenants(cluster, everyone=True)
        server, context = cluster.server, cluster.context
    if form == "name":
        sys.stdout.writelines(f"namespace/{tenant.name}\n" for tenant in found)
    elif form is not None:
        from .writing import dump

        listed = [tenant.to_json() for tenant in found]
        dump({"server": server, "context": context, "tenants": listed}, form)
    elif found:
        from dataclasses import replace

        from kfsecrets_ext.table import show

        from .text import write_table

        write_table(replace(show(found), notes=()), stream=sys.stdout)
    else:
        sys.stderr.write(f"There are no tenants on {server}.\n")
    sys.stdout.flush()
    warn_of(found)
    return 0


def _seconds(given: str | None) -> float | None:
    from .flags import BadUsage

    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise BadUsage("--timeout is a number of seconds")
    return seconds


_VERB = Verb(
    name="tenants",
    summary="whose namespaces there are, and waiting for one",
    usage="[NAME ...] [-l SELECTOR] [--wait NAME] [-o FORMAT] [option ...]",
    description=_DESCRIPTION,
    epilog=_EPILOG,
    flags=_flags,
    run=_run,
    arguments=[("NAME", "of namespaces; without any, all tenants")],
)
