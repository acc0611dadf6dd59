"""What `verify` says is what a real API server does with pods, and what runs there."""

from __future__ import annotations

import itertools
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from admin import notebooks
from admin.notebooks import Notebook
from rig import apiserver
from rig.apiserver import MERGE_PATCH, Answer, ApiServer, Webhook
from rig.homes import administrator

from kfsecrets_ext.admin import Grant, SecretObject
from kfsecrets_ext.admin.from_secret import FromSecret
from kfsecrets_ext.admin.running import notebooks as brought_together
from kfsecrets_ext.admin.running import reached
from kfsecrets_ext.admin.tenants import Tenant
from kfsecrets_ext.admin.verify import Check, Verification, verify
from kfsecrets_ext.cluster import POD, PODDEFAULT, STATEFULSET, Cluster, Kind, connect
from kfsecrets_ext.cluster.embedded import Embedded
from kfsecrets_ext.errors import ClusterError, Forbidden, Unreachable
from kfsecrets_ext.poddefaults import admit
from kfsecrets_ext.values import SecretBytes

pytestmark = [pytest.mark.slow, pytest.mark.platform]

Json = dict[str, Any]
VALUE = "hunter2-of-the-test"
_number = itertools.count()


def a_grant(name: str, **options: Any) -> Grant:
    keys = options.pop("keys", ("foo",))
    secret = SecretObject(name, {key: SecretBytes(VALUE.encode()) for key in keys})
    return Grant(name, secret, desc=name, **options)


class Place:
    """A tenant on the real API server, and its administrator's connection."""

    def __init__(self, server: ApiServer, labels: dict[str, str]) -> None:
        self.server, self.labels = server, labels
        self.name = f"verified-{labels['kfsecrets.test/worker']}-{next(_number)}"
        self.space = server.create_tenant(self.name, labels=labels)

    def put(self, *grants: Grant, secrets: bool = True) -> None:
        for grant in grants:
            for one in grant.to_mappings():
                if one["kind"] == "Secret":
                    if secrets:
                        self.server.create(f"/api/v1/namespaces/{self.name}/secrets", one)
                else:
                    self.put_poddefault(one)

    def put_poddefault(self, poddefault: Json) -> Json:
        return self.server.create(self.poddefaults, poddefault)

    @property
    def poddefaults(self) -> str:
        return f"/apis/kubeflow.org/v1alpha1/namespaces/{self.name}/poddefaults"

    def patch(self, path: str, body: Json) -> Json:
        answer = self.server.call("PATCH", path, body, content=MERGE_PATCH)
        assert answer.status == 200, answer.body.get("message")
        return answer.body

    def admitted(self, request: Json) -> Json:
        """Answer as Kubeflow's webhook: by the PodDefaults that are stored now."""
        space = self.server.call("GET", f"/api/v1/namespaces/{request['namespace']}").body
        path = f"/apis/kubeflow.org/v1alpha1/namespaces/{request['namespace']}/poddefaults"
        stored = self.server.call("GET", path).body["items"]
        said = admit(request["object"], stored, namespace=space)
        if said.outcome == "denied":
            # main.go prints both entries, literals included
            message = f"conflict occurred while applying poddefaults: {VALUE}"
            return {"allowed": False, "status": {"message": message}}
        if said.outcome != "mutated":
            return {"allowed": True}
        metadata = said.pod["metadata"]
        return {
            "allowed": True,
            "patch": [
                {"op": "replace", "path": "/spec", "value": said.pod["spec"]},
                *(
                    {"op": "add", "path": f"/metadata/{key}", "value": metadata[key]}
                    for key in ("labels", "annotations")
                    if key in metadata
                ),
            ],
        }

    def until_refused(self, word: str, **spec: Any) -> None:
        """Wait until admission has noticed what was made: it refuses such a pod."""
        pods = f"/api/v1/namespaces/{self.name}/pods?dryRun=All"
        given = {"containers": [{"name": "x", "image": "x"}], **spec}
        pod = {"metadata": {"name": "x"}, "spec": given}
        while word not in str(self.server.call("POST", pods, pod).body):
            time.sleep(0.02)

    def call_webhook(self, name: str, hook: Webhook) -> None:
        """Give the webhook another name, and wait until the API server calls it so."""
        worker = self.labels["kfsecrets.test/worker"]
        kind = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
        path = f"{kind}/poddefaults-webhook-{worker}"
        config = self.server.call("GET", path).body
        config["webhooks"][0]["name"] = name
        assert self.server.call("PUT", path, config).status == 200
        answer, hook.answer = hook.answer, lambda _: {"allowed": False}
        self.until_refused(f'"{name}"')
        hook.answer = answer

    def pods(self) -> list[Json]:
        answer = self.server.call("GET", f"/api/v1/namespaces/{self.name}/pods")
        found: list[Json] = answer.body["items"]
        return found


