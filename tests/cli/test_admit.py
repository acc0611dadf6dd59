"""``jupyter kfsecrets admit``: the forecast, exit statuses, what stands for a pod, no values."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from kfsecrets_ext.cli import main

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: nb-0, labels: {test-secret: "true"}}
spec: {containers: [{name: nb, image: x}]}
"""
PODDEFAULT = """\
apiVersion: kubeflow.org/v1alpha1
kind: PodDefault
metadata: {name: test-secret, namespace: alice, resourceVersion: "7"}
spec:
  selector: {matchLabels: {test-secret: "true"}}
  desc: test-secret
  volumes: [{name: secret-volume, secret: {secretName: test-secret}}]
  volumeMounts: [{name: secret-volume, mountPath: /secret/test-secret}]
"""
NAMES = {"type": "array", "items": {"type": "string"}}
SCHEMA = {
    "type": "object",
    "required": ["admissions", "notes"],
    "additionalProperties": False,
    "properties": {
        "notes": NAMES,
        "admissions": {
            "type": "array",
            "items": {
                "type": "object",
                "required": [
                    *("pod", "origin", "namespace", "outcome", "allowed", "admitted", "matched"),
                    *("applied", "changes", "conflicts", "invalid", "message"),
                ],
                "additionalProperties": False,
                "properties": {
                    "pod": {"type": "string"},
                    "origin": {"type": "string"},
                    "namespace": {"type": ["string", "null"]},
                    "outcome": {
                        "enum": ["not called", "unchanged", "mutated", "denied", "broken patch"]
                    },
                    "allowed": {"type": "boolean"},
                    "admitted": {"type": "boolean"},
                    "matched": NAMES,
                    "applied": NAMES,
                    "changes": {"type": "object"},
                    "conflicts": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["field", "poddefault", "on"],
                            "additionalProperties": False,
                            "properties": {
                                "field": {"type": "string"},
                                "poddefault": {"type": ["string", "null"]},
                                "on": {"type": "string"},
                            },
                        },
                    },
                    "invalid": NAMES,
                    "message": {"type": "string", "minLength": 1},
                },
            },
        },
    },
}


def status(*arguments: object) -> int:
    try:
        return main(["admit", *map(str, arguments)])
    except SystemExit as ended:
        return int(ended.code or 0)


@pytest.fixture
def forecast(tmp_path: Path, capsys):
    """The exit status, the admissions and the notes, for texts of files."""

    def run(*texts: str, options: tuple[str, ...] = ()):
        arguments: list[object] = [*options, "-o", "json"]
        for number, text in enumerate(texts):
            place = tmp_path / f"{number}.yaml"
            place.write_text(text, encoding="utf-8")
            arguments += ["-f", place]
        ended = status(*arguments)
        said = json.loads(capsys.readouterr().out)
        jsonschema.validate(said, SCHEMA)
        return ended, said["admissions"], said["notes"]

    return run


def test_what_is_added_is_named(forecast) -> None:
    ended, (said,), notes = forecast(POD, PODDEFAULT)
    assert ended == 0
    assert said == {
        "pod": "nb-0",
        "origin": "pod/nb-0",
        "namespace": "alice",
        "outcome": "mutated",
        "allowed": True,
        "admitted": True,
        "matched": ["test-secret"],
        "applied": ["test-secret"],
        "changes": {
            "annotations": ["poddefault.admission.kubeflow.org/poddefault-test-secret"],
            "volumes": ["secret-volume"],
            "in": {"nb": {"volumeMounts": ["/secret/test-secret"]}},
        },
        "conflicts": [],
        "invalid": [],
        "message": "applied: test-secret",
    }
    assert notes == []


def test_every_kind_of_change_is_named(forecast) -> None:
    more = """\
  labels: {l: v}
  env: [{name: E, value: hunter2}]
  envFrom: [{secretRef: {name: s}}, {configMapRef: {name: c}}]
  command: [hunter2]
  serviceAccountName: other
  automountServiceAccountToken: false
  imagePullSecrets: [{name: pull}]
  tolerations: [{key: gpu, operator: Exists}]
  initContainers: [{name: first, image: x}]
  sidecars: [{name: beside, image: x}]
"""
    _, (said,), _ = forecast(POD, PODDEFAULT + more)
    changes = said["changes"]
    assert changes.pop("in") == {
        "nb": {
            "env": ["E"],
            "volumeMounts": ["/secret/test-secret"],
            "envFrom": ["secret/s", "configmap/c"],
            "set": ["command"],
        }
    }
    assert changes == {
        "labels": ["l"],
        "annotations": ["poddefault.admission.kubeflow.org/poddefault-test-secret"],
        "volumes": ["secret-volume"],
        "tolerations": ["gpu"],
        "imagePullSecrets": ["pull"],
        "initContainers": ["first"],
        "containers": ["beside"],
        "serviceAccountName": "other",
        "automountServiceAccountToken": False,
    }


