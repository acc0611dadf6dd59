"""What `lint` finds, to whom it happens, and what it does not cry about."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kfsecrets_ext.poddefaults import CODES, PODINFO_MOUNT, PODINFO_VOLUME, admit, lint, render
from poddefaults.reference import PROFILE, bare, choices, namespaces

NEVER = {"key": "b", "operator": "DoesNotExist"}


def poddefault(name, **spec):
    spec.setdefault("selector", {"matchLabels": {name: "true"}})
    spec.setdefault("desc", f"about {name}")
    return {
        "apiVersion": "kubeflow.org/v1alpha1",
        "kind": "PodDefault",
        "metadata": {"name": name, "namespace": "alice"},
        "spec": spec,
    }


def tutorial(name, volume="secret-volume"):
    return poddefault(
        name,
        volumes=[{"name": volume, "secret": {"secretName": name}}],
        volumeMounts=[{"name": volume, "mountPath": f"/secret/{name}"}],
    )


def found(poddefaults, code, **known):
    return [finding for finding in lint(poddefaults, **known) if finding.code == code]


def only(poddefaults, code, **known):
    (finding,) = found(poddefaults, code, **known)
    return finding


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(namespaces())
def test_there_is_an_error_exactly_where_some_choice_of_labels_is_denied(poddefaults):
    denied = any(
        not admit(bare(labels), poddefaults, namespace=PROFILE).allowed
        for labels in choices(poddefaults)
    )

    errors = [finding for finding in lint(poddefaults) if finding.severity == "error"]

    assert bool(errors) == denied, errors


def test_a_label_by_which_nobody_can_be_chosen_may_be_on_a_pod_all_the_same():
    sets = poddefault("sets", labels={"b": "x"})
    contradiction = {"matchLabels": {"b": "y"}, "matchExpressions": [NEVER]}
    never = poddefault("never", selector=contradiction)
    pod = bare({"sets": "true", "b": "y"})  # both chosen in the launcher
    assert not admit(pod, [sets, never], namespace=PROFILE).allowed

    assert only([sets, never], "metadata-clash").on == "b"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), namespaces())
def test_the_order_does_not_matter_and_arguments_are_left_alone(data, poddefaults):
    before = copy.deepcopy(poddefaults)

    assert lint(data.draw(st.permutations(poddefaults))) == lint(poddefaults)
    assert poddefaults == before


def test_the_tutorials_volume_twice_is_one_error_that_names_both():
    finding = only([tutorial("test-secret"), tutorial("other")], "volume-clash")

    assert finding.severity == "error"
    assert finding.subjects == ("other", "test-secret")
    assert finding.on == "secret-volume"
    assert finding.what
    assert finding.whom
    assert finding.fix


def test_a_name_that_many_share_is_one_finding_and_not_one_for_each_pair():
    many = [tutorial(f"s{number}") for number in range(50)]

    errors = [finding for finding in lint(many) if finding.severity == "error"]

    assert len(errors) == 1
    assert len(errors[0].subjects) == 50


def test_poddefaults_that_no_labels_choose_together_do_not_clash():
    teams = [tutorial(f"t{number}") for number in range(50)]
    for number, one in enumerate(teams):
        one["spec"]["selector"] = {"matchLabels": {"team": str(number)}}

    assert not found(teams, "volume-clash")

    teams[7]["spec"]["selector"] = {"matchLabels": {"seventh": "true"}}
    assert "t7" in only(teams, "volume-clash").what


def test_equal_entries_are_shared_and_not_in_conflict():
    assert not [f for f in lint([render("a"), render("b")]) if f.severity == "error"]


def test_what_we_write_has_no_finding_at_all():
    assert lint([render("a"), render("b.c", required=True, items=["k"])]) == []


@pytest.mark.parametrize(
    ("code", "spec", "other"),
    [
        (
            "env-clash",
            {"env": [{"name": "E", "value": "1"}]},
            {"env": [{"name": "E", "value": "2"}]},
        ),
        (
            "toleration-clash",
            {"tolerations": [{"key": "k"}]},
            {"tolerations": [{"key": "k", "effect": "NoExecute"}]},
        ),
        (
            "container-clash",
            {"sidecars": [{"name": "c", "image": "x"}]},
            {"sidecars": [{"name": "c", "image": "y"}]},
        ),
        ("metadata-clash", {"annotations": {"k": "1"}}, {"annotations": {"k": "2"}}),
        (
            "mount-path-clash",
            {
                "volumes": [{"name": "v", "emptyDir": {}}],
                "volumeMounts": [{"name": "v", "mountPath": "/m"}],
            },
            {
                "volumes": [{"name": "w", "emptyDir": {}}],
                "volumeMounts": [{"name": "w", "mountPath": "/m"}],
            },
        ),
    ],
)
def test_a_clash_is_one_error_on_its_name(code, spec, other):
    one, two = poddefault("one", **spec), poddefault("two", **other)

    finding = only([one, two], code)

    assert finding.severity == "error"
    assert finding.subjects == ("one", "two")
    assert not found([one], code)


def test_a_label_that_also_chooses_clashes_with_the_pods_own():
    setting = poddefault("setting", labels={"chosen": "yes"})
    chosen = poddefault("chosen", selector={"matchLabels": {"chosen": "true"}})

    assert only([setting, chosen], "metadata-clash").on == "chosen"
    assert not found([setting], "metadata-clash")


def test_a_toleration_that_the_api_server_gives_every_pod_clashes():
    key = "node.kubernetes.io/not-ready"
    other = poddefault("p", tolerations=[{"key": key, "operator": "Exists"}])

    assert only([other], "toleration-clash").on == key


def test_one_unreadable_selector_denies_everybody():
    bad = poddefault("bad", selector={"matchExpressions": [{"key": "a", "operator": "Is"}]})

    finding = only([bad, tutorial("good")], "selector-unreadable")

    assert finding.severity == "error"
    assert "every pod" in finding.whom
    assert finding.subjects == ("bad",)


def test_a_name_that_is_too_long_for_the_stamp():
    assert not found([poddefault("n" * 52)], "name-too-long")
    assert only([poddefault("n" * 53)], "name-too-long").severity == "error"


def test_what_the_api_server_refuses_is_an_error():
    bad = poddefault("p", volumes=[{"name": "Upper", "emptyDir": {}}])

    assert "volumes[0].name" in only([bad], "api-refuses").what


@pytest.mark.parametrize(
    ("selector", "code"),
    [
        ({}, "selector-matches-every-pod"),
        (
            {"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]},
            "selector-matches-every-pod",
        ),
        (
            {
                "matchLabels": {"a": "x"},
                "matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["x"]}],
            },
            "selector-matches-no-pod",
        ),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, "launcher-breaks"),
        ({"matchLabels": {"p": "yes"}}, "launcher-cannot-select"),
        ({"matchLabels": {"p": "true", "q": "true"}}, "launcher-cannot-select"),
        (
            {
                "matchLabels": {"p": "true"},
                "matchExpressions": [{"key": "q", "operator": "Exists"}],
            },
            "launcher-cannot-select",
        ),
        ({"matchLabels": {"q": "true"}}, "label-differs-from-name"),
    ],
)
def test_a_selector_that_reaches_the_wrong_pods(selector, code):
    assert only([poddefault("p", selector=selector)], code).subjects == ("p",)


def test_descriptions_and_launcher_labels_that_are_shared():
    one = poddefault("one", desc="Credentials", selector={"matchLabels": {"l": "true"}})
    two = poddefault("two", desc="Credentials", selector={"matchLabels": {"l": "true"}})

    assert only([one, two], "description-shared").subjects == ("one", "two")
    assert only([one, two], "launcher-label-shared").on == "l"
    del one["spec"]["desc"]
    assert only([one, two], "no-description").subjects == ("one",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI"),
        ("DB_PASSWORD", "hunter2"),
        ("GITHUB", "ghp_0123456789abcdefghij0123456789"),
        ("DATABASE", "postgres://me:hunter2@db/x"),
        ("MINIO_ACCESS_KEY", "minio"),
    ],
)
def test_a_literal_secret_is_found_and_never_shown(name, value):
    one = poddefault("p", env=[{"name": name, "value": value}])

    finding = only([one], "literal-secret")

    assert name in finding.what
    assert value not in str(lint([one, poddefault("q", env=[{"name": name, "value": "else"}])]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKEN_PATH", "/var/run/token"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/secret/aws/credentials"),
        ("DOCKER_CONFIG", "/secret/docker"),
        ("LOG_LEVEL", "debug"),
        ("SECRET_NAME", "aws"),
        ("USE_TOKEN", "true"),
    ],
)
def test_what_is_no_secret_is_not_called_one(name, value):
    assert not found([poddefault("p", env=[{"name": name, "value": value}])], "literal-secret")


class TestSecrets:
    mounted = poddefault(
        "p",
        volumes=[
            {"name": "v", "secret": {"secretName": "s", "items": [{"key": "k", "path": "k"}]}}
        ],
        volumeMounts=[{"name": "v", "mountPath": "/secret/s"}],
    )

    def test_nothing_is_said_where_nothing_is_known(self):
        assert not found([self.mounted], "secret-missing")

    def test_a_missing_secret_and_the_one_that_was_meant(self):
        finding = only([self.mounted], "secret-missing", secrets={"ss": ()})

        assert finding.on == "s"
        assert "waits" in finding.what
        assert "'ss'" in finding.fix

    def test_a_missing_key(self):
        assert only([self.mounted], "secret-key-missing", secrets={"s": ("other",)}).on == "s/k"
        assert not found([self.mounted], "secret-key-missing", secrets={"s": ("k",)})

    @pytest.mark.parametrize(
        "spec",
        [
            {"env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
            {"envFrom": [{"secretRef": {"name": "s"}}]},
            {"imagePullSecrets": [{"name": "s"}]},
            {"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "s"}}]}}]},
            {"sidecars": [{"name": "c", "image": "x", "envFrom": [{"secretRef": {"name": "s"}}]}]},
        ],
    )
    def test_every_use_of_a_secret_counts(self, spec):
        assert only([poddefault("p", **spec)], "secret-missing", secrets={}).on == "s"

    def test_an_optional_secret_does_not_keep_a_pod(self):
        assert "starts without" in only([render("a")], "secret-missing", secrets={}).what


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/home/jovyan", "mount-hides-home"),
        ("/home/jovyan/", "mount-hides-home"),
        ("/home", "mount-hides-home"),
        ("/", "mount-hides-home"),
        ("/home/kubeflow/.docker", "mount-in-home"),
        ("/dev/shm", "clashes-with-notebook"),
    ],
)
def test_a_mount_where_something_else_is(path, code):
    one = poddefault(
        "p",
        volumes=[{"name": "v", "emptyDir": {}}],
        volumeMounts=[{"name": "v", "mountPath": path}],
    )
    assert only([one], code).severity == CODES[code]


def test_one_mount_without_its_volume_and_one_volume_without_its_mount():
    one = poddefault(
        "p",
        volumes=[{"name": "v", "emptyDir": {}}],
        volumeMounts=[{"name": "w", "mountPath": "/m"}],
    )

    assert only([one], "mount-without-volume").on == "w"
    assert only([one], "volume-without-mount").on == "v"


def test_a_sidecar_is_a_danger_only_beside_something_that_changes_containers():
    sidecar = poddefault("side", sidecars=[{"name": "c", "image": "x"}])
    env = poddefault("env", env=[{"name": "E", "value": "1"}])

    assert not found([sidecar], "sidecar-second-container")
    assert only([sidecar, env], "sidecar-second-container").subjects == ("side",)


def test_a_silent_override_names_who_wins():
    one = poddefault("one", command=["a"])
    two = poddefault("two", command=["b"])

    assert "first by name" in only([one, two], "silent-override").what
    assert not found([one, poddefault("two", command=["a"])], "silent-override")


def test_fields_that_the_api_server_drops_are_named_at_any_depth():
    one = tutorial("p")
    one["spec"]["selector"]["desc"] = "here it is lost"
    one["spec"]["volume"] = []
    one["spec"]["volumes"][0]["secret"]["name"] = "p"
    one["data"] = {}

    findings = {finding.on: finding for finding in found([one], "field-pruned")}

    assert set(findings) == {
        "spec.selector.desc",
        "spec.volume",
        "spec.volumes[0].secret.name",
        "data",
    }
    assert "spec.desc" in findings["spec.selector.desc"].fix
    assert "volumes" in findings["spec.volume"].fix


def test_the_shared_podinfo_volume_is_known_and_another_form_of_it_is_found():
    ours = poddefault("p", volumes=[dict(PODINFO_VOLUME)], volumeMounts=[dict(PODINFO_MOUNT)])
    assert not found([ours], "podinfo-differs")

    ours["spec"]["volumeMounts"] = [{**PODINFO_MOUNT, "readOnly": False}]
    assert only([ours], "podinfo-differs").subjects == ("p",)
    assert only([ours, render("a")], "volume-clash", namespace="alice").severity == "error"


def test_a_form_that_is_not_defaulted_and_one_that_never_refreshes_are_notes():
    one = tutorial("p")
    one["spec"]["volumeMounts"][0]["subPath"] = "k"

    assert "defaultMode" in only([one], "not-defaulted").what
    assert "subPath" in only([one], "never-refreshes").what


def test_namespaces_are_checked_apart():
    there = tutorial("other")
    there["metadata"]["namespace"] = "bob"

    assert not found([tutorial("one"), there], "volume-clash")
    assert {f.namespace for f in lint([tutorial("one"), there])} == {"alice", "bob"}
    assert {f.namespace for f in lint([tutorial("one"), there], namespace="bob")} == {"bob"}


def test_a_namespace_without_the_label():
    bare_namespace = {"metadata": {"name": "alice", "labels": {}}}

    finding = only([tutorial("one")], "namespace-without-label", namespace=bare_namespace)

    assert finding.fix.startswith("kubectl label namespace alice ")
    assert not found([tutorial("one")], "namespace-without-label", namespace=PROFILE)


def test_a_poddefault_that_is_there_twice_counts_once():
    assert only([tutorial("one"), tutorial("one", "v")], "name-twice").subjects == ("one",)
    assert not found([tutorial("one"), tutorial("one", "v")], "volume-clash")


def test_errors_come_first_and_every_finding_is_complete():
    findings = lint([tutorial("one"), tutorial("two"), poddefault("p", selector={})])

    severities = [finding.severity for finding in findings]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)
    for finding in findings:
        assert finding.severity == CODES[finding.code]
        assert all((finding.what, finding.whom, finding.fix, finding.subjects))
        assert finding.to_json()["subjects"] == list(finding.subjects)
        assert finding.code in str(finding)


def test_each_code_has_a_section_in_the_docs_and_each_section_a_code():
    page = (Path(__file__).parents[2] / "docs" / "lint.md").read_text()

    sections = re.findall(r"^### `([a-z-]+)`$", page, re.MULTILINE)

    assert sections == list(CODES)
    for code in CODES:
        body = page.split(f"### `{code}`\n", 1)[1].split("\n#", 1)[0]
        assert body.strip().startswith(f"{CODES[code].capitalize()}.")
        assert len(body) > 80