@pytest.fixture
def place(api_server: ApiServer, tenant_labels: dict[str, str]) -> Place:
    notebooks.define(api_server)
    return Place(api_server, tenant_labels)


@pytest.fixture
def hook(place: Place, make_webhook: Callable[[Answer], Webhook]) -> Webhook:
    return make_webhook(place.admitted)


@pytest.fixture
def cluster(api_server: ApiServer) -> Iterator[Cluster]:
    """Give an administrator's connection, who has the ClusterRole that ships and no other right."""
    with administrator(api_server) as cluster:
        yield cluster


def acting(server: ApiServer, namespace: str, account: str) -> Cluster:
    user = f"system:serviceaccount:{namespace}:{account}"
    return connect(kubeconfig=server.kubeconfig, impersonate=user)


def states(found: Verification) -> dict[tuple[str, str], str]:
    return {(check.subject, check.on): check.state for check in found}


def only(found: Verification, subject: str, state: str | None = None) -> Check:
    (check,) = [c for c in found if c.subject == subject and state in (None, c.state)]
    return check


# ── what admission makes of a pod ────────────────────────────────────────────


def test_a_grant_that_arrives_is_proved_and_nothing_is_made(
    place: Place, hook: Webhook, cluster: Cluster
) -> None:
    place.put(a_grant("aws"), a_grant("git"))
    found = verify(cluster, [a_grant("aws"), a_grant("git")], [place.name])
    assert found.state == "ok", [check.what for check in found]
    seen = {check.subject for check in found if check.grant == "aws"}
    assert seen == {"poddefault", "secret", "stamp", "mount"}
    mount = next(check for check in found if check.subject == "mount" and check.grant == "aws")
    assert "/secret/aws" in mount.what
    assert place.pods() == []
    assert [request["dryRun"] for request in hook.asked] == [True]


def test_a_name_stands_for_what_is_stored(place: Place, hook: Webhook, cluster: Cluster) -> None:
    place.put(a_grant("aws"))
    found = verify(cluster, ["aws"], [place.name])
    assert found.state == "ok"
    assert only(found, "secret").on == "aws"


def test_a_tenant_proves_it_with_the_rights_of_a_notebook(place: Place, hook: Webhook) -> None:
    place.put(a_grant("aws"))
    with acting(place.server, place.name, "default-editor") as cluster:
        found = verify(cluster, [a_grant("aws")], [place.name])
    assert found.state == "ok", [check.what for check in found]


def test_what_may_not_be_read_or_asked_is_unknown(place: Place, hook: Webhook) -> None:
    place.put(a_grant("aws"))
    with acting(place.server, place.name, "default-viewer") as cluster:
        found = verify(cluster, [a_grant("aws")], [place.name])
    assert found.state == "unknown"
    assert {check.subject for check in found.unknown} == {"secret", "admission"}
    assert "default-viewer may not" in only(found, "admission").what
    with connect(kubeconfig=place.server.kubeconfig, impersonate="nobody@example.com") as cluster:
        found = verify(cluster, [a_grant("aws")], [place.name])
    assert found.counts == {"failed": 0, "unknown": len(found), "ok": 0}
    assert {"namespace", "poddefault", "secret", "admission"} <= {c.subject for c in found}


def test_a_namespace_that_the_webhook_does_not_see_is_named_with_the_command(
    place: Place, hook: Webhook, cluster: Cluster
) -> None:
    place.put(a_grant("aws"))
    label = {"app.kubernetes.io/part-of": None}
    place.patch(f"/api/v1/namespaces/{place.name}", {"metadata": {"labels": label}})
    found = verify(cluster, [a_grant("aws")], [place.name])
    check = only(found, "namespace")
    wanted = f"kubectl label namespace {place.name} app.kubernetes.io/part-of=kubeflow-profile"
    assert (check.state, check.fix) == ("failed", wanted)
    assert only(found, "stamp").state == "failed"
    place.patch(
        f"/api/v1/namespaces/{place.name}",
        {"metadata": {"labels": {"app.kubernetes.io/part-of": "kubeflow-profile"}}},
    )
    pods = f"/api/v1/namespaces/{place.name}/pods?dryRun=All"
    pod = {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "x", "image": "x"}]}}
    hook.asked.clear()
    # the API server learns of a label a little later
    while not hook.asked:
        assert place.server.call("POST", pods, pod).status == 201
    assert verify(cluster, [a_grant("aws")], [place.name]).state == "ok"


def test_a_tenant_that_is_not_there_yet(cluster: Cluster) -> None:
    found = verify(cluster, [a_grant("aws")], ["not-yet"])
    (check,) = found
    assert (check.subject, check.state) == ("namespace", "failed")
    assert "--wait" in (check.fix or "")


