"""Each rule that masks has words that a user understands."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from urllib.parse import quote_plus

import pytest

from kfsecrets_ext.redaction import FAILED, Masked, Redactor
from kfsecrets_ext.redaction.words import RULES, explain

VALUE = "Zürich-7f3a9c51e0d2 +/= q8Wm4Kx2"
PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END KEY-----\n"


def rules(value: str, text: str) -> set[str]:
    """The rules that mask a text in which a value stands."""
    redactor = Redactor()
    redactor.add("test-secret/foo", value)
    return {finding.rule for finding in redactor.mask(text).findings}


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (str, "the value"),
        (lambda value: base64.b64encode(value.encode()).decode(), "the value, in base64"),
        (lambda value: value.encode().hex(), "the value, in hexadecimal"),
        (lambda value: value[::-1], "the value, written backwards"),
        (quote_plus, "the value, escaped for a URL"),
        (lambda value: value[:10], "the value, only its beginning"),
        (lambda value: value[:16], "the value, a piece of it"),
    ],
)
def test_a_rule_is_told_in_words(write: Callable[[str], str], words: str) -> None:
    value = VALUE if write is quote_plus else "7f3a9c51e0d2q8Wm4Kx2Vb6Jt1Nz"
    assert {explain(rule) for rule in rules(value, write(value))} == {words}


def test_parts_of_a_value_are_told_by_what_they_are() -> None:
    configuration = json.dumps({"password": "q8Wm4Kx2Vb6Jt1Nz"})
    found = rules(configuration, "q8Wm4Kx2Vb6Jt1Nz")
    found |= rules("postgres://me:q8Wm4Kx2Vb6Jt1Nz@db/x", "q8Wm4Kx2Vb6Jt1Nz")
    found |= rules(PEM, "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC")
    assert len(found) == 3
    for rule in found:
        assert set(rule.split(", ")) <= set(RULES)


def test_every_part_of_a_rule_that_the_engine_can_name_has_words() -> None:
    from kfsecrets_ext.redaction import forms, parts, passes

    named = {kind.name for kind in vars(forms).values() if isinstance(kind, forms.Kind)}
    for kinds in vars(forms).values():
        if isinstance(kinds, tuple):
            named |= {kind.name for kind in kinds if isinstance(kind, forms.Kind)}
    with open(parts.__file__, encoding="utf-8") as source:
        named |= set(re.findall(r'yield "([^"]+)", ', source.read()))
    with open(passes.__file__, encoding="utf-8") as source:
        named |= (its := set(re.findall(r', (its \w+)"', source.read())))
    assert its == {"its beginning"}
    assert len(named) > 10
    assert named - {""} <= set(RULES)


def test_a_failure_has_words() -> None:
    redactor = Redactor(engine=lambda *_: 1 // 0)  # type: ignore[arg-type,return-value]
    redactor.add("test-secret/foo", "correct horse")
    masked = redactor.mask("text")
    assert isinstance(masked, Masked)
    assert masked.text == FAILED
    assert [explain(finding.rule) for finding in masked.findings] == [RULES["failed"]]


def test_a_rule_without_words_stays_as_it_is() -> None:
    assert explain("value, in Klingon") == "the value, in Klingon"
