"""`Admission.invalid` against answers recorded from a real API server.

Each case is what a PodDefault adds to a bare pod, and the code with which kube-apiserver 1.35.4
answered when the resulting pod was created (a dry run, without the ServiceAccount plugin).
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kfsecrets_ext.poddefaults import admit, lint

CASES = json.loads((Path(__file__).parent / "pod_refusals.json").read_text())
PROFILE = {
    "metadata": {"name": "alice", "labels": {"app.kubernetes.io/part-of": "kubeflow-profile"}}
}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "nb-0", "namespace": "alice", "labels": {"p": "true"}},
    "spec": {"containers": [{"name": "nb", "image": "x"}]},
}


def poddefault(case):
    return {
        "metadata": {"name": "p", "namespace": "alice", "resourceVersion": "1"},
        "spec": {**case["spec"], "selector": {"matchLabels": {"p": "true"}}},
    }


@pytest.mark.parametrize("case", CASES, ids=[json.dumps(case["spec"])[:60] for case in CASES])
def test_invalid_is_empty_exactly_where_the_api_server_takes_the_pod(case):
    said = admit(POD, [poddefault(case)], namespace=PROFILE)

    assert said.outcome == "mutated"
    assert bool(said.invalid) == (case["code"] == 422), case.get("message")


@pytest.mark.parametrize("case", CASES, ids=[json.dumps(case["spec"])[:60] for case in CASES])
def test_lint_has_no_error_of_what_the_api_server_takes(case):
    codes = {f.code for f in lint([poddefault(case)]) if f.severity == "error"}

    if case["code"] == 201:
        assert not codes
    else:
        assert codes <= {"api-refuses"}
