"""The pod that the demo lays out, and its rotations."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path

import pytest
from demo.values import leaks, values

from kfsecrets_ext import get_secret, get_secret_bytes, inventory
from kfsecrets_ext.admin import Grant, SecretObject, generic
from kfsecrets_ext.cluster import NAMESPACE, PODDEFAULT, SECRET
from kfsecrets_ext.demo import DemoError, contents
from kfsecrets_ext.demo.follow import following
from kfsecrets_ext.demo.pod import DemoPod, find, lay_out, reserved
from kfsecrets_ext.errors import SecretNotFound, SecretNotText, SecretTooLarge, SecretUnreadable
from kfsecrets_ext.poddefaults import render
from kfsecrets_ext.values import SecretBytes, SecretStr


@pytest.fixture(params=["pod", 'a pod\\with "odd"\tname#☃'])
def pod(request, tmp_path: Path, monkeypatch) -> DemoPod:
    """A pod whose container this process is."""
    laid = lay_out(tmp_path / request.param)
    for name, value in laid.variables().items():
        monkeypatch.setenv(name, value)
    return laid


def states() -> dict[str, str]:
    return {secret.name: secret.state for secret in inventory.collect().secrets}


def stored(pod: DemoPod, name: str) -> dict:
    with pod.cluster() as cluster:
        found = cluster.get(SECRET, name, namespace="alice")
    assert found is not None
    return found


def test_the_pod_is_the_tutorials(pod: DemoPod) -> None:
    assert get_secret("test-secret", "foo") == "bar"
    config = json.loads(get_secret("docker-config", "config.json"))
    assert "https://index.docker.io/v1/" in config["auths"]
    assert (pod.home / ".docker" / "config.json").is_file()


def test_every_state_is_there(pod: DemoPod) -> None:
    assert states() == {
        "coming-soon": "empty",
        "database": "ready",
        "docker-config": "ready",
        "legacy-token": "stale",
        "object-store": "ready",
        "signing": "ready",
        "ssh-agent": "unreadable",
        "test-secret": "ready",
        "vault": "ready",
    }
    vault = inventory.collect().get("vault")
    assert {key.name: key.state for key in vault.keys} == {
        "api-token": "ready",
        "bundle.bin": "too-large",
        "ca.crt": "unreadable",
    }
    kinds = {mount.kind for secret in inventory.collect().secrets for mount in secret.mounts}
    assert kinds == {"volume", "subPath", "environment"}
    assert inventory.collect().notes == ()


def test_every_state_gives_its_error(pod: DemoPod) -> None:
    with pytest.raises(SecretTooLarge):
        get_secret("vault", "bundle.bin")
    for name, key in (("vault", "ca.crt"), ("ssh-agent", "agent.pipe")):
        with pytest.raises(SecretUnreadable):
            get_secret(name, key)
    with pytest.raises(SecretNotText):
        get_secret("signing", "keystore.p12")
    assert get_secret_bytes("signing", "keystore.p12")
    assert set(get_secret("database")) == {
        *("username", "password", "host", "dsn", "tls/ca.crt", "tls/client.key"),
        'pass phrase "old" ☃.txt',
    }


def test_each_secret_names_its_poddefault(pod: DemoPod) -> None:
    known = {secret.name: secret.poddefault for secret in inventory.collect().secrets}
    assert known.pop("ssh-agent") is None
    assert known == {name: name for name in known}


def test_the_pod_says_who_it_is(pod: DemoPod) -> None:
    report = inventory.pod()
    assert (report.namespace, report.name, report.notebook, report.information) == (
        "alice",
        "demo-nb-0",
        "demo-nb",
        "embedded",
    )


def test_a_rotation_reaches_the_reader_and_is_new_each_time(pod: DemoPod) -> None:
    seen = {get_secret("test-secret", "foo")}
    for _ in range(5):
        rotation = pod.rotate("test-secret")
        assert rotation.updated == (str(pod.directory / "secret" / "test-secret"),)
        assert not rotation.created
        assert get_secret("test-secret", "foo") not in seen
        seen.add(get_secret("test-secret", "foo"))


@pytest.mark.parametrize("name", [name for name in contents.SECRETS if name != "coming-soon"])
def test_every_secret_rotates_and_keeps_its_shape(pod: DemoPod, name: str) -> None:
    before = stored(pod, name)
    pod.rotate(name)
    after = stored(pod, name)
    assert before["data"].keys() == after["data"].keys()
    assert before["data"] != after["data"]
    assert before["type"] == after["type"]


def test_a_rotated_docker_configuration_is_one(pod: DemoPod) -> None:
    before = get_secret("docker-config", "config.json")
    pod.rotate("docker-config")
    after = get_secret("docker-config", "config.json")
    assert before != after
    assert json.loads(before)["auths"].keys() == json.loads(after)["auths"].keys()


def test_an_optional_secret_appears_when_it_is_created(pod: DemoPod) -> None:
    assert pod.rotate("coming-soon").created
    assert states()["coming-soon"] == "ready"
    assert get_secret("coming-soon", "token")
    assert not pod.rotate("coming-soon").created


def test_a_subpath_mount_and_a_variable_keep_what_they_had(pod: DemoPod) -> None:
    token = get_secret("legacy-token", "token")
    assert pod.rotate("legacy-token").kept == (
        str(pod.directory / "secret" / "legacy-token" / "token"),
    )
    assert get_secret("legacy-token", "token") == token
    assert states()["legacy-token"] == "stale"
    key = get_secret("object-store", "secret-key")
    rotation = pod.rotate("object-store")
    assert (rotation.updated, rotation.kept) == ((), ("S3_ACCESS_KEY", "S3_SECRET_KEY"))
    assert get_secret("object-store", "secret-key") == key
    assert pod.variables()["S3_SECRET_KEY"] != key


def test_an_unknown_secret_is_named_with_what_there_is(pod: DemoPod) -> None:
    with pytest.raises(SecretNotFound, match="Did you mean 'test-secret'"):
        pod.rotate("test-secert")
    with pytest.raises(SecretNotFound):
        pod.rotate("../test-secret")


def test_names_and_metadata_hold_no_value(pod: DemoPod) -> None:
    known = values(pod.directory)
    assert len(known) > 15
    for name in ("cluster/pod.json", "proc/self/mountinfo", "etc/kfsecrets/podinfo-v1/labels"):
        assert not leaks((pod.directory / name).read_bytes(), known)
    assert not leaks(repr(pod), known)
    assert not leaks(repr(pod.variables()), known)
    assert not leaks(repr(contents.secret("database")), known)


def test_what_holds_values_is_this_users_alone(pod: DemoPod) -> None:
    assert stat.S_IMODE(pod.directory.stat().st_mode) == 0o700
    for file in pod.directory.glob("cluster/**/*.json"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    pod.configure_jupyter(SecretStr("token"))
    configuration = pod.directory / "etc" / "jupyter" / "jupyter_server_config.json"
    assert stat.S_IMODE(configuration.stat().st_mode) == 0o600


def test_nothing_of_the_callers_jupyter_or_registries_reaches_the_pod(
    tmp_path: Path, monkeypatch
) -> None:
    for name in ("JUPYTER_TOKEN", "JUPYTER_CONFIG_PATH", "IPYTHONDIR", "KFSECRETS_SERVICEACCOUNT"):
        monkeypatch.setenv(name, "/own")
    for name in ("DOCKER_CONFIG", "DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, "/own")
    assert "/own" not in lay_out(tmp_path / "pod").environment().values()


def test_laying_out_again_makes_all_but_the_home_anew(tmp_path: Path) -> None:
    pod = lay_out(tmp_path / "pod")
    pod.rotate("test-secret")
    pod.rotate("coming-soon")
    (pod.home / "mine.ipynb").write_text("mine")
    (pod.home / "tour.ipynb").write_text("my notes")
    again = lay_out(tmp_path / "pod")
    assert (again.directory / "secret/test-secret/foo").read_text() == "bar"
    assert not (again.directory / "secret/coming-soon/token").exists()
    assert (again.home / "mine.ipynb").read_text() == "mine"
    assert (again.home / "tour.ipynb").read_text() == "my notes"
    assert (again.home / ".docker/config.json").is_file()


def test_a_directory_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "mine").write_text("mine")
    with pytest.raises(DemoError, match="holds other files"):
        lay_out(tmp_path)
    with pytest.raises(DemoError, match="holds other files"), reserved(tmp_path):
        pass
    assert os.listdir(tmp_path) == ["secret"]
    with pytest.raises(DemoError, match="no directory"):
        lay_out(tmp_path / "secret" / "mine")
    with pytest.raises(DemoError, match="no directory"):
        lay_out(tmp_path / "secret" / "mine" / "below")


def test_an_empty_directory_is_taken(tmp_path: Path) -> None:
    assert lay_out(tmp_path).directory == tmp_path


def test_a_directory_serves_one_demo_at_a_time(tmp_path: Path) -> None:
    one, other = reserved(tmp_path / "pod"), reserved(tmp_path / "pod")
    with one, pytest.raises(DemoError, match="runs in"), other:
        pass
    with reserved(tmp_path / "pod"):
        pass


def test_a_demo_is_found_from_within_or_by_its_directory(
    pod: DemoPod, tmp_path, monkeypatch
) -> None:
    assert find(None) == find(pod.directory) == pod
    monkeypatch.delenv("KFSECRETS_CLUSTER")
    with pytest.raises(DemoError, match="--dir"):
        find(None)
    with pytest.raises(DemoError, match="not the directory of a demo"):
        find(tmp_path)


def reasons() -> dict[str, str | None]:
    return {secret.name: secret.reason for secret in inventory.collect().secrets}


def test_a_pod_that_starts_anew_gets_what_was_granted_meanwhile(pod: DemoPod) -> None:
    with pod.cluster() as cluster:
        for kind in (PODDEFAULT, SECRET):
            assert cluster.delete(kind, "test-secret", namespace="alice")
        pod.sync()
        assert states()["test-secret"] == "empty"
        gone = pod.restart()
        place = str(pod.directory / "secret/test-secret")
        assert (gone.mounted, gone.gone) == ((), (place,))
        assert "test-secret" not in gone.poddefaults
        assert "test-secret" not in states()
        assert not Path(place).exists()
        for given in Grant("test-secret", generic("test-secret", [("foo", b"bar")])).to_mappings():
            given["metadata"]["namespace"] = "alice"
            cluster.apply(given)
        # A pod that runs never changes.
        pod.sync()
        assert "test-secret" not in states()
        back = pod.restart()
    assert (back.mounted, back.gone, back.variables) == ((place,), (), ())
    assert "test-secret" in back.poddefaults
    assert get_secret("test-secret", "foo") == "bar"
    found = inventory.collect().get("test-secret")
    assert (found.state, found.poddefault) == ("ready", "test-secret")


def test_the_stamps_are_the_versions_that_the_cluster_keeps(pod: DemoPod) -> None:
    with pod.cluster() as cluster:
        stored = {
            one["metadata"]["name"]: one["metadata"]["resourceVersion"]
            for one in cluster.list(PODDEFAULT, namespace="alice")
        }
    assert {one["name"]: one["stamp"] for one in inventory.pod().poddefaults} == stored


def test_an_optional_secret_is_declared_not_granted_yet_until_it_comes(pod: DemoPod) -> None:
    assert reasons()["coming-soon"].startswith("Declared, not granted yet")
    with pod.cluster() as cluster:
        cluster.apply(contents.secret("coming-soon"))
    assert pod.sync() == (str(pod.directory / "secret/coming-soon"),)
    assert (states()["coming-soon"], reasons()["coming-soon"]) == ("ready", None)


def test_a_secret_that_goes_empties_an_optional_mount_and_leaves_a_required_one(
    pod: DemoPod,
) -> None:
    with pod.cluster() as cluster:
        for name in ("database", "legacy-token"):
            cluster.delete(SECRET, name, namespace="alice")
    pod.sync()
    assert states()["database"] == "empty"
    assert get_secret("legacy-token", "token")


def test_a_poddefault_that_is_not_chosen_does_not_reach_the_pod(pod: DemoPod) -> None:
    grant = Grant("aws", SecretObject("aws", {"key": SecretBytes(b"0123456789")}, None, "alice"))
    with pod.cluster() as cluster:
        for given in grant.to_mappings():
            cluster.apply(given)
    assert "aws" not in pod.restart().poddefaults
    assert "aws" in pod.restart(["aws"]).poddefaults
    assert get_secret("aws", "key") == "0123456789"
    # It stays chosen.
    assert "aws" in pod.restart().poddefaults
    with pytest.raises(DemoError, match=r"no PodDefault 'gcp'.*aws"):
        pod.restart(["gcp"])


def test_a_pod_that_is_refused_leaves_the_one_before(pod: DemoPod) -> None:
    clash = render("clash", secret_name="database", mount_path="/secret/test-secret")
    clash["metadata"]["namespace"] = "alice"
    clash["spec"]["selector"]["matchLabels"] = {"test-secret": "true"}
    with pod.cluster() as cluster:
        cluster.create(clash)
        with pytest.raises(DemoError, match="not admitted"):
            pod.restart()
        assert get_secret("test-secret", "foo") == "bar"
        cluster.delete(PODDEFAULT, "clash", namespace="alice")
        cluster.delete(SECRET, "legacy-token", namespace="alice")
    with pytest.raises(DemoError, match="waits for the Secret 'legacy-token'"):
        pod.restart()
    assert states()["legacy-token"] == "stale"


@pytest.mark.parametrize("path", ["/cluster/namespaces/alice/secrets", "/proc/self", "/run/x/.."])
def test_what_is_the_demos_own_is_not_mounted_over(pod: DemoPod, path: str) -> None:
    over = render("over", mount_path=path, namespace="alice")
    over["spec"]["selector"]["matchLabels"] = {"test-secret": "true"}
    with pod.cluster() as cluster:
        cluster.create(over)
    with pytest.raises(DemoError, match="own files"):
        pod.restart()


def test_a_restart_makes_a_stale_mount_fresh(pod: DemoPod) -> None:
    before = get_secret("legacy-token", "token")
    pod.restart()
    assert states()["legacy-token"] == "ready"
    assert get_secret("legacy-token", "token") != before


def test_the_kubelet_follows_the_cluster(pod: DemoPod) -> None:
    with following(pod), pod.cluster() as cluster:
        cluster.apply(contents.secret("coming-soon"))
        while states()["coming-soon"] != "ready":
            time.sleep(0.05)
        before = get_secret("coming-soon", "token")
        cluster.apply(contents.secret("coming-soon", rotated=True))
        while get_secret("coming-soon", "token") == before:
            time.sleep(0.05)
        cluster.delete(SECRET, "coming-soon", namespace="alice")
        while states()["coming-soon"] != "empty":
            time.sleep(0.05)
    # Nobody follows any more.
    with pod.cluster() as cluster:
        cluster.apply(contents.secret("coming-soon"))
    time.sleep(0.5)
    assert states()["coming-soon"] == "empty"


def test_the_kubelet_goes_on_after_a_volume_that_it_refused(pod: DemoPod) -> None:
    file = pod.directory / "secret" / "test-secret" / "..data" / "foo"
    before = get_secret("test-secret", "foo")
    file.unlink()
    file.mkdir()
    with following(pod), pod.cluster() as cluster:
        cluster.apply(contents.secret("test-secret", rotated=True))
        time.sleep(1.0)
        file.rmdir()
        give_up = time.monotonic() + 60
        while not file.is_file() or get_secret("test-secret", "foo") == before:
            assert time.monotonic() < give_up
            time.sleep(0.05)


def test_tenants_and_others_are_there(pod: DemoPod) -> None:
    with pod.cluster() as cluster:
        found = {one["metadata"]["name"]: one["metadata"] for one in cluster.list(NAMESPACE)}
    tenants = [
        name
        for name, metadata in found.items()
        if metadata.get("labels", {}).get("app.kubernetes.io/part-of") == "kubeflow-profile"
    ]
    assert tenants == ["alice", "bob", "carol"]
    assert found["alice"]["annotations"]["owner"] == "alice@example.com"
    assert {"default", "kubeflow"} <= set(found)
