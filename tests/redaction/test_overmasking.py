"""What is no value stays as it is, byte for byte."""

from __future__ import annotations

import ast
import base64
import hashlib
import random
import string
import sysconfig
import uuid
from pathlib import Path

import pytest
from leaks import matrix

from kfsecrets_ext.redaction import Redactor

_rng = random.Random(9)
LONG = {
    "alphanumeric": [
        "".join(_rng.choices(string.ascii_letters + string.digits, k=k))
        for k in (8, 12, 20, 40, 64)
        for _ in range(60)
    ],
    "hexadecimal": [
        "".join(_rng.choices("0123456789abcdef", k=k)) for k in (8, 16, 32, 64) for _ in range(40)
    ],
    "digits": ["".join(_rng.choices(string.digits, k=k)) for k in (9, 12, 16) for _ in range(30)],
    "letters": [
        "".join(_rng.choices(string.ascii_lowercase, k=k)) for k in (8, 10, 16) for _ in range(30)
    ],
    # Python 3.10 has all punctuation in its netrc.py.
    "structured": [
        value
        for value in matrix.KINDS.values()
        if len(value) < 9000 and value not in (string.punctuation, string.punctuation.encode())
    ],
}


@pytest.fixture(name="rng")
def _of_the_test(request: pytest.FixtureRequest) -> random.Random:
    """Give the same random texts to a test, whichever tests ran before it."""
    return random.Random(request.node.name)


@pytest.fixture(scope="module")
def known() -> Redactor:
    result = Redactor()
    for kind, values in LONG.items():
        for number, value in enumerate(values):
            result.add(f"{kind}/{number}", value)
    return result


def unchanged(known: Redactor, text: str) -> None:
    masked, findings = known.mask(text)
    assert list(findings) == []
    assert masked == text
    stream = known.stream()
    pieces = [text[at : at + 8000] for at in range(0, min(len(text), 400_000), 8000)]
    assert "".join([*map(stream.feed, pieces), stream.flush()]) == text[:400_000]


def test_source_code_and_english_stay(known: Redactor) -> None:
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library.glob("*.py"))[:120]:
        source = path.read_text("utf-8", "replace")
        unchanged(known, source)
        documentation = ast.get_docstring(ast.parse(source))
        if documentation:
            unchanged(known, documentation)


def test_numbers_stay(known: Redactor, rng: random.Random) -> None:
    unchanged(known, "\n".join(str(number) for number in range(60_000)))
    unchanged(
        known,
        "\n".join(" ".join(f"{rng.gauss(0, 1):10.6f}" for _ in range(8)) for _ in range(4000)),
    )
    unchanged(known, repr([rng.randrange(1000) for _ in range(20_000)]))
    unchanged(known, "".join(f"\r{at:3d}%|{'#' * (at // 5):20}| {at}/100" for at in range(100)))


