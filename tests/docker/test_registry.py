"""A real registry lets in who has the credentials that were found; crane agrees."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rig import registry

from kfsecrets_ext.docker import DockerCredentials, get_docker_credentials
from kfsecrets_ext.errors import SecretError

pytestmark = [pytest.mark.slow]

USER, PASSWORD = "alice", "s3cret:with/special+characters="
REPOSITORY, TAG = "team/image", "v1"


def encoded(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


AUTH = encoded(USER, PASSWORD)
WRONG = encoded(USER, "wrong")


@pytest.fixture(scope="module")
def basic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry with basic auth and an image in it."""
    with registry.basic(tmp_path_factory.mktemp("basic"), USER, PASSWORD) as host:
        found = get_docker_credentials(host, config={"auths": {host: {"auth": AUTH}}})
        registry.push(registry.session(host, REPOSITORY, found), host, REPOSITORY, TAG)
        yield host


@pytest.fixture(scope="module")
def tokens() -> Iterator[registry.TokenServer]:
    with registry.TokenServer(USER, PASSWORD).serve() as server:
        yield server


@pytest.fixture(scope="module")
def by_token(
    tmp_path_factory: pytest.TempPathFactory, tokens: registry.TokenServer
) -> Iterator[str]:
    """A registry with token auth and an image in it."""
    with registry.token(tmp_path_factory.mktemp("token"), tokens) as host:
        found = get_docker_credentials(host, config={"auths": {host: {"auth": AUTH}}})
        registry.push(registry.session(host, REPOSITORY, found), host, REPOSITORY, TAG)
        yield host


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the configuration and the helpers; nothing else is configured."""
    for name in ("DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def helper(home: Path, name: str, body: str) -> None:
    program = home / f"docker-credential-{name}"
    program.write_text(
        f"#!{sys.executable} -IS\nimport json, sys\nserver = sys.stdin.read()\n{body}\n",
        encoding="utf-8",
    )
    program.chmod(0o755)


def we_pull(home: Path, host: str) -> bool:
    """Pull as a user of this package does."""
    try:
        found = get_docker_credentials(f"{host}/{REPOSITORY}:{TAG}", helpers=True)
    except SecretError:
        return False
    client = registry.session(host, REPOSITORY, found)
    return registry.pull(client, host, REPOSITORY, TAG).status_code == 200


def crane_pulls(home: Path, host: str) -> bool:
    done = subprocess.run(
        [registry.program("crane"), "manifest", f"{host}/{REPOSITORY}:{TAG}"],
        capture_output=True,
        text=True,
        env=dict(os.environ),
        timeout=60,
    )
    return done.returncode == 0


ALIKE: dict[str, tuple[bool, Any]] = {
    "host": (True, {"auths": {"HOST": {"auth": AUTH}}}),
    "https URL": (True, {"auths": {"https://HOST": {"auth": AUTH}}}),
    "http URL of the old API": (True, {"auths": {"http://HOST/v1/": {"auth": AUTH}}}),
    "URL of the API": (True, {"auths": {"https://HOST/v2/": {"auth": AUTH}}}),
    "slash": (True, {"auths": {"HOST/": {"auth": AUTH}}}),
    "URL of another path": (True, {"auths": {"https://HOST/other": {"auth": AUTH}}}),
    "the repository": (
        True,
        {"auths": {"HOST/team/image": {"auth": AUTH}, "HOST": {"auth": WRONG}}},
    ),
    "user and password": (True, {"auths": {"HOST": {"username": USER, "password": PASSWORD}}}),
    "auth before password": (
        True,
        {"auths": {"HOST": {"auth": AUTH, "username": USER, "password": "wrong"}}},
    ),
    "names in any case": (True, {"Auths": {"HOST": {"Auth": AUTH}}}),
    "line breaks": (True, {"auths": {"HOST": {"auth": f"{AUTH[:8]}\n{AUTH[8:]}\r\n"}}}),
    "NULs": (True, {"auths": {"HOST": {"auth": encoded(USER, PASSWORD + "\0\0")}}}),
    "last of duplicates": (
        True,
        f'{{"auths":{{"HOST":{{"auth":"{WRONG}"}},"HOST":{{"auth":"{AUTH}"}}}}}}',
    ),
    "text behind": (True, f'{{"auths":{{"HOST":{{"auth":"{AUTH}"}}}}}} behind'),
    "helper": (True, {"credHelpers": {"HOST": "right"}}),
    "helper before entry": (
        True,
        {"auths": {"HOST": {"auth": WRONG}}, "credHelpers": {"HOST": "right"}},
    ),
    "store": (True, {"credsStore": "right"}),
    "helper before store": (True, {"credHelpers": {"HOST": "right"}, "credsStore": "none"}),
    "no helper before store": (
        True,
        {"auths": {"HOST": {"auth": AUTH}}, "credHelpers": {"HOST": ""}, "credsStore": "none"},
    ),
    "wrong password": (False, {"auths": {"HOST": {"auth": WRONG}}}),
    "another port": (False, {"auths": {"127.0.0.1:1": {"auth": AUTH}}}),
    "no port": (False, {"auths": {"127.0.0.1": {"auth": AUTH}}}),
    "Docker Hub": (False, {"auths": {"https://index.docker.io/v1/": {"auth": AUTH}}}),
    "nothing": (False, {}),
    "an empty file": (False, ""),
    "no credentials": (False, {"auths": {"HOST": {}, "https://HOST/v1/": {"auth": AUTH}}}),
    "no colon": (False, {"auths": {"HOST": {"auth": base64.b64encode(b"pants").decode()}}}),
    "no base64": (False, {"auths": {"HOST": {"auth": "!"}}}),
    "no text": (False, {"auths": {"HOST": {"auth": AUTH, "email": False}}}),
    "no JSON": (False, f'{{"auths":{{"HOST":{{"auth":"{AUTH}"}}}}'),
    "byte order mark": (False, f'\ufeff{{"auths":{{"HOST":{{"auth":"{AUTH}"}}}}}}'),
    "a list": (False, {"auths": ["HOST"]}),
    "helper has none": (
        False,
        {"auths": {"HOST": {"auth": AUTH}}, "credHelpers": {"HOST": "none"}},
    ),
    "store has none": (False, {"auths": {"HOST": {"auth": AUTH}}, "credsStore": "none"}),
    "broken helper": (
        False,
        {"auths": {"HOST": {"auth": AUTH}}, "credHelpers": {"HOST": "broken"}},
    ),
    "no such helper": (
        False,
        {"auths": {"HOST": {"auth": AUTH}}, "credHelpers": {"HOST": "missing"}},
    ),
}

OTHERWISE: dict[str, Any] = {
    # what most others accept, or the recorded cases recommend
    "no padding": {"auths": {"HOST": {"auth": AUTH.rstrip("=")}}},
    "a bad entry beside": {"auths": {"HOST": {"auth": AUTH}, "bad.example.org": {"auth": "!"}}},
    "a parent of the repository": {"auths": {"HOST/team": {"auth": AUTH}, "HOST": {"auth": WRONG}}},
    "wildcard": {"auths": {"127.*.0.1:PORT": {"auth": AUTH}}},
    "the old layout": {"HOST": {"auth": AUTH}},
    # crane asks the store for the repository first, the docker CLI never does
    "helper before a broken store": {"credHelpers": {"HOST": "right"}, "credsStore": "broken"},
    "no helper before a broken store": {
        "auths": {"HOST": {"auth": AUTH}},
        "credHelpers": {"HOST": ""},
        "credsStore": "broken",
    },
}


def write(home: Path, host: str, content: Any) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    text = text.replace("HOST", host).replace("PORT", host.partition(":")[2])
    (home / "config.json").write_text(text, encoding="utf-8")
    answer = json.dumps({"Username": USER, "Secret": PASSWORD})
    helper(home, "right", f"print({answer!r})" if content else "")
    helper(home, "none", "print('credentials not found in native keychain'); sys.exit(1)")
    helper(home, "broken", "print('it is broken'); sys.exit(1)")


def test_the_cases_can_tell_padding_from_none() -> None:
    assert AUTH.endswith("=")


@pytest.mark.parametrize("name", ALIKE)
def test_crane_and_we_succeed_and_fail_alike(home: Path, basic: str, name: str) -> None:
    expected, content = ALIKE[name]
    write(home, basic, content)
    assert we_pull(home, basic) is expected
    assert crane_pulls(home, basic) is expected


@pytest.mark.parametrize("name", OTHERWISE)
def test_we_succeed_where_the_recorded_cases_recommend_it(
    home: Path, basic: str, name: str
) -> None:
    write(home, basic, OTHERWISE[name])
    assert we_pull(home, basic)
    assert not crane_pulls(home, basic)


def forms(tokens: registry.TokenServer) -> dict[str, tuple[bool, dict[str, str]]]:
    bearer = tokens.token([f"repository:{REPOSITORY}:pull"])
    other = tokens.token(["repository:other/image:pull"])
    return {
        "user and password": (True, {"auth": AUTH}),
        "wrong password": (False, {"auth": WRONG}),
        "identity token": (True, {"identitytoken": tokens.refresh_token}),
        "identity token with user": (
            True,
            {"auth": encoded(USER, ""), "identitytoken": tokens.refresh_token},
        ),
        "wrong identity token": (False, {"auth": AUTH, "identitytoken": "wrong"}),
        "registry token": (True, {"registrytoken": bearer}),
        "registry token for something else": (False, {"registrytoken": other}),
    }


@pytest.mark.parametrize(
    "name",
    [
        "user and password",
        "wrong password",
        "identity token",
        "identity token with user",
        "wrong identity token",
        "registry token",
        "registry token for something else",
    ],
)
def test_crane_and_we_use_every_kind_of_credential_alike(
    home: Path, by_token: str, tokens: registry.TokenServer, name: str
) -> None:
    expected, entry = forms(tokens)[name]
    write(home, by_token, {"auths": {"HOST": entry}})
    assert we_pull(home, by_token) is expected
    assert crane_pulls(home, by_token) is expected


def test_crane_and_we_take_an_identity_token_from_a_helper(
    home: Path, by_token: str, tokens: registry.TokenServer
) -> None:
    write(home, by_token, {"credHelpers": {"HOST": "token"}})
    answer = json.dumps({"Username": "<token>", "Secret": tokens.refresh_token})
    helper(home, "token", f"print({answer!r})")
    assert we_pull(home, by_token)
    assert crane_pulls(home, by_token)


def test_an_image_is_pushed_and_pulled_with_a_mounted_secret(
    home: Path, basic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = home / "secrets"
    (root / "regcred").mkdir(parents=True)
    content = {"auths": {basic: {"username": USER, "password": PASSWORD, "auth": AUTH}}}
    (root / "regcred" / ".dockerconfigjson").write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setenv("KFSECRETS_ROOTS", str(root))
    found: DockerCredentials = get_docker_credentials(f"{basic}/mine/image")
    assert found.source == "regcred/.dockerconfigjson"
    client = registry.session(basic, "mine/image", found)
    digest = registry.push(client, basic, "mine/image", "t")
    pulled = registry.pull(client, basic, "mine/image", "t")
    assert pulled.headers["Docker-Content-Digest"] == digest
    assert found.password not in repr(found.as_auth_config())
