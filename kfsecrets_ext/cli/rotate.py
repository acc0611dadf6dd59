"""``jupyter kfsecrets rotate``: give a grant's Secret new values."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .sources import SOURCES
from .verb import Verb

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kfsecrets_ext.admin import Plan, Rotation, Tenant, TenantChoice
    from kfsecrets_ext.cluster import Cluster

    from .flags import Flag, Words

__all__ = ["register"]

_DESCRIPTION = """\
Give a grant's Secret new values, in the tenants that have it: a canary first where one is asked
for. -A and -l mean those that have it; who is named with -n has to. Notebooks that mount the
Secret's volume get them within about a minute, with no restart; which ones keep the old value is
told. Where the Secret is immutable, or has a hash in its name, the new one gets a new name and the
old one stays: once no pod uses it, the same values with --prune take it away.
"""

_EPILOG = f"""\
{SOURCES}
examples:
  jupyter kfsecrets rotate test-secret -n alice --from-prompt=foo
  pass show aws | jupyter kfsecrets rotate aws -A --from-file=secret-key=- --canary 2
  jupyter kfsecrets rotate docker-config -A --canary alice,bob \\
      --docker-username=robot --docker-password-prompt
  jupyter kfsecrets rotate -f grants.yaml -A            the one of the file, with its values

