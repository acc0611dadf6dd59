"""A real API server judges: what `admit` answers, what it calls invalid, what pods arrive as.

The server asks the tests' webhook over TLS about each pod, as it asks Kubeflow's, and the webhook
answers with what `admit` says. Pods are created as a dry run.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from rig import apiserver
from rig.apiserver import Answered, ApiServer, Webhook

from kfsecrets_ext.poddefaults import admit, read_manifests, stamp
from kfsecrets_ext.poddefaults.defaults import defaulted

pytestmark = [pytest.mark.slow, pytest.mark.platform]

Json = dict[str, Any]
CASES: list[Json] = json.loads(
    (Path(__file__).parents[1] / "conformance" / "poddefault_admission.json").read_text("utf-8")
)
SEEN, UNSEEN = "recorded-seen", "recorded-unseen"
# Written by the API server into every object that it is given.
ASSIGNED = ("creationTimestamp", "generation", "managedFields", "namespace", "uid")


class Judge:
    """The API server, and the webhook that it asks."""

    def __init__(self, server: ApiServer, hook: Webhook) -> None:
        self.server = server
        self.hook = hook

    def create(self, pod: Json, space: str) -> Answered:
        """Create a pod as a dry run; the namespace is the tests' own."""
        sent = copy.deepcopy(pod)
        sent["metadata"].pop("namespace", None)
        self.hook.asked.clear()
        return self.server.call("POST", f"/api/v1/namespaces/{space}/pods?dryRun=All", sent)

    def admit(self, case: Json) -> Answered:
        """Create a recorded pod; the webhook answers what `admit` says."""
        self.hook.answer = lambda request: answer(request["object"], case)
        profile = "app.kubernetes.io/part-of" in case["namespace"]["metadata"]["labels"]
        answered = self.create(case["pod"], SEEN if profile else UNSEEN)
        assert not self.hook.failed
        return answered

    def arrives(self, pod: Json) -> Json:
        """Give the pod that the webhook is asked about."""
        self.hook.answer = lambda request: {"allowed": True}
        assert self.create(pod, SEEN).status == 201
        (request,) = self.hook.asked
        return own(request["object"])


@pytest.fixture(scope="module")
def judge(api_server: ApiServer, tenant_labels: dict[str, str]) -> Iterator[Judge]:
    labels = {**tenant_labels, "kfsecrets.test/recorded": "true"}
    name = f"recorded-{tenant_labels['kfsecrets.test/worker']}"
    for space, given in ((SEEN, labels), (UNSEEN, {"x": "y"})):
        there = {"metadata": {"name": space, "labels": given}}
        api_server.create("/api/v1/namespaces", there)
    with apiserver.webhook(api_server, name, lambda _: {"allowed": True}, labels=labels) as hook:
        yield Judge(api_server, hook)


def answer(pod: Json, case: Json) -> Mapping[str, Any]:
    """Answer for a pod what `admit` says of it."""
    said = admit(pod, case["poddefaults"], namespace=case["namespace"])
    if said.outcome == "denied":
        return {"allowed": False, "status": {"message": said.message}}
    if said.outcome == "broken patch":
        return {"allowed": True, "patch": index_patch(pod, case)}
    if said.outcome == "mutated":
        return {"allowed": True, "patch": replacement(said.pod)}
    assert said.pod is pod
    return {"allowed": True}


def replacement(pod: Mapping[str, Any]) -> list[Json]:
    changed: list[Json] = [{"op": "replace", "path": "/spec", "value": pod["spec"]}]
    for name in ("labels", "annotations"):
        if name in pod["metadata"]:
            value = pod["metadata"][name]
            changed.append({"op": "add", "path": f"/metadata/{name}", "value": value})
    return changed


def index_patch(pod: Json, case: Json) -> list[Json]:
    """Write the webhook's own patch of containers beside which sidecars are added.

    jsonpatch: where the lengths differ, each changed one is removed by its old index, in ascending
    order, and then the new ones are added by theirs.
    """
    without = copy.deepcopy(case["poddefaults"])
    sidecars = []
    for poddefault in sorted(without, key=lambda given: given["metadata"]["name"]):
        sidecars += poddefault["spec"].pop("sidecars", [])
    changed = admit(pod, without, namespace=case["namespace"])
    assert changed.outcome == "mutated"
    assert sidecars
    applied = [one for n, one in enumerate(sidecars) if one not in sidecars[:n]]
    old = pod["spec"]["containers"]
    new = [*changed.pod["spec"]["containers"], *applied]
    at = "/spec/containers"
    return [
        *({"op": "remove", "path": f"{at}/{n}"} for n, one in enumerate(old) if one not in new),
        *(
            {"op": "add", "path": f"{at}/{n}", "value": one}
            for n, one in enumerate(new)
            if one not in old
        ),
    ]


def own(pod: Json) -> Json:
    """Give a pod without what the API server assigns."""
    metadata = {key: part for key, part in pod["metadata"].items() if key not in ASSIGNED}
    return {"metadata": metadata, "spec": pod["spec"]}


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_api_server_makes_of_a_recorded_pod_what_was_recorded(case: Json, judge: Judge) -> None:
    expect = case["expect"]
    answered = judge.admit(case)

    assert answered.status == expect["api"], answered.body.get("message")
    assert bool(judge.hook.asked) == (expect["outcome"] != "not called")
    said = admit(case["pod"], case["poddefaults"], namespace=case["namespace"])
    if judge.hook.asked:
        arrived = judge.hook.asked[0]["object"]
        assert own(arrived) == own(case["pod"])
        said = admit(arrived, case["poddefaults"], namespace=case["namespace"])
    assert bool(said.invalid) == (answered.status == 422)
    if answered.status == 201:
        # What comes out is what the API server makes of the recorded pod itself.
        straight = judge.create(expect.get("pod", case["pod"]), UNSEEN)
        assert straight.status == 201
        assert own(answered.body) == own(straight.body)
    elif "message" in expect:
        assert answered.body["message"] == expect["message"]
    if expect["outcome"] == "denied":
        assert said.message in answered.body["message"]


