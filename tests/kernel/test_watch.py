"""Noticing changes: by inotify, and by looking where inotify cannot be had."""

from __future__ import annotations

import resource
import threading
import time
from pathlib import Path

import pytest
from rig.kubelet import Kubelet

from kfsecrets_ext.kernel.watch import LOST, Place, Watch

pytestmark = pytest.mark.platform


@pytest.fixture(params=[True, False], ids=["inotify", "looking"])
def watch(request: pytest.FixtureRequest) -> Watch:
    # Its clock stands still: nothing is found by the look every other second.
    return Watch(inotify=request.param, clock=lambda: 0.0)


def test_a_rotation_is_noticed_at_once_and_once(
    watch: Watch, kubelet: Kubelet, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        kubelet.write_secret(tmp_path / name, {"key": "value"})
    watch.over(Place(str(tmp_path / name), name) for name in ("one", "two"))
    assert watch.changed() == set()
    kubelet.write_secret(tmp_path / "two", {"key": "rotated"})
    assert watch.changed() == {"two"}
    assert watch.changed() == set()
    watch.close()


def test_an_empty_volume_that_fills_is_noticed(
    watch: Watch, kubelet: Kubelet, tmp_path: Path
) -> None:
    volume = tmp_path / "optional"
    kubelet.write_secret(volume, {})
    watch.over([Place(str(volume), "optional")])
    kubelet.write_secret(volume, {"key": "came"})
    assert watch.changed() == {"optional"}
    watch.close()


def test_plain_files_are_noticed(watch: Watch, tmp_path: Path) -> None:
    watch.over([Place(str(tmp_path), "csi")])
    (tmp_path / "key").write_text("a")
    assert watch.changed() == {"csi"}
    (tmp_path / "key").write_text("other")
    assert watch.changed() == {"csi"}
    (tmp_path / "key").unlink()
    assert watch.changed() == {"csi"}
    watch.close()


def test_only_the_names_that_matter_count(watch: Watch, tmp_path: Path) -> None:
    watch.over([Place(str(tmp_path), "docker", frozenset({"config.json"}))])
    (tmp_path / "other").write_text("x")
    assert watch.changed() == set()
    draft = tmp_path / "config.json12345"
    draft.write_text("{}")
    assert watch.changed() == set()
    draft.rename(tmp_path / "config.json")
    assert watch.changed() == {"docker"}
    watch.close()


def test_a_place_that_cannot_be_watched_is_looked_at(tmp_path: Path) -> None:
    watch = Watch(clock=lambda: 0.0)
    gone = tmp_path / "later"
    watch.over([Place(str(gone), "later"), Place(str(tmp_path), "here", frozenset({"x"}))])
    gone.mkdir()
    (gone / "key").write_text("x")
    assert watch.changed() == {"later"}
    watch.close()


def test_where_the_kernel_has_no_more_instances_it_looks(kubelet: Kubelet, tmp_path: Path) -> None:
    # inotify_init1 fails alike for each of its limits, and where a seccomp profile forbids it.
    kubelet.write_secret(tmp_path / "one", {"key": "value"})
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    watch = Watch(clock=lambda: 0.0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        watch.over([])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert watch._descriptor is None
    watch._inotify = False
    watch.over([Place(str(tmp_path / "one"), "one")])
    kubelet.write_secret(tmp_path / "one", {"key": "rotated"})
    assert watch.changed() == {"one"}
    watch.close()


def test_more_events_than_the_queue_holds_lose_nothing(tmp_path: Path) -> None:
    watch = Watch(clock=lambda: 0.0)
    other = tmp_path / "other"
    other.mkdir()
    watch.over([Place(str(tmp_path), "busy", frozenset({"x"})), Place(str(other), "other")])
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    for number in range(limit // 2 + 100):
        # Different names, so that no event is merged with the one before.
        (tmp_path / f"f{number % 2}").write_text("")
    (other / "key").write_text("")
    assert "other" in watch.changed()
    watch.close()


def test_what_inotify_does_not_tell_is_found_by_looking(tmp_path: Path) -> None:
    now = [0.0]
    watch = Watch(clock=lambda: now[0])
    (tmp_path / "key").write_text("a")
    watch.over([Place(str(tmp_path), "place")])
    watch._watches = {}  # as of a file system that keeps changes to itself
    (tmp_path / "key").write_text("other")
    assert watch.changed() == set()
    now[0] = 60.0
    assert watch.changed() == {"place"}
    watch.close()


def test_a_directory_that_goes_away_is_told_and_watched_again(tmp_path: Path) -> None:
    watch = Watch(clock=lambda: 0.0)
    directory = tmp_path / "docker"
    place = Place(str(directory), "docker", frozenset({"config.json"}))
    for number in range(3):
        directory.mkdir()
        watch.over([place])
        assert LOST not in watch.changed()
        (directory / "config.json").write_text("{}")
        assert watch.changed() == {"docker"}
        directory.rename(tmp_path / f"old-{number}")
        assert LOST in watch.changed()


def test_who_waits_is_woken_by_what_is_watched_anew(tmp_path: Path) -> None:
    watch = Watch()
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    watch.over([Place(str(tmp_path / "before"), "before")])
    waiting = threading.Thread(target=watch.wait)
    waiting.start()
    time.sleep(0.1)
    watch.over([Place(str(tmp_path / "before"), "before"), Place(str(tmp_path / "after"), "after")])
    began = time.monotonic()
    (tmp_path / "after" / "key").write_text("x")
    waiting.join()
    assert time.monotonic() - began < 1.0
    assert watch.changed() == {"after"}
    # What is watched no more does not wake anybody, once that is known.
    watch.over([Place(str(tmp_path / "before"), "before")])
    assert watch.changed() == set()
    (tmp_path / "after" / "key").write_text("y")
    began = time.monotonic()
    watch.wait()
    assert time.monotonic() - began > 1.0
    watch.close()
