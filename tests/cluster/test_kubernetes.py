"""What only an API server does: rights, faults on the way, credentials that change."""

from __future__ import annotations

import base64
import http.client
import io
import itertools
import json
import logging
import stat
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from rig.apiserver import MERGE_PATCH, ApiServer
from rig.faults import ConnectProxy, Fault, Faults, Refuse, Reset, Say, Seen, Wait, faults, first
from rig.homes import (
    VALUE,
    Json,
    Real,
    coded,
    data,
    poddefault,
    says_no_value,
    secret,
    version,
)

from kfsecrets_ext.cluster import (
    CRD,
    NAMESPACE,
    POD,
    PODDEFAULT,
    SECRET,
    Cluster,
    Kind,
    connect,
    pace,
    session,
    transport,
)
from kfsecrets_ext.cluster.kubernetes import Kubernetes
from kfsecrets_ext.errors import ClusterError, Conflict, Forbidden, Rejected, Unreachable

pytestmark = [pytest.mark.slow, pytest.mark.platform]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's configuration takes part, and nobody waits long."""
    for name in ("KFSECRETS_CLUSTER", "KUBECONFIG", "KUBERNETES_SERVICE_HOST", "NB_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setattr(pace, "_FIRST", 0.01)
    monkeypatch.setattr(pace, "_LONGEST", 0.1)


@pytest.fixture
def home(api_server: ApiServer, tenant_labels: dict[str, str]) -> Real:
    return Real(api_server, tenant_labels)


@pytest.fixture
def direct(home: Real) -> Iterator[Cluster]:
    """A connection without a proxy, to look at what is there."""
    with home.connect() as cluster:
        yield cluster


@pytest.fixture
def tenant(home: Real, direct: Cluster) -> str:
    return home.tenant(direct)


@pytest.fixture
def proxy(api_server: ApiServer) -> Iterator[Faults]:
    with faults(api_server) as proxy:
        yield proxy


@pytest.fixture
def cluster(proxy: Faults, tmp_path: Path) -> Iterator[Kubernetes]:
    with Kubernetes.connect(kubeconfig=str(proxy.kubeconfig(tmp_path / "faulty"))) as cluster:
        yield cluster


def config(server: ApiServer, path: Path, **changes: Json) -> Path:
    """A copy of the rig's kubeconfig with other entries for cluster, user or context."""
    held = json.loads(server.kubeconfig.read_text(encoding="utf-8"))
    for part, change in changes.items():
        held[f"{part}s"][0][part] = change
    path.write_text(yaml.safe_dump(held), encoding="utf-8")
    return path


# ── rights ───────────────────────────────────────────────────────────────────


def test_an_editor_may_create_poddefaults_and_not_apply_them(
    api_server: ApiServer, direct: Cluster
) -> None:
    name = f"rights-{uuid.uuid4().hex[:6]}"
    api_server.create_tenant(name)
    editor = f"system:serviceaccount:{name}:default-editor"
    with connect(kubeconfig=api_server.kubeconfig, impersonate=editor) as cluster:
        assert cluster.who == editor
        assert cluster.allowed("create", PODDEFAULT, namespace=name) is True
        assert cluster.allowed("patch", PODDEFAULT, namespace=name) is False
        assert cluster.allowed("patch", PODDEFAULT, namespace="default") is False
        assert cluster.allowed("get", SECRET, namespace=name, name="x") is True
        assert cluster.allowed("create", POD, namespace=name, subresource="exec") is True
        assert cluster.allowed("create", POD, namespace=name, subresource="eviction") is False
        created = cluster.create(poddefault(name))
        for dry_run in (True, False):
            with pytest.raises(Forbidden) as caught:
                cluster.apply(poddefault(name, desc=VALUE), dry_run=dry_run)
            assert str(caught.value) == (
                f"{editor} may not apply PodDefault 'test' in namespace '{name}' of "
                f"{api_server.url}."
            )
            assert caught.value.reason == "Forbidden"
            assert says_no_value(caught.value)
        with pytest.raises(Forbidden, match="may not list Secrets of"):
            list(cluster.list(SECRET))
        with pytest.raises(Forbidden, match="may not watch Secrets of"):
            list(cluster.watch(SECRET, resource_version="1", timeout=5))
        with pytest.raises(Forbidden, match="may not delete Namespace"):
            cluster.delete(NAMESPACE, name)
        assert direct.get(PODDEFAULT, "test", namespace=name) == created


def test_who_is_not_known_is_told_so(api_server: ApiServer, tmp_path: Path) -> None:
    place = config(api_server, tmp_path / "c", user={"token": VALUE})
    with connect(kubeconfig=place) as cluster:
        for ask in (
            lambda: cluster.get(NAMESPACE, "default"),
            lambda: list(cluster.list(SECRET)),
            lambda: list(cluster.watch(SECRET, resource_version="1", timeout=5)),
            lambda: cluster.apply(secret("default", {"a": VALUE})),
            lambda: cluster.allowed("get", SECRET),
        ):
            with pytest.raises(Forbidden, match="does not know who asks") as caught:
                ask()
            assert caught.value.reason == "Unauthorized"
            assert says_no_value(caught.value)


def test_a_kind_that_is_not_installed_is_said(direct: Cluster) -> None:
    # none that another test installs on the server that they share
    kind = Kind("kubeflow.org", "v1", "nowherebooks", "Nowherebook")
    with pytest.raises(ClusterError, match="no Nowherebooks: their CRD is not installed") as caught:
        list(direct.list(kind))
    assert caught.value.reason == "NotFound"
    assert direct.get(kind, "x", namespace="default") is None
    assert direct.get(CRD, "poddefaults.kubeflow.org") is not None


def test_who_refused_a_pod_is_told(
    api_server: ApiServer, direct: Cluster, home: Real, tenant: str
) -> None:
    def pod(**spec: Any) -> Json:
        container = {"name": "nb", "image": "none", "env": [{"name": "A", "value": VALUE}]}
        metadata = {"name": "probe", "namespace": tenant}
        about = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
        return {**about, "spec": {"containers": [container], **spec}}

    hard = {"hard": {"requests.cpu": "1"}}
    quotas = f"/api/v1/namespaces/{tenant}/resourcequotas"
    api_server.create(quotas, {"metadata": {"name": "kf-resource-quota"}, "spec": hard})
    # What a controller does in a cluster that has one.
    status = {"status": {**hard, "used": {"requests.cpu": "0"}}}
    path = f"{quotas}/kf-resource-quota/status"
    assert api_server.call("PATCH", path, status, content=MERGE_PATCH).status == 200
    refused = refusal(lambda: direct.create(pod(), dry_run=True))
    assert (refused.by, refused.reason) == ("quota", "Forbidden")
    assert "quota kf-resource-quota" in str(refused)
    assert says_no_value(refused)

    other = home.tenant(direct)
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    api_server.call("PATCH", f"/api/v1/namespaces/{other}", label, content=MERGE_PATCH)
    restricted = pod()
    restricted["metadata"]["namespace"] = other
    refused = refusal(lambda: direct.create(restricted, dry_run=True))
    assert refused.by == "pod security"
    assert "restricted:latest" in str(refused)
    assert says_no_value(refused)


def test_a_namespace_that_is_going_takes_nothing_more(
    api_server: ApiServer, direct: Cluster, tenant: str
) -> None:
    held = {"metadata": {"name": "held", "namespace": tenant, "finalizers": ["example.com/held"]}}
    api_server.create(f"/api/v1/namespaces/{tenant}/configmaps", held)
    assert direct.delete(NAMESPACE, tenant)
    for write in (direct.apply, direct.create):
        refused = refusal(lambda write=write: write(secret(tenant, {"a": VALUE})))
        assert (refused.by, refused.reason) == ("namespace", "Forbidden")
        assert "is being deleted" in str(refused)
        assert says_no_value(refused)


def refusal(ask: Callable[[], object]) -> Rejected:
    """How it is refused, as soon as admission has noticed."""
    while True:
        try:
            ask()
        except Rejected as error:
            return error
        time.sleep(0.1)


def test_a_webhook_that_does_not_answer_is_named(
    direct: Cluster, tenant: str, make_webhook: Callable[..., Any]
) -> None:
    def broken(asked: Json) -> Json:
        raise RuntimeError

    make_webhook(broken)
    pod = {"name": "probe", "namespace": tenant}
    spec = {"containers": [{"name": "nb", "image": "none"}]}
    with pytest.raises(Rejected, match="cannot be called") as caught:
        direct.create({"apiVersion": "v1", "kind": "Pod", "metadata": pod, "spec": spec})
    assert caught.value.webhook == "poddefaults-webhook-deployment.kubeflow.org"


# ── faults on the way ────────────────────────────────────────────────────────

FAULTS: dict[str, Fault] = {
    "429 with Retry-After": Refuse(429, retry_after=0, reason="TooManyRequests"),
    "429": Refuse(429),
    "500": Refuse(500, reason="InternalError"),
    "503": Refuse(503, retry_after=0),
    "504": Refuse(504, reason="Timeout"),
    "500 though it was done": Refuse(500, carry_on=True),
    "504 though it was done": Refuse(504, carry_on=True),
    "reset before": Reset("before"),
    "reset after": Reset("after"),
    "reset within": Reset("within"),
}
each_fault = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())


