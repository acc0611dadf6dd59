"""What a command is given that says nothing, or cannot be read: it never reaches more for that."""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kfsecrets_ext.admin import apply, load_grants, plan, tenants
from kfsecrets_ext.cli import main
from kfsecrets_ext.cluster import PODDEFAULT, SECRET
from kfsecrets_ext.cluster.embedded import Embedded
from kfsecrets_ext.poddefaults import PROFILE_LABEL

GRANT = """\
apiVersion: kfsecrets-ext/v1
kind: Grant
name: {name}
tenants: {{names: [alice, bob]}}
secret: {{data: {{key: {{value: abcdefgh}}}}}}
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Embedded:
    """Two tenants who have the grant ``there``, and the directory that one works in."""
    home = tmp_path / "cluster"
    for name in ("alice", "bob"):
        space = home / "namespaces" / name
        space.mkdir(parents=True)
        key, value = PROFILE_LABEL
        (space / "namespace.yaml").write_text(
            "apiVersion: v1\nkind: Namespace\n"
            f"metadata: {{name: {name}, labels: {{{key}: {value}}}}}"
        )
    (tmp_path / "there.yaml").write_text(GRANT.format(name="there"))
    monkeypatch.setenv("KFSECRETS_CLUSTER", str(home))
    monkeypatch.chdir(tmp_path)
    made = Embedded(home)
    assert apply(made, plan(made, load_grants("there.yaml"))).ok
    return made


def kept(cluster: Embedded) -> int:
    return sum(
        cluster.get(kind, "there", namespace=space) is not None
        for kind in (SECRET, PODDEFAULT)
        for space in ("alice", "bob")
    )


@pytest.mark.parametrize("content", ["", "# nothing yet\n", "---\n---\n"])
@pytest.mark.parametrize("place", ["-", "empty.yaml", "."])
def test_files_without_a_grant_prune_nothing(
    cluster: Embedded,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: str,
    content: str,
) -> None:
    os.remove("there.yaml")
    Path("empty.yaml").write_text(content)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content.encode())))
    assert main(["apply", "-f", place, "--prune", "-y"]) == 1
    assert "there is no grant in what -f names" in capsys.readouterr().err
    assert kept(cluster) == 4


def test_whoever_plans_for_no_grant_names_the_tenants_to_prune(cluster: Embedded) -> None:
    with pytest.raises(ValueError, match="name the tenants"):
        plan(cluster, [], prune=True)
    assert plan(cluster, [], tenants(cluster, names=("bob",)), prune=True).pending == 2


def test_a_canary_of_nobody_is_a_mistake(
    cluster: Embedded, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["rotate", "there", "-A", "--from-literal=key=new-value", "-y"]
    assert main([*words, "--canary", "0"]) == 2
    assert "1 or more tenants" in capsys.readouterr().err
    assert main([*words, "--canary", "00"]) == 2


def test_a_file_of_no_tenants_is_not_taken_for_all(
    cluster: Embedded, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("none").write_text("# to be filled\n\n")
    Path("new.yaml").write_text(GRANT.format(name="new"))
    chosen = ["--tenants-from", "none", "-y"]
    for words in (
        ["apply", "-f", "new.yaml", *chosen],
        ["apply", "-f", "new.yaml", "--prune", *chosen],
        ["delete", "there", *chosen],
        ["rotate", "there", "--from-literal=key=x", *chosen],
        ["verify", "there", "--tenants-from", "none"],
    ):
        assert main(words) == 2, words
        assert "--tenants-from names no tenant" in capsys.readouterr().err
    assert kept(cluster) == 4
    assert cluster.get(SECRET, "new", namespace="alice") is None


def test_a_grant_whose_file_of_tenants_is_empty_is_refused(
    cluster: Embedded, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("none").touch()
    given = GRANT.format(name="there").replace("names: [alice, bob]", "file: none")
    Path("there.yaml").write_text(given)
    assert main(["apply", "-f", "there.yaml", "--prune", "-y"]) == 1
    said = capsys.readouterr().err
    assert "there.yaml, document 1, tenants.file: it names no tenant." in said
    assert kept(cluster) == 4


@pytest.mark.parametrize("given", [["-n", ""], ["--namespace="], ["-n", "", "-n", "alice,"]])
def test_an_empty_namespace_is_a_mistake(
    cluster: Embedded, capsys: pytest.CaptureFixture[str], given: list[str]
) -> None:
    Path("new.yaml").write_text(GRANT.format(name="new"))
    for words in (["apply", "-f", "new.yaml", "--prune"], ["delete", "there"]):
        assert main([*words, *given, "-y"]) == 2
        assert "-n/--namespace is empty" in capsys.readouterr().err
    assert kept(cluster) == 4


def test_a_directory_that_cannot_be_read_is_an_error(
    cluster: Embedded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    below = Path("grants", "team")
    below.mkdir(parents=True)
    Path("there.yaml").rename(below / "there.yaml")
    Path("grants", "new.yaml").write_text(GRANT.format(name="new"))
    listed = os.scandir

    def scandir(path: Any) -> Any:
        if os.fspath(path) == str(below):
            raise PermissionError(13, "Permission denied", str(below))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    for words in (
        ["apply", "-f", "grants", "-R", "--prune", "-y"],
        ["apply", "-f", str(below), "-y"],
        ["lint", "-f", "grants", "-R"],
        ["lint", "-f", str(below)],
    ):
        assert main(words) == 1, words
        said = capsys.readouterr().err
        assert f"{below}: Permission denied." in said
        assert "no .yaml" not in said
    assert kept(cluster) == 4


def test_an_error_names_the_file_that_it_is_in(
    cluster: Embedded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = GRANT.format(name="bad").replace("name:", "nam:", 1)
    Path("bad.yaml").write_text(GRANT.format(name="new") + "---\n" + bad)
    Path("worse.yaml").write_text("a: [\n")
    for place, where in (
        ("bad.yaml", "bad.yaml, document 2, nam: "),
        ("worse.yaml", "worse.yaml, line 2, column 1: "),
        ("missing.yaml", "missing.yaml: "),
    ):
        assert main(["diff", "-f", "there.yaml", "-f", place]) == 1
        assert f"jupyter kfsecrets diff: {where}" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(bad.encode())))
    assert main(["diff", "-f", "-"]) == 1
    assert "standard input, document 1, nam: " in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, "", "{}", "[1]"])
def test_a_report_to_resume_is_read_before_tenants_are(
    cluster: Embedded, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    if content is not None:
        Path("report.json").write_text(content)
    assert main(["apply", "-f", "there.yaml", "--resume", "report.json", "-y"]) == 1
    said = capsys.readouterr().err
    assert "Plan" not in said
    assert ("report.json: No such file" if content is None else "no report") in said


@pytest.mark.parametrize("given", [["-n", "alice,bob"], ["-n", "alice", "-n", "bob"]])
def test_the_doctor_looks_at_one_tenant(
    cluster: Embedded, capsys: pytest.CaptureFixture[str], given: list[str]
) -> None:
    assert main(["doctor", *given]) == 2
    assert "one tenant at a time" in capsys.readouterr().err
