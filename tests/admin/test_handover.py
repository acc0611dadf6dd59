"""What is handed over is taken by a real API server with the controllers' own CRDs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from admin.handover.definitions import definitions
from rig.apiserver import APPLY_PATCH, ApiServer

from kfsecrets_ext.admin import Grant, docker_registry, from_literal, generic
from kfsecrets_ext.admin.from_secret import FromSecret
from kfsecrets_ext.admin.handover import (
    CONTROLLERS,
    PROFILES,
    CannotHandOver,
    HandOver,
    handover,
)
from kfsecrets_ext.errors import InvalidName, KeyNotFound
from kfsecrets_ext.poddefaults.selectors import selector as read_selector

Json = dict[str, Any]
VALUE = "hunter2-of-the-test"
FORMS = [*((to, False) for to in CONTROLLERS), ("kyverno", True)]


def a_grant(name: str = "regcred") -> Grant:
    return Grant(name, docker_registry(name, username="bot", password=VALUE), desc="Registry")


# ── what is written ──────────────────────────────────────────────────────────


@pytest.mark.parametrize(("to", "legacy"), FORMS)
def test_no_value_is_in_a_hand_over(to: str, legacy: bool) -> None:
    grant = a_grant()
    made = handover(grant, to=to, legacy=legacy)
    written = made.to_yaml() + repr(made) + str(made.to_json())
    assert isinstance(grant.secret, object)
    assert VALUE not in written
    assert "Ym90O" not in written  # base64 of the user's name, as the Secret has it
    assert all("data" not in one and "stringData" not in one for one in made.manifests)


@pytest.mark.parametrize(("to", "legacy"), FORMS)
def test_the_text_says_what_is_not_covered_and_reads_as_the_manifests(
    to: str, legacy: bool
) -> None:
    made = handover(a_grant(), to=to, legacy=legacy)
    text = made.to_yaml()
    comment = text[: text.index("---")]
    assert all(line.startswith("#") for line in comment.splitlines())
    assert "What it does not cover" in comment
    assert "kfsecrets-source" in comment
    assert [one for one in yaml.safe_load_all(text) if one] == list(made.manifests)


@pytest.mark.parametrize("to", ["external-secrets", "reflector", "replicator"])
def test_a_controller_that_carries_no_poddefaults_says_so(to: str) -> None:
    made = handover(a_grant(), to=to)
    assert "PodDefaults: " in made.header
    assert not any("PodDefault" in str(one) for one in made.manifests)


def test_kyverno_carries_both() -> None:
    for legacy in (False, True):
        made = handover(a_grant(), to="kyverno", legacy=legacy)
        role, policy = made.manifests
        rights = {
            resource: set(rule["verbs"]) for rule in role["rules"] for resource in rule["resources"]
        }
        assert set(rights) == {"secrets", "poddefaults"}
        assert all({"get", "create", "update", "delete"} <= verbs for verbs in rights.values())
        aggregated = "rbac.kyverno.io/aggregate-to-background-controller"
        assert role["metadata"]["labels"] == {aggregated: "true"}
        assert "poddefault" in str(policy).lower()
        assert policy["kind"] == ("ClusterPolicy" if legacy else "GeneratingPolicy")


def test_a_reflector_that_knows_no_selector_copies_to_no_namespace() -> None:
    (secret,) = handover(a_grant(), to="reflector").manifests
    annotations = secret["metadata"]["annotations"]
    prefix = "reflector.v1.k8s.emberstack.com/reflection-"
    for what in ("allowed", "auto"):
        # an empty list would mean all; a namespace cannot have capitals
        names = annotations[f"{prefix}{what}-namespaces"]
        assert names
        assert names == names.upper()
        assert annotations[f"{prefix}{what}-namespaces-selector"] == PROFILES


def test_a_kyverno_whose_copies_would_be_taken_for_ours_is_named() -> None:
    assert "take them for ours" in handover(a_grant(), to="kyverno", legacy=True).header
    # a GeneratingPolicy marks what it makes as Kyverno's
    assert "take them for ours" not in handover(a_grant(), to="kyverno").header


def test_copies_of_the_replicator_are_not_marked_as_ours() -> None:
    (secret,) = handover(a_grant(), to="replicator").manifests
    assert secret["metadata"]["annotations"]["replicator.v1.mittwald.de/strip-labels"] == "true"


def test_the_type_is_kept_where_the_secret_is_known_and_named_where_not() -> None:
    def target(made: HandOver) -> Json:
        spec = made.manifests[-1]["spec"]["externalSecretSpec"]
        found: Json = spec["target"]
        return found

    known = handover(a_grant(), to="external-secrets")
    assert target(known)["template"] == {"type": "kubernetes.io/dockerconfigjson"}
    unknown = handover(Grant("db", "db-credentials"), to="external-secrets")
    assert "template" not in target(unknown)
    assert "Opaque" in unknown.header
    assert "Opaque" not in known.header
    plain = handover(Grant("db", generic("db", from_literal("a=b"))), to="external-secrets")
    assert target(plain)["template"] == {"type": "Opaque"}
    assert "not known" not in plain.header
    source = handover(Grant("db", FromSecret("vault", "pg-7")), to="external-secrets")
    assert "template" not in target(source)


OBSTACLES = [
    (Grant("db", "db", desc="Database of {owner}", templates=["podDefault.desc"]), "template"),
    (Grant("db", "db-{namespace}", templates=["secret.name"]), "template"),
    (replace(a_grant(), append_hash=True), "append_hash"),
    (replace(a_grant(), immutable=True), "immutable"),
]


INVALID = [
    (Grant("A_B", "db"), "PodDefault", "A_B"),
    (Grant("x" * 53, "db"), "PodDefault", "x" * 53),
    (Grant("db", "A_B"), "secret", "A_B"),
    (Grant("db", generic("A_B", from_literal("a=b"))), "secret", "A_B"),
    (Grant("db", FromSecret("vault", "pg-7", as_name="A_B")), "secret", "A_B"),
    (Grant("db", "db", mount_path="relative"), "mount path", "relative"),
    (Grant("db", "db", items={"a": "../b"}), "path of a key", "../b"),
]


@pytest.mark.parametrize(("to", "legacy"), FORMS)
@pytest.mark.parametrize(("grant", "kind", "name"), INVALID)
def test_what_no_apply_would_write_is_not_handed_over(
    grant: Grant, kind: str, name: str, to: str, legacy: bool
) -> None:
    with pytest.raises(InvalidName) as caught:
        handover(grant, to=to, legacy=legacy)
    assert (caught.value.kind, caught.value.name) == (kind, name)


def test_a_key_that_is_not_in_the_secret_is_not_handed_over() -> None:
    grant = Grant("db", generic("db", from_literal("a=b")), items={"c": "c"})
    with pytest.raises(KeyNotFound):
        handover(grant, to="kyverno")


def test_the_command_checks_as_create_does(capsys: pytest.CaptureFixture[str]) -> None:
    from kfsecrets_ext.cli import main

    for words in (["A_B"], ["db", "--mount-path=relative"], ["db", "--secret=A_B"]):
        assert main(["handover", *words, "--to=kyverno"]) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert "cannot be the name of a" in said.err or "cannot be a" in said.err


@pytest.mark.parametrize("to", CONTROLLERS)
@pytest.mark.parametrize(("grant", "reason"), OBSTACLES)
def test_what_no_copy_can_give_is_refused(grant: Grant, reason: str, to: str) -> None:
    with pytest.raises(CannotHandOver) as caught:
        handover(grant, to=to)
    assert caught.value.to == to
    assert reason in caught.value.reason


def test_a_brace_that_is_no_template_is_handed_over() -> None:
    assert handover(Grant("db", "db", desc="{namespace}"), to="kyverno").manifests


def test_a_secret_of_another_namespace_is_copied_under_the_grants_name() -> None:
    made = handover(Grant("db", FromSecret("vault", "pg-7")), to="external-secrets")
    spec = made.manifests[-1]["spec"]["externalSecretSpec"]
    assert spec["target"]["name"] == "db"
    assert spec["dataFrom"] == [{"extract": {"key": "db"}}]


def test_only_kyverno_has_a_legacy_form() -> None:
    with pytest.raises(CannotHandOver):
        handover(a_grant(), to="reflector", legacy=True)
    with pytest.raises(InvalidName):
        handover(a_grant(), to="argo")


@pytest.mark.parametrize(
    "selector",
    [
        "",
        " ",
        "a=b,",
        "a=b c",
        "a in b",
        "a in ()x",
        "a=b=c",
        "-a",
        "a='b'",
        "a=b'",
        "x/y/z",
        "!a=b",
        "a,",
        "a>1",
        ",a",
        "a,,b",
    ],
)
def test_a_selector_that_is_none_is_refused(selector: str) -> None:
    with pytest.raises(InvalidName):
        handover(a_grant(), to="kyverno", selector=selector)


def test_a_namespace_that_cannot_be_one_is_refused() -> None:
    for name in ("A", "", "a b", 'a"b', "a" * 64):
        with pytest.raises(InvalidName):
            handover(a_grant(), to="kyverno", source_namespace=name)


# ── what the API server says ─────────────────────────────────────────────────

SELECTORS = [
    PROFILES,
    "team=a",
    "team!=a",
    "team in (a, b),stage",
    "team notin (a,b)",
    "!team",
    "team,stage==prod",
    "example.com/team in (a),example.com/team!=b",
    "team=",
]
LABELS: list[dict[str, str]] = [
    {},
    {"team": "a"},
    {"team": "b", "stage": "prod"},
    {"team": "c", "stage": ""},
    {"team": ""},
    {"example.com/team": "a"},
    {"app.kubernetes.io/part-of": "kubeflow-profile"},
    {"app.kubernetes.io/part-of": "kubeflow"},
]


@pytest.fixture(scope="module")
def source(api_server: ApiServer) -> str:
    """Give a namespace to copy from, on a server that knows the controllers' kinds."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for definition in definitions():
        answer = api_server.call("POST", path, definition)
        assert answer.status in (201, 409), answer.body.get("message")
        name = definition["metadata"]["name"]
        while not _established(api_server.call("GET", f"{path}/{name}").body):
            time.sleep(0.02)
        # what serves its objects learns of it a little later
        group, plural = definition["spec"]["group"], definition["spec"]["names"]["plural"]
        for version in definition["spec"]["versions"]:
            objects = f"/apis/{group}/{version['name']}/{plural}"
            while version["served"] and api_server.call("GET", objects).status != 200:
                time.sleep(0.02)
    name = f"source-{os.getpid()}"
    api_server.create("/api/v1/namespaces", {"metadata": {"name": name}})
    return name


