"""What a pod says of itself is understood, and its literal values are dropped."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rig.kubelet import Kubelet

from kfsecrets_ext import podinfo
from kfsecrets_ext.podinfo import SecretVariable, SecretVolume


def test_files_of_the_downward_api_come_back(kubelet: Kubelet, tmp_path: Path) -> None:
    annotations = {
        "poddefault.admission.kubeflow.org/poddefault-b": "2",
        "poddefault.admission.kubeflow.org/poddefault-a": "1",
        "example.org/text": 'quotes " and \\ and\nlines\tand \x01 ünïcode \U0001f511 = signs',
    }
    kubelet.write_podinfo(tmp_path, {"notebook-name": "nb", "x": ""}, annotations)
    info = podinfo.from_files(str(tmp_path))
    assert info.information == "downward-api"
    assert info.labels == {"notebook-name": "nb", "x": ""}
    assert list(info.stamps.items()) == [("a", "1"), ("b", "2")]
    assert info.notebook == "nb"
    assert not info.complete


# One process writes for all examples: what it wrote for one is nothing to the next.
@settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(values=st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(), max_size=4))
def test_any_annotation_that_the_kubelet_writes_comes_back(
    kubelet: Kubelet, values: dict[str, str]
) -> None:
    prefix = podinfo.STAMP_PREFIX
    # JSON cannot carry a lone surrogate to the kubelet
    values = {key: text.encode("utf-8", "replace").decode() for key, text in values.items()}
    with tempfile.TemporaryDirectory() as directory:
        kubelet.write_podinfo(directory, {}, {prefix + key: text for key, text in values.items()})
        assert podinfo.from_files(directory).stamps == values


def test_missing_files_are_no_information(tmp_path: Path) -> None:
    assert podinfo.from_files(str(tmp_path)) == podinfo.PodInfo()


def test_lines_of_nonsense_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "labels").write_text('good="1"\nbad\nworse=\nunquoted=x\ncode=print()\n')
    info = podinfo.from_files(str(tmp_path))
    assert info.labels == {"good": "1"}


POD = {
    "metadata": {
        "name": "nb-0",
        "namespace": "alice",
        "labels": {"notebooks.kubeflow.org/workspace-name": "ws"},
        "annotations": {"poddefault.admission.kubeflow.org/poddefault-x": "9", "other": "y"},
    },
    "spec": {
        "volumes": [
            {"name": "plain", "secret": {"secretName": "one", "optional": True}},
            {"name": "projected", "projected": {"sources": [{"secret": {"name": "two"}}]}},
            {
                "name": "several",
                "projected": {"sources": [{"secret": {"name": "a"}}, {"secret": {"name": "b"}}]},
            },
            {"name": "csi", "csi": {"driver": "secrets-store.csi.k8s.io"}},
            {
                "name": "token",
                "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]},
            },
            {"name": "map", "configMap": {"name": "settings"}},
        ],
        "containers": [
            {"name": "proxy", "volumeMounts": [{"name": "plain", "mountPath": "/not/this"}]},
            {
                "name": "nb",
                "env": [
                    {"name": "NB_PREFIX", "value": "/notebook/alice/nb"},
                    {"name": "PASSWORD", "value": "a literal value"},
                    {"name": "A", "valueFrom": {"secretKeyRef": {"name": "one", "key": "k"}}},
                    {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                ],
                "envFrom": [
                    {"prefix": "P_", "secretRef": {"name": "two"}},
                    {"configMapRef": {"name": "settings"}},
                ],
                "volumeMounts": [
                    {"name": "plain", "mountPath": "/secret/one/"},
                    {"name": "plain", "mountPath": "/etc/one", "subPath": "k"},
                    {"name": "projected", "mountPath": "/two"},
                    {"name": "several", "mountPath": "/several"},
                    {"name": "csi", "mountPath": "/csi"},
                    {"name": "token", "mountPath": "/token"},
                    {"name": "map", "mountPath": "/map"},
                    {"name": "undeclared", "mountPath": "/x"},
                ],
            },
        ],
    },
}


def test_pod_object_gives_the_notebooks_own_secrets() -> None:
    info = podinfo.from_pod(POD, information="kubernetes")
    assert info.volumes == (
        SecretVolume("one", "/secret/one", None, True),
        SecretVolume("one", "/etc/one", "k", True),
        SecretVolume("two", "/two"),
        SecretVolume(None, "/several"),
        SecretVolume(None, "/csi"),
    )
    assert info.variables == (SecretVariable("one", "k", "A"), SecretVariable("two", None, "P_"))
    assert (info.namespace, info.name, info.notebook) == ("alice", "nb-0", "ws")
    assert info.stamps == {"x": "9"}
    assert info.complete
    assert "a literal value" not in repr(info)


def test_files_are_fresher_than_the_pod_object() -> None:
    files = podinfo.PodInfo("downward-api", {"now": "yes"}, {"y": "1"})
    merged = podinfo.merge(files, podinfo.from_pod(POD, information="kubernetes"))
    assert merged.labels == {"now": "yes"}
    assert merged.stamps == {"y": "1"}
    assert merged.volumes
    assert podinfo.merge(files, None) is files


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)


@given(json_like, json_like, json_like)
def test_pod_object_of_any_shape_is_no_crash(volumes: object, env: object, labels: object) -> None:
    pod = {
        "metadata": {"labels": labels if isinstance(labels, dict) else {}},
        "spec": {
            "volumes": volumes if isinstance(volumes, list) else [],
            "containers": [{"env": env if isinstance(env, list) else [], "volumeMounts": [{}]}],
        },
    }
    podinfo.from_pod(pod, information="kubernetes")
