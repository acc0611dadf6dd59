"""``jupyter kfsecrets doctor``: why a credential does not reach notebooks, for administrators."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .verb import Verb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .flags import Flag, Words

__all__ = ["register"]

_DESCRIPTION = """\
Look at what has to be right before a PodDefault reaches a notebook: the CRD, the webhook and its
configuration, the label of the tenant's namespace, and the rights of whoever asks. Each thing
that is not as it should be comes with what mends it.
"""

_EPILOG = """\
examples:
  jupyter kfsecrets doctor                the cluster, and all tenants
  jupyter kfsecrets doctor -n alice       and one of them
  jupyter kfsecrets doctor -o json | jq '.checks[] | select(.state == "failed")'

"unknown" is what may not be looked at. -o json and -o yaml are the same document, and stable.
Exit status: 0 nothing failed, 1 something failed, 2 usage.
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
                Flag(
                    "namespace", "text", "this tenant; default is all that can be found", "NS", "n"
                ),
                output_flag("json", "yaml"),
            ],
        ),
        cluster_flags(),
    ]


def _run(words: Words) -> int:
    from .flags import BadUsage
    from .options import check_cluster, output
    from .sources import text
    from .tenancy import connected

    check_cluster(words)
    form = output(words, "json", "yaml")
    if words.before:
        raise BadUsage("there are no arguments; a tenant is named with -n NS")
    namespace = words.text("namespace")
    if namespace == "":
        raise BadUsage("-n/--namespace is empty")
    if len(words.texts("namespace")) > 1 or (namespace is not None and "," in namespace):
        raise BadUsage("one tenant at a time is looked at")
    from kfsecrets_ext.admin.diagnosis import diagnose

    with connected(words) as cluster:
        result = diagnose(cluster, None if namespace is None else text(namespace))
    if form is not None:
        from .writing import dump

        dump(result.to_json(), form)
    else:
        from .checks import show_checks

        show_checks(result, stream=sys.stdout)
    return 1 if result.failed else 0


_VERB = Verb(
    name="doctor",
    summary="why a credential does not reach notebooks",
    usage="[-n NS] [-o FORMAT] [option ...]",
    description=_DESCRIPTION,
    epilog=_EPILOG,
    flags=_flags,
    run=_run,
)
