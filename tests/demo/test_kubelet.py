"""The demo's writer of volumes against the kubelet's own code."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from rig.kubelet import Kubelet
from rig.kubelet import Refused as RigRefused

from kfsecrets_ext.demo import kubelet
from kfsecrets_ext.mounts import read_all

pytestmark = pytest.mark.platform
pytest_plugins: list[str] = []

GENERATION = re.compile(r"^\.\.\d{4}(_\d\d){5}\.\d+$")


@pytest.fixture(scope="module")
def real():
    with Kubelet() as running:
        yield running


def tree(volume: Path) -> dict[str, tuple]:
    """Everything in a volume: kinds, modes, link targets, contents; generations by one name."""
    seen: dict[str, tuple] = {}
    generations = [name for name in os.listdir(volume) if GENERATION.match(name)]
    assert len(generations) <= 1, generations
    for directory, directories, files in os.walk(volume):
        for name in (*directories, *files):
            path = Path(directory, name)
            status = path.lstat()
            kind = stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode)
            if path.is_symlink():
                what: object = os.readlink(path)
            elif path.is_file():
                what = path.read_bytes()
            else:
                what = None
            seen[str(path.relative_to(volume))] = (*kind, what)
    return {
        _one(generations, key): (*rest, _one(generations, what) if isinstance(what, str) else what)
        for key, (*rest, what) in seen.items()
    }


def _one(generations: list[str], text: str) -> str:
    for generation in generations:
        text = text.replace(generation, "..GENERATION")
    return text


KEYS = st.text("abAB.-_019", min_size=1, max_size=12).filter(lambda key: not key.startswith(".."))
NAMES = st.text("aZ.09 _-\"'\\\n\té☃😀", min_size=1, max_size=8).filter(
    lambda name: not name.startswith("..") and name != "."
)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
DATA = st.dictionaries(KEYS.filter(lambda key: key != "."), st.binary(max_size=40), max_size=5)


@st.composite
def volumes(draw) -> dict[str, object]:
    """A Secret's data and the volume's options, as one state of a volume."""
    data = draw(DATA)
    options: dict[str, object] = {"mode": draw(st.sampled_from([0o644, 0o600, 0o444, 0o440]))}
    if data and draw(st.booleans()):
        keys = draw(st.lists(st.sampled_from(sorted(data)), min_size=1, unique=True))
        paths = draw(
            st.lists(PATHS, min_size=len(keys), max_size=len(keys), unique=True).filter(disjoint)
        )
        options["items"] = dict(zip(keys, paths, strict=True))
        if draw(st.booleans()):
            options["items"]["not-there"] = "not-there"
            options["optional"] = True
    return {"data": data, "options": options}


def paths_of(state: dict[str, object]) -> list[str]:
    """The paths of a state's files."""
    items = state["options"].get("items")
    return [*(items.values() if items else state["data"])]


def disjoint(paths: list[str]) -> bool:
    return not any(
        f"{one}/".startswith(f"{other}/") for one in paths for other in paths if one is not other
    )


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(states=st.lists(volumes(), min_size=1, max_size=4))
def test_the_writer_lays_out_and_rotates_as_the_kubelet_does(real, states) -> None:
    # A file that becomes a directory is refused, or not, by the order of a map of Go's.
    assume(disjoint([*{path for state in states for path in paths_of(state)}]))
    with tempfile.TemporaryDirectory() as directory:
        theirs, ours = Path(directory, "theirs"), Path(directory, "ours")
        for state in states:
            data, options = state["data"], state["options"]
            before = generation(ours), generation(theirs)
            real.write_secret(theirs, data, **options)
            written = kubelet.write(ours, kubelet.secret_payload(data, **options))
            assert tree(ours) == tree(theirs)
            after = generation(ours), generation(theirs)
            assert (after[0] != before[0]) == (after[1] != before[1]) == written


def refuses(write: Callable[[], object], error: type[Exception]) -> bool:
    """Whether a state cannot be written after the one before."""
    try:
        write()
    except error:
        return True
    return False


@pytest.mark.parametrize("paths", [("a", "a/b"), ("a/b", "a"), ("a/b", "a/b/c")])
def test_a_file_never_becomes_a_directory_nor_the_other_way_round(
    real, tmp_path: Path, paths: tuple[str, str]
) -> None:
    for path in paths:
        payload = kubelet.secret_payload({"key": path.encode()}, items={"key": path})
        refused = refuses(
            lambda path=path: real.write_secret(
                tmp_path / "theirs", {"key": path}, items={"key": path}
            ),
            RigRefused,
        )
        ours = refuses(
            lambda payload=payload: kubelet.write(tmp_path / "ours", payload), kubelet.Refused
        )
        assert ours == refused == (path == paths[1])
        assert tree(tmp_path / "ours") == tree(tmp_path / "theirs")


