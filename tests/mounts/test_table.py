"""The mount table is read as the kernel writes it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfsecrets_ext.mounts import MountPoint, mount_table


def test_escapes_optional_fields_and_deleted_files_are_understood(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_bytes(
        b"22 27 0:21 / /proc rw,nosuid shared:12 master:3 - proc proc rw\n"
        b"30 27 0:40 / /secret/with\\040space\\012end ro - tmpfs tmpfs ro\n"
        b"31 27 0:41 /..2026_11_24_10_00_00.1/foo//deleted /home/nb/foo ro - tmpfs tmpfs rw\n"
        b"a line of nonsense\n"
        b"\n"
    )
    assert mount_table(str(table)) == (
        MountPoint("/proc", "/", "proc"),
        MountPoint("/secret/with space\nend", "/", "tmpfs"),
        MountPoint("/home/nb/foo", "/..2026_11_24_10_00_00.1/foo", "tmpfs", deleted=True),
    )


def test_own_mount_table_is_understood() -> None:
    points = {point.path: point for point in mount_table("/proc/self/mountinfo")}
    assert points["/"].root.startswith("/")
    assert points["/proc"].filesystem == "proc"


def test_no_mount_table_is_an_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KFSECRETS_MOUNTINFO", str(tmp_path / "none"))
    assert mount_table() == ()


@given(st.lists(st.binary(min_size=1).map(lambda raw: raw.replace(b"\0", b"")), max_size=4))
def test_any_path_comes_back(paths: list[bytes]) -> None:
    from kfsecrets_ext.mounts import table

    def escaped(raw: bytes) -> bytes:
        # kernel: show_mountinfo escapes space, tab, line end, backslash (and # in newer ones)
        return b"".join(b"\\%03o" % byte if byte in b" \t\n\\#" else bytes([byte]) for byte in raw)

    text = b"".join(b"1 0 0:1 / /%s ro - tmpfs tmpfs rw\n" % escaped(path) for path in paths)
    assert [point.path for point in table._parse(text)] == [
        os.fsdecode(b"/" + path) for path in paths
    ]
