"""A command whose words are read by kubectl's rules, byte by byte, and never shown again."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kfsecrets_ext.values import SecretStr

if TYPE_CHECKING:
    from .flags import Flag, Words

__all__ = ["Verb", "one_name", "several_names"]


@dataclass(frozen=True)
class Verb:
    """A command.

    Attributes
    ----------
    name : str
    summary : str
        One line of the list of commands.
    usage : str
        What comes after the name.
    description, epilog : str
    flags : callable
        Gives the options; called when the command is run.
    run : callable
        Takes the words, and gives the exit status. It raises `BadUsage`.
    arguments : sequence of pairs of str
        What is no option, with its help.
    """

    name: str
    summary: str
    usage: str
    description: str
    epilog: str
    flags: Callable[[], Sequence[tuple[str, Sequence[Flag]]]]
    run: Callable[[Words], int]
    arguments: Sequence[tuple[str, str]] = ()

    @property
    def program(self) -> str:
        """The command as it is typed."""
        return f"jupyter kfsecrets {self.name}"

    def register(self, commands: Any) -> None:
        """Add the command to the command line."""
        # No argument begins with a NUL: every word comes as it is, and is read by kubectl's rules.
        parser = commands.add_parser(
            self.name, help=self.summary, prefix_chars="\0", add_help=False, allow_abbrev=False
        )
        parser.add_argument("words", nargs=argparse.REMAINDER, type=SecretStr)
        parser.set_defaults(run=self._run)

    def _run(self, options: argparse.Namespace) -> int:
        from .flags import BadUsage, parse

        groups = self.flags()
        try:
            words = parse(options.words, [flag for _, flags in groups for flag in flags])
            if words.help:
                sys.stdout.write(self._parser(groups).format_help())
                return 0
            return self.run(words)
        except BadUsage as error:
            reason = error.reason
        sys.stderr.write(f"{self._parser(groups).format_usage()}{self.program}: {reason}\n")
        return 2

    def _parser(self, groups: Sequence[tuple[str, Sequence[Flag]]]) -> argparse.ArgumentParser:
        """Give a parser for its help."""
        from .flags import add_to

        parser = argparse.ArgumentParser(
            usage=f"{self.program} {self.usage}",
            description=self.description,
            epilog=self.epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for name, text in self.arguments:
            parser.add_argument(name, help=text)
        for title, flags in groups:
            add_to(parser.add_argument_group(title) if title else parser, flags)
        return parser


def one_name(words: Words) -> str:
    """Give the one NAME of a command line.

    Raises
    ------
    BadUsage
        There is none, or more.
    """
    from .flags import BadUsage

    if len(words.before) != 1 or not words.before[0]:
        raise BadUsage(f"exactly one NAME is required, and there are {len(words.before)}")
    return str(words.before[0])


def several_names(words: Words) -> tuple[str, ...]:
    """Give the names of a command line.

    Raises
    ------
    BadUsage
        There is none.
    """
    from .flags import BadUsage

    if not words.before or not all(words.before):
        raise BadUsage("at least one NAME is required")
    return tuple(map(str, words.before))
