"""No value is readable in a masked text, however it is written; the judge decodes."""

from __future__ import annotations

import base64

import pytest
from leaks import matrix
from leaks.oracle import leaks, shows

from kfsecrets_ext.redaction import Redactor, chains, forms, index, kinds, parts, passes

SMALL = [kind for kind in matrix.KINDS if kind != "64 KiB"]


@pytest.mark.parametrize("kind", SMALL)
def test_must_rows_leak_nothing(kind: str) -> None:
    assert matrix.judge(kind, matrix.MUST) == []


@pytest.mark.parametrize("kind", SMALL)
def test_should_rows_leak_nothing(kind: str) -> None:
    # The list of those that do is empty, and stays so.
    assert matrix.judge(kind, matrix.SHOULD) == []


@pytest.mark.parametrize("kind", [kind for kind in SMALL if len(matrix.KINDS[kind]) < 1000])
def test_judge_reads_the_value_where_it_is_not_masked(kind: str) -> None:
    value = matrix.KINDS[kind]
    unread = [
        name
        for name, text in (*matrix.encoded(kind, matrix.MUST), *matrix.encoded(kind, matrix.SHOULD))
        if not leaks(f"x <{text}> y", value)
    ]
    assert unread == []


@pytest.mark.parametrize("row", matrix.WONT)
@pytest.mark.parametrize("kind", ["40 characters", "pass phrase"])
def test_wont_rows(kind: str, row: str, request: pytest.FixtureRequest) -> None:
    write, reason = matrix.WONT[row]
    request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    value = matrix.KINDS[kind]
    text = write(value)
    assert text is not None
    known = Redactor()
    known.add("a", value)
    assert known.redact(text) != text


def test_large_values_are_masked_in_the_usual_forms() -> None:
    value = matrix.KINDS["64 KiB"]
    known = Redactor()
    known.add("a", value)
    for name in ("plain", "repr", "JSON", "base64", "base64, wrapped", "hex", "URL form"):
        text = matrix.MUST[name](value)
        assert text is not None
        assert known.redact(f"<{text.strip()}>") in (
            "<[redacted:a]>",
            "<'[redacted:a]'>",
            '<"[redacted:a]">',
        )


@pytest.mark.parametrize("size", [1 << 20])
def test_largest_value_a_secret_can_hold_is_masked(size: int) -> None:
    import random

    value = random.Random(1).randbytes(size)
    known = Redactor()
    known.add("a", value)
    for text in (base64.b64encode(value).decode(), value.hex(), repr(value)[2:-1]):
        masked = known.redact(f"<{text}>")
        assert len(masked) < 100
        assert not shows(masked, value[:64])


def test_a_piece_of_the_largest_value_is_masked() -> None:
    import random
    import string

    value = "".join(random.Random(2).choices(string.ascii_letters + string.digits, k=1 << 20))
    known = Redactor()
    known.add("a", value)
    assert known.redact(f"<{value[5000:15000]}>") == "<[redacted:a]>"


# ── every rule is needed ─────────────────────────────────────────────────────

PROBES = (
    "8 characters",
    "40 characters",
    "pass phrase",
    "Unicode",
    "quotes and backslashes",
    "binary",
    "quotes at both ends",
    "PEM",
    "all punctuation",
)


def red() -> bool:
    """Tell whether the matrix finds a leak."""
    return bool(part_leaks()) or any(
        matrix.judge(kind, rows) for kind in PROBES for rows in (matrix.MUST, matrix.SHOULD)
    )


def part_leaks() -> list[str]:
    """Return the parts of values that are shown alone."""
    cases = {
        "leaf": (b'{"password": "a leaf that is long"}', "a leaf that is long"),
        "auth": (
            b'{"auths": {"r": {"auth": "' + base64.b64encode(b"u:Xk29fJq0Zm4T") + b'"}}}',
            "Xk29fJq0Zm4T",
        ),
        "URL in JSON": (b'{"url": "postgresql://u:Xk29fJq0Zm4T@db:5432/x"}', "Xk29fJq0Zm4T"),
        "URL": (b"postgresql://u:Xk29fJq0Zm4T@db:5432/x", "Xk29fJq0Zm4T"),
        "line": (b"first line 123\nsecond line of it\n", "second line of it"),
        "dotenv": (b"A=1\nTOKEN=plain words of it\n", "plain words of it"),
        "body": (matrix.KINDS["PEM"], "".join(matrix.KINDS["PEM"].decode().split("\n")[1:-2])),
        "window": (matrix.KINDS["128 characters"], matrix.KINDS["128 characters"].decode()[30:70]),
        "field": (b"q7zx", "q7zx"),
        "bounded": (b"q7zxk", "(q7zxk)"),
        "short base64": (b"q7zxk", base64.b64encode(b"user:q7zxk").decode()),
    }
    shown = []
    for name, (value, text) in cases.items():
        known = Redactor()
        known.add("a", value)
        if known.redact(text) == text:
            shown.append(name)
    known = Redactor()
    known.add("a", matrix.KINDS["quotes at both ends"])
    if known.redact(f"<{matrix.KINDS['quotes at both ends'].decode()}>") != "<[redacted:a]>":
        shown.append("quotes at both ends")
    return shown


