"""Each way in which PodDefaults fail on a real API server is found, with what mends it."""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from admin import notebooks
from rig import binaries
from rig.apiserver import MERGE_PATCH, Answer, ApiServer, Webhook
from rig.homes import administrator

from kfsecrets_ext.admin.clusterrole import ROLE_NAME
from kfsecrets_ext.admin.diagnosis import CONFIGURATIONS, Check, Diagnosis, diagnose
from kfsecrets_ext.cluster import CRD, Cluster, Kind, connect

pytestmark = [pytest.mark.slow, pytest.mark.platform]

Json = dict[str, Any]
CONFIGS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
VALUE = "hunter2-of-the-test"
_number = itertools.count()


@pytest.fixture
def tenant(api_server: ApiServer, tenant_labels: dict[str, str]) -> str:
    name = f"diagnosed-{tenant_labels['kfsecrets.test/worker']}-{next(_number)}"
    api_server.create_tenant(name, labels=tenant_labels)
    return name


@pytest.fixture
def hook(make_webhook: Callable[[Answer], Webhook]) -> Webhook:
    return make_webhook(lambda _: {"allowed": True})


@pytest.fixture
def configuration(hook: Webhook, tenant_labels: dict[str, str]) -> str:
    return f"poddefaults-webhook-{tenant_labels['kfsecrets.test/worker']}"


@pytest.fixture
def cluster(api_server: ApiServer) -> Iterator[Cluster]:
    """Give an administrator's connection, who has the ClusterRole that ships and no other right."""
    with administrator(api_server) as cluster:
        yield cluster


@pytest.fixture
def silent() -> Iterator[int]:
    """Give a port that nobody listens at, and nobody else gets meanwhile."""
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def extra(api_server: ApiServer, tenant: str) -> Iterator[Callable[..., str]]:
    """Give a function that adds a configuration which sees this tenant alone."""
    made: list[str] = []
    path = f"/api/v1/namespaces/{tenant}"
    only = {"kfsecrets.test/diagnosed": tenant}
    body = {"metadata": {"labels": only}}
    assert api_server.call("PATCH", path, body, content=MERGE_PATCH).status == 200

    def add(like: str, name: str, client: Json | None = None) -> str:
        config = api_server.call("GET", f"{CONFIGS}/{like}").body
        (hook,) = config["webhooks"]
        hook["namespaceSelector"] = {"matchLabels": only}
        if client is not None:
            hook["clientConfig"] = {**client, "caBundle": hook["clientConfig"]["caBundle"]}
        api_server.create(CONFIGS, {"metadata": {"name": name}, "webhooks": [hook]})
        made.append(name)
        return name

    yield add
    for name in made:
        api_server.call("DELETE", f"{CONFIGS}/{name}")


def change(server: ApiServer, name: str, /, **fields: Any) -> None:
    """Change a configuration's webhook."""
    config = server.call("GET", f"{CONFIGS}/{name}").body
    config["webhooks"][0].update(fields)
    answer = server.call("PUT", f"{CONFIGS}/{name}", config)
    assert answer.status == 200, answer.body


def about(found: Diagnosis, subject: str, on: str | None = None) -> list[Check]:
    return [one for one in found if one.subject == subject and on in (None, one.on)]


def one(found: Diagnosis, subject: str, on: str | None = None) -> Check:
    (check,) = about(found, subject, on)
    return check


def test_a_platform_that_works_has_no_fault(
    tenant: str, configuration: str, cluster: Cluster
) -> None:
    found = diagnose(cluster, tenant)
    # webhooks of tests beside this one are left out
    failed = [c for c in found.failed if c.subject not in ("webhook", "service")]
    assert failed == [], [check.what for check in failed]
    assert one(found, "webhook", configuration).state == "ok"
    for subject in ("crd", "namespace", "admission", "poddefaults"):
        assert one(found, subject).state == "ok"
    assert {check.on for check in about(found, "permissions")} >= {"plan", "apply", "verify"}
    json.dumps(found.to_json())


