"""A tenant with default-editor's rights: PodDefaults are created and deleted, never patched."""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Iterator

import pytest
from rig import binaries
from rig.apiserver import ApiServer
from rig.homes import Real, administrator, data, poddefault

from kfsecrets_ext.admin import Grant, SecretObject, Tenant, apply, plan, remove, rotate, tenants
from kfsecrets_ext.cluster import PODDEFAULT, SECRET, Cluster, connect
from kfsecrets_ext.values import SecretBytes

pytestmark = [pytest.mark.slow, pytest.mark.platform]


@pytest.fixture
def tenant(api_server: ApiServer, tenant_labels: dict[str, str]) -> Tenant:
    name = f"editor-{uuid.uuid4().hex[:8]}"
    api_server.create_tenant(name, labels=tenant_labels)
    with connect(kubeconfig=api_server.kubeconfig) as cluster:
        return tenants(cluster, names=[name])[0]


@pytest.fixture
def admin(api_server: ApiServer) -> Iterator[Cluster]:
    """Give the connection of an administrator with the ClusterRole that ships."""
    with administrator(api_server) as cluster:
        yield cluster


@pytest.fixture
def editor(api_server: ApiServer, tenant: Tenant) -> Iterator[Cluster]:
    who = f"system:serviceaccount:{tenant.name}:default-editor"
    with connect(kubeconfig=api_server.kubeconfig, impersonate=who) as cluster:
        yield cluster


@pytest.fixture
def home(api_server: ApiServer, tenant_labels: dict[str, str]) -> Real:
    return Real(api_server, tenant_labels)


@pytest.fixture
def viewer(api_server: ApiServer, tenant: Tenant) -> Iterator[Cluster]:
    who = f"system:serviceaccount:{tenant.name}:default-viewer"
    with connect(kubeconfig=api_server.kubeconfig, impersonate=who) as cluster:
        yield cluster


def grant(value: str = "bar", **options: object) -> Grant:
    made = SecretObject("test-secret", {"foo": SecretBytes(value.encode())})
    return Grant("test-secret", made, **options)  # type: ignore[arg-type]


def test_what_is_new_is_created_and_what_changes_is_made_anew(
    editor: Cluster, tenant: Tenant
) -> None:
    first = plan(editor, [grant()], [tenant])
    assert [one.action for one in first] == ["create", "create"]
    assert apply(editor, first, dry_run=True).ok
    assert apply(editor, first).ok
    assert plan(editor, [grant()], [tenant]).counts == {"unchanged": 2}
    before = editor.get(PODDEFAULT, "test-secret", namespace=tenant.name)
    changed = plan(editor, [grant("new", desc="Shown")], [tenant])
    assert [one.action for one in changed] == ["change", "recreate"]
    assert list(changed)[1].note == "deleted and created, since patching it is denied here."
    assert apply(editor, changed, dry_run=True).ok
    assert editor.get(PODDEFAULT, "test-secret", namespace=tenant.name) == before
    assert apply(editor, changed).ok
    after = editor.get(PODDEFAULT, "test-secret", namespace=tenant.name)
    assert before is not None
    assert after is not None
    assert after["spec"]["desc"] == "Shown"
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert data(editor.get(SECRET, "test-secret", namespace=tenant.name)) == {"foo": "new"}
    assert plan(editor, [grant("new", desc="Shown")], [tenant]).pending == 0


def test_what_others_wrote_into_a_poddefault_goes_when_it_is_made_anew_and_the_plan_says_so(
    home: Real, editor: Cluster, tenant: Tenant
) -> None:
    apply(editor, plan(editor, [grant()], [tenant]))
    theirs = poddefault(tenant.name, "test-secret")
    variable = {"name": "THEIRS", "value": "x"}
    theirs["spec"] = {"env": [variable], "selector": {"matchLabels": {"test-secret": "true"}}}
    theirs["metadata"]["labels"] = {"theirs": "x"}
    home.kubectl(theirs)
    assert plan(editor, [grant()], [tenant]).pending == 0
    (_, changed) = plan(editor, [grant(desc="Shown")], [tenant])
    assert changed.action == "recreate"
    assert [(one.path, one.change) for one in changed.fields] == [
        ("spec.desc", "changed"),
        ("spec.env", "removed"),
        ("metadata.labels.theirs", "removed"),
    ]


def test_one_that_is_cut_between_delete_and_create_is_created_by_the_next(
    editor: Cluster, tenant: Tenant
) -> None:
    apply(editor, plan(editor, [grant()], [tenant]))
    editor.delete(PODDEFAULT, "test-secret", namespace=tenant.name)
    found = plan(editor, [grant(desc="Shown")], [tenant])
    assert [one.action for one in found] == ["unchanged", "create"]
    assert apply(editor, found).ok


