"""What the product needs of a cluster: the API server and the embedded cluster both give it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from rig.homes import (
    OURS,
    VALUE,
    Home,
    Json,
    Real,
    coded,
    data,
    owners,
    pod,
    poddefault,
    says_no_value,
    secret,
    version,
)

from kfsecrets_ext.cluster import (
    FIELD_MANAGER,
    NAMESPACE,
    POD,
    PODDEFAULT,
    SECRET,
    Cluster,
    Event,
)
from kfsecrets_ext.errors import ClusterError, Conflict, Rejected
from kfsecrets_ext.poddefaults import admit, stamp
from kfsecrets_ext.values import SecretStr

# ── apply ────────────────────────────────────────────────────────────────────


def test_an_applied_object_is_there_with_us_as_its_owner(cluster: Cluster, tenant: str) -> None:
    assert cluster.get(SECRET, "test", namespace=tenant) is None
    answered = cluster.apply(secret(tenant, {"a": VALUE}))
    stored = cluster.get(SECRET, "test", namespace=tenant)
    assert stored == answered
    assert data(stored) == {"a": VALUE}
    assert stored["type"] == "Opaque"
    assert (stored["apiVersion"], stored["kind"]) == ("v1", "Secret")
    assert owners(stored) == {(FIELD_MANAGER, "Apply")}
    assert stored["metadata"]["uid"]
    assert stored["metadata"]["creationTimestamp"]


def test_values_in_an_answer_do_not_show_themselves(cluster: Cluster, tenant: str) -> None:
    answered = cluster.apply(secret(tenant, {"a": VALUE}))
    literal = [{"name": "A", "value": VALUE}]
    defaults = cluster.apply(poddefault(tenant, env=literal))
    for obj in (
        answered,
        cluster.get(SECRET, "test", namespace=tenant),
        *cluster.list(SECRET, namespace=tenant),
        defaults,
        *cluster.list(PODDEFAULT, namespace=tenant),
        *(event.object for event in cluster.watch(SECRET, namespace=tenant, timeout=0.3)),
    ):
        assert coded(VALUE) not in repr(obj)
        assert VALUE not in repr(obj)
    assert isinstance(answered["data"]["a"], SecretStr)
    assert defaults["spec"]["env"] == literal


def test_what_is_applied_no_longer_goes_and_what_others_own_stays(
    home: Home, cluster: Cluster, tenant: str
) -> None:
    cluster.apply(secret(tenant, {"a": "1", "b": "2"}))
    home.kubectl(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "test", "namespace": tenant, "labels": {"team": "x"}},
            "data": {"theirs": coded("3"), "b": coded("2")},
        }
    )
    cluster.apply(secret(tenant, {"a": "1", "c": "4"}))
    stored = cluster.get(SECRET, "test", namespace=tenant)
    assert data(stored) == {"a": "1", "b": "2", "c": "4", "theirs": "3"}
    assert stored["metadata"]["labels"] == {**OURS, "team": "x"}
    cluster.apply(secret(tenant, {"c": "4"}))
    assert data(cluster.get(SECRET, "test", namespace=tenant)) == {
        "b": "2",
        "c": "4",
        "theirs": "3",
    }


def test_an_apply_of_the_same_changes_nothing(cluster: Cluster, tenant: str) -> None:
    for obj in (secret(tenant, {"a": "1"}), poddefault(tenant)):
        first = cluster.apply(obj)
        assert version(cluster.apply(obj)) == version(first)
        obj["metadata"]["labels"]["more"] = "x"
        assert version(cluster.apply(obj)) != version(first)


def test_the_whole_spec_of_a_poddefault_is_ours(home: Home, cluster: Cluster, tenant: str) -> None:
    cluster.apply(poddefault(tenant, env=[{"name": "A", "value": "1"}]))
    smaller = poddefault(tenant)
    smaller["spec"]["volumes"][0]["secret"]["secretName"] = "other"
    stored = cluster.apply(smaller)
    assert stored["spec"] == smaller["spec"]
    assert cluster.get(PODDEFAULT, "test", namespace=tenant)["spec"] == smaller["spec"]

    foreign = poddefault(tenant, name="theirs")
    home.kubectl(foreign)
    ours = poddefault(tenant, name="theirs", desc="ours")
    ours["spec"]["volumes"][0]["secret"]["secretName"] = "ours"
    with pytest.raises(Conflict) as caught:
        cluster.apply(ours)
    assert set(caught.value.fields) == {".spec.desc", ".spec.volumes"}
    assert caught.value.managers == ("kubectl",)


def test_fields_that_a_crd_does_not_know_are_not_kept(cluster: Cluster, tenant: str) -> None:
    obj = poddefault(tenant)
    obj["spec"]["selector"]["desc"] = "in the wrong place"
    with pytest.raises(Rejected) as caught:
        cluster.apply(obj)
    assert caught.value.causes == ("spec.selector.desc",)
    assert "desc" not in cluster.create(obj)["spec"]["selector"]


def test_the_time_of_a_manager_is_that_of_its_own_last_write(
    home: Home, cluster: Cluster, tenant: str
) -> None:
    def times() -> dict[str, str]:
        stored = cluster.get(SECRET, "test", namespace=tenant)
        return {one["manager"]: one["time"] for one in stored["metadata"]["managedFields"]}

    home.kubectl(secret(tenant, {"a": "theirs", "kept": "theirs"}))
    first = times()
    time.sleep(1.1)  # they are in seconds
    cluster.apply(secret(tenant, {"b": "1"}))
    second = times()
    assert second["kubectl"] == first["kubectl"]
    assert second[FIELD_MANAGER] > first["kubectl"]
    time.sleep(1.1)
    # the same fields with another value, and one that is taken from the other
    cluster.apply(secret(tenant, {"a": "ours", "b": "2"}), force=True)
    third = times()
    assert third["kubectl"] == first["kubectl"]
    assert third[FIELD_MANAGER] > second[FIELD_MANAGER]
    time.sleep(1.1)
    cluster.apply(secret(tenant, {"a": "ours", "b": "2"}))
    assert times() == third


# ── versions ─────────────────────────────────────────────────────────────────


def test_version_one_is_for_what_does_not_exist(cluster: Cluster, tenant: str) -> None:
    first = cluster.apply(secret(tenant, {"a": "1"}, version="1"))
    with pytest.raises(Conflict) as caught:
        cluster.apply(secret(tenant, {"a": VALUE}, version="1"))
    assert says_no_value(caught.value)
    assert cluster.get(SECRET, "test", namespace=tenant) == first


def test_a_version_that_passed_is_a_conflict(cluster: Cluster, tenant: str) -> None:
    for make in (lambda **o: secret(tenant, {"a": VALUE}, **o), None):
        first = cluster.apply(make() if make else poddefault(tenant))
        newer = make() if make else poddefault(tenant)
        newer["metadata"] |= {"labels": {"x": "y"}, "resourceVersion": version(first)}
        second = cluster.apply(newer)
        assert version(second) != version(first)
        newer["metadata"]["labels"] = {"x": "z"}
        with pytest.raises(Conflict) as caught:
            cluster.apply(newer)
        assert (caught.value.reason, caught.value.fields) == ("Conflict", ())
        assert says_no_value(caught.value)


def test_an_object_that_is_gone_is_created_again_unless_its_uid_is_given(
    cluster: Cluster, tenant: str
) -> None:
    first = cluster.apply(secret(tenant, {"a": VALUE}))
    known = {"resourceVersion": version(first), "uid": first["metadata"]["uid"]}
    again = secret(tenant, {"a": VALUE})
    again["metadata"] |= known
    assert version(cluster.apply(again)) == version(first)
    assert cluster.delete(SECRET, "test", namespace=tenant)
    with pytest.raises(Conflict) as caught:
        cluster.apply(again)
    assert says_no_value(caught.value)
    assert cluster.get(SECRET, "test", namespace=tenant) is None

    del again["metadata"]["uid"]
    second = cluster.apply(again)
    again["metadata"] |= {"resourceVersion": version(second), "uid": known["uid"]}
    with pytest.raises(Conflict) as caught:
        cluster.apply(again)
    assert says_no_value(caught.value)


def test_of_two_who_create_at_once_one_wins(home: Home, cluster: Cluster, tenant: str) -> None:
    start = threading.Barrier(6)

    def attempt(number: int) -> str:
        with home.connect() as own:
            start.wait()
            try:
                own.apply(secret(tenant, {"a": str(number)}, version="1"), force=True)
            except Conflict:
                return "conflict"
            return str(number)

    with ThreadPoolExecutor(6) as pool:
        ends = list(pool.map(attempt, range(6)))
    assert ends.count("conflict") == 5
    (winner,) = set(ends) - {"conflict"}
    assert data(cluster.get(SECRET, "test", namespace=tenant)) == {"a": winner}


# ── others ───────────────────────────────────────────────────────────────────


def test_a_field_of_another_manager_is_a_conflict_that_names_it(
    home: Home, cluster: Cluster, tenant: str
) -> None:
    home.kubectl(secret(tenant, {"a": "theirs", "b": "theirs"}))
    before = cluster.get(SECRET, "test", namespace=tenant)
    with pytest.raises(Conflict) as caught:
        cluster.apply(secret(tenant, {"a": VALUE, "b": VALUE, "c": VALUE}))
    assert set(caught.value.fields) == {".data.a", ".data.b"}
    assert caught.value.managers == ("kubectl",)
    assert ".data.a" in str(caught.value)
    assert says_no_value(caught.value)
    assert cluster.get(SECRET, "test", namespace=tenant) == before


def test_force_adopts_what_another_manager_owns(home: Home, cluster: Cluster, tenant: str) -> None:
    home.kubectl(secret(tenant, {"a": "theirs", "kept": "theirs"}))
    there = cluster.get(SECRET, "test", namespace=tenant)
    adopted = cluster.apply(secret(tenant, {"a": "ours"}, version=version(there)), force=True)
    assert data(adopted) == {"a": "ours", "kept": "theirs"}
    assert owners(adopted) == {(FIELD_MANAGER, "Apply"), ("kubectl", "Apply")}
    # It is ours now, and a key of ours that is not applied any more goes.
    assert data(cluster.apply(secret(tenant, {}))) == {"kept": "theirs"}


def test_what_was_created_and_not_applied_is_another_managers(
    cluster: Cluster, tenant: str
) -> None:
    # kubernetes/kubernetes#107417
    cluster.create(secret(tenant, {"a": "1"}))
    with pytest.raises(Conflict) as caught:
        cluster.apply(secret(tenant, {"a": VALUE}))
    assert caught.value.managers == (FIELD_MANAGER,)
    assert says_no_value(caught.value)


# ── dry run ──────────────────────────────────────────────────────────────────


def everything(cluster: Cluster, tenant: str) -> list[Json]:
    kinds = (SECRET, PODDEFAULT, POD)
    return [obj for kind in kinds for obj in cluster.list(kind, namespace=tenant)]


def test_a_dry_run_answers_and_writes_nothing(cluster: Cluster, tenant: str) -> None:
    cluster.apply(secret(tenant, {"a": "1"}))
    cluster.apply(poddefault(tenant))
    before = everything(cluster, tenant)
    tried = cluster.apply(secret(tenant, {"b": "2"}), dry_run=True)
    assert data(tried) == {"b": "2"}
    assert data(cluster.apply(secret(tenant, {"n": "3"}, name="new"), dry_run=True)) == {"n": "3"}
    assert cluster.create(poddefault(tenant, name="new"), dry_run=True)["metadata"]["uid"]
    assert cluster.create(pod(tenant), dry_run=True)["spec"]["restartPolicy"] == "Always"
    assert cluster.delete(SECRET, "test", namespace=tenant, dry_run=True)
    assert not cluster.delete(SECRET, "new", namespace=tenant, dry_run=True)
    assert cluster.delete(NAMESPACE, tenant, dry_run=True)
    with pytest.raises(Conflict):
        cluster.create(secret(tenant, {}), dry_run=True)
    assert everything(cluster, tenant) == before


# ── create and delete ────────────────────────────────────────────────────────


def test_what_is_there_is_not_created_again(cluster: Cluster, tenant: str) -> None:
    first = cluster.create(secret(tenant, {"a": "1"}))
    with pytest.raises(Conflict) as caught:
        cluster.create(secret(tenant, {"a": VALUE}))
    assert caught.value.reason == "AlreadyExists"
    assert says_no_value(caught.value)
    assert cluster.get(SECRET, "test", namespace=tenant) == first


def test_texts_of_a_secret_are_stored_as_its_data(cluster: Cluster, tenant: str) -> None:
    obj = secret(tenant, {"a": "1"}) | {"stringData": {"b": "2"}}
    assert data(cluster.create(obj)) == {"a": "1", "b": "2"}
    assert "stringData" not in cluster.get(SECRET, "test", namespace=tenant)


def test_a_delete_says_whether_there_was_anything(cluster: Cluster, tenant: str) -> None:
    cluster.apply(secret(tenant, {"a": "1"}))
    assert cluster.delete(SECRET, "test", namespace=tenant) is True
    assert cluster.delete(SECRET, "test", namespace=tenant) is False
    assert cluster.get(SECRET, "test", namespace=tenant) is None
    assert cluster.delete(SECRET, "test", namespace="nobody-at-all") is False


def test_only_the_object_that_was_meant_is_deleted(cluster: Cluster, tenant: str) -> None:
    first = cluster.apply(secret(tenant, {"a": "1"}))
    second = cluster.apply(secret(tenant, {"a": "2"}))
    uid = first["metadata"]["uid"]
    for condition in (
        {"resource_version": version(first)},
        {"uid": "00000000-0000-0000-0000-000000000000"},
        {"resource_version": version(first), "uid": uid},
    ):
        with pytest.raises(Conflict):
            cluster.delete(SECRET, "test", namespace=tenant, **condition)
    assert cluster.get(SECRET, "test", namespace=tenant) == second
    assert cluster.delete(
        SECRET, "test", namespace=tenant, resource_version=version(second), uid=uid
    )


def test_what_is_not_valid_is_refused_by_its_field(cluster: Cluster, tenant: str) -> None:
    cluster.apply(secret(tenant, {"a": "1"}, name="frozen", immutable=True))
    broken = secret(tenant, {}) | {"data": {"a": f"{VALUE}-is-no-base64"}}
    cases: list[tuple[Json, tuple[str, ...]]] = [
        (secret(tenant, {"a": VALUE}, name="frozen", immutable=True), ("data",)),
        (secret(tenant, {"a": VALUE}, name="Upper_Case"), ("metadata.name",)),
        (secret(tenant, {"a": VALUE}, name="frozen", type="x/y", immutable=True), ("type",)),
        (secret(tenant, {"bad key": VALUE}), ("data[bad key]",)),
        (secret(tenant, {"a": VALUE * 50_000}), ("data",)),
    ]
    for obj, causes in cases:
        with pytest.raises(Rejected) as caught:
            cluster.apply(obj)
        assert set(causes) <= set(caught.value.causes)
        assert all(cause in str(caught.value) for cause in causes)
        assert caught.value.reason == "Invalid"
        assert says_no_value(caught.value)
    for write in (cluster.apply, cluster.create):
        with pytest.raises(Rejected) as caught:
            write(broken)
        assert caught.value.reason in ("BadRequest", "Invalid")
        assert says_no_value(caught.value)
    without = poddefault(tenant)
    del without["spec"]["selector"]
    with pytest.raises(Rejected) as caught:
        cluster.apply(without)
    assert caught.value.causes == ("spec.selector",)


def test_a_namespace_that_does_not_exist_is_said(cluster: Cluster) -> None:
    for write in (cluster.apply, cluster.create):
        with pytest.raises(ClusterError, match="no namespace 'nobody-at-all'") as caught:
            write(secret("nobody-at-all", {"a": VALUE}))
        assert caught.value.reason == "NotFound"
        assert says_no_value(caught.value)
    assert list(cluster.list(SECRET, namespace="nobody-at-all")) == []
    assert cluster.get(NAMESPACE, "nobody-at-all") is None


# ── lists ────────────────────────────────────────────────────────────────────


def names(objects: Any) -> list[str]:
    return [obj["metadata"]["name"] for obj in objects]


def test_a_list_in_pages_has_each_object_once(cluster: Cluster, tenant: str) -> None:
    wanted = [f"s-{number:02}" for number in range(11)]
    for name in wanted:
        cluster.apply(secret(tenant, {"a": "1"}, name=name))
    for page in (1, 3, 11, 500):
        listed = list(cluster.list(SECRET, namespace=tenant, page=page))
        assert names(listed) == wanted
        assert {(obj["apiVersion"], obj["kind"]) for obj in listed} == {("v1", "Secret")}


def test_a_list_of_all_namespaces_has_those_of_each(
    home: Home, cluster: Cluster, tenant: str
) -> None:
    other = home.tenant(cluster)
    for space in (tenant, other):
        cluster.apply(poddefault(space))
    spaces = {obj["metadata"]["namespace"] for obj in cluster.list(PODDEFAULT, page=1)}
    assert {tenant, other} <= spaces
    assert {tenant, other} <= set(names(cluster.list(NAMESPACE, page=1)))


def test_labels_and_fields_select(cluster: Cluster, tenant: str) -> None:
    for name, labels, kind in (
        ("a", {"app": "x", "tier": "1"}, "Opaque"),
        ("b", {"app": "y", "tier": "1"}, "Opaque"),
        ("c", {"app": "x"}, "example.com/other"),
        ("d", {}, "Opaque"),
    ):
        obj = secret(tenant, {}, name=name, type=kind)
        obj["metadata"]["labels"] = labels
        cluster.apply(obj)
    for labels, wanted in {
        "app=x": "ac",
        "app==x": "ac",
        "app!=x": "bd",
        "app=x,tier=1": "a",
        "app": "abc",
        "!app": "d",
        "app in (x,y),!tier": "c",
        "app in (x, y)": "abc",
        "app notin (x)": "bd",
        "tier,app notin (x)": "b",
        "": "abcd",
    }.items():
        listed = cluster.list(SECRET, namespace=tenant, labels=labels)
        assert "".join(names(listed)) == wanted, labels
    for fields, wanted in {
        "metadata.name=b": "b",
        "metadata.name!=b": "acd",
        "type=example.com/other": "c",
        "type!=example.com/other,metadata.name!=a": "bd",
    }.items():
        listed = cluster.list(SECRET, namespace=tenant, fields=fields)
        assert "".join(names(listed)) == wanted, fields
    both = cluster.list(SECRET, namespace=tenant, labels="app=x", fields="metadata.name=a")
    assert names(both) == ["a"]
    for bad in ("a b c", "app=x,", "app,", ",app", "app,,tier", "app=x y", "-app", "app='x'"):
        with pytest.raises(Rejected):
            list(cluster.list(SECRET, namespace=tenant, labels=bad))
    with pytest.raises(Rejected):
        list(cluster.list(SECRET, namespace=tenant, fields="spec.nothing=1"))


def test_metadata_alone_comes_where_it_is_enough(cluster: Cluster, tenant: str) -> None:
    cluster.apply(secret(tenant, {"a": VALUE}))
    whole = cluster.get(SECRET, "test", namespace=tenant)
    one = cluster.get(SECRET, "test", namespace=tenant, metadata_only=True)
    listed = list(cluster.list(SECRET, namespace=tenant, metadata_only=True))
    assert listed == [one]
    assert one == {"apiVersion": "v1", "kind": "Secret", "metadata": whole["metadata"]}


# ── watches ──────────────────────────────────────────────────────────────────


def told(events: Any) -> list[tuple[str, str]]:
    return [(event.type, event.object["metadata"].get("name", "")) for event in events]


def test_a_watch_tells_what_is_there_and_what_happens(cluster: Cluster, tenant: str) -> None:
    cluster.apply(secret(tenant, {"a": "1"}, name="early"))
    events = cluster.watch(SECRET, namespace=tenant, timeout=60)
    assert told(itertools.islice(events, 2)) == [("ADDED", "early"), ("BOOKMARK", "")]

    cluster.apply(secret(tenant, {"a": "1"}, name="late"))
    event = next(events)
    assert (event.type, data(event.object)) == ("ADDED", {"a": "1"})
    cluster.apply(secret(tenant, {"a": "2"}, name="late"))
    event = next(events)
    assert (event.type, data(event.object)) == ("MODIFIED", {"a": "2"})
    cluster.delete(SECRET, "early", namespace=tenant)
    assert told([next(events)]) == [("DELETED", "early")]


def test_a_watch_goes_on_from_a_version(cluster: Cluster, tenant: str) -> None:
    cluster.apply(secret(tenant, {"a": "1"}, name="before"))
    marks = cluster.watch(SECRET, namespace=tenant, timeout=60)
    mark = next(event for event in marks if event.type == "BOOKMARK")
    cluster.apply(secret(tenant, {"a": "1"}, name="after"))
    events = cluster.watch(
        SECRET, namespace=tenant, resource_version=version(mark.object), timeout=60
    )
    assert told([next(events)]) == [("ADDED", "after")]
    cluster.delete(SECRET, "before", namespace=tenant)
    assert told([next(events)]) == [("DELETED", "before")]


def test_a_watch_with_a_selector_tells_who_leaves_it(cluster: Cluster, tenant: str) -> None:
    obj = secret(tenant, {"a": "1"})
    obj["metadata"]["labels"] = {"app": "x"}
    cluster.apply(obj)
    events = cluster.watch(SECRET, namespace=tenant, labels="app=x", timeout=60)
    assert told(itertools.islice(events, 2)) == [("ADDED", "test"), ("BOOKMARK", "")]
    cluster.apply(secret(tenant, {"a": "1"}, name="other"))
    obj["metadata"]["labels"] = {"app": "y"}
    cluster.apply(obj)
    assert told([next(events)]) == [("DELETED", "test")]


def test_a_watch_ends_when_it_shall(cluster: Cluster, tenant: str) -> None:
    events: list[Event] = list(cluster.watch(SECRET, namespace=tenant, timeout=0.5))
    assert told(events) == [("BOOKMARK", "")]


# ── pods ─────────────────────────────────────────────────────────────────────


@pytest.fixture
def webhook(home: Home, cluster: Cluster, request: pytest.FixtureRequest) -> None:
    """Kubeflow's webhook, which the embedded cluster has built in."""
    if isinstance(home, Real):
        make: Callable[..., Any] = request.getfixturevalue("make_webhook")
        server = home.server

        def answer(asked: Json) -> Json:
            space = asked["namespace"]
            path = f"/apis/kubeflow.org/v1alpha1/namespaces/{space}/poddefaults"
            poddefaults = server.call("GET", path).body["items"]
            namespace = server.call("GET", f"/api/v1/namespaces/{space}").body
            admission = admit(asked["object"], poddefaults, namespace=namespace)
            if not admission.allowed:
                return {"allowed": False, "status": {"message": admission.message}}
            change = {"op": "replace", "path": "", "value": admission.pod}
            return {"allowed": True, "patch": [change] if admission.applied else []}

        make(answer)


