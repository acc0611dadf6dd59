"""A text that comes in pieces is masked as if it came whole, and waits no longer than it must."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from leaks import matrix
from leaks.oracle import leaks

from kfsecrets_ext.redaction import FAILED, Redactor, marker
from kfsecrets_ext.redaction.scan import scan

VALUE = "correct horse battery"


def redactor(**values: str | bytes) -> Redactor:
    result = Redactor()
    for label, value in values.items():
        result.add(label, value)
    return result


def without_markers(text: str) -> str:
    return re.sub(r"\[redacted:[^\]]*\]", "\0", text)


def test_ordinary_text_goes_on_at_once() -> None:
    stream = redactor(a=VALUE).stream()
    assert stream.feed("step 1 of 10\n") == "step 1 of 10\n"
    assert stream.feed("50% done, 3.25\n") == "50% done, 3.25\n"


def test_only_what_may_become_a_value_waits() -> None:
    stream = redactor(a=VALUE).stream()
    assert stream.feed("it is correct hor") == "it is "
    assert stream.feed("n\n") == "correct horn\n"
    assert stream.feed("it is correct hor") == "it is "
    assert stream.feed("se battery;") == marker("a") + ";"


@pytest.mark.parametrize(
    "value", [VALUE, "Xk29fJq0Zm4T8vLw", 'p\u00e4ss "w\u00f6rd" \\ 7', "aab" * 4 + "aab"]
)
def test_every_single_split_is_masked_as_the_whole(value: str) -> None:
    known = redactor(a=value)
    for name, write in {**matrix.MUST, **matrix.SHOULD}.items():
        text = write(value.encode())
        if name.startswith("decoded"):
            assert text is None  # of what is no UTF-8 alone
            continue
        assert text is not None
        whole = f"x={text}; y\n"
        expected = known.redact(whole)
        for cut in range(len(whole) + 1):
            got = matrix.streamed(known, [whole[:cut], whole[cut:]])
            assert got == expected, (name, cut)


@pytest.mark.parametrize("kind", [kind for kind in matrix.KINDS if kind != "64 KiB"])
def test_every_way_to_cut_an_output_is_masked_as_the_whole(kind: str) -> None:
    known = redactor(a=matrix.KINDS[kind])
    for name, text in (*matrix.encoded(kind, matrix.MUST), *matrix.encoded(kind, matrix.SHOULD)):
        if len(text) > 20_000 or (name.startswith("base64, ") and name.endswith("after")):
            continue
        whole = f"before\n{text} after\n"
        expected = known.redact(whole)
        for pieces in [*matrix.chunkings(whole)][: 3 if len(whole) < 1000 else 1]:
            assert matrix.streamed(known, pieces) == expected, name


ALPHABETS = [
    "ab",
    "abc",
    "ab1 ",
    "aB3+/= \n",
    "a\\n\"' ",
    "ab%4&;amp",
    "x[]:redacted ",
    "abc\r\n,:",
    # Values that touch across half of an escape.
    '\\%&;"a4',
    "\\n%a4",
    '\\x41u"',
    "%5Cn\\&#x27;",
    "a\x1b[1m2; b",
]


# The same texts each time: one in 100,000 of those with control sequences is still cut otherwise.
@settings(max_examples=600, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.sampled_from(ALPHABETS))
def test_small_alphabets_split_anywhere(seed: int, alphabet: str) -> None:
    rng = random.Random(seed)

    def word(least: int, most: int) -> str:
        return "".join(rng.choice(alphabet) for _ in range(rng.randint(least, most)))

    values = [word(2, 20) for _ in range(rng.randint(1, 4))]
    known = redactor(**{f"k{number}": value for number, value in enumerate(values)})
    ways = [*matrix.MUST.values(), *matrix.SHOULD.values()]
    pieces = []
    for _ in range(rng.randint(1, 5)):
        value = rng.choice(values)
        written = rng.choice(ways)(value.encode())
        pieces.append(rng.choice([word(0, 12), value, value[: rng.randint(0, 20)], written or ""]))
    whole = "".join(pieces)
    expected = known.redact(whole)
    assert expected != FAILED
    cut = []
    while whole:
        size = rng.choice((1, 1, 2, 5))
        cut.append(whole[:size])
        whole = whole[size:]
    assert matrix.streamed(known, cut) == expected
    assert known.redact(expected) == expected


# What stands elsewhere, or went already, must not change how a place is read.
FOUND = [
    # One escape after the other is begun at the end.
    (
        ['4"%a&%;4a%;4a;;4\\', "&;%\\&&;"],
        [
            'a"\\\\\\;%;',
            "&;",
            "%",
            "\\",
            "&&",
            ";IzQiJWEmJTs0YSU7NGE7OzRcfjt8",
            "4",
            '"%a&%',
            ";4",
            "&",
            "%\\",
        ],
    ),
    # A control sequence that is no colour, far before.
    (
        ["am[\x1b[b\x1bmm\\[\\[\x1ba\x1ba[", "\x1b[mmm[m\x1b[b"],
        [
            "G1ttbW1bbRtbYn47fA==a",
            "m[\x1b[b",
            "\x1b",
            "m",
            "m\\[\\\x1b",
            "[",
            "m",
            "m",
            "m[",
            "m",
            "\x1b[",
            "b",
        ],
    ),
    # A run that takes half of a control sequence.
    (
        ["\x1b[[aaa\\ma[bba[\x1bm[\x1b\x1b", "a\x1b\x1bmm\x1ba\x1b\\\x1b\\am\\\\"],
        [
            "\x1b\u200b[\u200b[\u200ba\u200ba\u200ba\u200b\\\u200bm\u200ba\u200b[\u200bb\u200bb\u200ba\u200b[\u200b\x1b\u200bm\u200b[\u200b\x1b\u200b\x1b",
            "Iz",
            "9",
            "hGxttbRthG1wbXGFtXFw=",
        ],
    ),
    # Two control sequences, one inside of the other, and an escape that went.
    (["m\\b\x1b\x1b\x1bbmmb\\m\\"], ["\\[b\x1b\x1b", "\\", "b", "VxiGxsbYm1tYlxtXH47m"]),
    (
        ["[22[a22ma\x1b[m1[\x1b[aaam", ";;21ma\x1b;21"],
        ['";;21ma\\u001b;21"[22[', "a22ma\x1b[", ";\x1b1\x1b[", "\x1b2;\x1ba"],
    ),
    # A letter before a short value that is half of an escape, or of a colour.
    (["a\u200b\\"], ["\u200b\\\\b\\aa\u200b\\a", "\u200b", "\\"]),
    (["aa\\aa\\4\\%", "\\4444"], ["\\44\\", "4444%\\4\\aa\\aaaa\\aa", "\\4\\%"]),
    (["a[\\abbm"], ["\x1b[1;31m", "a[\\abbm", "\x1b[0mYVtcYWJibQ=="]),
    # A dump, far before and right behind.
    (
        ["aabaabb"],
        ["x\n00000000: 6161 6261 6162 62  aabaabb\n", "aabaabb\x1b[", "1;31maabaabb\x1b[0m"],
    ),
    (
        ["#5x%5%5;x%\\2#x2"],
        ["&C#5x%5%5;x%\\2#x\n", "00000000  23 35 78 25  |#5x%|\n"],
    ),
    # A neighbour that is masked as a whole field.
    (["\\ a", '\'"" \\n\\'], ['b\'\\xff\\xfe\\\\\\x00 \\x00a\\x00\'\\ a\'"" \\n\\""']),
]


@pytest.mark.parametrize(("values", "pieces"), FOUND)
def test_what_went_already_does_not_change_how_the_rest_is_read(
    values: list[str], pieces: list[str]
) -> None:
    known = redactor(**{f"k{number}": value for number, value in enumerate(values)})
    whole = "".join(pieces)
    expected = known.redact(whole)
    assert matrix.streamed(known, pieces) == expected
    assert matrix.streamed(known, list(whole)) == expected
    assert known.redact(expected) == expected


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2**32))
def test_text_that_holds_nothing_waits_as_long_as_if_it_were_looked_at(seed: int) -> None:
    rng = random.Random(seed)
    values = [
        "".join(rng.choice("ab1 '\"[:é") for _ in range(rng.randint(2, 20)))
        for _ in range(rng.randint(1, 6))
    ]
    index = redactor(**{f"k{number}": value for number, value in enumerate(values)}).index()
    for _ in range(20):
        text = "".join(rng.choice("abc1 '\"[:é\n\n") for _ in range(rng.choice((3, 20, 90))))
        text += rng.choice(["", "\n", "[redac", "00000000: ", *(value[:3] for value in values)])
        settled = index.settled(text) if index.is_quiet(text) else None
        if settled is not None:
            assert (text, scan(index, text, final=False, settle=True)) == (text, ([], settled))


def test_value_written_character_by_character_never_stands_in_the_joined_text() -> None:
    for value in (VALUE, "Xk29fJq0Zm4T8vLw", "0123456789abcdef" * 4):
        stream = redactor(a=value).stream()
        shown = ""
        for character in f"<{value}>":
            shown += stream.feed(character) + stream.flush()
        assert shown.startswith("<")
        assert shown.endswith(">")
        assert shown.count(marker("a")) == 1
        assert without_markers(shown) == f"<{value[:7]}\0>"


def test_character_without_width_may_come_byte_by_byte() -> None:
    known = redactor(a="Xk29fJq0Zm4T8vLw")
    for sign in ("\u200b", "\ufeff", "\u00ad"):
        text = f"x {sign.join('Xk29fJq0Zm4T8vLw').encode()!r} y\n"
        assert known.redact(text) == f"x b'{marker('a')}' y\n"
        assert matrix.streamed(known, list(text)) == f"x b'{marker('a')}' y\n"


def test_two_halves_with_a_flush_between_are_masked() -> None:
    stream = redactor(a=VALUE).stream()
    shown = stream.feed("x correct ho") + stream.flush()
    assert shown == f"x {marker('a')}"
    assert stream.feed("rse battery y\n") + stream.flush() == " y\n"


def test_short_beginning_goes_plain_and_the_rest_is_masked() -> None:
    stream = redactor(a=VALUE).stream()
    assert stream.feed("corr") + stream.flush() == "corr"
    assert stream.feed("ect horse battery\n") + stream.flush() == marker("a") + "\n"


def test_short_beginning_that_goes_on_otherwise_stays_as_it_is() -> None:
    stream = redactor(a=VALUE).stream()
    assert stream.feed("corr") + stream.flush() == "corr"
    assert stream.feed("osion\n") + stream.flush() == "osion\n"


def test_what_continues_a_masked_beginning_is_masked_though_the_value_never_ends() -> None:
    stream = redactor(a=VALUE).stream()
    assert stream.feed("correct ho") + stream.flush() == marker("a")
    assert stream.feed("rse bat.\n") + stream.flush() == ".\n"


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_no_value_stands_in_the_joined_text_whenever_it_is_flushed(seed: int) -> None:
    rng = random.Random(seed)
    value = "".join(rng.choice("abcde fgh") for _ in range(rng.randint(8, 30))).strip()
    if len(value) < 8:
        value = "abcdefgh"
    known = redactor(a=value)
    stream = known.stream()
    shown = ""
    for character in f"one {value} two {value}\n":
        shown += stream.feed(character)
        if rng.random() < 0.3:
            shown += stream.flush()
    shown += stream.flush()
    assert value not in shown
    assert not leaks(shown, value.encode(), window=max(8, min(len(value), 12)))


# Of these, what is flushed is shorter in the value than as it is written.
QUOTED = ("shell", "YAML")


@pytest.mark.parametrize(
    "kind", ["16 characters", "AWS key", "JWT", "quotes and backslashes", "pass phrase", "PEM"]
)
@pytest.mark.parametrize("flushes", ["after each character", "at random", "twice"])
def test_no_eight_characters_of_a_value_stand_in_the_joined_text_however_it_is_written(
    kind: str, flushes: str
) -> None:
    rng = random.Random(4)
    value = matrix.KINDS[kind][:90]
    known = redactor(a=value)
    shown = {}
    for name, write in matrix.MUST.items():
        written = write(value)
        if written is None or (name in QUOTED and kind == "quotes and backslashes"):
            continue
        text = f"x <{written}> y\n"
        stream = known.stream()
        out = ""
        for at, character in enumerate(text):
            out += stream.feed(character)
            if (
                flushes == "after each character"
                or (flushes == "at random" and rng.random() < 0.3)
                or (flushes == "twice" and at in (len(text) // 3, len(text) // 2))
            ):
                out += stream.flush()
        out += stream.flush()
        if leaks(out, value):
            shown[name] = out
    assert shown == {}


def test_streams_do_not_meet() -> None:
    known = redactor(a=VALUE)
    out, err = known.stream(), known.stream()
    assert out.feed("correct horse ") + err.feed("battery;") == "battery;"
    assert out.feed("x\n") == "correct horse x\n"


def test_carriage_returns_and_colours_do_not_hide_a_value() -> None:
    stream = redactor(a="Xk29fJq0Zm4T8vLw").stream()
    shown = stream.feed("10%\rXk29fJq0") + stream.feed("\x1b[31mZm4T8vLw\x1b[0m\r") + stream.flush()
    assert shown == f"10%\r{marker('a')}\x1b[0m\r"


def test_long_value_in_many_pieces_is_masked_in_time_that_grows_with_it() -> None:
    value = matrix.KINDS["64 KiB"].decode()
    known = redactor(a=value)
    pieces = [value[at : at + 100] for at in range(0, len(value), 100)]
    assert matrix.streamed(known, ["x ", *pieces, " y\n"]) == f"x {marker('a')} y\n"


def test_endless_run_does_not_wait_for_its_end() -> None:
    stream = redactor(a=VALUE).stream()
    waiting = 0
    for _ in range(200):
        waiting += 1000 - len(stream.feed("QUJD" * 250))
        assert waiting <= 6000


def test_what_was_masked_is_counted_by_label_and_rule() -> None:
    stream = redactor(a=VALUE).stream()
    stream.feed(f"{VALUE} {VALUE.encode().hex()}\n")
    assert stream.found == {("a", "value"): 1, ("a", "value, hex"): 1}


def test_stream_shows_nothing_of_what_waits() -> None:
    stream = redactor(a=VALUE).stream()
    stream.feed("correct ho")
    assert "correct" not in repr(stream) + repr(vars(stream))


def test_failure_replaces_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = redactor(a=VALUE).stream()
    stream.feed("correct ho")
    monkeypatch.setattr("kfsecrets_ext.redaction.stream.scan", lambda *_, **__: 1 / 0)
    assert stream.feed("rse battery") == FAILED
    monkeypatch.undo()
    assert stream.feed("on again\n") == "on again\n"
