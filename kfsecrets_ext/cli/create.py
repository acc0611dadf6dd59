"""``jupyter kfsecrets create``: a Secret as kubectl makes it, and the PodDefault that mounts it."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from kfsecrets_ext.values import SecretStr

if TYPE_CHECKING:
    from kfsecrets_ext.admin.secret import SecretObject
    from kfsecrets_ext.admin.sources import Entry

    from .flags import Flag, Words

__all__ = ["register"]

_PROGRAM = "jupyter kfsecrets create"

_SUMMARY = "a Secret and the PodDefault that mounts it, as manifests"

_DESCRIPTION = """\
Make a Secret as kubectl create secret does, and the PodDefault that brings it into the notebooks
that choose it. With --dry-run=client, which has to be given, nothing is contacted: the manifests
are printed with the values in them, to be piped into

  kubectl apply --server-side -f -

The PodDefault has the name of the Secret, and mounts it read-only at /secret/NAME. A notebook
starts though the Secret is not there yet, and gets it when it comes.
"""

_SOURCES = """\
A value on the command line is in the shell's history, and in the list of processes for everybody
on the machine. These keep it out:
  --from-prompt=KEY          asks for it, and does not show what is typed
  --from-file=KEY=-          standard input, byte by byte
  --from-file=KEY=PATH       a file, byte by byte
  --from-env-file=PATH       a file of lines KEY=VALUE
"""

_DOCKER_SOURCES = """\
A password on the command line is in the shell's history, and in the list of processes for
everybody on the machine. These keep it out:
  --docker-password-prompt   asks for it, and does not show what is typed
  --docker-password-stdin    standard input; a line break at its end goes
  --from-file=PATH           a config.json; - for standard input
"""

_EXAMPLES = """\
examples:
  jupyter kfsecrets create generic test-secret -n alice --from-prompt=foo \\
      --dry-run=client -o yaml | kubectl apply --server-side -f -
  pass show aws | jupyter kfsecrets create generic aws --from-file=secret-key=- \\
      --desc "AWS" --dry-run=client -o yaml > aws.yaml
  jupyter kfsecrets create generic ssh --from-file=id_ed25519 --type=kubernetes.io/ssh-auth \\
      --from-file=ssh-privatekey=id_ed25519 --dry-run=client -o yaml
"""

_DOCKER_EXAMPLES = """\
examples:
  jupyter kfsecrets create docker-registry docker-config -n alice --docker-username=alice \\
      --docker-password-prompt --dry-run=client -o yaml | kubectl apply --server-side -f -
  jupyter kfsecrets create docker-registry docker-config --from-file=~/.docker/config.json \\
      --mount-path=/home/kubeflow/.docker --dry-run=client -o yaml

The configuration is mounted as config.json. get_docker_credentials() finds it; for other
programs set DOCKER_CONFIG=/secret/NAME, or mount it where they look.
"""

_STATUS = """\
What the API server would refuse is said on standard error.
Exit status: 0 done, 1 something failed, 2 usage.
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

    flags = {kind: _flags(kind) for kind in _KINDS}
    kind = None
    try:
        words = parse(options.words, {f.name: f for all_ in flags.values() for f in all_}.values())
        kind = words.before[0] if words.before and words.before[0] in flags else None
        if words.help:
            sys.stdout.write(_parser(kind, flags).format_help())
            return 0
        _check_usage(words, {kind: {flag.name for flag in flags[kind]} for kind in flags})
    except BadUsage as error:
        reason = error.reason
    else:
        return _create(words)
    sys.stderr.write(f"{_parser(kind, flags).format_usage()}{_PROGRAM}: {reason}\n")
    return 2


_KINDS = ("generic", "docker-registry")
_OUTPUTS = ("json", "yaml", "name")


