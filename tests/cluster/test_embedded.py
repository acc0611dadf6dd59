"""The embedded cluster's files: nobody else's to read, always whole, good to edit by hand."""

from __future__ import annotations

import errno
import itertools
import json
import os
import stat
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from rig.homes import VALUE, Json, coded, data, pod, poddefault, says_no_value, secret, version

from kfsecrets_ext.cluster import (
    NAMESPACE,
    POD,
    PODDEFAULT,
    PROFILE,
    SECRET,
    connect,
    own_pod,
    store,
)
from kfsecrets_ext.cluster.embedded import Embedded
from kfsecrets_ext.errors import ClusterError, Rejected, Unreachable
from kfsecrets_ext.poddefaults import PROFILE_LABEL

SPACE = "alice"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "cluster" / "namespaces" / SPACE).mkdir(parents=True)
    return tmp_path / "cluster"


@pytest.fixture
def cluster(home: Path) -> Embedded:
    return Embedded(home)


def test_the_variable_names_the_directory(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KFSECRETS_CLUSTER", str(home))
    with connect(workers=3) as cluster:
        assert (cluster.home, cluster.server, cluster.workers) == ("embedded", str(home), 3)
        assert (cluster.context, cluster.allowed("patch", SECRET)) == (None, True)


def test_nobody_else_can_read_the_files(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        cluster = Embedded(tmp_path / "new" / "cluster")
        name = {"name": SPACE}
        cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": name})
        cluster.apply(secret(SPACE, {"a": VALUE}))
        cluster.apply(secret(SPACE, {"a": f"{VALUE}-2"}))
        cluster.create(pod(SPACE))
    finally:
        os.umask(mask)
    for place, _, files in os.walk(tmp_path / "new" / "cluster"):
        assert stat.S_IMODE(os.stat(place).st_mode) == 0o700, place
        for file in files:
            assert stat.S_IMODE(os.stat(os.path.join(place, file)).st_mode) == 0o600, file
            assert not file.endswith(".new")


def test_a_selector_that_is_more_than_is_known_here_is_refused(cluster: Embedded) -> None:
    # the API server compares numbers
    for selector in ("a>1", "a<1"):
        with pytest.raises(Rejected, match="label selector"):
            list(cluster.list(SECRET, namespace=SPACE, labels=selector))


def test_what_is_there_today_is_read(cluster: Embedded, home: Path) -> None:
    space = home / "namespaces" / SPACE
    for name in ("secrets", "poddefaults"):
        (space / name).mkdir()
    (space / "secrets" / "bare.json").write_text(json.dumps({"data": {"a": coded(VALUE)}}))
    several = [poddefault(SPACE, name="one"), poddefault(SPACE, name="two")]
    (space / "poddefaults" / "both.yaml").write_text(yaml.safe_dump_all(several))
    (home / "pod.json").write_text(json.dumps(pod(SPACE)))

    (bare,) = cluster.list(SECRET, namespace=SPACE)
    assert (bare["metadata"]["name"], data(bare)) == ("bare", {"a": VALUE})
    assert bare == cluster.get(SECRET, "bare", namespace=SPACE)
    assert [one["metadata"]["name"] for one in cluster.list(PODDEFAULT)] == ["one", "two"]
    assert cluster.get(POD, "nb-0", namespace=SPACE) is not None
    assert cluster.namespace == SPACE
    label, value = PROFILE_LABEL
    (namespace,) = cluster.list(NAMESPACE, labels=f"{label}={value}")
    assert namespace["metadata"]["name"] == SPACE


def test_one_of_several_objects_in_a_file_is_changed_alone(cluster: Embedded, home: Path) -> None:
    directory = home / "namespaces" / SPACE / "poddefaults"
    directory.mkdir()
    several = [poddefault(SPACE, name=name) for name in ("one", "two", "three")]
    (directory / "all.yaml").write_text(yaml.safe_dump_all(several))
    before = cluster.get(PODDEFAULT, "two", namespace=SPACE)
    changed = poddefault(SPACE, name="one", desc="changed")
    cluster.apply(changed, force=True)
    assert cluster.delete(PODDEFAULT, "three", namespace=SPACE)
    assert [one["spec"]["desc"] for one in cluster.list(PODDEFAULT)] == ["changed", "two"]
    after = cluster.get(PODDEFAULT, "two", namespace=SPACE)
    assert before is not None
    assert after is not None
    assert (after["spec"], after["metadata"]["uid"]) == (before["spec"], before["metadata"]["uid"])
    assert sorted(file.name for file in directory.iterdir()) == ["one.json", "two.json"]


def test_what_was_written_by_hand_has_an_owner_that_is_not_us(
    cluster: Embedded, home: Path
) -> None:
    directory = home / "namespaces" / SPACE / "secrets"
    directory.mkdir()
    (directory / "test.json").write_text(json.dumps(secret(SPACE, {"a": "theirs"})))
    with pytest.raises(ClusterError) as caught:
        cluster.apply(secret(SPACE, {"a": VALUE}))
    assert "before-first-apply" in str(caught.value)
    assert data(cluster.get(SECRET, "test", namespace=SPACE)) == {"a": "theirs"}


def test_an_edit_by_hand_is_a_new_version_and_seen_by_a_watch(
    cluster: Embedded, home: Path
) -> None:
    cluster.apply(secret(SPACE, {"a": "1"}, name="kept"))
    file = home / "namespaces" / SPACE / "secrets" / "hand.json"
    events = cluster.watch(SECRET, namespace=SPACE, timeout=60)
    assert [one.type for one in itertools.islice(events, 2)] == ["ADDED", "BOOKMARK"]
    for number, type_ in enumerate(("ADDED", "MODIFIED")):
        file.with_suffix(".tmp").write_text(json.dumps({"data": {"a": coded(str(number))}}))
        os.replace(file.with_suffix(".tmp"), file)
        event = next(events)
        assert (event.type, data(event.object)) == (type_, {"a": str(number)})
    file.unlink()
    assert next(events).type == "DELETED"


def test_this_machines_pod_stays_where_it_is_looked_for(
    cluster: Embedded, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KFSECRETS_CLUSTER", str(home))
    (home / "pod.json").write_text(json.dumps(pod(SPACE, test="true")))
    cluster.apply(poddefault(SPACE))
    assert cluster.delete(POD, "nb-0", namespace=SPACE)
    assert own_pod().pod is None
    assert list(cluster.list(POD)) == []
    cluster.create(pod(SPACE, name="other"))
    admitted = cluster.create(pod(SPACE, test="true"))
    assert own_pod().pod == admitted
    mounts = admitted["spec"]["containers"][0]["volumeMounts"]
    assert "/secret/test" in [mount["mountPath"] for mount in mounts]
    assert [one["metadata"]["name"] for one in cluster.list(POD)] == ["nb-0", "other"]


def test_a_file_that_cannot_be_read_is_named_and_not_quoted(cluster: Embedded, home: Path) -> None:
    directory = home / "namespaces" / SPACE / "secrets"
    directory.mkdir()
    for content in (f"{VALUE}: [", f'{{"data": "{VALUE}"', f"- {VALUE}"):
        (directory / "broken.json").write_text(content)
        with pytest.raises(ClusterError, match=r"broken\.json") as caught:
            list(cluster.list(SECRET, namespace=SPACE))
        assert says_no_value(caught.value)


def test_a_name_leads_nowhere_else(cluster: Embedded, home: Path) -> None:
    (home.parent / "outside.json").write_text(json.dumps(secret(SPACE, {"a": VALUE})))
    for name in ("../../../../outside", "..", "/etc/passwd", ""):
        assert cluster.get(SECRET, name, namespace=SPACE) is None
        assert cluster.delete(SECRET, name, namespace=SPACE) is False
        assert cluster.get(NAMESPACE, name) is None
        assert cluster.delete(NAMESPACE, name) is False
        assert list(cluster.list(SECRET, namespace=name or "..")) == []
        with pytest.raises(Rejected):
            cluster.apply(secret(SPACE, {"a": VALUE}, name=name))


def test_a_namespace_takes_what_is_in_it_along(cluster: Embedded) -> None:
    cluster.apply(secret(SPACE, {"a": "1"}))
    assert cluster.delete(NAMESPACE, SPACE)
    assert list(cluster.list(SECRET)) == []
    assert list(cluster.list(NAMESPACE)) == []


def test_what_a_stopped_deletion_left_goes_with_the_next(cluster: Embedded, home: Path) -> None:
    left = home / "namespaces" / ".0123456789abcdef.gone" / "secrets"
    left.mkdir(parents=True)
    (left / "test.json").write_text(VALUE)
    assert [one["metadata"]["name"] for one in cluster.list(NAMESPACE)] == [SPACE]
    assert cluster.delete(NAMESPACE, SPACE)
    assert list((home / "namespaces").iterdir()) == []


def test_a_namespace_is_seen_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    enough = threading.Event()

    def come_and_go() -> None:
        writer = Embedded(tmp_path / "cluster")
        metadata = {"name": SPACE, "annotations": {"owner": "alice@example.com"}}
        while not enough.is_set():
            writer.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
            writer.delete(NAMESPACE, SPACE)

    reader = Embedded(tmp_path / "cluster")
    seen: list[Json] = []
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(come_and_go)
        while len(seen) < 100 and not other.done():
            seen += [one["metadata"] for one in reader.list(NAMESPACE)]
            one = reader.get(NAMESPACE, SPACE)
            seen += [] if one is None else [one["metadata"]]
        enough.set()
    assert other.exception() is None
    assert {one.get("annotations", {}).get("owner") for one in seen} == {"alice@example.com"}


def test_what_has_no_namespace_is_kept_as_well(cluster: Embedded) -> None:
    owner = {"kind": "User", "name": "alice@example.com"}
    profile: Json = {"apiVersion": "kubeflow.org/v1", "kind": "Profile"}
    cluster.apply({**profile, "metadata": {"name": SPACE}, "spec": {"owner": owner}})
    (kept,) = cluster.list(PROFILE)
    assert (kept["spec"]["owner"], kept["metadata"]["generation"]) == (owner, 1)
    assert cluster.get(PROFILE, SPACE) == kept


def test_processes_that_write_at_once_lose_nothing(cluster: Embedded, home: Path) -> None:
    script = """
        import base64, sys
        from kfsecrets_ext.cluster import SECRET
        from kfsecrets_ext.cluster.embedded import Embedded
        from kfsecrets_ext.errors import Conflict
        cluster = Embedded(sys.argv[1])
        for _ in range(20):
            while True:
                there = cluster.get(SECRET, "count", namespace="alice")
                count = int(base64.b64decode(there["data"]["n"])) + 1
                version = there["metadata"]["resourceVersion"]
                place = {"name": "count", "namespace": "alice", "resourceVersion": version}
                data = {"n": base64.b64encode(str(count).encode()).decode()}
                obj = {"apiVersion": "v1", "kind": "Secret", "metadata": place, "data": data}
                try:
                    cluster.apply(obj)
                    break
                except Conflict:
                    pass
    """
    cluster.apply(secret(SPACE, {"n": "0"}, name="count"))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), str(home)],
            cwd=Path(__file__).parents[2],
        )
        for _ in range(3)
    ]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert data(cluster.get(SECRET, "count", namespace=SPACE)) == {"n": "60"}


