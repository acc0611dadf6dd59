"""What the guard knows in a running kernel: all that is mounted, and every rotation in time."""

from __future__ import annotations

import base64
import json
import threading
import time
from pathlib import Path

import pytest
from rig.kernels import GENERATIONS, Environment, environment, running
from rig.kubelet import Kubelet

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
        heard = b"".join(
            one["content"]["text"].encode()
            for one in [*kernel.others, *kernel.later(1.0)]
            if one["msg_type"] == "stream"
        )
        assert heard == b"child [redacted:test-secret/foo]\n"
        assert cell.text() == "parent [redacted:test-secret/foo]\n"
        assert not any(b"rotated-R5vT2w-child" in frame for frame in kernel.frames())
