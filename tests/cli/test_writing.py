"""What a verb that writes tells of its work, whatever becomes of the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kfsecrets_ext.admin import Report
from kfsecrets_ext.cli import main
from kfsecrets_ext.cluster import SECRET
from kfsecrets_ext.cluster.embedded import Embedded

SPACE = "alice"
CREATE = ["create", "generic", "test", "-n", SPACE, "--from-literal=a=b"]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Embedded:
    home = tmp_path / "cluster"
    (home / "namespaces" / SPACE).mkdir(parents=True)
    monkeypatch.setenv("KFSECRETS_CLUSTER", str(home))
    return Embedded(home)


def test_where_no_report_can_be_nothing_is_written(
    cluster: Embedded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in (tmp_path / "nodir" / "report.json", tmp_path):
        assert main([*CREATE, "--report", str(place)]) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert str(place) in said.err
        assert cluster.get(SECRET, "test", namespace=SPACE) is None
    assert sorted(one.name for one in tmp_path.iterdir()) == ["cluster"]
    place = tmp_path / "report.json"
    assert main([*CREATE, "--report", str(place)]) == 0
    assert Report.load(place).ok


@pytest.mark.parametrize("form", [None, "json"])
def test_what_was_done_is_told_though_the_report_cannot_be_saved(
    cluster: Embedded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    form: str | None,
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Report, "save", full)
    place = tmp_path / "report.json"
    words = [*CREATE, "--report", str(place), *([] if form is None else ["-o", form])]
    assert main(words) == 1
    said = capsys.readouterr()
    assert f"the report is not saved: {place}: No space left on device." in said.err
    if form is None:
        assert f"secret/test created in {SPACE}" in said.out
    else:
        assert json.loads(said.out)["report"]["ok"] is True
    assert cluster.get(SECRET, "test", namespace=SPACE) is not None
