"""``jupyter kfsecrets create``: usage, output, prompts at a real terminal, nothing given away."""

from __future__ import annotations

import base64
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from kfsecrets_ext.cli import main
from kfsecrets_ext.docker import DockerConfig
from kfsecrets_ext.poddefaults import render

CANARY = "cAnArYcAnArY"
DRY = "--dry-run=client"


@pytest.fixture
def create(capfd: pytest.CaptureFixture[str]) -> Any:
    """Run the command: its exit status, standard output and standard error."""

    def run(*words: str) -> tuple[int, str, str]:
        status = main(["create", *words])
        said = capfd.readouterr()
        return status, said.out, said.err

    return run


def stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))


def decoded(secret: dict[str, Any]) -> dict[str, bytes]:
    return {key: base64.b64decode(value) for key, value in secret.get("data", {}).items()}


def test_the_tutorial_in_one_command(create) -> None:
    words = ("-n", "alice", "generic", "test-secret", "--from-literal=foo=bar", DRY)
    status, out, err = create(*words, "-o", "yaml")
    assert (status, err) == (0, "")
    listed = yaml.safe_load(out)
    assert (listed["apiVersion"], listed["kind"]) == ("v1", "List")
    secret, poddefault = listed["items"]
    assert (secret["metadata"]["name"], secret["metadata"]["namespace"]) == ("test-secret", "alice")
    assert secret["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "kfsecrets-ext"}
    assert decoded(secret) == {"foo": b"bar"}
    assert poddefault == render("test-secret", namespace="alice")
    assert json.loads(create(*words, "-ojson")[1]) == listed
    assert create(*words, "-o=name")[1].splitlines() == [
        "secret/test-secret",
        "poddefault.kubeflow.org/test-secret",
    ]
    # as kubectl without -o; no values
    assert create(*words)[1].splitlines() == [
        "secret/test-secret created (dry run)",
        "poddefault.kubeflow.org/test-secret created (dry run)",
    ]


def test_a_dry_run_for_several_tenants_names_each(create) -> None:
    words = ("generic", "s", "--from-literal=a=1", "-n", "alice,bob", DRY)
    assert create(*words)[1].splitlines() == [
        "secret/s created in alice (dry run)",
        "poddefault.kubeflow.org/s created in alice (dry run)",
        "secret/s created in bob (dry run)",
        "poddefault.kubeflow.org/s created in bob (dry run)",
    ]
    # names alone, as of every verb
    assert create(*words, "-o", "name")[1].splitlines()[::2] == ["secret/s"] * 2


def test_the_poddefault_is_as_the_options_say(create) -> None:
    status, out, _ = create(
        *("generic", "s", "--from-literal=a=1", "--from-literal=b=2", DRY, "-o", "json"),
        *("--desc", "Für alle", "--mount-path=/x", "--item=a", "--item", "b=c/d", "--required"),
    )
    assert status == 0
    assert json.loads(out)["items"][1] == render(
        "s", mount_path="/x", desc="Für alle", items={"a": "a", "b": "c/d"}, required=True
    )


@pytest.mark.parametrize("kind", ["generic", "docker-registry"])
def test_a_docker_configuration_is_what_programs_look_for(create, tmp_path, kind) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"auths": {"https://index.docker.io/v1/": {"auth": "dTpw"}}}')
    source = (f"--from-file=.dockerconfigjson={config}", "--type=kubernetes.io/dockerconfigjson")
    words = source if kind == "generic" else (f"--from-file={config}",)
    status, out, err = create(kind, "docker-config", *words, DRY, "-o", "json")
    assert (status, err) == (0, "")
    secret, poddefault = json.loads(out)["items"]
    assert decoded(secret) == {".dockerconfigjson": config.read_bytes()}
    volume, mount = (poddefault["spec"][name][0] for name in ("volumes", "volumeMounts"))
    assert volume["secret"]["items"] == [{"key": ".dockerconfigjson", "path": "config.json"}]
    assert mount["mountPath"] == "/secret/docker-config"


def test_a_password_from_standard_input_is_that_of_docker_login(create, monkeypatch) -> None:
    for given, expected in ((b"p\n", "p"), (b"p\r\n", "p"), (b"p", "p"), (b"p\n\n", "p\n")):
        stdin(monkeypatch, given)
        words = ("r", "--docker-username=u", "--docker-password-stdin", DRY, "-ojson")
        status, out, _ = create("docker-registry", *words, "--no-poddefault")
        assert status == 0
        config = DockerConfig.from_json(decoded(json.loads(out))[".dockerconfigjson"])
        found = config.credentials()
        assert found is not None
        assert str(found.password) == expected