def test_a_reader_sees_one_version_or_the_other(cluster: Embedded, home: Path) -> None:
    texts = ["a" * 50_000, "b" * 70_000]
    cluster.apply(secret(SPACE, {"a": texts[0]}))
    done = threading.Event()
    seen = set()

    def read() -> None:
        other = Embedded(home)
        while not done.is_set():
            seen.add(data(other.get(SECRET, "test", namespace=SPACE))["a"])

    thread = threading.Thread(target=read)
    thread.start()
    versions = {version(cluster.apply(secret(SPACE, {"a": texts[turn % 2]}))) for turn in range(80)}
    done.set()
    thread.join()
    assert len(versions) == 80
    assert seen <= set(texts)


def test_a_write_that_fails_leaves_what_was_there(
    cluster: Embedded, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = cluster.apply(secret(SPACE, {"a": "1"}))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store.os, "replace", full)
    with pytest.raises(ClusterError) as caught:
        cluster.apply(secret(SPACE, {"a": VALUE}))
    monkeypatch.undo()
    assert str(caught.value) == (
        f"the embedded cluster failed to write Secret 'test' in namespace 'alice' of {home}: "
        "No space left on device."
    )
    assert type(caught.value) is ClusterError
    assert says_no_value(caught.value)
    assert cluster.get(SECRET, "test", namespace=SPACE) == before
    assert not list(home.rglob("*.new"))