def _flags(kind: str) -> list[Flag]:
    from .flags import Flag

    common = [
        Flag("type", "text", "the type of the Secret; default is Opaque", "TYPE"),
        Flag(
            "append-hash",
            "switch",
            "append the hash of the content to the Secret's name, not to the PodDefault's",
        ),
        Flag(
            "namespace",
            "text",
            "the tenant; without it the manifests name none, and kubectl takes its context's",
            "NS",
            "n",
        ),
        Flag("dry-run", "joined", "client: print, and contact nothing", "client"),
        Flag(
            "output",
            "text",
            "json or yaml: the manifests, with values; name. A List, or one "
            "Secret with --no-poddefault",
            "FORMAT",
            "o",
        ),
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
    ]
    if kind == "generic":
        return [
            Flag("from-prompt", "texts", "ask for the value; may be repeated", "KEY"),
            Flag(
                "from-file",
                "list",
                "a file, whose name is the key unless one is given; the "
                "regular files of a directory; KEY=- is standard input. May be repeated, or be "
                "several with commas",
                "[KEY=]PATH",
            ),
            Flag(
                "from-env-file",
                "list",
                "lines KEY=VALUE; without = the value comes from the "
                "environment. Not together with the others; - is standard input",
                "PATH",
            ),
            Flag(
                "from-literal",
                "texts",
                "a value on the command line, which others can see; may be repeated",
                "KEY=VALUE",
            ),
            *common,
        ]
    return [
        Flag("docker-username", "text", "the user name", "NAME"),
        Flag("docker-password-prompt", "switch", "ask for the password"),
        Flag("docker-password-stdin", "switch", "the password is on standard input"),
        Flag(
            "docker-password",
            "text",
            "the password on the command line, which others can see",
            "PASSWORD",
        ),
        Flag(
            "docker-server",
            "text",
            "the registry; default is Docker Hub, https://index.docker.io/v1/",
            "SERVER",
        ),
        Flag("docker-email", "text", "the e-mail address", "ADDRESS"),
        Flag(
            "from-file",
            "list",
            "a Docker configuration instead of the above, under the key "
            ".dockerconfigjson; - is standard input",
            "[KEY=]PATH",
        ),
        *(flag for flag in common if flag.name != "type"),
    ]


