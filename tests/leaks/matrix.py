"""The matrix: kinds of values, the ways they are written, how an output is cut in pieces."""

from __future__ import annotations

import base64
import codecs
import gzip
import html
import json
import pprint
import random
import shlex
import string
import textwrap
import urllib.parse
from collections.abc import Callable, Iterator
from typing import NamedTuple

import yaml
from leaks.oracle import leaks

from kfsecrets_ext.redaction import Redactor

__all__ = ["KINDS", "MUST", "SHOULD", "WONT", "Leak", "chunkings", "encoded", "judge"]

_rng = random.Random(20261124)
_ALNUM = string.ascii_letters + string.digits


def token(length: int, alphabet: str = _ALNUM, rng: random.Random = _rng) -> str:
    """Return a random text."""
    return "".join(rng.choice(alphabet) for _ in range(length))


def _pem() -> str:
    body = base64.b64encode(_rng.randbytes(1200)).decode()
    lines = "\n".join(textwrap.wrap(body, 64))
    return f"-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----\n"


def _service_account() -> str:
    return json.dumps(
        {
            "type": "service_account",
            "project_id": "a-project",
            "private_key_id": token(40, "0123456789abcdef"),
            "private_key": _pem(),
            "client_email": "robot@a-project.iam.gserviceaccount.com",
            "token_uri": "https://oauth2.googleapis.com/token",
        },
        indent=2,
    )


def _docker() -> str:
    auth = base64.b64encode(f"robot:{token(20)}".encode()).decode()
    return json.dumps({"auths": {"https://index.docker.io/v1/": {"auth": auth}}})


KINDS: dict[str, bytes] = {
    name: value.encode() if isinstance(value, str) else value
    for name, value in {
        "8 characters": token(8),
        "16 characters": token(16),
        "40 characters": token(40),
        "128 characters": token(128),
        "4 KiB": token(4096),
        "digits": token(16, string.digits),
        "AWS key": "wJalr+" + token(10) + "/K7MDENG/" + token(15),
        "base64 with padding": base64.b64encode(_rng.randbytes(22)).decode(),
        "url-safe": "ab_" + token(12) + "-" + token(12) + "_",
        "JWT": ".".join(
            base64.urlsafe_b64encode(one.encode()).decode().rstrip("=")
            for one in ('{"alg":"HS256","typ":"JWT"}', '{"sub":"' + token(16) + '"}', token(32))
        ),
        "hexadecimal": token(64, "0123456789abcdef"),
        "UUID": "6f1c2d3e-9a4b-4c5d-8e7f-0a1b2c3d4e5f",
        "punctuation": "!Q@w#E$r%T^y&U*i(O)p",
        "all punctuation": string.punctuation,
        "quotes and backslashes": 'it\'s "C:\\new\\tmp" `or` $HOME',
        "quotes at both ends": '"q9X\'k2V:z7"',
        "pass phrase": "correct horse battery staple",
        "regular expression": "^(a+)+$|[b-c]{3,}\\d*?",
        "Unicode": "pässwörd-жук-密碼-\U0001f511",
        "Unicode, composed otherwise": "pa\u0308sswo\u0308rd-cafe\u0301s",
        "right to left": "שלום-עולם-סיסמה",
        "binary": b"\x00\x01\xfe\xff\x80binary\x1bkey\x7f\xc3\x28" + bytes(range(128, 160)),
        "Latin-1": "Schützenkönig-2024!x".encode("latin-1"),
        "trailing newline": token(24) + "\n",
        "CRLF": token(24) + "\r\n",
        "overlaps itself": "ababcababcababcab",
        "one letter": "a" * 20,
        "PEM": _pem(),
        "service account": _service_account(),
        "dockerconfigjson": _docker(),
        "dotenv": f"DB_HOST=db\nDB_PASSWORD={token(20)}\nAPI_KEY='{token(24)}'\n",
        "DSN": f"postgresql://robot:{token(14)}%2F{token(6)}@db.example.com:5432/app",
        "64 KiB": token(65536),
    }.items()
}