@each_fault
def test_reads_are_repeated(
    proxy: Faults, cluster: Cluster, direct: Cluster, tenant: str, fault: Fault
) -> None:
    stored = direct.apply(secret(tenant, {"a": VALUE}))
    proxy.decide = first(2, fault)
    assert cluster.get(SECRET, "test", namespace=tenant) == stored
    assert list(cluster.list(SECRET, namespace=tenant)) == [stored]
    assert cluster.allowed("get", SECRET, namespace=tenant) is True
    events = cluster.watch(SECRET, namespace=tenant, timeout=60)
    assert [one.type for one in itertools.islice(events, 2)] == ["ADDED", "BOOKMARK"]


@each_fault
@pytest.mark.parametrize("dry_run", [False, True], ids=["for good", "dry run"])
def test_writes_are_repeated_till_they_are_done_once(
    proxy: Faults, cluster: Cluster, direct: Cluster, tenant: str, fault: Fault, dry_run: bool
) -> None:
    kept = direct.apply(secret(tenant, {"a": "1"}, name="kept"))
    gone = direct.apply(secret(tenant, {"a": "1"}, name="gone"))
    proxy.decide = first(2, fault)

    # A version makes a repetition see its own write as another's.
    new = cluster.apply(secret(tenant, {"a": VALUE}, name="new", version="1"), dry_run=dry_run)
    assert data(new) == {"a": VALUE}
    changed = secret(tenant, {"a": "2"}, name="kept", version=version(kept))
    assert data(cluster.apply(changed, dry_run=dry_run)) == {"a": "2"}
    assert data(cluster.create(secret(tenant, {"a": "3"}), dry_run=dry_run)) == {"a": "3"}
    uid = gone["metadata"]["uid"]
    assert cluster.delete(SECRET, "gone", namespace=tenant, uid=uid, dry_run=dry_run) is True

    there = {obj["metadata"]["name"]: data(obj) for obj in direct.list(SECRET, namespace=tenant)}
    if dry_run:
        assert there == {"kept": {"a": "1"}, "gone": {"a": "1"}}
    else:
        assert there == {"kept": {"a": "2"}, "new": {"a": VALUE}, "test": {"a": "3"}}
    assert proxy.count("PATCH", "/new") >= 2
    assert proxy.count("DELETE", "/gone") >= 2


