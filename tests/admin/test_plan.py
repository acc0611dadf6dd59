"""A plan says what an apply would do, writes nothing, and shows names alone."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from admin.barred import Barred
from admin.copies import copied
from rig.homes import Home, coded, data, poddefault, secret

from kfsecrets_ext.admin import (
    GRANT_LABEL,
    Change,
    FromSecret,
    Grant,
    Plan,
    SecretObject,
    Tenant,
    TenantChoice,
    apply,
    docker_registry,
    generic,
    plan,
    preset,
    rotate,
)
from kfsecrets_ext.admin import tenants as find_tenants
from kfsecrets_ext.admin.handover import SOURCE_NAMESPACE
from kfsecrets_ext.cluster import NAMESPACE, PODDEFAULT, SECRET, Cluster
from kfsecrets_ext.errors import Conflict, InvalidName
from kfsecrets_ext.values import SecretBytes

Make = Callable[..., list[Tenant]]
CANARY = "canary-Zq7vXw2LmT"


def grant(name: str = "test-secret", type_: str | None = None, **data: str) -> Grant:
    values = {key: SecretBytes(value.encode()) for key, value in (data or {"foo": CANARY}).items()}
    return Grant(name, SecretObject(name, values, type_))


def rows(given: Plan) -> list[tuple[str, str, str]]:
    return [(one.kind, one.name, one.action) for one in given]


def row(given: Plan, kind: str, name: str = "test-secret") -> Change:
    (found,) = [one for one in given if (one.kind, one.name) == (kind, name)]
    return found


def paths(change: Change) -> list[tuple[str, str]]:
    return [(one.path, one.change) for one in change.fields]


def stored(cluster: Cluster, tenants: Sequence[Tenant]) -> dict[tuple[str, str, str], str]:
    """The versions of all that is in tenants: equal means that nothing was written."""
    return {
        (kind.kind, one.name, obj["metadata"]["name"]): obj["metadata"]["resourceVersion"]
        for kind in (SECRET, PODDEFAULT)
        for one in tenants
        for obj in cluster.list(kind, namespace=one.name)
    }


def test_what_is_granted_is_created_once_and_unchanged_ever_after(
    cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(2)
    first = plan(cluster, [grant()], tenants)
    assert (
        rows(first)
        == [
            ("Secret", "test-secret", "create"),
            ("PodDefault", "test-secret", "create"),
        ]
        * 2
    )
    assert first.counts == {"create": 4}
    assert stored(root, tenants) == {}
    report = apply(cluster, first)
    assert report.ok
    assert report.counts == {"done": 4}
    for one in tenants:
        made = root.get(SECRET, "test-secret", namespace=one.name)
        assert data(made) == {"foo": CANARY}
        assert made is not None
        assert made["metadata"]["labels"] == {
            "app.kubernetes.io/managed-by": "kfsecrets-ext",
            GRANT_LABEL: "test-secret",
        }
    before = stored(root, tenants)
    again = plan(cluster, [grant()], tenants)
    assert again.counts == {"unchanged": 4}
    assert again.pending == 0
    assert apply(cluster, again).counts == {"unchanged": 4}
    assert stored(root, tenants) == before


def test_the_lists_of_a_cluster_say_what_those_of_its_namespaces_say(
    cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(6)
    apply(cluster, plan(cluster, [grant()], tenants[:3]))
    root.create(secret(tenants[4].name, {"x": "y"}, "test-secret", version=None) | {})
    wanted = [grant(foo="new"), grant("other")]
    whole = plan(cluster, wanted, tenants)
    each = [one for some in tenants for one in plan(cluster, wanted, [some])]
    assert list(whole) == each
    assert {one.action for one in whole} == {"create", "change", "unchanged"}


def test_the_difference_of_a_secret_is_names_of_keys(
    cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    apply(cluster, plan(cluster, [grant(foo=CANARY, bar="1", old=CANARY)], tenants))
    changed = plan(cluster, [grant(foo=CANARY + "2", bar="1", new=CANARY)], tenants)
    assert paths(row(changed, "Secret")) == [
        ("data.foo", "changed"),
        ("data.new", "added"),
        ("data.old", "removed"),
    ]
    assert row(changed, "PodDefault").action == "unchanged"
    said = f"{changed!r}{list(changed)}{json.dumps(changed.to_json())}{changed.book!r}"
    assert CANARY not in said
    assert coded(CANARY)[:12] not in said
    apply(cluster, changed)
    made = root.get(SECRET, "test-secret", namespace=tenants[0].name)
    assert data(made) == {"foo": CANARY + "2", "bar": "1", "new": CANARY}
    assert plan(cluster, [grant(foo=CANARY + "2", bar="1", new=CANARY)], tenants).pending == 0


def test_the_difference_of_a_poddefault_is_paths(cluster: Cluster, make_tenants: Make) -> None:
    tenants = make_tenants(1)
    apply(cluster, plan(cluster, [grant()], tenants))
    other = replace(grant(), desc="Shown", mount_path="/elsewhere", can_mount=True)
    changed = plan(cluster, [other], tenants)
    assert paths(row(changed, "PodDefault")) == [
        ("spec.desc", "changed"),
        ("spec.volumeMounts", "changed"),
    ]
    assert paths(row(changed, "Secret")) == [
        ("metadata.labels.notebooks.kubeflow.org/can-mount", "added")
    ]
    assert apply(cluster, changed).ok
    assert plan(cluster, [other], tenants).pending == 0
    assert paths(row(plan(cluster, [grant()], tenants), "Secret")) == [
        ("metadata.labels.notebooks.kubeflow.org/can-mount", "removed")
    ]
    assert apply(cluster, plan(cluster, [grant()], tenants)).ok
    assert plan(cluster, [grant()], tenants).pending == 0


def test_a_new_type_is_a_new_secret_and_the_plan_says_so(
    cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    apply(cluster, plan(cluster, [grant()], tenants))
    before = root.get(SECRET, "test-secret", namespace=tenants[0].name)
    changed = plan(cluster, [grant(type_="my/type")], tenants)
    one = row(changed, "Secret")
    assert one.action == "recreate"
    assert paths(one)[0] == ("data.foo", "changed") or ("type", "changed") in paths(one)
    assert "deleted and created" in one.note
    assert apply(cluster, changed).ok
    after = root.get(SECRET, "test-secret", namespace=tenants[0].name)
    assert before is not None
    assert after is not None
    assert after["type"] == "my/type"
    assert after["metadata"]["uid"] != before["metadata"]["uid"]


# ── what is not ours ─────────────────────────────────────────────────────────


def test_a_foreign_secret_is_left_as_it_is_and_so_is_the_grant(
    home: Home, cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    theirs = secret(tenants[0].name, {"theirs": "x"}, "test-secret")
    del theirs["metadata"]["labels"]
    home.kubectl(theirs)
    before = stored(root, tenants)
    found = plan(cluster, [grant()], tenants)
    assert [one.action for one in found] == ["foreign", "foreign"]
    assert "--adopt" in row(found, "Secret").note
    report = apply(cluster, found)
    assert report.counts == {"skipped": 2}
    assert not report.ok
    assert stored(root, tenants) == before


def test_a_foreign_secret_is_taken_over_when_told_and_keeps_its_keys(
    home: Home, cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    theirs = secret(tenants[0].name, {"theirs": "x", "foo": "old"}, "test-secret")
    del theirs["metadata"]["labels"]
    home.kubectl(theirs)
    found = plan(cluster, [grant()], tenants, adopt=True)
    one = row(found, "Secret")
    assert one.action == "change"
    assert one.note == "taken over; somebody else's keys stay: theirs."
    assert ("data.foo", "changed") in paths(one)
    assert apply(cluster, found).ok
    made = root.get(SECRET, "test-secret", namespace=tenants[0].name)
    assert data(made) == {"theirs": "x", "foo": CANARY}
    assert plan(cluster, [grant()], tenants).counts == {"unchanged": 2}


def test_a_foreign_secret_of_another_type_is_not_deleted_even_when_told(
    home: Home, cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    theirs = secret(tenants[0].name, {"a": "x"}, "test-secret", type="their/type")
    del theirs["metadata"]["labels"]
    home.kubectl(theirs)
    before = stored(root, tenants)
    found = plan(cluster, [grant()], tenants, adopt=True)
    assert row(found, "Secret").action == "foreign"
    apply(cluster, found)
    assert stored(root, tenants) == before


def test_a_foreign_poddefault_is_adopted_only_when_told(
    home: Home, cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    theirs = poddefault(tenants[0].name, "test-secret")
    del theirs["metadata"]["labels"]
    home.kubectl(theirs)
    found = plan(cluster, [grant()], tenants)
    assert rows(found) == [
        ("Secret", "test-secret", "create"),
        ("PodDefault", "test-secret", "foreign"),
    ]
    version = root.get(PODDEFAULT, "test-secret", namespace=tenants[0].name)
    assert not apply(cluster, found).ok
    assert root.get(PODDEFAULT, "test-secret", namespace=tenants[0].name) == version
    adopted = plan(cluster, [grant()], tenants, adopt=True)
    assert apply(cluster, adopted).ok
    assert plan(cluster, [grant()], tenants).counts == {"unchanged": 2}


def test_a_key_that_somebody_added_to_ours_stays_and_is_told(
    home: Home, cluster: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    apply(cluster, plan(cluster, [grant()], tenants))
    added = secret(tenants[0].name, {"theirs": "x"}, "test-secret")
    del added["metadata"]["labels"]
    home.kubectl(added)
    found = plan(cluster, [grant()], tenants)
    assert row(found, "Secret").action == "unchanged"
    assert row(found, "Secret").note == "somebody else's keys stay: theirs."


# ── what cannot be ───────────────────────────────────────────────────────────


def test_one_tenant_that_cannot_get_a_grant_does_not_keep_it_from_others(
    cluster: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(2)
    nobody = replace(tenants[0], owner=None)
    wanted = Grant("g", generic("g"), desc="{owner}", templates=["podDefault.desc"])
    found = plan(cluster, [wanted], [nobody, tenants[1]])
    assert [one.action for one in found] == ["invalid", "invalid", "create", "create"]
    assert "the owner of namespace" in next(iter(found)).note
    report = apply(cluster, found)
    assert report.counts == {"done": 2, "skipped": 2}
    assert report.tenants_left == (nobody.name,)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Grant("g", SecretObject("Bad_Name")), "cannot be the name of a secret"),
        (Grant("g", SecretObject("g", {"a": SecretBytes(bytes(1 << 20) + b"x")})), "over 1 MiB"),
        (Grant("g", generic("g"), items={"nokey": "x"}), "no key 'nokey'"),
        (
            Grant("g", generic("g"), mount_path="relative"),
            "cannot be a mount path: it must start with",
        ),
        (Grant("g", FromSecret("kube-nowhere", "none")), "there is none"),
    ],
)
def test_what_the_api_server_would_refuse_is_said_before_anything_is_sent(
    cluster: Cluster, root: Cluster, make_tenants: Make, wanted: Grant, words: str
) -> None:
    tenants = make_tenants(1)
    found = plan(cluster, [wanted], tenants)
    assert {one.action for one in found} == {"invalid"}
    assert words in next(iter(found)).note
    apply(cluster, found)
    assert stored(root, tenants) == {}


def test_a_name_is_granted_to_a_tenant_once_and_a_grant_says_to_whom(
    cluster: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    with pytest.raises(InvalidName, match="two grants for tenant"):
        plan(cluster, [grant(), grant(foo="2")], tenants)
    other = Grant("other", SecretObject("test-secret"))
    with pytest.raises(InvalidName, match="test-secret and other would both write it"):
        plan(cluster, [grant(), other], tenants)
    with pytest.raises(InvalidName, match="for which tenants"):
        plan(cluster, [grant()])
    chosen = replace(grant(), tenants=TenantChoice(names=(tenants[0].name,)))
    assert plan(cluster, [chosen]).tenants == tuple(tenants)


# ── where values come from ───────────────────────────────────────────────────


def test_values_of_another_namespaces_secret_are_copied_with_its_type(
    cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    platform, *tenants = make_tenants(3)
    given = secret(platform.name, {"a": CANARY, "b": "2"}, "source", type="my/type")
    root.create(given)
    wanted = Grant("copy", FromSecret(platform.name, "source", {"a": "token"}))
    assert apply(cluster, plan(cluster, [wanted], tenants)).ok
    for one in tenants:
        made = root.get(SECRET, "copy", namespace=one.name)
        assert made is not None
        assert (data(made), made["type"]) == ({"token": CANARY}, "my/type")
    assert plan(cluster, [wanted], tenants).pending == 0


def test_each_tenant_can_have_a_source_and_values_of_its_own(
    cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    platform, *tenants = make_tenants(3)
    for one in tenants:
        root.create(secret(platform.name, {"who": f"for {one.name}"}, f"for-{one.name}"))
    wanted = Grant(
        "own",
        FromSecret(platform.name, "for-{namespace}", as_name="own-{namespace}"),
        desc="of {owner}",
        append_hash=True,
        templates=["secret.from.name", "secret.name", "podDefault.desc"],
    )
    report = apply(cluster, plan(cluster, [wanted], tenants))
    assert report.ok
    for one in tenants:
        (made,) = root.list(SECRET, namespace=one.name, labels=f"{GRANT_LABEL}=own")
        assert data(made) == {"who": f"for {one.name}"}
        assert re.fullmatch(rf"own-{one.name}-[a-z0-9]{{10}}", made["metadata"]["name"])
        shown = root.get(PODDEFAULT, "own", namespace=one.name)
        assert shown is not None
        assert shown["spec"]["desc"] == f"of {one.name}@example.com"
        volume = shown["spec"]["volumes"][0]["secret"]
        assert volume["secretName"] == made["metadata"]["name"]
    assert plan(cluster, [wanted], tenants).pending == 0


def test_of_an_existing_secret_only_the_poddefault_is_ours(
    home: Home, cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    wanted = Grant("db", "from-vault")
    found = plan(cluster, [wanted], tenants)
    assert rows(found) == [("PodDefault", "db", "create")]
    assert "from-vault, which something else brings, is not there yet" in next(iter(found)).note
    assert apply(cluster, found).ok
    theirs = secret(tenants[0].name, {"a": "x"}, "from-vault")
    del theirs["metadata"]["labels"]
    home.kubectl(theirs)
    again = plan(cluster, [wanted], tenants)
    assert [(one.action, one.note) for one in again] == [("unchanged", "")]
    assert list(root.list(SECRET, namespace=tenants[0].name, labels=GRANT_LABEL)) == []


# ── what will come of it ─────────────────────────────────────────────────────


def test_a_clash_with_somebodys_poddefault_is_foreseen(
    home: Home, cluster: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    theirs = poddefault(tenants[0].name, "theirs")
    theirs["spec"]["volumeMounts"][0]["mountPath"] = "/secret/test-secret"
    # it matches every pod, so that any notebook with ours is refused
    theirs["spec"]["selector"] = {}
    del theirs["metadata"]["labels"]
    home.kubectl(theirs)
    found = plan(cluster, [grant()], tenants)
    codes = {finding.code for finding in row(found, "PodDefault").findings}
    assert {"mount-path-clash", "admission-forecast"} <= codes
    said = found.to_json()["changes"][1]["findings"]
    assert all(one["namespace"] == tenants[0].name for one in said)
    assert plan(cluster, [replace(grant(), mount_path="/secret/else")], tenants) is not None
    quiet = plan(cluster, [replace(grant(), mount_path="/secret/else")], tenants)
    assert "admission-forecast" not in {one.code for _, one in quiet.findings}


def test_a_literal_in_somebodys_poddefault_is_in_no_finding(
    home: Home, cluster: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    for name, value in (("one", CANARY), ("two", f"{CANARY}2")):
        theirs = poddefault(
            tenants[0].name, name, env=[{"name": "PASSWORD", "value": value}], selector={}
        )
        del theirs["metadata"]["labels"]
        home.kubectl(theirs)
    found = plan(cluster, [grant()], tenants)
    findings = [finding for _, finding in found.findings]
    assert any(one.code == "env-clash" for one in findings)
    assert CANARY not in f"{findings}{found!r}{json.dumps(found.to_json())}{found.other_findings}"


def test_a_namespace_that_the_webhook_does_not_see_is_said_with_its_mending(
    cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    (one,) = make_tenants(1)
    space = root.get(NAMESPACE, one.name)
    assert space is not None
    unseen = replace(one, injected=False, labels={})
    found = plan(cluster, [grant()], [unseen])
    (finding,) = row(found, "PodDefault").findings
    assert (finding.code, finding.fix) == ("namespace-without-label", unseen.fix)


def test_of_tenants_with_the_same_poddefaults_the_findings_are_the_same_objects(
    cluster: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(3)
    wanted = [replace(grant(), mount_path="/home/jovyan"), grant("b")]
    found = plan(cluster, wanted, tenants)
    (first, *others) = [one.findings for one in found if one.name == "test-secret" and one.findings]
    assert len(others) == 2
    assert all(one is first[0] for other in others for one in other[:1])


# ── prune ────────────────────────────────────────────────────────────────────


def test_prune_deletes_what_is_ours_and_not_granted_and_nothing_else(
    home: Home, cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(2)
    apply(cluster, plan(cluster, [grant(), grant("old")], tenants))
    theirs = secret(tenants[0].name, {"a": "x"}, "theirs")
    del theirs["metadata"]["labels"]
    home.kubectl(theirs)
    # ours by the label of what we own, and of no grant: `create` without a PodDefault made it
    root.create(secret(tenants[0].name, {"a": "x"}, "by-hand"))
    assert plan(cluster, [grant()], tenants).counts == {"unchanged": 4}
    found = plan(cluster, [grant()], tenants[:1], prune=True)
    assert [(one.kind, one.name) for one in found if one.action == "delete"] == [
        ("PodDefault", "old"),
        ("Secret", "old"),
    ]
    assert apply(cluster, found).ok
    left = {place[1:] for place in stored(root, tenants)}
    assert left == {
        *((tenants[0].name, name) for name in ("test-secret", "theirs", "by-hand")),
        *((tenants[1].name, name) for name in ("test-secret", "old")),
    }


@pytest.mark.parametrize(
    ("denied", "note"),
    [
        (["delete poddefaults"], "its PodDefault may not be deleted."),
        (["list poddefaults"], "PodDefaults may not be read here"),
    ],
)
def test_prune_keeps_a_secret_that_a_poddefault_may_go_on_asking_for(
    cluster: Cluster, root: Cluster, make_tenants: Make, denied: list[str], note: str
) -> None:
    tenants = make_tenants(1)
    apply(cluster, plan(cluster, [grant(), grant("old")], tenants))
    before = stored(root, tenants)
    barred: Any = Barred(cluster, *denied)
    found = plan(barred, [grant()], tenants, prune=True)
    kept = row(found, "Secret", "old")
    assert kept.action == "forbidden"
    assert note in kept.note
    assert not any(one.action == "delete" for one in found)
    apply(cluster, found)
    assert stored(root, tenants) == before


@pytest.mark.parametrize("kind", ["Secret", "PodDefault"])
def test_prune_says_what_it_may_not_list_and_is_no_success(
    cluster: Cluster, root: Cluster, make_tenants: Make, kind: str
) -> None:
    tenants = make_tenants(1)
    apply(cluster, plan(cluster, [grant()], tenants))
    barred: Any = Barred(cluster, f"list {kind.lower()}s")
    for grants in ([], [grant()]):
        found = plan(barred, grants, tenants, prune=True)
        (hidden,) = (one for one in found if one.name == "*")
        assert (hidden.kind, hidden.action) == (kind, "forbidden")
        assert hidden.note == (
            f"{cluster.who} may not list {kind}s here: what is no longer granted is not known."
        )
        assert not apply(cluster, found).ok
        assert not any(one.name == "*" for one in plan(barred, grants, tenants))


@pytest.fixture
def source(root: Cluster) -> Iterator[Tenant]:
    """The hand-over's source, and nothing of these tests in it afterwards."""
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SOURCE_NAMESPACE}}
    with contextlib.suppress(Conflict):
        root.create(space)
    yield find_tenants(root, names=[SOURCE_NAMESPACE])[0]
    for kind in (PODDEFAULT, SECRET):
        for one in list(root.list(kind, namespace=SOURCE_NAMESPACE)):
            root.delete(kind, one["metadata"]["name"], namespace=SOURCE_NAMESPACE)


