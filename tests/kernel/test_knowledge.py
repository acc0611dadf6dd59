"""What the guard knows in a pod: each kind of mount, and that it costs nothing to look again."""

from __future__ import annotations

import base64
import gc
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rig.kubelet import Kubelet
from rig.pod import CsiVolume, Pod, SecretVolume, SubPath

from kfsecrets_ext import cluster
from kfsecrets_ext.demo.pod import lay_out
from kfsecrets_ext.kernel.knowledge import Knowledge
from kfsecrets_ext.kernel.watch import Watch
from kfsecrets_ext.redaction import Redactor

pytestmark = pytest.mark.platform

CHECKOUT = Path(__file__).parents[2]

LOOK = """
import sys
sys.path.insert(0, sys.argv[1])
from kfsecrets_ext.kernel.knowledge import Knowledge
from kfsecrets_ext.redaction import Redactor

redactor = Redactor()
knowledge = Knowledge(redactor)
knowledge.start()
for line in sys.stdin:
    knowledge.refresh()
    print(redactor.redact(line), end="", flush=True)
"""


def test_a_secret_mounted_elsewhere_is_named_as_the_pod_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = lay_out(tmp_path / "pod")
    for variable, value in pod.variables().items():
        monkeypatch.setenv(variable, value)
    redactor = Redactor()
    Knowledge(redactor).start()
    config = (pod.home / ".docker" / "config.json").read_text(encoding="utf-8")
    assert redactor.redact(config) == "[redacted:docker-config/config.json]"