def test_what_is_missing_or_other_than_granted_is_named(
    place: Place, hook: Webhook, cluster: Cluster
) -> None:
    place.put(a_grant("aws"), a_grant("git", mount_path="/git"), secrets=False)
    place.put(a_grant("hub", keys=("a",)))
    secrets = f"/api/v1/namespaces/{place.name}/secrets"
    place.server.create(secrets, {"metadata": {"name": "git"}, "type": "my/own"})
    hub = SecretObject("hub", {k: SecretBytes(b"1") for k in "ab"}, "my/type")
    wanted = [
        a_grant("aws"),
        Grant("git", "git", desc="git"),
        Grant("hub", hub, desc="hub"),
        a_grant("absent"),
    ]
    found = verify(cluster, wanted, [place.name])
    failed = {(check.subject, check.on): check.what for check in found.failed}
    assert set(failed) == {
        ("secret", "aws"),
        ("poddefault", "git"),
        ("mount", "/secret/git"),
        ("secret", "hub"),
        ("poddefault", "absent"),
        ("secret", "absent"),
    }
    assert "notebooks start without it" in failed["secret", "aws"]
    assert "volumeMounts" in failed["poddefault", "git"]
    assert "'b'" in failed["secret", "hub"]
    assert all(check.fix for check in found.failed)


def test_a_secret_of_another_type_is_named(place: Place, hook: Webhook, cluster: Cluster) -> None:
    place.put(a_grant("hub"))
    hub = SecretObject("hub", {"foo": SecretBytes(b"1")}, "my/type")
    found = verify(cluster, [Grant("hub", hub, desc="hub")], [place.name])
    check = only(found, "secret")
    assert check.state == "failed"
    assert "my/type" in check.what
    assert "Opaque" in check.what


def clashing(name: str, volume: str = "secret-volume", path: str | None = None) -> Json:
    """Write a PodDefault as the tutorial does, with a value where none should be."""
    return {
        "apiVersion": "kubeflow.org/v1alpha1",
        "kind": "PodDefault",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {name: "true"}},
            "desc": name,
            "env": [{"name": f"TOKEN_{name.upper()}", "value": VALUE}],
            "volumes": [{"name": volume, "secret": {"secretName": name, "optional": True}}],
            "volumeMounts": [{"name": volume, "mountPath": path or f"/secret/{name}"}],
        },
    }


def test_a_conflict_is_explained_with_names_and_without_values(
    place: Place, hook: Webhook, cluster: Cluster
) -> None:
    for name in ("one", "two"):
        place.put_poddefault(clashing(name))
    found = verify(cluster, ["one", "two"], [place.name])
    check = only(found, "together")
    assert check.state == "failed"
    assert "secret-volume" in check.what
    assert {c.state for c in found if c.subject == "mount"} == {"ok"}
    assert VALUE not in repr(found) + json.dumps(found.to_json())


@pytest.mark.parametrize("name", ["admission-webhook.kubeflow.org", "poddefaults.example.com"])
def test_a_conflict_is_a_conflict_whatever_the_webhook_is_called(
    place: Place, hook: Webhook, cluster: Cluster, name: str
) -> None:
    place.call_webhook(name, hook)
    for one in ("one", "two"):
        place.put_poddefault(clashing(one))
    found = verify(cluster, ["one", "two"], [place.name])
    check = only(found, "together")
    assert check.state == "failed"
    assert "secret-volume" in check.what
    assert not [one for one in found.unknown if one.subject == "admission"]


@pytest.mark.parametrize("second", ["another value", "no such label"])
def test_what_cannot_be_chosen_by_one_pod_is_asked_for_one_by_one(
    place: Place, hook: Webhook, cluster: Cluster, second: str
) -> None:
    selectors: dict[str, Json] = {
        "one": {"matchLabels": {"mode": "1"}},
        "two": {"matchLabels": {"mode": "2"}},
    }
    if second == "no such label":
        without = [{"key": "mode", "operator": "DoesNotExist"}]
        selectors["two"] = {"matchLabels": {"two": "true"}, "matchExpressions": without}
    for name, selector in selectors.items():
        poddefault = clashing(name)
        poddefault["spec"]["selector"] = selector
        del poddefault["spec"]["volumes"], poddefault["spec"]["volumeMounts"]
        place.put_poddefault(poddefault)
    found = verify(cluster, list(selectors), [place.name])
    assert found.state == "ok", [check.what for check in found]
    assert {check.on for check in found if check.subject == "stamp"} == {"one", "two"}