FULL = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "nb-0"},
    "spec": {
        "serviceAccountName": "default-editor",
        "initContainers": [{"name": "first", "image": "registry:5000/first"}],
        "containers": [
            {
                "name": "nb",
                "image": "registry:5000/nb:v1",
                "ports": [{"containerPort": 8888}],
                "resources": {
                    "limits": {"cpu": "2", "memory": "1Gi"},
                    "requests": {"cpu": "1"},
                },
                "env": [
                    {"name": "A", "value": "1"},
                    {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                ],
                "livenessProbe": {"httpGet": {"port": 8888}},
                "readinessProbe": {"grpc": {"port": 8888}, "periodSeconds": 3},
                "startupProbe": {"exec": {"command": ["true"]}},
                "lifecycle": {"preStop": {"httpGet": {"port": 8888}}},
                "volumeMounts": [{"name": "one", "mountPath": "/one"}],
            },
            {"name": "latest", "image": "nb:latest", "imagePullPolicy": "Never"},
            {"name": "digest", "image": f"nb@sha256:{'0' * 64}"},
        ],
        "volumes": [
            {"name": "one", "secret": {"secretName": "s"}},
            {"name": "two", "secret": {"secretName": "s", "defaultMode": 256, "optional": True}},
            {"name": "three", "configMap": {"name": "c"}},
            {
                "name": "four",
                "downwardAPI": {
                    "items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]
                },
            },
            {
                "name": "five",
                "projected": {
                    "sources": [
                        {"serviceAccountToken": {"path": "token"}},
                        {"secret": {"name": "s"}},
                        {
                            "downwardAPI": {
                                "items": [
                                    {"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}
                                ]
                            }
                        },
                    ]
                },
            },
            {"name": "six"},
            {"name": "seven", "hostPath": {"path": "/seven"}},
            {"name": "eight", "emptyDir": {"medium": "Memory"}},
        ],
    },
}
TOLERANT = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "nb-0"},
    "spec": {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "enableServiceLinks": False,
        "securityContext": {"fsGroup": 100},
        "containers": [{"name": "nb", "image": "nb"}],
        "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}],
    },
}


@pytest.mark.parametrize("pod", [FULL, TOLERANT], ids=["everything", "tolerant"])
def test_a_pod_is_filled_in_as_the_api_server_does_it(pod: Json, judge: Judge) -> None:
    before = copy.deepcopy(pod)
    arrived = judge.arrives(pod)

    assert own(defaulted(pod)) == arrived
    assert pod == before
    again = {"kind": "Pod", **copy.deepcopy(arrived)}
    assert defaulted(again) == again


def test_the_crd_keeps_of_a_poddefault_what_we_keep(judge: Judge) -> None:
    text = """
apiVersion: kubeflow.org/v1alpha1
kind: PodDefault
metadata: {name: indented}
color: red
spec:
  selector: {matchLabels: {a: "true"}, desc: under the selector}
  volumes:
  - {name: v, secret: {secretName: s, mode: 256, items: [{key: k, path: p, mod: 1}]}}
  volumeMounts: [{name: v, mountPath: /m, readonly: true}]
  env: [{name: E, value: "", valuefrom: {}}, {name: F, valueFrom: {fieldRef: {fieldPath: f}}}]
  sidecars: [{name: c, image: i, resource: {}, ports: [{containerPort: 1, protocol: UDP}]}]
  tolerations: [{key: k, effects: NoSchedule}]
  resources: {limits: {cpu: 1}}
"""
    import yaml

    manifests = read_manifests(text)
    (kept,) = manifests.poddefaults
    path = f"/apis/kubeflow.org/v1alpha1/namespaces/{UNSEEN}/poddefaults?dryRun=All"
    stored = judge.server.create(path, yaml.safe_load(text))

    assert stored["spec"] == kept.spec
    assert {finding.on for finding in manifests.findings} == {
        "color",
        "spec.env[0].valuefrom",
        "spec.resources",
        "spec.selector.desc",
        "spec.sidecars[0].resource",
        "spec.tolerations[0].effects",
        "spec.volumeMounts[0].readonly",
        "spec.volumes[0].secret.items[0].mod",
        "spec.volumes[0].secret.mode",
    }


def test_a_name_of_53_characters_is_refused_and_one_of_52_is_not(judge: Judge) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "nb-0", "labels": {"a": "b"}}}
    pod["spec"] = {"containers": [{"name": "nb", "image": "x"}]}
    for length, status in ((52, 201), (53, 422)):
        name = "n" * length
        poddefault = {
            "metadata": {"name": name, "resourceVersion": "1"},
            "spec": {"selector": {"matchLabels": {"a": "b"}}},
        }
        space = {"metadata": {"name": SEEN, "labels": apiserver.KUBEFLOW_LABELS}}
        case = {"pod": pod, "poddefaults": [poddefault], "namespace": space}
        answered = judge.admit(case)
        assert answered.status == status
        assert (status == 201) == (stamp(name) in answered.body["metadata"].get("annotations", {}))