@pytest.mark.parametrize("fault", [Reset("before"), Reset("after"), Refuse(504, carry_on=True)])
def test_what_somebody_else_wrote_meanwhile_stays_a_conflict(
    proxy: Faults, cluster: Cluster, direct: Cluster, home: Real, tenant: str, fault: Fault
) -> None:
    kept = direct.apply(secret(tenant, {"a": "1"}, name="kept"))

    def decide(seen: Seen) -> Fault:
        if seen.number == 1:
            return fault
        if seen.number == 2 and seen.method in ("PATCH", "POST"):
            for name in ("kept", "new", "test"):
                direct.delete(SECRET, name, namespace=tenant)
                home.kubectl(secret(tenant, {"a": "theirs"}, name=name))
        return None

    proxy.decide = decide
    for write in (
        lambda: cluster.apply(secret(tenant, {"a": VALUE}, name="new", version="1"), force=True),
        lambda: cluster.apply(
            secret(tenant, {"a": VALUE}, name="kept", version=version(kept)), force=True
        ),
        lambda: cluster.create(secret(tenant, {"a": VALUE})),
    ):
        with pytest.raises(Conflict) as caught:
            write()
        assert says_no_value(caught.value)
    there = [data(obj) for obj in direct.list(SECRET, namespace=tenant)]
    assert there == [{"a": "theirs"}] * 3


def test_the_same_text_of_somebody_else_is_not_taken_for_ours(
    proxy: Faults, cluster: Cluster, home: Real, tenant: str
) -> None:
    def decide(seen: Seen) -> Fault:
        if seen.number == 1:
            home.kubectl(secret(tenant, {"a": VALUE}))
            return Reset("before")
        return None

    proxy.decide = decide
    with pytest.raises(Conflict):
        cluster.apply(secret(tenant, {"a": VALUE}, version="1"))


def test_a_delete_without_condition_is_not_repeated_blindly(
    proxy: Faults, cluster: Cluster, direct: Cluster, tenant: str
) -> None:
    direct.apply(secret(tenant, {"a": "1"}))
    proxy.decide = first(1, Reset("before"), method="DELETE")
    with pytest.raises(Unreachable, match="it is not known whether it was done"):
        cluster.delete(SECRET, "test", namespace=tenant)
    assert proxy.count("DELETE") == 1
    proxy.decide = first(2, Reset("after"), method="DELETE")
    assert cluster.delete(SECRET, "test", namespace=tenant) is True
    assert proxy.count("DELETE") == 2
    proxy.decide = first(9, Refuse(429), method="DELETE", words="other")
    direct.apply(secret(tenant, {"a": "1"}, name="other"))
    assert cluster.delete(SECRET, "other", namespace=tenant) is True


def test_of_a_name_that_the_server_makes_no_second_is_created(
    proxy: Faults, cluster: Cluster, direct: Cluster, tenant: str
) -> None:
    obj = secret(tenant, {"a": VALUE})
    del obj["metadata"]["name"]
    obj["metadata"]["generateName"] = "made-"
    proxy.decide = first(1, Reset("after"))
    with pytest.raises(Unreachable, match="not known whether it was done") as caught:
        cluster.create(obj)
    assert says_no_value(caught.value)
    assert len(list(direct.list(SECRET, namespace=tenant))) == 1


def test_as_long_as_the_server_asks_for_is_waited(
    proxy: Faults, cluster: Cluster, direct: Cluster, tenant: str
) -> None:
    direct.apply(secret(tenant, {"a": "1"}))
    times: list[float] = []

    def decide(seen: Seen) -> Fault:
        times.append(time.monotonic())
        return Refuse(429, retry_after=1) if seen.number == 1 else None

    proxy.decide = decide
    cluster.apply(secret(tenant, {"a": "2"}))
    assert times[1] - times[0] >= 1