def test_a_conflict_with_what_the_notebook_chose_before_is_the_grants_own(
    place: Place, hook: Webhook, cluster: Cluster
) -> None:
    place.put_poddefault(clashing("one"))
    place.put_poddefault(clashing("two"))
    Notebook(place.server, place.name, "nb", {"one": "true"})
    found = verify(cluster, ["two"], [place.name])
    check = only(found, "admission")
    assert check.state == "failed"
    assert "'secret-volume' of two" in check.what
    assert VALUE not in check.what


def test_the_pod_is_that_of_a_real_notebook_where_there_is_one(
    place: Place, hook: Webhook, cluster: Cluster
) -> None:
    place.put(a_grant("aws"))
    spec = {
        "containers": [
            {"name": "nb", "image": "jupyter", "env": [{"name": "A", "value": VALUE}]},
            {"name": "proxy", "image": "proxy"},
        ]
    }
    Notebook(place.server, place.name, "nb", spec=spec)
    found = verify(cluster, [a_grant("aws")], [place.name])
    assert found.state == "ok", [check.what for check in found]
    (request,) = hook.asked
    sent = request["object"]
    assert [one["name"] for one in sent["spec"]["containers"]] == ["nb", "proxy"]
    assert sent["metadata"]["labels"] == {
        "app": "nb",
        "aws": "true",
        "notebook-name": "nb",
        "statefulset": "nb",
    }
    assert VALUE not in repr(found) + json.dumps(found.to_json())


# ── who else may refuse ──────────────────────────────────────────────────────


def test_a_quota_that_is_used_up_makes_it_unknown(
    place: Place, hook: Webhook, cluster: Cluster
) -> None:
    place.put(a_grant("aws"))
    path = f"/api/v1/namespaces/{place.name}/resourcequotas"
    hard = {"pods": "0"}
    place.server.create(path, {"metadata": {"name": "kf-resource-quota"}, "spec": {"hard": hard}})
    # no controller counts here
    status = {"status": {"hard": hard, "used": hard}}
    place.patch(f"{path}/kf-resource-quota/status", status)
    place.until_refused("exceeded quota: kf-resource-quota")
    found = verify(cluster, [a_grant("aws")], [place.name])
    check = only(found, "admission")
    assert check.state == "unknown"
    assert "quota kf-resource-quota" in check.what
    assert found.state == "unknown"


def test_a_quota_on_cpu_does_not_stop_the_proof(
    place: Place, hook: Webhook, cluster: Cluster
) -> None:
    place.put(a_grant("aws"))
    path = f"/api/v1/namespaces/{place.name}/resourcequotas"
    hard = {"requests.cpu": "2", "limits.memory": "1Gi"}
    used = {"requests.cpu": "1", "limits.memory": "0"}
    place.server.create(path, {"metadata": {"name": "cpu"}, "spec": {"hard": hard}})
    place.patch(f"{path}/cpu/status", {"status": {"hard": hard, "used": used}})
    # the notebook itself does not fit, so that a smaller pod is asked for
    big = {"requests": {"cpu": "64"}, "limits": {"memory": "1Ti"}}
    spec = {"containers": [{"name": "nb", "image": "jupyter", "resources": big}]}
    Notebook(place.server, place.name, "nb", spec=spec)
    assert verify(cluster, [a_grant("aws")], [place.name]).state == "ok"


def test_pod_security_does_not_stop_the_proof_and_is_named_where_it_does(
    place: Place, hook: Webhook, cluster: Cluster
) -> None:
    place.put(a_grant("aws"))
    label = {"pod-security.kubernetes.io/enforce": "restricted"}
    place.patch(f"/api/v1/namespaces/{place.name}", {"metadata": {"labels": label}})
    Notebook(place.server, place.name, "nb")  # its own pod would not pass
    place.until_refused("restricted:latest")
    assert verify(cluster, [a_grant("aws")], [place.name]).state == "ok"
    host = {"name": "host", "hostPath": {"path": "/"}}
    spec = {"selector": {"matchLabels": {"host": "true"}}, "volumes": [host]}
    kinds = {"apiVersion": "kubeflow.org/v1alpha1", "kind": "PodDefault"}
    place.put_poddefault({**kinds, "metadata": {"name": "host"}, "spec": spec})
    found = verify(cluster, ["host"], [place.name])
    check = only(found, "admission")
    assert check.state == "unknown"
    assert "Pod Security restricted" in check.what


def test_another_webhook_that_refuses_makes_it_unknown_and_is_named(
    place: Place, hook: Webhook, cluster: Cluster, tenant_labels: dict[str, str]
) -> None:
    place.put(a_grant("aws"))
    said = f"no, since {VALUE}"
    denial: Json = {"allowed": False, "status": {"message": said}}
    name = f"images-{place.name}"
    labels = {"kfsecrets.test/images": place.name}
    place.patch(f"/api/v1/namespaces/{place.name}", {"metadata": {"labels": labels}})
    with apiserver.webhook(place.server, name, lambda _: denial, labels=labels):
        path = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{name}"
        config = place.server.call("GET", path).body
        config["webhooks"][0]["name"] = "images.example.com"
        assert place.server.call("PUT", path, config).status == 200
        place.until_refused("images.example.com")
        found = verify(cluster, [a_grant("aws")], [place.name])
    check = only(found, "admission")
    assert check.state == "unknown"
    assert "images.example.com" in check.what
    assert VALUE not in json.dumps(found.to_json())


