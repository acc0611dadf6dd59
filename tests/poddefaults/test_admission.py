"""What `admit` promises beyond the recorded cases."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kfsecrets_ext.poddefaults import Admission, admit, stamp
from poddefaults.reference import (
    FIELDS,
    PROFILE,
    VOLUMES,
    admission,
    bare,
    listed,
    namespaces,
    pods,
    readable,
    written,
)

SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def poddefault(name, **spec):
    spec.setdefault("selector", {"matchLabels": {"a": "true"}})
    metadata = {"name": name, "namespace": "alice", "resourceVersion": "7"}
    return {"metadata": metadata, "spec": spec}


def pod(**spec):
    made = bare({"a": "true"})
    made["spec"].update(spec)
    return made


@SLOW
@given(pods(), namespaces())
def test_admit_agrees_with_the_table(given_pod, poddefaults):
    outcome, conflicts, applied, result = admission(given_pod, poddefaults)

    said = admit(given_pod, poddefaults, namespace=PROFILE)

    assert said.outcome == outcome
    assert {(c.field, c.poddefault, c.on) for c in said.conflicts} == conflicts
    assert list(said.applied) == sorted(applied)
    assert written(said.pod) == written(result)


@SLOW
@given(pods(), namespaces())
def test_a_pod_is_denied_exactly_for_a_conflict_or_an_unreadable_selector(given_pod, poddefaults):
    said = admit(given_pod, poddefaults, namespace=PROFILE)

    unreadable = not all(readable(p) for p in poddefaults)
    assert (said.outcome == "denied") == (unreadable or bool(said.conflicts))


# an empty list in a volume is not written, and differs the second time from the one in the spec
PLAIN = {
    **FIELDS,
    "volumes": listed(VOLUMES.filter(lambda v: v.get("secret", {}).get("items") != [])),
}


@SLOW
@given(pods(), namespaces(readable_only=True, fields=PLAIN))
def test_a_second_call_changes_nothing_where_the_webhook_is_idempotent(given_pod, poddefaults):
    # envFrom is added again, a sidecar is a container the second time, a label may choose more
    first = admit(given_pod, poddefaults, namespace=PROFILE)

    if first.outcome == "mutated":
        second = admit(first.pod, poddefaults, namespace=PROFILE)
        assert second.outcome == "mutated"
        assert second.pod == first.pod


@SLOW
@given(st.data(), pods(), namespaces())
def test_the_answer_does_not_depend_on_order_and_leaves_its_arguments_alone(
    data, given_pod, poddefaults
):
    before = copy.deepcopy((given_pod, poddefaults))
    shuffled = data.draw(st.permutations(poddefaults))

    assert admit(given_pod, shuffled, namespace=PROFILE) == admit(
        given_pod, poddefaults, namespace=PROFILE
    )
    assert (given_pod, poddefaults) == before


@SLOW
@given(pods(), namespaces())
def test_a_changed_result_does_not_reach_the_arguments(given_pod, poddefaults):
    before = copy.deepcopy((given_pod, poddefaults))
    said = admit(given_pod, poddefaults, namespace=PROFILE)

    if said.outcome == "mutated":
        _spoil(said.pod)
    assert (given_pod, poddefaults) == before


def _spoil(value):
    if isinstance(value, dict):
        for part in value.values():
            _spoil(part)
        value["spoiled"] = True
    elif isinstance(value, list):
        for part in value:
            _spoil(part)
        value.append("spoiled")


class TestGoEquality:
    """One volume of the pod, one of the PodDefault: a conflict or none."""

    @pytest.mark.parametrize(
        ("there", "given"),
        [
            ({"secret": {"secretName": "s", "items": None}}, {"secret": {"secretName": "s"}}),
            (
                {"nfs": {"server": "n", "path": "/", "readOnly": False}},
                {"nfs": {"server": "n", "path": "/"}},
            ),
            ({"emptyDir": {"medium": ""}}, {"emptyDir": {}}),
            ({"emptyDir": {"sizeLimit": "1Gi"}}, {"emptyDir": {"sizeLimit": "1Gi"}}),
            ({"hostPath": {"path": "/x", "type": ""}}, {"hostPath": {"path": "/x", "type": ""}}),
            ({"csi": {"driver": "d", "unheard-of": 1}}, {"csi": {"driver": "d"}}),
        ],
    )
    def test_what_go_cannot_tell_apart_merges(self, there, given):
        assert self.outcome(there, given) == "mutated"

    @pytest.mark.parametrize(
        ("there", "given"),
        [
            ({"secret": {"secretName": "s", "defaultMode": 420}}, {"secret": {"secretName": "s"}}),
            ({"secret": {"secretName": "s", "optional": False}}, {"secret": {"secretName": "s"}}),
            ({"secret": {"secretName": "s", "items": []}}, {"secret": {"secretName": "s"}}),
            ({"emptyDir": {"sizeLimit": "1"}}, {"emptyDir": {"sizeLimit": "1000m"}}),
            ({"emptyDir": {"sizeLimit": "1Ki"}}, {"emptyDir": {"sizeLimit": "1024"}}),
            ({"hostPath": {"path": "/x", "type": ""}}, {"hostPath": {"path": "/x"}}),
            ({"csi": {"driver": "d", "readOnly": False}}, {"csi": {"driver": "d"}}),
            (
                {
                    "downwardAPI": {
                        "items": [
                            {
                                "path": "l",
                                "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels"},
                            }
                        ]
                    }
                },
                {
                    "downwardAPI": {
                        "items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]
                    }
                },
            ),
        ],
    )
    def test_what_go_tells_apart_conflicts(self, there, given):
        assert self.outcome(there, given) == "denied"

    @staticmethod
    def outcome(there, given):
        return admit(
            pod(volumes=[{"name": "v", **there}]),
            [poddefault("p", volumes=[{"name": "v", **given}])],
            namespace=PROFILE,
        ).outcome


def test_nested_structs_of_containers_are_compared_as_go_does():
    there = {"name": "i", "image": "x", "securityContext": {"runAsUser": 0}}
    given = {**there, "tty": False, "ports": None, "env": [{"name": "E", "value": "v"}]}

    def outcome(init):
        return admit(
            pod(initContainers=[{**there, "env": [{"name": "E", "value": "v"}]}]),
            [poddefault("p", initContainers=[init])],
            namespace=PROFILE,
        ).outcome

    assert outcome(given) == "mutated"
    assert outcome({**given, "securityContext": {}}) == "denied"
    assert outcome({**given, "resources": {"limits": {}}}) == "denied"


def test_what_a_poddefault_brings_is_written_as_go_writes_it():
    volume = {"name": "v", "secret": {"secretName": "s", "items": [], "optional": False}}
    init = {"name": "i", "image": "x", "command": [], "ports": [{"containerPort": 80}]}
    limits = {"limits": {"memory": "1024Mi", "cpu": "0.5"}}

    said = admit(
        pod(), [poddefault("p", volumes=[volume], initContainers=[{**init, "resources": limits}])],
        namespace=PROFILE,
    )  # fmt: skip

    spec = said.pod["spec"]
    assert spec["volumes"] == [{"name": "v", "secret": {"secretName": "s", "optional": False}}]
    assert spec["initContainers"] == [
        {
            "name": "i",
            "image": "x",
            "ports": [{"containerPort": 80}],
            "resources": {"limits": {"memory": "1Gi", "cpu": "500m"}},
        }
    ]


def test_an_env_from_that_the_container_has_is_not_added_twice_by_the_patch():
    source = {"secretRef": {"name": "s"}}
    container = {"name": "nb", "image": "x", "envFrom": [source]}

    said = admit(
        pod(containers=[container]), [poddefault("p", envFrom=[source])], namespace=PROFILE
    )

    assert said.outcome == "mutated"
    assert said.pod["spec"]["containers"][0]["envFrom"] == [source]


def test_an_env_from_after_one_that_the_container_has_breaks_the_patch():
    source, other = {"secretRef": {"name": "s"}}, {"secretRef": {"name": "t"}}
    container = {"name": "nb", "image": "x", "envFrom": [source]}

    said = admit(
        pod(containers=[container]), [poddefault("p", envFrom=[source, other])], namespace=PROFILE
    )

    assert said.outcome == "broken patch"
    assert said.pod["spec"]["containers"] == [container]


def test_a_sidecar_equal_to_a_container_that_changes_leaves_no_containers():
    container = {"name": "nb", "image": "x"}

    said = admit(
        pod(containers=[container]), [poddefault("p", sidecars=[container])], namespace=PROFILE
    )

    assert said.pod["spec"]["containers"] is None
    assert said.invalid == ("spec.containers: Required value",)


def test_an_empty_list_in_a_volume_denies_the_second_call():
    volume = {"name": "v", "secret": {"secretName": "s", "items": []}}
    ours = [poddefault("p", volumes=[volume])]

    first = admit(pod(), ours, namespace=PROFILE)

    assert first.outcome == "mutated"
    assert admit(first.pod, ours, namespace=PROFILE).outcome == "denied"


def test_a_mirror_pod_is_left_alone():
    mirror = pod()
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": ""}

    said = admit(mirror, [poddefault("p", labels={"x": "y"})], namespace=PROFILE)

    assert said.outcome == "unchanged"
    assert said.pod is mirror


@pytest.mark.parametrize("labels", [None, {}, {"app.kubernetes.io/part-of": "kubeflow"}])
def test_a_namespace_without_the_label_is_named_with_the_command_that_mends_it(labels):
    said = admit(
        pod(),
        [poddefault("p", labels={"x": "y"})],
        namespace={"metadata": {"name": "alice", "labels": labels}},
    )

    assert said.outcome == "not called"
    assert (
        "kubectl label namespace alice app.kubernetes.io/part-of=kubeflow-profile" in said.message
    )


def test_no_value_is_said_of_a_conflict():
    said = admit(
        pod(containers=[{"name": "nb", "image": "x", "env": [{"name": "E", "value": "hunter2"}]}]),
        [poddefault("p", env=[{"name": "E", "value": "s3cr3t"}])],
        namespace=PROFILE,
    )

    assert said.outcome == "denied"
    assert "'E'" in said.message
    assert "p" in said.message
    shown = f"{said.message} {said.conflicts} {said!r}"
    assert "hunter2" not in shown
    assert "s3cr3t" not in shown


def test_a_stamp_names_the_poddefault_and_its_version():
    said = admit(pod(), [poddefault("p")], namespace=PROFILE)

    assert stamp("p") == "poddefault.admission.kubeflow.org/poddefault-p"
    assert said.pod["metadata"]["annotations"] == {stamp("p"): "7"}


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ({"volumes": [{"name": "V", "emptyDir": {}}]}, "spec.volumes[0].name"),
        ({"volumes": [{"name": "v", "secret": {}}]}, "secretName: Required"),
        ({"volumes": [{"name": "v", "secret": {"secretName": "s", "defaultMode": 512}}]}, "0777"),
        (
            {
                "volumes": [
                    {
                        "name": "v",
                        "secret": {"secretName": "s", "items": [{"key": "k", "path": "../k"}]},
                    }
                ]
            },
            "items[0].path",
        ),
        (
            {"volumes": [{"name": "v", "emptyDir": {}, "secret": {"secretName": "s"}}]},
            "more than 1 volume type",
        ),
        ({"env": [{"name": "A=B", "value": "x"}]}, "env[0].name"),
        (
            {
                "env": [
                    {
                        "name": "A",
                        "value": "x",
                        "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}},
                    }
                ]
            },
            "env[0].valueFrom",
        ),
        ({"envFrom": [{}]}, "envFrom"),
        ({"labels": {"l": "not a label"}}, "metadata.labels"),
        ({"annotations": {"no/no/no": "x"}}, "metadata.annotations"),
        ({"tolerations": [{"key": "k", "operator": "Exists", "value": "v"}]}, "tolerations"),
        ({"sidecars": [{"name": "s"}]}, "image: Required"),
        ({"initContainers": [{"name": "nb", "image": "x"}]}, "Duplicate value"),
        ({"serviceAccountName": "Not_a_name"}, "serviceAccountName"),
    ],
)
def test_invalid_names_what_the_api_server_refuses_and_changes_no_outcome(spec, what):
    said = admit(pod(), [poddefault("p", **spec)], namespace=PROFILE)

    assert said.outcome == "mutated"
    assert said.allowed
    assert any(what in text for text in said.invalid)


@pytest.mark.parametrize(
    "spec",
    [
        {"volumes": [{"name": "v"}]},  # defaulted to an emptyDir
        {"env": [{"name": "with.dots-and_more"}]},
        {"tolerations": [{"operator": "Exists"}]},
        {"annotations": {"Upper.Case/Key": "x"}},
        {
            "volumes": [
                {"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}
            ]
        },
    ],
)
def test_what_the_api_server_takes_is_not_invalid(spec):
    assert (
        admit(
            pod(serviceAccountName="default-editor"), [poddefault("p", **spec)], namespace=PROFILE
        ).invalid
        == ()
    )


def test_an_admission_shows_no_pod():
    assert "pod=" not in repr(Admission("unchanged", {"spec": {}}))
    assert json.dumps(admit(pod(), [], namespace=PROFILE).pod)