def test_prune_everywhere_leaves_what_a_hand_over_copies_from(
    cluster: Cluster, make_tenants: Make, source: Tenant
) -> None:
    tenants = make_tenants(1)
    apply(cluster, plan(cluster, [grant("old"), grant()], [*tenants, source]))
    chosen = replace(grant(), tenants=TenantChoice(names=(tenants[0].name,)))
    here = [tenants[0].name, source.name]
    found = plan(cluster, [chosen], prune=True).only(here)
    assert {one.tenant for one in found if one.writes} == {tenants[0].name}
    # where it is named it is meant
    found = plan(cluster, [grant()], [source], prune=True)
    assert {(one.tenant, one.name) for one in found if one.writes} == {(source.name, "old")}


def test_the_label_that_would_make_a_hand_over_copy_into_its_source_is_not_advised(
    cluster: Cluster, source: Tenant
) -> None:
    assert (source.injected, source.fix, source.to_json()["fix"]) == (False, None, None)
    found = plan(cluster, [grant()], [source])
    assert "namespace-without-label" not in {one.code for _, one in found.findings}
    apply(cluster, found)
    rotation = rotate(cluster, grant(foo="new"), [source])
    assert "kubectl label" not in json.dumps(rotation.to_json())


def test_copies_of_kyverno_are_foreign_though_they_keep_our_labels(
    cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    source, tenant = make_tenants(2)
    apply(cluster, plan(cluster, [grant()], [source]))
    copied(root, source, tenant)
    before = stored(root, [tenant])
    for adopt in (False, True):
        found = plan(cluster, [grant()], [tenant], adopt=adopt)
        assert [one.action for one in found] == ["foreign", "foreign"]
        assert "Kyverno's policy kfsecrets-test-secret keeps one in step" in next(iter(found)).note
    assert len(plan(cluster, [], [tenant], prune=True)) == 0
    assert stored(root, [tenant]) == before


def test_a_grant_that_cannot_be_written_is_not_told_as_an_older_one(
    cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    apply(cluster, plan(cluster, [grant()], tenants))
    before = stored(root, tenants)
    for prune in (False, True):
        found = plan(cluster, [replace(grant(), mount_path="relative")], tenants, prune=prune)
        assert rows(found) == [
            ("Secret", "test-secret", "invalid"),
            ("PodDefault", "test-secret", "invalid"),
        ]
        apply(cluster, found)
        assert stored(root, tenants) == before


def test_prune_everywhere_reaches_tenants_that_are_no_longer_chosen(
    cluster: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(3)
    apply(cluster, plan(cluster, [grant()], tenants))
    chosen = replace(grant(), tenants=TenantChoice(names=(tenants[0].name,)))
    found = plan(cluster, [chosen], prune=True).only([one.name for one in tenants])
    assert [(one.tenant, one.kind, one.action) for one in found if one.writes] == [
        (one.name, kind, "delete") for one in tenants[1:] for kind in ("PodDefault", "Secret")
    ]


def test_the_json_of_a_plan_has_the_fields_that_are_promised(
    cluster: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    said: dict[str, Any] = plan(cluster, [grant()], tenants).to_json()
    assert set(said) == {
        *("version", "home", "server", "context", "who", "adopt", "counts", "tenants"),
        *("changes", "findings"),
    }
    assert said["version"] == 1
    assert said["server"] == cluster.server
    assert said["changes"][0] == {
        "tenant": tenants[0].name,
        "kind": "Secret",
        "name": "test-secret",
        "action": "create",
        "grant": "test-secret",
        "fields": [{"path": "data.foo", "change": "added"}],
        "findings": [],
        "note": "",
    }
    json.dumps(said)


def test_progress_counts_tenants_and_ends_at_all_of_them(
    cluster: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(3)
    seen: list[tuple[int, int]] = []
    found = plan(cluster, [grant()], tenants, progress=lambda done, all_: seen.append((done, all_)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    seen.clear()
    apply(cluster, found, progress=lambda done, all_: seen.append((done, all_)))
    assert seen[-1] == (3, 3)
    assert seen == sorted(seen)


def test_registry_credentials_that_programs_do_not_find_are_told(
    cluster: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(2)

    def told(server: str) -> list[tuple[str, str]]:
        grants = [preset("docker", username="u", password=CANARY, server=server)]
        found = plan(cluster, grants, tenants)
        assert CANARY not in f"{found.to_json()}{found.changes}"
        return [(tenant, one.what) for tenant, one in found.findings if one.code == "docker-config"]

    assert told("https://index.docker.io/v1/") == []
    said = told("docker.io")
    assert {tenant for tenant, _ in said} == {one.name for one in tenants}
    assert all("every program understands 'https://index.docker.io/v1/'" in one for _, one in said)


def test_a_rotation_to_a_registry_that_programs_do_not_find_is_told(
    cluster: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    apply(cluster, plan(cluster, [preset("docker", username="u", password=CANARY)], tenants))
    new = docker_registry("docker-config", username="u", password=CANARY, server="docker.io")
    (made,) = rotate(cluster, "docker-config", tenants, new).plans
    assert "docker-config" in {one.code for _, one in made.findings}
