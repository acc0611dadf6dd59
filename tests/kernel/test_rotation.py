"""What the guard knows in a running kernel: all that is mounted, and every rotation in time."""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from rig.kernels import GENERATIONS, Environment, environment, running
from rig.kubelet import Kubelet
from rig.podapi import serving

pytestmark = pytest.mark.slow


@pytest.fixture(params=list(GENERATIONS))
def made(request: pytest.FixtureRequest) -> Environment:
    return environment(request.param)


@pytest.fixture
def root(tmp_path: Path, kubelet: Kubelet) -> Path:
    root = tmp_path / "secret"
    root.mkdir()
    kubelet.write_secret(root / "test-secret", {"foo": "first-Zx7Qp-canary"})
    return root


def test_a_cell_that_waits_for_a_rotation_does_not_show_the_new_value(
    made: Environment, tmp_path: Path, root: Path, kubelet: Kubelet
) -> None:
    path = root / "test-secret" / "foo"
    with running(made, tmp_path / "kernel", root) as kernel:
        for number in range(8):
            before = path.read_text()
            value = f"rotated-{number}-R5vT2w-{number}"
            rotation = threading.Timer(
                0.3, kubelet.write_secret, (root / "test-secret", {"foo": value})
            )
            rotation.start()
            cell = kernel.run(
                f"while open({str(path)!r}).read() == {before!r}: pass\n!cat {path}\n"
                f"print(open({str(path)!r}).read())"
            )
            rotation.join()
            assert cell.text().replace("\n", "") == "[redacted:test-secret/foo]" * 2
            # Earlier generations stay known.
            assert kernel.run(f"print({before!r})").text() == "[redacted:test-secret/foo]\n"
            assert not any(value.encode() in frame for frame in kernel.frames())


def test_an_empty_volume_that_fills_and_a_new_one_are_known(
    made: Environment, tmp_path: Path, root: Path, kubelet: Kubelet
) -> None:
    kubelet.write_secret(root / "optional", {})
    with running(made, tmp_path / "kernel", root) as kernel:
        kernel.run("1")
        for name in ("optional", "new"):
            kubelet.write_secret(root / name, {"key": f"came-later-{name}-R5vT2w"})
            cell = kernel.run(f"!cat {root / name / 'key'}")
            assert cell.text() == f"[redacted:{name}/key]"


def test_registry_credentials_in_the_home_are_known_and_those_that_come(
    made: Environment, tmp_path: Path, root: Path
) -> None:
    def config(password: str) -> str:
        auth = base64.b64encode(f"robot:{password}".encode()).decode()
        return json.dumps({"auths": {"ghcr.io": {"auth": auth}, "*.example.com": {"auth": auth}}})

    home = tmp_path / "kernel" / "home"
    home.mkdir(parents=True)
    (home / ".dockercfg").write_text(config("oldest-Zx7Qp-canary"))
    with running(made, tmp_path / "kernel", root) as kernel:
        shown = (
            kernel.run("!cat ~/.dockercfg").text() + kernel.run("!base64 -w0 ~/.dockercfg").text()
        )
        assert base64.b64encode(b"robot:oldest-Zx7Qp-canary").decode() not in shown
        assert "oldest-Zx7Qp" not in kernel.run("print('oldest-Zx7Qp-canary')").text()
        # docker login: makes the directory, writes beside the file, and renames
        (home / ".docker").mkdir()
        for password in ("login-1-R5vT2w-x", "login-2-R5vT2w-y"):
            (home / ".docker" / "config.json123").write_text(config(password))
            (home / ".docker" / "config.json123").rename(home / ".docker" / "config.json")
            assert password not in kernel.run(f"print({password!r})").text()
            shown = kernel.run("!cat ~/.docker/config.json").text()
            assert base64.b64encode(f"robot:{password}".encode()).decode() not in shown
            assert "ghcr.io" in shown


