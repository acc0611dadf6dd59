"""A Secret shows no value, and says what the API server and programs would refuse of it."""

from __future__ import annotations

import base64
import json
import math

import pytest

from kfsecrets_ext.admin import (
    Grant,
    SecretObject,
    advice,
    docker_registry,
    from_literal,
    generic,
    problems,
    to_json,
    to_yaml,
)
from kfsecrets_ext.admin.checks import SIZE_LIMIT
from kfsecrets_ext.errors import InvalidName, KeyNotFound
from kfsecrets_ext.poddefaults import lint, render
from kfsecrets_ext.values import SecretBytes, SecretStr

CANARY = "cAnArYcAnArY"
SHOWN = (CANARY, base64.b64encode(CANARY.encode()).decode())
DOCKER = "kubernetes.io/dockerconfigjson"


def secret(data: dict[str, bytes] | None = None, type_: str | None = None) -> SecretObject:
    return SecretObject("s", {k: SecretBytes(v) for k, v in (data or {}).items()}, type_)


def test_no_repr_shows_a_value() -> None:
    made = generic("s", from_literal(f"k={CANARY}"))
    registry = docker_registry("r", username="u", password=CANARY)
    for given in (made, registry, SecretObject("s", {"k": CANARY.encode()})):  # type: ignore[dict-item]
        shown = f"{given!r} {given} {given.to_mapping()!r} {Grant('s', given).to_mappings()!r}"
        shown += f"{to_json(given.to_mapping())!r} {to_yaml(given.to_mapping())!r}"
        assert not any(value in shown for value in SHOWN)
    assert type(to_json({})) is type(to_yaml({})) is SecretStr


def test_what_is_given_later_does_not_change_a_secret() -> None:
    data = {"k": SecretBytes(b"1")}
    made = SecretObject("s", data)
    data["k"] = SecretBytes(b"2")
    assert made.data == {"k": b"1"}


@pytest.mark.parametrize("name", ["a", "a.b-c", "0", "a" * 253, "a--b", "a.b"])
def test_a_name_that_the_api_server_takes_is_no_problem(name: str) -> None:
    assert problems(SecretObject(name)) == ()


@pytest.mark.parametrize(
    "name", ["", "A", "a_b", "-a", "a-", "a..b", "a.-b", "a" * 254, "a\n", "é"]
)
def test_a_name_that_the_api_server_refuses_is_a_problem(name: str) -> None:
    assert len(problems(SecretObject(name))) == 1


def test_a_namespace_is_a_label() -> None:
    assert problems(SecretObject("s", namespace="alice")) == ()
    for bad in ("a.b", "A", "a" * 64):
        assert "namespace" in problems(SecretObject("s", namespace=bad))[0]