# ── a directory that is not as it should be ──────────────────────────────────


@pytest.mark.parametrize(("what", "why"), [("nothing", "not there"), ("file", "no directory")])
def test_where_the_variable_names_no_directory_nothing_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, why: str
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("KFSECRETS_CLUSTER", str(tmp_path / what))
    with pytest.raises(Unreachable, match=f"{tmp_path / what}, which is {why}") as caught:
        connect()
    assert "jupyter kfsecrets demo" in str(caught.value)
    assert not (tmp_path / "nothing").exists()


def test_a_directory_that_is_still_empty_is_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KFSECRETS_CLUSTER", str(tmp_path))
    with connect() as cluster:
        cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}})
        assert [one["metadata"]["name"] for one in cluster.list(NAMESPACE)] == [SPACE]


WITHOUT_RIGHTS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []


def without_rights(program: str, *arguments: object) -> Json:
    """Run a program as one who may not read and write everything; what it prints, as JSON."""
    command = [*WITHOUT_RIGHTS, sys.executable, "-c", textwrap.dedent(program)]
    ran = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    return dict(json.loads(ran.stdout))


def test_files_that_may_not_be_read_or_written_are_forbidden(cluster: Embedded, home: Path) -> None:
    cluster.apply(secret(SPACE, {"a": VALUE}))
    secrets = home / "namespaces" / SPACE / "secrets"
    program = """
        import json, sys
        from rig.homes import VALUE, says_no_value, secret
        from kfsecrets_ext.cluster import NAMESPACE, SECRET
        from kfsecrets_ext.cluster.embedded import Embedded
        from kfsecrets_ext.errors import Forbidden

        cluster = Embedded(sys.argv[1])
        said = {}
        for name, ask in {
            "get": lambda: cluster.get(SECRET, "test", namespace="alice"),
            "list": lambda: list(cluster.list(SECRET)),
            "watch": lambda: list(cluster.watch(SECRET, timeout=0)),
            "apply": lambda: cluster.apply(secret("alice", {"a": VALUE + "-2"})),
            "create": lambda: cluster.create(secret("alice", {"a": VALUE}, name="other")),
            "delete": lambda: cluster.delete(SECRET, "test", namespace="alice"),
            "namespaces": lambda: list(cluster.list(NAMESPACE)),
        }.items():
            try:
                ask()
            except Forbidden as error:
                assert says_no_value(error), (name, error.__context__)
                said[name] = str(error)
        print(json.dumps(said))
    """
    path = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
    program = path + textwrap.dedent(program)
    try:
        secrets.chmod(0o500)
        said = without_rights(program, home)
        assert set(said) == {"apply", "create", "delete"}
        assert said["delete"] == (
            f"you may not delete Secret 'test' in namespace 'alice' of {home}: Permission denied "
            f"({secrets}/test.json)."
        )
        assert said["create"].startswith("you may not write Secret 'other' in namespace 'alice' of")
        assert f"({secrets})" in said["apply"]

        secrets.chmod(0)
        said = without_rights(program, home)
        assert set(said) == {"get", "list", "watch", "apply", "create", "delete"}
        assert said["get"].startswith("you may not read Secret 'test' in namespace 'alice' of")
        assert said["list"].startswith(f"you may not read Secrets in namespace 'alice' of {home}: ")
        secrets.chmod(0o700)

        (home / "namespaces").chmod(0)
        assert "namespaces" in without_rights(program, home)
    finally:
        (home / "namespaces").chmod(0o700)
        secrets.chmod(0o700)
