"""What others own is named before anything is sent, and is never lost by the way."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rig import binaries
from rig.apiserver import ApiServer
from rig.homes import OURS, Home, Real, administrator, coded, data, poddefault, secret

from kfsecrets_ext.admin import (
    Change,
    FromSecret,
    Grant,
    Plan,
    SecretObject,
    Tenant,
    apply,
    plan,
    remove,
    tenants,
)
from kfsecrets_ext.cluster import LAST_APPLIED, PODDEFAULT, SECRET, Cluster
from kfsecrets_ext.errors import Rejected
from kfsecrets_ext.values import SecretBytes

Make = Callable[..., list[Tenant]]
CANARY = "canary-Zq7vXw2LmT"


def grant(name: str = "test-secret", type_: str | None = None, **options: Any) -> Grant:
    made = SecretObject(name, {"foo": SecretBytes(CANARY.encode())}, type_)
    return Grant(name, made, **options)


def row(given: Plan, kind: str = "Secret", name: str = "test-secret") -> Change:
    (found,) = [one for one in given if (one.kind, one.name) == (kind, name)]
    return found


def foreign(tenant: Tenant, **metadata: Any) -> dict[str, Any]:
    made = secret(tenant.name, {"theirs": "x"}, "test-secret")
    made["metadata"] = {**made["metadata"], "labels": {}, **metadata}
    return made


# ── who it is ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("metadata", "who"),
    [
        ({}, "(written by kubectl)"),
        ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, "(managed by Helm)"),
        (
            {
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "1"}
                ]
            },
            "(of ConfigMap x)",
        ),
    ],
)
def test_whose_an_object_is_that_is_not_ours_is_said(
    home: Home, cluster: Cluster, make_tenants: Make, metadata: dict[str, Any], who: str
) -> None:
    tenants = make_tenants(1)
    home.kubectl(foreign(tenants[0], **metadata))
    theirs = poddefault(tenants[0].name, "test-secret")
    theirs["metadata"] = {**theirs["metadata"], "labels": {}, **metadata}
    home.kubectl(theirs)
    found = plan(cluster, [grant()], tenants)
    assert [one.action for one in found] == ["foreign", "foreign"]
    assert all(who in one.note for one in found)
    assert apply(cluster, plan(cluster, [grant()], tenants, adopt=True)).ok


def test_what_a_controller_keeps_in_step_is_not_adopted_and_the_way_out_is_said(
    home: Home, cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    owner = {
        "apiVersion": "external-secrets.io/v1",
        "kind": "ExternalSecret",
        "name": "db",
        "uid": str(uuid.uuid4()),
        "controller": True,
    }
    home.kubectl(foreign(tenants[0], ownerReferences=[owner]))
    for adopt in (False, True):
        found = plan(cluster, [grant()], tenants, adopt=adopt)
        assert row(found).action == "foreign"
        assert row(found).note.startswith("ExternalSecret db keeps one in step")
        assert "existing Secret" in row(found).note
        apply(cluster, found)
    assert data(root.get(SECRET, "test-secret", namespace=tenants[0].name)) == {"theirs": "x"}
    # the way out
    wanted = Grant("test-secret", "test-secret")
    assert apply(cluster, plan(cluster, [wanted], tenants)).ok


# ── fields and keys of others ────────────────────────────────────────────────


def test_a_field_of_a_poddefault_that_others_own_shows_in_the_plan(
    home: Home, cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    theirs = poddefault(tenants[0].name, "test-secret", desc="theirs")
    theirs["spec"]["selector"] = {"matchLabels": {"other": "true"}}
    home.kubectl(theirs)  # with our label
    found = row(plan(cluster, [grant()], tenants), "PodDefault")
    assert found.action == "foreign"
    assert "spec.desc, spec.selector.matchLabels.other" in found.note
    assert "belongs to kubectl; --adopt" in found.note
    before = root.get(PODDEFAULT, "test-secret", namespace=tenants[0].name)
    assert not apply(cluster, plan(cluster, [grant()], tenants)).ok
    assert root.get(PODDEFAULT, "test-secret", namespace=tenants[0].name) == before
    adopted = plan(cluster, [grant()], tenants, adopt=True)
    assert ("spec.selector.matchLabels.other", "removed") in [
        (one.path, one.change) for one in row(adopted, "PodDefault").fields
    ]
    assert apply(cluster, adopted).ok
    after = root.get(PODDEFAULT, "test-secret", namespace=tenants[0].name)
    assert after is not None
    assert after["spec"]["selector"] == {"matchLabels": {"test-secret": "true"}}
    assert plan(cluster, [grant()], tenants).counts == {"unchanged": 2}


def test_no_key_of_others_goes_with_a_secret_that_would_have_to_be_made_anew(
    home: Home, cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    assert apply(cluster, plan(cluster, [grant()], tenants)).ok
    home.kubectl(foreign(tenants[0]))
    for adopt in (False, True):
        found = plan(cluster, [grant(type_="my/type")], tenants, adopt=adopt)
        assert row(found).action == "foreign"
        assert "somebody else's keys would go with it: theirs" in row(found).note
        apply(cluster, found)
    there = data(root.get(SECRET, "test-secret", namespace=tenants[0].name))
    assert there == {"foo": CANARY, "theirs": "x"}


def test_a_removal_says_which_keys_of_others_go_with_it(
    home: Home, cluster: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    assert apply(cluster, plan(cluster, [grant(), grant("plain")], tenants)).ok
    home.kubectl(foreign(tenants[0]))
    said = "somebody else's keys go with it: theirs."
    assert row(remove(cluster, ["test-secret"], tenants)).note == said
    assert row(remove(cluster, ["plain"], tenants), name="plain").note == ""
    pruned = plan(cluster, [grant("plain")], tenants, prune=True)
    assert (row(pruned).action, row(pruned).note) == ("delete", said)


# ── kubectl's copy ───────────────────────────────────────────────────────────


def kubectl_applies(home: Home, obj: dict[str, Any]) -> None:
    """Somebody applies an object as kubectl does by default, with a copy of it all inside."""
    if isinstance(home, Real):
        subprocess.run(
            [
                *(str(binaries.program("kubectl")), "--kubeconfig", str(home.server.kubeconfig)),
                *("apply", "-f", "-"),
            ],
            input=json.dumps(obj),
            text=True,
            check=True,
            capture_output=True,
        )
        return
    metadata = {**obj["metadata"], "annotations": {LAST_APPLIED: json.dumps(obj)}}
    home.kubectl({**obj, "metadata": metadata})


@pytest.mark.parametrize("labels", [OURS, {}], ids=["ours", "foreign"])
def test_the_copy_that_kubectl_keeps_of_the_values_is_told_and_goes_when_adopted(
    home: Home, cluster: Cluster, root: Cluster, make_tenants: Make, labels: dict[str, str]
) -> None:
    tenants = make_tenants(1)
    theirs = secret(tenants[0].name, {"foo": CANARY}, "test-secret")
    theirs["metadata"]["labels"] = labels
    kubectl_applies(home, theirs)
    found = plan(cluster, [grant()], tenants)
    (finding,) = row(found).findings
    assert (finding.code, finding.on) == ("last-applied", "test-secret")
    assert "--adopt" in finding.fix
    adopted = plan(cluster, [grant()], tenants, adopt=True)
    path = f"metadata.annotations.{LAST_APPLIED}"
    assert (path, "removed") in [(one.path, one.change) for one in row(adopted).fields]
    said = f"{found}{list(found)}{found.to_json()}{list(adopted)}{adopted.to_json()}"
    assert CANARY not in said
    assert coded(CANARY) not in said
    before = root.get(SECRET, "test-secret", namespace=tenants[0].name)
    assert apply(cluster, adopted, dry_run=True).ok
    assert root.get(SECRET, "test-secret", namespace=tenants[0].name) == before
    assert apply(cluster, adopted).ok
    after = root.get(SECRET, "test-secret", namespace=tenants[0].name)
    assert after is not None
    assert LAST_APPLIED not in (after["metadata"].get("annotations") or {})
    assert data(after) == {"foo": CANARY}
    again = plan(cluster, [grant()], tenants, adopt=True)
    assert again.counts == {"unchanged": 2}
    assert row(again).findings == ()


# ── nothing is deleted for nothing ───────────────────────────────────────────


def test_a_secret_is_not_deleted_where_its_successors_source_is_gone(
    cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    assert apply(cluster, plan(cluster, [grant()], tenants)).ok
    before = root.get(SECRET, "test-secret", namespace=tenants[0].name)
    source = secret(tenants[0].name, {"foo": "new"}, f"of-{tenants[0].name}", type="my/type")
    root.create(source)
    given = FromSecret(tenants[0].name, "of-{namespace}")
    wanted = Grant("test-secret", given, templates=["secret.from.name"])
    found = plan(cluster, [wanted], tenants)
    assert row(found).action == "recreate"
    root.delete(SECRET, f"of-{tenants[0].name}", namespace=tenants[0].name)
    assert apply(cluster, found).failed
    assert root.get(SECRET, "test-secret", namespace=tenants[0].name) == before


class Refusing:
    """A cluster whose admission takes no new Secret."""

    def __init__(self, cluster: Cluster, by: str) -> None:
        self._cluster, self._by = cluster, by

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    def create(self, *_arguments: Any, **_options: Any) -> Any:
        raise Rejected("it is refused.", by=self._by)


@pytest.mark.parametrize(("by", "kept"), [("webhook", True), ("quota", False)])
def test_a_secret_is_not_deleted_where_admission_refuses_its_successor(
    cluster: Cluster, root: Cluster, make_tenants: Make, by: str, kept: bool
) -> None:
    tenants = make_tenants(1)
    assert apply(cluster, plan(cluster, [grant()], tenants)).ok
    refusing: Any = Refusing(cluster, by)
    found = plan(cluster, [grant(type_="my/type")], tenants)
    for dry_run in (True, False):
        assert apply(refusing, found, dry_run=dry_run).ok is not kept
    there = root.get(SECRET, "test-secret", namespace=tenants[0].name)
    assert there is not None
    # a quota that is used up has room again once the old one is gone
    assert (there["type"] == "Opaque") is kept


def test_what_is_cut_between_deletion_and_creation_is_created_by_the_next_run(
    cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    assert apply(cluster, plan(cluster, [grant()], tenants)).ok
    found = plan(cluster, [grant(type_="my/type")], tenants)
    root.delete(SECRET, "test-secret", namespace=tenants[0].name)
    again = plan(cluster, [grant(type_="my/type")], tenants)
    assert [one.action for one in again] == ["create", "unchanged"]
    # the old plan will do, too
    assert apply(cluster, found).ok
    there = root.get(SECRET, "test-secret", namespace=tenants[0].name)
    assert there is not None
    assert (there["type"], data(there)) == ("my/type", {"foo": CANARY})


# ── what cannot be ───────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Grant("g", "No Such Name"), "cannot be the name of a secret"),
        (grant("g" * 53), "52"),
    ],
)
def test_a_name_that_cannot_be_is_said_before_anything_is_sent(
    cluster: Cluster, root: Cluster, make_tenants: Make, wanted: Grant, words: str
) -> None:
    tenants = make_tenants(1)
    found = plan(cluster, [wanted], tenants)
    assert {one.action for one in found} == {"invalid"}
    assert all(words in one.note for one in found)
    apply(cluster, found)
    assert list(root.list(PODDEFAULT, namespace=tenants[0].name)) == []


def test_values_that_grow_over_the_limit_for_one_tenant_are_said(
    cluster: Cluster, make_tenants: Make
) -> None:
    (one,) = make_tenants(1)
    limit = SecretBytes(b"{namespace}" + b"x" * ((1 << 20) - len(one.name)))
    wanted = Grant("g", SecretObject("g", {"a": limit}), templates=["secret.data"])
    other = Tenant(f"{one.name}-longer", injected=True)
    fits, grew = (plan(cluster, [wanted], [tenant]) for tenant in (one, other))
    assert row(fits, name="g").action == "create"
    assert row(grew, name="g").action == "invalid"
    assert "over 1 MiB" in row(grew, name="g").note


@pytest.mark.parametrize("same", ["path", "volume"])
def test_a_clash_of_two_choices_is_foreseen(
    home: Home, cluster: Cluster, make_tenants: Make, same: str
) -> None:
    tenants = make_tenants(1)
    theirs = poddefault(tenants[0].name, "theirs")
    theirs["metadata"]["labels"] = {}
    ours = grant().for_tenant(tenants[0]).poddefault()["spec"]
    (mount,) = (one for one in ours["volumeMounts"] if "test-secret" in one["mountPath"])
    if same == "path":
        theirs["spec"]["volumeMounts"][0]["mountPath"] = mount["mountPath"]
    else:
        for one in (theirs["spec"]["volumes"][0], theirs["spec"]["volumeMounts"][0]):
            one["name"] = mount["name"]
    home.kubectl(theirs)
    found = row(plan(cluster, [grant()], tenants), "PodDefault")
    assert found.action == "create"
    assert {"path": "mount-path-clash", "volume": "volume-clash"}[same] in {
        one.code for one in found.findings
    }
    assert any(one.severity == "error" for one in found.findings)


@pytest.mark.slow
@pytest.mark.platform
def test_a_tenant_that_is_going_or_gone_does_not_keep_others_from_theirs(
    api_server: ApiServer, tenant_labels: dict[str, str]
) -> None:
    names = [f"leaving-{number}-{uuid.uuid4().hex[:6]}" for number in range(3)]
    for name in names:
        api_server.create_tenant(name, labels=tenant_labels)
    with administrator(api_server) as cluster:
        leave(api_server, cluster, *tenants(cluster, names=names))


def leave(
    api_server: ApiServer, cluster: Cluster, going: Tenant, gone: Tenant, stays: Tenant
) -> None:
    planned = plan(cluster, [grant()], [going, gone, stays])
    for one in (going, gone):
        assert api_server.call("DELETE", f"/api/v1/namespaces/{one.name}").status == 200
    path = f"/api/v1/namespaces/{gone.name}"
    space = api_server.call("GET", path).body
    space["spec"]["finalizers"] = []
    assert api_server.call("PUT", f"{path}/finalize", space).status == 200
    report = apply(cluster, planned)
    outcomes = {(one.tenant, one.kind): one.outcome for one in report}
    assert outcomes[going.name, "Secret"] == outcomes[gone.name, "Secret"] == "failed"
    assert outcomes[stays.name, "PodDefault"] == "done"
    errors = {one.tenant: str(one.error) for one in report if one.kind == "Secret"}
    assert "the namespace is being deleted" in errors[going.name]
    assert f"has no namespace {gone.name!r}" in errors[gone.name]
    # and it is said before anything is sent, where it is known
    found = plan(cluster, [grant()], tenants(cluster, names=[going.name, stays.name]))
    assert [(one.action, one.note) for one in found if one.tenant == going.name] == [
        ("invalid", "the namespace is being deleted.")
    ] * 2
    assert replace(stays, going=True).to_json() == stays.to_json()
