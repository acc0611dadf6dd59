"""Texts made to slip past a redactor: values that meddle with each other, encodings in encodings.

Run as a program it judges many of them: ``python -m leaks.adversary 20000 1``.
"""

from __future__ import annotations

import base64
import html
import json
import random
import shlex
import string
import sys
import unicodedata
import urllib.parse
from collections.abc import Callable
from typing import NamedTuple

from leaks.oracle import leaks

from kfsecrets_ext.redaction import FAILED, Redactor

__all__ = ["Case", "case", "faults"]

_ALNUM = string.ascii_letters + string.digits
_ALPHABETS = (
    _ALNUM,
    _ALNUM,
    _ALNUM + "+/=",
    _ALNUM + "-_",
    string.ascii_lowercase,
    "0123456789abcdef",
    string.digits,
    string.punctuation,
    _ALNUM + string.punctuation,
    "ab",
    'a"\\n',
    "\\%&;a4",
    "<>&'\"x",
    "ab \t",
    "äöü߀жל\U0001f511e\u0301",
    "[redacted:s/k0]",
    "abAB01+/ \n",
)
_SPECIAL = (
    "[redacted:",
    "[redacted:s/k0]",
    "redacted:s",
    "s/k0s/k0s/k0",
    "^(a+)+$|[b-c]{3,}\\d*?",
    "%41%42%43%44%45",
    "&amp;&lt;&gt;&amp;",
    "\\u0041\\u0042\\n",
    "aGVsbG8gd29ybGQ=",
    "68656c6c6f20776f726c64",
    "$HOME`id`$(id)'\"",
    "correct horse battery staple",
    "C:\\new\\table\\x41",
    '{"a": "b\\"c"}',
    "password\u0000binary",
    "two\nlines of it\nand three",
    "tab\tand\r\nreturn",
    "caf\u00e9 cr\u00e8me br\u00fbl\u00e9e",
)

Write = Callable[[str], str]


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# Those that can be laid around each other, at most three deep.
_ESCAPES: dict[str, Write] = {
    "JSON": lambda text: json.dumps(text),
    "JSON, not ASCII": lambda text: json.dumps(text, ensure_ascii=False),
    "JSON with slashes": lambda text: json.dumps(text).replace("/", "\\/"),
    "HTML": html.escape,
    "URL": urllib.parse.quote,
    "URL, all": lambda text: urllib.parse.quote(text, safe=""),
    "repr": repr,
    "repr of bytes": lambda text: repr(text.encode()),
    "ascii": ascii,
    "shell": shlex.quote,
    "coloured": lambda text: f"\x1b[1;31m{text}\x1b[0m",
    "plain": str,
}
_ENCODINGS: dict[str, Write] = {
    "base64": _b64,
    "base64, url-safe": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64, no padding": lambda text: _b64(text).rstrip("="),
    "base64, wrapped": lambda text: base64.encodebytes(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "hex, colons": lambda text: text.encode().hex(":").upper(),
    "reversed": lambda text: text[::-1],
    "UTF-16 in base64": lambda text: base64.b64encode(text.encode("utf-16-le")).decode(),
    "spaced": " ".join,
    "one a line": "\n".join,
}
_WRAPPERS: dict[str, Write] = {
    "JSON": json.dumps,
    "JSON with slashes": lambda text: json.dumps(text).replace("/", "\\/"),
    "HTML": html.escape,
    "URL, all": lambda text: urllib.parse.quote(text, safe=""),
    "repr": repr,
    "plain": str,
}


_BETWEEN = ("", "", " ", "\n", ", ", "\\", "%", "&", "=", "x", '"', "\x1b[0m")
_BEFORE = ("", "x ", "token=", "a\\", "%", '{"k": "', "<b>", "\n")
_SIGNS = ("\\", "%", "&")


class Case(NamedTuple):
    """Some values, and a text that holds them.

    Attributes
    ----------
    values : dict of str to str
    text : str
    ways : list of str
        How each of them was written.
    """

    values: dict[str, str]
    text: str
    ways: list[str]


def case(seed: int) -> Case:
    """Return the case of a number."""
    rng = random.Random(seed)
    values = _values(rng)
    text = rng.choice(_BEFORE)
    ways = []
    for _ in range(rng.randint(1, 3)):
        value = rng.choice(list(values.values()))
        # A sign that begins an escape takes the first character of an encoding with it: what
        # is left of that is no encoding of the value any more.
        way, written = ("plain", value) if text.endswith(_SIGNS) else _written(rng, value)
        text += written + rng.choice(_BETWEEN)
        ways.append(way)
    return Case(values, text, ways)


def _values(rng: random.Random) -> dict[str, str]:
    made: list[str] = []
    for _ in range(rng.randint(1, 4)):
        how = rng.random()
        if how < 0.15:
            value = rng.choice(_SPECIAL)
        elif how < 0.35 and made:
            other = rng.choice(made)
            at = rng.randrange(len(other))
            value = rng.choice(
                (
                    other[at:],
                    other[:at],
                    other + _word(rng, 6),
                    _word(rng, 6) + other,
                    other + other,
                    other[::-1],
                    _b64(other),
                    unicodedata.normalize("NFD", other),
                )
            )
        else:
            value = _word(rng, rng.choice((8, 8, 9, 12, 16, 20, 24, 40, 70)))
        if len(value.encode().strip()) >= 8:
            made.append(value)
    made = made or ["Xk29fJq0Zm4T8vLw"]
    return {f"s/k{number}": value for number, value in enumerate(dict.fromkeys(made))}


def _word(rng: random.Random, size: int) -> str:
    alphabet = rng.choice(_ALPHABETS)
    return "".join(rng.choice(alphabet) for _ in range(size))


def _written(rng: random.Random, value: str) -> tuple[str, str]:
    names = []
    if rng.random() < 0.4:
        name = rng.choice(list(_ENCODINGS))
        inside = name.startswith(("base64", "hex"))
        around = (_word(rng, rng.randint(0, 3)), _word(rng, rng.randint(0, 3)))
        text = _ENCODINGS[name](around[0] + value + around[1] if inside else value)
        names.append(name)
        layers = _WRAPPERS
    else:
        text, layers = value, _ESCAPES
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3))):
        name = rng.choice(list(layers))
        text = layers[name](text)
        names.append(name)
    return ", ".join(names), text


def faults(made: Case, *, split: int = 0) -> list[str]:
    """Return what a redactor does wrong with a case.

    Parameters
    ----------
    made : Case
    split : int
        How the text is cut in pieces for a stream.
    """
    known = Redactor()
    for label, value in made.values.items():
        known.add(label, value)
    masked = known.redact(made.text)
    if masked == FAILED:
        return ["failed"]
    found = []
    for label, value in made.values.items():
        found += [f"{label} leaks: {way}" for way in leaks(masked, value.encode())]
    if known.redact(masked) != masked:
        found.append("masked again it is another text")
    rng = random.Random(split)
    stream = known.stream()
    shown, position = "", 0
    while position < len(made.text):
        size = rng.choice((1, 1, 2, 3, 5, 13))
        shown += stream.feed(made.text[position : position + size])
        position += size
    if shown + stream.flush() != masked:
        found.append("in pieces it is another text")
    return found


def main(count: int, start: int) -> int:
    """Judge many cases, and print those that are not well."""
    wrong = 0
    for seed in range(start, start + count):
        made = case(seed)
        for fault in faults(made, split=seed):
            wrong += 1
            print(seed, fault, "|", " + ".join(made.ways), flush=True)
            break
    print(f"{count} cases, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
