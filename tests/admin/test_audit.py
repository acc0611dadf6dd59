"""No value is anywhere but in the Secrets: not in a log, a file, an argument or an output.

The administrator's two stories, a generic Secret and a registry's, are told from the first grant
to the last deletion, refusals included, on an API server that keeps an audit log of whole
requests and answers (of Secrets the metadata alone). The values come from files and from standard
input. Then all that was written down anywhere is searched.
"""

from __future__ import annotations

import base64
import json
import random
import re
import string
import sys
import time
import urllib.parse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from leaks.oracle import leaks
from rig import apiserver
from rig.apiserver import KUBEFLOW_LABELS, ApiServer
from rig.witness import Ran, Sandbox

from kfsecrets_ext.admin.clusterrole import cluster_role
from kfsecrets_ext.poddefaults import admit

pytestmark = [pytest.mark.slow, pytest.mark.platform]

Json = dict[str, Any]
_random = random.Random(8)
_LETTERS = string.ascii_letters + string.digits
# One for all Secrets, so that all that is shown is turned back once.
CANARY = "".join(_random.choices(_LETTERS, k=40))
CONTROL = "".join(_random.choices(_LETTERS, k=40))
TENANTS = ("alice", "bob")
ADMIN = "platform-admin@example.com"


class Scene:
    """A cluster with two tenants, an administrator with the least rights, and her files."""

    def __init__(self, server: ApiServer, base: Path) -> None:
        self.server = server
        self.sandbox = Sandbox(base / "sandbox")
        # what she brings along; it holds values, and lies elsewhere
        self.given = base / "given"
        self.given.mkdir()
        (self.given / "value").write_text(CANARY)
        (self.given / "rotated").write_text(f"{CANARY}-rotated\n")
        (self.given / "values.env").write_text(f"TOKEN={CANARY}\n")
        data = {"inline": {"value": CANARY}, "filed": {"file": str(self.given / "value")}}
        grant = {
            "apiVersion": "kfsecrets-ext/v1",
            "kind": "Grant",
            "name": "by-file",
            "secret": {"data": data},
        }
        (self.given / "grants.yaml").write_text(json.dumps(grant))
        (self.given / "broken.yaml").write_text(f"name: x\nsecret: {{data: {{a: [{CANARY}")
        for name in TENANTS:
            server.create_tenant(name)
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        group = "rbac.authorization.k8s.io"
        role = cluster_role()
        server.create(f"{rbac}/clusterroles", role)
        binding = {
            "metadata": {"name": "platform-admin"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role["metadata"]["name"]},
            "subjects": [{"apiGroup": group, "kind": "User", "name": ADMIN}],
        }
        server.create(f"{rbac}/clusterrolebindings", binding)
        # it learns of a binding a little later
        while server.call("GET", "/api/v1/secrets?limit=1", user=ADMIN).status == 403:
            time.sleep(0.02)
        # somebody else's
        for name in TENANTS:
            server.create(
                f"/api/v1/namespaces/{name}/secrets",
                {
                    "metadata": {"name": "foreign"},
                    "data": {"foo": base64.b64encode(CANARY.encode()).decode()},
                },
            )

    def admitted(self, request: Json) -> Json:
        """Answer as Kubeflow's webhook."""
        space = request["namespace"]
        path = f"/apis/kubeflow.org/v1alpha1/namespaces/{space}/poddefaults"
        stored = self.server.call("GET", path).body["items"]
        namespace = {"metadata": {"name": space, "labels": KUBEFLOW_LABELS}}
        pod = admit(request["object"], stored, namespace=namespace).pod
        return {
            "allowed": True,
            "patch": [
                {"op": "replace", "path": "/spec", "value": pod["spec"]},
                {"op": "replace", "path": "/metadata", "value": pod["metadata"]},
            ],
        }

    def jupyter(self, *command: str, given: str = "", status: int = 0, user: str = ADMIN) -> Ran:
        """Run ``jupyter kfsecrets …``."""
        options = (f"--kubeconfig={self.server.kubeconfig}", f"--as={user}")
        program = str(Path(sys.executable).with_name("jupyter"))
        ran = self.sandbox.run(program, "kfsecrets", *command, *options, given=given.encode())
        assert ran.status == status, ran.err.decode()
        return ran


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    base = tmp_path_factory.mktemp("audited")
    with apiserver.running(base / "rig", audited=True) as server:
        scene = Scene(server, base)
        with apiserver.webhook(server, "poddefaults-webhook", scene.admitted):
            _the_control(scene)
            _through_the_command_line(scene)
            _through_the_api(scene)
            _end(server)
        yield scene


