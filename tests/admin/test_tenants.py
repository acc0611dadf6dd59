"""Tenants are found by what an administrator has of them: names, labels, or all."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable

import pytest
from rig.apiserver import KUBEFLOW_LABELS, ApiServer
from rig.homes import Home

from kfsecrets_ext.admin import (
    SourceError,
    Tenant,
    TenantNotFound,
    read_names,
    tenants,
    wait_for_tenant,
)
from kfsecrets_ext.cluster import Cluster, connect
from kfsecrets_ext.errors import Forbidden

Make = Callable[..., list[Tenant]]


def test_a_tenant_has_a_name_an_owner_and_what_the_webhook_sees(make_tenants: Make) -> None:
    (one,) = make_tenants(1)
    assert one.owner == f"{one.name}@example.com"
    assert one.injected is True
    assert one.fix is None
    assert one.to_json() == {
        "name": one.name,
        "owner": one.owner,
        "injected": True,
        "fix": None,
    }


def test_they_are_chosen_by_label_by_name_and_all_at_once(
    cluster: Cluster, make_tenants: Make
) -> None:
    some, others = make_tenants(2), make_tenants(1, team="ml")
    group = some[0].labels["test/group"]
    assert tenants(cluster, selector=f"test/group={group}") == some
    assert tenants(
        cluster,
        names=[some[1].name],
        selector=f"test/group in ({others[0].labels['test/group']}),team=ml",
    ) == sorted([some[1], *others], key=lambda one: one.name)
    everyone = tenants(cluster, everyone=True)
    assert all(one in everyone for one in (*some, *others))
    assert [one.name for one in everyone] == sorted(one.name for one in everyone)


def test_a_namespace_without_the_label_is_no_tenant_and_its_mending_is_told(
    home: Home, cluster: Cluster, root: Cluster
) -> None:
    for labels, flag in (({}, ""), ({"app.kubernetes.io/part-of": "x"}, " --overwrite")):
        name = f"plain-{uuid.uuid4().hex[:8]}"
        root.create(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name, "labels": labels},
            }
        )
        (one,) = tenants(cluster, names=[name])
        assert (one.injected, one.owner) == (False, None)
        assert one.fix == (
            f"kubectl label{flag} namespace {name} app.kubernetes.io/part-of=kubeflow-profile"
        )
        assert name not in [one.name for one in tenants(cluster, everyone=True)]


def test_a_namespace_that_is_not_there_is_named(cluster: Cluster, make_tenants: Make) -> None:
    (one,) = make_tenants(1)
    with pytest.raises(TenantNotFound) as caught:
        tenants(cluster, names=[one.name, "nobody-at-all"])
    assert caught.value.names == ("nobody-at-all",)
    assert "--wait" in str(caught.value)


def test_a_tenant_that_logs_in_later_is_waited_for(home: Home, cluster: Cluster) -> None:
    name = f"late-{uuid.uuid4().hex[:8]}"
    found: list[Tenant] = []
    waiter = threading.Thread(target=lambda: found.append(wait_for_tenant(cluster, name)))
    waiter.start()
    time.sleep(0.3)
    assert not found
    with home.connect() as other:
        other.create(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {
                    "name": name,
                    "labels": dict(home.labels),
                    "annotations": {"owner": "late@example.com"},
                },
            }
        )
    waiter.join()
    assert [(one.name, one.owner, one.injected) for one in found] == [
        (name, "late@example.com", True)
    ]
    assert wait_for_tenant(cluster, name) == found[0]


def test_waiting_ends_when_the_time_is_over(cluster: Cluster) -> None:
    with pytest.raises(TenantNotFound):
        wait_for_tenant(cluster, "nobody-at-all", timeout=0.3)


def test_a_file_of_names_may_have_comments_and_repeats() -> None:
    assert read_names("# team\nalice\n  bob # x\n\nalice\r\n") == ("alice", "bob")


@pytest.mark.slow
@pytest.mark.platform
def test_a_tenant_finds_itself_and_may_not_look_for_others(
    api_server: ApiServer, tenant_labels: dict[str, str]
) -> None:
    mine, other = (f"own-{uuid.uuid4().hex[:8]}" for _ in range(2))
    for name in (mine, other):
        api_server.create_tenant(name, labels=tenant_labels)
    editor = f"system:serviceaccount:{mine}:default-editor"
    with connect(kubeconfig=api_server.kubeconfig, impersonate=editor) as cluster:
        assert [one.owner for one in tenants(cluster, names=[mine])] == [f"{mine}@example.com"]
        (unread,) = tenants(cluster, names=[other])
        assert (unread.owner, unread.injected, unread.fix) == (None, None, None)
        with pytest.raises(Forbidden):
            tenants(cluster, everyone=True)


@pytest.mark.slow
@pytest.mark.platform
def test_a_namespace_that_is_going_gets_nothing_unless_it_is_named(
    api_server: ApiServer,
) -> None:
    name = f"going-{uuid.uuid4().hex[:8]}"
    api_server.create_tenant(name, labels=KUBEFLOW_LABELS)
    # nothing finalizes namespaces on the rig, so that it stays on its way
    api_server.call("DELETE", f"/api/v1/namespaces/{name}")
    with connect(kubeconfig=api_server.kubeconfig) as cluster:
        assert name not in [one.name for one in tenants(cluster, everyone=True)]
        assert [one.name for one in tenants(cluster, names=[name])] == [name]


@pytest.mark.parametrize("line", ["tOkEn-7f3a9e", "a_b", "x" * 64, "alice bob", "-a", "p@ss"])
def test_a_line_that_is_no_name_is_told_by_its_number(line: str) -> None:
    with pytest.raises(SourceError) as caught:
        read_names(f"alice\n\n{line}\n")
    assert "line 3" in str(caught.value)
    assert line not in str(caught.value)
