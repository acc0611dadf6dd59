"""The administrator's commands on a real API server: the tutorial, as administrator and as tenant.

Run as a user runs them, in processes of their own; what they say, write and are given is searched
for values.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import sysconfig
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from demo.running import environment
from rig.apiserver import ApiServer
from rig.homes import administrator_kubeconfig

from kfsecrets_ext.cluster.embedded import Embedded
from kfsecrets_ext.poddefaults import PROFILE_LABEL

pytestmark = pytest.mark.slow

CANARY = "cAnArY-7f3a9e"
JUPYTER = os.path.join(sysconfig.get_path("scripts"), "jupyter")
PODDEFAULTS = "/apis/kubeflow.org/v1alpha1/namespaces/{}/poddefaults"
SECRETS = "/api/v1/namespaces/{}/secrets"

Json = dict[str, Any]


class Home:
    """A cluster to work on: its tenants, how the commands find it, and what it keeps."""

    def __init__(self, tmp_path: Path, variables: Mapping[str, str], tenants: list[str]) -> None:
        self.tenants = tenants
        self.first = tenants[0]
        self.env = environment(tmp_path, **variables)
        self.files = tmp_path / "files"
        self.files.mkdir()
        self.said = ""

    def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command; none of its output may hold a value."""
        done = subprocess.run(
            [JUPYTER, "kfsecrets", *words],
            env=self.env,
            cwd=self.files,
            input=stdin,
            capture_output=True,
            text=True,
        )
        said = done.stdout + done.stderr
        assert "Traceback" not in said, said
        assert CANARY not in said
        assert base64.b64encode(CANARY.encode()).decode().rstrip("=") not in said
        self.said += said
        return done

    def work_in(self, tenant: str) -> None:
        """Make a tenant's the namespace that one works in."""
        raise NotImplementedError

    def get(self, kind: str, name: str, tenant: str | None = None) -> Json | None:
        raise NotImplementedError

    def state(self) -> dict[tuple[str, str, str], str]:
        """Each object of the tenants, and its version."""
        raise NotImplementedError

    def value(self, name: str, key: str, tenant: str | None = None) -> str | None:
        found = self.get("secrets", name, tenant)
        return None if found is None else base64.b64decode(found["data"][key]).decode()


class Real(Home):
    """The API server of the rig."""

    def __init__(self, server: ApiServer, tmp_path: Path, tenants: list[str]) -> None:
        # as the administrator with the least rights, not as whoever may do everything
        config = administrator_kubeconfig(server, tmp_path)
        super().__init__(tmp_path, {"KUBECONFIG": str(config)}, tenants)
        self.server = server
        self.config = config

    def work_in(self, tenant: str) -> None:
        held = json.loads(self.config.read_text())
        held["contexts"][0]["context"]["namespace"] = tenant
        self.config.write_text(json.dumps(held))

    def get(self, kind: str, name: str, tenant: str | None = None) -> Json | None:
        place = (SECRETS if kind == "secrets" else PODDEFAULTS).format(tenant or self.first)
        answer = self.server.call("GET", f"{place}/{name}")
        return answer.body if answer.status == 200 else None

    def state(self) -> dict[tuple[str, str, str], str]:
        return {
            (tenant, path, one["metadata"]["name"]): one["metadata"]["resourceVersion"]
            for tenant in self.tenants
            for path in (SECRETS, PODDEFAULTS)
            for one in self.server.call("GET", path.format(tenant)).body["items"]
        }