def test_a_server_that_stays_down_is_given_up(
    proxy: Faults, cluster: Cluster, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.decide = lambda _: Refuse(503)
    with pytest.raises(Unreachable, match="HTTP 503") as caught:
        cluster.apply(secret(tenant, {"a": VALUE}))
    assert says_no_value(caught.value)
    proxy.decide = lambda _: Reset("before")
    with pytest.raises(Unreachable, match="the connection fails"):
        cluster.get(SECRET, "x", namespace=tenant)
    monkeypatch.setattr(transport, "_PATIENCE", 3.0)
    proxy.decide = lambda _: Refuse(429)
    with pytest.raises(Unreachable, match="HTTP 429"):
        list(cluster.list(SECRET, namespace=tenant))
    assert proxy.count("GET", "/secrets?") > 2


def test_what_takes_too_long_is_asked_again(
    proxy: Faults, direct: Cluster, tenant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # time enough for the second attempt, which is answered
    monkeypatch.setattr(transport, "_READ", 4.0)
    given_up = threading.Event()

    def decide(seen: Seen) -> Fault:
        if seen.number == 1:
            given_up.wait()
        return None

    proxy.decide = decide
    with Kubernetes.connect(kubeconfig=str(proxy.kubeconfig(tmp_path / "slow"))) as cluster:
        stored = cluster.apply(secret(tenant, {"a": "1"}, version="1"))
        assert data(stored) == {"a": "1"}
        assert cluster._transport.pace.limit < 16
    assert proxy.count("PATCH") == 2
    # the first attempt arrives after all
    given_up.set()
    while proxy.running:
        time.sleep(0.01)
    assert version(direct.get(SECRET, "test", namespace=tenant)) == version(stored)


def test_fewer_requests_run_at_once_while_the_server_has_no_room(
    proxy: Faults, cluster: Kubernetes, direct: Cluster, tenant: str
) -> None:
    crowd = threading.Event()

    def decide(seen: Seen) -> Fault:
        if proxy.running > 4:
            crowd.set()
            return Refuse(429, retry_after=0)
        return Wait(0.05)

    proxy.decide = decide
    lowest = 16.0

    def write(number: int) -> None:
        nonlocal lowest
        cluster.apply(secret(tenant, {"a": str(number)}, name=f"s-{number:03}"))
        lowest = min(lowest, cluster._transport.pace.limit)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(write, range(120)))
    assert crowd.is_set()
    assert lowest <= 4
    assert len(list(direct.list(SECRET, namespace=tenant))) == 120
    # Most of what was sent was let in.
    assert proxy.count("PATCH") < 2 * 120
    proxy.decide = lambda _: None
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(write, range(120)))
    assert cluster._transport.pace.limit > lowest


def test_no_more_requests_run_at_once_than_workers(
    proxy: Faults, tenant: str, tmp_path: Path
) -> None:
    place = str(proxy.kubeconfig(tmp_path / "three"))
    together = threading.Event()

    def decide(seen: Seen) -> Fault:
        if proxy.running >= 3:
            together.set()
        together.wait(60)
        together.set()
        return Wait(0.02)

    proxy.decide = decide
    with Kubernetes.connect(kubeconfig=place, workers=3) as cluster, ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(cluster.get, NAMESPACE, tenant) for _ in range(60)]
        assert all(one.result() for one in asked)
    assert proxy.most == 3


# ── pages ────────────────────────────────────────────────────────────────────


def listed(cluster: Cluster, tenant: str, **options: Any) -> list[str]:
    found = cluster.list(SECRET, namespace=tenant, **options)
    return [obj["metadata"]["name"] for obj in found]


@pytest.mark.parametrize("goes_on", [True, False], ids=["with a token", "anew"])
def test_a_page_that_expired_gives_no_object_twice(
    proxy: Faults, cluster: Cluster, direct: Cluster, tenant: str, goes_on: bool
) -> None:
    names = [f"s-{number:02}" for number in range(10)]
    for name in names:
        direct.apply(secret(tenant, {"a": "1"}, name=name))
    refused = []

    def decide(seen: Seen) -> Fault:
        token = seen.path.partition("continue=")[2].partition("&")[0]
        if token and len(refused) < 2:
            refused.append(token)
            more = {"continue": token} if goes_on else {}
            return Refuse(410, reason="Expired", metadata=more)
        return None

    proxy.decide = decide
    assert listed(cluster, tenant, page=4) == names
    assert len(refused) == 2
    anew = sum("continue=" not in one.path for one in proxy.seen if "/secrets?" in one.path)
    assert anew == (1 if goes_on else 3)


def test_pages_of_large_secrets_are_small(
    cluster: Kubernetes, direct: Cluster, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"large-{number:02}" for number in range(14)]
    for name in names:
        direct.apply(secret(tenant, {"a": "x" * 900_000}, name=name))
    sizes = []
    ask = transport.Transport.ask

    def watched(self: Any, method: str, path: str, **options: Any) -> Any:
        answer = ask(self, method, path, **options)
        sizes.append(len(answer.body))
        return answer

    monkeypatch.setattr(transport.Transport, "ask", watched)
    assert listed(cluster, tenant) == names
    assert max(sizes) <= 8 << 20
    assert sum(sizes) >= 14 * 1_200_000
    sizes.clear()
    assert listed(cluster, tenant, metadata_only=True) == names
    assert len(sizes) == 1


def test_pages_of_small_secrets_are_large(
    proxy: Faults, cluster: Cluster, direct: Cluster, tenant: str
) -> None:
    with ThreadPoolExecutor(16) as pool:
        objects = [secret(tenant, {"a": "1"}, name=f"s-{number:03}") for number in range(320)]
        list(pool.map(direct.apply, objects))
    assert len(listed(cluster, tenant)) == 320
    assert proxy.count("GET", "/secrets?") <= 4


# ── watches ──────────────────────────────────────────────────────────────────


def told(events: Any, count: int) -> list[tuple[str, str]]:
    return [
        (one.type, one.object["metadata"].get("name", ""))
        for one in itertools.islice(events, count)
    ]


def is_watch(seen: Seen) -> bool:
    return "watch=1" in seen.path