def test_a_denied_pod_fails_and_says_what_clashes(forecast, tmp_path, capsys) -> None:
    second = PODDEFAULT.replace("test-secret", "aws").replace('aws: "true"', 'test-secret: "true"')
    ended, (said,), _ = forecast(POD, PODDEFAULT, second)
    assert ended == 1
    assert (said["outcome"], said["allowed"], said["applied"]) == ("denied", False, [])
    assert said["changes"] == {}
    assert {(one["field"], one["on"]) for one in said["conflicts"]} == {
        ("volumes", "secret-volume"),
        ("volumeMounts", "secret-volume"),
    }
    assert status("-f", tmp_path) == 1
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["POD", "NAMESPACE", "OUTCOME", "APPLIED", "CONFLICTS"]
    assert table[1].split()[:3] == ["nb-0", "alice", "denied"]


def test_a_pod_that_the_api_server_refuses_fails_too(forecast, tmp_path, capsys) -> None:
    broken = PODDEFAULT.replace("  volumes: [{name: secret-volume", "  volumes: [{name: other")
    ended, (said,), _ = forecast(POD, broken)
    assert ended == 1
    assert (said["outcome"], said["allowed"], said["admitted"]) == ("mutated", True, False)
    assert said["invalid"]
    status("-f", tmp_path)
    assert capsys.readouterr().out.splitlines()[1].split()[2] == "refused"


def test_the_pod_is_filled_in_before_it_is_compared(forecast) -> None:
    pod = POD.replace(
        "image: x}]}",
        "image: x}], volumes: [{name: secret-volume, secret: {secretName: test-secret}}]}",
    )
    assert forecast(pod, PODDEFAULT)[0] == 1
    same = PODDEFAULT.replace(
        "secretName: test-secret", "secretName: test-secret, defaultMode: 420"
    )
    assert forecast(pod, same)[0] == 0


def test_the_namespace_and_its_labels_are_looked_up_in_order(forecast) -> None:
    assert forecast(POD, PODDEFAULT)[1][0]["namespace"] == "alice"
    ended, (said,), notes = forecast(POD, PODDEFAULT, options=("-n", "bob"))
    assert (ended, said["namespace"], said["outcome"]) == (0, "bob", "unchanged")
    assert notes == ["1 of the PodDefaults are not in namespace bob and do not count."]
    _, (said,), notes = forecast(
        POD.replace("name: nb-0", "name: nb-0, namespace: bob"), PODDEFAULT
    )
    assert said["namespace"] == "bob"
    none = PODDEFAULT.replace("namespace: alice, ", "")
    _, (said,), _ = forecast(POD, none)
    assert (said["namespace"], said["outcome"]) == (None, "mutated")

    space = "kind: Namespace\nmetadata: {name: alice, labels: {a: b}}\n"
    assert forecast(POD, PODDEFAULT, space)[1][0]["outcome"] == "not called"
    profile = ("--namespace-labels", "app.kubernetes.io/part-of=kubeflow-profile,a=b")
    assert forecast(POD, PODDEFAULT, space, options=profile)[1][0]["outcome"] == "mutated"
    unlabelled = ("--namespace-labels", "a=b")
    assert forecast(POD, PODDEFAULT, options=unlabelled)[1][0]["outcome"] == "not called"
    assert forecast(POD, PODDEFAULT, options=("--namespace-labels", ""))[1][0]["outcome"] == (
        "not called"
    )


def test_poddefaults_of_several_namespaces_need_one_named(tmp_path: Path, capsys) -> None:
    (tmp_path / "a.yaml").write_text(
        "---\n".join([POD, PODDEFAULT, PODDEFAULT.replace("alice", "bob")])
    )
    assert status("-f", tmp_path / "a.yaml") == 2
    assert "give one with -n" in capsys.readouterr().err
    assert status("-f", tmp_path / "a.yaml", "-n", "bob") == 0