class InDirectory(Home):
    """An embedded cluster."""

    def __init__(self, tmp_path: Path, tenants: list[str]) -> None:
        self.cluster = Embedded(tmp_path / "cluster")
        for name in tenants:
            metadata = {
                "name": name,
                "labels": dict([PROFILE_LABEL]),
                "annotations": {"owner": f"{name}@example.com"},
            }
            self.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        super().__init__(tmp_path, {"KFSECRETS_CLUSTER": self.cluster.server}, tenants)

    def work_in(self, tenant: str) -> None:
        pod = {"metadata": {"name": "nb-0", "namespace": tenant}, "spec": {"containers": []}}
        Path(self.cluster.server, "pod.json").write_text(json.dumps(pod))

    def get(self, kind: str, name: str, tenant: str | None = None) -> Json | None:
        from kfsecrets_ext.cluster import PODDEFAULT, SECRET

        which = SECRET if kind == "secrets" else PODDEFAULT
        return self.cluster.get(which, name, namespace=tenant or self.first)

    def state(self) -> dict[tuple[str, str, str], str]:
        from kfsecrets_ext.cluster import PODDEFAULT, SECRET

        return {
            (one["metadata"]["namespace"], kind.kind, one["metadata"]["name"]): one["metadata"][
                "resourceVersion"
            ]
            for kind in (SECRET, PODDEFAULT)
            for one in self.cluster.list(kind)
        }


@pytest.fixture(params=["real", "embedded"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    run = uuid.uuid4().hex[:8]
    names = [f"cli-{run}-{number}" for number in range(2)]
    if request.param == "embedded":
        return InDirectory(tmp_path, names)
    server = request.getfixturevalue("api_server")
    labels = request.getfixturevalue("tenant_labels")
    request.getfixturevalue("make_webhook")(_allow)
    for name in names:
        server.create_tenant(name, labels=labels)
    return Real(server, tmp_path, names)


def _allow(_request: Json) -> Json:
    return {"allowed": True}


@pytest.fixture
def real(home: Home) -> Real:
    assert isinstance(home, Real)
    return home


on_the_real_one = pytest.mark.parametrize("home", ["real"], indirect=True)


def test_the_tutorials_first_story(home: Home) -> None:
    done = home.run("tenants", *home.tenants)
    assert done.returncode == 0
    assert f"{home.first}@example.com" in done.stdout
    words = ("create", "generic", "test-secret", "-n", home.first)
    done = home.run(*words, "--from-file=foo=-", stdin=CANARY)
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        [
            f"secret/test-secret created in {home.first}",
            f"poddefault.kubeflow.org/test-secret created in {home.first}",
        ],
    )
    # The plan names the cluster.
    assert f"Plan for 1 tenant of {'http' if isinstance(home, Real) else '/'}" in done.stderr
    assert home.value("test-secret", "foo") == CANARY
    poddefault = home.get("poddefaults", "test-secret")
    assert poddefault is not None
    assert poddefault["spec"]["selector"]["matchLabels"] == {"test-secret": "true"}
    assert {mount["mountPath"] for mount in poddefault["spec"]["volumeMounts"]} == {
        "/secret/test-secret",
        "/etc/kfsecrets/podinfo-v1",
    }
    # Once more: nothing is written
    before = home.state()
    done = home.run(*words, "--from-file=foo=-", stdin=CANARY)
    assert done.returncode == 0
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["unchanged", "unchanged"]
    assert home.state() == before
    # Rotated
    done = home.run(
        *("rotate", "test-secret", "-n", home.first, "--from-file=foo=-"), stdin=f"{CANARY}-2"
    )
    assert done.returncode == 0
    assert f"secret/test-secret configured in {home.first}" in done.stdout
    assert home.value("test-secret", "foo") == f"{CANARY}-2"
    # Taken away
    done = home.run("delete", "test-secret", "-n", home.first)
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "poddefault.kubeflow.org/test-secret",
        "secret/test-secret",
    ]
    assert home.get("secrets", "test-secret") is None
    assert home.get("poddefaults", "test-secret") is None


