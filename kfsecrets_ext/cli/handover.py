"""``jupyter kfsecrets handover``: manifests for a controller that keeps future tenants in step."""

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
Write the manifests that let a controller bring a grant into the tenants of today and tomorrow:
Kyverno, External Secrets, Reflector or replicator. They copy from one namespace, and hold no
value. What a controller does not do is written at the top. Nothing is applied.
"""

_EPILOG = """\
examples:
  jupyter kfsecrets handover test-secret --to kyverno -f grants.yaml > policy.yaml
  jupyter kfsecrets handover test-secret --to external-secrets --source-namespace platform
  jupyter kfsecrets handover db --to kyverno --legacy --secret db-credentials

Without -f the grant is NAME with the Secret of that name, mounted at /secret/NAME.
-o json holds the same; both are stable.
Exit status: 0 done, 1 something failed, 2 usage.
"""


def register(commands: Any) -> None:
    """Add the command to the command line."""
    _VERB.register(commands)


def _flags() -> Sequence[tuple[str, Sequence[Flag]]]:
    from .flags import Flag
    from .options import file_flags, output_flag

    return [
        (
            "",
            [
                Flag(
                    "to", "text", "kyverno, external-secrets, reflector or replicator", "CONTROLLER"
                ),
                Flag(
                    "source-namespace",
                    "text",
                    "where the controller copies from; default is kfsecrets-source",
                    "NS",
                ),
                Flag(
                    "selector",
                    "text",
                    "of the tenants' namespaces; default is that of profiles",
                    "SELECTOR",
                    "l",
                ),
                Flag("legacy", "switch", "of Kyverno a ClusterPolicy, not a GeneratingPolicy"),
                output_flag("yaml", "json"),
            ],
        ),
        (
            "the grant",
            [
                *file_flags("grants, among which NAME is"),
                Flag("secret", "text", "the Secret's name; default is NAME", "SECRET"),
                Flag("mount-path", "text", "default is /secret/NAME", "PATH"),
                Flag("desc", "text", "what the launcher shows; default is NAME", "TEXT"),
            ],
        ),
    ]


def _run(words: Words) -> int:
    from .flags import BadUsage
    from .options import output
    from .verb import one_name

    name = one_name(words)
    form = output(words, "yaml", "json")
    controller = words.text("to")
    if not controller:
        raise BadUsage("whom to? --to kyverno, external-secrets, reflector or replicator")
    from kfsecrets_ext.admin.handover import CONTROLLERS, PROFILES, SOURCE_NAMESPACE, handover

    if controller not in CONTROLLERS:
        raise BadUsage("--to is " + ", ".join(CONTROLLERS[:-1]) + f" or {CONTROLLERS[-1]}")
    given = {key: words.text(key) for key in ("source-namespace", "selector")}
    made = handover(
        _grant(words, name),
        to=str(controller),
        source_namespace=str(given["source-namespace"] or SOURCE_NAMESPACE),
        selector=str(given["selector"] or PROFILES),
        legacy=words.switch("legacy"),
    )
    if form == "json":
        from .writing import dump

        dump(made.to_json(), form)
    else:
        sys.stdout.write(made.to_yaml())
    return 0


def _grant(words: Words, name: str) -> Grant:
    from .flags import BadUsage
    from .sources import text

    options = {key: words.text(key) for key in ("secret", "mount-path", "desc")}
    if words.texts("filename"):
        from .apply import grants_of

        for option, given in options.items():
            if given is not None:
                raise BadUsage(f"--{option} is what the file says: give it, or -f")
        for grant in grants_of(words):
            if grant.name == name:
                return grant
        raise BadUsage("the files have no grant of that name")
    from kfsecrets_ext.admin import Grant

    secret, path, desc = (None if one is None else text(one) for one in options.values())
    return Grant(name, secret or name, mount_path=path, desc=desc)


_VERB = Verb(
    name="handover",
    summary="manifests for a controller that keeps future tenants in step",
    usage="NAME --to CONTROLLER [-f FILE] [option ...]",
    description=_DESCRIPTION,
    epilog=_EPILOG,
    flags=_flags,
    run=_run,
    arguments=[("NAME", "of the grant")],
)
