"""Values that are written otherwise than they are shown: markup, borders, dumps in other texts."""

from __future__ import annotations

import html
import io
import json
import pprint
import random
import re
from collections.abc import Callable
from typing import Any

import pytest
import rich.console
import rich.panel
import rich.table
from hypothesis import given
from hypothesis import strategies as st
from leaks import matrix
from leaks.oracle import leaks
from pygments import highlight
from pygments.formatters import HtmlFormatter, LatexFormatter
from pygments.lexers import BashLexer, PythonLexer

from kfsecrets_ext.redaction import Redactor

VALUES = [
    "S3cret-Pass/2024!x",
    "hunter2:9f8a7b6c@corp",
    "xK9_mPq2.Rt7wZ4-81",
    "Ab3$kd92=True,xQ",
    "xoxb-1234567890-ABCDEFabcdef012345",
    "correct horse battery staple 42",
    "Gx!7\"q&Lp\\w<9>Zt'k%R#+/=",
    "Tr0ub4dor&3-xkcd!",
    "oJk9s8d7f6g5h4j3k2l1Qq0WwEeRrTtYyUuIiOoP",
    "the quick-witted ferret, named Osbert (aged 7), hides 3 keys: under the mat; tell nobody",
    "pässwörd-жук-密碼-2024",
    matrix.KINDS["PEM"].decode(),
]
MARKER = "[redacted:s/key]"


def known(value: str) -> Redactor:
    made = Redactor()
    made.add("s/key", value)
    return made


def in_html(shown: Any, width: int = 100) -> str:
    console = rich.console.Console(record=True, file=io.StringIO(), width=width)
    console.print(shown)
    return console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")


def in_text(shown: Any, width: int = 100) -> str:
    console = rich.console.Console(file=io.StringIO(), width=width)
    console.print(shown)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def one_column(value: str) -> rich.table.Table:
    table = rich.table.Table("value")
    table.add_row(rich.markup.escape(value))
    return table


def halves(value: str) -> str:
    half = len(value) // 2
    return f"<b>{html.escape(value[:half])}</b>{html.escape(value[half:])}"


MARKUP: dict[str, Callable[[str], str]] = {
    "rich": lambda value: in_html(rich.markup.escape(f"password={value} ok")),
    "rich, a pair": lambda value: in_html({"k": value}),
    "a frame": lambda value: in_html(rich.panel.Panel(rich.markup.escape(value)), 30),
    "a frame in a terminal": lambda value: in_text(rich.panel.Panel(rich.markup.escape(value)), 30),
    "a table": lambda value: in_text(one_column(value), 24),
    "pygments": lambda value: highlight(f"password={value}", BashLexer(), HtmlFormatter()),
    "LaTeX": lambda value: highlight(f"x = {value!r}", PythonLexer(), LatexFormatter()),
    "bold": halves,
    "cells": lambda value: "<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in value) + "</tr>",
    "a comment": lambda value: value[:7] + "<!-- > -->" + value[7:],
    "in JSON": lambda value: json.dumps({"html": halves(value)})[1:-1].replace('\\"', "'"),
    "bytes of several lines": lambda value: pprint.pformat(value.encode(), width=20),
    "hex of each byte": lambda value: str([hex(one) for one in value.encode()]),
}


def seen(text: str) -> str:
    """What a reader sees of it: no tags, borders, line ends, commands."""
    for pattern in (r"<!--.*?-->|<[^<>]*>", "[\u2500-\u257f]", r"\\PY\{[^{}]*\}\{|\}", r"\n\s*b?"):
        text = re.sub(pattern, "", text)
    text = re.sub(r"\\PYZ(..)\{", lambda one: LATEX.get(one[1], "?"), text)
    return html.unescape(text)


LATEX = {"hy": "-", "us": "_", "am": "&", "sq": "'", "pc": "%", "dl": "$", "sh": "#", "bs": "\\"}


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("way", list(MARKUP))
def test_what_markup_hides_is_masked(way: str, value: str) -> None:
    text = MARKUP[way](value)
    masked, findings = known(value).mask_shown(text)
    secret = "".join(value.splitlines()[1:-1]) if "BEGIN" in value else value
    for shown in (masked, seen(masked)):
        assert not leaks(shown, secret.encode()), shown
    assert MARKER in masked
    assert {one.label for one in findings} == {"s/key"}
    # each tag is still closed
    for tag in ("span", "b", "td"):
        assert text.count(f"<{tag}") == masked.count(f"<{tag}")
        assert masked.count(f"<{tag}") == masked.count(f"</{tag}>")
    assert known(value).mask_shown(masked) == (masked, ())


def xxd(value: str) -> str:
    return str(matrix.SHOULD["xxd"](value.encode()))[1:]


def hexdump(value: str) -> str:
    size = len(value.encode())
    return str(matrix.SHOULD["hexdump -C"](value.encode()))[1:] + f"{size:08x}\n"