def test_a_secret_of_a_mebibyte_is_the_largest() -> None:
    half = b"x" * (SIZE_LIMIT // 2)
    assert problems(secret({"a": half, "b": half})) == ()
    (said,) = problems(secret({"a": half, "b": half, "c": b"y"}))
    assert "1 MiB" in said


@pytest.mark.parametrize(
    ("type_", "data", "count"),
    [
        (DOCKER, {}, 1),
        (DOCKER, {"config.json": b"{}"}, 1),
        (DOCKER, {".dockerconfigjson": b"{}"}, 0),
        (DOCKER, {".dockerconfigjson": b"null"}, 0),
        (DOCKER, {".dockerconfigjson": b' {"a": "\xff"} '}, 0),
        *((DOCKER, {".dockerconfigjson": bad}, 1) for bad in (b"", b"x", b"[]", b"1", b'"a"')),
        *(
            (DOCKER, {".dockerconfigjson": bad}, 1)
            for bad in (b'{"a":NaN}', b"{} {}", b"\xef\xbb\xbf{}")
        ),
        (DOCKER, {".dockerconfigjson": b'{"a":' + b"[" * 100_000}, 1),
        ("kubernetes.io/dockercfg", {".dockerconfigjson": b"{}"}, 1),
        ("kubernetes.io/dockercfg", {".dockercfg": b"{}"}, 0),
        ("kubernetes.io/basic-auth", {"a": b""}, 1),
        ("kubernetes.io/basic-auth", {"password": b""}, 0),
        ("kubernetes.io/ssh-auth", {"ssh-privatekey": b""}, 1),
        ("kubernetes.io/ssh-auth", {"ssh-privatekey": b"k"}, 0),
        ("kubernetes.io/tls", {}, 2),
        ("kubernetes.io/tls", {"tls.crt": b"", "tls.key": b""}, 0),
        ("kubernetes.io/service-account-token", {}, 1),
        ("Opaque", {}, 0),
        ("my/type", {}, 0),
    ],
)
def test_a_type_asks_for_its_keys(type_: str, data: dict[str, bytes], count: int) -> None:
    assert len(problems(secret(data, type_))) == count


def test_a_registry_that_programs_do_not_find_is_told() -> None:
    assert advice(docker_registry("r", username="u", password="p")) == ()
    (said,) = advice(docker_registry("r", username="u", password="p", server="docker.io"))
    assert "https://index.docker.io/v1/" in said
    for content, word in (
        ('{"auths": {}}', "no registry"),
        (f'{{"auths": {{"h.io": {{"auth": "{CANARY}!"}}}}}}', "h.io"),
        (f'{{"auths": "{CANARY}"}}', "cannot use"),
        ('{"credsStore": "desktop"}', "program"),
    ):
        (said,) = advice(secret({".dockerconfigjson": content.encode()}, DOCKER))
        assert word in said
        assert CANARY not in said


def test_a_grant_is_the_secret_and_a_poddefault_that_mounts_it() -> None:
    made = generic("test-secret", from_literal("foo=bar"), namespace="alice")
    given, poddefault = Grant("test-secret", made).to_mappings()
    assert given == made.to_mapping()
    assert poddefault == render("test-secret", namespace="alice")
    assert not [one for one in lint([poddefault]) if one.severity != "note"]


def test_a_hash_in_the_name_changes_neither_label_nor_path() -> None:
    made = generic("s", from_literal("a=b"), append_hash=True)
    assert made.name == "s-7fd2tm89d8"
    poddefault = Grant("s", made).poddefault()
    assert poddefault == render("s", secret_name=made.name, mount_path="/secret/s")


def test_a_docker_configuration_is_mounted_as_config_json() -> None:
    made = docker_registry("docker-config", username="u", password="p")
    volume = Grant("docker-config", made).poddefault()["spec"]["volumes"][0]
    assert volume["secret"]["items"] == [{"key": ".dockerconfigjson", "path": "config.json"}]
    other = Grant("docker-config", made, items={".dockerconfigjson": "auth.json"}).poddefault()
    assert other["spec"]["volumes"][0]["secret"]["items"][0]["path"] == "auth.json"


def test_a_grant_of_a_secret_that_others_bring_is_a_poddefault_alone() -> None:
    (poddefault,) = Grant("db", "db-credentials", namespace="alice").to_mappings()
    expected = render(
        "db", secret_name="db-credentials", mount_path="/secret/db", namespace="alice"
    )
    assert poddefault == expected


def test_a_grant_that_cannot_work_is_refused() -> None:
    made = generic("s", from_literal("a=b"))
    with pytest.raises(KeyNotFound, match="'b'"):
        Grant("s", made, items={"b": "b"}).poddefault()
    with pytest.raises(InvalidName, match="52"):
        Grant("s" * 53, made).poddefault()
    with pytest.raises(InvalidName, match="start with"):
        Grant("s", made, mount_path="relative").poddefault()


def test_json_and_yaml_say_the_same() -> None:
    import yaml

    data = {key: bytes([number]) for number, key in enumerate(("y", "1e3", "null", "a"))}
    given = {**secret(data).to_mapping(), "desc": "ü: #\u2028", "on": "yes", "e": math.ceil(2.5)}
    assert json.loads(to_json(given)) == given == yaml.safe_load(to_yaml(given))


def test_what_some_yaml_takes_for_no_text_is_quoted() -> None:
    # Go's parsers take y for true, and 1e10 for a number, where PyYAML takes both for text.
    for text in ("y", "N", "on", "1e10", "0x1f", "null", ".inf", "1_000", "0o7", "", "~", "="):
        assert to_yaml({"k": text}) == f'k: "{text}"\n'
    for text in ("MQ==", "/secret/a-b", ".dockerconfigjson", "kubernetes.io/tls"):
        assert to_yaml({"k": text}) == f"k: {text}\n"
