"""``jupyter kfsecrets …``: the commands, each a module that is loaded when it is run.

Exit status: 0 done, 1 something failed (standard error says what), 2 usage.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from kfsecrets_ext import __version__

__all__ = ["main"]

_COMMANDS = (
    *("admit", "apply", "clusterrole", "create", "delete", "demo", "diff", "doctor"),
    *("handover", "lint", "list", "rotate", "tenants", "verify"),
)
"""Modules of this package; each has ``register(commands)``, which names what runs it."""

_EPILOG = """\
examples:
  jupyter kfsecrets list                     which credentials are in this pod
  jupyter kfsecrets demo                     a notebook pod on this machine, to try it all

for administrators:
  jupyter kfsecrets tenants                  whose namespaces there are
  jupyter kfsecrets create generic aws -n alice --from-prompt=secret-key
  jupyter kfsecrets diff -f grants.yaml      what an apply would change
  jupyter kfsecrets apply -f grants.yaml -A  the same grants for all tenants
  jupyter kfsecrets verify aws -n alice      proof that a notebook gets it
  jupyter kfsecrets lint -n alice            what is wrong with a tenant's PodDefaults

No command prints a value but create with --dry-run=client, whose manifests are asked for.
Exit status: 0 done, 1 something failed, 2 usage.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default are those of the process.

    Returns
    -------
    int
        The exit status.
    """
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has enough of it; nothing is left to be flushed at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except _expected() as error:
        sys.stderr.write(f"jupyter kfsecrets {options.command}: {_sentence(error)}\n")
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jupyter kfsecrets",
        description="Credentials in Kubeflow notebooks: by name, and granted to tenants.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"kfsecrets-ext {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in _COMMANDS:
        import_module(f".{name}", __name__).register(commands)
    return parser


def _expected() -> tuple[type[Exception], ...]:
    from kfsecrets_ext.errors import SecretError

    return SecretError, OSError


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}."
    return str(error)