def test_a_webhook_that_does_not_answer_is_reported(
    place: Place, hook: Webhook, cluster: Cluster
) -> None:
    place.put(a_grant("aws"))
    name = f"poddefaults-webhook-{place.labels['kfsecrets.test/worker']}"
    path = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{name}"
    config = place.server.call("GET", path).body
    with closing(socket.socket()) as silent:
        # nobody else gets it, and nobody listens
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        config["webhooks"][0]["clientConfig"]["url"] = f"https://127.0.0.1:{port}/apply-poddefault"
        assert place.server.call("PUT", path, config).status == 200
        place.until_refused("failed calling webhook")
        found = verify(cluster, [a_grant("aws")], [place.name])
    check = only(found, "admission")
    assert check.state == "failed"
    assert "does not answer" in check.what
    assert "poddefaults-webhook-deployment.kubeflow.org" in check.what
    assert "doctor" in (check.fix or "")


def test_a_webhook_that_lets_a_pod_be_is_found_out(
    place: Place, hook: Webhook, cluster: Cluster
) -> None:
    place.put(a_grant("aws"))
    hook.answer = lambda _: {"allowed": True}
    found = verify(cluster, [a_grant("aws")], [place.name])
    check = only(found, "stamp")
    assert check.state == "failed"
    assert "should be" in check.what


def test_a_stamp_without_its_mount_is_no_proof(
    place: Place, hook: Webhook, cluster: Cluster
) -> None:
    place.put(a_grant("aws"))

    def stamps_only(request: Json) -> Json:
        (version,) = [
            one["metadata"]["resourceVersion"]
            for one in place.server.call("GET", place.poddefaults).body["items"]
        ]
        stamps = {"poddefault.admission.kubeflow.org/poddefault-aws": version}
        change = {"op": "add", "path": "/metadata/annotations", "value": stamps}
        return {"allowed": True, "patch": [change]}

    hook.answer = stamps_only
    found = verify(cluster, [a_grant("aws")], [place.name])
    assert {check.on for check in found.failed} == {"/secret/aws", "/etc/kfsecrets/podinfo-v1"}


def test_a_refusal_that_was_not_foreseen_is_not_repeated(
    place: Place, hook: Webhook, cluster: Cluster
) -> None:
    place.put(a_grant("aws"))
    hook.answer = lambda _: {"allowed": False, "status": {"message": VALUE}}
    found = verify(cluster, [a_grant("aws")], [place.name])
    check = only(found, "admission")
    assert check.state == "failed"
    assert VALUE not in json.dumps(found.to_json())
    assert "not repeated" in check.what


def test_a_refusal_by_the_webhook_of_charmed_kubeflow_is_the_grants_own(
    place: Place, hook: Webhook, cluster: Cluster
) -> None:
    place.put(a_grant("aws"))
    place.call_webhook("admission-webhook.kubeflow.org", hook)
    hook.answer = lambda _: {"allowed": False, "status": {"message": VALUE}}
    check = only(verify(cluster, [a_grant("aws")], [place.name]), "admission")
    assert check.state == "failed"
    assert "not repeated" in check.what


class Failing:
    """A cluster that some things may not be listed of, or that makes nothing of a pod."""

    def __init__(self, cluster: Cluster, unlisted: Kind | None = None) -> None:
        self._cluster, self._unlisted = cluster, unlisted

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    def list(self, kind: Kind, **options: Any) -> Iterator[Any]:
        if kind == self._unlisted:
            raise Forbidden(f"ops may not list {kind.plural}.", reason="Forbidden")
        return self._cluster.list(kind, **options)

    def create(self, *_arguments: Any, **_options: Any) -> Any:
        raise Unreachable("no answer from the server within 30 s.")


def test_a_server_that_does_not_answer_is_not_taken_for_a_refusal(
    place: Place, hook: Webhook, cluster: Cluster
) -> None:
    place.put(a_grant("aws"))
    failing: Any = Failing(cluster)
    check = only(verify(failing, [a_grant("aws")], [place.name]), "admission")
    assert check.state == "unknown"
    assert check.what == "no pod could be asked for: no answer from the server within 30 s"


# ── what runs ────────────────────────────────────────────────────────────────


def notebook_check(found: Verification, on: str = "nb") -> Check:
    (check,) = [c for c in found if c.subject == "notebook" and c.on == on]
    return check