@pytest.mark.parametrize("name", ["xxd", "hexdump -C", "od -t x1"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_value_in_the_middle_of_a_dumped_file_is_masked_line_by_line(name: str, end: str) -> None:
    known = Redactor()
    known.add("a", "correct horse battery staple")
    known.add("b", "q7zxk")
    dumped = matrix.SHOULD[name]
    before, after = bytes(range(48, 48 + 21)), bytes(range(48, 48 + 40))
    text = dumped(before + b"correct horse battery staple" + after)
    assert text is not None
    lines = text.splitlines()
    expected = "\n".join([*lines[:2], "[redacted:a]", *lines[5:]]) + "\n"
    masked = known.redact(text.replace("\n", end))
    assert masked.replace("\r", "") == expected
    assert known.redact(masked) == masked
    pieces = list(text.replace("\n", end))
    assert matrix.streamed(known, pieces) == masked
    short = dumped(b"q7zxk\n")
    assert short is not None
    assert known.redact(short) == "\n[redacted:b]\n"


def test_parts_of_values_are_masked_alone() -> None:
    assert part_leaks() == []


def test_matrix_is_green_before_a_rule_is_switched_off() -> None:
    assert not red()


def nothing(*_: object, **__: object) -> list[object]:
    return []


def same(value: bytes) -> bytes:
    return value


MUTATIONS: dict[str, tuple[object, str, object]] = {
    "plain": (forms, "_add_plain", nothing),
    "pieces": (forms, "_add_windows", nothing),
    "base64": (forms, "ENCODED", (*kinds.BASE64_UTF16, *kinds.HEX)),
    "base64 at one phase only": (forms, "ENCODED", (*kinds.BASE64[:1] * 3, *kinds.HEX)),
    "base64 of UTF-16": (forms, "BASE64_UTF16", kinds.BASE64),
    "URL form": (forms, "PLUS", kinds.PLUS._replace(make=same)),
    "hex, lower case": (forms, "ENCODED", (*kinds.BASE64, kinds.HEX[1], *kinds.HEX[1:])),
    "hex, dashes": (forms, "ENCODED", (*kinds.BASE64, *kinds.HEX[:3], kinds.HEX[2])),
    "reversed": (forms, "REVERSED", kinds.REVERSED._replace(make=same)),
    "parts": (forms, "parts", nothing),
    "leaves": (parts, "_leaves", nothing),
    "auth": (parts, "_decoded", nothing),
    "assignments": (parts, "_assigned", nothing),
    "lines": (parts, "_telling", lambda _: False),
    "escapes": (chains, "unescape", lambda *_: None),
    "one kind of escapes alone": (chains, "_choices", lambda present, _: [present] * (present > 0)),
    "colours and zero width": (passes, "without", lambda *_: None),
    "dumps": (passes, "hex_of_dump", lambda *_, **__: None),
    "depth": (passes, "DEEPEST", 1),
    "short values at boundaries": (forms, "AT_BOUNDARIES", 8),
    "whole fields": (passes, "find_fields", nothing),
    "whole run": (passes, "run_around", lambda _, start, end, taken=None: (start, end)),
    "quotes inside of quotes": (passes, "may_be_loose", lambda *_: False),
    "lead and trail": (passes, "edges", lambda _: (b"", b"")),
    "a short value in base64": (passes, "holds_text", lambda *_: False),
    "public keys": (index, "is_public", lambda *_: True),
}


@pytest.mark.parametrize("rule", MUTATIONS)
def test_matrix_goes_red_without_the_rule(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, name, instead = MUTATIONS[rule]
    monkeypatch.setattr(where, name, instead)
    assert red()