def test_the_tutorials_docker_story(home: Home) -> None:
    done = home.run(
        *("create", "docker-registry", "docker-config", "-n", home.first),
        *("--docker-username=alice", "--docker-password-stdin", "--desc=Add Docker config"),
        "--mount-path=/home/kubeflow/.docker",
        stdin=f"{CANARY}\n",
    )
    assert done.returncode == 0, done.stderr
    config = json.loads(home.value("docker-config", ".dockerconfigjson") or "")
    assert config["auths"]["https://index.docker.io/v1/"]["password"] == CANARY
    poddefault = home.get("poddefaults", "docker-config")
    assert poddefault is not None
    assert poddefault["spec"]["desc"] == "Add Docker config"
    [volume] = [one for one in poddefault["spec"]["volumes"] if "secret" in one]
    assert volume["secret"]["items"] == [{"key": ".dockerconfigjson", "path": "config.json"}]


def grants(home: Home, *names: str, value: str = CANARY) -> str:
    (home.files / "value").write_text(value)
    documents = [
        {
            "apiVersion": "kfsecrets-ext/v1",
            "kind": "Grant",
            "name": name,
            "tenants": {"names": home.tenants},
            "secret": {"data": {"foo": {"file": "value"}}},
        }
        for name in names
    ]
    (home.files / "grants.yaml").write_text(yaml.safe_dump_all(documents))
    return "grants.yaml"


def test_grants_of_a_file_are_compared_applied_resumed_and_pruned(home: Home) -> None:
    file = grants(home, "one", "two")
    done = home.run("diff", "-f", file)
    assert done.returncode == 1, done.stderr
    assert "data.foo added" in done.stdout
    done = home.run("apply", "-f", file, "--report", "report.json")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 8
    assert home.value("two", "foo", home.tenants[1]) == CANARY
    assert home.run("diff", "-f", file).returncode == 0
    before = home.state()
    assert home.run("apply", "-f", file, "--resume", "report.json").returncode == 0
    assert home.state() == before
    report = (home.files / "report.json").read_text()
    assert CANARY not in report
    assert json.loads(report)["ok"] is True
    done = home.run("verify", "-f", file, "-o", "json")
    checks = json.loads(done.stdout)["checks"]
    assert {check["grant"] for check in checks} >= {"one", "two"}
    # What the file no longer has goes, in these tenants.
    file = grants(home, "one")
    tenants = ("-n", ",".join(home.tenants))
    done = home.run("apply", "-f", file, *tenants, "--prune", "--dry-run=client")
    assert done.returncode == 0
    assert "delete" in done.stdout
    assert home.state() == before
    assert home.run("apply", "-f", file, *tenants, "--prune").returncode == 0
    assert {name for _, _, name in home.state()} & {"one", "two"} == {"one"}


def test_a_file_that_names_no_tenants_prunes_none_but_the_one_of_the_context(home: Home) -> None:
    file = grants(home, "one", "two")
    assert home.run("apply", "-f", file).returncode == 0
    home.work_in(home.first)
    bare, named = ({"name": "one"}, {"name": "three", "tenants": {"names": home.tenants}})
    for number, documents in enumerate(([bare], [bare, named])):
        common = {"apiVersion": "kfsecrets-ext/v1", "kind": "Grant"}
        secret = {"secret": {"data": {"foo": {"file": "value"}}}}
        text = yaml.safe_dump_all([{**common, **one, **secret} for one in documents])
        (home.files / f"{number}.yaml").write_text(text)
    # Looked at alone: the whole cluster is what it must not reach.
    done = home.run("apply", "-f", "0.yaml", "--prune", "--dry-run=client", "-o", "json")
    changes = json.loads(done.stdout)["plan"]["changes"]
    assert {one["tenant"] for one in changes} == {home.first}
    assert {one["name"] for one in changes if one["action"] == "delete"} == {"two"}
    done = home.run("apply", "-f", "1.yaml", "--prune", "--dry-run=client")
    assert done.returncode == 2
    assert "--prune" in done.stderr