def _through_the_command_line(scene: Scene) -> None:
    run = scene.jupyter
    value, rotated = scene.given / "value", scene.given / "rotated"
    grants, both = f"-f={scene.given / 'grants.yaml'}", f"-n={','.join(TENANTS)}"
    docker = ("create", "docker-registry", "docker-config", both, "--docker-username=robot")
    run("tenants")
    for dry_run in ("server", "none"):
        run("create", "generic", "cli", both, f"--from-file=foo={value}", f"--dry-run={dry_run}")
    run("create", "generic", "piped", "-A", "--from-file=foo=-", "-o=json", given=CANARY)
    run("create", "generic", "lines", both, f"--from-env-file={scene.given / 'values.env'}")
    run("create", "generic", "copy", "-n=bob", "--from-secret=alice/cli", "-o=yaml")
    run("create", "generic", "fixed", both, f"--from-file=foo={value}", "--immutable")
    run(*docker, "--docker-password-stdin", "--dry-run=server", given=CANARY)
    run(*docker, "--docker-password-stdin", "--mount-path=/home/jovyan/.docker", given=CANARY)
    run("diff", grants, both, status=1)
    run("apply", grants, both, "--report=report.json")
    run("apply", grants, both, "--resume=report.json", "-o=json")
    run("diff", grants, both, "-o=yaml")
    run("verify", "cli", "docker-config", "lines", "fixed", both, "-o=json")
    run("verify", grants, both)
    # refusals
    run("create", "generic", "foreign", both, f"--from-file=foo={value}", status=1)
    run("create", "generic", "cli", both, f"--from-file=a/b={value}", status=1)
    run("create", "generic", "Not A Name", both, f"--from-file=foo={value}", status=1)
    run("create", "generic", "x", both, "--from-file=foo=-", given=CANARY * 30_000, status=1)
    run("create", "docker-registry", "x", both, f"--from-file={value}", status=1)
    run("create", "generic", "x", "-n=nowhere", f"--from-file=foo={value}", status=1)
    run("create", "generic", "x", both, f"--from-file=foo={value}", user="nobody", status=1)
    run("apply", f"-f={scene.given / 'broken.yaml'}", both, status=1)
    # new values
    run("rotate", "cli", both, f"--from-file=foo={rotated}", "--canary=1", "-y")
    run("rotate", "fixed", both, f"--from-file=foo={rotated}", "-y", "-o=json")
    password = f"{CANARY}-rotated"
    password_options = ("--docker-username=robot", "--docker-password-stdin", "-y")
    run("rotate", "docker-config", both, *password_options, given=password)
    run("verify", "cli", "docker-config", both, "-o=json")
    names = ("cli", "piped", "lines", "copy", "fixed", "docker-config", "by-file")
    run("delete", *names, both, "--dry-run=server")
    run("delete", *names, both, "-y")


def _through_the_api(scene: Scene) -> None:
    program = str(Path(__file__).with_name("audited.py"))
    told = scene.sandbox.run(
        *(sys.executable, program, str(scene.server.kubeconfig), ADMIN, str(scene.given)),
        *TENANTS,
        given=CANARY.encode(),
    )
    # its output is searched, not shown
    assert told.status == 0, told.err.decode()[-2000:]


def _the_control(scene: Scene) -> None:
    """Leave a value of its own in each place that is searched."""
    program = (
        "import os, subprocess, sys, tempfile\n"
        "word = sys.stdin.read()\n"
        "with tempfile.NamedTemporaryFile('w') as file:\n"
        "    file.write(word + '-in-a-file-that-goes')\n"
        "    file.flush()\n"
        "subprocess.run(['true', word + '-as-an-argument'])\n"
        "subprocess.run(['sh', '-c', 'sleep 3', word + '-in-the-list'])\n"
        "open('kept', 'w').write(word + '-in-a-file-that-stays')\n"
        "print(word + '-on-standard-output')\n"
    )
    scene.sandbox.run(sys.executable, "-c", program, given=CONTROL.encode())
    data = {"metadata": {"name": "control"}, "data": {"word": f"{CONTROL}-in-the-audit-log"}}
    scene.server.create("/api/v1/namespaces/default/configmaps", data)
    encoded = base64.b64encode(f"{CONTROL}-in-the-server's-log".encode()).decode()
    scene.server.call("GET", f"/api/v1/namespaces/default/secrets/{encoded}")


def _end(server: ApiServer) -> None:
    """Wait until all that was asked is in the audit log."""
    last = f"/api/v1/namespaces/the-end-{time.monotonic_ns()}"
    server.call("GET", last)
    while not any(
        event["requestURI"] == last and event["stage"] == "ResponseComplete"
        for event in _events(server)
    ):
        time.sleep(0.05)


def test_no_value_is_in_a_log_of_the_api_server(scene: Scene) -> None:
    assert _in_logs(scene, CANARY) == []


def test_no_request_or_answer_beside_those_of_secrets_carries_a_value(scene: Scene) -> None:
    assert _in_events(scene, CANARY) == []