def test_standard_input_is_a_file_too(create, monkeypatch) -> None:
    stdin(monkeypatch, b"\xff\n")
    _, out, _ = create("generic", "s", "--from-file=k=-", DRY, "-ojson", "--no-poddefault")
    assert decoded(json.loads(out)) == {"k": b"\xff\n"}
    stdin(monkeypatch, b"A=1\n")
    _, out, _ = create("generic", "s", "--from-env-file", "-", DRY, "-ojson", "--no-poddefault")
    assert decoded(json.loads(out)) == {"A": b"1"}


USAGE = [
    [],
    ["secret", "generic", "s", DRY],
    ["tls", "s", DRY],
    ["generic", DRY],
    ["generic", "", DRY],
    ["generic", "s", CANARY, DRY],
    ["generic", "s", f"--from-literal=a={CANARY}", "--dry-run"],
    ["generic", "s", f"--from-literal=a={CANARY}", f"--dry-run={CANARY}"],
    ["generic", "s", f"--from-literal=a={CANARY}", "--no-poddefault"],
    ["generic", "s", f"--from-literal=a={CANARY}", "--from-secret=a/b"],
    ["generic", "s", f"--from-secret={CANARY}"],
    ["generic", "s", DRY, "--existing", f"--from-literal=a={CANARY}"],
    ["generic", "s", DRY, "--from-secret=a/b"],
    ["generic", "s", f"--from-literal=a={CANARY}", "-A", "-n", "alice"],
    ["generic", "s", f"--from-literal=a={CANARY}", "--dry-run=server", "--report", "r.json"],
    ["generic", "s", DRY, "-o", CANARY],
    ["generic", "s", DRY, f"--from-litteral=a={CANARY}"],
    ["generic", "s", DRY, f"--{CANARY}"],
    ["generic", "s", DRY, f"-{CANARY}"],
    ["generic", "s", DRY, f"--append-hash={CANARY}"],
    ["generic", "s", DRY, f'--from-file="{CANARY}'],
    ["generic", "s", DRY, f"--from-literal=a={CANARY}", "--from-env-file=e"],
    ["generic", "s", DRY, f"--docker-password={CANARY}"],
    ["generic", "s", DRY, "--from-file=a=-", "--from-file=b=-"],
    ["generic", "s", DRY, "--no-poddefault", f"--desc={CANARY}"],
    ["generic", "s", DRY, "--from-literal"],
    ["docker-registry", "r", DRY, f"--docker-password={CANARY}"],
    ["docker-registry", "r", DRY, f"--docker-password={CANARY}", "--docker-username="],
    [
        *("docker-registry", "r", DRY, f"--docker-password={CANARY}", "--docker-username=u"),
        "--docker-server=",
    ],
    [
        *("docker-registry", "r", DRY, f"--docker-password={CANARY}", "--docker-username=u"),
        "--docker-password-prompt",
    ],
]
FAILURES = [
    ["generic", "s", DRY, f"--from-literal={CANARY}"],
    ["generic", "s", DRY, f"--from-literal=a={CANARY}", f"--from-literal=a={CANARY}"],
    ["generic", "s", DRY, f"--from-file={CANARY}"],
    ["generic", "s", DRY, f"--from-file=k={CANARY}"],
    ["generic", "s", DRY, f"--from-env-file={CANARY}"],
    ["generic", "s", DRY, f"--from-literal=a={CANARY}", "--item=b"],
    ["generic", "s", DRY, f"--from-literal=a={CANARY}", "--mount-path=x"],
    ["generic", "s" * 53, DRY, f"--from-literal=a={CANARY}"],
]


@pytest.mark.parametrize(
    ("words", "expected"), [(one, 2) for one in USAGE] + [(one, 1) for one in FAILURES]
)
def test_what_cannot_be_done_is_told_without_what_was_given(create, words, expected) -> None:
    for more in ([], ["-ojson"]):
        status, out, err = create(*words[:1], *more, *words[1:])
        assert (status, out) == (expected, "")
        assert CANARY not in err
        assert "Traceback" not in err
        assert err.splitlines()[-1].startswith("jupyter kfsecrets create: ")


def test_a_slip_is_told_what_was_meant(create) -> None:
    assert "--from-literal?" in create("generic", "s", DRY, "--from-litteral=a=b")[2]
    assert "leave out the word secret" in create("secret", "generic", "s")[2]
    assert "--dry-run=client" in create("generic", "s", "--dry-run")[2]
    assert "number 2" in create("generic", "s", DRY, "--from-literal=a=b", "--from-literal=c")[2]


