"""Volumes are read whole, confined and without ever waiting."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rig.kubelet import Kubelet

from kfsecrets_ext import mounts
from kfsecrets_ext.errors import (
    KeyNotFound,
    SecretNotFound,
    SecretTooLarge,
    SecretUnreadable,
)

Rotate = Callable[[dict[str, bytes]], None]


@pytest.fixture
def volume(kubelet: Kubelet, tmp_path: Path) -> Rotate:
    return lambda data: kubelet.write_secret(tmp_path / "secret", data)


def read(root: Path, key: str, name: str = "secret") -> bytes:
    return mounts.read_key(name, str(root), name, key).value


def read_all(root: Path, name: str = "secret") -> mounts.Snapshot:
    return mounts.read_all(name, str(root), name)


def keys(root: Path, name: str = "secret") -> dict[str, str]:
    listing = mounts.list_keys(str(root), name)
    assert listing is not None
    return {file.name: file.state for file in listing.keys}


def test_key_is_read_byte_for_byte(volume: Rotate, tmp_path: Path) -> None:
    volume({"foo": b"bar\n", "binary": bytes(range(256)), "empty": b""})
    assert read(tmp_path, "foo") == b"bar\n"
    assert read(tmp_path, "binary") == bytes(range(256))
    assert read(tmp_path, "empty") == b""
    assert read_all(tmp_path).values == {
        "foo": b"bar\n",
        "binary": bytes(range(256)),
        "empty": b"",
    }


def test_rotation_is_seen_at_once(volume: Rotate, tmp_path: Path) -> None:
    volume({"foo": b"old", "gone": b"x"})
    before = read_all(tmp_path)
    volume({"foo": b"new", "fresh": b"y"})
    assert read(tmp_path, "foo") == b"new"
    after = read_all(tmp_path)
    assert (before.values, after.values) == (
        {"foo": b"old", "gone": b"x"},
        {"foo": b"new", "fresh": b"y"},
    )
    assert before.generation != after.generation
    assert keys(tmp_path) == {"foo": "ready", "fresh": "ready"}


ROTATOR = textwrap.dedent(
    """
    import sys, time
    from rig.kubelet import Kubelet
    directory, keys = sys.argv[1], int(sys.argv[2])
    with Kubelet() as kubelet:
        generation = 0
        while True:
            kubelet.write_secret(
                directory, {f"key-{n}": f"generation {generation}" for n in range(keys)}
            )
            if not generation:
                print("ready", flush=True)
            generation += 1
            time.sleep(0.001)
    """
)


@pytest.mark.slow
def test_rotation_never_gives_a_torn_snapshot(tmp_path: Path) -> None:
    """20 keys, a rotation about every millisecond, by the kubelet's code in another process."""
    rotator = subprocess.Popen(
        [sys.executable, "-c", ROTATOR, str(tmp_path / "secret"), "20"],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert rotator.stdout is not None
    try:
        assert rotator.stdout.readline() == b"ready\n"
        seen: set[bytes] = set()
        reads = 0
        while reads < 5_000 or len(seen) <= 100:
            reads += 1
            snapshot = read_all(tmp_path)
            assert len(snapshot.values) == 20
            generations = set(snapshot.values.values())
            assert len(generations) == 1, "keys of two generations in one snapshot"
            assert not snapshot.errors
            seen |= generations
            listing = mounts.list_keys(str(tmp_path), "secret")
            assert listing is not None
            assert len(listing.keys) == 20
            assert read(tmp_path, "key-7").startswith(b"generation ")
    finally:
        rotator.kill()
        rotator.communicate()


def test_reading_starts_anew_when_the_generation_vanishes(
    volume: Rotate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume({"a": b"old", "b": b"old"})
    opened = os.open
    rotations = []

    def rotate_before_a_file_is_opened(path: str, *rest: object, **more: object) -> int:
        if path == "b" and len(rotations) < 3:
            rotations.append(path)
            volume({"a": b"%d" % len(rotations), "b": b"%d" % len(rotations)})
        return opened(path, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", rotate_before_a_file_is_opened)
    assert read_all(tmp_path).values == {"a": b"3", "b": b"3"}


@pytest.mark.parametrize("look", [lambda root: read_all(root).values, keys])
def test_listing_of_a_half_deleted_generation_is_not_taken(
    look: Callable[[Path], dict[str, object]],
    volume: Rotate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    volume({"a": b"1", "b": b"1"})
    scan = os.scandir
    rotations = []

    def rotate_before_the_scan(path: int) -> object:
        if not rotations:
            rotations.append(path)
            volume({"a": b"2", "b": b"2", "c": b"2"})
        return scan(path)

    monkeypatch.setattr(os, "scandir", rotate_before_the_scan)
    assert sorted(look(tmp_path)) == ["a", "b", "c"]
    assert read_all(tmp_path).values == {"a": b"2", "b": b"2", "c": b"2"}


def test_items_give_nested_keys(kubelet: Kubelet, tmp_path: Path) -> None:
    kubelet.write_secret(
        tmp_path / "secret",
        {"key": b"1", "other": b"2"},
        items={"key": "deep/er/key.pem", "other": "flat"},
    )
    assert keys(tmp_path) == {"deep/er/key.pem": "ready", "flat": "ready"}
    assert read(tmp_path, "deep/er/key.pem") == b"1"
    assert read_all(tmp_path).values == {"deep/er/key.pem": b"1", "flat": b"2"}
    with pytest.raises(SecretUnreadable, match="not a regular file"):
        read(tmp_path, "deep/er")


def test_empty_volume_of_an_optional_secret_has_no_keys(kubelet: Kubelet, tmp_path: Path) -> None:
    kubelet.write_secret(tmp_path / "secret", {}, optional=True)
    assert keys(tmp_path) == {}
    assert read_all(tmp_path).values == {}
    with pytest.raises(KeyNotFound) as caught:
        read(tmp_path, "foo")
    assert caught.value.available == ()


def test_plain_directory_is_read_as_it_is(tmp_path: Path) -> None:
    plain = tmp_path / "secret"
    (plain / "nested").mkdir(parents=True)
    (plain / "foo").write_bytes(b"bar")
    (plain / "nested" / "deep").write_bytes(b"x")
    (plain / "link").symlink_to("nested/../foo")
    (plain / "..reserved").write_bytes(b"no key")
    assert keys(tmp_path) == {"foo": "ready", "link": "ready", "nested/deep": "ready"}
    assert read(tmp_path, "link") == b"bar"
    assert read_all(tmp_path).values == {"foo": b"bar", "link": b"bar", "nested/deep": b"x"}


def test_only_names_at_the_top_are_the_writers_own(tmp_path: Path) -> None:
    nested = tmp_path / "secret" / "nested"
    nested.mkdir(parents=True)
    (nested / "..key").write_bytes(b"a key")
    assert keys(tmp_path) == {"nested/..key": "ready"}
    assert read_all(tmp_path).values == {"nested/..key": b"a key"}


def test_link_to_a_directory_is_one_unreadable_key(tmp_path: Path) -> None:
    plain = tmp_path / "secret"
    (plain / "nested").mkdir(parents=True)
    (plain / "nested" / "key").write_bytes(b"1")
    (plain / "link").symlink_to("nested")
    assert keys(tmp_path) == {"link": "unreadable", "nested/key": "ready"}
    snapshot = read_all(tmp_path)
    assert snapshot.values == {"nested/key": b"1"}
    assert isinstance(snapshot.errors["link"], SecretUnreadable)


def test_directory_that_becomes_a_link_meanwhile_is_not_followed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tmp_path / "secret"
    for name, value in {"outside": b"never", "secret/nested": b"fine"}.items():
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "key").write_bytes(value)
    (plain / "first").write_bytes(b"1")
    opened = os.open

    def exchange_before_a_file_is_opened(path: str, *rest: object, **more: object) -> int:
        if path == "first":
            (plain / "nested").rename(tmp_path / "moved")
            (plain / "nested").symlink_to("../outside")
        return opened(path, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", exchange_before_a_file_is_opened)
    snapshot = read_all(tmp_path)
    assert snapshot.values == {"first": b"1"}
    assert isinstance(snapshot.errors["nested/key"], SecretUnreadable)


def test_walk_of_any_tree_ends(tmp_path: Path) -> None:
    deepest = tmp_path / "secret"
    for _ in range(40):
        deepest /= "d"
    deepest.mkdir(parents=True)
    for directory in (deepest, *deepest.parents[:40]):
        (directory / "key").touch()
    found = keys(tmp_path)
    assert sorted(found) == sorted(read_all(tmp_path).values)
    assert len(found) == 17
    assert max(name.count("/") for name in found) == 16


@pytest.mark.slow
def test_no_more_keys_are_listed_than_a_secret_can_have(tmp_path: Path) -> None:
    plain = tmp_path / "secret"
    plain.mkdir()
    for number in range(20_010):
        os.close(os.open(plain / str(number), os.O_CREAT | os.O_WRONLY, 0o644))
    assert len(keys(tmp_path)) == 20_000
    assert len(read_all(tmp_path).values) == 20_000


def test_change_of_a_plain_directory_is_listed(tmp_path: Path) -> None:
    plain = tmp_path / "secret" / "nested"
    plain.mkdir(parents=True)
    assert keys(tmp_path) == {}
    (plain / "a").write_bytes(b"")
    assert keys(tmp_path) == {"nested/a": "ready"}
    os.utime(plain.parent, (1, 1))
    (plain / "b").write_bytes(b"")
    assert keys(tmp_path) == {"nested/a": "ready", "nested/b": "ready"}


def test_missing_names_what_is_there(volume: Rotate, tmp_path: Path) -> None:
    volume({"foo": b"1", "bar": b"2"})
    with pytest.raises(KeyNotFound) as key:
        read(tmp_path, "fo")
    assert key.value.available == ("bar", "foo")
    with pytest.raises(SecretNotFound):
        read(tmp_path, "foo", "other")
    assert mounts.list_keys(str(tmp_path), "other") is None


@pytest.mark.parametrize("link", ["/etc/passwd", "../outside", "nested/../../outside"])
def test_symbolic_link_out_of_the_mount_is_not_followed(tmp_path: Path, link: str) -> None:
    plain = tmp_path / "secret"
    (plain / "nested").mkdir(parents=True)
    (plain / "etc").mkdir()
    (plain / "etc" / "passwd").write_bytes(b"not meant")
    (tmp_path / "outside").write_bytes(b"never read this")
    (plain / "key").symlink_to(link)
    (plain / "good").write_bytes(b"fine")
    with pytest.raises(SecretUnreadable, match="leads out of the mount"):
        read(tmp_path, "key")
    assert keys(tmp_path) == {"etc/passwd": "ready", "good": "ready", "key": "unreadable"}
    snapshot = read_all(tmp_path)
    assert snapshot.values == {"etc/passwd": b"not meant", "good": b"fine"}
    assert isinstance(snapshot.errors["key"], SecretUnreadable)


def test_data_link_out_of_the_mount_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "key").write_bytes(b"never")
    for target in ("../outside", str(tmp_path / "outside"), ".."):
        plain = tmp_path / "secret"
        plain.mkdir(exist_ok=True)
        (plain / "..data").unlink(missing_ok=True)
        (plain / "..data").symlink_to(target)
        with pytest.raises(SecretUnreadable, match="leads out of the mount"):
            read(tmp_path, "key")
        with pytest.raises(SecretUnreadable, match="leads out of the mount"):
            read_all(tmp_path)
        listing = mounts.list_keys(str(tmp_path), "secret")
        assert listing is not None
        assert listing.reason is not None


def test_secret_directory_that_is_a_link_out_of_the_root_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "key").write_bytes(b"never")
    (root / "secret").symlink_to("../outside")
    with pytest.raises(SecretUnreadable, match="leads out of the mount"):
        read(root, "key")
    (root / "real").mkdir()
    (root / "real" / "key").write_bytes(b"fine")
    (root / "alias").symlink_to("real")
    assert read(root, "key", "alias") == b"fine"


def test_link_in_a_circle_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "a").symlink_to("b")
    (tmp_path / "secret" / "b").symlink_to("a")
    with pytest.raises(SecretUnreadable, match="symbolic links"):
        read(tmp_path, "a")


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(path))