def _parser(kind: str | None, flags: dict[str, list[Flag]]) -> argparse.ArgumentParser:
    """Give a parser for its help."""
    from .flags import add_to

    usage = f"{_PROGRAM} {kind or '{generic,docker-registry}'} NAME [option ...] --dry-run=client"
    epilog = {
        None: f"{_SOURCES}\n{_EXAMPLES}\n{_PROGRAM} KIND --help lists the options.\n",
        "generic": f"{_SOURCES}\n{_EXAMPLES}\n{_STATUS}",
        "docker-registry": f"{_DOCKER_SOURCES}\n{_DOCKER_EXAMPLES}\n{_STATUS}",
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
        add_to(parser, flags[kind])
    return parser


def _check_usage(words: Words, allowed: dict[str, set[str]]) -> None:
    from .flags import BadUsage

    kind = words.before[0] if words.before else ""
    if kind == "secret":
        raise BadUsage("leave out the word secret: create generic NAME, docker-registry NAME")
    if kind not in allowed:
        raise BadUsage("the first argument is generic or docker-registry")
    for name in words.given:
        if name not in allowed[kind]:
            raise BadUsage(f"--{name} is not for {kind}")
    dry_run, output = words.text("dry-run"), words.text("output")
    if dry_run != "client":
        # The other modes need a cluster.
        raise BadUsage(
            "say --dry-run=client: the manifests are printed, to be piped into "
            "kubectl apply --server-side -f -"
        )
    if output is not None and output not in _OUTPUTS:
        raise BadUsage("-o/--output is json, yaml or name")
    names = len(words.before) - 1
    if names != 1 or not words.before[1]:
        raise BadUsage(f"exactly one NAME is required, and there are {names if names != 1 else 0}")
    if words.texts("from-env-file") and any(
        words.texts(other) for other in ("from-file", "from-literal", "from-prompt")
    ):
        raise BadUsage(
            "--from-env-file cannot be combined with --from-file, --from-literal or --from-prompt"
        )
    readers = [given.endswith("=-") or given == "-" for given in words.texts("from-file")]
    readers += [given == "-" for given in words.texts("from-env-file")]
    if sum(readers) + words.switch("docker-password-stdin") > 1:
        raise BadUsage("standard input can be read once")
    if words.switch("no-poddefault"):
        for name in ("desc", "mount-path", "item", "required"):
            if name in words.given:
                raise BadUsage(f"--{name} is for the PodDefault, which --no-poddefault leaves out")
    passwords = [
        name
        for name in ("docker-password", "docker-password-stdin", "docker-password-prompt")
        if words.switch(name) or (name == "docker-password" and words.text(name))
    ]
    if len(passwords) > 1:
        raise BadUsage("--" + " and --".join(passwords) + " do not go together")
    if kind == "docker-registry" and not words.texts("from-file"):
        # An empty server is none; without the option it is Docker Hub.
        server = words.text("docker-server")
        if not passwords or not words.text("docker-username") or server == "":
            raise BadUsage(
                "either --from-file, or --docker-username with --docker-password-prompt, "
                "--docker-password-stdin or --docker-password, is required; --docker-server may "
                "not be empty"
            )


def _create(words: Words) -> int:
    from kfsecrets_ext.admin import advice, generic, problems, to_json, to_yaml
    from kfsecrets_ext.admin.manifests import as_list

    name = _text(words.before[1])
    namespace = _text(words.text("namespace") or "") or None
    hashed = words.switch("append-hash")
    plain: SecretObject
    if words.before[0] == "generic":
        given = words.text("type")
        plain = generic(
            name,
            _entries(words),
            type=None if given is None else _text(given),
            namespace=namespace,
        )
    else:
        plain = _docker_registry(name, words, namespace)
    secret = plain.with_hash() if hashed else plain
    warnings = [*problems(secret), *advice(secret)]
    objects = [secret.to_mapping()]
    if not words.switch("no-poddefault"):
        objects += _poddefault(name, secret, words, warnings)
    for warning in warnings:
        sys.stderr.write(f"{_PROGRAM}: warning: {warning}\n")
    one = objects[0] if words.switch("no-poddefault") else as_list(objects)
    output = words.text("output")
    if output == "json":
        _write(to_json(one))
    elif output == "yaml":
        _write(to_yaml(one))
    else:
        end = "" if output == "name" else " created (dry run)"
        _write(SecretStr("".join(f"{line}{end}\n" for line in _names(objects))))
    return 0


def _entries(words: Words) -> Iterator[Entry]:
    from kfsecrets_ext.admin import (
        from_environment_file,
        from_file,
        from_literal,
        from_prompt,
    )

    from .flags import ordinal

    # What can be wrong without a question is looked at before one is asked.
    takers = (
        ("from-literal", from_literal),
        ("from-file", from_file),
        ("from-env-file", from_environment_file),
        ("from-prompt", from_prompt),
    )
    for flag, take in takers:
        given = words.texts(flag)
        for number, one in enumerate(given, 1):
            yield from take(one, source=ordinal(flag, number, len(given)))


def _docker_registry(name: str, words: Words, namespace: str | None) -> SecretObject:
    from kfsecrets_ext.admin import docker_registry, from_file, generic
    from kfsecrets_ext.admin.secret import DOCKER_CONFIG_KEY, DOCKER_CONFIG_TYPE, DOCKER_HUB

    from .flags import ordinal

    files = words.texts("from-file")
    if files:
        entries = (
            entry
            for number, given in enumerate(files, 1)
            for entry in from_file(
                given if "=" in given else SecretStr(f"{DOCKER_CONFIG_KEY}={given}"),
                source=ordinal("from-file", number, len(files)),
            )
        )
        return generic(name, entries, type=DOCKER_CONFIG_TYPE, namespace=namespace)
    server = words.text("docker-server")
    return docker_registry(
        name,
        username=words.text("docker-username") or SecretStr(),
        password=_password(words),
        server=DOCKER_HUB if server is None else server,
        email=words.text("docker-email") or SecretStr(),
        namespace=namespace,
    )


def _password(words: Words) -> str | bytes:
    from kfsecrets_ext.admin.sources import ask, from_file

    if words.switch("docker-password-prompt"):
        return ask("Password: ", "--docker-password-prompt")
    if words.switch("docker-password-stdin"):
        ((_, value),) = from_file("password=-", source="--docker-password-stdin")
        # as docker login --password-stdin
        if value.endswith(b"\n"):
            value = value[:-1]
        return value[:-1] if value.endswith(b"\r") else value
    return words.text("docker-password") or SecretStr()


def _poddefault(
    name: str, secret: SecretObject, words: Words, warnings: list[str]
) -> Sequence[dict[str, Any]]:
    from kfsecrets_ext.admin import Grant
    from kfsecrets_ext.errors import InvalidName

    items = {}
    for given in words.texts("item"):
        key, _, path = _text(given).partition("=")
        items[key] = path or key
    desc, path_ = words.text("desc"), words.text("mount-path")
    grant = Grant(
        name,
        secret,
        desc=None if desc is None else _text(desc),
        mount_path=None if path_ is None else _text(path_),
        items=items or None,
        required=words.switch("required"),
    )
    try:
        return [grant.poddefault()]
    except InvalidName as error:
        refused = error
    # kubectl prints a Secret with a name that none can have, and so does this.
    if refused.kind == "PodDefault" and not _SUBDOMAIN.fullmatch(name):
        warnings.append(f"There is no PodDefault for it: {refused}.")
        return []
    if refused.kind == "PodDefault":
        raise InvalidName(
            "PodDefault",
            name,
            reason=f"{refused.reason}. Take a shorter one, or --no-poddefault.",
        )
    raise refused


_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?")


def _names(objects: Sequence[dict[str, Any]]) -> Iterator[str]:
    for given in objects:
        kind = "secret" if given["kind"] == "Secret" else "poddefault.kubeflow.org"
        yield f"{kind}/{given['metadata']['name']}"


def _text(word: str) -> str:
    """Give an argument as text; a byte that is no UTF-8 is replaced, as kubectl does."""
    exact = os.fsencode(word).decode("utf-8", "surrogateescape")
    return re.sub("[\udc80-\udcff]", "\ufffd", exact)


def _write(text: SecretStr) -> None:
    """Write to standard output in UTF-8, which a manifest is in, whatever the locale."""
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:
        sys.stdout.write(text)
        return
    sys.stdout.flush()
    binary.write(text.encode("utf-8"))
    binary.flush()