After the canary its tenants are verified, and a terminal asks whether to go on; without one, and
with --yes, the rest follows only where nothing failed. -o json, yaml and name hold no value.
Exit status: 0 done, 1 something failed, 2 usage, 130 interrupted.
"""


def register(commands: Any) -> None:
    """Add the command to the command line."""
    _VERB.register(commands)


def _flags() -> Sequence[tuple[str, Sequence[Flag]]]:
    from .flags import Flag
    from .options import cluster_flags, file_flags, output_flag, tenant_flags, write_flags
    from .sources import source_flags
    from .writing import FORMS

    docker = [flag for flag in source_flags("docker-registry") if flag.name != "from-file"]
    return [
        ("the values", [*source_flags("generic"), *docker, *file_flags("grants, with values")]),
        (
            "",
            [
                Flag(
                    "canary",
                    "text",
                    "these first, with commas, or the first so many",
                    "NS,…|NUMBER",
                ),
                Flag("prune", "switch", "delete older Secrets of the grant that no pod uses"),
                output_flag(*FORMS),
            ],
        ),
        tenant_flags(default="Without any, the namespace of the context"),
        write_flags(),
        cluster_flags(),
    ]


def _run(words: Words) -> int:
    from .flags import BadUsage
    from .options import check_cluster, check_tenants, check_write, dry_run, output
    from .sources import check_sources, has_sources
    from .verb import one_name
    from .writing import FORMS

    check_cluster(words)
    check_tenants(words)
    check_write(words)
    dry_run(words)
    output(words, *FORMS)
    if words.text("canary") is not None and words.text("report") is not None:
        raise BadUsage("--canary makes two reports, and --report saves one: leave one of them out")
    if words.texts("filename"):
        if words.before or has_sources(words):
            raise BadUsage("-f brings the names and the values: give nothing else")
        return _rotate_file(words)
    one_name(words)
    if not has_sources(words):
        raise BadUsage("where are the new values? --from-prompt=KEY asks for one")
    check_sources(words, _kind(words))
    return _rotate_one(words)


def _kind(words: Words) -> str:
    docker = any(name.startswith("docker-") for name in words.given)
    return "docker-registry" if docker else "generic"


def _rotate_one(words: Words) -> int:
    from kfsecrets_ext.admin import problems, rotate

    from .sources import read_secret, text
    from .tenancy import chosen, connected

    name = text(words.before[0])
    with connected(words) as cluster:
        tenants = _choice(words) or chosen(words, cluster)
        secret = read_secret(words, _kind(words), name)
        refused = problems(secret)
        for sentence in refused:
            sys.stderr.write(f"{_VERB.program}: {sentence}\n")
        if refused:
            return 1
        rotation = rotate(
            cluster,
            name,
            tenants,
            secret,
            canary=_canary(words, tenants),
            adopt=words.switch("adopt"),
            prune=words.switch("prune"),
        )
        return _carry_out(words, cluster, name, rotation)


def _rotate_file(words: Words) -> int:
    from kfsecrets_ext.admin import rotate

    from .apply import grants_of
    from .flags import BadUsage
    from .tenancy import chosen_or_all, connected, for_somebody

    grants = grants_of(words)
    if len(grants) != 1:
        raise BadUsage("one grant is rotated at a time, and the files have another number")
    with connected(words) as cluster:
        tenants = _choice(words) or chosen_or_all(words, cluster)
        rotation = rotate(
            cluster,
            grants[0] if tenants is not None else for_somebody(grants[0], cluster),
            tenants,
            canary=_canary(words, tenants or ()),
            adopt=words.switch("adopt"),
            prune=words.switch("prune"),
        )
        return _carry_out(words, cluster, grants[0].name, rotation)


def _choice(words: Words) -> TenantChoice | None:
    """Give a choice that names no tenant: of it those are meant that have the grant."""
    from kfsecrets_ext.admin import TenantChoice

    selector = words.text("selector")
    if not words.switch("all-tenants") and selector is None:
        return None
    return TenantChoice(
        words.switch("all-tenants"), selector=None if selector is None else str(selector)
    )


def _canary(words: Words, tenants: Iterable[Tenant] | TenantChoice) -> tuple[str, ...] | int:
    from kfsecrets_ext.admin import TenantChoice

    from .flags import BadUsage
    from .sources import text

    given = words.text("canary")
    if given is None:
        return ()
    if given.isdecimal():
        if not int(given):
            raise BadUsage("--canary is 1 or more tenants; leave it out to rotate all at once")
        return int(given)
    names = tuple(text(part) for part in given.split(","))
    known = set() if isinstance(tenants, TenantChoice) else {tenant.name for tenant in tenants}
    if known and not known.issuperset(names):
        raise BadUsage("--canary names tenants that the other options do not choose")
    return names


def _carry_out(words: Words, cluster: Cluster, name: str, rotation: Rotation) -> int:
    from kfsecrets_ext.table import kept

    from .options import dry_run
    from .text import line
    from .writing import Outcome, carry_out, dump, print_names

    for note in kept(rotation):
        sys.stderr.write(f"{line(note)}\n")
    if not rotation.plans:
        sys.stderr.write("There is nothing to rotate in these tenants.\n")
        return 1
    outcomes: list[Outcome] = []
    status = 0
    for number, plan in enumerate(rotation.plans):
        if number == 0:
            outcomes.append(carry_out(words, cluster, plan))
        else:
            stopped = (
                f"Stopped: the canary has the new values ({_tenants(rotation.canary)}), and the "
                f"rest keeps the old ones ({_tenants(plan)})"
            )
            question = "Go on with the rest?"
            outcomes.append(carry_out(words, cluster, plan, question=question, stopped=stopped))
        status = outcomes[-1].status
        if status:
            break
        is_last = plan is rotation.plans[-1]
        if dry_run(words) == "none" and not is_last and not _is_proved(cluster, name, plan):
            sys.stderr.write(
                f"The canary failed: it has the new values ({_tenants(plan)}), and the rest keeps "
                "the old values.\n"
            )
            status = 1
            break
    form = words.text("output")
    if form == "name":
        for outcome in outcomes:
            print_names(outcome.plan)
    elif form is not None:
        reports = [one.report.to_json() for one in outcomes if one.report is not None]
        dump({"rotation": rotation.to_json(), "reports": reports}, str(form))
    return status


def _tenants(plan: Plan) -> str:
    from kfsecrets_ext.table import some

    return some([one.name for one in plan.tenants])


def _is_proved(cluster: Cluster, name: str, plan: Plan) -> bool:
    from kfsecrets_ext.admin.verify import verify

    from .checks import show_checks

    result = verify(cluster, [name], plan.tenants)
    show_checks(result, stream=sys.stderr, quiet=True)
    return not result.failed


_VERB = Verb(
    name="rotate",
    summary="give a grant's Secret new values",
    usage="NAME [-n NS | -A | -l SELECTOR] [--canary NS,…|NUMBER] [option ...]",
    description=_DESCRIPTION,
    epilog=_EPILOG,
    flags=_flags,
    run=_run,
    arguments=[("NAME", "of the grant: the PodDefault's")],
)