def test_what_the_api_server_would_refuse_is_a_warning(create, tmp_path) -> None:
    large = tmp_path / "large"
    large.write_bytes(b"x" * ((1 << 20) + 1))
    for words, word in (
        (["generic", "Bad_Name", "--from-literal=a=b"], "Bad_Name"),
        (["generic", "s", "-n", "Bad_Name"], "namespace"),
        (["generic", "s", f"--from-file={large}"], "1 MiB"),
        (["docker-registry", "s", f"--from-file={large}"], "JSON"),
        (["generic", "s", "--type=kubernetes.io/tls"], "tls.key"),
    ):
        status, out, err = create(*words, DRY, "-ojson")
        assert status == 0
        assert json.loads(out)["items"][0]["kind"] == "Secret"
        assert word in err
        assert all(
            line.startswith("jupyter kfsecrets create: warning: ") for line in err.splitlines()
        )


def test_what_comes_after_two_dashes_is_left_out_as_by_kubectl(create) -> None:
    status, out, _ = create("generic", "s", DRY, "-oname", "--no-poddefault", "--", "x", "--help")
    assert (status, out) == (0, "secret/s\n")
    assert create("generic", DRY, "--", "s")[0] == 2


@pytest.mark.parametrize(
    "words", [["--help"], ["-h"], ["generic", "-h"], ["docker-registry", "--help"]]
)
def test_help_recommends_what_keeps_values_out(create, words) -> None:
    status, out, err = create(*words)
    assert (status, err) == (0, "")
    assert "kubectl apply --server-side -f -" in out
    assert "list of processes" in out
    assert "standard input" in out
    assert "examples:" in out
    assert max(map(len, out.splitlines())) <= 100


def run(
    *words: str | bytes, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "kfsecrets_ext.cli", "create", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, **(env or {})},
    )


@pytest.mark.parametrize("locale", ["C.UTF-8", "C", "POSIX"])
def test_arguments_are_taken_to_the_byte_in_any_locale(locale: str) -> None:
    value = b"\"'~$HOME \\ \xff\xc3\xa9\n=,-"
    done = run(
        *("generic", "s", b"--from-literal=a=" + value, "--from-literal", b"b=" + value, DRY),
        *("-oyaml", "--desc", "über ☃"),
        env={"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    secret, poddefault = yaml.safe_load(done.stdout)["items"]
    assert decoded(secret) == {"a": value, "b": value}
    assert poddefault["spec"]["desc"] == "über ☃"


def test_a_command_line_of_another_encoding_keeps_its_bytes() -> None:
    done = run(
        *("generic", "s", b"--from-literal=a=\xe9", DRY, "-ojson", "--no-poddefault"),
        env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    )
    assert decoded(json.loads(done.stdout)) == {"a": b"\xe9"}


def at_a_terminal(typed: bytes, *words: str) -> tuple[int, bytes]:
    """Run the command at a terminal, and give its exit status and all that was to be seen there."""
    child, terminal = pty.fork()
    if child == 0:
        command = [sys.executable, "-m", "kfsecrets_ext.cli", "create", *words]
        os.execv(sys.executable, command)
    seen = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # the terminal is closed
            break
        if not part:
            break
        seen += part
        if typed and b": " in seen:
            os.write(terminal, typed)
            typed = b""
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), seen


@pytest.mark.parametrize(
    "words",
    [
        ["generic", "s", "--from-prompt=k"],
        ["docker-registry", "s", "--docker-username=u", "--docker-password-prompt"],
    ],
)
def test_a_prompt_does_not_show_what_is_typed(words: list[str]) -> None:
    status, seen = at_a_terminal(CANARY.encode() + b"\n", *words, DRY, "-oname")
    assert (status, CANARY.encode() in seen) == (0, False)
    assert b"secret/s" in seen
    status, seen = at_a_terminal(b"\n", *words, DRY, "-oname")
    assert (status, b"nothing was entered" in seen) == (1, True)


def test_a_prompt_gives_the_value(tmp_path: Path) -> None:
    status, seen = at_a_terminal(
        "pässword\n".encode(),
        *("generic", "s", "--from-prompt=k", DRY, "-ojson", "--no-poddefault"),
    )
    assert status == 0
    assert decoded(json.loads(seen[seen.index(b"{") :])) == {"k": "pässword".encode()}


def test_without_a_terminal_nobody_is_asked() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "kfsecrets_ext.cli",
            "create",
            "generic",
            "s",
            "--from-prompt=k",
            DRY,
        ],
        input=CANARY.encode(),
        capture_output=True,
        start_new_session=True,
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"no terminal" in done.stderr
    assert CANARY.encode() not in done.stderr
