"""Registry credentials are looked up as the recorded programs look them up."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from kfsecrets_ext.docker import DockerConfig, DockerCredentials
from kfsecrets_ext.errors import DockerConfigError

CASES = json.loads(Path(__file__).with_name("docker_config.json").read_text(encoding="utf-8"))

HELPER = """#!{python} -IS
import json, sys
table = json.loads({table!r})
server = sys.stdin.read()
if sys.argv[1:] != ["get"]:
    sys.exit("unknown verb")
if "error" in table:
    print(table["error"])
    sys.exit(1)
if server not in table["get"]:
    print("credentials not found in native keychain")
    sys.exit(1)
print(json.dumps({{"ServerURL": server, **table["get"][server]}}))
"""


def install(directory: Path, helpers: dict[str, Any]) -> None:
    """Make the recorded helpers programs."""
    for name, table in helpers.items():
        program = directory / name
        program.write_text(
            HELPER.format(python=sys.executable, table=json.dumps(table)), encoding="utf-8"
        )
        program.chmod(0o755)


def look_up(case: dict[str, Any]) -> dict[str, str] | str | None:
    """The answer in the form of the recorded ones."""
    try:
        config = DockerConfig.from_json(case["config"], helpers="helpers" in case)
        found = config.credentials(case["query"])
    except DockerConfigError:
        return "error"
    return recorded_form(found)


def recorded_form(found: DockerCredentials | None) -> dict[str, str] | None:
    if found is None:
        return None
    answer = {"username": found.username, "password": str(found.password)}
    if found.identity_token is not None:
        answer["identitytoken"] = str(found.identity_token)
    if found.registry_token is not None:
        answer["registrytoken"] = str(found.registry_token)
    return answer


@pytest.fixture
def with_helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_recorded_look_up_gives_the_recorded_answer(
    case: dict[str, Any], with_helpers: Path
) -> None:
    install(with_helpers, case.get("helpers", {}))
    assert look_up(case) == case["expect"], case.get("note")


def test_the_recorded_cases_are_all_there() -> None:
    assert len(CASES) == 82
    assert {case["class"] for case in CASES} == {"must", "policy"}


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_recorded_file_gives_the_same_answer_from_disk(
    case: dict[str, Any], with_helpers: Path
) -> None:
    install(with_helpers, case.get("helpers", {}))
    path = with_helpers / "config.json"
    content = case["config"]
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    answer: dict[str, str] | str | None
    try:
        found = DockerConfig.load(path, helpers="helpers" in case).credentials(case["query"])
        answer = recorded_form(found)
    except DockerConfigError as error:
        answer = "error" if error.path == str(path) else "an error about nothing"
    assert answer == case["expect"]