def test_identifiers_and_hashes_stay(known: Redactor, rng: random.Random) -> None:
    ids = (str(uuid.UUID(int=rng.getrandbits(128))) for _ in range(5000))
    unchanged(known, "\n".join(ids))
    hashes = (hashlib.sha256(bytes([at % 256, at // 256])).hexdigest() for at in range(5000))
    unchanged(known, "\n".join(hashes))


def test_pictures_stay(known: Redactor, rng: random.Random) -> None:
    for size in (1 << 10, 1 << 20):
        unchanged(known, base64.b64encode(rng.randbytes(size)).decode())
        unchanged(known, base64.encodebytes(rng.randbytes(size)).decode())


@pytest.mark.slow
def test_fifty_mebibytes_of_pictures_stay(known: Redactor, rng: random.Random) -> None:
    """Of 40 values of five to seven characters a tenth of one may meet in them, by chance."""
    short = Redactor()
    for size in (5, 6, 7):
        for number in range(13):
            value = "".join(rng.choices(string.ascii_letters + string.digits, k=size))
            short.add(f"{size}/{number}", value)
    changed = 0
    for _ in range(50):
        text = base64.b64encode(rng.randbytes(3 << 18)).decode()
        assert known.mask(text) == (text, ())
        changed += len(short.mask(text).findings)
    assert changed <= 0.1 * 39


def test_dumps_of_something_else_stay(known: Redactor, rng: random.Random) -> None:
    data = rng.randbytes(4000)
    for name in ("xxd", "hexdump -C", "od -t x1"):
        text = matrix.SHOULD[name](data)
        assert text is not None
        unchanged(known, f"$ {name}{text}done\n")


def test_names_beside_values_stay() -> None:
    known = Redactor()
    known.add("db/dsn", "postgresql://robot:Xk29fJq0Zm4T@db.example.com:5432/app")
    known.add("sa/key", matrix.KINDS["service account"])
    for text in (
        "postgresql://other:none@db.example.com:5432/app",
        '{"type": "service_account", "project_id": "a-project"}',
        "robot@a-project.iam.gserviceaccount.com https://oauth2.googleapis.com/token",
        "-----BEGIN PRIVATE KEY-----\nnot it\n-----END PRIVATE KEY-----",
    ):
        unchanged(known, text)


@pytest.mark.parametrize(
    ("value", "text", "masked"),
    [
        ("s3cre", "xs3crex s3cre1 _s3cre", False),
        ("s3cre", "a s3cre.", True),
        ("s3cre", "'s3cre'", True),
        ("s3cre", "s 3 c r e", False),
        ("123456", "1234567 0123456", False),
        ("12345", "12345", False),
        ("bar", "foobar bar baz", False),
        ("bar", "password = bar", False),
        ("bar", '{"x": "bar"}', True),
        ("bar", '{\\"x\\": \\"bar\\"}', True),
        ("bar", "  bar  ", True),
        ("b r", "b r", True),
        ("x", "x", False),
        ("true", "true", False),
        ("Admin", "Admin", False),
        ("8080", "8080", False),
        ("localhost", "localhost", False),
        ("password", "password", False),
    ],
)
def test_rules_by_length(value: str, text: str, masked: bool) -> None:
    known = Redactor()
    known.add("s/k", value)
    assert (known.redact(text) != text) is masked
    assert (matrix.streamed(known, list(text)) != text) is masked


def test_short_value_is_masked_where_its_key_names_it() -> None:
    known = Redactor()
    known.add("s/pin", "q7z")
    assert known.redact("PIN=q7z, x=q7z") == "PIN=[redacted:s/pin], x=q7z"
    assert known.redact('"pin": "q7z"') == '"pin": "[redacted:s/pin]"'
    assert known.redact("pin: q7zx") == "pin: q7zx"


def test_what_cannot_be_guarded_is_named() -> None:
    known = Redactor()
    known.add("s/one", "x")
    known.add("s/flag", "true")
    known.add("s/port", "5432\n")
    known.add("s/blank", " \n")
    known.add("s/pin", "q7zx")
    known.add("s/tls.crt", "y")
    assert known.unguarded() == {
        "s/blank": "too short",
        "s/flag": "too common",
        "s/one": "too short",
        "s/port": "too common",
    }


def test_public_keys_are_configuration() -> None:
    known = Redactor()
    known.add("s/tls.crt", "a certificate that is public")
    known.add("s/username", "robot-of-the-tenant")
    assert known.redact("a certificate that is public") == "a certificate that is public"
    assert known.redact("robot-of-the-tenant") == "[redacted:s/username]"
    known.public = ("user*",)
    assert known.redact("robot-of-the-tenant") == "robot-of-the-tenant"
    assert known.redact("a certificate that is public") == "[redacted:s/tls.crt]"


KINDS = {
    "alphanumeric": string.ascii_letters + string.digits,
    "lower case and digits": string.ascii_lowercase + string.digits,
    "hexadecimal": "0123456789abcdef",
}


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_of_a_token_are_masked(kind: str, rng: random.Random) -> None:
    total = found = 0
    for size in (24, 32, 40, 64, 96, 128):
        for _ in range(6):
            value = "".join(rng.choices(KINDS[kind], k=size))
            known = Redactor()
            known.add("a", value)
            for width in range(16, min(size, 40)):
                for at in range(size - width + 1):
                    total += 1
                    found += value[at : at + width] not in known.redact(
                        f"x {value[at : at + width]} y"
                    )
    assert found >= 0.95 * total