FAULTS: list[tuple[Json, str, str]] = [
    ({"admissionReviewVersions": ["v1"]}, "v1beta1", "kubectl patch"),
    ({"admissionReviewVersions": ["v1", "v1beta1"]}, "v1beta1", "kubectl patch"),
    ({"failurePolicy": "Ignore"}, "failurePolicy", "kubectl patch"),
    ({"rules": []}, "no rule", "install"),
    (
        {
            "rules": [
                {
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["UPDATE"],
                    "resources": ["pods"],
                }
            ]
        },
        "no rule",
        "install",
    ),
    (
        {"clientConfig": {"service": {"namespace": "kubeflow", "name": "w"}}},
        "caBundle",
        "cert-manager",
    ),
]


@pytest.mark.parametrize(("fields", "what", "fix"), FAULTS)
def test_a_fault_of_the_webhooks_configuration_is_named(
    api_server: ApiServer,
    tenant: str,
    configuration: str,
    cluster: Cluster,
    fields: Json,
    what: str,
    fix: str,
) -> None:
    change(api_server, configuration, **fields)
    check = one(diagnose(cluster, tenant), "webhook", configuration)
    assert check.state == "failed"
    assert what in check.what
    assert fix in (check.fix or "")


def test_a_webhook_at_an_address_may_have_a_certificate_that_everyone_trusts(
    api_server: ApiServer, tenant: str, configuration: str, cluster: Cluster
) -> None:
    client = {"url": "https://poddefaults.example.com/apply-poddefault"}
    change(api_server, configuration, clientConfig=client)
    assert one(diagnose(cluster, tenant), "webhook", configuration).state == "ok"


def test_the_command_that_is_given_mends_the_order_of_versions(
    api_server: ApiServer, tenant: str, configuration: str, cluster: Cluster
) -> None:
    change(api_server, configuration, admissionReviewVersions=["v1"])
    fix = one(diagnose(cluster, tenant), "webhook", configuration).fix or ""
    patch = json.loads(fix.partition("-p='")[2].rstrip("'"))
    path = f"{CONFIGS}/{configuration}"
    content = "application/json-patch+json"
    assert api_server.call("PATCH", path, patch, content=content).status == 200
    assert one(diagnose(cluster, tenant), "webhook", configuration).state == "ok"


def test_a_server_that_does_not_answer_or_know_who_asks_ends_the_walk(
    api_server: ApiServer, tmp_path: Path, silent: int
) -> None:
    given = json.loads(api_server.kubeconfig.read_text())
    given["users"][0]["user"]["token"] = VALUE
    place = tmp_path / "config"
    for server, word in ((api_server.url, "does not know"), (f"https://127.0.0.1:{silent}", "")):
        given["clusters"][0]["cluster"]["server"] = server
        place.write_text(json.dumps(given))
        with connect(kubeconfig=place) as cluster:
            (check,) = diagnose(cluster)
        assert (check.subject, check.state) == ("server", "failed")
        assert word in check.what
        assert check.fix
        assert VALUE not in repr(check)


def test_a_webhook_that_is_not_there_is_missed(
    api_server: ApiServer, tenant: str, cluster: Cluster
) -> None:
    found = diagnose(cluster, tenant)
    # another worker's webhook may be there, which does not see this tenant
    missing = [check for check in found.failed if check.subject in ("webhook", "namespace")]
    assert missing
    what = " ".join(check.what for check in missing)
    assert all(name in what for name in CONFIGURATIONS) or "namespaceSelector" in what


def test_both_generations_of_the_webhook_are_one_too_many(
    api_server: ApiServer, tenant: str, configuration: str, cluster: Cluster, extra: Any
) -> None:
    other = extra(configuration, f"{CONFIGURATIONS[0]}-{tenant}")
    check = one(diagnose(cluster, tenant), "namespace")
    assert check.state == "failed"
    assert configuration in check.what
    assert other in check.what
    assert "kubectl delete mutatingwebhookconfiguration" in (check.fix or "")


