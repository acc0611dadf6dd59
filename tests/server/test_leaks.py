"""No value leaves the server: not in a body, a header, a log line or a metric."""

from __future__ import annotations

import base64
import codecs
import hashlib
import json
import re
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from servers import KUBEFLOW, Server, quote, serving

pytestmark = pytest.mark.slow

API = "kfsecrets/api/v1"

# Long enough that none is in a text by chance.
PART = 8


def forms(value: str) -> Iterator[tuple[str, str]]:
    """Yield what a value could come out as: the form's name and the text."""
    data = value.encode()
    yield "start", value[:PART]
    yield "end", value[-2 * PART :]
    yield "reversed", value[::-1][-2 * PART :]
    yield "rot13", codecs.encode(value[: 2 * PART], "rot13")
    yield "URL", urllib.parse.quote(value[: 4 * PART], safe="")
    yield "JSON", json.dumps(value[: 4 * PART])[1:-1]
    for shift in range(3):
        # Of three ways in which its bytes can lie in base64.
        encoded = base64.b64encode(data[shift : shift + 6 * PART])[: 4 * PART].decode()
        yield f"base64 at {shift}", encoded
        yield f"base64url at {shift}", encoded.translate(str.maketrans("+/", "-_"))
    yield "hex", data[:PART].hex()
    yield "HEX", data[:PART].hex().upper()
    for name in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "blake2b"):
        digest = hashlib.new(name, data).digest()
        yield name, digest.hex()[: 2 * PART]
        yield f"{name}, base64", base64.b64encode(digest).decode()[: 2 * PART]


def lengths(value: str) -> Iterator[str]:
    """Yield the numbers that tell how long a value is."""
    size = len(value.encode())
    yield from (str(size), f"{size:x}", str(4 * ((size + 2) // 3)), str(8 * size))


def leaks(text: str, values: tuple[str, ...]) -> list[str]:
    """Give what a text says of values; the values themselves are not in it."""
    numbers = set(re.findall(r"(?<![0-9A-Za-z])[0-9a-f]+(?![0-9A-Za-z])", text))
    found = []
    for index, value in enumerate(values):
        found += [f"{name} of value {index}" for name, form in forms(value) if form in text]
        found += [f"length {n} of value {index}" for n in lengths(value) if n in numbers]
    return found


@pytest.fixture(scope="module")
def answers(pod: Any) -> Iterator[dict[str, str]]:
    """Everything that a server says that is asked for everything, at debug level."""
    with serving(
        pod.directory, env=pod.env, arguments=(*KUBEFLOW, "--ServerApp.log_level=DEBUG")
    ) as server:
        said = {**asked(server), "log": server.log()}
        yield {where: without_own_numbers(text, server) for where, text in said.items()}


def without_own_numbers(text: str, server: Server) -> str:
    """Take out what may be as long as a value by chance: port, process, Python's own metrics."""
    own = rf"(?<![0-9A-Za-z])(?:{server.port}|{server.process.pid})(?![0-9A-Za-z])"
    return re.sub(r"(?m)^((?:process|python)_[^ \n]+) \S+$", r"\1", re.sub(own, "…", text))


def asked(server: Server) -> dict[str, str]:
    """Ask for everything there is, and for what is not."""
    names = [one["name"] for one in server.get(f"{API}/secrets").json()["secrets"]]
    paths = ["secrets", "registries", "redaction", "pod"]
    paths += ["secrets/absent", "secrets/..", "secrets/%FF", "x"]
    paths += [f"secrets/{quote(name)}" for name in names]
    result = {}
    for path in paths:
        for method in ("GET", "HEAD", "OPTIONS", "POST"):
            answer = server.get(f"{API}/{path}", method=method)
            assert answer.status < 500
            # The length of a body is none of a value; bodies are looked into as they are.
            headers = "\n".join(
                f"{key}: {value}" for key, value in answer.headers if key != "Content-Length"
            )
            result[f"{method} {path}"] = f"{headers}\n\n{answer.body.decode()}"
            if answer.body and method == "GET":
                # As a client reads it, escapes undone.
                result[f"JSON of {path}"] = repr(json.loads(answer.body))
    result["metrics"] = server.get("metrics").body.decode()
    assert "http_request_duration_seconds" in result["metrics"]
    return result


def test_no_value_comes_out(answers: dict[str, str], pod: Any) -> None:
    assert "SecretsHandler" in answers["metrics"]
    assert f"{API}/secrets" in answers["log"]
    found = {where: leaks(text, pod.values) for where, text in answers.items()}
    assert {where: what for where, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: value,
        lambda value: value[:PART],
        lambda value: value[-2 * PART :],
        lambda value: base64.b64encode(value.encode()).decode(),
        lambda value: base64.b64encode(f"u:{value}".encode()).decode(),
        lambda value: value.encode().hex(),
        lambda value: hashlib.sha256(value.encode()).hexdigest(),
        lambda value: f'"size": {len(value)}',
        lambda value: f"({len(value)} bytes)",
    ],
)
def test_the_check_sees_a_value_that_comes_out(spoil: Callable[[str], str], pod: Any) -> None:
    for value in pod.values:
        assert leaks(f"text {spoil(value)} text", (value,))