def make_null_device(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))


def make_zero_device(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))


SPECIAL = [make_fifo, make_socket, Path.mkdir]
if os.geteuid() == 0:
    SPECIAL += [make_null_device, make_zero_device]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("make", SPECIAL, ids=lambda make: make.__name__)
def test_what_is_no_regular_file_is_an_error_and_never_waits(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    (tmp_path / "secret").mkdir()
    make(tmp_path / "secret" / "key")
    with pytest.raises(SecretUnreadable, match="not a regular file"):
        read(tmp_path, "key")
    if make is not Path.mkdir:
        assert keys(tmp_path) == {"key": "unreadable"}
        assert isinstance(read_all(tmp_path).errors["key"], SecretUnreadable)


def test_value_up_to_a_secrets_limit_is_read_and_more_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "most").write_bytes(b"x" * mounts.LIMIT)
    (tmp_path / "secret" / "more").write_bytes(b"x" * (mounts.LIMIT + 1))
    assert len(read(tmp_path, "most")) == 1 << 20
    with pytest.raises(SecretTooLarge, match="1048576 bytes"):
        read(tmp_path, "more")
    snapshot = read_all(tmp_path)
    assert list(snapshot.values) == ["most"]
    assert isinstance(snapshot.errors["more"], SecretTooLarge)
    assert keys(tmp_path) == {"more": "too-large", "most": "ready"}


