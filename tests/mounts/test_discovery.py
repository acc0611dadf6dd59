"""Secrets are found where a pod has them, and nothing else is taken for one."""

from __future__ import annotations

import base64
import json
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from rig.pod import (
    ConfigMapVolume,
    CsiVolume,
    EmptyDir,
    Pod,
    PodInfo,
    SecretVolume,
    SubPath,
    TokenVolume,
    pipelines_token,
)

from kfsecrets_ext import mounts

MakePod = Callable[..., Pod]

FIND = textwrap.dedent(
    """
    import json, sys
    from kfsecrets_ext import mounts
    found, notes = mounts.find(mounts.roots(), mounts.mount_table(), sys.argv[1:])
    print(json.dumps({
        "mounts": [[m.name, m.path, m.kind, m.deleted] for m in found], "notes": notes
    }))
    """
)


def find(pod: Pod, *declared: str) -> list[list[object]]:
    result = json.loads(pod.run([sys.executable, "-c", FIND, *declared], check=True).stdout)
    assert result["notes"] == []
    return result["mounts"]


def service_account_token(subject: str) -> str:
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256"}, {"sub": subject})]
    return ".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (*parts, b"signature")
    )


def test_volumes_of_both_roots_are_found_in_their_order(make_pod: MakePod) -> None:
    pod = make_pod(
        [
            SecretVolume("b", {"k": "v"}, "/secrets/b"),
            SecretVolume("a", {"k": "v"}, "/secret/a"),
            SecretVolume("a2", {"k": "v"}, "/secrets/a"),
        ]
    )
    assert find(pod) == [
        ["a", "/secret/a", "volume", False],
        ["a", "/secrets/a", "volume", False],
        ["b", "/secrets/b", "volume", False],
    ]


def test_secret_outside_the_roots_is_found_in_the_mount_table(make_pod: MakePod) -> None:
    pod = make_pod([SecretVolume("docker", {"config.json": "{}"}, "/home/kubeflow/.docker")])
    assert find(pod) == [[".docker", "/home/kubeflow/.docker", "volume", False]]


def test_sub_path_is_found_and_known_to_be_stale_after_a_rotation(make_pod: MakePod) -> None:
    pod = make_pod(
        [
            SecretVolume("netrc", {"netrc": "1"}, None),
            SubPath("netrc", "netrc", "/etc/some/netrc"),
            SecretVolume("aws", {"id": "1", "key": "2"}, None),
            SubPath("aws", "id", "/secret/aws/id"),
            SubPath("aws", "key", "/secret/aws/key"),
        ]
    )
    expected = [
        ["aws", "/secret/aws", "volume", False],
        ["aws", "/secret/aws/id", "subPath", False],
        ["aws", "/secret/aws/key", "subPath", False],
        ["netrc", "/etc/some/netrc", "subPath", False],
    ]
    assert find(pod) == expected
    pod.rotate("netrc", {"netrc": "2"})
    expected[-1][-1] = True
    assert find(pod) == expected


@pytest.mark.parametrize(
    "volume",
    [
        pipelines_token(),
        TokenVolume(
            "vault",
            {"vault-token": service_account_token("system:serviceaccount:alice:default-editor")},
            "/var/run/vault",
        ),
        TokenVolume(
            "copy", {"token": "x", "ca.crt": "y", "namespace": "alice"}, "/home/nb/serviceaccount"
        ),
        TokenVolume("irsa", {"token": "x"}, "/var/run/secrets/eks.amazonaws.com/serviceaccount"),
        TokenVolume("istio", {"labels": 'a="b"', "annotations": ""}, "/etc/istio/pod"),
        ConfigMapVolume("settings", {"app.conf": "x"}, "/etc/settings"),
        EmptyDir("dshm", "/dev/shm"),
        EmptyDir("scratch", "/scratch"),
        CsiVolume("csi", {"a": "b"}, "/mnt/unknown"),
    ],
    ids=lambda volume: volume.name,
)
def test_what_is_no_secret_is_never_listed(
    make_pod: MakePod, volume: TokenVolume | ConfigMapVolume | EmptyDir | CsiVolume
) -> None:
    pod = make_pod([volume], podinfo=PodInfo({"app": "nb"}, {"x": "y"}))
    assert find(pod) == []


def test_token_that_is_a_users_own_is_a_secret(make_pod: MakePod) -> None:
    pod = make_pod([SecretVolume("api", {"token": service_account_token("alice")}, "/mnt/api")])
    assert find(pod) == [["api", "/mnt/api", "volume", False]]


def test_csi_volume_counts_in_a_root_or_where_the_pod_declares_it(make_pod: MakePod) -> None:
    pod = make_pod(
        [
            CsiVolume("inside", {"a": "b"}, "/secret/inside"),
            CsiVolume("outside", {"a": "b"}, "/mnt/outside"),
        ]
    )
    assert find(pod) == [["inside", "/secret/inside", "volume", False]]
    assert find(pod, "/mnt/outside") == [
        ["inside", "/secret/inside", "volume", False],
        ["outside", "/mnt/outside", "volume", False],
    ]


def test_secret_mounted_on_a_root_itself_is_one_secret(make_pod: MakePod) -> None:
    pod = make_pod([SecretVolume("all", {"foo": "bar"}, "/secret")])
    assert find(pod) == [["secret", "/secret", "volume", False]]


def test_roots_setting_is_cleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KFSECRETS_ROOTS", raising=False)
    assert mounts.roots() == ("/secret", "/secrets")
    monkeypatch.setenv("KFSECRETS_ROOTS", "/a/:relative::/b/../b:/a:~/c")
    monkeypatch.setenv("HOME", "/home/jovyan")
    assert mounts.roots() == ("/a", "/b", "/home/jovyan/c")
    monkeypatch.setenv("KFSECRETS_ROOTS", "")
    assert mounts.roots() == ()


def test_root_that_is_missing_is_silent_and_one_that_is_closed_is_noted(tmp_path: Path) -> None:
    found, notes = mounts.find((str(tmp_path / "none"),), ())
    assert (found, notes) == ((), ())


def test_plain_file_in_a_root_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "README").write_text("hello")
    (tmp_path / "dir").mkdir()
    found, _ = mounts.find((str(tmp_path),), ())
    assert [mount.name for mount in found] == ["dir"]
