"""What is shown of a value up to an ellipsis is masked, as tables and representations cut it."""

from __future__ import annotations

import base64
import html
import json
import re
import textwrap

import pandas as pd
import pytest
from leaks import matrix

from kfsecrets_ext.redaction import Redactor, marker

PHRASE = "correct horse battery staple, and seven more words that nobody knows"
ADDRESS = "postgresql://robot:horse@db.example.com:5432/app?sslmode=require&connect_timeout=10"
VALUES = {"phrase": PHRASE, "address": ADDRESS, "Unicode": "pässwörd für жук und 密碼 " * 3}


def redactor(value: str) -> Redactor:
    known = Redactor()
    known.add("a", value)
    return known


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("ellipsis", ["...", "…", "<...>", " [...]", "', ...", "\n...", "....."])
def test_the_beginning_of_a_value_before_an_ellipsis_is_masked(name: str, ellipsis: str) -> None:
    value = VALUES[name]
    known = redactor(value)
    for size in range(22, len(value)):
        text = f"x {value[:size]}{ellipsis} y"
        masked = known.redact(text)
        # What stands between the value's last letter and the ellipsis may stay.
        assert re.fullmatch(r"x \[redacted:a\][ ,:'\n\[<]*[.…]+[>\]]? y", masked), (size, masked)
        assert known.redact(masked) == masked


@pytest.mark.parametrize("write", [repr, ascii, json.dumps, html.escape, lambda text: text])
@pytest.mark.parametrize("name", VALUES)
def test_a_text_of_any_escapes_is_cut_short_too(name: str, write: object) -> None:
    assert callable(write)
    known = redactor(VALUES[name])
    shown = write(VALUES[name][:40] + "\N{HORIZONTAL ELLIPSIS}")
    assert VALUES[name][:8] not in known.redact(f"<{shown}>")
    assert marker("a") in known.redact(f"<{shown}>")


def test_what_tables_and_representations_cut_is_masked() -> None:
    for value in VALUES.values():
        known = redactor(value)
        for text in (
            repr(pd.DataFrame({"a": [value], "b": [1]})),
            repr(pd.Series([value] * 2)),
            textwrap.shorten(PHRASE, 40) if value == PHRASE else f"{value[:30]} [...]",
        ):
            assert "..." in text
            assert value[:12] not in known.redact(text)
            assert marker("a") in known.redact(text)
    encoded = base64.b64encode(PHRASE.encode()).decode()
    assert redactor(PHRASE).redact(f"{encoded[:44]}...") == f"{marker('a')}..."
    assert redactor(PHRASE).redact(f"{PHRASE.encode().hex()[:44]}...") == f"{marker('a')}..."


@pytest.mark.parametrize(
    "text",
    [
        # too little to be sure
        "correct horse...",
        "correct horse bat...",
        # no ellipsis, or none yet
        "correct horse battery staple.. x",
        "correct horse battery staple. x",
        "correct horse battery staple, x ...",
        "correct horse battery staple (x...",
    ],
)
def test_other_text_stays(text: str) -> None:
    assert redactor(PHRASE).redact(f"{text} y") == f"{text} y"


@pytest.mark.parametrize("at", [13, 20, 30])
def test_a_value_that_holds_an_ellipsis_is_masked_up_to_where_it_differs(at: int) -> None:
    value = f"{PHRASE[:at]}...{PHRASE[at:]}"
    known = redactor(value)
    assert known.redact(f"<{value[:50]}...>") == f"<{marker('a')}...>"
    assert known.redact(f"<{value}>") == f"<{marker('a')}>"


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("ellipsis", ["...", "…", "<...>", " [...]", "..", ". x", "\\u2026"])
def test_a_stream_is_cut_short_as_the_whole_is(name: str, ellipsis: str) -> None:
    known = redactor(VALUES[name])
    whole = f"{VALUES[name][:33]}{ellipsis} and more; {VALUES[name][:18]}{ellipsis}"
    expected = known.redact(whole)
    for cut in range(len(whole) + 1):
        assert matrix.streamed(known, [whole[:cut], whole[cut:]]) == expected, cut
    assert matrix.streamed(known, list(whole)) == expected