def test_a_label_added_to_a_notebook_never_reaches_its_pod_and_the_step_is_said(
    place: Place, hook: Webhook, cluster: Cluster
) -> None:
    place.put(a_grant("aws"))
    notebook = Notebook(place.server, place.name, "nb")
    notebook.reconcile()
    notebook.start()
    assert not [c for c in verify(cluster, ["aws"], [place.name]) if c.subject == "notebook"]
    notebook.label(aws="true")
    notebook.reconcile()
    notebook.start()  # a restart does not help
    check = notebook_check(verify(cluster, ["aws"], [place.name]))
    assert check.state == "failed"
    assert (check.fix or "").startswith(f"kubectl delete statefulset nb -n {place.name}")
    path = f"/apis/apps/v1/namespaces/{place.name}/statefulsets/nb"
    place.server.call("DELETE", path, {"propagationPolicy": "Background"})
    notebook.reconcile()
    # the step is done, and the old pod still runs
    check = notebook_check(verify(cluster, ["aws"], [place.name]))
    assert (check.fix or "").startswith(f"kubectl delete pod nb-0 -n {place.name}")
    notebook.start()
    assert notebook_check(verify(cluster, ["aws"], [place.name])).state == "ok"
    notebook.label(aws=None)
    check = notebook_check(verify(cluster, ["aws"], [place.name]))
    assert check.state == "failed"
    assert "taken away" in check.what


def test_a_pod_that_is_older_than_the_poddefault_is_to_be_restarted(
    place: Place, hook: Webhook, cluster: Cluster
) -> None:
    notebook = Notebook(place.server, place.name, "nb", {"aws": "true"})
    notebook.reconcile()
    notebook.start()
    place.put(a_grant("aws"))
    check = notebook_check(verify(cluster, ["aws"], [place.name]))
    assert check.state == "failed"
    assert "made before this PodDefault" in check.what
    assert (check.fix or "").startswith(f"kubectl delete pod nb-0 -n {place.name}")
    notebook.start()
    assert notebook_check(verify(cluster, ["aws"], [place.name])).state == "ok"


def test_a_pod_is_stale_by_what_it_lacks_and_not_by_a_new_description(
    place: Place, hook: Webhook, cluster: Cluster
) -> None:
    place.put(a_grant("aws"))
    notebook = Notebook(place.server, place.name, "nb", {"aws": "true"})
    notebook.reconcile()
    notebook.start()
    place.patch(f"{place.poddefaults}/aws", {"spec": {"desc": "new"}})
    assert notebook_check(verify(cluster, ["aws"], [place.name])).state == "ok"
    variable = {"name": "REGION", "valueFrom": {"secretKeyRef": {"name": "aws", "key": "foo"}}}
    place.patch(f"{place.poddefaults}/aws", {"spec": {"env": [variable]}})
    check = notebook_check(verify(cluster, ["aws"], [place.name]))
    assert check.state == "failed"
    assert "REGION" in check.what
    notebook.start()
    assert notebook_check(verify(cluster, ["aws"], [place.name])).state == "ok"


