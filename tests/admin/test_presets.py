"""The presets make what programs read, and say which field is wrong without showing it."""

from __future__ import annotations

import configparser
import json
import subprocess
import traceback
from pathlib import Path
from typing import Any

import pytest

from kfsecrets_ext.admin import Grant, SecretObject, SourceError, from_literal, preset
from kfsecrets_ext.docker import DockerConfig
from kfsecrets_ext.errors import InvalidName
from kfsecrets_ext.values import SecretBytes

CANARY = "c@n:ary/ %é-Zq7vXw2LmT"
ONE = [("k", SecretBytes(b"v"))]


def data(grant: Grant) -> dict[str, bytes]:
    assert isinstance(grant.secret, SecretObject)
    return {key: bytes(value) for key, value in grant.secret.data.items()}


def test_docker_is_the_tutorials_secret_and_is_mounted_as_config_json() -> None:
    grant = preset("docker", username="me", password=CANARY)
    assert (grant.name, grant.desc) == ("docker-config", "Docker registry credentials")
    found = DockerConfig.from_json(data(grant)[".dockerconfigjson"]).credentials("docker.io/a/b")
    assert found is not None
    assert (found.username, found.password) == ("me", CANARY)
    volume = grant.poddefault()["spec"]["volumes"][0]["secret"]
    assert volume["items"] == [{"key": ".dockerconfigjson", "path": "config.json"}]


def test_aws_is_a_file_that_botocore_reads(tmp_path: Path) -> None:
    import botocore.session

    grant = preset(
        "aws", access_key_id="AKIA", secret_access_key=CANARY, session_token="t", region="eu-west-1"
    )
    made = data(grant)
    (tmp_path / "credentials").write_bytes(made["credentials"])
    (tmp_path / "config").write_bytes(made["config"])
    session = botocore.session.Session()
    session.set_config_variable("credentials_file", str(tmp_path / "credentials"))
    session.set_config_variable("config_file", str(tmp_path / "config"))
    session.get_component("credential_provider").remove("env")
    found = session.get_credentials()
    assert (found.access_key, found.secret_key, found.token) == ("AKIA", CANARY, "t")
    assert session.get_config_variable("region") == "eu-west-1"
    assert made["aws_secret_access_key"] == CANARY.encode()
    parser = configparser.RawConfigParser()
    parser.read_string(made["credentials"].decode())
    assert parser.sections() == ["default"]


def test_git_is_a_file_that_git_reads(tmp_path: Path) -> None:
    grant = preset("git", username="me@work", password=CANARY, host="git.example.com:8443")
    store = tmp_path / "git-credentials"
    store.write_bytes(data(grant)["git-credentials"])
    answer = subprocess.run(
        ["git", "-c", f"credential.helper=store --file {store}", "credential", "fill"],
        input=b"protocol=https\nhost=git.example.com:8443\n\n",
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "GIT_TERMINAL_PROMPT": "0"},
        check=True,
        capture_output=True,
    )
    assert f"username=me@work\npassword={CANARY}\n" in answer.stdout.decode()


def test_generic_is_what_is_given_with_the_options_of_a_grant() -> None:
    grant = preset("generic", "db", entries=from_literal("a=b"), mount_path="/db", required=True)
    assert (grant.name, data(grant), grant.mount_path) == ("db", {"a": b"b"}, "/db")
    assert grant.required


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("docker", {"username": CANARY}, "docker, password: it is missing"),
        ("aws", {"access_key_id": CANARY}, "aws, secret_access_key: it is missing"),
        (
            "aws",
            {"access_key_id": "a", "secret_access_key": f"{CANARY}\n[b]"},
            "aws, secret_access_key: it has a line break",
        ),
        (
            "aws",
            {"access_key_id": "a", "secret_access_key": "b", "region": f"{CANARY}\n"},
            "aws, region: it has a line break",
        ),
        ("git", {"username": "u", "password": f"{CANARY}\n"}, "git, password: it has a line"),
        (
            "git",
            {"username": "u", "password": "p", "host": f"{CANARY}@b"},
            "git, host: it must be a host",
        ),
        (
            "git",
            {"username": "u", "password": "p", "secret_access_key": CANARY},
            "git, secret_access_key: it is no field",
        ),
        (
            "docker",
            {"username": "u", "password": "p", "entries": [("k", SecretBytes(CANARY.encode()))]},
            "docker, entries: it is no field",
        ),
        ("generic", {"name": "g", "entries": ONE, "password": CANARY}, "generic, password: it is"),
        ("generic", {"name": "g", "entries": ONE, "host": CANARY}, "generic, host: it is no field"),
        ("generic", {"name": "g"}, "generic, entries: it is missing"),
        (
            "git",
            {"username": "{owner}", "password": CANARY, "templates": ["secret.data.username"]},
            "templates: the values of docker and git are encoded",
        ),
        (
            "docker",
            {"username": "{owner}", "password": CANARY, "templates": ["secret.data"]},
            "templates: the values of docker and git are encoded",
        ),
    ],
)
def test_what_cannot_be_used_is_named_and_not_shown(
    kind: str, fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(SourceError) as caught:
        preset(kind, **fields)
    error = caught.value
    said = [f"{error}{error!r}{error.args}{error.__dict__}{error.__context__}"] + [
        repr(frame.f_locals)
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if "kfsecrets_ext/admin" in frame.f_code.co_filename
        and "tests" not in frame.f_code.co_filename
    ]
    assert words in str(error)
    assert "Zq7vXw2LmT" not in "".join(said)


def test_a_preset_that_is_none_and_a_generic_one_without_a_name_are_refused() -> None:
    with pytest.raises(InvalidName, match="docker, aws, git, generic"):
        preset("s3")
    with pytest.raises(InvalidName):
        preset("generic", entries=from_literal("a=b"))


def test_no_value_shows_in_a_preset() -> None:
    grant = preset("aws", access_key_id="a", secret_access_key=CANARY)
    assert "Zq7vXw2LmT" not in f"{grant!r}{json.dumps(grant.poddefault())}"
