"""The administrator's ClusterRole lets every verb work, and each right of it is needed."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import yaml
from admin import notebooks
from admin.notebooks import Notebook
from rig.apiserver import Answer, ApiServer
from rig.homes import ADMINISTRATOR, administrator

from kfsecrets_ext import admin
from kfsecrets_ext.admin import Grant, SecretObject
from kfsecrets_ext.admin.clusterrole import (
    RIGHTS,
    VERBS,
    Right,
    cluster_role,
    cluster_role_yaml,
    rights_for,
    shipped,
)
from kfsecrets_ext.admin.diagnosis import diagnose
from kfsecrets_ext.admin.verify import verify
from kfsecrets_ext.cluster import (
    NAMESPACE,
    PODDEFAULT,
    ROLEBINDING,
    SECRET,
    Cluster,
    connect,
)
from kfsecrets_ext.errors import InvalidName, SecretError
from kfsecrets_ext.poddefaults import admit
from kfsecrets_ext.values import SecretBytes

Json = dict[str, Any]
RBAC = "/apis/rbac.authorization.k8s.io/v1"
_number = itertools.count()


# ── what is written ──────────────────────────────────────────────────────────


def test_the_manifest_that_ships_is_what_the_rights_say() -> None:
    assert shipped() == cluster_role_yaml()
    assert yaml.safe_load(shipped()) == cluster_role()


def test_no_right_is_for_everything() -> None:
    text = json.dumps(cluster_role())
    assert "*" not in text
    for escalating in ("escalate", "bind", "impersonate", "roles", "serviceaccounts", "exec"):
        assert escalating not in text


def test_a_part_of_the_verbs_has_a_part_of_the_rights() -> None:
    (rule,) = cluster_role(["plan"])["rules"][:1]
    assert rule == {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list", "get"]}
    assert rights_for(["tenants"]) == tuple(r for r in RIGHTS if "tenants" in r.verbs)
    with pytest.raises(InvalidName):
        cluster_role(["everything"])


def header(*verbs: str) -> str:
    comment = cluster_role_yaml(verbs).partition("apiVersion")[0]
    return " ".join(line.lstrip("# ") for line in comment.splitlines())


def test_the_words_that_are_typed_stand_for_what_they_do() -> None:
    assert cluster_role(["diff", "create"]) == cluster_role(["plan", "apply"])
    for verb in ("plan", "diff"):
        assert "`jupyter kfsecrets diff` needs, and nothing else." in header(verb)
    assert "jupyter kfsecrets plan" not in shipped()
    assert "(create)" in header("create")
    command = [sys.executable, "-m", "kfsecrets_ext.cli", "clusterrole", "diff", "create"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, cluster_role_yaml(["diff", "create"]))


@pytest.mark.parametrize("verb", VERBS)
def test_the_header_tells_the_powers_that_are_in_the_rules(verb: str) -> None:
    may = {(right.verb, right.kind.plural) for right in rights_for([verb])}
    said = header(verb)
    reads = not may.isdisjoint({("get", "secrets"), ("list", "secrets")})
    writes = not may.isdisjoint({(one, "secrets") for one in ("create", "patch", "delete")})
    assert ("reads every Secret" in said) == (reads and not writes)
    assert ("reads and writes every Secret" in said) == (reads and writes)
    assert ("may create pods" in said) == (("create", "pods") in may)
    assert ("bind it to few" in said) == bool(reads or writes or ("create", "pods") in may)
    assert ("reads no Secret, and writes nothing" in said) == (verb == "tenants")


def test_the_role_is_printed_for_the_verbs_named() -> None:
    command = [sys.executable, "-m", "kfsecrets_ext.cli", "clusterrole"]
    done = subprocess.run([*command, "verify"], capture_output=True, text=True, check=False)
    assert done.stdout == cluster_role_yaml(["verify"])
    assert subprocess.run(command, capture_output=True, text=True).stdout == shipped()
    wrong = subprocess.run([*command, "all"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "tenants" in wrong.stderr


# ── what the API server makes of it ──────────────────────────────────────────


class Scene:
    """Tenants in which every verb has something to do, and who does it."""

    def __init__(self, server: ApiServer, labels: dict[str, str]) -> None:
        self.server = server
        self.prefix = f"least-{os.getpid()}"
        self._whole: dict[str, Any] = {}
        self.there, self.bare, self.unlabelled = (
            f"{self.prefix}-{name}" for name in ("there", "bare", "unlabelled")
        )
        self._profiles()
        for name in (self.there, self.bare):
            server.create_tenant(name, labels=labels)
        server.create_tenant(self.unlabelled, labels={})
        server.create(
            "/apis/kubeflow.org/v1/profiles", {**_PROFILE, "metadata": {"name": self.unlabelled}}
        )
        with connect(kubeconfig=server.kubeconfig) as cluster:
            places = admin.tenants(cluster, names=[self.there])
            granted = [
                self.grant("aws"),
                self.grant("old"),
                self.grant("typed", "my/one"),
                replace(self.grant("hashed"), append_hash=True),
                replace(self.grant("frozen"), immutable=True),
            ]
            assert admin.apply(cluster, admin.plan(cluster, granted, places)).ok
        foreign = {"metadata": {"name": "git"}, "data": {"foo": "YmFy"}}
        server.create(f"/api/v1/namespaces/{self.bare}/secrets", foreign)
        notebook = Notebook(server, self.there, "nb")
        notebook.reconcile()
        notebook.start()
        notebook.label(aws="true")
        # a pod that uses a Secret, and keeps what it got
        of = {"secretKeyRef": {"name": "aws", "key": "foo"}}
        uses = [{"name": "x", "image": "x", "env": [{"name": "FOO", "valueFrom": of}]}]
        pod = {"metadata": {"name": "uses"}, "spec": {"containers": uses}}
        server.create(f"/api/v1/namespaces/{self.there}/pods", pod)
        self._service()

    def grant(self, name: str, kind: str | None = None, value: bytes = b"1") -> Grant:
        return Grant(name, SecretObject(name, {"foo": SecretBytes(value)}, kind), desc=name)

    def _profiles(self) -> None:
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        version = {"served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        definition = {
            "metadata": {"name": "profiles.kubeflow.org"},
            "spec": {
                "group": "kubeflow.org",
                "scope": "Cluster",
                "names": {"kind": "Profile", "plural": "profiles", "singular": "profile"},
                "versions": [{**version, "name": "v1"}],
            },
        }
        assert self.server.call("POST", path, definition).status in (201, 409)
        while self.server.call("GET", "/apis/kubeflow.org/v1/profiles").status != 200:
            pass

    def _service(self) -> None:
        """A webhook behind a Service, which is asked about nobody's pods."""
        space = f"/api/v1/namespaces/{self.bare}"
        self.server.create(
            f"{space}/services", {"metadata": {"name": "hook"}, "spec": {"ports": [{"port": 443}]}}
        )
        slices = {
            "metadata": {"name": "hook", "labels": {"kubernetes.io/service-name": "hook"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.1.2.3"], "conditions": {"ready": True}}],
            "ports": [],
        }
        self.server.create(
            f"/apis/discovery.k8s.io/v1/namespaces/{self.bare}/endpointslices", slices
        )
        service = {"namespace": self.bare, "name": "hook", "path": "/apply-poddefault"}
        hook = {
            "name": "admission-webhook-deployment.kubeflow.org",
            "admissionReviewVersions": ["v1beta1", "v1"],
            "clientConfig": {"service": service},
            "sideEffects": "None",
            "namespaceSelector": {"matchLabels": {"kfsecrets.test/nobody": self.prefix}},
            "rules": [
                {
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE"],
                    "resources": ["pods"],
                }
            ],
        }
        self.config = f"by-service-{self.prefix}"
        path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
        self.server.create(path, {"metadata": {"name": self.config}, "webhooks": [hook]})

    def close(self) -> None:
        path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
        self.server.call("DELETE", f"{path}/{self.config}")

    def acting(self, without: tuple[Right, ...] = (), verbs: tuple[str, ...] = VERBS) -> Cluster:
        """Give the connection of somebody new who is bound to the role, and to nothing else."""
        name = f"{self.prefix}-{next(_number)}"
        self.server.create(f"{RBAC}/clusterroles", cluster_role(verbs, name=name, without=without))
        kind = "rbac.authorization.k8s.io"
        binding = {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": kind, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": kind, "kind": "User", "name": f"{name}@example.com"}],
        }
        self.server.create(f"{RBAC}/clusterrolebindings", binding)
        cluster = connect(kubeconfig=self.server.kubeconfig, impersonate=f"{name}@example.com")
        probe = next(right for right in rights_for(verbs) if right not in without)
        while not cluster.allowed(probe.verb, probe.kind):
            pass
        return cluster

    def whole(self, verb: str) -> Any:
        """Give what comes of a verb with the whole role."""
        if verb not in self._whole:
            with self.acting() as cluster:
                self._whole[verb] = self.does(verb, cluster)
        return self._whole[verb]

    # ── our verbs; writes are dry runs, so that each finds the same ──────────

    def does(self, verb: str, cluster: Cluster) -> Any:
        """Use a verb, and give what came of it, whoever it was."""
        try:
            found = self._does(verb, cluster)
        except SecretError as error:
            return type(error).__name__
        return json.dumps(found).replace(cluster.who, "somebody")

    def _does(self, verb: str, cluster: Cluster) -> Any:
        names = [self.bare, self.there]
        places = [admin.Tenant(name, injected=True) for name in names]
        written: Callable[[Any], Any] = lambda plan: admin.apply(  # noqa: E731
            cluster, plan, dry_run=True
        ).to_json()["rows"]
        if verb == "tenants":
            found = admin.tenants(cluster, names=[self.there], everyone=True)
            ours = [one.to_json() for one in found if one.name.startswith(self.prefix)]
            named = [one.to_json() for one in admin.tenants(cluster, names=[self.there])]
            # who may not watch is told so, however long the list before it takes
            patience = 0.2 if cluster.allowed("watch", NAMESPACE) else 60
            try:
                admin.wait_for_tenant(cluster, f"{self.prefix}-later", timeout=patience)
            except admin.TenantNotFound:
                return ours, named
        wanted = [
            self.grant("aws", value=b"2"),
            self.grant("git"),
            self.grant("typed", "my/two"),
            Grant("vault", admin.FromSecret(self.there, "aws"), desc="vault"),
        ]
        if verb == "plan":
            # that a change would be forbidden is what a plan is there to say
            changes = admin.plan(cluster, wanted, places, adopt=True).to_json()["changes"]
            return [
                [row["tenant"], row["kind"], row["name"], row["fields"], row["action"] == "unknown"]
                for row in changes
            ]
        if verb == "apply":
            changed = replace(self.grant("old"), desc="another")
            return written(admin.plan(cluster, [*wanted, changed], places, adopt=True))
        if verb == "rotate":
            found = []
            for name, kind in _ROTATED.items():
                secret = SecretObject(name, {"foo": SecretBytes(b"3")}, kind)
                rotation = admin.rotate(cluster, name, [places[1]], secret)
                found.append((rotation.to_json(), [written(plan) for plan in rotation.plans]))
            return found
        if verb == "delete":
            plan = admin.remove(cluster, ["aws"], places)
            return plan.to_json()["changes"], written(plan)
        if verb == "prune":
            plan = admin.plan(cluster, [self.grant("aws")], [places[1]], prune=True)
            return plan.to_json()["changes"], written(plan)
        if verb == "verify":
            return verify(cluster, ["aws"], [self.there]).to_json()
        # what the tests beside this one do is left out
        everywhere = [
            check
            for check in diagnose(cluster).to_json()["checks"]
            if check["subject"] != "permissions"
            and check["tenant"] in (None, self.there, self.bare, self.unlabelled)
            and check["on"] in ("", self.config, "poddefaults.kubeflow.org")
            # how many tenants there are is not for this test to know
            and (check["subject"], check["state"]) != ("namespace", "ok")
        ]
        named = [
            check
            for check in diagnose(cluster, self.there).to_json()["checks"]
            if check["subject"] not in ("permissions", "webhook", "service")
        ]
        return everywhere, named