def test_what_the_user_registers_is_known(made: Environment, tmp_path: Path, root: Path) -> None:
    with running(made, tmp_path / "kernel", root) as kernel:
        kernel.run(
            "x = 'from-' + 'elsewhere-R5vT2w'\nimport kfsecrets_ext\n"
            "kfsecrets_ext.secrets.register('my token', x)"
        )
        assert kernel.run("print(x)").text() == "[redacted:my token]\n"
        assert "my token" in kernel.run("%kfsecrets").text()
        assert "the value" in kernel.run("%kfsecrets [redacted:my token]").text()


def test_variables_that_came_from_secrets_are_known(
    made: Environment, tmp_path: Path, root: Path
) -> None:
    home = tmp_path / "cluster"
    home.mkdir()
    reference = {"secretKeyRef": {"name": "aws", "key": "secret"}}
    container = {
        "name": "notebook",
        "env": [
            {"name": "NB_PREFIX", "value": "/notebook/a/b"},
            {"name": "AWS", "valueFrom": reference},
        ],
        "envFrom": [{"secretRef": {"name": "all"}, "prefix": "ALL_"}],
    }
    pod = {"metadata": {"name": "b-0", "namespace": "a"}, "spec": {"containers": [container]}}
    (home / "pod.json").write_text(json.dumps(pod))
    env = {
        "KFSECRETS_CLUSTER": str(home),
        "AWS": "aws-R5vT2w-canary",
        "ALL_one": "all-R5vT2w-canary",
    }
    with running(made, tmp_path / "kernel", root, env=env) as kernel:
        text = kernel.run("%env").contents("execute_result")[0]["data"]["text/plain"]
        assert "[redacted:aws/secret]" in text
        assert "[redacted:all/one]" in text
        assert "R5vT2w" not in kernel.run("!env").text()


def test_a_forked_child_knows_of_rotations_and_takes_none_from_its_parent(
    made: Environment, tmp_path: Path, root: Path, kubelet: Kubelet
) -> None:
    path = root / "test-secret" / "foo"
    go = tmp_path / "go"
    with running(made, tmp_path / "kernel", root) as kernel:
        kernel.run(
            "import os, time\nchild = os.fork()\nif child == 0:\n"
            f"    while not os.path.exists({str(go)!r}): time.sleep(0.02)\n"
            f"    print('child', open({str(path)!r}).read(), flush=True); os._exit(0)"
        )
        kubelet.write_secret(root / "test-secret", {"foo": "rotated-R5vT2w-child"})
        go.touch()
        time.sleep(0.2)
        kernel.run("n = os.waitpid(child, 0)")
        cell = kernel.run(f"print('parent', open({str(path)!r}).read())")

        def heard(later: list[dict[str, Any]]) -> str:
            streams = (one for one in (*kernel.others, *later) if one["msg_type"] == "stream")
            return "".join(one["content"]["text"] for one in streams)

        later = kernel.until(lambda later: "]\n" in heard(later))
        assert heard([*later, *kernel.later(1.0)]) == "child [redacted:test-secret/foo]\n"
        assert cell.text() == "parent [redacted:test-secret/foo]\n"
        assert not any(b"rotated-R5vT2w-child" in frame for frame in kernel.frames())


def test_a_generation_that_comes_and_goes_between_two_messages_is_known(
    made: Environment, tmp_path: Path, root: Path, kubelet: Kubelet
) -> None:
    path = root / "test-secret" / "foo"
    with running(made, tmp_path / "kernel", root) as kernel:
        for number in range(3):
            before, short = path.read_text(), f"short-lived-{number}-R5vT2w"
            rotations = [
                threading.Timer(pause, kubelet.write_secret, (root / "test-secret", {"foo": value}))
                for pause, value in ((0.5, short), (1.5, f"after-it-{number}-R5vT2w"))
            ]
            for rotation in rotations:
                rotation.start()
            wait = f"while open({str(path)!r}).read() == seen: time.sleep(0.01)\n"
            cell = kernel.run(
                f"import time\nseen = {before!r}\n{wait}seen = open({str(path)!r}).read()\n"
                f"{wait}print(seen)"
            )
            for rotation in rotations:
                rotation.join()
            assert cell.text() == "[redacted:test-secret/foo]\n"
            assert not any(short.encode() in frame for frame in kernel.frames())


