"""``jupyter kfsecrets create`` makes the Secrets that kubectl made in the recorded cases."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from kfsecrets_ext.cli import main

RECORD = json.loads(Path(__file__).with_name("kubectl_create_secret.json").read_text("utf-8"))
CASES = RECORD["cases"]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files and the environment of the record, in the working directory."""
    for name, content in RECORD["files_b64"].items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(base64.b64decode(content))
    for name, target in RECORD["symlinks"].items():
        (tmp_path / name).symlink_to(target)
    for name, value in RECORD["env"].items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def arguments(case: dict[str, Any]) -> list[str]:
    """The recorded command line without the word secret."""
    words: list[str] = list(case["argv_exact"])
    words.remove("secret")
    return words


def secret_of(case: dict[str, Any], capfd: pytest.CaptureFixture[str], *more: str) -> Any:
    """The object printed, or None where the command failed."""
    try:
        status = main([*arguments(case), "--dry-run=client", "-o", "json", *more])
    except SystemExit as left:
        status = int(left.code or 0)
    said = capfd.readouterr()
    if status:
        assert said.out == ""
        assert said.err
        return None
    return json.loads(said.out)


def in_recorded_form(secret: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": secret["metadata"]["name"],
        "type": secret.get("type"),
        "data": secret.get("data", {}),
    }


@pytest.mark.parametrize(
    "case", CASES, ids=[" ".join(case["argv_exact"][2:])[:60] for case in CASES]
)
def test_a_recorded_command_line_makes_the_recorded_secret(
    case: dict[str, Any], files: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = secret_of(case, capfd, "--no-poddefault")
    if case["rc"]:
        assert made is None
    else:
        assert in_recorded_form(made) == case["expect"]


@pytest.mark.parametrize(
    "case", CASES, ids=[" ".join(case["argv_exact"][2:])[:60] for case in CASES]
)
def test_the_secret_in_a_list_is_the_same(
    case: dict[str, Any], files: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = secret_of(case, capfd)
    if case["rc"]:
        assert made is None
        return
    assert (made["apiVersion"], made["kind"]) == ("v1", "List")
    assert in_recorded_form(made["items"][0]) == case["expect"]


def test_the_recorded_cases_are_all_there() -> None:
    assert len(CASES) == 33
    assert sum(case["rc"] == 0 for case in CASES) == 15
