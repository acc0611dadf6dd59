"""Credential helpers are asked by their protocol, and a bad one does no harm."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kfsecrets_ext.docker import HUB, DockerConfig, get_docker_credentials, helper
from kfsecrets_ext.errors import DockerConfigError
from kfsecrets_ext.redaction import guard

CANARY = "canary-in-the-helpers-output"

Install = Callable[[str, str], Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Make a helper of a few lines of Python, found on the PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def make(name: str, body: str) -> Path:
        program = tmp_path / f"docker-credential-{name}"
        program.write_text(
            f"#!{sys.executable} -IS\nimport json, os, sys, time\n"
            f"server = sys.stdin.read()\n{body}\n",
            encoding="utf-8",
        )
        program.chmod(0o755)
        return program

    return make


def ask(name: str, query: str = "h.io", **content: Any) -> Any:
    config = {"credHelpers": {"h.io": name}, **content}
    return DockerConfig.from_json(config, helpers=True).credentials(query)


def test_a_helper_is_asked_for_the_host_and_answers(install: Install, tmp_path: Path) -> None:
    install(
        "ok",
        f"open({str(tmp_path / 'asked')!r}, 'w').write(repr((sys.argv[1:], server)))\n"
        "print(json.dumps({'ServerURL': server, 'Username': 'u', 'Secret': 'secret-of-u'}))",
    )
    found = ask("ok", "h.io/some/image:tag")
    assert (found.username, found.password, found.identity_token) == ("u", "secret-of-u", None)
    assert (tmp_path / "asked").read_text() == "(['get'], 'h.io')"
    assert "secret-of-u" not in guard().redact("it is secret-of-u, they say")


@pytest.mark.parametrize("name", ["docker.io", "index.docker.io", HUB, "https://index.docker.io"])
def test_docker_hub_is_asked_for_by_its_key(install: Install, name: str) -> None:
    install("echo", "print(json.dumps({'Username': server, 'Secret': 's'}))")
    config = {"credHelpers": {name: "echo"}}
    for query in (None, "busybox", "docker.io", "index.docker.io/a/b"):
        found = get_docker_credentials(query or HUB, config=config, helpers=True)
        assert found.username == HUB


def test_a_token_user_means_an_identity_token(install: Install) -> None:
    install("tok", "print(json.dumps({'username': '<token>', 'secret': 'the-identity-token'}))")
    found = ask("tok")
    assert (found.username, found.password) == ("", "")
    assert found.identity_token == "the-identity-token"
    assert "the-identity-token" not in guard().redact("the-identity-token")


@pytest.mark.parametrize(
    "body",
    [
        "print('credentials not found in native keychain'); sys.exit(1)",
        "print('  credentials not found in native keychain \\n'); sys.exit(3)",
        "print(json.dumps({'ServerURL': '', 'Username': '', 'Secret': ''}))",
    ],
)
def test_a_helper_that_has_nothing_is_an_answer(install: Install, body: str) -> None:
    install("none", body)
    static = {"auths": {"h.io": {"auth": "dTpw"}}}
    assert ask("none", **static) is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (f"print('{CANARY}'); print('{CANARY}', file=sys.stderr); sys.exit(1)", "exit status 1"),
        ("print('no credentials server URL'); sys.exit(1)", "no server"),
        ("print('no credentials username'); sys.exit(1)", "no user name"),
        (f"print('{CANARY}')", "no answer"),
        (f"print(json.dumps(['{CANARY}']))", "no answer"),
        (f"print(json.dumps({{'Username': 1, 'Secret': '{CANARY}'}}))", "no answer"),
        (f"print(json.dumps({{'Username': 'u', 'Secret': '{CANARY}\\ud800'}}))", "no answer"),
        (f"sys.stdout.buffer.write(b'\\xff{CANARY}')", "no answer"),
        ("print('[' * 100000)", "no answer"),
        ("pass", "no answer"),
        ("os.kill(os.getpid(), 9)", "exit status -9"),
        (f"print('{CANARY}' * 100000)", "more than 1 MiB"),
    ],
)
def test_a_broken_helper_is_a_typed_error_without_its_output(
    install: Install, body: str, message: str
) -> None:
    install("bad", body)
    with pytest.raises(DockerConfigError, match=message) as caught:
        ask("bad")
    assert caught.value.helper == "bad"
    assert CANARY not in f"{caught.value!r} {caught.value} {vars(caught.value)}"
    assert caught.value.__context__ is None


def test_a_slow_helper_is_ended_with_what_it_started(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # time enough for a shell to start and to write its line
    monkeypatch.setattr(helper, "TIMEOUT", 3.0)
    pids = tmp_path / "pids"
    install("slow", "").write_text(
        f"#!/bin/sh\nsleep 300 &\necho $$ $! > '{pids}'\nwait\n", encoding="utf-8"
    )
    started = time.monotonic()
    with pytest.raises(DockerConfigError, match=r"longer than 3 seconds") as caught:
        ask("slow")
    assert caught.value.helper == "slow"
    assert time.monotonic() - started < 100
    processes = [int(pid) for pid in pids.read_text().split()]
    assert len(processes) == 2
    for pid in processes:
        # killed, and gone a little later
        ended = time.monotonic() + 100
        while is_running(pid) and time.monotonic() < ended:
            time.sleep(0.05)
        assert not is_running(pid)


def is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def test_a_helper_that_closes_its_output_and_stays_is_ended(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helper, "TIMEOUT", 0.7)
    install("stays", "os.close(1); time.sleep(300)")
    with pytest.raises(DockerConfigError, match="longer than"):
        ask("stays")


def test_a_process_that_a_helper_leaves_behind_does_not_hold_the_answer(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helper, "TIMEOUT", 100.0)
    left = tmp_path / "left"
    install(
        "leaves",
        "import subprocess\n"
        "child = subprocess.Popen(['sleep', '300'])\n"
        f"open({str(left)!r}, 'w').write(str(child.pid))\n"
        "print(json.dumps({'Username': 'u', 'Secret': 's'}))",
    )
    assert ask("leaves").username == "u"
    pid = int(left.read_text())
    # it holds the pipe to this moment: nobody waited for its end
    assert is_running(pid)
    os.kill(pid, signal.SIGKILL)


def test_a_helper_that_does_not_read_is_heard(install: Install, tmp_path: Path) -> None:
    program = install("deaf", "")
    program.write_text('#!/bin/sh\necho \'{"Username": "u", "Secret": "s"}\'\n', encoding="utf-8")
    assert ask("deaf").username == "u"


@pytest.mark.parametrize("name", ["../evil", "a/b", "a b", "a;b", "ü", "#x", "a\n", "-\0"])
def test_a_helper_is_named_by_plain_characters_only(name: str) -> None:
    with pytest.raises(DockerConfigError, match="letters, digits"):
        ask(name)


def test_a_helper_that_is_not_installed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DockerConfigError, match="not on the PATH") as caught:
        ask("there-is-no-such-helper")
    assert caught.value.helper == "there-is-no-such-helper"


def test_a_helper_in_the_current_directory_is_not_run(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("here", "print(json.dumps({'Username': 'u', 'Secret': 's'}))")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f".{os.pathsep}/usr/bin")
    with pytest.raises(DockerConfigError, match="not on the PATH"):
        ask("here")


def test_without_the_opt_in_no_helper_runs(install: Install, tmp_path: Path) -> None:
    install("touch", f"open({str(tmp_path / 'ran')!r}, 'w')")
    content = {
        "auths": {"h.io": {"auth": "dTpw"}, "i.io": {}},
        "credHelpers": {"h.io": "touch", "j.io": "touch"},
        "credsStore": "touch",
    }
    config = DockerConfig.from_json(content)
    found = config.credentials("h.io")
    assert found is not None
    assert found.username == "u"
    for query in ("i.io", "j.io", "k.io", None):
        with pytest.raises(DockerConfigError, match="touch") as caught:
            config.credentials(query)
        assert caught.value.helper == "touch"
    config.registries()
    assert not (tmp_path / "ran").exists()


def test_an_empty_helper_name_turns_the_store_off_for_a_registry(install: Install) -> None:
    install("store", "print(json.dumps({'Username': 'of-the-store', 'Secret': 's'}))")
    content = {
        "auths": {"h.io": {"auth": "dTpw"}},
        "credHelpers": {"h.io": ""},
        "credsStore": "store",
    }
    config = DockerConfig.from_json(content, helpers=True)
    usernames = [config.credentials(query).username for query in ("h.io", "i.io")]  # type: ignore[union-attr]
    assert usernames == ["u", "of-the-store"]


def test_a_helper_whose_name_is_no_text_spoils_its_registry_only() -> None:
    config = DockerConfig.from_json(
        {"credHelpers": {"h.io": 1}, "auths": {"i.io": {"auth": "dTpw"}}}
    )
    assert config.credentials("i.io") is not None
    with pytest.raises(DockerConfigError) as caught:
        config.credentials("h.io")
    assert caught.value.place == 'credHelpers["h.io"]'