def test_what_a_tenant_made_an_administrator_can_change(
    editor: Cluster, admin: Cluster, tenant: Tenant
) -> None:
    apply(editor, plan(editor, [grant(can_mount=True)], [tenant]))
    found = plan(admin, [grant(desc="Shown")], [tenant])
    assert [one.action for one in found] == ["change", "change"]
    assert apply(admin, found).ok
    assert plan(admin, [grant(desc="Shown")], [tenant]).pending == 0
    # and the tenant again what the administrator made
    back = plan(editor, [grant()], [tenant])
    assert [one.action for one in back] == ["unchanged", "recreate"]
    assert apply(editor, back).ok


def test_who_may_only_look_is_told_so_and_writes_nothing(
    viewer: Cluster, admin: Cluster, tenant: Tenant
) -> None:
    found = plan(viewer, [grant()], [tenant])
    assert [one.action for one in found] == ["forbidden", "forbidden"]
    assert "may not create secrets here" in next(iter(found)).note
    report = apply(viewer, found)
    assert report.counts == {"forbidden": 2}
    assert not report.ok
    assert admin.get(SECRET, "test-secret", namespace=tenant.name) is None


def test_secrets_that_may_not_be_read_are_unknown_and_never_overwritten(
    api_server: ApiServer, admin: Cluster, tenant: Tenant
) -> None:
    user = f"writer-{uuid.uuid4().hex[:8]}"
    rules = [
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "patch"]},
        {
            "apiGroups": ["kubeflow.org"],
            "resources": ["poddefaults"],
            "verbs": ["get", "list", "create", "patch"],
        },
    ]
    base = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{tenant.name}"
    api_server.create(f"{base}/roles", {"metadata": {"name": "writer"}, "rules": rules})
    api_server.create(
        f"{base}/rolebindings",
        {
            "metadata": {"name": "writer"},
            "roleRef": {
                "kind": "Role",
                "name": "writer",
                "apiGroup": "rbac.authorization.k8s.io",
            },
            "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}],
        },
    )
    with connect(kubeconfig=api_server.kubeconfig, impersonate=user) as writer:
        # the API server learns of a binding a little later
        while not writer.allowed("create", SECRET, namespace=tenant.name):
            time.sleep(0.02)
        found = plan(writer, [grant()], [tenant])
        assert [one.action for one in found] == ["unknown", "create"]
        assert apply(writer, found).ok
        assert data(admin.get(SECRET, "test-secret", namespace=tenant.name)) == {"foo": "bar"}
        again = apply(writer, plan(writer, [grant("new")], [tenant]))
        assert [one.outcome for one in again] == ["conflict", "unchanged"]
        assert data(admin.get(SECRET, "test-secret", namespace=tenant.name)) == {"foo": "bar"}


def test_a_tenant_rotates_and_removes_what_is_its_own(editor: Cluster, tenant: Tenant) -> None:
    hashed = grant(append_hash=True)
    apply(editor, plan(editor, [hashed], [tenant]))
    new = SecretObject("x", {"foo": SecretBytes(b"new")})
    found = rotate(editor, "test-secret", [tenant], new, prune=True).rest
    assert [(one.kind, one.action) for one in found] == [
        ("Secret", "create"),
        ("PodDefault", "recreate"),
        ("Secret", "delete"),
    ]
    assert apply(editor, found).ok
    (left,) = editor.list(SECRET, namespace=tenant.name)
    assert data(left) == {"foo": "new"}
    assert apply(editor, remove(editor, ["test-secret"], [tenant])).ok
    assert list(editor.list(SECRET, namespace=tenant.name)) == []
    assert list(editor.list(PODDEFAULT, namespace=tenant.name)) == []


def test_a_secret_of_kubectl_is_read_and_adopted_when_told_and_kubectl_learns_of_it(
    api_server: ApiServer, admin: Cluster, tenant: Tenant
) -> None:
    kubectl = [str(binaries.program("kubectl")), "--kubeconfig", str(api_server.kubeconfig)]
    create = ["create", "secret", "generic", "-n", tenant.name, "test-secret"]
    subprocess.run([*kubectl, *create, "--from-literal=foo=theirs"], check=True)
    found = plan(admin, [grant()], [tenant])
    assert [one.action for one in found] == ["foreign", "foreign"]
    apply(admin, found)
    assert data(admin.get(SECRET, "test-secret", namespace=tenant.name)) == {"foo": "theirs"}
    # made by a plain create, so that kubectl owns the key: it is taken from it
    assert apply(admin, plan(admin, [grant()], [tenant], adopt=True)).ok
    assert data(admin.get(SECRET, "test-secret", namespace=tenant.name)) == {"foo": "bar"}
    assert plan(admin, [grant()], [tenant]).counts == {"unchanged": 2}
    manifest = (
        "apiVersion: v1\nkind: Secret\nmetadata: {name: test-secret}\ndata: {foo: dGhlaXJz}\n"
    )
    apply_ = ["apply", "--server-side", "-n", tenant.name, "-f", "-"]
    refused = subprocess.run(
        [*kubectl, *apply_], input=manifest, text=True, check=False, capture_output=True
    )
    assert refused.returncode != 0
    assert "kfsecrets-ext" in refused.stderr
