"""The PodDefaults that we write."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfsecrets_ext.errors import InvalidName
from kfsecrets_ext.poddefaults import (
    PODINFO_MOUNT,
    PODINFO_VOLUME,
    admit,
    lint,
    read_manifests,
    render,
    volume_name,
    write_manifests,
)
from poddefaults.reference import PROFILE, bare

# What clusters have: another byte in it, and the next PodDefault denies the pods of the first.
FROZEN_VOLUME = (
    '{"name":"kfsecrets-podinfo-v1","downwardAPI":{"items":['
    '{"path":"labels","fieldRef":{"apiVersion":"v1","fieldPath":"metadata.labels"}},'
    '{"path":"annotations","fieldRef":{"apiVersion":"v1","fieldPath":"metadata.annotations"}}'
    '],"defaultMode":420}}'
)
FROZEN_MOUNT = (
    '{"name":"kfsecrets-podinfo-v1","readOnly":true,"mountPath":"/etc/kfsecrets/podinfo-v1"}'
)
NAMES = st.from_regex(r"[a-z0-9]([-.a-z0-9]{0,50}[a-z0-9])?", fullmatch=True).filter(
    lambda name: not any(pair in name for pair in ("..", "-.", ".-"))
)


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def test_the_podinfo_volume_is_frozen_to_the_byte():
    volumes, mounts = (render("p")["spec"][field] for field in ("volumes", "volumeMounts"))

    assert compact(dict(PODINFO_VOLUME)) == compact(volumes[1]) == FROZEN_VOLUME
    assert compact(dict(PODINFO_MOUNT)) == compact(mounts[1]) == FROZEN_MOUNT


def test_a_caller_that_changes_its_poddefault_does_not_change_the_next_one():
    first = render("p")
    first["spec"]["volumes"][1]["downwardAPI"]["items"].clear()
    first["spec"]["volumeMounts"][1]["readOnly"] = False

    assert compact(render("p")["spec"]["volumes"][1]) == FROZEN_VOLUME
    assert compact(render("p")["spec"]["volumeMounts"][1]) == FROZEN_MOUNT


def test_the_whole_of_it():
    assert render("docker", secret_name="docker-config", mount_path="/secret/docker",
                  desc="Docker", items={".dockerconfigjson": "config.json"},
                  namespace="alice") == {
        "apiVersion": "kubeflow.org/v1alpha1",
        "kind": "PodDefault",
        "metadata": {
            "name": "docker",
            "namespace": "alice",
            "labels": {"app.kubernetes.io/managed-by": "kfsecrets-ext"},
        },
        "spec": {
            "selector": {"matchLabels": {"docker": "true"}},
            "desc": "Docker",
            "volumes": [
                {
                    "name": "kfs-docker",
                    "secret": {
                        "secretName": "docker-config",
                        "items": [{"key": ".dockerconfigjson", "path": "config.json"}],
                        "defaultMode": 420,
                        "optional": True,
                    },
                },
                json.loads(FROZEN_VOLUME),
            ],
            "volumeMounts": [
                {"name": "kfs-docker", "readOnly": True, "mountPath": "/secret/docker"},
                json.loads(FROZEN_MOUNT),
            ],
        },
    }  # fmt: skip


def test_required_lets_the_pod_wait_and_nothing_else():
    written, waiting = render("p"), render("p", required=True)

    assert written["spec"]["volumes"][0]["secret"].pop("optional") is True
    assert written == waiting


@given(st.lists(NAMES, min_size=1, max_size=6, unique=True))
def test_any_number_of_ours_are_admitted_together_with_no_finding(names):
    ours = [render(name) for name in names]
    said = admit(bare(dict.fromkeys(names, "true")), ours, namespace=PROFILE)

    assert lint(ours) == []
    assert said.outcome == "mutated"
    assert said.applied == tuple(sorted(names))
    assert said.invalid == ()


def test_a_pod_that_carries_ours_defaulted_already_is_admitted():
    ours = [render("p")]
    once = admit(bare({"p": "true"}), ours, namespace=PROFILE).pod

    # what the API server would fill in is there already: defaultMode, fieldRef.apiVersion
    assert admit(once, ours, namespace=PROFILE).pod == once


def test_a_dot_and_a_dash_do_not_share_a_volume():
    assert volume_name("a.b") != volume_name("a-b")
    assert "." not in volume_name("a.b")
    assert len(volume_name("a." + "b" * 50)) <= 63


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": "n" * 53},
        {"name": "Upper"},
        {"name": ""},
        {"name": "p", "secret_name": "not a name"},
        {"name": "p", "mount_path": "relative"},
        {"name": "p", "mount_path": "/"},
        {"name": "p", "mount_path": "/a:b"},
        {"name": "p", "items": {"k": "../up"}},
        {"name": "p", "items": ["no/slash"]},
    ],
)
def test_what_would_not_work_is_refused_before_it_is_written(arguments):
    name = arguments.pop("name")
    with pytest.raises(InvalidName):
        render(name, **arguments)


def test_ours_survives_a_file():
    ours = render("p", namespace="alice")
    manifests = read_manifests(write_manifests([ours]))

    assert manifests.findings == ()
    assert manifests.poddefaults[0].to_mapping() == ours
