"""``jupyter kfsecrets create``: a Secret as kubectl makes it, and the PodDefault that mounts it."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from kfsecrets_ext.values import SecretStr

from .sources import DOCKER_SOURCES, KINDS, SOURCES

if TYPE_CHECKING:
    from kfsecrets_ext.admin import Grant

    from .flags import Flag, Words

__all__ = ["register"]

_PROGRAM = "jupyter kfsecrets create"

_SUMMARY = "a Secret and the PodDefault that mounts it, in tenants or as manifests"

_DESCRIPTION = """\
Make a Secret as kubectl create secret does, and the PodDefault that brings it into the notebooks
that choose it, in the tenants that are named. The plan is shown first, and what is not ours is
not touched without --adopt. With --dry-run=client nothing is contacted: the manifests are printed
with the values in them, to be piped into

  kubectl apply --server-side -f -

The PodDefault has the name of the Secret, and mounts it read-only at /secret/NAME. A notebook
starts though the Secret is not there yet, and gets it when it comes.
"""

_EXAMPLES = """\
examples:
  jupyter kfsecrets create generic test-secret -n alice --from-prompt=foo
  jupyter kfsecrets create generic test-secret -n alice --from-prompt=foo --dry-run=server
  pass show aws | jupyter kfsecrets create generic aws --all-tenants --from-file=secret-key=-
  jupyter kfsecrets create generic aws -l team=vision --from-secret=platform/aws
  jupyter kfsecrets create generic db -n alice --existing=db-credentials
  jupyter kfsecrets create generic test-secret -n alice --from-prompt=foo \\
      --dry-run=client -o yaml | kubectl apply --server-side -f -
"""

_DOCKER_EXAMPLES = """\
examples:
  jupyter kfsecrets create docker-registry docker-config -n alice --docker-username=alice \\
      --docker-password-prompt
  jupyter kfsecrets create docker-registry docker-config -n alice --from-file=config.json \\
      --mount-path=/home/kubeflow/.docker
  jupyter kfsecrets create docker-registry docker-config --docker-username=alice \\
      --docker-password-prompt --dry-run=client -o yaml | kubectl apply --server-side -f -