def test_machines_get_documents_without_values(home: Home) -> None:
    file = grants(home, "one")
    for form, load in (("json", json.loads), ("yaml", yaml.safe_load)):
        done = home.run("apply", "-f", file, "-o", form, "--dry-run=server")
        document = load(done.stdout)
        assert set(document) == {"plan", "report"}
        assert document["plan"]["counts"] == {"create": 4}
        assert document["report"]["dryRun"] is True
        assert {row["outcome"] for row in document["report"]["rows"]} == {"done"}
        document = load(home.run("tenants", home.first, "-o", form).stdout)
        assert document["tenants"][0]["owner"] == f"{home.first}@example.com"
    done = home.run("apply", "-f", file, "-n", home.first, "-o", "name")
    assert done.stdout.splitlines() == ["secret/one", "poddefault.kubeflow.org/one"]
    done = home.run(
        *("rotate", "one", "-n", home.first, "--from-file=foo=-", "-o", "json"), stdin=f"{CANARY}2"
    )
    assert set(json.loads(done.stdout)) == {"rotation", "reports"}


def verbs(home: Home) -> dict[str, tuple[str, ...]]:
    """Each verb that writes, with something to do."""
    tenants = ("-n", ",".join(home.tenants))
    return {
        "create": ("create", "generic", "new", *tenants, "--from-file=foo=-"),
        "registry": (
            *("create", "docker-registry", "new-registry", *tenants, "--docker-username=u"),
            "--docker-password-stdin",
        ),
        "existing": ("create", "generic", "by-others", *tenants, "--existing"),
        "copy": ("create", "generic", "copy", *tenants, f"--from-secret={home.first}/one"),
        "apply": ("apply", "-f", "grants.yaml", *tenants),
        "rotate": ("rotate", "one", *tenants, "--from-file=foo=-"),
        "delete": ("delete", "one", *tenants),
        "prune": ("apply", "-f", "grants.yaml", *tenants, "--prune"),
    }


def test_a_dry_run_of_each_verb_writes_nothing_and_the_verb_does(home: Home) -> None:
    grants(home, "one")
    assert home.run("apply", "-f", "grants.yaml").returncode == 0
    grants(home, "two")
    for name, words in verbs(home).items():
        before = home.state()
        for mode in ("client", "server"):
            dry = words
            if mode == "client" and name == "copy":
                continue  # without a cluster there is nothing to copy
            if mode == "client" and words[0] == "create":
                dry = (*words, "-o", "name")  # else the values are asked for
            done = home.run(*dry, f"--dry-run={mode}", stdin=f"{CANARY}-{name}")
            assert done.returncode == 0, (words, mode, done.stderr)
            assert home.state() == before, (words, mode)
        done = home.run(*words, "--dry-run=none", stdin=f"{CANARY}-{name}")
        assert done.returncode == 0, (words, done.stderr)
        assert home.state() != before, words


def test_what_is_not_ours_is_left_alone_unless_adopted(home: Home) -> None:
    if isinstance(home, Real):
        body = {"metadata": {"name": "s"}, "data": {"old": "b2xk"}}
        home.server.create(SECRETS.format(home.first), body)
    else:
        assert isinstance(home, InDirectory)
        metadata = {"name": "s", "namespace": home.first}
        home.cluster.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata})
    before = home.get("secrets", "s")
    words = ("create", "generic", "s", "-n", home.first, "--from-file=foo=-")
    done = home.run(*words, stdin=CANARY)
    assert done.returncode == 1
    assert "not ours" in done.stderr
    assert home.get("secrets", "s") == before
    assert home.run("delete", "s", "-n", home.first).returncode == 0
    assert home.get("secrets", "s") == before
    assert home.run(*words, "--adopt", stdin=CANARY).returncode == 0
    assert home.value("s", "foo") == CANARY


