"""``jupyter kfsecrets list``: which credentials are in this pod."""

from __future__ import annotations

import argparse
import sys
from typing import Any

__all__ = ["register"]

_DESCRIPTION = """\
List the Secrets that are in this pod: mounted below the roots ($KFSECRETS_ROOTS, default
/secret:/secrets) or elsewhere, and in environment variables. Names, keys, source and state;
never values.
"""

_EPILOG = """\
examples:
  jupyter kfsecrets list
  jupyter kfsecrets list -o name
  jupyter kfsecrets list -o json | jq -r '.secrets[] | select(.state != "ready") | .name'

-o json prints what the endpoint kfsecrets/api/v1/secrets answers, and is stable.
"""


def register(commands: Any) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "list",
        help="which credentials are in this pod",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "-o",
        "--output",
        choices=("table", "json", "name"),
        default="table",
        metavar="FORMAT",
        help="table (default), json or name",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from kfsecrets_ext.table import list_secrets

    table = list_secrets()
    if options.output == "json":
        import json

        json.dump(table.inventory.to_json(), sys.stdout, indent=2)
        sys.stdout.write("\n")
    elif options.output == "name":
        sys.stdout.writelines(f"secret/{_line(secret.name)}\n" for secret in table)
    elif table:
        sys.stdout.write(f"{_encodable(repr(table))}\n")
    else:
        # As kubectl does: nothing is no output, and no failure either.
        sys.stderr.write(f"{table!r}\n")
    return 0


def _line(name: str) -> str:
    # A directory's name may hold anything; a line of output is one name.
    return _encodable(
        "".join(
            one if one.isprintable() else one.encode("unicode_escape", "replace").decode()
            for one in name
        )
    )


def _encodable(text: str) -> str:
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
