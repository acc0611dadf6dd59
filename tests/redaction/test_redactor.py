"""Known values are masked, everything else stays as it is."""

from __future__ import annotations

import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfsecrets_ext import redaction
from kfsecrets_ext.redaction import Redactor, guard, marker


def redactor(**values: str | bytes) -> Redactor:
    result = Redactor()
    for label, value in values.items():
        result.add(label, value)
    return result


def test_value_is_replaced_by_a_marker_that_names_it() -> None:
    known = Redactor()
    known.add("test-secret/foo", "correct horse")
    assert known.redact("<correct horse>") == "<[redacted:test-secret/foo]>"
    assert known.redact("correct horsecorrect horse") == "[redacted:test-secret/foo]" * 2
    assert known.redact("incorrect house") == "incorrect house"


def test_bytes_and_unicode_are_known_as_text() -> None:
    known = redactor(a="pässwörd \U0001f511", b=b"caf\xc3\xa9 au lait")
    assert known.redact("x pässwörd \U0001f511 y café au lait") == "x [redacted:a] y [redacted:b]"


def test_longer_value_wins_over_its_own_part() -> None:
    known = redactor(short="password", long="password123!")
    assert known.redact("password123!") == "[redacted:long]"


@pytest.mark.parametrize("labels", ["ab", "ba"])
def test_whole_value_is_named_before_one_that_it_is_a_part_of(labels: str) -> None:
    whole, part = labels
    token = "Xk29fJq0Zm4T8vLw"
    assert redactor(**{whole: token, part: f"p-{token}"}).redact(token) == marker(whole)
    line = f"token q8Wm4Kx2Vb6J\nurl = https://robot:{token}@host/\n"
    assert redactor(**{whole: token, part: line}).redact(token) == marker(whole)


def test_colour_that_belongs_to_a_value_is_not_dropped_from_it() -> None:
    value = "\x1b[31mXk29\\fJq0"
    known = redactor(a=value)
    for text in (value, value.replace("\\", "\\\\"), f"\x1b[1m{value}\x1b[0m"):
        assert "fJq0" not in known.redact(text)


def test_overlapping_values_leave_nothing_between() -> None:
    known = redactor(a="abcdefgh12", b="gh12345678")
    assert known.redact("<abcdefgh12345678>") == "<[redacted:a]>"


def test_value_that_overlaps_itself_leaves_nothing() -> None:
    known = redactor(a="abababab")
    assert known.redact("ababababab") == "[redacted:a]"


def test_line_end_of_a_file_is_no_part_that_must_be_there() -> None:
    known = redactor(a=b"correct horse\n")
    assert known.redact("correct horse") == "[redacted:a]"
    assert known.redact("(correct horse\n)").startswith("([redacted:a]")


@pytest.mark.parametrize(
    ("value", "text", "expected"),
    [
        ("s3cre", "xs3crex", "xs3crex"),
        ("s3cre", "x s3cre, x", "x [redacted:a], x"),
        ("bar", "bar", "[redacted:a]"),
        ("bar", "'bar'", "[redacted:a]"),
        ("bar", "foo\nbar\nfoo", "foo\n[redacted:a]\nfoo"),
        ("bar", "foobar bar", "foobar bar"),
        ("x", "x", "x"),
        ("true", "true", "true"),
        ("admin", "admin", "admin"),
        ("1234", "1234", "1234"),
        ("123456", "pin 123456.", "pin [redacted:a]."),
    ],
)
def test_short_and_common_values_are_masked_only_where_they_stand_alone(
    value: str, text: str, expected: str
) -> None:
    got = redactor(a=value).redact(text)
    assert got.replace("'", "") == expected.replace("'", "")


@pytest.mark.parametrize(
    "written",
    [
        b"correct horse",
        b"correct\\u0020horse",
        b"Y29ycmVjdCBob3JzZQ",
        b"c\0o\0r\0r\0e\0c\0t\0 \0h\0o\0r\0s\0e\0",
    ],
    ids=["plain", "escaped", "base64", "UTF-16"],
)
def test_binary_data_is_looked_through_as_text_is(written: bytes) -> None:
    known = redactor(a="correct horse")
    noise = random.Random(5).randbytes(4096)
    assert known.contains(noise) == ()
    (found,) = known.contains(noise + written + noise)
    assert found.label == "a"


def test_marker_is_never_masked_itself() -> None:
    known = Redactor()
    known.add("test-secret/foo", "correct horse")
    known.add("other", "test-secret/foo")
    known.add("third", "[redacted")
    once = known.redact("correct horse")
    assert once == "[redacted:test-secret/foo]"
    assert known.redact(once) == once


def test_order_of_registration_does_not_matter() -> None:
    values = [("a", "abcdefgh"), ("b", "efghijkl"), ("c", "abcdefghij"), ("d", "ijklmnopqr")]
    text = "abcdefghijklmnopqr abcdefghij efghijkl"
    results = set()
    for seed in range(20):
        shuffled = values[:]
        random.Random(seed).shuffle(shuffled)
        known = Redactor()
        for label, value in shuffled:
            known.add(label, value)
        results.add(known.redact(text))
    assert len(results) == 1


def test_first_label_of_a_value_is_kept_and_values_are_never_forgotten() -> None:
    known = redactor(a="the same value")
    known.add("b", "the same value")
    known.add("a", "a later generation")
    assert known.redact("the same value") == "[redacted:a]"
    assert known.redact("a later generation") == "[redacted:a]"
    assert len(known) == 2


def test_representations_show_no_value() -> None:
    known = redactor(a="correct horse")
    known.redact("correct horse")
    shown = repr(known) + repr(known._record) + repr(known._record.known()) + repr(known.index())
    assert "correct" not in shown


def test_empty_value_is_nothing() -> None:
    known = redactor(a="", b=b"")
    assert known.redact("anything") == "anything"
    assert len(known) == 0


def test_process_has_one_redactor() -> None:
    found: list[Redactor] = []
    threads = [threading.Thread(target=lambda: found.append(guard())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {id(one) for one in found} == {id(redaction.guard())}


def test_values_added_while_redacting_are_masked_from_then_on() -> None:
    known = Redactor()
    stop = threading.Event()

    def add() -> None:
        for number in range(500):
            known.add("n", f"value number {number:04}")
        stop.set()

    thread = threading.Thread(target=add)
    thread.start()
    while not stop.is_set():
        known.redact("value number 0000")
    thread.join()
    assert known.redact("value number 0499") == "[redacted:n]"


words = st.text(st.sampled_from("abcAB1/+="), min_size=8, max_size=20)


@given(st.dictionaries(st.sampled_from("uvwxyz"), words, min_size=1), st.data())
def test_no_known_value_remains_and_again_changes_nothing(
    values: dict[str, str], data: st.DataObject
) -> None:
    known = redactor(**values)
    pieces = data.draw(st.lists(st.one_of(words, st.sampled_from(sorted(values.values())))))
    text = data.draw(st.sampled_from(["", " ", "\n"])).join(pieces)
    once = known.redact(text)
    rest = once
    for label in values:
        rest = rest.replace(marker(label), "\0")
    assert not any(value in rest for value in values.values())
    assert known.redact(once) == once


@given(st.text(st.sampled_from("xyz \n.,"), max_size=200))
def test_text_without_a_value_stays_as_it_is(text: str) -> None:
    assert redactor(a="abcdefgh", b="abc", c="abcde").redact(text) == text