def test_no_output_file_or_argument_of_our_processes_carries_a_value(scene: Scene) -> None:
    assert _in_sandbox(scene, CANARY) == []


def test_our_processes_write_nowhere_else(scene: Scene) -> None:
    sandbox = scene.sandbox
    places = (sandbox.home, sandbox.temporary, sandbox.work, Path("/dev"))
    elsewhere = [
        path
        for path in sorted(sandbox.written())
        if not any(Path(path).is_relative_to(place) for place in places)
    ]
    assert elsewhere == []
    assert {path.name for path in scene.given.iterdir()} == {
        *("value", "rotated", "values.env", "grants.yaml", "broken.yaml")
    }


def test_the_story_was_told(scene: Scene) -> None:
    """What is searched holds what is to be searched: writes, deletions, probes, refusals."""
    seen = {
        (event["verb"], event["objectRef"]["resource"], event["responseStatus"]["code"])
        for event in _events(scene.server)
        if event["stage"] == "ResponseComplete"
        and "objectRef" in event
        and event.get("impersonatedUser", {}).get("username") in (ADMIN, "nobody")
    }
    wanted = {
        *(("patch", "secrets", 201), ("patch", "secrets", 200), ("delete", "secrets", 200)),
        *(("patch", "poddefaults", 201), ("delete", "poddefaults", 200), ("create", "pods", 201)),
        *(("patch", "secrets", 422), ("patch", "secrets", 403), ("list", "secrets", 200)),
    }
    assert wanted - seen == set()
    bodies = [
        event
        for event in _events(scene.server)
        if event.get("objectRef", {}).get("resource") == "secrets" and "requestObject" in event
    ]
    assert bodies == []


def test_the_search_finds_a_value_in_each_of_these_places(scene: Scene) -> None:
    places = " ".join(_in_sandbox(scene, CONTROL))
    for place in ("output of command", "list of processes", "seen: subprocess.Popen", "work/kept"):
        assert place in places
    assert "evidence/" in places
    assert any("audit.log" in place for place in _in_logs(scene, CONTROL))
    assert any("kube-apiserver.log" in place for place in _in_logs(scene, CONTROL))
    assert _in_events(scene, CONTROL) != []


# ── the search ───────────────────────────────────────────────────────────────

# Times, addresses and the server's own identifiers; the judge would take all of them apart.
_NUMBERS = re.compile(
    rb"(?:[-\w]+=)?\"?"
    rb"(?:[-+\d.:TZ]+(?:ns|\xc2\xb5s|ms|s|m)?|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    rb"\"?[,;:\]]?"
)


def _in_logs(scene: Scene, value: str) -> list[str]:
    found = []
    for log in scene.server.logs:
        data = log.read_bytes()
        if any(form in data for form in _forms(value)):
            found.append(f"{log.name}: plainly")
        if log.name != "audit.log":
            words = {word for line in data.splitlines() for word in line.split()}
            words -= {word for word in words if _NUMBERS.fullmatch(word)}
            found += [f"{log.name}: {way}" for way in _judged(words, value)]
    return found


def _in_events(scene: Scene, value: str) -> list[str]:
    texts = {
        text.encode()
        for event in _events(scene.server)
        for text in _texts(event)
        if len(text) > 5 and not _NUMBERS.fullmatch(text.encode())
    }
    return _judged(texts, value)


def _in_sandbox(scene: Scene, value: str) -> list[str]:
    found = set()
    lines: dict[bytes, str] = {}
    for place, data in scene.sandbox.shown():
        if any(form in data for form in _forms(value)):
            found.add(f"{place}: plainly")
        for line in data.splitlines():
            lines.setdefault(line, place)
    found.update(
        f"{place}: {way}" for line, place in lines.items() for way in _judged([line], value)
    )
    return sorted(found)


def _judged(texts: Iterable[bytes], value: str) -> list[str]:
    return [way for text in texts for way in leaks(text, value.encode())]


def _forms(value: str) -> Iterator[bytes]:
    """Spell a value plainly, in base64 at each place it may begin, in hexadecimal."""
    data = value.encode()
    yield data
    yield data.hex().encode()
    yield data.hex().upper().encode()
    yield urllib.parse.quote(base64.b64encode(data)).encode()
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + data)
        # without the signs that depend on what comes before and after
        yield coded[4 if before else 0 : len(coded) - 4]


def _events(server: ApiServer) -> list[Json]:
    (log,) = (one for one in server.logs if one.name == "audit.log")
    lines = log.read_bytes().splitlines(keepends=True)
    # the last one may be under way
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def _texts(held: Any) -> Iterator[str]:
    if isinstance(held, dict):
        for name, value in held.items():
            yield name
            yield from _texts(value)
    elif isinstance(held, list):
        for value in held:
            yield from _texts(value)
    elif isinstance(held, str):
        yield held