def test_usage_and_failures_have_their_status_and_show_nothing(home: Home) -> None:
    for words in (
        ["apply"],
        ["apply", "-f", "x.yaml", "-A", "-n", "alice"],
        ["apply", "-f", "x.yaml", "--dry-run"],
        ["apply", "-f", "x.yaml", "--dry-run=server", "--report", "r"],
        ["apply", "-f", "x.yaml", f"--{CANARY}"],
        ["apply", "-f", "x.yaml", "-o", CANARY],
        ["apply", "-f", "-", "-f", "-"],
        ["delete"],
        ["diff"],
        ["verify"],
        ["verify", "a", "-f", "x.yaml"],
        ["rotate", "a"],
        ["rotate", "a", "b", "--from-file=foo=-"],
        ["rotate", "a", "--from-file=foo=-", "--canary", "x", "--report", "r"],
        ["rotate", "-f", "x.yaml", f"--from-literal=a={CANARY}"],
        ["tenants", "--wait", ""],
        ["tenants", "--timeout", "3"],
        ["tenants", "--wait", "x", "--timeout", "soon"],
        ["handover", "a"],
        ["handover", "a", "--to", CANARY],
        ["clusterrole", "fly"],
        ["doctor", "a"],
        ["doctor", "-n", ""],
    ):
        done = home.run(*words)
        assert (done.returncode, done.stdout) == (2, ""), (words, done.stderr)
        assert done.stderr.startswith(f"usage: jupyter kfsecrets {words[0]} ")
    bad = home.files / "bad.yaml"
    bad.write_text(f"name: x\nsecret:\n  data:\n    foo: [{CANARY}]\n")
    for words in (
        ["apply", "-f", "no-such.yaml", "-n", home.first],
        ["apply", "-f", "bad.yaml", "-n", home.first],
        ["apply", "-f", "grants.yaml", "--resume", "bad.yaml"],
        ["delete", "a", "-n", "no-such-tenant"],
        ["tenants", "no-such-tenant"],
        ["tenants", "--wait", "no-such-tenant", "--timeout", "0.2"],
        ["rotate", "no-such", "-n", home.first, "--from-file=foo=-"],
        ["create", "generic", "s", "-n", home.first, f"--from-literal={CANARY}"],
        ["create", "generic", "Bad_Name", "-n", home.first, f"--from-literal=a={CANARY}"],
        ["create", "generic", "s", "-n", home.first, "--from-secret=no-such/secret"],
        ["verify", "no-such", "-n", home.first],
        ["tenants", "--kubeconfig", "no-such-file"],
    ):
        if "--resume" in words:
            grants(home, "one")
        done = home.run(*words)
        assert done.returncode == 1, (words, done.stderr)
        assert done.stderr or done.stdout


@on_the_real_one
def test_a_tenant_works_with_her_own_rights(real: Real) -> None:
    account = f"system:serviceaccount:{real.first}:default-editor"
    mine = ("-n", real.first, "--as", account)
    done = real.run("create", "generic", "s", *mine, "--from-file=foo=-", stdin=CANARY)
    assert done.returncode == 0, done.stderr
    assert account in done.stderr
    assert real.value("s", "foo") == CANARY
    # She may not patch PodDefaults: a change is delete and create, and the plan says so.
    done = real.run(
        *("create", "generic", "s", *mine, "--from-file=foo=-", "--desc=New"), stdin=CANARY
    )
    assert done.returncode == 0, done.stderr
    assert "recreate" in done.stderr
    poddefault = real.get("poddefaults", "s")
    assert poddefault is not None
    assert poddefault["spec"]["desc"] == "New"
    assert real.run("delete", "s", *mine).returncode == 0
    assert real.get("secrets", "s") is None
    # Nor may she look elsewhere.
    other = ("-n", real.tenants[1], "--as", account)
    before = real.state()
    done = real.run("create", "generic", "s", *other, "--from-file=foo=-", stdin=CANARY)
    assert done.returncode == 1
    assert real.run("tenants", "--as", account).returncode == 1
    assert real.state() == before


@on_the_real_one
def test_a_tenant_that_comes_later_is_waited_for(real: Real, tenant_labels: dict[str, str]) -> None:
    name = f"later-{uuid.uuid4().hex[:8]}"
    waiting = subprocess.Popen(
        [JUPYTER, "kfsecrets", "tenants", "--wait", name, "-o", "name"],
        env=real.env,
        stdout=subprocess.PIPE,
        text=True,
    )
    ready, _, _ = select.select([waiting.stdout], [], [], 3)
    assert not ready
    real.server.create_tenant(name, labels=tenant_labels)
    assert waiting.communicate()[0] == f"namespace/{name}\n"
    assert waiting.returncode == 0