def od(value: str) -> str:
    size = len(value.encode())
    return str(matrix.SHOULD["od -t x1"](value.encode()))[1:] + f"{size:07o}\n"


PLACES: dict[str, Callable[[str], str]] = {
    "a list of lines": lambda dump: repr(dump.splitlines()),
    "bytes": lambda dump: repr(dump.encode()),
    "an attribute": lambda dump: f"CompletedProcess(returncode=0, stdout={dump!r}, stderr='')",
    "after another text": lambda dump: f"dump: {dump}",
    "after the file itself": lambda dump: f"{MARKER}{dump}",
    "indented": lambda dump: re.sub("(?m)^", "   ", dump),
    "HTML": lambda dump: f"<pre>{html.escape(dump)}</pre>",
    "JSON": json.dumps,
    "JSON in JSON": lambda dump: json.dumps([json.dumps(dump)]),
    "a log": lambda dump: f"WARNING:root:{dump}",
    "in quotation marks of mail": lambda dump: re.sub("(?m)^", "> ", dump),
}


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("dumped", [xxd, hexdump, od])
@pytest.mark.parametrize("place", list(PLACES))
def test_a_dump_is_masked_wherever_it_stands(
    place: str, dumped: Callable[[str], str], value: str
) -> None:
    text = PLACES[place](dumped(value))
    masked, findings = known(value).mask_shown(text)
    assert findings
    secret = "".join(value.splitlines()[1:-1]) if "BEGIN" in value else value
    # What stands beside the digits, too, escaped or not
    digits = "".join(re.findall("[0-9a-f]{2}", secret.encode().hex()))
    plain = re.sub(r"\s|(?:^|(?<=\D))[0-9a-f]{6,8}:? ", "", masked)
    assert not leaks(masked, secret.encode())
    assert digits[:24] not in plain
    assert known(value).mask_shown(masked) == (masked, ())


TAGS = st.sampled_from(
    ["<b>", "</b>", '<span style="x">', "</span>", "<br>", "</td>\n<td>", "<!-- x -->", "<wbr/>"]
)


@given(
    # a letter in each: of digits alone, below sixteen, only what is evenly apart is meant
    st.lists(
        st.sampled_from(["ab", "c-", "X0", "Z/", "b!", "1a", "a&", "<Z", "X'", "c b", "é>"]),
        min_size=12,
        max_size=16,
    ).map("".join),
    st.lists(st.tuples(st.integers(0, 30), TAGS), max_size=6),
)
def test_wherever_tags_are_put_no_piece_is_left(value: str, cuts: list[tuple[int, str]]) -> None:
    redactor = known(value)
    if redactor.unguarded():
        return
    pieces = [html.escape(one) for one in value]
    for at, tag in cuts:
        pieces.insert(at, tag)
    masked, _ = redactor.mask_shown("x " + "".join(pieces) + " y")
    visible = html.unescape(re.sub(r"<!--.*?-->|<[^<>]*>", "", masked))
    assert value not in visible
    assert redactor.mask_shown(masked) == (masked, ())


def test_markup_and_dumps_without_a_value_stay() -> None:
    rng = random.Random(3)
    redactor = Redactor()
    for number, value in enumerate([*VALUES, "q7z", "Zq7Xw2", "48291", "8829104756"]):
        redactor.add(f"s/{number}", value)
    cells = "".join(f"<td>{rng.randrange(10)}</td>\n" for _ in range(500))
    other = bytes(rng.randrange(256) for _ in range(500))
    for text in (
        f"<table><tr>{cells}</tr></table>",
        f"<table><tr>{cells}</tr></table>".replace("\n", ""),
        in_html({"k": [other, "correct horse", 1.5, None], "path": "/a/b"}),
        in_text(rich.panel.Panel("a | b |\n| c | d"), 20),
        highlight("x = {'a': 1 << 2, **y}", PythonLexer(), LatexFormatter()),
        str([hex(one) for one in other]),
        pprint.pformat(other, width=20),
        repr(str(matrix.SHOULD["xxd"](other)).splitlines()),
        repr(str(matrix.SHOULD["hexdump -C"](other))),
        "a < b and c > d; x<y; <3; 0x1f 0xdeadbeef",
        "<q7z> q7zx",
    ):
        assert redactor.mask_shown(text) == (text, ())


@pytest.mark.parametrize("part", ["look", "may_hide"])
def test_a_failure_masks_the_text(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    redactor = known(VALUES[0])
    monkeypatch.setattr(f"kfsecrets_ext.redaction.redactor.{part}", lambda *_: 1 / 0)
    masked = redactor.mask_shown(f"<b>{VALUES[0]}</b>")
    assert VALUES[0] not in masked.text
    assert masked.findings[0].rule == "failed"
