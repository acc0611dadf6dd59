"""The inventory says what is in a pod, where from and in what state."""

from __future__ import annotations

import json
import os
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from rig.kubelet import Kubelet
from rig.pod import Pod, PodInfo, SecretVolume, SubPath

from kfsecrets_ext import get_secret, inventory, list_secrets
from kfsecrets_ext.errors import KeyNotFound, SecretUnreadable

MakePod = Callable[..., Pod]

COLLECT = textwrap.dedent(
    """
    import json
    from kfsecrets_ext import inventory
    print(json.dumps([inventory.collect().to_json(), inventory.pod().to_json()]))
    """
)


def collect(pod: Pod, **env: str) -> tuple[dict[str, Any], dict[str, Any]]:
    ran = pod.run([sys.executable, "-c", COLLECT], env=env, check=True)
    secrets, report = json.loads(ran.stdout)
    secrets["secrets"] = {secret["name"]: secret for secret in secrets["secrets"]}
    return secrets, report


@pytest.fixture
def here(kubelet: Kubelet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Give a function that makes this process's pod: an embedded one, with a Pod object."""
    for name in ("secret", "podinfo", "cluster"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("KFSECRETS_ROOTS", str(tmp_path / "secret"))
    monkeypatch.setenv("KFSECRETS_PODINFO", str(tmp_path / "podinfo"))
    monkeypatch.setenv("KFSECRETS_MOUNTINFO", str(tmp_path / "mountinfo"))
    monkeypatch.setenv("KFSECRETS_CLUSTER", str(tmp_path / "cluster"))

    def make(spec: Mapping[str, Any] | None = None, **metadata: Any) -> Path:
        pod = {"metadata": metadata, "spec": spec or {}}
        (tmp_path / "cluster" / "pod.json").write_text(json.dumps(pod))
        return tmp_path

    return make


def mounted(root: Path, *paths: Path, source: str = "/") -> None:
    lines = [f"1 0 0:1 {source} {path} ro - tmpfs tmpfs rw\n" for path in paths]
    (root / "mountinfo").write_text("".join(lines))


def test_pod_of_the_tutorial(make_pod: MakePod) -> None:
    pod = make_pod(
        [
            SecretVolume("secret-volume", {"foo": "bar"}, "/secret/test-secret"),
            SecretVolume(
                "docker-config",
                {".dockerconfigjson": "{}"},
                "/home/kubeflow/.docker",
                items={".dockerconfigjson": "config.json"},
            ),
        ],
        podinfo=PodInfo(
            {"notebook-name": "tf-gpu", "test-secret": "true"},
            {"poddefault.admission.kubeflow.org/poddefault-test-secret": "4711"},
        ),
        env={"NB_PREFIX": "/notebook/alice/tf-gpu"},
    )
    secrets, report = collect(pod)
    assert secrets["roots"] == ["/secret", "/secrets"]
    test_secret = secrets["secrets"]["test-secret"]
    updated = test_secret["mounts"][0].pop("updated")
    assert (
        abs(time.time() - time.mktime(time.strptime(updated, "%Y-%m-%dT%H:%M:%SZ")) + time.timezone)
        < 600
    )
    assert test_secret["keys"][0].pop("updated").endswith("Z")
    assert test_secret == {
        "name": "test-secret",
        "state": "ready",
        "reason": None,
        "poddefault": "test-secret",
        "mounts": [
            {"kind": "volume", "path": "/secret/test-secret", "state": "ready", "reason": None}
        ],
        "keys": [
            {
                "name": "foo",
                "state": "ready",
                "reason": None,
                "kind": "volume",
                "path": "/secret/test-secret/foo",
                "variable": None,
            }
        ],
    }
    assert [key["name"] for key in secrets["secrets"][".docker"]["keys"]] == ["config.json"]
    assert report == {
        "namespace": "alice",
        "name": report["name"],
        "notebook": "tf-gpu",
        "information": "downward-api",
        "labels": {"notebook-name": "tf-gpu", "test-secret": "true"},
        "poddefaults": [{"name": "test-secret", "stamp": "4711"}],
        "roots": ["/secret", "/secrets"],
        "notes": [],
    }


def test_states_of_mounts(make_pod: MakePod) -> None:
    pod = make_pod(
        [
            SecretVolume("later", None, "/secret/later", optional=True),
            SecretVolume("netrc", {"netrc": "1"}, None),
            SubPath("netrc", "netrc", "/secret/net/netrc"),
            SecretVolume("shut", {"x": "1"}, "/secret/shut"),
        ],
        user=65534,
    )
    pod.on_node("shut").chmod(0o700)
    pod.rotate("netrc", {"netrc": "2"})
    secrets, _ = collect(pod)
    later, net, shut = (secrets["secrets"][name] for name in ("later", "net", "shut"))
    assert (later["state"], later["keys"]) == ("empty", [])
    assert "within about a minute" in later["reason"]
    assert net["state"] == "stale"
    assert "restart the notebook" in net["reason"]
    assert [(mount["kind"], mount["path"], mount["state"]) for mount in net["mounts"]] == [
        ("subPath", "/secret/net/netrc", "stale")
    ]
    assert [(key["name"], key["kind"], key["state"]) for key in net["keys"]] == [
        ("netrc", "subPath", "stale")
    ]
    assert (shut["state"], shut["keys"]) == ("unreadable", [])
    assert shut["reason"].startswith("Permission denied.")


def test_one_stale_file_of_several_makes_the_secret_stale(make_pod: MakePod) -> None:
    pod = make_pod(
        [
            SecretVolume("one", {"a": "1"}, None),
            SecretVolume("two", {"b": "1"}, None),
            SubPath("one", "a", "/secret/both/a"),
            SubPath("two", "b", "/secret/both/b"),
        ]
    )
    pod.rotate("two", {"b": "2"})
    both = collect(pod)[0]["secrets"]["both"]
    assert [(key["name"], key["state"]) for key in both["keys"]] == [("a", "ready"), ("b", "stale")]
    assert both["state"] == "stale"
    assert "restart the notebook" in both["reason"]


def test_optional_secret_appears_when_it_is_made(make_pod: MakePod) -> None:
    pod = make_pod([SecretVolume("later", None, "/secret/later", optional=True)])
    assert collect(pod)[0]["secrets"]["later"]["state"] == "empty"
    pod.rotate("later", {"foo": "bar"})
    assert collect(pod)[0]["secrets"]["later"]["state"] == "ready"


def test_mount_elsewhere_has_its_secrets_name_when_the_pod_tells(
    here: Callable[..., Path], kubelet: Kubelet
) -> None:
    root = here(
        {
            "volumes": [
                {"name": "v", "secret": {"secretName": "docker-config"}},
                {"name": "w", "projected": {"sources": [{"secret": {"name": "aws"}}]}},
            ],
            "containers": [
                {
                    "name": "nb",
                    "volumeMounts": [
                        {"name": "v", "mountPath": "ROOT/home/.docker/"},
                        {"name": "w", "mountPath": "ROOT/secret/credentials"},
                    ],
                }
            ],
        }
    )
    pod = (root / "cluster" / "pod.json").read_text().replace("ROOT", str(root))
    (root / "cluster" / "pod.json").write_text(pod)
    kubelet.write_secret(root / "home" / ".docker", {"config.json": b"a docker configuration"})
    kubelet.write_secret(root / "secret" / "credentials", {"id": b"an access key"})
    mounted(root, root / "home" / ".docker")
    assert inventory.collect().names() == ("credentials", "docker-config")
    assert get_secret("docker-config", "config.json") == "a docker configuration"
    assert get_secret(".docker", "config.json") == "a docker configuration"
    assert get_secret("docker-config")["config.json"] == "a docker configuration"
    assert get_secret("aws", "id") == "an access key"
    assert get_secret("credentials", "id") == "an access key"


def test_variables_from_secrets_are_listed_and_read(
    here: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    here(
        {
            "containers": [
                {"name": "istio-proxy", "env": []},
                {
                    "name": "nb",
                    "env": [
                        {"name": "NB_PREFIX", "value": "/notebook/alice/nb"},
                        {"name": "LITERAL", "value": "a literal that nobody may see"},
                        {
                            "name": "AWS_KEY",
                            "valueFrom": {"secretKeyRef": {"name": "aws", "key": "key"}},
                        },
                        {
                            "name": "UNSET",
                            "valueFrom": {"secretKeyRef": {"name": "aws", "key": "other"}},
                        },
                    ],
                    "envFrom": [{"prefix": "DB_", "secretRef": {"name": "db"}}],
                },
            ]
        }
    )
    monkeypatch.setenv("AWS_KEY", "wJalr value")
    monkeypatch.delenv("UNSET", raising=False)
    found = inventory.collect()
    text = json.dumps(found.to_json())
    assert "nobody may see" not in text
    assert "wJalr" not in text
    aws, db = found.get("aws"), found.get("db")
    assert aws is not None
    assert db is not None
    assert [(key.name, key.variable, key.state) for key in aws.keys] == [
        ("key", "AWS_KEY", "ready"),
        ("other", "UNSET", "unreadable"),
    ]
    assert [(mount.kind, mount.path) for mount in aws.mounts] == [("environment", None)]
    assert db.keys == ()
    assert get_secret("aws", "key") == "wJalr value"
    assert dict(get_secret("aws")) == {"key": "wJalr value"}
    with pytest.raises(KeyNotFound):
        get_secret("aws", "other")
    monkeypatch.setenv("DB_password", "p of all keys")
    assert get_secret("db", "password") == "p of all keys"
    monkeypatch.setenv("UNSET", "now set")
    aws = inventory.collect().get("aws")
    assert aws is not None
    assert [key.state for key in aws.keys] == ["ready", "ready"]


def test_variable_has_no_path(here: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from kfsecrets_ext import get_secret_path

    reference = {"secretKeyRef": {"name": "aws", "key": "key"}}
    here({"containers": [{"name": "nb", "env": [{"name": "AWS_KEY", "valueFrom": reference}]}]})
    monkeypatch.setenv("AWS_KEY", "x")
    with pytest.raises(SecretUnreadable, match="environment variable AWS_KEY"):
        get_secret_path("aws", "key")


def test_unchanged_inventory_is_the_same_object(
    here: Callable[..., Path], kubelet: Kubelet
) -> None:
    root = here()
    kubelet.write_secret(root / "secret" / "a", {"k": b"v"})
    first = inventory.collect()
    assert inventory.collect() is first
    kubelet.write_secret(root / "secret" / "a", {"k": b"v", "l": b"w"})
    second = inventory.collect()
    assert second is not first
    assert [key.name for key in second.secrets[0].keys] == ["k", "l"]
    kubelet.write_secret(root / "secret" / "b", {"k": b"v"})
    assert inventory.collect().names() == ("a", "b")


def test_without_permission_for_the_pod_files_still_tell_and_a_note_says_what_is_missing(
    here: Callable[..., Path], kubelet: Kubelet
) -> None:
    root = here()
    (root / "cluster" / "pod.json").unlink()
    kubelet.write_secret(root / "secret" / "a", {"k": b"v"})
    found = inventory.collect()
    assert found.names() == ("a",)
    assert len(found.notes) == 1
    assert inventory.pod().information == "none"


def test_neither_values_nor_lengths_nor_hashes_are_in_the_inventory(
    here: Callable[..., Path], kubelet: Kubelet
) -> None:
    root = here()
    kubelet.write_secret(root / "secret" / "a", {"k": b"v" * 1234})
    before = inventory.collect()
    text = json.dumps(before.to_json()) + repr(before) + repr(list_secrets())
    assert "1234" not in text
    assert "vvv" not in text
    assert set(before.to_json()["secrets"][0]["keys"][0]) == {
        *("name", "state", "reason", "kind", "path", "variable", "updated")
    }


STAMP = "poddefault.admission.kubeflow.org/poddefault-"
NOT_YET = "Declared, not granted yet: "


def reasons() -> dict[str, tuple[str, str | None]]:
    return {secret.name: (secret.state, secret.reason) for secret in inventory.collect().secrets}


def test_an_optional_secret_that_is_not_there_is_declared_not_granted_yet(
    here: Callable[..., Path], kubelet: Kubelet
) -> None:
    names = ("optional", "keyless", "vault")
    paths = {name: here() / "secret" / name for name in names}
    sources = {
        "optional": {"secret": {"secretName": "optional", "optional": True}},
        "keyless": {"secret": {"secretName": "keyless"}},
        "vault": {"csi": {"driver": "secrets-store.csi.k8s.io"}},
    }
    mounts = [{"name": name, "mountPath": str(path)} for name, path in paths.items()]
    root = here(
        {
            "containers": [{"name": "nb", "volumeMounts": mounts}],
            "volumes": [{"name": name, **source} for name, source in sources.items()],
        }
    )
    mounted(root, *paths.values())
    for name in ("optional", "keyless"):
        kubelet.write_secret(paths[name], {})
    paths["vault"].mkdir(parents=True)
    found = reasons()
    assert {state for state, _ in found.values()} == {"empty"}
    assert found["optional"][1].startswith(NOT_YET)
    assert "with no restart" in found["optional"][1]
    for name in ("keyless", "vault"):
        assert not found[name][1].startswith(NOT_YET)
    kubelet.write_secret(paths["optional"], {"foo": b"bar"})
    assert reasons()["optional"] == ("ready", None)


def test_a_stamp_tells_of_a_declared_secret_with_nobody_to_ask(make_pod: MakePod) -> None:
    pod = make_pod(
        [
            SecretVolume("later", None, "/secret/later", optional=True),
            SecretVolume("bare", {}, "/secret/bare"),
        ],
        podinfo=PodInfo({}, {f"{STAMP}later": "7"}),
    )
    secrets = collect(pod)[0]["secrets"]
    for told in (secrets["later"], secrets["later"]["mounts"][0]):
        assert (told["state"], told["reason"][: len(NOT_YET)]) == ("empty", NOT_YET)
    assert secrets["later"]["poddefault"] == "later"
    assert secrets["bare"]["state"] == "empty"
    assert not secrets["bare"]["reason"].startswith(NOT_YET)


def test_table_shows_names_keys_source_and_state(
    here: Callable[..., Path], kubelet: Kubelet
) -> None:
    root = here()
    assert repr(list_secrets()) == f"No secrets are mounted here. Looked in: {root / 'secret'}."
    kubelet.write_secret(root / "secret" / "test-secret", {"foo": b"bar", "x": b"y"})
    kubelet.write_podinfo(
        root / "podinfo", {}, {"poddefault.admission.kubeflow.org/poddefault-test-secret": "1"}
    )
    kubelet.write_secret(root / "secret" / "later", {}, optional=True)
    table = list_secrets()
    assert [secret.name for secret in table] == ["later", "test-secret"]
    assert len(table) == 2
    assert table[1].name == "test-secret"
    head, later, test_secret, blank, reason = repr(table).splitlines()
    assert head.split() == ["NAME", "KEYS", "SOURCE", "STATE"]
    assert later.split()[-1] == "empty"
    assert blank == ""
    assert reason.startswith("later: It is mounted and has no keys.")
    assert "later: It is mounted and has no keys." in table._repr_html_()
    assert test_secret.split("  ") == [
        "test-secret",
        "foo, x",
        f"{root / 'secret' / 'test-secret'}, PodDefault test-secret",
        "ready",
    ]
    assert ">foo, x</td>" in table._repr_html_()


def test_hostile_names_are_harmless_in_the_table(
    here: Callable[..., Path], kubelet: Kubelet
) -> None:
    root = here()
    (root / "secret" / "<img src=x>").mkdir()
    (root / "secret" / "<img src=x>" / "two\nlines\x1b[31m").write_text("v")
    table = list_secrets()
    assert "<img" not in table._repr_html_()
    assert "&lt;img src=x&gt;" in table._repr_html_()
    assert len(repr(table).splitlines()) == 2
    assert "\x1b" not in repr(table)


def test_root_without_permission_is_a_note(make_pod: MakePod, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    pod = make_pod([], user=65534)
    closed.chmod(0o700)
    secrets, _ = collect(pod, KFSECRETS_ROOTS=os.fspath(closed))
    assert secrets["secrets"] == {}
    assert any("cannot be listed" in note for note in secrets["notes"])