def test_a_storm_of_rotations_lets_cells_run_and_the_kernel_end(
    made: Environment, tmp_path: Path, root: Path, kubelet: Kubelet
) -> None:
    ended = threading.Event()

    def storm() -> None:
        number = 0
        while not ended.wait(0.001):
            number += 1
            kubelet.write_secret(root / "test-secret", {"foo": f"storm-{number:06}-R5vT2w"})

    with running(made, tmp_path / "kernel", root) as kernel:
        thread = threading.Thread(target=storm)
        thread.start()
        try:
            for _ in range(10):
                assert kernel.run("print('here')").text() == "here\n"
            kernel.client.shutdown()
            assert kernel.process.wait(60) == 0
        finally:
            ended.set()
            thread.join()


def test_what_is_no_file_keeps_no_kernel_waiting(
    made: Environment, tmp_path: Path, root: Path
) -> None:
    os.mkfifo(tmp_path / "config.json")
    env = {"DOCKER_CONFIG": str(tmp_path), "REGISTRY_AUTH_FILE": "/dev/zero"}
    with running(made, tmp_path / "kernel", root, env=env) as kernel:
        assert kernel.run(f"!cat {root / 'test-secret' / 'foo'}").text() == (
            "[redacted:test-secret/foo]"
        )


def test_a_configuration_that_a_notebook_names_is_known(
    made: Environment, tmp_path: Path, root: Path
) -> None:
    def cell(variable: str, value: str) -> str:
        return kernel.run(
            f"import os; os.environ[{variable!r}] = {value!r}; print(open({str(file)!r}).read())"
        ).text()

    file = tmp_path / "config.json"
    with running(made, tmp_path / "kernel", root) as kernel:
        for number, variable in enumerate(("DOCKER_CONFIG", "REGISTRY_AUTH_FILE")):
            file.write_text(json.dumps({"auths": {"a": {"password": f"named-{number}-R5vT2w"}}}))
            shown = cell(variable, str(tmp_path if variable == "DOCKER_CONFIG" else file))
            assert "auths" in shown
            assert "R5vT2w" not in shown
        text = '{"auths": {"a": {"password": "in-it-R5vT2w-x"}}}'
        file.write_text(text)
        kernel.run("del os.environ['DOCKER_CONFIG'], os.environ['REGISTRY_AUTH_FILE']")
        assert "R5vT2w" not in cell("DOCKER_AUTH_CONFIG", text)


def test_a_working_directory_that_is_gone_closes_no_output(
    made: Environment, tmp_path: Path, root: Path, kubelet: Kubelet
) -> None:
    env = {"DOCKER_CONFIG": ".docker"}
    with running(made, tmp_path / "kernel", root, env=env) as kernel:
        kernel.run("import os, tempfile; d = tempfile.mkdtemp(); os.chdir(d); os.rmdir(d)")
        kubelet.write_secret(root / "new", {"key": "came-later-R5vT2w"})
        cell = kernel.run("print('came-later-R5vT2w'); print('here')")
        assert cell.text() == "[redacted:new/key]\nhere\n"


def test_variables_are_known_as_soon_as_the_cluster_answers(tmp_path: Path, root: Path) -> None:
    reference = {"secretKeyRef": {"name": "aws", "key": "secret"}}
    env = [
        {"name": "NB_PREFIX", "value": "/notebook/alice/nb"},
        {"name": "AWS", "valueFrom": reference},
    ]
    pod = {
        "metadata": {"name": "nb-0", "namespace": "alice"},
        "spec": {"containers": [{"name": "notebook", "env": env}]},
    }
    with serving(tmp_path / "account") as api:
        api.status, api.body = 503, json.dumps(pod).encode()
        variables = {**api.variables, "AWS": "aws-R5vT2w-canary"}
        made = environment("ipykernel 7")
        with running(made, tmp_path / "kernel", root, env=variables) as kernel:
            assert "did not answer" in kernel.run("%kfsecrets").text()
            api.status = 200
            give_up = time.monotonic() + 120
            while kernel.run("!printenv AWS").text().strip() != "[redacted:aws/secret]":
                assert time.monotonic() < give_up
                time.sleep(0.5)
            assert "did not answer" not in kernel.run("%kfsecrets").text()