@pytest.mark.parametrize("kind", ["projected", "configMap"])
def test_a_pod_whose_volume_of_that_name_holds_something_else_does_not_have_it(
    place: Place, hook: Webhook, cluster: Cluster, kind: str
) -> None:
    def of(name: str) -> Json:
        items = [{"key": "foo", "path": "foo"}]
        if kind == "configMap":
            return {"configMap": {"name": name, "items": items, "optional": True}}
        sources: list[Json] = [
            {"secret": {"name": name, "items": items, "optional": True}},
            {"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        ]
        return {"projected": {"sources": sources}}

    poddefault = clashing("aws")
    (volume,) = poddefault["spec"]["volumes"]
    del volume["secret"]
    volume.update(of("old"))
    place.put_poddefault(poddefault)
    notebook = Notebook(place.server, place.name, "nb", {"aws": "true"})
    notebook.reconcile()
    notebook.start()
    assert notebook_check(verify(cluster, ["aws"], [place.name])).state == "ok"
    volumes = [{"name": "secret-volume", **of("new")}]
    place.patch(f"{place.poddefaults}/aws", {"spec": {"volumes": volumes}})
    check = notebook_check(verify(cluster, ["aws"], [place.name]))
    assert check.state == "failed"
    assert "/secret/aws" in check.what


@pytest.mark.parametrize("how", ["volume", "variable", "subPath", "projected subPath"])
def test_a_value_that_does_not_follow_is_told_from_one_that_does(
    place: Place, hook: Webhook, cluster: Cluster, how: str
) -> None:
    place.put(a_grant("aws"))
    spec: Json = {}
    if how == "variable":
        of = {"name": "aws", "key": "foo"}
        spec["env"] = [{"name": "FOO", "valueFrom": {"secretKeyRef": of}}]
    if how == "subPath":
        mount = {"name": "kfs-aws", "mountPath": "/foo", "subPath": "foo"}
        spec["volumeMounts"] = [mount]
    if how == "projected subPath":
        sources = [{"secret": {"name": "aws"}}]
        spec["volumes"] = [{"name": "v", "projected": {"sources": sources}}]
        spec["volumeMounts"] = [{"name": "v", "mountPath": "/foo", "subPath": "foo"}]
    place.patch(f"{place.poddefaults}/aws", {"spec": spec})
    notebook = Notebook(place.server, place.name, "nb", {"aws": "true"})
    notebook.reconcile()
    notebook.start()
    path = f"/api/v1/namespaces/{place.name}"
    pod = place.server.call("GET", f"{path}/pods/nb-0").body
    started = {"status": {"startTime": "2020-01-01T00:00:00Z"}}
    place.patch(f"{path}/pods/{pod['metadata']['name']}/status", started)
    place.patch(f"{path}/secrets/aws", {"data": {"foo": "bmV3"}})
    check = notebook_check(verify(cluster, ["aws"], [place.name]))
    # a label alone moves the time of whoever wrote the values as well: nothing proves a new value
    assert check.state == ("ok" if how == "volume" else "unknown")
    if how != "volume":
        assert "may have an old value: Secret aws" in check.what
        assert "kubectl delete pod nb-0" in (check.fix or "")


def test_a_stopped_notebook_gets_it_at_its_next_start(
    place: Place, hook: Webhook, cluster: Cluster
) -> None:
    place.put(a_grant("aws"))
    Notebook(place.server, place.name, "nb", {"aws": "true"}).reconcile()
    check = notebook_check(verify(cluster, ["aws"], [place.name]))
    assert check.state == "ok"
    assert "next pod" in check.what


@pytest.mark.parametrize("kind", [POD, STATEFULSET], ids=["pods", "StatefulSets"])
def test_nothing_is_said_of_a_pod_that_may_not_be_looked_at(
    place: Place, hook: Webhook, cluster: Cluster, kind: Kind
) -> None:
    place.put(a_grant("aws"))
    Notebook(place.server, place.name, "nb", {"aws": "true"}).reconcile()
    failing: Any = Failing(cluster, kind)
    found = verify(failing, ["aws"], [place.name])
    check = notebook_check(found)
    assert check.state == "unknown"
    assert f"its {kind.kind if kind == STATEFULSET else 'pod'} may not be read" in check.what
    assert not [one for one in found.failed if one.subject == "notebook"]


def test_a_cluster_without_the_crd_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "namespaces" / "alice").mkdir(parents=True)
    cluster: Any = Embedded(tmp_path)
    listed = cluster.list

    def without(kind: Kind, **options: Any) -> Iterator[Any]:
        if kind == PODDEFAULT:
            raise ClusterError("it has no PodDefaults: …", reason="NotFound")
        found: Iterator[Any] = listed(kind, **options)
        return found

    cluster.list = without
    check = only(verify(cluster, ["aws"], ["alice"]), "poddefault")
    assert check.state == "failed"
    assert check.what == "the cluster has no PodDefaults: their CRD is not installed"
    assert check.fix


def test_the_notebooks_own_container_is_known_by_its_name() -> None:
    # istio: holdApplicationUntilProxyStarts puts the proxy first, after the webhook
    spec = {"env": [{"name": "REGION", "value": "x"}], "selector": {"matchLabels": {"aws": "true"}}}
    poddefault = {"metadata": {"name": "aws", "resourceVersion": "1"}, "spec": spec}
    stamps = {"poddefault.admission.kubeflow.org/poddefault-aws": "1"}
    labels = {"aws": "true", "notebook-name": "nb"}
    containers = [{"name": "istio-proxy"}, {"name": "nb", "env": spec["env"]}]
    pod = {
        "metadata": {"name": "nb-0", "labels": labels, "annotations": stamps},
        "spec": {"containers": containers},
    }
    (notebook,) = brought_together(None, None, [pod])
    (check,) = reached(notebook, poddefault, tenant="alice", changes={})
    assert (check.state, check.what) == ("ok", "its pod has it")


# ── grants that differ from tenant to tenant ─────────────────────────────────


def test_a_grant_is_compared_as_it_is_for_the_tenant(
    place: Place, hook: Webhook, cluster: Cluster
) -> None:
    grant = Grant(
        "db",
        "db-{namespace}",
        desc="Database of {owner}",
        templates=["secret.name", "podDefault.desc"],
    )
    owner = f"{place.name}@example.com"
    concrete = grant.for_tenant(Tenant(place.name, owner))
    place.put(concrete)
    secrets = f"/api/v1/namespaces/{place.name}/secrets"
    place.server.create(secrets, {"metadata": {"name": f"db-{place.name}"}})
    found = verify(cluster, [grant], [place.name])
    assert found.state == "ok", [check.what for check in found]
    place.patch(f"{place.poddefaults}/db", {"spec": {"desc": "Database of {owner}"}})
    check = only(verify(cluster, [grant], [place.name]), "poddefault")
    assert check.what.endswith(": desc")


def test_a_hashed_secret_is_looked_for_under_its_name_and_its_source_is_read(
    place: Place, hook: Webhook, cluster: Cluster
) -> None:
    source = Place(place.server, place.labels)
    source.put(a_grant("vault"))
    grant = Grant("db", FromSecret(source.name, "vault"), append_hash=True)
    read = FromSecret(source.name, "vault").read(cluster)
    place.put(grant.for_tenant(Tenant(place.name), read))
    found = verify(cluster, [grant], [place.name])
    assert found.state == "ok", [check.what for check in found]
    assert only(found, "secret").on.startswith("db-")
    lost = Grant("db", FromSecret(source.name, "gone"))
    found = verify(cluster, [lost], [place.name])
    assert only(found, "grant").state == "failed"


# ── many tenants, and the other home ─────────────────────────────────────────


def test_tenants_come_in_the_order_given_and_each_is_told_of(
    place: Place, hook: Webhook, cluster: Cluster
) -> None:
    others = [Place(place.server, place.labels) for _ in range(3)]
    for other in others[:2]:
        other.put(a_grant("aws"))
    names = [other.name for other in reversed(others)]
    told: list[str] = []
    found = verify(cluster, [a_grant("aws")], names, progress=told.append)
    assert sorted(told) == sorted(names)
    assert list(dict.fromkeys(check.tenant for check in found)) == names
    assert {check.tenant for check in found.failed} == {others[2].name}
    assert found.server == cluster.server


def test_no_value_is_in_anything_that_is_said(
    place: Place, hook: Webhook, cluster: Cluster
) -> None:
    place.put(a_grant("aws"))
    place.put_poddefault(clashing("one"))
    found = verify(cluster, [a_grant("aws"), "one"], [place.name])
    said = repr(found) + json.dumps(found.to_json()) + "".join(map(repr, found))
    assert [(check.subject, check.on) for check in found.failed] == [("secret", "one")]
    assert VALUE not in said


def test_the_embedded_cluster_proves_it_too(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("KFSECRETS_CLUSTER", str(tmp_path))
    label = {"app.kubernetes.io/part-of": "kubeflow-profile"}
    with connect() as cluster:
        space = {"metadata": {"name": "alice", "labels": label}}
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", **space})
        grant = a_grant("aws", namespace="alice")
        found = verify(cluster, [a_grant("aws")], ["alice"])
        assert {check.on for check in found.failed} == {"aws"}
        for one in grant.to_mappings():
            one["metadata"]["namespace"] = "alice"
            cluster.apply(one)
        found = verify(cluster, [a_grant("aws")], ["alice"])
        assert found.state == "ok", [check.what for check in found]
        assert {check.subject for check in found} >= {"stamp", "mount", "secret"}
        for name in ("one", "two"):
            poddefault = clashing(name)
            poddefault["metadata"]["namespace"] = "alice"
            cluster.apply(poddefault)
        check = only(verify(cluster, ["one", "two"], ["alice"]), "together")
        assert "secret-volume" in check.what


def test_the_source_of_a_hand_over_is_not_to_become_a_tenant(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("KFSECRETS_CLUSTER", str(tmp_path))
    with connect() as cluster:
        space = {"metadata": {"name": "kfsecrets-source"}}
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", **space})
        for one in a_grant("aws", namespace="kfsecrets-source").to_mappings():
            one["metadata"]["namespace"] = "kfsecrets-source"
            cluster.apply(one)
        found = verify(cluster, ["aws"], ["kfsecrets-source"])
    assert [check.subject for check in found.failed] == ["namespace"]
    assert "hand-over" in only(found, "namespace").what
    assert only(found, "secret").state == "ok"
    assert "kubectl label" not in json.dumps(found.to_json())


def test_the_command_that_mends_a_grant_can_be_typed(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("KFSECRETS_CLUSTER", str(tmp_path))
    label = {"app.kubernetes.io/part-of": "kubeflow-profile"}
    with connect() as cluster:
        space = {"metadata": {"name": "alice", "labels": label}}
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", **space})
        found = verify(cluster, [a_grant("aws")], ["alice"])
    fixes = {check.fix for check in found.failed if check.fix and " apply" in check.fix}
    assert fixes
    assert all("jupyter kfsecrets apply -f FILE" in fix for fix in fixes)
