"""The description of the endpoints, and requests made up from it."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from servers import Answer, Server, isolated, quote

from kfsecrets_ext.server import handlers

OPENAPI = Path(handlers.__file__).with_name("openapi.yaml")
API = "kfsecrets/api/v1"

# Kubeflow's servers take everyone: that others do not is in test_access. Jupyter Server answers
# other verbs with 403 where they carry no XSRF token, else without `Allow`. And no schema says
# which text can be a Secret's name.
NOT_OURS = (
    "ignored_auth",
    "unsupported_method",
    "allow_header_conformance",
    "positive_data_acceptance",
    "negative_data_rejection",
)


@pytest.fixture(scope="module")
def document() -> Any:
    """The description."""
    return yaml.safe_load(OPENAPI.read_text(encoding="utf-8"))


def objects(schema: Any) -> list[dict[str, Any]]:
    """Every object schema in a schema."""
    if isinstance(schema, list):
        return [found for one in schema for found in objects(one)]
    if not isinstance(schema, dict):
        return []
    own = [schema] if schema.get("type") == "object" else []
    return own + [found for one in schema.values() for found in objects(one)]


def test_every_endpoint_is_described(document: Any) -> None:
    served = {
        pattern.removeprefix(API).replace("([^/]+)", "{name}")
        for pattern, handler in handlers.HANDLERS
        if handler is not handlers.NotFoundHandler
    }
    assert served == set(document["paths"])
    assert document["servers"][0]["url"].endswith(f"/{API}")


def test_the_schemas_are_valid_and_explain_themselves(document: Any) -> None:
    for name, schema in document["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert schema.get("description"), name


def test_no_object_may_have_what_is_not_described(document: Any) -> None:
    found = objects(document["components"]["schemas"])
    assert found
    for schema in found:
        extra = schema.get("additionalProperties")
        assert extra is False or extra == {"type": "string"}, schema
        assert set(schema.get("required", ())) == set(schema.get("properties", ()))


@pytest.mark.slow
def test_requests_made_from_the_description_get_what_it_says(
    server: Server, tmp_path: Path
) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", str(OPENAPI)),
            *("--url", f"{server.url}{API}", "--max-examples", "150", "--seed", "1"),
            *("--checks", "all", "--phases", "examples,coverage,fuzzing"),
            *("--exclude-checks", ",".join(NOT_OURS)),
            # The machine may have more to do.
            *("--suppress-health-check", "too_slow", "--request-timeout", "300"),
        ],
        env={**isolated(tmp_path), "NO_COLOR": "1"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "5 selected" in done.stdout, done.stdout


@pytest.mark.slow
@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(name=st.text(min_size=1, max_size=300))
@example(name="test-secret")
@example(name="schlüssel-🔑")
@example(name="%2e%2e")
@example(name="\r\nX-Evil: 1")
@example(name="{}%s%(x)s")
def test_any_text_as_a_name_is_answered_as_described(
    server: Server, conforms: Callable[[str, Answer], Any], name: str
) -> None:
    answer = server.get(f"{API}/secrets/{quote(name)}")
    body = conforms("/secrets/{name}", answer)
    if answer.status == 200:
        assert body["name"] == name
    assert not [key for key, _ in answer.headers if key.lower() == "x-evil"]


@pytest.mark.slow
@settings(max_examples=300, deadline=None, derandomize=True)
@given(name=st.binary(min_size=1, max_size=80))
def test_any_bytes_as_a_name_are_answered_as_described(
    server: Server, conforms: Callable[[str, Answer], Any], name: bytes
) -> None:
    segment = "".join(f"%{byte:02X}" for byte in name)
    conforms("/secrets/{name}", server.get(f"{API}/secrets/{segment}"))


@pytest.mark.slow
@settings(max_examples=300, deadline=None, derandomize=True)
@given(path=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=40))
def test_any_path_is_answered_in_json(server: Server, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", f"{server.base_url}{API}/{path}")
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    assert answer.status in (200, 400, 404)
    assert isinstance(body, dict)