def generation(volume: Path) -> str | None:
    try:
        return os.readlink(volume / "..data")
    except FileNotFoundError:
        return None


TEXTS = st.text(
    "ab=\"'\\\n\r\t\0\x07\x1b\x7f\x85\xa0\xadé☃\u200b\u2028\ue000😀\U000e0001", max_size=12
)


@settings(max_examples=100, deadline=None)
@given(
    labels=st.dictionaries(st.text("ab./-é😀\ue000", min_size=1, max_size=6), TEXTS, max_size=4),
    annotations=st.dictionaries(st.text("ab./-", min_size=1, max_size=6), TEXTS, max_size=4),
)
def test_downward_api_files_are_quoted_and_sorted_as_the_kubelet_does(
    real, labels, annotations
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        theirs, ours = Path(directory, "theirs"), Path(directory, "ours")
        real.write_podinfo(theirs, labels, annotations)
        kubelet.write(ours, kubelet.downward_payload(labels, annotations))
        assert tree(ours) == tree(theirs)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_modes_are_the_kubelets_under_every_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        data = {"a": b"1", "b": b"2"}
        items = {"a": "a", "b": "nested/b"}
        with Kubelet() as real:
            real.write_secret(tmp_path / "theirs", data, items=items, mode=0o640)
        kubelet.write(tmp_path / "ours", kubelet.secret_payload(data, items=items, mode=0o640))
    finally:
        os.umask(before)
    assert tree(tmp_path / "ours") == tree(tmp_path / "theirs")


@pytest.mark.parametrize(
    "path",
    ["/absolute", "..data", "..hidden", "a/../b", "..", "", "x" * 256, "y/" * 2100 + "z"],
)
def test_what_the_kubelet_refuses_is_refused(real, tmp_path: Path, path: str) -> None:
    with pytest.raises(RigRefused):
        real.write_secret(tmp_path / "theirs", {"key": b"value"}, items={"key": path})
    with pytest.raises(kubelet.Refused) as refused:
        kubelet.write(
            tmp_path / "ours", kubelet.secret_payload({"key": b"value"}, items={"key": path})
        )
    assert "value" not in str(refused.value)


def test_a_missing_key_of_items_is_refused_unless_optional(real, tmp_path: Path) -> None:
    items = {"missing": "missing"}
    with pytest.raises(RigRefused):
        real.write_secret(tmp_path / "theirs", {"key": b"1"}, items=items)
    with pytest.raises(kubelet.Refused):
        kubelet.secret_payload({"key": b"1"}, items=items)
    assert kubelet.secret_payload({"key": b"1"}, items=items, optional=True) == {}


def test_nothing_is_written_where_nothing_changed(tmp_path: Path) -> None:
    payload = kubelet.secret_payload({"key": b"1"})
    assert kubelet.write(tmp_path, payload)
    before = generation(tmp_path), os.stat(tmp_path).st_mtime_ns
    assert not kubelet.write(tmp_path, payload)
    assert (generation(tmp_path), os.stat(tmp_path).st_mtime_ns) == before


def test_a_lost_link_is_mended(real, tmp_path: Path) -> None:
    payload: Mapping[str, kubelet.File] = kubelet.secret_payload({"key": b"1", "other": b"2"})
    kubelet.write(tmp_path / "ours", payload)
    real.write_secret(tmp_path / "theirs", {"key": b"1", "other": b"2"})
    for volume in (tmp_path / "ours", tmp_path / "theirs"):
        (volume / "key").unlink()
    kubelet.write(tmp_path / "ours", payload)
    real.write_secret(tmp_path / "theirs", {"key": b"1", "other": b"2"})
    assert (tmp_path / "ours" / "key").read_bytes() == b"1"
    assert tree(tmp_path / "ours") == tree(tmp_path / "theirs")


def test_the_reader_takes_it_for_a_volume_of_one_generation(tmp_path: Path) -> None:
    kubelet.write(tmp_path / "name", kubelet.secret_payload({"key": b"1"}))
    snapshot = read_all("name", str(tmp_path), "name")
    assert snapshot.values == {"key": b"1"}
    assert GENERATION.match(snapshot.generation or "")
