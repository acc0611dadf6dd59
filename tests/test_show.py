"""What an administrator sees in a cell: tables of plans, reports, checks and tenants; a bar."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kfsecrets_ext.admin import Grant, Tenant, TenantChoice, apply, generic, plan, rotate, tenants
from kfsecrets_ext.admin.verify import verify
from kfsecrets_ext.cluster.embedded import Embedded
from kfsecrets_ext.poddefaults import PROFILE_LABEL
from kfsecrets_ext.table import Progress, Table, show

CANARY = b"cAnArY-7f3a9e"


@pytest.fixture
def cluster(tmp_path: Path) -> Embedded:
    made = Embedded(tmp_path / "cluster")
    for number in range(5):
        metadata = {
            "name": f"tenant-{number}",
            "labels": dict([PROFILE_LABEL]),
            "annotations": {"owner": f"user-{number}@example.com"},
        }
        made.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    return made


def texts(table: Table) -> str:
    shown = repr(table) + table._repr_html_()
    assert CANARY.decode() not in shown
    return shown


def test_a_plan_groups_tenants_and_names_keys_alone(cluster: Embedded) -> None:
    everyone = tenants(cluster, everyone=True)
    grants = [Grant("s", generic("s", [("foo", CANARY)]))]
    made = plan(cluster, grants, everyone)
    shown = show(made)
    assert shown.rows == (
        ("tenant-0, tenant-1, tenant-2 and 2 more", "Secret", "s", "create", "data.foo added"),
        ("tenant-0, tenant-1, tenant-2 and 2 more", "PodDefault", "s", "create", ""),
    )
    assert shown.title.startswith(f"Plan for 5 tenants of {cluster.server}")
    texts(shown)
    report = show(apply(cluster, made))
    assert [row[4] for row in report.rows] == ["done", "done"]
    texts(report)
    texts(show(verify(cluster, grants, everyone)))
    rotation = rotate(cluster, "s", everyone, generic("s", [("foo", b"new-" + CANARY)]), canary=1)
    assert "data.foo changed" in texts(show(rotation))
    assert "cAnArY" not in repr(rotation)
    empty = show(plan(cluster, [], everyone))
    assert "Nothing to do." in texts(empty)


def test_a_rotation_says_who_does_not_have_the_grant(cluster: Embedded) -> None:
    some = tenants(cluster, names=["tenant-1", "tenant-3"])
    assert apply(cluster, plan(cluster, [Grant("s", generic("s", [("foo", CANARY)]))], some)).ok
    new = generic("s", [("foo", b"new-" + CANARY)])
    shown = texts(show(rotate(cluster, "s", TenantChoice(everyone=True), new)))
    lacking = "tenant-0, tenant-2, tenant-4"
    assert f"3 tenants have no such grant, and nothing is rotated there: {lacking}." in shown


def test_a_forecast_stands_below_the_plan(cluster: Embedded) -> None:
    cluster.create(
        {
            "apiVersion": "kubeflow.org/v1alpha1",
            "kind": "PodDefault",
            "metadata": {"name": "other", "namespace": "tenant-0"},
            "spec": {
                "selector": {"matchExpressions": [{"key": "a", "operator": "In", "values": []}]}
            },
        }
    )
    made = plan(
        cluster, [Grant("s", generic("s", [("foo", CANARY)]))], tenants(cluster, names=["tenant-0"])
    )
    shown = show(made)
    assert any(note.startswith("tenant-0: error ") for note in shown.notes)
    assert all("; fix: " in note for note in shown.notes)


def test_tenants_are_shown_with_what_mends_them() -> None:
    shown = show([Tenant("a", "ann@example.com", {}, True), Tenant("b", None, {}, False)])
    assert shown.rows == (("a", "ann@example.com", "yes"), ("b", "-", "no"))
    assert "kubectl label namespace b" in shown.notes[0]
    assert "There are no tenants." in texts(show([]))


def test_a_table_shows_names_as_text() -> None:
    table = Table(("NAME",), (("<b>\nx",),), ("<i>",), "<u>")
    assert "<b>" not in table._repr_html_()
    assert "<i>" not in table._repr_html_()
    assert "<u>" not in table._repr_html_()
    assert repr(table).splitlines() == ["<u>", "NAME", "<b>\\nx", "", "<i>"]


def test_a_bar_needs_a_notebook() -> None:
    code = (
        "import sys\n"
        "from kfsecrets_ext.table import Progress\n"
        "Progress('x')(1, 1)\n"
        "assert 'IPython' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_bar_is_written_anew_until_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    from IPython import display

    shown: list[dict[str, str]] = []

    class Handle:
        def update(self, data: dict[str, str], **_options: object) -> None:
            shown.append(data)

    def first(data: dict[str, str], **_options: object) -> Handle:
        shown.append(data)
        return Handle()

    monkeypatch.setattr(display, "display", first)
    bar = Progress("applying <x>")
    for done in range(101):
        bar(done, 100)
    assert 2 <= len(shown) < 50
    assert shown[-1]["text/plain"] == "applying <x>: 100 of 100"
    assert "<x>" not in shown[-1]["text/html"]
