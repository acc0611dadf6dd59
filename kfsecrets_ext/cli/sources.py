"""Where the values of a Secret come from on a command line: options of create and rotate."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kfsecrets_ext.values import SecretStr

if TYPE_CHECKING:
    from kfsecrets_ext.admin.secret import SecretObject
    from kfsecrets_ext.admin.sources import Entry

    from .flags import Flag, Words

__all__ = [
    "DOCKER_SOURCES",
    "KINDS",
    "SOURCES",
    "check_sources",
    "has_sources",
    "read_secret",
    "source_flags",
    "text",
]

KINDS = ("generic", "docker-registry")

SOURCES = """\
A value on the command line is in the shell's history, and in the list of processes for everybody
on the machine. These keep it out:
  --from-prompt=KEY          asks for it, and does not show what is typed
  --from-file=KEY=-          standard input, byte by byte
  --from-file=KEY=PATH       a file, byte by byte
  --from-env-file=PATH       a file of lines KEY=VALUE
"""

DOCKER_SOURCES = """\
A password on the command line is in the shell's history, and in the list of processes for
everybody on the machine. These keep it out:
  --docker-password-prompt   asks for it, and does not show what is typed
  --docker-password-stdin    standard input; a line break at its end goes
  --from-file=PATH           a config.json; - for standard input
"""

_GENERIC = ("from-prompt", "from-file", "from-env-file", "from-literal")
_DOCKER = (
    "docker-username",
    "docker-password-prompt",
    "docker-password-stdin",
    "docker-password",
    "docker-server",
    "docker-email",
)


def source_flags(kind: str) -> list[Flag]:
    """Give the options of a kind of Secret.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    """
    from .flags import Flag

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
            Flag("type", "text", "the type of the Secret; default is Opaque", "TYPE"),
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
    ]


def has_sources(words: Words) -> bool:
    """Say whether values are given in any way."""
    return any(name in words.given for name in (*_GENERIC, *_DOCKER))


def check_sources(words: Words, kind: str) -> None:
    """Refuse sources that do not go together, or are not enough.

    Raises
    ------
    BadUsage
    """
    from .flags import BadUsage

    if words.texts("from-env-file") and any(
        words.texts(other) for other in ("from-file", "from-literal", "from-prompt")
    ):
        raise BadUsage(
            "--from-env-file cannot be combined with --from-file, --from-literal or --from-prompt"
        )
    readers = [given.endswith("=-") or given == "-" for given in words.texts("from-file")]
    readers += [given == "-" for given in words.texts("from-env-file")]
    readers += [words.text("tenants-from") == "-"]
    if sum(readers) + words.switch("docker-password-stdin") > 1:
        raise BadUsage("standard input can be read once")
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


def read_secret(words: Words, kind: str, name: str, namespace: str | None = None) -> SecretObject:
    """Make the Secret that the options describe.

    Parameters
    ----------
    words : Words
    kind : str
        One of `KINDS`.
    name : str
    namespace : str, optional

    Returns
    -------
    SecretObject

    Raises
    ------
    SourceError
        A source cannot be used; what was given is not in its text.
    """
    from kfsecrets_ext.admin import generic

    if kind == "docker-registry":
        return _docker_registry(name, words, namespace)
    given = words.text("type")
    return generic(
        name,
        _entries(words),
        type=None if given is None else text(given),
        namespace=namespace,
    )


def text(word: str) -> str:
    """Give an argument as text; a byte that is no UTF-8 is replaced, as kubectl does."""
    exact = os.fsencode(word).decode("utf-8", "surrogateescape")
    return re.sub("[\udc80-\udcff]", "\ufffd", exact)


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