@pytest.mark.parametrize(
    "fault", [Reset("before"), Reset("within"), Refuse(500), Refuse(429, retry_after=0)]
)
def test_a_watch_outlives_its_connections(
    proxy: Faults, cluster: Cluster, direct: Cluster, tenant: str, fault: Fault
) -> None:
    watches = itertools.count()
    # One of three gets through to its end.
    proxy.decide = lambda seen: fault if is_watch(seen) and next(watches) % 3 != 2 else None
    events = cluster.watch(SECRET, namespace=tenant, timeout=60)
    assert told(events, 1) == [("BOOKMARK", "")]
    names = [f"s-{number}" for number in range(6)]
    for name in names:
        direct.apply(secret(tenant, {"a": "1"}, name=name))
        assert told(events, 1) == [("ADDED", name)]


def test_a_watch_that_expired_lists_anew_and_tells_what_it_missed(
    proxy: Faults, cluster: Cluster, direct: Cluster, tenant: str
) -> None:
    for name in ("changes", "goes", "stays"):
        direct.apply(secret(tenant, {"a": "1"}, name=name))
    events = cluster.watch(SECRET, namespace=tenant, timeout=60)
    assert len(told(events, 4)) == 4
    expired = []

    def decide(seen: Seen) -> Fault:
        if not is_watch(seen):
            return None
        if not expired:
            expired.append(seen)
            direct.apply(secret(tenant, {"a": "2"}, name="changes"))
            direct.delete(SECRET, "goes", namespace=tenant)
            direct.apply(secret(tenant, {"a": "1"}, name="comes"))
            return Refuse(410, reason="Expired")
        return None

    proxy.decide = decide
    assert told(events, 4) == [
        ("MODIFIED", "changes"),
        ("ADDED", "comes"),
        ("DELETED", "goes"),
        ("BOOKMARK", ""),
    ]
    direct.delete(SECRET, "stays", namespace=tenant)
    assert told(events, 1) == [("DELETED", "stays")]