def test_two_webhooks_of_one_configuration_do_not_cost_the_configuration(
    api_server: ApiServer, tenant: str, configuration: str, cluster: Cluster
) -> None:
    config = api_server.call("GET", f"{CONFIGS}/{configuration}").body
    (hook,) = config["webhooks"]
    names = [hook["name"], "admission-webhook.kubeflow.org"]
    config["webhooks"] = [{**hook, "name": name} for name in names]
    assert api_server.call("PUT", f"{CONFIGS}/{configuration}", config).status == 200
    check = one(diagnose(cluster, tenant), "namespace")
    assert check.state == "failed"
    assert all(name in check.what for name in names)
    assert "delete" not in (check.fix or "")
    assert (check.fix or "").startswith(
        f"kubectl edit mutatingwebhookconfiguration {configuration}"
    )


def test_a_selector_that_leaves_the_tenant_out_is_named(
    api_server: ApiServer, tenant: str, configuration: str, cluster: Cluster
) -> None:
    change(api_server, configuration, namespaceSelector={"matchLabels": {"no": "such"}})
    check = one(diagnose(cluster, tenant), "namespace")
    assert check.state == "failed"
    assert "namespaceSelector" in check.what


def test_the_way_to_the_webhooks_pod_is_walked(
    api_server: ApiServer, tenant: str, configuration: str, cluster: Cluster, extra: Any
) -> None:
    service = {"namespace": tenant, "name": "webhook", "path": "/apply-poddefault"}
    name = extra(configuration, f"by-service-{tenant}", {"service": service})
    check = one(diagnose(cluster, tenant), "service", name)
    assert (check.state, "is not there" in check.what) == ("failed", True)
    path = f"/api/v1/namespaces/{tenant}/services"
    api_server.create(path, {"metadata": {"name": "webhook"}, "spec": {"ports": [{"port": 443}]}})
    check = one(diagnose(cluster, tenant), "service", name)
    assert (check.state, "no pod stands behind" in check.what) == ("failed", True)
    assert check.fix == f"kubectl -n {tenant} get pods"
    label = {"kubernetes.io/service-name": "webhook"}
    slices = {
        "metadata": {"name": "webhook", "labels": label},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.2.3"], "conditions": {"ready": False}}],
        "ports": [],
    }
    path = f"/apis/discovery.k8s.io/v1/namespaces/{tenant}/endpointslices"
    api_server.create(path, slices)
    assert one(diagnose(cluster, tenant), "service", name).state == "failed"
    ready = [{"addresses": ["10.1.2.3"], "conditions": {"ready": True}}]
    body = {"endpoints": ready}
    assert api_server.call("PATCH", f"{path}/webhook", body, content=MERGE_PATCH).status == 200
    assert one(diagnose(cluster, tenant), "service", name).state == "ok"


def test_a_webhook_that_does_not_answer_is_found_by_asking(
    api_server: ApiServer, tenant: str, configuration: str, cluster: Cluster, silent: int
) -> None:
    config = api_server.call("GET", f"{CONFIGS}/{configuration}").body
    client = config["webhooks"][0]["clientConfig"]
    url = f"https://127.0.0.1:{silent}/apply-poddefault"
    change(api_server, configuration, clientConfig={**client, "url": url})
    pods = f"/api/v1/namespaces/{tenant}/pods?dryRun=All"
    pod = {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "x", "image": "x"}]}}
    while api_server.call("POST", pods, pod).status != 500:
        pass
    check = one(diagnose(cluster, tenant), "admission")
    assert check.state == "failed"
    assert "poddefaults-webhook-deployment.kubeflow.org" in check.what


def test_a_webhook_that_refuses_is_known_by_its_configuration(
    api_server: ApiServer, tenant: str, configuration: str, cluster: Cluster, hook: Webhook
) -> None:
    change(api_server, configuration, name="poddefaults.example.com")
    hook.answer = lambda _: {"allowed": False, "status": {"message": VALUE}}
    pods = f"/api/v1/namespaces/{tenant}/pods?dryRun=All"
    pod = {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "x", "image": "x"}]}}
    while "poddefaults.example.com" not in str(api_server.call("POST", pods, pod).body):
        time.sleep(0.02)
    found = diagnose(cluster, tenant)
    check = one(found, "admission")
    assert check.state == "failed"
    assert "no pod is admitted" in check.what
    assert VALUE not in json.dumps(found.to_json())


