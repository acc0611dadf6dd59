"""New values reach whom they can, no pod loses a Secret that it uses, and what is ours can go."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from admin.barred import Barred
from admin.copies import copied
from rig.homes import Home, data, poddefault, secret

from kfsecrets_ext.admin import (
    Grant,
    NotGranted,
    Plan,
    SecretObject,
    Tenant,
    TenantChoice,
    Use,
    apply,
    generic,
    plan,
    remove,
    rotate,
    uses,
)
from kfsecrets_ext.cluster import POD, PODDEFAULT, SECRET, Cluster
from kfsecrets_ext.errors import Forbidden, InvalidName
from kfsecrets_ext.values import SecretBytes

Make = Callable[..., list[Tenant]]
OLD, NEW = "canary-old-Zq7vXw2LmT", "canary-new-Zq7vXw2LmT"


def values(**data: str) -> SecretObject:
    return generic("x", [(key, SecretBytes(data[key].encode())) for key in data])


def granted(cluster: Cluster, tenants: Sequence[Tenant], **options: Any) -> Grant:
    made = values(foo=OLD)
    grant = Grant("test-secret", SecretObject("test-secret", made.data), **options)
    assert apply(cluster, plan(cluster, [grant], tenants)).ok
    return grant


def secrets(cluster: Cluster, tenant: Tenant) -> dict[str, dict[str, str]]:
    return {
        one["metadata"]["name"]: data(one) for one in cluster.list(SECRET, namespace=tenant.name)
    }


def actions(given: Plan) -> list[tuple[str, str]]:
    return [(one.kind, one.action) for one in given]


def run_pod(cluster: Cluster, tenant: Tenant, name: str, **spec: Any) -> None:
    cluster.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": tenant.name,
                "labels": {"notebook-name": name.removesuffix("-0")},
            },
            "spec": {"containers": [{"name": "nb", "image": "none"}], **spec},
        }
    )


def mounting(secret_name: str, **mount: str) -> dict[str, Any]:
    container = {
        "name": "nb",
        "image": "none",
        "volumeMounts": [{"name": "v", "mountPath": "/v", **mount}],
    }
    volume = {"name": "v", "secret": {"secretName": secret_name}}
    return {"containers": [container], "volumes": [volume]}


def reading(secret_name: str) -> dict[str, Any]:
    reference = {"secretKeyRef": {"name": secret_name, "key": "foo"}}
    env = [{"name": "FOO", "valueFrom": reference}]
    return {"containers": [{"name": "nb", "image": "none", "env": env}]}


# ── rotate ───────────────────────────────────────────────────────────────────


def test_a_rotation_by_name_brings_values_and_leaves_the_poddefault_as_it_is(
    cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(2)
    granted(cluster, tenants[:1], desc="one", mount_path="/one")
    granted(cluster, tenants[1:], desc="two", items={"foo": "x/y"}, required=True, can_mount=True)
    found = rotate(cluster, "test-secret", tenants, values(foo=NEW))
    assert found.plans == (found.rest,)
    assert actions(found.rest) == [("Secret", "change"), ("PodDefault", "unchanged")] * 2
    assert [one.path for change in found.rest for one in change.fields] == ["data.foo"] * 2
    assert apply(cluster, found.rest).ok
    for one in tenants:
        assert secrets(root, one) == {"test-secret": {"foo": NEW}}
    assert OLD not in f"{found!r}{json.dumps(found.to_json())}"
    assert NEW not in f"{found!r}{json.dumps(found.to_json())}"


def test_a_canary_comes_first_and_the_rest_is_as_it_was(
    cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(3)
    granted(cluster, tenants)
    for canary in ([tenants[1].name], 1):
        found = rotate(cluster, "test-secret", tenants, values(foo=NEW), canary=canary)
        first = tenants[1 if canary != 1 else 0]
        assert {one.tenant for one in found.canary} == {first.name}
        assert {one.tenant for one in found.rest} == {one.name for one in tenants} - {first.name}
        assert found.plans == (found.canary, found.rest)
    assert apply(cluster, found.canary).ok
    assert [secrets(root, one)["test-secret"]["foo"] for one in tenants] == [NEW, OLD, OLD]
    # the rest is planned already, and still holds
    assert apply(cluster, found.rest).ok
    assert {secrets(root, one)["test-secret"]["foo"] for one in tenants} == {NEW}
    with pytest.raises(InvalidName, match="nobody"):
        rotate(cluster, "test-secret", tenants, values(foo=NEW), canary=["nobody"])


@pytest.mark.parametrize("option", ["immutable", "append_hash"])
def test_an_older_secret_stays_while_a_pod_uses_it_and_goes_when_none_does(
    cluster: Cluster, root: Cluster, make_tenants: Make, option: str
) -> None:
    used, unused = tenants = make_tenants(2)
    grant = granted(cluster, tenants, **{option: True})
    (old,) = secrets(root, used)
    made = root.get(SECRET, old, namespace=used.name)
    assert made is not None
    assert bool(made.get("immutable")) == (option == "immutable")
    run_pod(root, used, "nb-0", **mounting(old))

    found = rotate(cluster, "test-secret", tenants, values(foo=NEW))
    assert (
        actions(found.rest)
        == [
            ("Secret", "create"),
            ("PodDefault", "change"),
            ("Secret", "keep"),
        ]
        * 2
    )
    assert found.uses == (Use(used.name, "nb-0", "nb", old, "volume"),)
    assert apply(cluster, found.rest).ok
    for one in tenants:
        there = secrets(root, one)
        assert sorted(value["foo"] for value in there.values()) == [NEW, OLD]
        shown = root.get(PODDEFAULT, "test-secret", namespace=one.name)
        assert shown is not None
        name = shown["spec"]["volumes"][0]["secret"]["secretName"]
        assert there[name] == {"foo": NEW}

    renewed = Grant("test-secret", SecretObject("test-secret", values(foo=NEW).data))
    renewed = Grant(**{**vars(grant), "secret": renewed.secret})
    tidy = plan(cluster, [renewed], tenants, prune=True)
    ends = {one.tenant: one for one in tidy if one.name == old}
    assert ends[used.name].action == "keep"
    assert "pod nb-0 uses it" in ends[used.name].note
    assert ends[unused.name].action == "delete"
    assert apply(cluster, tidy).ok
    assert old in secrets(root, used)
    assert list(secrets(root, unused).values()) == [{"foo": NEW}]
    root.delete(POD, "nb-0", namespace=used.name)
    gone = rotate(cluster, renewed, [used], prune=True)
    assert [(one.name, one.action) for one in gone.rest if one.writes] == [(old, "delete")]


def test_an_older_secret_stays_where_the_new_one_could_not_be_written(
    home: Home, cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    granted(cluster, tenants, append_hash=True)
    broken = Grant(
        "test-secret",
        SecretObject("test-secret", values(foo="{nobody}").data),
        append_hash=True,
        templates=["secret.data"],
    )
    found = plan(cluster, [broken], tenants, prune=True)
    assert [one.action for one in found] == ["invalid", "invalid"]
    apply(cluster, found)
    assert list(secrets(root, tenants[0]).values()) == [{"foo": OLD}]


def test_the_pods_that_keep_the_old_values_are_named(
    cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    granted(cluster, tenants)
    run_pod(root, tenants[0], "whole-0", **mounting("test-secret"))
    run_pod(root, tenants[0], "part-0", **mounting("test-secret", subPath="foo"))
    run_pod(root, tenants[0], "env-0", **reading("test-secret"))
    run_pod(root, tenants[0], "other-0", **mounting("other"))
    found = rotate(cluster, "test-secret", tenants, values(foo=NEW))
    assert found.uses is not None
    assert [(one.notebook, one.how) for one in found.uses] == [
        ("env", "environment"),
        ("part", "subPath"),
    ]
    every = uses(cluster, [tenants[0].name], ["test-secret"])
    assert [(one.pod, one.refreshes) for one in every] == [
        ("env-0", False),
        ("part-0", False),
        ("whole-0", True),
    ]


def test_every_way_in_which_a_pod_uses_a_secret_is_known(
    cluster: Cluster, make_tenants: Make
) -> None:
    (tenant,) = make_tenants(1)
    projected = {"name": "p", "projected": {"sources": [{"secret": {"name": "projected"}}]}}
    container = {
        "name": "nb",
        "image": "none",
        "envFrom": [{"secretRef": {"name": "env-from"}}],
        "volumeMounts": [{"name": "p", "mountPath": "/p"}],
    }
    start = {**reading("init")["containers"][0], "name": "start"}
    run_pod(
        cluster,
        tenant,
        "nb-0",
        containers=[container],
        initContainers=[start],
        volumes=[projected, {"name": "idle", "secret": {"secretName": "idle"}}],
        imagePullSecrets=[{"name": "pull"}],
    )
    names = ["projected", "env-from", "init", "pull", "idle", "none"]
    found = {one.secret: one.how for one in uses(cluster, [tenant.name], names)}
    assert found == {
        "projected": "volume",
        "env-from": "environment",
        "init": "environment",
        "pull": "image pull",
        "idle": "volume",
    }


def test_what_was_never_granted_cannot_be_rotated_or_is_somebodys(
    home: Home, cluster: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(2)
    granted(cluster, tenants[:1])
    theirs = poddefault(tenants[1].name, "test-secret")
    del theirs["metadata"]["labels"]
    home.kubectl(theirs)
    with pytest.raises(NotGranted) as caught:
        rotate(cluster, "test-secret", tenants, values(foo=NEW))
    assert caught.value.tenants == (tenants[1].name,)
    with pytest.raises(NotGranted):
        rotate(cluster, "nothing-of-the-kind", None, values(foo=NEW))
    with pytest.raises(InvalidName, match="new values"):
        rotate(cluster, "test-secret", tenants)
    # by name and everywhere: only who has it
    found = rotate(cluster, "test-secret", None, values(foo=NEW)).rest
    assert tenants[1].name not in {one.tenant for one in found}
    assert tenants[0].name in {one.tenant for one in found}


def test_a_choice_that_names_nobody_means_those_that_have_the_grant(
    cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(4)
    grant = granted(cluster, tenants[1:3])
    group = tenants[0].labels["test/group"]
    choice = TenantChoice(selector=f"test/group={group}")
    renewed = replace(grant, secret=SecretObject("test-secret", values(foo=NEW).data))
    bare = (tenants[0].name, tenants[3].name)
    for found in (
        rotate(cluster, "test-secret", choice, values(foo=NEW), canary=1),
        rotate(cluster, renewed, choice, canary=1),
        rotate(cluster, replace(renewed, tenants=choice), canary=1),
        rotate(
            cluster, replace(renewed, tenants=TenantChoice(names=[one.name for one in tenants]))
        ),
    ):
        assert found.without == bare
        assert found.to_json()["without"] == list(bare)
        assert [one.tenant for part in found.plans for one in part if one.kind == "Secret"] == [
            one.name for one in tenants[1:3]
        ]
        assert {one.action for part in found.plans for one in part} == {"change", "unchanged"}
    # who is named has to have it
    named = TenantChoice(names=(tenants[0].name,), selector=choice.selector)
    for given in (named, tenants):
        for what in ("test-secret", renewed):
            with pytest.raises(NotGranted) as caught:
                rotate(cluster, what, given, values(foo=NEW))
            assert set(caught.value.tenants) <= set(bare)
    with pytest.raises(NotGranted) as caught:
        rotate(cluster, "other", choice, values(foo=NEW))
    assert len(caught.value.tenants) == 4
    for part in found.plans:
        assert apply(cluster, part).ok
    assert [secrets(root, one) for one in tenants] == [
        {},
        *[{"test-secret": {"foo": NEW}}] * 2,
        {},
    ]


def test_a_rotation_does_not_say_that_nothing_was_granted_where_it_may_not_look(
    cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(3)
    grant = granted(cluster, tenants)
    barred: Any = Barred(cluster, f"list poddefaults in {tenants[1].name}")
    for what in ("test-secret", grant):
        with pytest.raises(Forbidden) as caught:
            rotate(barred, what, tenants, values(foo=NEW))
        assert str(caught.value) == (
            f"{cluster.who} may not list PodDefaults in {tenants[1].name}: whether 'test-secret' "
            "was granted there is not known."
        )
    # among those that need not have it, the others get theirs
    choice = TenantChoice(selector=f"test/group={tenants[0].labels['test/group']}")
    found = rotate(barred, "test-secret", choice, values(foo=NEW), canary=1)
    rows = [(one.tenant, one.kind, one.action) for one in found.rest]
    assert rows == [
        (tenants[1].name, "PodDefault", "forbidden"),
        (tenants[2].name, "Secret", "change"),
        (tenants[2].name, "PodDefault", "unchanged"),
    ]
    assert apply(cluster, found.canary).ok
    report = apply(cluster, found.rest)
    assert report.tenants_left == (tenants[1].name,)
    assert [secrets(root, one)["test-secret"]["foo"] for one in tenants] == [NEW, OLD, NEW]
    # nor is one of those a canary that is only counted
    first: Any = Barred(cluster, f"list poddefaults in {tenants[0].name}")
    found = rotate(first, "test-secret", choice, values(foo=NEW), canary=1)
    assert [one.name for one in found.canary.tenants] == [tenants[1].name]
    with pytest.raises(Forbidden, match="may not list PodDefaults"):
        rotate(Barred(cluster, "list poddefaults"), "nothing", choice, values(foo=NEW))  # type: ignore[arg-type]


def test_the_note_of_an_older_secret_names_commands_that_delete_it(
    cluster: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    granted(cluster, tenants, append_hash=True)
    found = rotate(cluster, "test-secret", tenants, values(foo=NEW)).rest
    (older,) = (one for one in found if one.action == "keep")
    assert "`jupyter kfsecrets rotate test-secret --prune`" in older.note
    assert "`jupyter kfsecrets apply -f FILE --prune`" in older.note
    assert apply(cluster, found).ok
    tidy = rotate(cluster, "test-secret", tenants, values(foo=NEW), prune=True).rest
    assert [(one.name, one.action) for one in tidy if one.writes] == [(older.name, "delete")]


def test_the_secret_that_something_else_brings_is_not_rotated(
    home: Home, cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    apply(cluster, plan(cluster, [Grant("db", "db")], tenants))
    theirs = secret(tenants[0].name, {"foo": OLD}, "db")
    del theirs["metadata"]["labels"]
    home.kubectl(theirs)
    found = rotate(cluster, "db", tenants, values(foo=NEW)).rest
    assert {one.action for one in found if one.kind == "Secret"} == {"foreign"}
    apply(cluster, found)
    assert secrets(root, tenants[0]) == {"db": {"foo": OLD}}


# ── remove ───────────────────────────────────────────────────────────────────


def test_a_removal_takes_the_poddefault_first_and_what_is_ours_alone(
    home: Home, cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(2)
    granted(cluster, tenants)
    granted_too = Grant("hashed", SecretObject("hashed", values(foo=OLD).data), append_hash=True)
    apply(cluster, plan(cluster, [granted_too], tenants))
    for one in tenants:
        theirs = secret(one.name, {"a": "x"}, "hashed")
        del theirs["metadata"]["labels"]
        home.kubectl(theirs)
    root.create(secret(tenants[0].name, {"a": "x"}, "by-hand"))
    found = remove(cluster, ["hashed", "by-hand", "nothing"], tenants)
    assert [(one.tenant, one.kind, one.name.partition("-")[0]) for one in found] == [
        (tenants[0].name, "PodDefault", "hashed"),
        (tenants[0].name, "Secret", "by"),
        (tenants[0].name, "Secret", "hashed"),
        (tenants[1].name, "PodDefault", "hashed"),
        (tenants[1].name, "Secret", "hashed"),
    ]
    assert {one.action for one in found} == {"delete"}
    assert apply(cluster, found).ok
    for one in tenants:
        assert set(secrets(root, one)) == {"test-secret", "hashed"}
    assert len(remove(cluster, ["hashed"], tenants)) == 0


def test_a_removal_everywhere_finds_all_tenants_and_says_who_still_uses_it(
    cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(2)
    name = f"only-{tenants[0].name}"
    grant = Grant(name, SecretObject(name, values(foo=OLD).data))
    apply(cluster, plan(cluster, [grant], tenants))
    run_pod(root, tenants[1], "nb-0", **mounting(name))
    found = remove(cluster, [name])
    assert [(one.tenant, one.kind, one.note) for one in found] == [
        (tenants[0].name, "PodDefault", ""),
        (tenants[0].name, "Secret", ""),
        (tenants[1].name, "PodDefault", ""),
        (tenants[1].name, "Secret", "still used by pod nb-0."),
    ]


def test_a_secret_whose_poddefault_may_not_be_deleted_stays(
    cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    granted(cluster, tenants, required=True)
    root.create(secret(tenants[0].name, {"a": "x"}, "alone"))
    barred: Any = Barred(cluster, "delete poddefaults")
    found = remove(barred, ["test-secret", "alone"], tenants)
    assert [(one.kind, one.name, one.action) for one in found] == [
        ("PodDefault", "test-secret", "forbidden"),
        ("Secret", "alone", "delete"),
        ("Secret", "test-secret", "forbidden"),
    ]
    assert list(found)[2].note == "its PodDefault may not be deleted."
    assert not apply(cluster, found).ok
    assert set(secrets(root, tenants[0])) == {"test-secret"}
    assert root.get(PODDEFAULT, "test-secret", namespace=tenants[0].name) is not None


def test_a_secret_stays_where_it_is_not_known_whether_a_poddefault_asks_for_it(
    cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    granted(cluster, tenants, required=True)
    barred: Any = Barred(cluster, "list poddefaults", "delete poddefaults")
    found = remove(barred, ["test-secret"], tenants)
    assert actions(found) == [("PodDefault", "forbidden"), ("Secret", "forbidden")]
    assert "PodDefaults may not be read here" in list(found)[1].note
    apply(cluster, found)
    assert set(secrets(root, tenants[0])) == {"test-secret"}


@pytest.mark.parametrize("number", [2, 6])
@pytest.mark.parametrize("kind", ["Secret", "PodDefault"])
def test_a_removal_says_what_it_may_not_see_and_is_no_success(
    cluster: Cluster, root: Cluster, make_tenants: Make, kind: str, number: int
) -> None:
    tenants = make_tenants(number)
    granted(cluster, tenants[:1])
    barred: Any = Barred(cluster, f"list {kind.lower()}s")
    found = remove(barred, ["test-secret", "other"], tenants)
    hidden = [one for one in found if one.kind == kind]
    assert [(one.tenant, one.name, one.action) for one in hidden] == [
        (one.name, name, "forbidden") for one in tenants for name in ("other", "test-secret")
    ]
    assert all(
        one.note == f"{cluster.who} may not list {kind}s here: whether there is one is not known, "
        "and it stays."
        for one in hidden
    )
    report = apply(cluster, found)
    assert not report.ok
    assert set(report.tenants_left) == {one.name for one in tenants}
    assert set(secrets(root, tenants[0])) == {"test-secret"}
    gone = root.get(PODDEFAULT, "test-secret", namespace=tenants[0].name) is None
    # no notebook starts any more with a mount of what is to go
    assert gone == (kind == "Secret")


def test_whom_the_server_does_not_know_is_not_told_that_there_is_nothing(
    cluster: Cluster, make_tenants: Make
) -> None:
    class Unknown(Barred):
        def list(self, *_given: Any, **_options: Any) -> Any:
            raise Forbidden("the server does not know who asks.", reason="Unauthorized")

    unknown: Any = Unknown(cluster)
    for number in (1, 6):
        tenants = make_tenants(number)
        with pytest.raises(Forbidden, match="does not know"):
            remove(unknown, ["test-secret"], tenants)
        with pytest.raises(Forbidden, match="does not know"):
            rotate(unknown, "test-secret", tenants, values(foo=NEW))


def test_copies_of_kyverno_are_not_removed_though_they_keep_our_labels(
    home: Home, cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    source, tenant = make_tenants(2)
    granted(cluster, [source])
    copied(root, source, tenant)
    found = remove(cluster, ["test-secret"], [source, tenant])
    assert {one.tenant for one in found} == {source.name}
    assert apply(cluster, found).ok
    assert set(secrets(root, tenant)) == {"test-secret"}


def test_where_pods_may_not_be_read_in_one_tenant_those_of_the_others_are_named(
    cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(6)
    granted(cluster, tenants)
    run_pod(root, tenants[0], "nb-0", **mounting("test-secret"))
    barred: Any = Barred(cluster, f"list pods in {tenants[1].name}")
    for some in (tenants[:2], tenants):
        found = remove(barred, ["test-secret"], some)
        assert [one.note for one in found if one.kind == "Secret"] == [
            "still used by pod nb-0.",
            "whether a pod uses it is not known: pods may not be read here.",
            *[""] * (len(some) - 2),
        ]