The configuration is mounted as config.json. get_docker_credentials() finds it; for other
programs set DOCKER_CONFIG=/secret/NAME, or mount it where they look.
"""

_STATUS = """\
With --dry-run=client -o json and -o yaml are the manifests, else the plan and the report, without
values. What the API server would refuse is an error, and with --dry-run=client a warning.
Exit status: 0 done, 1 something failed, 2 usage, 130 interrupted.
"""


def register(commands: Any) -> None:
    """Add the command to the command line."""
    # No argument begins with a NUL: every word comes as it is, and is read by kubectl's rules.
    parser = commands.add_parser(
        "create", help=_SUMMARY, prefix_chars="\0", add_help=False, allow_abbrev=False
    )
    parser.add_argument("words", nargs=argparse.REMAINDER, type=SecretStr)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from .flags import BadUsage, parse

    flags = {kind: _flags(kind) for kind in KINDS}
    known = {
        flag.name: flag for groups in flags.values() for _, some in groups for flag in some
    }.values()
    kind = None
    try:
        words = parse(options.words, known)
        kind = words.before[0] if words.before and words.before[0] in flags else None
        if words.help:
            sys.stdout.write(_parser(kind, flags).format_help())
            return 0
        _check_usage(words, flags)
        return _create(words)
    except BadUsage as error:
        reason = error.reason
    sys.stderr.write(f"{_parser(kind, flags).format_usage()}{_PROGRAM}: {reason}\n")
    return 2


_Groups = list[tuple[str, "Sequence[Flag]"]]


def _flags(kind: str) -> _Groups:
    from .flags import Flag
    from .options import cluster_flags, tenant_flags, write_flags
    from .sources import source_flags

    secret = [
        Flag(
            "from-secret",
            "text",
            "the values of a Secret of another namespace, read when it is applied",
            "NAMESPACE/NAME",
        ),
        Flag(
            "existing",
            "joined",
            "the Secret is there, or something else brings it; only the PodDefault is written. "
            "Its name is NAME unless one is given",
            "SECRET",
        ),
        Flag(
            "append-hash",
            "switch",
            "append the hash of the content to the Secret's name, not to the PodDefault's",
        ),
        Flag("immutable", "switch", "the Secret never changes; a new value has a new name"),
        Flag("can-mount", "switch", "users of Kubeflow Workspaces may mount it"),
        Flag("can-update", "switch", "users of Kubeflow Workspaces may edit it"),
    ]
    poddefault = [
        Flag("no-poddefault", "switch", "the Secret alone, as kubectl"),
        Flag("desc", "text", "what the launcher shows; default is NAME", "TEXT"),
        Flag("mount-path", "text", "where notebooks find it; default is /secret/NAME", "PATH"),
        Flag(
            "item",
            "texts",
            "mount this key alone, under another name where PATH is given; may be repeated",
            "KEY[=PATH]",
        ),
        Flag("required", "switch", "notebooks do not start before the Secret is there"),
        Flag(
            "template",
            "list",
            "fill in {namespace} and {owner} there: secret.data.KEY, podDefault.desc, "
            "podDefault.mountPath, secret.from.namespace, secret.from.name",
            "PLACE",
        ),
    ]
    output = Flag(
        "output",
        "text",
        "json, yaml or name; see below for what it holds",
        "FORMAT",
        "o",
    )
    return [
        ("the values", source_flags(kind)),
        ("the Secret", secret),
        ("the PodDefault", poddefault),
        tenant_flags(default="Without any, the namespace of the context"),
        ("writing", [*write_flags()[1], output]),
        cluster_flags(),
    ]


def _parser(kind: str | None, flags: dict[str, _Groups]) -> argparse.ArgumentParser:
    """Give a parser for its help."""
    from .flags import add_to

    tail = "NAME [-n NS | -A | -l SELECTOR] [option ...]"
    usage = f"{_PROGRAM} {kind or 'KIND'} {tail}"
    epilog = {
        None: f"{SOURCES}\n{_EXAMPLES}\n{_PROGRAM} KIND --help lists the options.\n",
        "generic": f"{SOURCES}\n{_EXAMPLES}\n{_STATUS}",
        "docker-registry": f"{DOCKER_SOURCES}\n{_DOCKER_EXAMPLES}\n{_STATUS}",
    }
    parser = argparse.ArgumentParser(
        usage=usage,
        description=_DESCRIPTION,
        epilog=epilog[kind],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if kind is None:
        kinds = parser.add_argument_group("kinds")
        kinds.add_argument("generic", help="from files, environment files, literals, a prompt")
        kinds.add_argument("docker-registry", help="the credentials of a registry")
    else:
        parser.add_argument("NAME", help="of the Secret, and of the PodDefault")
        for title, some in flags[kind]:
            add_to(parser.add_argument_group(title), some)
    return parser


def _check_usage(words: Words, flags: dict[str, _Groups]) -> None:
    from .flags import BadUsage
    from .options import check_cluster, check_tenants, check_write, dry_run
    from .sources import check_sources, has_sources
    from .writing import FORMS

    kind = words.before[0] if words.before else ""
    if kind == "secret":
        raise BadUsage("leave out the word secret: create generic NAME, docker-registry NAME")
    if kind not in flags:
        raise BadUsage("the first argument is generic or docker-registry")
    allowed = {flag.name for _, some in flags[kind] for flag in some}
    for name in words.given:
        if name not in allowed:
            raise BadUsage(f"--{name} is not for {kind}")
    output = words.text("output")
    if output is not None and output not in FORMS:
        raise BadUsage("-o/--output is json, yaml or name")
    names = len(words.before) - 1
    if names != 1 or not words.before[1]:
        raise BadUsage(f"exactly one NAME is required, and there are {names if names != 1 else 0}")
    others = [name for name in ("from-secret", "existing") if words.text(name) is not None]
    if len(others) > 1 or (others and has_sources(words)):
        raise BadUsage(f"--{others[0]} goes with no other source of values")
    if not others:
        check_sources(words, kind)
        encoded = kind == "docker-registry" and not words.texts("from-file")
        if encoded and any(one.startswith("secret.data") for one in words.texts("template")):
            raise BadUsage("--template fills in no secret.data here: its values are encoded")
    if words.switch("no-poddefault"):
        for name in ("desc", "mount-path", "item", "required", "existing"):
            if name in words.given:
                raise BadUsage(f"--{name} is for the PodDefault, which --no-poddefault leaves out")
    space, slash, name = (words.text("from-secret") or SecretStr("a/b")).partition("/")
    if not space or not slash or not name or "/" in name:
        raise BadUsage("--from-secret takes NAMESPACE/NAME")
    if dry_run(words) == "client":
        for option in (
            *("all-tenants", "selector", "tenants-from", "from-secret", "report", "resume"),
            *("adopt", "kubeconfig", "context", "as", "template"),
        ):
            if option in words.given:
                raise BadUsage(
                    f"--{option} asks a cluster, and --dry-run=client does not; the plan is shown "
                    "by --dry-run=server"
                )
        return
    check_cluster(words)
    check_tenants(words)
    check_write(words)
    if words.switch("no-poddefault"):
        raise BadUsage("--no-poddefault goes with --dry-run=client: a grant is both")


def _create(words: Words) -> int:
    from .options import dry_run

    return _print_manifests(words) if dry_run(words) == "client" else _write_to_tenants(words)


# ── into tenants ─────────────────────────────────────────────────────────────


def _write_to_tenants(words: Words) -> int:
    from kfsecrets_ext.admin import plan

    from .progress import ProgressLine
    from .tenancy import chosen, connected, warn_of
    from .writing import write

    with connected(words) as cluster:
        # Whom it is for is known before a password is asked for.
        tenants = chosen(words, cluster)
        source = _source(words)
        grant = _grant(words, source)
        if not _is_valid(words, source, grant):
            return 1
        with ProgressLine("planning") as line:
            made = plan(cluster, [grant], tenants, adopt=words.switch("adopt"), progress=line)
        warn_of(made.tenants)
        return write(words, cluster, made)


def _source(words: Words) -> Any:
    from .sources import read_secret, text

    kind, name = words.before[0], text(words.before[1])
    copied, existing = words.text("from-secret"), words.text("existing")
    if copied is not None:
        from kfsecrets_ext.admin import FromSecret

        space, _, other = text(copied).partition("/")
        return FromSecret(space, other, as_name=name)
    if existing is not None:
        return text(existing) or name
    return read_secret(words, kind, name)


def _grant(words: Words, source: Any) -> Grant:
    from kfsecrets_ext.admin import Grant

    from .sources import text

    desc, path = words.text("desc"), words.text("mount-path")
    return Grant(
        text(words.before[1]),
        source,
        desc=None if desc is None else text(desc),
        mount_path=None if path is None else text(path),
        items=_items(words),
        required=words.switch("required"),
        templates=tuple(map(text, words.texts("template"))),
        can_mount=words.switch("can-mount"),
        can_update=words.switch("can-update"),
        immutable=words.switch("immutable"),
        append_hash=words.switch("append-hash"),
    )


def _is_valid(words: Words, source: Any, grant: Grant) -> bool:
    """Say what the API server would refuse, before anything is sent."""
    from kfsecrets_ext.admin import SecretObject, problems

    if not isinstance(source, SecretObject):
        return True
    refused = problems(source)
    for sentence in refused:
        sys.stderr.write(f"{_PROGRAM}: {sentence}\n")
    if not refused and not words.texts("template"):
        grant.poddefault()  # what is wrong with it is wrong for all tenants
    return not refused


def _items(words: Words) -> dict[str, str] | None:
    from .sources import text

    items = {}
    for given in words.texts("item"):
        key, _, path = text(given).partition("=")
        items[key] = path or key
    return items or None


# ── manifests ────────────────────────────────────────────────────────────────


def _print_manifests(words: Words) -> int:
    from kfsecrets_ext.admin import SecretObject, advice, problems, to_json, to_yaml
    from kfsecrets_ext.admin.manifests import as_list

    from .sources import text

    source = _source(words)
    grant = _grant(words, source)
    warnings: list[str] = []
    objects: list[dict[str, Any]] = []
    for namespace in [text(one) or None for one in words.texts("namespace")] or [None]:
        placed = _placed(grant, namespace)
        if isinstance(placed.secret, SecretObject):
            warnings += [*problems(placed.secret), *advice(placed.secret)]
        objects += _objects(words, placed, warnings)
    for warning in dict.fromkeys(warnings):
        sys.stderr.write(f"{_PROGRAM}: warning: {warning}\n")
    one = objects[0] if len(objects) == 1 and words.switch("no-poddefault") else as_list(objects)
    output = words.text("output")
    if output == "json":
        _write(to_json(one))
    elif output == "yaml":
        _write(to_yaml(one))
    else:
        several = len({given["metadata"].get("namespace") for given in objects}) > 1
        lines = []
        for name, given in zip(_names(objects), objects, strict=True):
            place = f" in {given['metadata']['namespace']}" if several else ""
            lines.append(name if output == "name" else f"{name} created{place} (dry run)")
        _write(SecretStr("".join(f"{line}\n" for line in lines)))
    return 0


def _placed(grant: Grant, namespace: str | None) -> Grant:
    """Give the grant as it is for a namespace, or for whichever it is applied in."""
    from dataclasses import replace

    from kfsecrets_ext.admin import SecretObject, Tenant

    placed = grant.for_tenant(Tenant(namespace or ""))
    if namespace is not None:
        return placed
    secret = placed.secret
    if isinstance(secret, SecretObject):
        secret = replace(secret, namespace=None)
    return replace(placed, namespace=None, secret=secret)


def _objects(words: Words, grant: Grant, warnings: list[str]) -> list[dict[str, Any]]:
    from dataclasses import replace

    from kfsecrets_ext.admin import SecretObject
    from kfsecrets_ext.errors import InvalidName

    secret = grant.secret if isinstance(grant.secret, SecretObject) else None
    if words.switch("no-poddefault") and secret is not None:
        # as kubectl makes it
        return [replace(secret, annotations={}).to_mapping()]
    try:
        return grant.to_mappings()
    except InvalidName as error:
        refused = error
    if refused.kind != "PodDefault":
        raise refused
    # kubectl prints a Secret with a name that none can have, and so does this.
    if secret is not None and not _SUBDOMAIN.fullmatch(grant.name):
        warnings.append(f"There is no PodDefault for it: {refused}.")
        return [secret.to_mapping()]
    raise InvalidName(
        "PodDefault",
        grant.name,
        reason=f"{refused.reason}. Take a shorter one, or --no-poddefault.",
    )


_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?")


def _names(objects: Sequence[dict[str, Any]]) -> Iterator[str]:
    for given in objects:
        kind = "secret" if given["kind"] == "Secret" else "poddefault.kubeflow.org"
        yield f"{kind}/{given['metadata']['name']}"


def _write(text: SecretStr) -> None:
    """Write to standard output in UTF-8, which a manifest is in, whatever the locale."""
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:
        sys.stdout.write(text)
        return
    sys.stdout.flush()
    binary.write(text.encode("utf-8"))
    binary.flush()
