"""Options that commands share, as kubectl spells them."""

from __future__ import annotations

import argparse

__all__ = ["add_cluster_options", "add_file_options"]


def add_file_options(parser: argparse.ArgumentParser, meaning: str) -> None:
    """Add ``-f`` and ``-R``."""
    parser.add_argument(
        "-f",
        "--filename",
        action="append",
        default=[],
        metavar="FILE",
        help=f"{meaning}: YAML or JSON, several documents and Lists too; a directory stands for "
        "the .yaml, .yml and .json files in it, - for standard input. May be repeated",
    )
    parser.add_argument(
        "-R", "--recursive", action="store_true", help="descend into the directories of -f"
    )


def add_cluster_options(parser: argparse._ArgumentGroup) -> None:
    """Add ``--kubeconfig``, ``--context`` and ``--as``."""
    parser.add_argument("--kubeconfig", metavar="FILE", help="default is as kubectl's")
    parser.add_argument("--context", metavar="NAME", help="default is the current one")
    parser.add_argument("--as", dest="impersonate", metavar="USER", help="act as that user")