@pytest.mark.parametrize("code", [410, 500, 403])
def test_an_error_in_a_watch_is_as_one_before_it(
    proxy: Faults, cluster: Cluster, direct: Cluster, tenant: str, code: int
) -> None:
    # the server forgets versions that are much older
    before = version(direct.get(NAMESPACE, tenant))
    direct.apply(secret(tenant, {"a": "1"}))
    status = {"kind": "Status", "code": code, "message": f"too old: {VALUE}"}
    said = [Say(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")]
    proxy.decide = lambda seen: said.pop() if is_watch(seen) and said else None
    events = cluster.watch(SECRET, namespace=tenant, resource_version=before, timeout=60)
    if code == 403:
        with pytest.raises(Forbidden) as caught:
            next(events)
        assert says_no_value(caught.value)
        return
    # From that version on, or in a list that is made anew.
    assert told(events, 1) == [("ADDED", "test")]
    assert any("limit=" in one.path for one in proxy.seen) == (code == 410)


# ── credentials ──────────────────────────────────────────────────────────────


@pytest.fixture
def token(api_server: ApiServer, tenant: str) -> Callable[[], str]:
    """Give new tokens of a service account that may do everything in the tenant."""
    path = f"/api/v1/namespaces/{tenant}/serviceaccounts"
    api_server.create(path, {"metadata": {"name": "admin"}})
    binding = {
        "metadata": {"name": "admin"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "kubeflow-edit",
        },
        "subjects": [{"kind": "ServiceAccount", "name": "admin", "namespace": tenant}],
    }
    api_server.create(
        f"/apis/rbac.authorization.k8s.io/v1/namespaces/{tenant}/rolebindings", binding
    )
    user = f"system:serviceaccount:{tenant}:admin"
    secrets = f"/api/v1/namespaces/{tenant}/secrets"
    # the API server learns of a binding a little later
    while api_server.call("GET", secrets, user=user).status == 403:
        time.sleep(0.02)
    return lambda: str(api_server.create(f"{path}/admin/token", {"spec": {}})["status"]["token"])


def plugin(directory: Path, script: str) -> Path:
    """A credential plugin."""
    place = directory / "plugin"
    place.write_text(f"#!{sys.executable}\n{textwrap.dedent(script)}", encoding="utf-8")
    place.chmod(place.stat().st_mode | stat.S_IXUSR)
    return place


API = "client.authentication.k8s.io/v1"


def entry(command: str, **more: Any) -> Json:
    return {
        "exec": {
            "apiVersion": API,
            "command": command,
            "interactiveMode": "Never",
            **more,
        }
    }


TALKS = """
    import json, os, pathlib, sys
    here = pathlib.Path(__file__).parent
    with open(here / "runs", "a") as runs:
        runs.write("x")
    asked = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
    assert asked["kind"] == "ExecCredential" and os.environ["FLAVOUR"] == "plain"
    status = {"token": (here / sys.argv[1]).read_text()}
    if (here / "expires").exists():
        status["expirationTimestamp"] = (here / "expires").read_text()
    print(json.dumps({**asked, "status": status}))
"""


def test_a_credential_plugin_is_run_again_when_its_token_is_refused(
    api_server: ApiServer, tenant: str, tmp_path: Path, token: Callable[[], str], capfd: Any
) -> None:
    made = plugin(tmp_path, TALKS)
    (tmp_path / "token").write_text(token())
    environment = [{"name": "FLAVOUR", "value": "plain"}]
    # A path beside the kubeconfig, as kubectl reads it.
    user = entry(str(made), args=["token"], env=environment)
    place = config(api_server, tmp_path / "c", user=user)
    runs = tmp_path / "runs"
    with connect(kubeconfig=place) as cluster:
        cluster.apply(secret(tenant, {"a": "1"}))
        cluster.apply(secret(tenant, {"a": "2"}))
        assert runs.read_text() == "x"

        cluster._transport._session.headers["authorization"] = "Bearer expired"  # type: ignore[attr-defined]
        with ThreadPoolExecutor(8) as pool:
            objects = [secret(tenant, {"a": "1"}, name=f"s-{number}") for number in range(16)]
            list(pool.map(cluster.apply, objects))
        assert runs.read_text() == "xx"

        (tmp_path / "token").write_text(VALUE)
        cluster._transport._session.headers["authorization"] = "Bearer expired"  # type: ignore[attr-defined]
        with pytest.raises(Forbidden, match="does not know who asks") as caught:
            cluster.apply(secret(tenant, {"a": "3"}))
        assert says_no_value(caught.value)
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


def test_a_credential_plugins_token_is_replaced_before_it_expires(
    api_server: ApiServer,
    tenant: str,
    tmp_path: Path,
    token: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = time.monotonic()
    clock = SimpleNamespace(monotonic=lambda: now, sleep=time.sleep)
    for module in (session, transport):
        monkeypatch.setattr(module, "time", clock)
    made = plugin(tmp_path, TALKS)
    (tmp_path / "token").write_text(token())
    (tmp_path / "expires").write_text("2020-01-01T00:00:00Z")
    environment = [{"name": "FLAVOUR", "value": "plain"}]
    user = entry(str(made), args=["token"], env=environment)
    runs = tmp_path / "runs"
    with connect(kubeconfig=config(api_server, tmp_path / "c", user=user)) as cluster:
        cluster.apply(secret(tenant, {"a": "1"}))
        now += 0.9
        cluster.apply(secret(tenant, {"a": "2"}))
        # no plugin is run more often than once a second
        assert runs.read_text() == "x"
        now += 0.2
        (tmp_path / "expires").write_text("2999-01-01T00:00:00Z")
        cluster.apply(secret(tenant, {"a": "3"}))
        now += 100
        cluster.apply(secret(tenant, {"a": "4"}))
    assert runs.read_text() == "xx"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (f"import sys; sys.exit('{VALUE}')", "gives no credentials"),
        (f"print('{VALUE}')", "gives no credentials"),
        (
            f"""print('{{"kind":"ExecCredential","status":{{}},"apiVersion":"{API}"}}')""",
            "gives no credentials",
        ),
        (f"print('[\"{VALUE}\"]')", "gives no credentials"),
        (None, "is not installed"),
    ],
    ids=["fails", "talks nonsense", "gives nothing", "gives a list", "is missing"],
)
def test_a_credential_plugin_that_fails_is_named_and_not_quoted(
    api_server: ApiServer, tmp_path: Path, capfd: Any, caplog: Any, script: str | None, words: str
) -> None:
    command = "kubelogin-x" if script is None else str(plugin(tmp_path, script))
    place = config(api_server, tmp_path / "c", user=entry(command))
    with caplog.at_level(logging.DEBUG), pytest.raises(ClusterError, match=words) as caught:
        connect(kubeconfig=place)
    assert Path(command).name in str(caught.value)
    assert says_no_value(caught.value)
    said = capfd.readouterr()
    assert VALUE not in said.out + said.err + caplog.text
    assert (said.out, said.err) == ("", "")


def test_a_token_in_a_file_is_read_again_when_it_is_refused(
    api_server: ApiServer, tenant: str, tmp_path: Path, token: Callable[[], str]
) -> None:
    held = tmp_path / "token"
    held.write_text("not-yet\n")
    # The file comes before a token, as in kubectl.
    user = {"tokenFile": "token", "token": "another"}
    with connect(kubeconfig=config(api_server, tmp_path / "c", user=user)) as cluster:
        with pytest.raises(Forbidden):
            cluster.apply(secret(tenant, {"a": "1"}))
        held.write_text(token() + "\n")
        assert data(cluster.apply(secret(tenant, {"a": "1"}))) == {"a": "1"}
        held.write_text("rotated\n")
        # What is held still does.
        assert data(cluster.apply(secret(tenant, {"a": "2"}))) == {"a": "2"}


def test_a_pods_token_is_read_again(
    api_server: ApiServer,
    tenant: str,
    tmp_path: Path,
    token: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account = tmp_path / "account"
    account.mkdir()
    (account / "namespace").write_text(tenant)
    (account / "ca.crt").write_bytes(api_server.authority.read_bytes())
    (account / "token").write_text("expired")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KFSECRETS_SERVICEACCOUNT", str(account))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", api_server.host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(api_server.port))
    with connect() as cluster:
        assert (cluster.namespace, cluster.context) == (tenant, None)
        assert cluster.who == "this pod's service account"
        with pytest.raises(Forbidden):
            list(cluster.list(SECRET, namespace=tenant))
        (account / "token").write_text(token())
        assert list(cluster.list(SECRET, namespace=tenant)) == []
        # Before it is refused, too.
        (account / "token").write_text("newer")
        old = cluster._transport._session
        cluster._transport._session = transport.replace(old, until=0.0)
        with pytest.raises(Forbidden):
            list(cluster.list(SECRET, namespace=tenant))


def test_a_token_that_no_header_can_carry_is_not_quoted(
    api_server: ApiServer, tmp_path: Path
) -> None:
    user = {"token": f"{VALUE}\n{VALUE}"}
    with pytest.raises(ClusterError, match="no header can carry") as caught:
        connect(kubeconfig=config(api_server, tmp_path / "c", user=user))
    assert says_no_value(caught.value)


def test_a_password_is_sent_as_basic_authentication(
    api_server: ApiServer, proxy: Faults, tmp_path: Path
) -> None:
    place = proxy.kubeconfig(tmp_path / "basic", username="alice", password=VALUE)
    with connect(kubeconfig=place) as cluster, pytest.raises(Forbidden):
        cluster.get(NAMESPACE, "default")
    login = base64.b64encode(f"alice:{VALUE}".encode()).decode()
    said = {name.lower(): value for name, value in proxy.seen[0].headers.items()}
    assert said["authorization"] == f"Basic {login}"


# ── kubeconfigs ──────────────────────────────────────────────────────────────


def test_a_kubeconfig_of_several_files(
    api_server: ApiServer, tenant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = json.loads(api_server.kubeconfig.read_text(encoding="utf-8"))
    for name in ("clusters", "users", "contexts"):
        (tmp_path / name).mkdir()
    # A path in a file is relative to it.
    (tmp_path / "clusters" / "ca.pem").write_bytes(api_server.authority.read_bytes())
    held["clusters"][0]["cluster"]["certificate-authority"] = "ca.pem"
    held["contexts"].append(
        {"name": "mine", "context": {**held["contexts"][0]["context"], "namespace": tenant}}
    )
    parts: dict[str, Json] = {
        "contexts": {"contexts": held["contexts"], "current-context": "mine"},
        "clusters": {"clusters": held["clusters"]},
        "users": {"users": held["users"], "current-context": "rig"},
    }
    files = []
    for name, part in parts.items():
        (tmp_path / name / "config").write_text(yaml.safe_dump({"kind": "Config", **part}))
        files.append(str(tmp_path / name / "config"))
    (tmp_path / "empty").touch()
    monkeypatch.setenv("KUBECONFIG", ":".join([str(tmp_path / "absent"), "", *files]))
    with connect() as cluster:
        # kubectl: the first file that names one
        assert (cluster.context, cluster.namespace) == ("mine", tenant)
        assert cluster.get(NAMESPACE, tenant) is not None
    monkeypatch.setenv("KUBECONFIG", ":".join([str(tmp_path / "empty"), *reversed(files)]))
    with connect() as cluster:
        assert (cluster.context, cluster.namespace) == ("rig", None)
        assert cluster.get(NAMESPACE, tenant) is not None
    with connect(context="mine") as cluster:
        assert cluster.namespace == tenant
    with pytest.raises(ClusterError, match="has no context 'other'; it has mine, rig"):
        connect(context="other")


def test_whom_the_user_of_a_kubeconfig_acts_as_is_who_asks(
    api_server: ApiServer, tmp_path: Path
) -> None:
    (user,) = json.loads(api_server.kubeconfig.read_text(encoding="utf-8"))["users"]
    mine, other = (f"acting-{uuid.uuid4().hex[:6]}" for _ in range(2))
    for name in (mine, other):
        api_server.create_tenant(name)
    editor = "system:serviceaccount:{}:default-editor"
    acting = {**user["user"], "as": editor.format(mine)}
    path = config(api_server, tmp_path / "acting", user=acting)
    with connect(kubeconfig=path) as cluster:
        assert cluster.allowed("get", SECRET, namespace=mine) is True
        assert cluster.allowed("get", SECRET, namespace=other) is False
    with connect(kubeconfig=path, impersonate=editor.format(other)) as cluster:
        assert cluster.allowed("get", SECRET, namespace=mine) is False
        assert cluster.allowed("get", SECRET, namespace=other) is True
    grouped = {**acting, "as-groups": ["system:masters"]}
    path = config(api_server, tmp_path / "grouped", user=grouped)
    with pytest.raises(ClusterError, match="as-groups, which is not supported: give --as"):
        connect(kubeconfig=path)
    with connect(kubeconfig=path, impersonate=editor.format(mine)) as cluster:
        assert cluster.allowed("get", SECRET, namespace=other) is False


def test_certificates_in_the_kubeconfig_itself(api_server: ApiServer, tmp_path: Path) -> None:
    authority = base64.b64encode(api_server.authority.read_bytes()).decode()
    cluster = {"server": f"{api_server.url}/", "certificate-authority-data": authority}
    with connect(kubeconfig=config(api_server, tmp_path / "c", cluster=cluster)) as connected:
        assert connected.server == api_server.url
        assert connected.get(NAMESPACE, "default") is not None


def test_the_name_in_the_certificate_is_checked(api_server: ApiServer, tmp_path: Path) -> None:
    cluster = {"server": api_server.url, "certificate-authority": str(api_server.authority)}
    for name, trusted in (("localhost", True), ("other.example.com", False)):
        named = {**cluster, "tls-server-name": name}
        place = config(api_server, tmp_path / "c", cluster=named)
        with connect(kubeconfig=place) as connected:
            if trusted:
                assert connected.get(NAMESPACE, "default") is not None
                continue
            with pytest.raises(Unreachable, match="certificate is not trusted"):
                connected.get(NAMESPACE, "default")


# ── proxies ──────────────────────────────────────────────────────────────────


@pytest.fixture
def tunnel() -> Iterator[ConnectProxy]:
    with ConnectProxy() as tunnel:
        yield tunnel


def test_a_proxy_in_the_environment_is_used(
    api_server: ApiServer, tunnel: ConnectProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = f"{api_server.host}:{api_server.port}"
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{tunnel.port}")
        with connect(kubeconfig=api_server.kubeconfig) as cluster:
            assert cluster.get(NAMESPACE, "default") is not None
            assert told(cluster.watch(NAMESPACE, fields="metadata.name=default", timeout=5), 2)
        assert set(tunnel.targets) == {here}
        monkeypatch.delenv(name)
        tunnel.targets.clear()


@pytest.mark.parametrize("exception", ["127.0.0.1", "127.0.0.0/8", "*", "example.com, 127.0.0.1"])
def test_no_proxy_is_used_for_its_exceptions(
    api_server: ApiServer, tunnel: ConnectProxy, monkeypatch: pytest.MonkeyPatch, exception: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{tunnel.port}")
    monkeypatch.setenv("NO_PROXY", exception)
    with connect(kubeconfig=api_server.kubeconfig) as cluster:
        assert cluster.get(NAMESPACE, "default") is not None
    assert tunnel.targets == []


def test_the_kubeconfigs_own_proxy_comes_first(
    api_server: ApiServer, tunnel: ConnectProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    cluster = {
        "server": api_server.url,
        "certificate-authority": str(api_server.authority),
        "proxy-url": f"http://127.0.0.1:{tunnel.port}",
    }
    with connect(kubeconfig=config(api_server, tmp_path / "c", cluster=cluster)) as connected:
        assert connected.get(NAMESPACE, "default") is not None
    assert tunnel.targets


def test_a_proxy_that_wants_a_login_gets_it_and_nobody_else(
    api_server: ApiServer, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    with ConnectProxy(login=f"alice:{VALUE} x") as tunnel:
        place = f"127.0.0.1:{tunnel.port}"
        monkeypatch.setenv("HTTPS_PROXY", f"http://alice:{VALUE}%20x@{place}")
        with connect(kubeconfig=api_server.kubeconfig) as cluster:
            assert cluster.get(NAMESPACE, "default") is not None
        assert tunnel.targets
        assert VALUE not in repr(vars(cluster)) + caplog.text
        for login in ("", f"alice:{VALUE}-other@"):
            monkeypatch.setenv("HTTPS_PROXY", f"http://{login}{place}")
            with (
                connect(kubeconfig=api_server.kubeconfig) as cluster,
                pytest.raises(Unreachable, match="proxy does not let it through") as caught,
            ):
                cluster.get(NAMESPACE, "default")
            assert says_no_value(caught.value)


# ── silence ──────────────────────────────────────────────────────────────────


def test_nothing_of_a_value_or_a_token_is_printed_logged_or_raised(
    proxy: Faults, direct: Cluster, tenant: str, tmp_path: Path, capfd: Any, caplog: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    spoken = io.StringIO()
    handler = logging.StreamHandler(spoken)
    loggers = [logging.getLogger(name) for name in ("urllib3", "kubernetes", "http.client", None)]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    proxy.decide = first(1, Reset("after"))
    errors: list[ClusterError] = []
    try:
        with connect(kubeconfig=proxy.kubeconfig(tmp_path / "c")) as cluster:
            cluster.apply(secret(tenant, {"a": VALUE}, version="1"))
            cluster.create(secret(tenant, {"a": VALUE}, name="created"))
            list(cluster.list(SECRET, namespace=tenant))
            list(cluster.watch(SECRET, namespace=tenant, timeout=0.5))
            broken = secret(tenant, {}) | {"data": {"a": VALUE}}
            invalid = secret(tenant, {"a": VALUE})
            invalid["metadata"]["labels"] = {"a": f"{VALUE} is no label"}
            elsewhere = secret("nobody-at-all", {"a": VALUE})
            late = secret(tenant, {"a": VALUE}, version="7")
            for obj in (broken, invalid, elsewhere, late):
                with pytest.raises(ClusterError) as caught:
                    cluster.apply(obj)
                errors.append(caught.value)
            shown = f"{cluster!r}{vars(cluster)!r}{cluster._transport._session!r}"
        logging.getLogger("urllib3").warning("heard")
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
    assert all(map(says_no_value, errors))
    said = capfd.readouterr()
    everything = said.out + said.err + caplog.text + spoken.getvalue() + shown
    for word in (VALUE, coded(VALUE), coded(VALUE)[:16], proxy.server.token):
        assert word not in everything
    assert "heard" in spoken.getvalue()
    assert http.client.HTTPConnection.debuglevel == 0


def test_the_kubernetes_client_is_imported_on_first_use_alone(tmp_path: Path) -> None:
    script = """
        import sys
        import kfsecrets_ext.cluster as cluster
        from kfsecrets_ext.cluster.poddefaults import read_tenant
        assert not {"kubernetes", "urllib3", "yaml", "ssl"} & set(sys.modules) - {"ssl"}
        with cluster.connect() as connected:
            assert list(connected.list(cluster.NAMESPACE)) == []
        assert not {"kubernetes", "urllib3"} & set(sys.modules)
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={"KFSECRETS_CLUSTER": str(tmp_path)},
        cwd=Path(__file__).parents[2],
        check=True,
    )