def test_a_pod_is_defaulted_and_gets_its_poddefaults(
    cluster: Cluster, tenant: str, webhook: None
) -> None:
    default = cluster.apply(poddefault(tenant))
    asked = pod(tenant, test="true")
    # As the API server defaults it: a difference would be a conflict.
    volume = {"name": "volume-test", "secret": {"secretName": "test", "optional": True}}
    asked["spec"]["volumes"] = [volume]
    for dry_run in (True, False):
        created = cluster.create(asked, dry_run=dry_run)
        container = created["spec"]["containers"][0]
        assert "/secret/test" in [one["mountPath"] for one in container["volumeMounts"]]
        assert created["metadata"]["annotations"][stamp("test")] == version(default)
        assert container["imagePullPolicy"] == "Always"
        assert created["spec"]["volumes"][0]["secret"]["defaultMode"] == 420
        there = cluster.get(POD, "nb-0", namespace=tenant)
        assert (there is None) is dry_run
    assert names(cluster.list(POD, namespace=tenant)) == ["nb-0"]
    unlabelled = cluster.create(pod(tenant, name="other"), dry_run=True)
    assert stamp("test") not in (unlabelled["metadata"].get("annotations") or {})


def test_a_pod_with_conflicting_poddefaults_is_refused_by_the_webhook(
    cluster: Cluster, tenant: str, webhook: None
) -> None:
    for name in ("one", "two"):
        literal = [{"name": "A", "value": f"{VALUE}-{name}"}]
        cluster.apply(poddefault(tenant, name=name, env=literal))
    with pytest.raises(Rejected) as caught:
        cluster.create(pod(tenant, one="true", two="true"), dry_run=True)
    assert caught.value.webhook == "poddefaults-webhook-deployment.kubeflow.org"
    assert caught.value.by == "webhook"
    assert "poddefaults-webhook-deployment.kubeflow.org" in str(caught.value)
    assert says_no_value(caught.value)


def test_many_threads_share_one_connection(cluster: Cluster, tenant: str) -> None:
    def write(number: int) -> str:
        return version(cluster.apply(secret(tenant, {"a": str(number)}, name=f"s-{number:02}")))

    with ThreadPoolExecutor(16) as pool:
        versions = list(pool.map(write, range(48)))
    assert len(set(versions)) == 48
    listed = list(cluster.list(SECRET, namespace=tenant))
    assert [data(obj)["a"] for obj in listed] == [str(number) for number in range(48)]
    assert [version(obj) for obj in listed] == versions