_ROTATED = {"aws": None, "hashed": None, "frozen": None, "typed": "my/three"}
_PROFILE = {"apiVersion": "kubeflow.org/v1", "kind": "Profile"}


@pytest.fixture(scope="module")
def scene(api_server: ApiServer, tenant_labels: dict[str, str]) -> Iterator[Scene]:
    notebooks.define(api_server)
    scene = Scene(api_server, tenant_labels)
    yield scene
    scene.close()


@pytest.fixture
def hook(scene: Scene, make_webhook: Callable[[Answer], Any]) -> None:
    def answer(request: Json) -> Json:
        path = f"/apis/kubeflow.org/v1alpha1/namespaces/{request['namespace']}/poddefaults"
        stored = scene.server.call("GET", path).body["items"]
        space = scene.server.call("GET", f"/api/v1/namespaces/{request['namespace']}").body
        said = admit(request["object"], stored, namespace=space)
        if said.outcome != "mutated":
            return {"allowed": True}
        metadata = said.pod["metadata"]
        return {
            "allowed": True,
            "patch": [
                {"op": "replace", "path": "/spec", "value": said.pod["spec"]},
                {"op": "add", "path": "/metadata/annotations", "value": metadata["annotations"]},
            ],
        }

    make_webhook(answer)


@pytest.mark.slow
@pytest.mark.platform
def test_every_verb_works_with_the_role_and_as_it_does_for_the_clusters_owner(
    scene: Scene, hook: None
) -> None:
    with connect(kubeconfig=scene.server.kubeconfig) as owner, scene.acting() as cluster:
        for verb in VERBS:
            assert scene.does(verb, cluster) == scene.does(verb, owner), verb
        (row,) = [
            check
            for check in diagnose(cluster).to_json()["checks"]
            if check["subject"] == "permissions" and check["state"] != "ok"
        ] or [None]
        assert row is None