def test_a_namespace_without_the_label_is_named_with_the_command(
    api_server: ApiServer, tenant: str, configuration: str, cluster: Cluster
) -> None:
    path = f"/api/v1/namespaces/{tenant}"
    body = {"metadata": {"labels": {"app.kubernetes.io/part-of": None}}}
    api_server.call("PATCH", path, body, content=MERGE_PATCH)
    check = one(diagnose(cluster, tenant), "namespace")
    wanted = f"kubectl label namespace {tenant} app.kubernetes.io/part-of=kubeflow-profile"
    assert (check.state, check.fix) == ("failed", wanted)
    check = one(diagnose(cluster, "not-yet"), "namespace")
    assert check.state == "failed"
    assert "--wait" in (check.fix or "")


def test_a_poddefault_that_stops_every_pod_is_named_with_the_fix(
    api_server: ApiServer, tenant: str, configuration: str, cluster: Cluster
) -> None:
    path = f"/apis/kubeflow.org/v1alpha1/namespaces/{tenant}/poddefaults"
    kinds = {"apiVersion": "kubeflow.org/v1alpha1", "kind": "PodDefault"}
    wrong = {"matchExpressions": [{"key": "a", "operator": "Is"}]}
    env = [{"name": "TOKEN", "value": VALUE}]
    spec = {"selector": wrong, "env": env}
    api_server.create(path, {**kinds, "metadata": {"name": "bad"}, "spec": spec})
    found = diagnose(cluster, tenant)
    check = one(found, "poddefaults")
    assert (check.state, check.on) == ("failed", "bad")
    assert "selector-unreadable" in check.what
    assert check.fix
    assert VALUE not in repr(found) + json.dumps(found.to_json())


class OtherCrd:
    """The cluster with another CRD, which all tests of a run share."""

    def __init__(self, cluster: Cluster, crd: Json | None) -> None:
        self._cluster, self._crd = cluster, crd

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    def get(self, kind: Kind, name: str, **options: Any) -> Json | None:
        return self._crd if kind == CRD else self._cluster.get(kind, name, **options)


@pytest.mark.parametrize("fault", ["a field", "the version", "all"])
def test_a_crd_that_is_not_as_it_should_be_is_found(
    tenant: str, configuration: str, cluster: Cluster, fault: str
) -> None:
    crd = cluster.get(CRD, "poddefaults.kubeflow.org")
    assert crd is not None
    assert one(diagnose(OtherCrd(cluster, crd), tenant), "crd").state == "ok"
    (version,) = crd["spec"]["versions"]
    if fault == "a field":
        schema = version["schema"]["openAPIV3Schema"]
        del schema["properties"]["spec"]["properties"]["envFrom"]
    if fault == "the version":
        version["served"] = False
    check = one(diagnose(OtherCrd(cluster, None if fault == "all" else crd), tenant), "crd")
    assert check.state == "failed"
    what = {"a field": "envFrom", "the version": "v1alpha1", "all": "not installed"}
    assert what[fault] in check.what


def test_a_tenant_gets_what_may_be_known_and_the_rest_as_unknown(
    api_server: ApiServer, tenant: str, configuration: str
) -> None:
    user = f"system:serviceaccount:{tenant}:default-editor"
    with connect(kubeconfig=api_server.kubeconfig, impersonate=user) as cluster:
        found = diagnose(cluster, tenant)
    assert one(found, "webhook").state == "unknown"
    assert one(found, "crd").state == "ok"
    assert one(found, "admission").state == "ok"
    rights = {check.on: check for check in about(found, "permissions")}
    # without patch, PodDefaults are created and deleted
    assert rights["apply"].state == "ok"
    assert rights["verify"].state == "ok"
    assert rights["tenants"].state == "failed"
    assert "list namespaces" in rights["tenants"].what
    assert "patch poddefaults" not in rights["apply"].what


def test_a_viewer_is_told_what_each_verb_lacks(
    api_server: ApiServer, tenant: str, configuration: str
) -> None:
    user = f"system:serviceaccount:{tenant}:default-viewer"
    with connect(kubeconfig=api_server.kubeconfig, impersonate=user) as cluster:
        rights = {check.on: check for check in about(diagnose(cluster, tenant), "permissions")}
    assert rights["apply"].state == "failed"
    assert "create secrets" in rights["apply"].what
    assert "patch poddefaults.kubeflow.org" in rights["apply"].what


