"""``jupyter kfsecrets apply``: bring what files grant into tenants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .verb import Verb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kfsecrets_ext.admin import Grant, Plan
    from kfsecrets_ext.cluster import Cluster

    from .flags import Flag, Words

__all__ = ["grants_of", "make_plan", "register"]

_DESCRIPTION = """\
Bring grants into tenants: each a Secret, and the PodDefault that mounts it in the notebooks that
choose it. What is there already is left alone, what is not ours is not touched without --adopt,
and the plan says before anything is written who gets what, and what notebooks that start then
would meet. Killed at any point, the same command goes on.
"""

_EPILOG = """\
examples:
  jupyter kfsecrets diff -f grants.yaml
  jupyter kfsecrets apply -f grants.yaml                          for the tenants that it names
  jupyter kfsecrets apply -f grants.yaml -n alice --dry-run=server
  jupyter kfsecrets apply -f grants.yaml -A --report done.json    for all tenants
  jupyter kfsecrets apply -f grants.yaml -A --resume done.json    those that are left
  jupyter kfsecrets apply -f grants.yaml -A --prune          and delete what it has no longer

A file holds one grant a document (docs/grants.md has all of it):
  apiVersion: kfsecrets-ext/v1
  kind: Grant
  name: test-secret
  tenants: {names: [alice]}
  secret: {from: {namespace: platform, name: test-secret}}

Keep values in files that the grant names, or in a Secret that it copies. -o json, yaml and name
hold no value, and are stable.
Exit status: 0 done, 1 something failed, 2 usage, 130 interrupted.
"""


def register(commands: Any) -> None:
    """Add the command to the command line."""
    _VERB.register(commands)


def grants_of(words: Words) -> list[Grant]:
    """Read the grants that ``-f`` names.

    Parameters
    ----------
    words : Words

    Returns
    -------
    list of Grant

    Raises
    ------
    BadUsage
        There is no file, or an empty name.
    GrantFileError
        A file cannot be read as grants, or there is no grant in any of them.
    """
    import os

    from kfsecrets_ext.admin import load_grants
    from kfsecrets_ext.admin.grants import GrantFileError

    from .flags import BadUsage

    places = [str(place) for place in words.texts("filename")]
    if not places or "" in places:
        raise BadUsage("give the grants with -f FILE")
    if places.count("-") > 1:
        raise BadUsage("standard input can be read once")
    files: list[str] = []
    for place in places:
        if place != "-" and os.path.isdir(place):
            found = list(_inside(place, words.switch("recursive")))
            if not found:
                raise BadUsage("a directory of -f has no .yaml, .yml or .json file")
            files += found
        else:
            files.append(place)
    grants = [grant for file in files for grant in load_grants(file)]
    if not grants:
        # As kubectl: what wrote them may have failed, and --prune would take everything away.
        raise GrantFileError("there is no grant in what -f names.")
    return grants


def make_plan(words: Words, cluster: Cluster, grants: Sequence[Grant]) -> Plan:
    """Compare grants with the tenants that the options choose, else with those that they name.

    Parameters
    ----------
    words : Words
    cluster : Cluster
    grants : sequence of Grant

    Returns
    -------
    Plan

    Raises
    ------
    BadUsage
        Nothing says for which tenants a grant is, or in which ones to prune.
    """
    from kfsecrets_ext.admin import plan

    from .flags import BadUsage
    from .progress import ProgressLine
    from .tenancy import chosen, chosen_or_all, for_somebody, warn_of

    tenants = chosen_or_all(words, cluster)
    if tenants is None and words.switch("prune") and any(one.tenants is None for one in grants):
        # The whole cluster is pruned only by files that say of all grants for whom they are.
        if any(one.tenants is not None for one in grants):
            raise BadUsage(
                "with --prune either all grants of the files say for which tenants they are, or "
                "none does; else name the tenants with -n, -A, -l or --tenants-from"
            )
        tenants = chosen(words, cluster)
    elif tenants is None:
        grants = [for_somebody(grant, cluster) for grant in grants]
    with ProgressLine("planning") as line:
        made = plan(
            cluster,
            grants,
            tenants,
            adopt=words.switch("adopt"),
            prune=words.switch("prune"),
            progress=line,
        )
    warn_of(made.tenants)
    return made


def _inside(directory: str, recursive: bool) -> Sequence[str]:
    import os

    from kfsecrets_ext.admin.grants import GrantFileError

    def refuse(error: OSError) -> None:
        # What is in there may be what --prune would take away.
        raise GrantFileError(f"{error.strerror}.", file=str(error.filename))

    found: list[str] = []
    for place, below, files in os.walk(directory, onerror=refuse):
        if not recursive:
            below.clear()
        found += [
            os.path.join(place, file) for file in files if file.endswith((".yaml", ".yml", ".json"))
        ]
    return sorted(found)


def _flags() -> Sequence[tuple[str, Sequence[Flag]]]:
    from .flags import Flag
    from .options import cluster_flags, file_flags, output_flag, tenant_flags, write_flags
    from .writing import FORMS

    default = "Without any, those that the file names, else the namespace of the context"
    return [
        (
            "",
            [
                *file_flags("grants"),
                Flag(
                    "prune",
                    "switch",
                    "take away what is ours and not in the files: in these tenants, or in the "
                    "whole cluster where the files say for which tenants each grant is",
                ),
                output_flag(*FORMS),
            ],
        ),
        tenant_flags(default=default),
        write_flags(),
        cluster_flags(),
    ]


def _run(words: Words) -> int:
    from .flags import BadUsage
    from .options import check_cluster, check_tenants, check_write, output
    from .tenancy import connected
    from .writing import FORMS, write

    check_cluster(words)
    check_tenants(words)
    check_write(words)
    output(words, *FORMS)
    if words.before:
        raise BadUsage("the grants come with -f FILE")
    grants = grants_of(words)
    with connected(words) as cluster:
        return write(words, cluster, make_plan(words, cluster, grants))


_VERB = Verb(
    name="apply",
    summary="bring what files grant into tenants",
    usage="-f FILE [-n NS | -A | -l SELECTOR] [--dry-run=MODE] [option ...]",
    description=_DESCRIPTION,
    epilog=_EPILOG,
    flags=_flags,
    run=_run,
)