@pytest.mark.slow
@pytest.mark.platform
def test_the_administrator_of_the_tests_has_the_role_that_ships_and_no_other_right(
    api_server: ApiServer,
) -> None:
    verbs = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
    granted = {(right.verb, right.kind) for right in RIGHTS}
    with administrator(api_server) as cluster:
        assert cluster.who == ADMINISTRATOR
        for kind in {kind for _, kind in granted}:
            may = {verb for verb in verbs if cluster.allowed(verb, kind)}
            assert may == {verb for verb in verbs if (verb, kind) in granted}, kind
        assert cluster.allowed("create", ROLEBINDING) is False


@pytest.mark.slow
@pytest.mark.platform
@pytest.mark.parametrize("right", RIGHTS, ids=str)
def test_without_one_right_the_verbs_that_are_said_to_need_it_fail(
    scene: Scene, hook: None, right: Right
) -> None:
    with scene.acting((right,)) as cluster:
        assert cluster.allowed(right.verb, right.kind) is False
        failing = {verb for verb in VERBS if scene.does(verb, cluster) != scene.whole(verb)}
    assert failing == set(right.verbs)


@pytest.mark.slow
@pytest.mark.platform
@pytest.mark.parametrize("kind", _ROTATED)
def test_the_role_of_rotation_alone_rotates_a_secret_of_each_kind(
    scene: Scene, tenant_labels: dict[str, str], kind: str
) -> None:
    name = f"{scene.prefix}-{kind}"
    scene.server.create_tenant(name, labels=tenant_labels)
    tenant = admin.Tenant(name, injected=True)
    grant = scene.grant("s", "my/one" if kind == "typed" else None)
    grant = replace(grant, append_hash=kind == "hashed", immutable=kind == "frozen")
    secret = SecretObject("s", {"foo": SecretBytes(b"3")}, _ROTATED[kind])
    with connect(kubeconfig=scene.server.kubeconfig) as owner:
        assert admin.apply(owner, admin.plan(owner, [grant], [tenant])).ok
        with scene.acting(verbs=("rotate",)) as cluster:
            rotation = admin.rotate(cluster, "s", [tenant], secret)
            assert rotation.uses == ()
            report = admin.apply(cluster, rotation.rest)
        assert report.ok, report.to_json()
        assert report.counts["done"] >= 1
        shown = owner.get(PODDEFAULT, "s", namespace=name)
        assert shown is not None
        called = shown["spec"]["volumes"][0]["secret"]["secretName"]
        live = owner.get(SECRET, called, namespace=name)
        assert live is not None
        assert (live["data"], live["type"]) == ({"foo": "Mw=="}, _ROTATED[kind] or "Opaque")


@pytest.mark.slow
@pytest.mark.platform
def test_nothing_was_written_by_the_dry_runs(scene: Scene, hook: None) -> None:
    path = f"/api/v1/namespaces/{scene.there}"
    before = scene.server.call("GET", f"{path}/secrets").body["items"]
    with scene.acting() as cluster:
        for verb in VERBS:
            scene.does(verb, cluster)
        assert cluster.get(SECRET, "aws", namespace=scene.bare) is None
    after = scene.server.call("GET", f"{path}/secrets").body["items"]
    versions = [
        [(one["metadata"]["name"], one["metadata"]["resourceVersion"]) for one in some]
        for some in (before, after)
    ]
    assert versions[0] == versions[1]
