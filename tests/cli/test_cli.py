"""The command line: help, exit statuses, the list; no value in any output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from demo.running import environment, kfsecrets
from demo.values import leaks, values

from kfsecrets_ext import __version__
from kfsecrets_ext.cli import _COMMANDS, main
from kfsecrets_ext.demo import kubelet
from kfsecrets_ext.demo.pod import DemoPod, lay_out
from kfsecrets_ext.table import COLUMNS


@pytest.fixture
def pod(tmp_path: Path, monkeypatch) -> DemoPod:
    """A pod whose container this process is."""
    laid = lay_out(tmp_path / "pod")
    for name, value in laid.variables().items():
        monkeypatch.setenv(name, value)
    return laid


@pytest.fixture
def empty(tmp_path: Path, monkeypatch) -> Path:
    """A pod with nothing mounted."""
    (tmp_path / "mountinfo").write_text("")
    monkeypatch.delenv("KFSECRETS_CLUSTER", raising=False)
    monkeypatch.setenv("KFSECRETS_ROOTS", str(tmp_path / "secret"))
    monkeypatch.setenv("KFSECRETS_MOUNTINFO", str(tmp_path / "mountinfo"))
    monkeypatch.setenv("KFSECRETS_PODINFO", str(tmp_path / "podinfo"))
    return tmp_path / "secret"


def status(*arguments: str) -> int:
    """Run a command in this process; what argparse exits with counts too."""
    try:
        return main(arguments)
    except SystemExit as ended:
        return int(ended.code or 0)


def test_jupyter_finds_the_command(tmp_path: Path) -> None:
    done = kfsecrets("--version", env=environment(tmp_path))
    assert (done.returncode, done.stdout) == (0, f"kfsecrets-ext {__version__}\n")


@pytest.mark.parametrize("command", ["", *_COMMANDS])
def test_help_shows_examples_and_exits_0(capsys, command: str) -> None:
    assert status(*filter(None, [command]), "--help") == 0
    said = capsys.readouterr().out
    assert f"usage: jupyter kfsecrets {command}".strip() in said
    assert "examples:\n  jupyter kfsecrets" in said


def test_help_names_every_command(capsys) -> None:
    status("--help")
    listed = [line[4:].split(" ")[0] for line in capsys.readouterr().out.splitlines()]
    assert set(_COMMANDS) <= set(listed)


def test_help_of_the_demo_says_what_is_kept(capsys) -> None:
    status("demo", "--help")
    assert "It is kept at the end" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no-such-command"],
        ["list", "-o", "yaml"],
        ["list", "surplus"],
        ["demo", "--port", "zero"],
        ["demo", "--port", "0"],
        ["demo", "--port", "65536"],
        ["demo", "--dir", ""],
        ["demo", "--rotate"],
        ["demo", "--rotate", "test-secret", "--port", "8890"],
        ["demo", "--rotate", "test-secret", "--no-browser"],
        ["demo", "--choose", "aws"],
        ["demo", "--restart-pod", "--no-browser"],
        ["demo", "--restart-pod", "--rotate", "test-secret"],
        # Only whole options: a later one must not change what an abbreviation means.
        ["demo", "--no-b"],
    ],
)
def test_wrong_usage_exits_2_and_shows_the_usage(capsys, arguments: list[str]) -> None:
    assert status(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("usage: jupyter kfsecrets")


def test_the_table_lists_every_secret(pod: DemoPod, capsys) -> None:
    assert status("list") == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0].split() == list(COLUMNS)
    assert [line.split()[0] for line in lines[1:10]] == [
        *("coming-soon", "database", "docker-config", "legacy-token", "object-store"),
        *("signing", "ssh-agent", "test-secret", "vault"),
    ]
    assert said.err == ""


def test_json_is_what_the_endpoint_answers(pod: DemoPod, capsys) -> None:
    from kfsecrets_ext import inventory

    for spelling in (["-o", "json"], ["-ojson"], ["--output=json"]):
        assert status("list", *spelling) == 0
        assert json.loads(capsys.readouterr().out) == inventory.collect().to_json()


def test_names_are_kubectls(pod: DemoPod, capsys) -> None:
    assert status("list", "-o", "name") == 0
    assert "secret/test-secret" in capsys.readouterr().out.splitlines()


def test_odd_names_stay_on_their_line(empty: Path, capsys) -> None:
    kubelet.write(empty / "two\nlines", kubelet.secret_payload({"key": b"a-value-of-the-test"}))
    for output in ("name", "table", "json"):
        assert status("list", "-o", output) == 0
        said = capsys.readouterr().out
        assert "two\nlines" not in said
        assert "two\\nlines" in said


def test_any_name_can_be_printed_in_any_locale(empty: Path, tmp_path: Path) -> None:
    kubelet.write(empty / "ключ☃", kubelet.secret_payload({"key": b"a-value-of-the-test"}))
    os.mkdir(os.fsencode(empty) + b"/latin\xe9")
    env = {**environment(tmp_path), "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    env |= {name: os.environ[name] for name in os.environ if name.startswith("KFSECRETS_")}
    for output in ("name", "table", "json"):
        done = kfsecrets("list", "-o", output, env=env)
        assert (done.returncode, done.stderr) == (0, "")


def test_nothing_mounted_is_no_failure(empty: Path, capsys) -> None:
    assert status("list") == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert str(empty) in said.err
    assert status("list", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)["secrets"] == []
    assert status("list", "-o", "name") == 0
    assert capsys.readouterr().out == ""


def test_a_reader_that_has_enough_is_no_traceback(pod: DemoPod) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kfsecrets_ext.cli", "list", "-o", "json"],
        stdout=os.open("/dev/full", os.O_WRONLY),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "kfsecrets_ext.cli", "list", "-o", "json"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_rotation_says_what_it_reaches(pod: DemoPod, capsys) -> None:
    assert status("demo", "--rotate", "test-secret") == 0
    place = pod.directory / "secret/test-secret"
    assert capsys.readouterr().out.splitlines() == [
        "secret/test-secret rotated",
        f"  {place} shows the new value",
    ]
    assert status("demo", "--rotate", "coming-soon", "--dir", str(pod.directory)) == 0
    assert "secret/coming-soon created" in capsys.readouterr().out
    assert status("demo", "--rotate", "object-store") == 0
    assert "S3_SECRET_KEY keeps the old value" in capsys.readouterr().out


def test_a_start_anew_says_what_the_pod_gets(pod: DemoPod, capsys) -> None:
    assert status("create", "generic", "aws", "--from-literal=key=a-value-of-the-test") == 0
    capsys.readouterr()
    assert status("demo", "--restart-pod") == 0
    said = capsys.readouterr().out
    assert said.startswith("pod/demo-nb-0 started anew, with coming-soon, ")
    assert "aws" not in said
    assert status("demo", "--restart-pod", "--choose", "aws") == 0
    first, *more = capsys.readouterr().out.splitlines()
    assert first.startswith("pod/demo-nb-0 started anew, with aws, coming-soon, ")
    assert more == [f"  {pod.directory}/secret/aws is mounted now"]
    assert status("delete", "aws") == 0
    capsys.readouterr()
    assert status("demo", "--restart-pod") == 0
    assert f"  {pod.directory}/secret/aws is gone" in capsys.readouterr().out


def test_what_fails_is_one_sentence_and_exits_1(
    pod: DemoPod, tmp_path, monkeypatch, capsys
) -> None:
    failures = [["demo", "--rotate", "test-secert"], ["demo", "--rotate", "x", "--dir", "/nowhere"]]
    for arguments in failures:
        assert status(*arguments) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("jupyter kfsecrets demo: ")
        assert said.err.count("\n") == 1
    monkeypatch.delenv("KFSECRETS_CLUSTER")
    assert status("demo", "--rotate", "test-secret") == 1
    assert "--dir" in capsys.readouterr().err


def test_no_output_holds_a_value(pod: DemoPod, capsys) -> None:
    known = values(pod.directory)
    for arguments in (
        ["list"],
        ["list", "-o", "json"],
        ["list", "-o", "name"],
        *(["demo", "--rotate", name] for name in ("test-secret", "database", "no-such")),
    ):
        status(*arguments)
        said = capsys.readouterr()
        known |= values(pod.directory)
        assert said.out or said.err
        assert not leaks(said.out + said.err, known)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "from kfsecrets_ext.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print('loaded', *sorted({name.split('.')[0] for name in set(sys.modules) - before}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split()[1:])
    outside = loaded - set(sys.stdlib_module_names)
    assert outside == {"kfsecrets_ext"}
    assert loaded.isdisjoint({"asyncio", "http", "ssl", "subprocess", "json", "tempfile", "email"})
