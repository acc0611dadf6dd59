"""``jupyter kfsecrets lint`` with files: exit statuses, the JSON document, places, no values."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import jsonschema
import pytest

from kfsecrets_ext.cli import main
from kfsecrets_ext.poddefaults import CODES

TUTORIAL = """\
apiVersion: "kubeflow.org/v1alpha1"
kind: PodDefault
metadata:
  name: {name}
  namespace: alice
spec:
 selector:
  matchLabels:
    {name}: "true"
 desc: "{name}"
 volumeMounts:
 - name: secret-volume
   mountPath: /secret/{name}
 volumes:
 - name: secret-volume
   secret:
    secretName: {name}
    defaultMode: 420
"""
# Documented in docs/poddefaults.md: fields are added, never taken away.
SCHEMA = {
    "type": "object",
    "required": ["findings", "summary", "source", "notes"],
    "additionalProperties": False,
    "properties": {
        "findings": {
            "type": "array",
            "items": {
                "type": "object",
                "required": [
                    *("code", "severity", "what", "whom", "fix", "subjects", "on"),
                    *("namespace", "places"),
                ],
                "additionalProperties": False,
                "properties": {
                    "code": {"enum": list(CODES)},
                    "severity": {"enum": ["error", "warning", "note"]},
                    "what": {"type": "string", "minLength": 1},
                    "whom": {"type": "string", "minLength": 1},
                    "fix": {"type": "string", "minLength": 1},
                    "subjects": {"type": "array", "items": {"type": "string"}},
                    "on": {"type": "string"},
                    "namespace": {"type": ["string", "null"]},
                    "places": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["poddefault", "file", "document", "line"],
                            "additionalProperties": False,
                            "properties": {
                                "poddefault": {"type": "string"},
                                "file": {"type": "string"},
                                "document": {"type": "integer", "minimum": 1},
                                "line": {"type": "integer", "minimum": 1},
                            },
                        },
                    },
                },
            },
        },
        "summary": {
            "type": "object",
            "required": ["error", "warning", "note", "poddefaults", "namespaces"],
            "additionalProperties": False,
            "properties": {
                "error": {"type": "integer"},
                "warning": {"type": "integer"},
                "note": {"type": "integer"},
                "poddefaults": {"type": "integer"},
                "namespaces": {"type": "array", "items": {"type": "string"}},
            },
        },
        "source": {
            "type": "object",
            "required": ["files"],
            "properties": {"files": {"type": "array", "items": {"type": "string"}}},
        },
        "notes": {"type": "array", "items": {"type": "string"}},
    },
}


def status(*arguments: object) -> int:
    try:
        return main(["lint", *map(str, arguments)])
    except SystemExit as ended:
        return int(ended.code or 0)


def document(capsys, *arguments: object) -> dict:
    status(*arguments, "-o", "json")
    said = json.loads(capsys.readouterr().out)
    jsonschema.validate(said, SCHEMA)
    return said


def write(place: Path, *texts: str) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("---\n".join(texts), encoding="utf-8")
    return place


@pytest.fixture
def tutorials(tmp_path: Path) -> Path:
    """The tutorial followed twice: once for each Secret."""
    for name in ("aws", "test-secret"):
        write(tmp_path / "pd" / f"{name}.yaml", TUTORIAL.format(name=name))
    return tmp_path / "pd"


def test_the_tutorial_copied_for_a_second_secret_is_found_before_it_is_applied(
    tutorials: Path, capsys
) -> None:
    assert status("-f", tutorials / "aws.yaml") == 0
    capsys.readouterr()
    assert status("-f", tutorials) == 1
    said = capsys.readouterr()
    (row,) = [line for line in said.out.splitlines() if line.startswith("error")]
    assert row.split("  ")[0:1] == ["error"]
    assert "volume-clash" in row
    assert "aws, test-secret" in row
    assert "secret-volume" in row
    assert f"{tutorials}/aws.yaml:1, {tutorials}/test-secret.yaml:1" in row
    assert "fix: Give each its own name" in said.out
    assert said.err == "2 PodDefaults in alice: 1 error.\n"


def test_json_tells_where_each_poddefault_is_written(tmp_path: Path, capsys) -> None:
    place = write(
        tmp_path / "all.yaml",
        "null\n",
        TUTORIAL.format(name="aws"),
        "kind: List\nitems:\n- kind: PodDefaultList\n  items:\n"
        "  - metadata: {name: test-secret, namespace: alice}\n"
        "    spec: {selector: {matchLabels: {test-secret: 'true'}}, desc: d,\n"
        "      volumes: [{name: secret-volume, emptyDir: {}}]}\n",
    )
    found = document(capsys, "-f", place)["findings"]
    (clash,) = [one for one in found if one["code"] == "volume-clash"]
    assert clash["places"] == [
        {"poddefault": "aws", "file": str(place), "document": 2, "line": 3},
        {"poddefault": "test-secret", "file": str(place), "document": 3, "line": 26},
    ]
    assert place.read_text().splitlines()[25].strip().startswith("- metadata: {name: test-secret")


def test_the_same_files_give_the_same_document(tutorials: Path, capsys) -> None:
    first = document(capsys, "-f", tutorials)
    again = document(capsys, "-f", tutorials / "test-secret.yaml", "-f", tutorials / "aws.yaml")
    assert first["findings"] == again["findings"]
    assert first["summary"] == {
        "error": 1,
        "warning": 0,
        "note": 0,
        "poddefaults": 2,
        "namespaces": ["alice"],
    }
    assert first["source"] == {
        "files": [str(tutorials / "aws.yaml"), str(tutorials / "test-secret.yaml")]
    }


def test_a_field_that_is_dropped_is_found_where_it_is_written(tmp_path: Path, capsys) -> None:
    text = TUTORIAL.format(name="aws").replace(' desc: "aws"', '  desc: "aws"')
    place = write(tmp_path / "a.yaml", text.replace("  namespace: alice\n", ""))
    for more in ([], ["-n", "alice"]):
        found = document(capsys, "-f", place, *more)["findings"]
        (pruned,) = [one for one in found if one["code"] == "field-pruned"]
        assert pruned["on"] == "spec.selector.desc"
        assert pruned["namespace"] == (more[1] if more else None)
        assert [where["line"] for where in pruned["places"]] == [1]


def test_errors_come_first(tmp_path: Path, capsys) -> None:
    pruned = TUTORIAL.format(name="aws").replace(' desc: "aws"', '  desc: "aws"')
    place = write(tmp_path / "a.yaml", pruned, TUTORIAL.format(name="test-secret"))
    severities = [one["severity"] for one in document(capsys, "-f", place)["findings"]]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)
    assert set(severities) == {"error", "warning", "note"}


def test_strict_fails_on_warnings(tmp_path: Path, capsys) -> None:
    text = TUTORIAL.format(name="aws").replace('aws: "true"', 'aws: "yes"')
    place = write(tmp_path / "a.yaml", text)
    assert status("-f", place) == 0
    assert status("-f", place, "--strict") == 1
    assert "1 warning" in capsys.readouterr().err
    clean = write(tmp_path / "b.yaml", TUTORIAL.format(name="aws"))
    assert status("-f", clean, "--strict") == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "1 PodDefault in alice: nothing found.\n")


def test_namespaces_are_checked_apart(tutorials: Path, capsys) -> None:
    other = tutorials / "test-secret.yaml"
    other.write_text(other.read_text().replace("namespace: alice", "namespace: bob"))
    assert status("-f", tutorials) == 0
    assert document(capsys, "-f", tutorials)["summary"]["namespaces"] == ["alice", "bob"]
    alone = document(capsys, "-f", tutorials, "-n", "alice")
    assert alone["summary"]["poddefaults"] == 1
    assert alone["notes"] == ["1 of the PodDefaults are in namespace bob and were left out."]
    other.write_text(other.read_text().replace("  namespace: bob\n", ""))
    assert status("-f", tutorials, "-n", "alice") == 1


def test_a_namespace_and_secrets_among_the_files_count(tmp_path: Path, capsys) -> None:
    text = TUTORIAL.format(name="aws").replace(
        "    defaultMode", "    items: [{key: k, path: p}]\n    defaultMode"
    )
    secret = "kind: Secret\nmetadata: {name: aws, namespace: alice}\nstringData: {other: hunter2}\n"
    space = "kind: Namespace\nmetadata: {name: alice}\n"
    said = document(capsys, "-f", write(tmp_path / "a.yaml", text, secret, space))
    codes = {one["code"] for one in said["findings"]}
    assert codes == {"secret-key-missing", "namespace-without-label"}
    assert "hunter2" not in json.dumps(said)
    # Where a Secret is in none of the files, nobody can tell.
    assert document(capsys, "-f", write(tmp_path / "a.yaml", text))["findings"] == []


def test_standard_input_is_a_file_too(tutorials: Path, capsys, monkeypatch) -> None:
    text = (tutorials / "aws.yaml").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    said = document(capsys, "-f", "-", "-f", tutorials / "test-secret.yaml")
    (clash,) = [one for one in said["findings"] if one["severity"] == "error"]
    assert [where["file"] for where in clash["places"]] == [
        "-",
        str(tutorials / "test-secret.yaml"),
    ]


def test_directories_are_descended_into_where_asked(tutorials: Path, capsys) -> None:
    write(tutorials / "more" / "c.yml", TUTORIAL.format(name="deeper"))
    write(tutorials / "README.md", "not: [a manifest")
    assert document(capsys, "-f", tutorials)["summary"]["poddefaults"] == 2
    assert document(capsys, "-f", tutorials, "-R")["summary"]["poddefaults"] == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: [hunter2", "line 1, column 12: this is not YAML"),
        ("hunter2", "no Kubernetes object"),
        ("- hunter2", "no Kubernetes object"),
        ("a: hunter2", "it has no kind"),
        ("kind: PodDefault\nspec: !!python/object:os.system hunter2", "this is not YAML"),
        ("kind: &a [*a, hunter2]", "it has no kind"),
        ("[" * 5000, "nested too deeply"),
        ("&a [*a]", "nested too deeply"),
        ("\x00hunter2", "this is not YAML"),
        (b"\xff\xfe\xff", "this is not YAML"),
    ],
)
def test_a_file_that_is_no_manifest_is_one_sentence(
    tmp_path: Path, capsys, content: str | bytes, words: str
) -> None:
    place = tmp_path / "bad.yaml"
    place.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert status("-f", place) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"jupyter kfsecrets lint: {place}: ")
    assert words in said.err
    assert said.err.count("\n") == 1
    assert "hunter2" not in said.err


def test_each_bad_file_is_named(tmp_path: Path, capsys) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "bad.yaml", "a: [")
    names = [tmp_path / "absent.yaml", tmp_path / "empty", tmp_path / "bad.yaml"]
    assert status(*[part for name in names for part in ("-f", name)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert all(f": {name}: " in line for name, line in zip(names, lines, strict=True))


def test_files_without_poddefaults_are_no_failure(tmp_path: Path, capsys) -> None:
    assert status("-f", write(tmp_path / "a.yaml", "kind: Pod\n")) == 0
    assert capsys.readouterr().err == "0 PodDefaults: nothing found.\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["-f", "-", "-f", "-"],
        ["-f", ""],
        ["-n", ""],
        ["-f", "a", "--context", "c"],
        ["-f", "a", "--kubeconfig", "c"],
        ["-f", "a", "--as", "c"],
        ["-R"],
        ["-o", "yaml"],
        ["a.yaml"],
        ["--str"],
    ],
)
def test_wrong_usage_exits_2(capsys, arguments: list[str]) -> None:
    assert status(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("usage: jupyter kfsecrets")


def test_no_literal_of_a_poddefault_is_shown(tmp_path: Path, capsys) -> None:
    text = TUTORIAL.format(name="aws") + (
        " env:\n - {name: AWS_SECRET_ACCESS_KEY, value: hunter2}\n - {name: X, value: hunter2}\n"
        " args: ['--password=hunter2']\n"
        " annotations: {a: hunter2}\n"
        " sidecars: [{name: s, image: i, env: [{name: TOKEN, value: hunter2}]}]\n"
    )
    other = text.replace("hunter2", "hunter3").replace("aws", "gcs")
    place = write(tmp_path / "a.yaml", text, other)
    for output in ("table", "json"):
        assert status("-f", place, "-o", output) == 1
        said = capsys.readouterr()
        assert "literal-secret" in said.out
        assert "env-clash" in said.out
        assert "hunter" not in said.out + said.err


def test_a_name_that_is_odd_stays_on_its_line(tmp_path: Path, capsys) -> None:
    text = TUTORIAL.format(name="aws").replace("name: aws", 'name: "a\\nb\\e[31m"')
    assert status("-f", write(tmp_path / "a.yaml", text)) in {0, 1}
    said = capsys.readouterr()
    assert "a\\nb\\x1b[31m" in said.out
    assert "\x1b" not in said.out + said.err