def _text(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _of_text(write: Callable[[str], str]) -> Callable[[bytes], str | None]:
    def written(value: bytes) -> str | None:
        text = _text(value)
        return None if text is None else write(text)

    return written


def _percent_q(text: str) -> str:
    # What printf %q of bash gives.
    if any(not one.isprintable() for one in text):
        escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
        return "$'" + escaped.replace("\r", "\\r") + "'"
    return "".join(c if c.isalnum() or c in "-_./:=@%+," else "\\" + c for c in text)


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _dumped(value: bytes, write: Callable[[int, bytes], str]) -> str:
    lines = (write(at, value[at : at + 16]) for at in range(0, len(value), 16))
    return "\n" + "".join(f"{line}\n" for line in lines)


def _xxd_line(at: int, line: bytes) -> str:
    return f"{at:08x}: {line.hex(' ', -2):39}  {_printed(line)}"


def _hexdump_line(at: int, line: bytes) -> str:
    columns = f"{line[:8].hex(' '):23}  {line[8:].hex(' '):23}"
    return f"{at:08x}  {columns}  |{_printed(line)}|"


def _printed(line: bytes) -> str:
    return "".join(chr(one) if 32 <= one < 127 else "." for one in line)


def _decoded(value: bytes, errors: str) -> str | None:
    return value.decode("utf-8", errors) if _text(value) is None else None


MUST: dict[str, Callable[[bytes], str | None]] = {
    "plain": _of_text(str),
    "repr": _of_text(repr),
    "ascii": _of_text(ascii),
    "repr of bytes": repr,
    "JSON": _of_text(json.dumps),
    "JSON, not ASCII": _of_text(lambda text: json.dumps(text, ensure_ascii=False)),
    "JSON in JSON": _of_text(lambda text: json.dumps({"a": json.dumps([text])})),
    "JSON in JSON in JSON": _of_text(lambda text: json.dumps(json.dumps(json.dumps([text])))),
    "HTML": _of_text(html.escape),
    "HTML in JSON": _of_text(lambda text: json.dumps(f"<b>{html.escape(text)}</b>")),
    "URL": urllib.parse.quote,
    "URL, every sign": lambda value: urllib.parse.quote(value, safe=""),
    "URL, lower case": lambda value: "".join(
        one.lower() if one.startswith("%") else one
        for one in _split_percents(urllib.parse.quote(value, safe=""))
    ),
    "URL form": urllib.parse.quote_plus,
    "shell": _of_text(shlex.quote),
    "shell, backslashes": _of_text(_percent_q),
    "YAML": _of_text(lambda text: yaml.safe_dump({"a": text}, width=10**9)),
    "coloured": _of_text(lambda text: f"\x1b[1;31m{text}\x1b[0m"),
    "base64": _b64,
    "base64, url-safe": lambda value: base64.urlsafe_b64encode(value).decode(),
    "base64, no padding": lambda value: _b64(value).rstrip("="),
    "base64 of user:password": lambda value: _b64(b"robot:" + value),
    "base64, wrapped": lambda value: base64.encodebytes(value).decode(),
    "base64 in JSON": lambda value: json.dumps(base64.encodebytes(value).decode()),
    "decoded, signs for what is no UTF-8": lambda value: _decoded(value, "replace"),
    "decoded, without what is no UTF-8": lambda value: _decoded(value, "ignore"),
    "hex": bytes.hex,
    "hex, upper case": lambda value: value.hex().upper(),
    "hex, colons": lambda value: value.hex(":"),
    "hex, spaces": lambda value: value.hex(" "),
    "hex, dashes": lambda value: value.hex("-").upper(),
    "hex, backslashes": lambda value: "".join(f"\\x{one:02x}" for one in value),
}
for _before in range(4):
    for _after in range(4):
        MUST[f"base64, {_before} before, {_after} after"] = (
            lambda value, before=_before, after=_after: _b64(
                b"#?!"[:before] + value + b"~;|"[:after]
            )
        )


def _split_percents(text: str) -> Iterator[str]:
    position = 0
    while position < len(text):
        size = 3 if text[position] == "%" else 1
        yield text[position : position + size]
        position += size


SHOULD: dict[str, Callable[[bytes], str | None]] = {
    "base64 of UTF-16": _of_text(lambda text: _b64(text.encode("utf-16-le"))),
    "repr of UTF-16": _of_text(lambda text: repr(text.encode("utf-16"))),
    "reversed": _of_text(lambda text: text[::-1]),
    "spaced": _of_text(" ".join),
    "list": _of_text(lambda text: repr(list(text))),
    "one a line": _of_text("\n".join),
    "coloured one by one": _of_text(
        lambda text: "".join(f"\x1b[3{at % 8}m{one}\x1b[0m" for at, one in enumerate(text))
    ),
    "zero width": _of_text("\u200b".join),
    "wrapped": _of_text(
        lambda text: "\n".join(text[at : at + 20] for at in range(0, len(text), 20))
    ),
    "indented": _of_text(
        lambda text: "\n".join("    " + text[at : at + 20] for at in range(0, len(text), 20))
    ),
    "pprint": _of_text(lambda text: pprint.pformat(text, width=30)),
    "xxd": lambda value: _dumped(value, _xxd_line),
    "hexdump -C": lambda value: _dumped(value, _hexdump_line),
    "od -t x1": lambda value: _dumped(value, lambda at, line: f"{at:07o} {line.hex(' ')}"),
}

WONT: dict[str, tuple[Callable[[bytes], str | None], str]] = {
    "base64 of base64": (
        lambda value: _b64(_b64(value).encode()),
        "encoded twice: each further layer triples what is looked for",
    ),
    "base32": (lambda value: base64.b32encode(value).decode(), "not common in outputs"),
    "base85": (lambda value: base64.b85encode(value).decode(), "not common in outputs"),
    "rot13": (_of_text(lambda text: codecs.encode(text, "rot13")), "done on purpose"),
    "upper case": (_of_text(str.upper), "another text: half of what a password is"),
    "numbers": (lambda value: repr(list(value)), "digits alone are in every output"),
    "compressed": (
        lambda value: _b64(gzip.compress(value, mtime=0)),
        "what is compressed holds no bytes of it",
    ),
}


class Leak(NamedTuple):
    """A cell of the matrix that shows a value."""

    kind: str
    encoding: str
    how: str


def encoded(
    kind: str, encodings: dict[str, Callable[[bytes], str | None]]
) -> Iterator[tuple[str, str]]:
    """Yield each way in which a value can be written, with the text."""
    for name, write in encodings.items():
        text = write(KINDS[kind])
        if text is not None:
            yield name, text


def chunkings(text: str, seed: int = 0) -> Iterator[list[str]]:
    """Yield the text cut in pieces: characters, halves, at random."""
    rng = random.Random(seed)
    if len(text) <= 600:
        yield list(text)
    for _ in range(2):
        cut = rng.randrange(len(text) + 1)
        yield [text[:cut], text[cut:]]
    pieces = []
    position = 0
    while position < len(text):
        size = rng.choice((1, 2, 3, 7, 20, 64, 1024))
        pieces.append(text[position : position + size])
        position += size
    yield pieces


def streamed(redactor: Redactor, pieces: list[str]) -> str:
    """Return what a stream shows of pieces."""
    stream = redactor.stream()
    return "".join([*(stream.feed(piece) for piece in pieces), stream.flush()])


def judge(kind: str, encodings: dict[str, Callable[[bytes], str | None]]) -> list[Leak]:
    """Return the leaks of a value, written in each way inside of an ordinary line."""
    value = KINDS[kind]
    redactor = Redactor()
    redactor.add(f"matrix/{kind}", value)
    found = []
    for name, text in encoded(kind, encodings):
        output = f"before = 1\nx <{text}> y\nafter = 2\n"
        masked = redactor.redact(output)
        found += [Leak(kind, name, how) for how in leaks(masked, value)]
        if not masked.startswith("before = 1\nx <") or not masked.endswith("> y\nafter = 2\n"):
            found.append(Leak(kind, name, "other text was changed"))
    return found
