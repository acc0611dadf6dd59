"""Options as kubectl takes them, byte by byte: the rules of Go's pflag.

argparse differs where it matters: an argument that begins with a dash is no value to it, and its
errors show what was given.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from kfsecrets_ext.values import SecretStr

__all__ = ["BadUsage", "Flag", "Words", "add_to", "ordinal", "parse"]

Form = Literal["text", "texts", "list", "switch", "joined"]


class BadUsage(Exception):
    """A command line that cannot be read; its text shows no value.

    Attributes
    ----------
    reason : str
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True)
class Flag:
    """An option.

    Attributes
    ----------
    name : str
        Without dashes.
    form : str
        ``"text"``: the last one counts; ``"texts"``: each counts; ``"list"``: each is a line of
        comma-separated values; ``"switch"``: true or false; ``"joined"``: a text that only
        ``=`` gives it.
    help : str
    metavar : str
    short : str
        One letter, or none.
    """

    name: str
    form: Form
    help: str
    metavar: str = ""
    short: str = ""


@dataclass(frozen=True)
class Words:
    """A command line, read.

    Attributes
    ----------
    given : mapping of str to list of SecretStr
        By the option's name, in order.
    before : tuple of SecretStr
        What is no option, up to ``--``.
    help : bool
        Whether it was asked for.
    """

    given: dict[str, list[SecretStr]]
    before: tuple[SecretStr, ...]
    help: bool

    def text(self, name: str) -> SecretStr | None:
        """Give what an option was set to last; None where it is not there."""
        found = self.given.get(name)
        return found[-1] if found else None

    def texts(self, name: str) -> Sequence[SecretStr]:
        """Give all that an option was set to."""
        return self.given.get(name, [])

    def switch(self, name: str) -> bool:
        """Give whether an option is on."""
        return self.text(name) in _TRUE


def parse(words: Iterable[str], flags: Iterable[Flag]) -> Words:
    """Read a command line.

    Parameters
    ----------
    words : iterable of str
    flags : iterable of Flag

    Returns
    -------
    Words

    Raises
    ------
    BadUsage
        An option that there is not, or one without its value.
    """
    known = {flag.name: flag for flag in flags}
    letters = {flag.short: flag for flag in known.values() if flag.short}
    rest = [SecretStr(word) for word in reversed(list(words))]
    total = len(rest)
    given: dict[str, list[SecretStr]] = {}
    before: list[SecretStr] = []
    helped = False
    while rest:
        word = rest.pop()
        place = f"argument {total - len(rest)} of the command"
        if word == "--":
            break
        if word in ("-h", "--help"):
            helped = True
        elif word.startswith("--"):
            name, equals, value = (SecretStr(part) for part in word[2:].partition("="))
            if name not in known:
                raise BadUsage(_unknown(name, known, place))
            _take(known[name], value if equals else None, rest, given)
        elif len(word) > 1 and word.startswith("-"):
            flag = letters.get(word[1])
            if flag is None:
                raise BadUsage(f"there is no such option ({place})")
            joined = word[2:] if len(word) > 2 else None
            if joined is not None and len(joined) > 1 and joined.startswith("="):
                joined = joined[1:]
            _take(flag, joined, rest, given)
        else:
            before.append(word)
    return Words(given, tuple(before), helped)


def add_to(parser: argparse._ActionsContainer, flags: Iterable[Flag]) -> None:
    """Add options to a parser, for its help."""
    for flag in flags:
        names = [f"-{flag.short}"] * bool(flag.short) + [f"--{flag.name}"]
        if flag.form == "switch":
            parser.add_argument(*names, action="store_true", help=flag.help)
        else:
            parser.add_argument(*names, metavar=flag.metavar, help=flag.help)


def ordinal(flag: str, number: int, total: int) -> str:
    """Name one of the options of a kind."""
    return f"--{flag}" if total == 1 else f"--{flag} number {number}"


# strconv.ParseBool
_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


def _take(
    flag: Flag, value: SecretStr | None, rest: list[SecretStr], given: dict[str, list[SecretStr]]
) -> None:
    if value is None and flag.form == "switch":
        value = SecretStr("true")
    elif value is None and flag.form == "joined":
        value = SecretStr()
    elif value is None:
        if not rest:
            raise BadUsage(f"--{flag.name} needs a value")
        value = rest.pop()
    if flag.form == "switch" and value not in (*_TRUE, *_FALSE):
        raise BadUsage(f"--{flag.name} is true or false")
    found = given.setdefault(flag.name, [])
    if flag.form != "list":
        found.append(value)
        return
    listed = _listed(value)
    if listed is None:
        raise BadUsage(f"--{flag.name} takes comma-separated values; its quotation marks are odd")
    found.extend(listed)


def _unknown(name: SecretStr, known: Iterable[str], place: str) -> str:
    # Not the word itself: it may be a value that a slip made an option.
    nearest = difflib.get_close_matches(name, list(known), n=1)
    question = f"; did you mean --{nearest[0]}?" if nearest else ""
    return f"there is no such option ({place}){question}"


def _listed(value: SecretStr) -> list[SecretStr] | None:
    """Split as encoding/csv does with the first record; None where that is an error."""
    if not value:
        return []
    lines = [SecretStr(line) for line in value.replace("\r\n", "\n").split("\n")]
    lines[-1] = SecretStr(lines[-1].removesuffix("\r"))
    while lines and not lines[0]:
        del lines[0]
    if not lines:
        return None
    # The record ends with its line, unless a quotation mark is open there.
    text = SecretStr("\n".join(lines))
    found: list[SecretStr] = []
    at = 0
    while True:
        if text[at : at + 1] != '"':
            end = min(_index(text, ",", at), _index(text, "\n", at))
            if '"' in text[at:end]:
                return None
            found.append(text[at:end])
        else:
            content = SecretStr()
            at += 1
            while True:
                end = text.find('"', at)
                if end < 0:
                    return None
                content = SecretStr(content + text[at:end])
                at = end + 1
                if text[at : at + 1] != '"':
                    break
                content = SecretStr(content + '"')
                at += 1
            found.append(content)
            end = at
            if text[end : end + 1] not in ("", ",", "\n"):
                return None
        if text[end : end + 1] != ",":
            return found
        at = end + 1


def _index(text: str, one: str, start: int) -> int:
    found = text.find(one, start)
    return len(text) if found < 0 else found