def test_one_command_gives_all_rights_that_are_missing_and_takes_none_away(
    api_server: ApiServer, tenant: str, configuration: str
) -> None:
    """It is run as it is given, but for the name of the role, which other tests go by."""
    role, user, other = (f"{part}-{tenant}" for part in ("role", "user", "other"))
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    kept = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}
    api_server.create(f"{rbac}/clusterroles", {"metadata": {"name": role}, "rules": [kept]})
    subject = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": other}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
    binding = {"metadata": {"name": role}, "subjects": [subject], "roleRef": reference}
    api_server.create(f"{rbac}/clusterrolebindings", binding)
    try:
        with connect(kubeconfig=api_server.kubeconfig, impersonate=user) as cluster:
            permissions = about(diagnose(cluster, tenant), "permissions")
            assert {check.state for check in permissions} == {"failed"}
            (fix,) = {check.fix for check in permissions}
            command = (fix or "").replace(ROLE_NAME, role).replace("=…", f"={user}")
            named = command.replace(" clusterrole ", f" clusterrole --name {role} ", 1)
            run_as_owner(api_server, named)
            deadline = time.monotonic() + 10
            # the API server learns of a role a little later
            while about(diagnose(cluster, tenant), "permissions")[0].state != "ok":
                assert time.monotonic() < deadline
            permissions = about(diagnose(cluster, tenant), "permissions")
            assert {check.state for check in permissions} == {"ok"}
        rules = api_server.call("GET", f"{rbac}/clusterroles/{role}").body["rules"]
        assert kept in rules
        bound = api_server.call("GET", f"{rbac}/clusterrolebindings/{role}").body["subjects"]
        assert {one["name"] for one in bound} == {user, other}
    finally:
        for kind in ("clusterrolebindings", "clusterroles"):
            api_server.call("DELETE", f"{rbac}/{kind}/{role}")


def run_as_owner(server: ApiServer, command: str) -> None:
    """Run a command as the cluster's owner would, in a shell."""
    places = [Path(sys.executable).parent, binaries.program("kubectl").parent]
    path = os.pathsep.join([*map(str, places), os.environ["PATH"]])
    done = subprocess.run(
        ["/bin/bash", "-o", "pipefail", "-ec", command],
        env={**os.environ, "PATH": path, "KUBECONFIG": str(server.kubeconfig)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_all_tenants_are_looked_at_where_none_is_named(
    api_server: ApiServer, tenant: str, tenant_labels: dict[str, str], configuration: str
) -> None:
    notebooks.define(api_server)
    path = f"/apis/kubeflow.org/v1alpha1/namespaces/{tenant}/poddefaults"
    kinds = {"apiVersion": "kubeflow.org/v1alpha1", "kind": "PodDefault"}
    wrong = {"matchExpressions": [{"key": "a", "operator": "Is"}]}
    bad = {**kinds, "metadata": {"name": "bad"}, "spec": {"selector": wrong}}
    api_server.create(path, bad)
    with administrator(api_server) as cluster:
        found = diagnose(cluster)
    named = [check for check in about(found, "poddefaults", "bad") if check.tenant == tenant]
    assert [check.state for check in named] == ["failed"]


def test_the_embedded_cluster_is_walked_too(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("KFSECRETS_CLUSTER", str(tmp_path))
    label = {"app.kubernetes.io/part-of": "kubeflow-profile"}
    with connect() as cluster:
        for name, labels in (("alice", label), ("bob", {})):
            space = {"metadata": {"name": name, "labels": labels}}
            cluster.apply({"apiVersion": "v1", "kind": "Namespace", **space})
        found = diagnose(cluster, "alice")
        assert found.state == "ok", [check.what for check in found]
        assert one(diagnose(cluster, "bob"), "namespace").state == "failed"
        assert diagnose(cluster).state == "ok"
        space = {"metadata": {"name": "kfsecrets-source"}}
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", **space})
        found = diagnose(cluster, "kfsecrets-source")
        assert "hand-over" in one(found, "namespace").what
        assert "kubectl label" not in json.dumps(found.to_json())