@on_the_real_one
def test_a_namespace_that_the_webhook_does_not_see_is_named_with_its_fix(real: Real) -> None:
    name = f"bare-{uuid.uuid4().hex[:8]}"
    real.server.create_tenant(name, labels={})
    done = real.run("create", "generic", "s", "-n", name, "--from-file=foo=-", stdin=CANARY)
    assert f"kubectl label namespace {name}" in done.stderr
    assert real.run("doctor", "-n", name).returncode == 1


def at_a_terminal(home: Home, answer: bytes, *words: str) -> tuple[int, bytes]:
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(home.files)
        os.execve(JUPYTER, [JUPYTER, "kfsecrets", *words], home.env)
    seen = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # the terminal is closed
            break
        if not part:
            break
        seen += part
        if answer and b"[y/N]" in seen:
            os.write(terminal, answer)
            answer = b""
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), seen


@pytest.mark.parametrize("home", ["embedded"], indirect=True)
def test_a_terminal_is_asked_before_something_is_written(home: Home) -> None:
    grants(home, "one")
    before = home.state()
    for answer in (b"n\n", b"\n", b"\x04"):
        status, seen = at_a_terminal(home, answer, "apply", "-f", "grants.yaml")
        assert (status, b"Nothing was written" in seen) == (1, True)
        assert home.state() == before
    status, seen = at_a_terminal(home, b"\x03", "apply", "-f", "grants.yaml")
    assert status == 130
    assert b"Traceback" not in seen
    assert home.state() == before
    status, seen = at_a_terminal(home, b"y\n", "apply", "-f", "grants.yaml")
    assert status == 0
    # The bar was there, and is gone.
    assert b"applying [" in seen
    after = home.state()
    assert len(after) == len(before) + 4
    # Nothing to write, nothing to ask
    status, seen = at_a_terminal(home, b"", "apply", "-f", "grants.yaml")
    assert (status, b"[y/N]" in seen) == (0, False)
    status, seen = at_a_terminal(home, b"", "delete", "one", "-n", ",".join(home.tenants), "--yes")
    assert status == 0
    assert CANARY.encode() not in seen


@pytest.mark.parametrize("home", ["embedded"], indirect=True)
def test_a_canary_that_fails_stops_the_rotation(home: Home) -> None:
    assert isinstance(home, InDirectory)
    file = grants(home, "one")
    assert home.run("apply", "-f", file).returncode == 0
    metadata = {"name": "broken", "namespace": home.first}
    selector = {"matchExpressions": [{"key": "a", "operator": "In", "values": []}]}
    home.cluster.create(
        {
            "apiVersion": "kubeflow.org/v1alpha1",
            "kind": "PodDefault",
            "metadata": metadata,
            "spec": {"selector": selector},
        }
    )
    words = ("rotate", "one", "-n", ",".join(home.tenants), "--from-file=foo=-", "--canary", "1")
    done = home.run(*words, "--ignore-findings", stdin=f"{CANARY}-new")
    assert done.returncode == 1
    assert "canary failed" in done.stderr
    assert home.value("one", "foo", home.tenants[1]) == CANARY


def test_tenants_come_from_a_file_of_names_of_any_editor(home: Home) -> None:
    file = home.files / "tenants.txt"
    file.write_bytes("\r\n".join([*home.tenants, ""]).encode("utf-8-sig"))
    words = ("create", "generic", "s", "--from-file=foo=-", "--tenants-from", "tenants.txt")
    assert home.run(*words, stdin=CANARY).returncode == 0
    assert [home.value("s", "foo", one) for one in home.tenants] == [CANARY, CANARY]
    file.write_bytes(b"\xff\xfe" + CANARY.encode())
    done = home.run("delete", "s", "--tenants-from", "tenants.txt")
    assert done.returncode == 2
    assert "this one is not UTF-8" in done.stderr
    assert home.value("s", "foo") == CANARY