@pytest.mark.slow
def test_each_kind_of_mount_is_known_and_followed(make_pod: Callable[..., Pod]) -> None:
    secret = SecretVolume("one", {"a": "first-a-R5vT2w", "b": "first-b-R5vT2w"}, "/secret/one")
    items = {"key": "deep/in/it"}
    nested = SecretVolume("nested", {"key": "nested-R5vT2w-x"}, "/opt/nested", items=items)
    whole = SecretVolume("file", {"key": "single-R5vT2w-x"}, None)
    optional = SecretVolume("later", None, "/secret/later", optional=True)
    csi = CsiVolume("csi", {"key": "by-driver-R5vT2w"}, "/secret/csi")
    single = SubPath("file", "key", "/opt/app/key")
    pod = make_pod([secret, nested, whole, single, optional, csi])
    process = pod.start(
        [sys.executable, "-c", LOOK, str(CHECKOUT)], stdin=-1, stdout=-1, text=True, bufsize=1
    )

    def redacted(text: str) -> str:
        process.stdin.write(f"{text}\n")
        return str(process.stdout.readline()).removesuffix("\n")

    assert redacted("first-a-R5vT2w, first-b-R5vT2w") == "[redacted:one/a], [redacted:one/b]"
    assert redacted("nested-R5vT2w-x") == "[redacted:nested/deep/in/it]"
    assert redacted("single-R5vT2w-x") == "[redacted:key/key]"
    assert redacted("by-driver-R5vT2w") == "[redacted:csi/key]"
    token = pod.in_container("/run/secrets/kubernetes.io/serviceaccount/token").read_text()
    assert redacted(token) == "[redacted:service-account/token]"
    for number in range(3):
        value = f"rotated-{number}-R5vT2w"
        assert redacted(value) == value
        pod.rotate("one", {"a": value})
        assert redacted(value) == "[redacted:one/a]"
    pod.rotate("later", {"key": "came-later-R5vT2w"})
    assert redacted("came-later-R5vT2w") == "[redacted:later/key]"
    (pod.on_node("csi") / "new").write_text("new-by-driver-R5vT2w")
    assert redacted("new-by-driver-R5vT2w") == "[redacted:csi/new]"
    assert redacted("first-a-R5vT2w") == "[redacted:one/a]"
    process.stdin.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a pod's Secrets are mounted, in `secret`, and a user is at home."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "mountinfo").write_text("")
    monkeypatch.setenv("KFSECRETS_ROOTS", str(tmp_path / "secret"))
    monkeypatch.setenv("KFSECRETS_MOUNTINFO", str(tmp_path / "mountinfo"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


Learns = Callable[..., Knowledge]


@pytest.fixture
def learns() -> Iterator[Learns]:
    """Make what knows; it watches nothing any more once the test is over."""
    made: list[Knowledge] = []

    def learn(redactor: Redactor, watch: Watch | None = None) -> Knowledge:
        made.append(Knowledge(redactor, watch))
        return made[-1]

    yield learn
    for one in made:
        one.after_fork()


@pytest.mark.parametrize("inotify", [True, False])
def test_without_inotify_rotations_are_followed_all_the_same(
    kubelet: Kubelet, home: Path, learns: Learns, inotify: bool
) -> None:
    kubelet.write_secret(home / "secret" / "one", {"key": "first-R5vT2w-x"})
    redactor = Redactor()
    knowledge = learns(redactor, Watch(inotify=inotify))
    knowledge.start()
    knowledge.refresh()
    for number in range(5):
        kubelet.write_secret(home / "secret" / "one", {"key": f"rotated-{number}-R5vT2w"})
        knowledge.refresh()
        assert redactor.redact(f"rotated-{number}-R5vT2w") == "[redacted:one/key]"


@pytest.mark.parametrize("inotify", [True, False])
def test_a_driver_s_files_are_followed_in_directories_below(
    home: Path, learns: Learns, inotify: bool
) -> None:
    deep = home / "secret" / "csi" / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "key").write_text("first-R5vT2w-x")
    redactor = Redactor()
    # Its clock stands still: nothing is found by the look every other second.
    knowledge = learns(redactor, Watch(inotify=inotify, clock=lambda: 0.0))
    knowledge.start()
    knowledge.refresh()
    assert redactor.redact("first-R5vT2w-x") == "[redacted:csi/a/b/key]"
    # Of another length: the file system's clock may not have gone on.
    (deep / "key").write_text("rotated-R5vT2w-longer")
    knowledge.refresh()
    assert redactor.redact("rotated-R5vT2w-longer") == "[redacted:csi/a/b/key]"


def test_what_the_pod_object_tells_is_learnt_before_the_first_message(
    kubelet: Kubelet, home: Path, learns: Learns, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "cluster").mkdir()
    reference = {"secretKeyRef": {"name": "aws", "key": "secret"}}
    env = [
        {"name": "NB_PREFIX", "value": "/notebook/a/b"},
        {"name": "AWS", "valueFrom": reference},
    ]
    pod = {
        "metadata": {"name": "b-0", "namespace": "a"},
        "spec": {"containers": [{"name": "notebook", "env": env}]},
    }
    (home / "cluster" / "pod.json").write_text(json.dumps(pod))
    monkeypatch.setenv("KFSECRETS_CLUSTER", str(home / "cluster"))
    monkeypatch.setenv("AWS", "aws-R5vT2w-canary")
    redactor = Redactor()
    knowledge = learns(redactor)
    knowledge.start()
    knowledge.refresh()
    assert redactor.redact("aws-R5vT2w-canary") == "[redacted:aws/secret]"


def test_a_forked_process_learns_anew(kubelet: Kubelet, home: Path, learns: Learns) -> None:
    kubelet.write_secret(home / "secret" / "one", {"key": "first-R5vT2w-x"})
    redactor = Redactor()
    knowledge = learns(redactor)
    knowledge.start()
    knowledge.refresh()
    kubelet.write_secret(home / "secret" / "one", {"key": "rotated-R5vT2w"})
    knowledge.after_fork()
    knowledge.refresh()
    assert redactor.redact("rotated-R5vT2w") == "[redacted:one/key]"
    knowledge.after_fork()


def test_an_interrupt_while_it_learns_loses_no_rotation(
    kubelet: Kubelet, home: Path, learns: Learns, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubelet.write_secret(home / "secret" / "one", {"key": "first-R5vT2w-x"})
    redactor = Redactor()
    knowledge = learns(redactor)
    knowledge.start()
    knowledge.refresh()
    kubelet.write_secret(home / "secret" / "one", {"key": "rotated-R5vT2w"})
    with monkeypatch.context() as patch:

        def interrupted(*arguments: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(Knowledge, "_read", interrupted)
        with pytest.raises(KeyboardInterrupt):
            knowledge.refresh()
    knowledge.refresh()
    assert redactor.redact("rotated-R5vT2w") == "[redacted:one/key]"


@pytest.mark.parametrize("inotify", [True, False])
def test_a_generation_that_nobody_asked_for_is_learnt(
    kubelet: Kubelet, home: Path, learns: Learns, inotify: bool
) -> None:
    kubelet.write_secret(home / "secret" / "one", {"key": "first-R5vT2w-x"})
    redactor = Redactor()
    knowledge = learns(redactor, Watch(inotify=inotify))
    lock = threading.RLock()
    with lock:
        knowledge.start()
        knowledge.follow(lock)
    # What is watched anew in between is followed as well.
    for name in ("one", "new", "one", "new"):
        value = f"short-lived-{time.monotonic_ns()}-R5vT2w"
        kubelet.write_secret(home / "secret" / name, {"key": value})
        _until(lambda value=value: redactor.redact(value).startswith("[redacted:"))


def test_who_follows_sleeps_while_nothing_happens_and_breathes_in_a_storm(
    kubelet: Kubelet, home: Path, learns: Learns
) -> None:
    waits = []

    class Counting(Watch):
        def wait(self) -> None:
            waits.append(None)
            super().wait()

    kubelet.write_secret(home / "secret" / "one", {"key": "first-R5vT2w-x"})
    knowledge = learns(Redactor(), Counting())
    lock = threading.RLock()
    with lock:
        knowledge.start()
        knowledge.follow(lock)
    time.sleep(3.0)
    assert len(waits) <= 3
    waits.clear()
    began = time.monotonic()
    for number in range(1000):
        (home / "secret" / "one" / "key2").write_text(f"storm-{number}")
        time.sleep(0.001)
    assert 1 <= len(waits) <= 100 * (time.monotonic() - began) + 1


def test_a_docker_directory_that_is_made_anew_is_followed(home: Path, learns: Learns) -> None:
    config = home / ".docker" / "config.json"
    config.parent.mkdir()
    redactor = Redactor()
    # Its clock stands still: nothing is found by the look every other second.
    knowledge = learns(redactor, Watch(clock=lambda: 0.0))
    knowledge.start()
    knowledge.refresh()
    for number in range(3):
        if number == 1:
            config.parent.rename(home / "elsewhere")
        elif number == 2:
            shutil.rmtree(config.parent)
        config.parent.mkdir(exist_ok=True)
        knowledge.refresh()
        config.write_text(json.dumps({"auths": {"a": {"password": f"login-{number}-R5vT2w"}}}))
        knowledge.refresh()
        assert redactor.redact(f"login-{number}-R5vT2w") == "[redacted:registry]"


def test_a_mounted_configuration_s_entries_are_known_after_its_rotation(
    kubelet: Kubelet, home: Path, learns: Learns
) -> None:
    redactor = Redactor()
    knowledge = learns(redactor, Watch(clock=lambda: 0.0))
    knowledge.start()
    for number in range(2):
        password = f"old-layout-{number}-R5vT2w"
        auth = base64.b64encode(f"robot:{password}".encode()).decode()
        kubelet.write_secret(home / "secret" / "hub", {".dockercfg": f"auth = {auth}\n"})
        knowledge.refresh()
        assert redactor.redact(password) == "[redacted:hub/.dockercfg]"


def test_a_cluster_that_does_not_answer_keeps_nothing_waiting_for_long(
    home: Path, learns: Learns, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()

    def silent() -> cluster.OwnPod:
        answered.wait(60)
        return cluster.OwnPod(None, "kubernetes")

    monkeypatch.setattr(cluster, "own_pod", silent)
    knowledge = learns(Redactor())
    began = time.monotonic()
    knowledge.start()
    knowledge.refresh()
    assert 2.0 <= time.monotonic() - began < 20
    answered.set()


def test_code_that_closes_every_descriptor_does_not_blind_it(
    kubelet: Kubelet, home: Path, learns: Learns
) -> None:
    kubelet.write_secret(home / "secret" / "one", {"key": "first-R5vT2w-x"})
    redactor = Redactor()
    watch = Watch(clock=lambda: 0.0)
    knowledge = learns(redactor, watch)
    knowledge.start()
    assert watch._descriptor is not None
    os.close(watch._descriptor)
    for number in range(2):
        kubelet.write_secret(home / "secret" / "one", {"key": f"rotated-{number}-R5vT2w"})
        knowledge.refresh()
        assert redactor.redact(f"rotated-{number}-R5vT2w") == "[redacted:one/key]"


def test_looking_again_costs_the_same_for_one_mount_and_for_many(
    kubelet: Kubelet, home: Path, learns: Learns
) -> None:
    calls = {}
    for count in (1, 200):
        for number in range(count):
            kubelet.write_secret(home / "secret" / f"s{number}", {"key": f"v-{number}-R5vT2w"})
        knowledge = learns(Redactor(), Watch(clock=lambda: 0.0))
        knowledge.start()
        knowledge.refresh()
        calls[count] = _calls(knowledge.refresh)
        knowledge.after_fork()
    assert calls[200] == calls[1]


def _until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def _calls(call: Callable[[], None]) -> int:
    count = 0

    def count_calls(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    # A collection in between may call finalizers, and those who listen to collections.
    gc.collect()
    gc.disable()
    sys.setprofile(count_calls)
    try:
        call()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count