NOTEBOOK = """\
apiVersion: kubeflow.org/v1
kind: Notebook
metadata:
  name: nb
  namespace: alice
  labels: {test-secret: "true"}
  annotations: {poddefault.admission.kubeflow.org/exclude: "%s", notebooks.kubeflow.org/x: y}
spec: {template: {spec: {containers: [{name: nb, image: x}]}}}
"""
STATEFULSET = """\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: nb, namespace: alice, labels: {test-secret: "true"}}
spec:
  template:
    metadata: {labels: %s}
    spec: {containers: [{name: nb, image: x}]}
"""


def test_a_workload_stands_for_its_pod(forecast) -> None:
    ended, said, _ = forecast(
        NOTEBOOK % "false",
        NOTEBOOK % "true",
        STATEFULSET % '{test-secret: "true"}',
        STATEFULSET % "{}",
        (STATEFULSET % '{test-secret: "true"}').replace("StatefulSet", "Deployment"),
        PODDEFAULT,
    )
    assert ended == 0
    assert [(one["origin"], one["pod"], one["outcome"]) for one in said] == [
        ("notebook/nb", "nb-0", "mutated"),
        ("notebook/nb", "nb-0", "unchanged"),
        ("statefulset/nb", "nb-0", "mutated"),
        # A label on the StatefulSet itself never reaches the pod.
        ("statefulset/nb", "nb-0", "unchanged"),
        ("deployment/nb", "nb-", "mutated"),
    ]


def test_a_pod_that_was_admitted_before_is_pointed_out(forecast) -> None:
    stamped = POD.replace(
        'labels: {test-secret: "true"}',
        'annotations: {poddefault.admission.kubeflow.org/poddefault-x: "1"}',
    )
    (note,) = forecast(stamped, PODDEFAULT)[2]
    assert "carries stamps" in note


def test_yaml_is_the_same_document(tmp_path: Path, capsys) -> None:
    (tmp_path / "a.yaml").write_text(f"{POD}---\n{PODDEFAULT}")
    documents = []
    for output, read in (("json", json.loads), ("yaml", yaml.safe_load)):
        assert status("-f", tmp_path / "a.yaml", "-o", output) == 0
        documents.append(read(capsys.readouterr().out))
    assert documents[0] == documents[1]


def test_standard_input_is_a_file_too(tmp_path: Path, capsys, monkeypatch) -> None:
    (tmp_path / "pod.yaml").write_text(POD)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PODDEFAULT.encode())))
    assert status("-f", tmp_path / "pod.yaml", "-f", "-") == 0
    table = capsys.readouterr().out
    assert "mutated" in table
    assert "container nb, volumeMounts: /secret/test-secret" in table


def test_files_without_a_pod_fail(tmp_path: Path, capsys) -> None:
    (tmp_path / "a.yaml").write_text(PODDEFAULT)
    assert status("-f", tmp_path / "a.yaml") == 1
    assert "the files hold no Pod" in capsys.readouterr().err
    (tmp_path / "a.yaml").write_text("a: [hunter2")
    assert status("-f", tmp_path / "a.yaml") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"jupyter kfsecrets admit: {tmp_path}/a.yaml: line 1")
    assert "hunter2" not in said.err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["-f", ""],
        ["-f", "-", "-f", "-"],
        ["-f", "a", "-n", ""],
        ["-f", "a", "-o", "wide"],
        ["-f", "a", "--namespace-labels", "key"],
        ["-f", "a", "--context", "c"],
    ],
)
def test_wrong_usage_exits_2(capsys, arguments: list[str]) -> None:
    assert status(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("usage: jupyter kfsecrets")


def test_no_literal_is_shown_whatever_the_outcome(tmp_path: Path, capsys) -> None:
    pod = POD.replace(
        "image: x}",
        "image: x, env: [{name: E, value: hunter1}, {name: 9, value: hunter1}], args: [hunter1]}",
    )
    more = "  env: [{name: %s, value: hunter2}]\n  args: [hunter2]\n  annotations: {a: hunter2}\n"
    (tmp_path / "pod.yaml").write_text(pod)
    for name in ("E", "F", "'1='"):
        (tmp_path / "pd.yaml").write_text(PODDEFAULT + more % name)
        for output in ("table", "json", "yaml"):
            status("-f", tmp_path, "-o", output)
            said = capsys.readouterr()
            assert "hunter" not in said.out + said.err
            assert said.out