def test_no_placeholder_is_looked_for_in_what_is_encoded(home: Home) -> None:
    docker = ("--docker-username={owner}", "--docker-password-stdin")
    words = ("create", "docker-registry", "d", "-n", home.first, *docker)
    done = home.run(*words, "--template", "secret.data", stdin=CANARY)
    assert done.returncode == 2
    assert "its values are encoded" in done.stderr
    assert not home.state()


def test_no_file_of_the_users_holds_a_value(home: Home) -> None:
    done = home.run("create", "generic", "s", "-n", home.first, "--from-file=foo=-", stdin=CANARY)
    assert done.returncode == 0
    own = Path(home.env["HOME"])
    for directory in (own, Path(home.env["TMPDIR"])):
        for path in directory.rglob("*"):
            if path.is_file():
                assert CANARY.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    "verb", ["create", "apply", "rotate", "delete", "verify", "diff", "tenants", "handover"]
)
def test_help_has_examples_and_recommends_what_keeps_values_out(verb: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [JUPYTER, "kfsecrets", verb, "--help"],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "examples:\n  jupyter kfsecrets" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    if verb in ("create", "rotate"):
        assert "list of processes" in done.stdout
        assert "standard input" in done.stdout
    for line in done.stdout.partition("examples:")[2].splitlines():
        assert "--from-literal" not in line


def has_open(process: int, file: Path) -> bool:
    descriptors = Path(f"/proc/{process}/fd")
    with contextlib.suppress(FileNotFoundError):  # one that was closed meanwhile
        return any(one.readlink() == file for one in descriptors.iterdir())
    return False


def test_interrupted_it_ends_in_order_and_a_second_run_finishes(tmp_path: Path) -> None:
    home = InDirectory(tmp_path, [f"tenant-{number:03}" for number in range(150)])
    grants(home, "one")
    writes = Path(home.cluster.server, ".writes").resolve()
    with writes.open("a") as held:
        # none of its writes gets further than this before it is told
        fcntl.flock(held, fcntl.LOCK_EX)
        running = subprocess.Popen(
            [JUPYTER, "kfsecrets", "apply", "-f", "grants.yaml", "--report", "report.json"],
            env=home.env,
            cwd=home.files,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while not has_open(running.pid, writes):
            assert running.poll() is None
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        time.sleep(1)
    out, err = running.communicate()
    assert "Traceback" not in out + err
    assert running.returncode == 130
    assert "the same command goes on" in err
    report = json.loads((home.files / "report.json").read_text())
    assert report["interrupted"] is True
    # what was under way was ended
    assert 0 < len(home.state()) < 300
    assert home.run("apply", "-f", "grants.yaml", "--resume", "report.json").returncode == 0
    assert len(home.state()) == 300
    assert {home.value("one", "foo", tenant) for tenant in home.tenants} == {CANARY}


@on_the_real_one
def test_what_may_not_be_listed_is_no_success(real: Real) -> None:
    file = grants(real, "one")
    assert real.run("apply", "-f", file).returncode == 0
    before = real.state()
    nobody = ("-n", real.first, "--as", "nobody@example.com")
    why = f"nobody@example.com may not list PodDefaults in {real.first}"
    done = real.run("delete", "one", *nobody)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Nothing to do" not in done.stderr
    assert "nobody@example.com may not list Secrets here" in done.stderr
    for words in (("delete", "one"), ("apply", "-f", file, "--prune")):
        done = real.run(*words, *nobody, "-o", "json")
        said = json.loads(done.stdout)
        assert (done.returncode, said["report"]["ok"]) == (1, False)
        assert {row["outcome"] for row in said["report"]["rows"]} <= {"forbidden", "skipped"}
    for rotated in (
        real.run("rotate", "one", *nobody, "--from-file=foo=-", stdin=CANARY),
        real.run("rotate", "-f", file, *nobody),
    ):
        assert rotated.returncode == 1
        assert why in rotated.stderr
        assert "Nothing named" not in rotated.stderr
    assert real.state() == before


def test_a_rotation_for_all_is_one_for_those_that_have_the_grant(home: Home) -> None:
    name = f"only-{home.first}"
    file = grants(home, name)
    assert home.run("apply", "-f", file, "-n", home.first).returncode == 0
    before = home.state()
    words = ("rotate", name, "--from-file=foo=-")
    done = home.run(*words, "-n", ",".join(home.tenants), stdin=f"{CANARY}-named")
    assert done.returncode == 1
    assert f"was granted to tenant {home.tenants[1]}" in done.stderr
    assert home.state() == before
    done = home.run(*words, "-A", stdin=f"{CANARY}-new")
    assert done.returncode == 0, done.stderr
    assert "no such grant, and nothing is rotated there: " in done.stderr
    assert home.value(name, "foo") == f"{CANARY}-new"
    (home.files / "value").write_text(f"{CANARY}-file")
    done = home.run("rotate", "-f", file, "-A", "-o", "json")
    assert done.returncode == 0, done.stderr
    assert home.tenants[1] in json.loads(done.stdout)["rotation"]["without"]
    assert home.value(name, "foo") == f"{CANARY}-file"
    # nobody got what was not granted
    assert {tenant for tenant, _, one in home.state() if one == name} == {home.first}
    done = home.run("rotate", f"no-{name}", "-A", "--from-file=foo=-", stdin=CANARY)
    assert done.returncode == 1
    assert "Nothing named" in done.stderr


@pytest.mark.parametrize("home", ["embedded"], indirect=True)
def test_who_stops_after_the_canary_is_told_what_was_done(home: Home) -> None:
    assert home.run("apply", "-f", grants(home, "one")).returncode == 0
    (home.files / "new").write_text(f"{CANARY}-new")
    words = ("rotate", "one", "-n", ",".join(home.tenants), "--from-file=foo=new")
    status, seen = answering(home, [b"y\n", b"n\n"], *words, "--canary", home.first)
    assert (status, b"Nothing was written" in seen) == (1, False)
    assert f"the canary has the new values ({home.first})".encode() in seen
    assert f"the rest keeps the old ones ({home.tenants[1]})".encode() in seen
    assert [home.value("one", "foo", tenant) for tenant in home.tenants] == [
        f"{CANARY}-new",
        CANARY,
    ]
    status, seen = answering(home, [b"n\n"], *words, "--canary", home.tenants[1])
    assert (status, b"Nothing was written." in seen) == (1, True)
    assert home.value("one", "foo", home.tenants[1]) == CANARY


def answering(home: Home, answers: list[bytes], *words: str) -> tuple[int, bytes]:
    """Run a command at a terminal, and answer its questions one after the other."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(home.files)
        os.execve(JUPYTER, [JUPYTER, "kfsecrets", *words], home.env)
    seen = b""
    given = 0
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # the terminal is closed
            break
        if not part:
            break
        seen += part
        if given < min(len(answers), seen.count(b"[y/N]")):
            os.write(terminal, answers[given])
            given += 1
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), seen


@pytest.mark.parametrize("home", ["embedded"], indirect=True)
def test_a_rotation_takes_away_older_secrets_where_told(home: Home) -> None:
    words = ("create", "generic", "h", "-n", home.first, "--append-hash", "--from-file=foo=-")
    assert home.run(*words, stdin=CANARY).returncode == 0
    words = ("rotate", "h", "-n", home.first, "--from-file=foo=-")
    done = home.run(*words, stdin=f"{CANARY}-new")
    assert done.returncode == 0, done.stderr
    assert "rotate h --prune" in " ".join(done.stderr.split())
    assert sum(kind == "Secret" for _, kind, _ in home.state()) == 2
    done = home.run(*words, "--prune", stdin=f"{CANARY}-new")
    assert done.returncode == 0, done.stderr
    assert sum(kind == "Secret" for _, kind, _ in home.state()) == 1