def test_longest_and_strangest_names_work(kubelet: Kubelet, tmp_path: Path) -> None:
    longest = "k" * 253
    strange = "-._.K9"
    kubelet.write_secret(
        tmp_path / "secret",
        {longest: b"1", strange: b"2", "a": b"3", "b": b"4"},
        items={longest: longest, strange: strange, "a": "übergröße\nα\u202e😀", "b": "with space"},
    )
    assert read(tmp_path, longest) == b"1"
    assert read(tmp_path, strange) == b"2"
    assert read(tmp_path, "übergröße\nα\u202e😀") == b"3"
    assert set(keys(tmp_path)) == {longest, strange, "übergröße\nα\u202e😀", "with space"}


def test_name_that_is_no_utf8_can_be_read_by_the_name_listed(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    with open(os.fsencode(tmp_path / "secret") + b"/\xff\xfe", "wb") as file:
        file.write(b"odd")
    (name,) = keys(tmp_path)
    assert read(tmp_path, name) == b"odd"


PERMISSIONS = textwrap.dedent(
    """
    import json, sys
    from kfsecrets_ext import mounts
    from kfsecrets_ext.errors import SecretUnreadable
    root = sys.argv[1]
    listing = mounts.list_keys(root, "secret")
    snapshot = mounts.read_all("secret", root, "secret")
    try:
        mounts.read_key("secret", root, "secret", "closed")
    except SecretUnreadable as error:
        message = str(error)
    closed = mounts.list_keys(root, "shut")
    print(json.dumps({
        "states": {file.name: file.state for file in listing.keys},
        "values": sorted(snapshot.values),
        "errors": {key: str(error) for key, error in snapshot.errors.items()},
        "message": message,
        "shut": closed.reason,
    }))
    """
)


# Another user than root can rarely run an interpreter that lies in root's home.
@pytest.mark.platform
def test_file_without_permission_is_named_and_the_rest_read(
    make_pod: Callable[..., object],
) -> None:
    import json

    from rig.pod import Pod, SecretVolume

    pod = make_pod(
        [
            SecretVolume("open", {"open": b"fine"}, "/secret/secret", mode=0o644),
            SecretVolume("shut", {"x": b"never"}, "/secret/shut"),
        ],
        user=65534,
    )
    assert isinstance(pod, Pod)
    directory = pod.on_node("open")
    generation = directory / os.readlink(directory / "..data")
    (generation / "closed").write_bytes(b"never")
    (generation / "closed").chmod(0o600)
    pod.on_node("shut").chmod(0o700)
    ran = pod.run([sys.executable, "-c", PERMISSIONS, "/secret"], check=True)
    result = json.loads(ran.stdout)
    assert result["states"] == {"closed": "unreadable", "open": "ready"}
    assert result["values"] == ["open"]
    assert "permission denied" in result["errors"]["closed"]
    assert "permission denied" in result["message"]
    assert "permission denied" in result["shut"]


names = st.lists(
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1).filter(
        lambda name: (
            name not in (".", "..") and not name.startswith("..") and len(name.encode()) < 250
        )
    ),
    min_size=1,
    max_size=3,
).map("/".join)


@settings(max_examples=60)
@given(data=st.dictionaries(names, st.binary(max_size=200), max_size=8))
def test_snapshot_is_what_stands_in_the_directory(
    data: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("root")
    (root / "secret").mkdir()
    expected = {}
    for name, value in data.items():
        path = root / "secret" / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(value)
        except OSError:  # one name is a directory of another, or too long
            continue
        expected[name] = value
    assert read_all(root).values == expected
    assert set(keys(root)) == set(expected)
    for name, value in expected.items():
        assert read(root, name) == value