def _established(definition: Json) -> bool:
    conditions = definition.get("status", {}).get("conditions") or []
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


def path_of(manifest: Json) -> str:
    """Give the collection that a manifest belongs to."""
    version = manifest["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    kind = manifest["kind"].lower()
    plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
    namespace = manifest["metadata"].get("namespace")
    return f"{root}/namespaces/{namespace}/{plural}" if namespace else f"{root}/{plural}"


@pytest.mark.slow
@pytest.mark.platform
@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize(("to", "legacy"), [(to, legacy) for to, legacy in FORMS])
def test_the_api_server_takes_every_field_of_the_manifests(
    api_server: ApiServer, source: str, to: str, legacy: bool, selector: str
) -> None:
    made = handover(a_grant(), to=to, legacy=legacy, source_namespace=source, selector=selector)
    for manifest in made.manifests:
        path = f"{path_of(dict(manifest))}?dryRun=All&fieldValidation=Strict"
        answer = api_server.call("POST", path, dict(manifest))
        assert answer.status == 201, answer.body.get("message")


@pytest.mark.slow
@pytest.mark.platform
def test_strict_validation_knows_these_kinds(api_server: ApiServer, source: str) -> None:
    manifests = [
        one
        for to, legacy in FORMS
        for one in handover(a_grant(), to=to, legacy=legacy, source_namespace=source).manifests
        if "spec" in one
    ]
    assert len(manifests) == 4
    for manifest in manifests:
        wrong = {**manifest, "spec": {**manifest["spec"], "unheardOf": 1}}
        path = f"{path_of(wrong)}?dryRun=All&fieldValidation=Strict"
        assert api_server.call("POST", path, wrong).status in (400, 422)


@pytest.fixture
def judged(api_server: ApiServer) -> Iterator[Any]:
    """Give a function that has the API server evaluate an expression about namespaces."""
    root = "/apis/admissionregistration.k8s.io/v1"
    made: list[str] = []

    def judge(name: str, expression: str) -> str:
        rule = {
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "operations": ["CREATE"],
            "resources": ["namespaces"],
        }
        policy = {
            "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [rule]},
                "matchConditions": [
                    {"name": "ours", "expression": f"object.metadata.name.startsWith('{name}-')"}
                ],
                # the probe tells when the policy is in force
                "validations": [
                    {"expression": f"object.metadata.name != '{name}-probe'"},
                    {"expression": expression},
                ],
            },
        }
        api_server.create(f"{root}/validatingadmissionpolicies", policy)
        made.append(f"{root}/validatingadmissionpolicies/{name}")
        binding = {
            "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        }
        api_server.create(f"{root}/validatingadmissionpolicybindings", binding)
        made.append(f"{root}/validatingadmissionpolicybindings/{name}")
        probe = {"metadata": {"name": f"{name}-probe"}}
        while api_server.call("POST", "/api/v1/namespaces?dryRun=All", probe).status == 201:
            pass
        return name

    yield judge
    for path in reversed(made):
        api_server.call("DELETE", path)


@pytest.mark.slow
@pytest.mark.platform
@pytest.mark.parametrize("number", range(len(SELECTORS)))
def test_kyvernos_condition_holds_for_the_namespaces_that_kubectl_would_select(
    api_server: ApiServer, judged: Any, number: int
) -> None:
    selector = SELECTORS[number]
    _, policy = handover(a_grant(), to="kyverno", selector=selector).manifests
    _, legacy = handover(a_grant(), to="kyverno", selector=selector, legacy=True).manifests
    (condition,) = policy["spec"]["matchConditions"]
    name = judged(f"judged-{os.getpid()}-{number}", condition["expression"])
    (given,) = legacy["spec"]["rules"][0]["match"]["any"]
    said = []
    for n, labels in enumerate(LABELS):
        space = {"metadata": {"name": f"{name}-{n}", "labels": labels}}
        answer = api_server.call("POST", "/api/v1/namespaces?dryRun=All", space)
        said.append(answer.status == 201)
        api_server.create("/api/v1/namespaces", {"metadata": {"name": f"x{name}-{n}"}})
        path = f"/api/v1/namespaces/x{name}-{n}"
        content = "application/merge-patch+json"
        api_server.call("PATCH", path, {"metadata": {"labels": labels}}, content=content)
    found = api_server.call("GET", f"/api/v1/namespaces?labelSelector={quote(selector)}").body
    selected = {one["metadata"]["name"] for one in found["items"]}
    kubectl = [f"x{name}-{n}" in selected for n in range(len(LABELS))]
    assert said == kubectl
    assert True in said
    assert False in said
    chosen = read_selector(given["resources"]["selector"])
    assert [chosen.matches(labels) for labels in LABELS] == kubectl


@pytest.mark.slow
@pytest.mark.platform
@pytest.mark.parametrize("to", ["reflector", "replicator"])
def test_annotations_leave_the_secret_as_it_is(api_server: ApiServer, source: str, to: str) -> None:
    secret = generic(f"annotated-{to}", from_literal(f"foo={VALUE}"), namespace=source)
    before = api_server.create(f"/api/v1/namespaces/{source}/secrets", secret.to_mapping())
    made = handover(Grant("annotated", secret), to=to, source_namespace=source)
    (manifest,) = made.manifests
    path = f"/api/v1/namespaces/{source}/secrets/{secret.name}?fieldManager=kfsecrets-handover"
    answer = api_server.call("PATCH", path, dict(manifest), content=APPLY_PATCH)
    assert answer.status == 200
    assert answer.body["data"] == before["data"]
    assert answer.body["type"] == before["type"]
    assert answer.body["metadata"]["annotations"] == manifest["metadata"]["annotations"]


@pytest.mark.slow
@pytest.mark.platform
def test_the_reader_of_external_secrets_reads_the_one_secret(
    api_server: ApiServer, source: str
) -> None:
    made = handover(Grant("one", "one"), to="external-secrets", source_namespace=source)
    for manifest in made.manifests[:3]:
        api_server.create(path_of(dict(manifest)), dict(manifest))
    secrets = f"/api/v1/namespaces/{source}/secrets"
    for name in ("one", "other"):
        api_server.create(secrets, {"metadata": {"name": name}})
    user = f"system:serviceaccount:{source}:kfsecrets-one"
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{source}", "system:authenticated")

    def may(method: str, path: str, body: Json | None = None) -> int:
        return api_server.call(method, path, body, user=user, groups=groups).status

    # the API server learns of a binding a little later
    while may("GET", f"{secrets}/one") == 403:
        time.sleep(0.02)
    assert may("GET", f"{secrets}/one") == 200
    assert may("GET", f"{secrets}/other") == 403
    assert may("GET", secrets) == 403
    # what the provider asks before it calls the store ready
    review = {"apiVersion": "authorization.k8s.io/v1", "spec": {"namespace": source}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    assert may("POST", path, {**review, "kind": "SelfSubjectRulesReview"}) == 201
