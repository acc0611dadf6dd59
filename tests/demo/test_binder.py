"""Binder's files: the container becomes the pod."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import yaml
from demo.running import environment

BINDER = Path(__file__).parents[2] / "binder"


def start(tmp_path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Binder's start script, with this environment's Python as the container's."""
    scripts = tmp_path / "bin"
    scripts.mkdir()
    python = Path(sysconfig.get_path("scripts")) / "python"
    (scripts / "python").write_text(f'#!/bin/sh\nexec "{python}" "$@"\n')
    (scripts / "python").chmod(0o755)
    env = environment(tmp_path)
    env["PATH"] = os.pathsep.join((str(scripts), env["PATH"]))
    return subprocess.run(
        [str(BINDER / "start"), *command], env=env, capture_output=True, text=True
    )


def test_start_becomes_the_command_within_the_pod(tmp_path: Path) -> None:
    done = start(tmp_path, "jupyter", "kfsecrets", "list", "-o", "json")
    assert done.returncode == 0, done.stderr
    secrets = {secret["name"]: secret["state"] for secret in json.loads(done.stdout)["secrets"]}
    assert secrets["test-secret"] == "ready"
    assert set(secrets.values()) == {"ready", "stale", "empty", "unreadable"}


def test_a_rotation_works_there_as_in_the_tour(tmp_path: Path) -> None:
    done = start(tmp_path, "jupyter", "kfsecrets", "demo", "--rotate", "test-secret")
    assert done.returncode == 0, done.stderr
    assert "secret/test-secret rotated" in done.stdout


FOLLOWED = """
import os, time
from kfsecrets_ext import inventory
from kfsecrets_ext.cluster import connect
from kfsecrets_ext.demo import contents

with connect() as cluster:
    cluster.apply(contents.secret("coming-soon"))
while inventory.collect().get("coming-soon").state != "ready":
    time.sleep(0.05)
print("arrived")
"""


def test_a_kubelet_runs_beside_the_command_and_ends_with_it(tmp_path: Path) -> None:
    done = start(tmp_path, sys.executable, "-c", FOLLOWED)
    assert (done.returncode, done.stdout) == (0, "arrived\n"), done.stderr
    wait_for_its_kubelet(tmp_path)


def wait_for_its_kubelet(directory: Path) -> None:
    """Wait until no process runs in a pod; it stays red by the time limit of all tests."""
    mark = environment(directory)["TMPDIR"]
    while any(mark in " ".join(one.info["cmdline"] or ()) for one in processes()):
        time.sleep(0.05)


def processes() -> Iterator[psutil.Process]:
    return psutil.process_iter(["cmdline"])


def test_the_commands_own_status_is_the_containers(tmp_path: Path) -> None:
    assert start(tmp_path, "sh", "-c", "exit 7").returncode == 7
    # It ends before the kubelet has begun.
    wait_for_its_kubelet(tmp_path)


def test_a_command_that_is_not_there_is_said_plainly(tmp_path: Path) -> None:
    done = start(tmp_path, "no-such-command")
    assert done.returncode == 1
    assert "no-such-command" in done.stderr or "No such file" in done.stderr
    assert "Traceback" not in done.stderr
    wait_for_its_kubelet(tmp_path)


def test_what_binder_runs_can_be_run() -> None:
    for script in ("postBuild", "start"):
        assert os.access(BINDER / script, os.X_OK)
        assert (BINDER / script).read_text().startswith("#!/bin/bash\n")
    content = yaml.safe_load((BINDER / "environment.yml").read_text())
    assert {"pip", "nodejs>=22"} <= set(content["dependencies"])
