"""An apply writes what the plan says, holds to what the plan saw, and can be cut at any point."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from rig.homes import ADMINISTRATOR, Home, InDirectory, Real, coded, data, poddefault, secret

from kfsecrets_ext.admin import (
    Grant,
    NotAReport,
    Report,
    SecretObject,
    Tenant,
    WouldNotStart,
    apply,
    plan,
    preset,
)
from kfsecrets_ext.cluster import PODDEFAULT, SECRET, Cluster
from kfsecrets_ext.cluster.embedded import Embedded
from kfsecrets_ext.errors import Unreachable
from kfsecrets_ext.values import SecretBytes

Make = Callable[..., list[Tenant]]
CANARY = "canary-Zq7vXw2LmT"


def grant(name: str = "test-secret", **more: Any) -> Grant:
    values = more.pop("data", {"foo": CANARY})
    sealed = {key: SecretBytes(value.encode()) for key, value in values.items()}
    return Grant(name, SecretObject(name, sealed), **more)


def stored(cluster: Cluster, tenants: Sequence[Tenant]) -> dict[tuple[str, str, str], Any]:
    """All that is in tenants, with its versions: equal means that nothing was written."""
    names = {one.name for one in tenants}
    return {
        (kind.kind, obj["metadata"]["namespace"], obj["metadata"]["name"]): obj
        for kind in (SECRET, PODDEFAULT)
        for obj in cluster.list(kind)
        if obj["metadata"]["namespace"] in names
    }


class Cut:
    """A cluster whose connection is gone after so many writes; the last may have been done."""

    def __init__(self, cluster: Cluster, writes: int, *, answered: bool = True) -> None:
        self._cluster = cluster
        self._left = writes
        self._answered = answered
        self._lock = threading.Lock()
        self.workers = 4

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._cluster, name)
        return self._counted(found) if name in ("apply", "create", "delete") else found

    def _counted(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            with self._lock:
                self._left -= 1
                last, gone = self._left == -1, self._left < 0
            if gone and not (last and not self._answered):
                raise Unreachable("the connection is gone.")
            done = write(*arguments, **options)
            if gone:
                raise Unreachable("the connection is gone, and it is not known what was done.")
            return done

        return counted


def foreign(home: Home, tenants: Sequence[Tenant]) -> None:
    """Put what is not ours beside it, of other names and of one that is granted."""
    for one in tenants[:2]:
        theirs = secret(one.name, {"theirs": "x"}, "theirs")
        del theirs["metadata"]["labels"]
        home.kubectl(theirs)
    theirs = secret(tenants[0].name, {"theirs": "x"}, "taken")
    del theirs["metadata"]["labels"]
    home.kubectl(theirs)


def not_ours(objects: Mapping[tuple[str, str, str], Any]) -> dict[tuple[str, str, str], Any]:
    label = "app.kubernetes.io/managed-by"
    return {
        place: obj
        for place, obj in objects.items()
        if (obj["metadata"].get("labels") or {}).get(label) != "kfsecrets-ext"
    }


def settled(cluster: Cluster, tenants: Sequence[Tenant]) -> dict[tuple[str, str, str], Any]:
    """All that is in tenants, once nothing more comes of what was under way."""
    there: dict[tuple[str, str, str], Any] = {}
    while there != (there := stored(cluster, tenants)):
        time.sleep(0.3)
    return there


def values_are_granted(objects: Mapping[tuple[str, str, str], Any], wanted: str) -> bool:
    ours = [
        obj for place, obj in objects.items() if place[0] == "Secret" and place[2] == "test-secret"
    ]
    return all(data(obj) == {"foo": wanted} for obj in ours)


# ── cut at any point ─────────────────────────────────────────────────────────


@pytest.mark.slow
def test_an_apply_to_fifty_tenants_cut_after_any_write_is_made_whole_by_the_next(
    home: Home, cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    number = 50 if isinstance(home, Real) else 10
    tenants = make_tenants(number)
    foreign(home, tenants)
    theirs = not_ours(stored(root, tenants))
    for writes in range(2 * number + 1):
        value = f"{CANARY}-{writes}"
        wanted = [grant(data={"foo": value}, desc=value)]
        # the first creates, each that follows changes every Secret and every PodDefault
        found = plan(cluster, wanted, tenants)
        assert found.pending == 2 * number
        # of the write that is cut nobody knows whether it was done: every second one was
        cut: Any = Cut(cluster, writes, answered=writes % 2 == 0)
        broken = apply(cut, found)
        assert broken.counts.get("done", 0) == min(writes, 2 * number)
        assert broken.ok == (writes == 2 * number)
        whole = apply(cluster, plan(cluster, wanted, tenants))
        assert whole.ok, whole.failed
        assert values_are_granted(stored(root, tenants), value)
        assert not_ours(stored(root, tenants)) == theirs
    assert plan(cluster, wanted, tenants).counts == {"unchanged": 2 * number}


@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("writes", range(6))
def test_a_creation_or_a_removal_that_is_cut_is_made_whole_by_the_next(
    home: Home, cluster: Cluster, root: Cluster, make_tenants: Make, writes: int, answered: bool
) -> None:
    from kfsecrets_ext.admin import remove

    tenants = make_tenants(3)
    foreign(home, tenants)
    theirs = not_ours(stored(root, tenants))
    cut: Any = Cut(cluster, writes, answered=answered)
    assert apply(cut, plan(cluster, [grant()], tenants)).counts.get("done", 0) == writes
    assert apply(cluster, plan(cluster, [grant()], tenants)).ok
    assert plan(cluster, [grant()], tenants).counts == {"unchanged": 6}
    cut = Cut(cluster, writes, answered=answered)
    apply(cut, remove(cluster, ["test-secret"], tenants))
    # never a PodDefault whose Secret is gone
    there = stored(root, tenants)
    assert all(
        ("Secret", *place[1:]) in there
        for place in there
        if place[0] == "PodDefault" and place[2] == "test-secret"
    )
    assert apply(cluster, remove(cluster, ["test-secret"], tenants)).ok
    assert stored(root, tenants) == theirs


def test_the_report_of_a_cut_apply_is_taken_up_again(
    cluster: Cluster, root: Cluster, make_tenants: Make, tmp_path: Path
) -> None:
    tenants = make_tenants(4)
    whole = plan(cluster, [grant()], tenants)
    cut: Any = Cut(cluster, 3)
    broken = apply(cut, whole)
    assert broken.counts["done"] == 3
    assert not broken.ok
    assert all(one.error for one in broken.failed)
    file = tmp_path / "reports" / "report.json"
    file.parent.mkdir()
    broken.save(file)
    assert Report.load(file) == broken
    assert file.stat().st_mode & 0o077 == 0
    assert [one.name for one in file.parent.iterdir()] == ["report.json"]
    before = stored(root, tenants)
    # of the same plan: what was done is not done again, though its precondition would not hold
    resumed = apply(cluster, whole, resume=Report.load(file))
    assert resumed.ok, resumed.failed
    assert resumed.counts == {"done": 8}
    after = stored(root, tenants)
    assert {place: after[place] for place in before} == before
    # of a later plan: what is unchanged and was done then is told as done
    later = plan(cluster, [grant()], tenants)
    assert apply(cluster, later, resume=broken).counts == {"done": 3, "unchanged": 5}
    assert stored(root, tenants) == after


def test_a_report_goes_through_a_link_and_into_what_is_no_file(tmp_path: Path) -> None:
    report = Report((), "plan", "server")
    link, file = tmp_path / "link.json", tmp_path / "elsewhere" / "report.json"
    file.parent.mkdir()
    link.symlink_to(file)
    for _ in range(2):  # it leads nowhere at first
        report.save(link)
        assert link.is_symlink()
        assert Report.load(file) == report
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        report.save(pipe)
        assert Report.from_json(json.loads(os.read(reader, 1 << 16))) == report
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_a_report_of_another_cluster_or_a_dry_run_takes_nothing_up(
    cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    whole = plan(cluster, [grant()], tenants)
    tried = apply(cluster, whole, dry_run=True)
    assert tried.counts == {"done": 2}
    assert apply(cluster, whole, resume=tried).counts == {"done": 2}
    assert len(stored(root, tenants)) == 2


@pytest.mark.parametrize(
    "given", ["", "[]", "{}", '{"version": 2}', '{"version": 1, "rows": [{}]}']
)
def test_what_is_no_report_is_refused(tmp_path: Path, given: str) -> None:
    file = tmp_path / "report.json"
    file.write_text(given)
    with pytest.raises(NotAReport):
        Report.load(file)


# ── dry run ──────────────────────────────────────────────────────────────────


def test_a_dry_run_of_any_verb_leaves_all_as_it_was(
    home: Home, cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    from kfsecrets_ext.admin import generic, remove, rotate

    tenants = make_tenants(2)
    foreign(home, tenants)
    apply(cluster, plan(cluster, [grant(), grant("hashed", append_hash=True)], tenants))
    before = stored(root, tenants)
    new = generic("x", [("foo", SecretBytes(b"new"))])
    typed = Grant("test-secret", SecretObject("test-secret", {}, "my/type"))
    verbs = {
        "create": plan(cluster, [grant("another")], tenants),
        "change": plan(cluster, [grant(data={"foo": "2"}, desc="d")], tenants),
        "recreate": plan(cluster, [typed], tenants),
        "adopt": plan(cluster, [grant("taken")], tenants, adopt=True),
        "prune": plan(cluster, [grant()], tenants, prune=True),
        "rotate": rotate(cluster, "hashed", tenants, new).rest,
        "remove": remove(cluster, ["test-secret"], tenants),
    }
    for verb, found in verbs.items():
        assert found.pending, verb
        report = apply(cluster, found, dry_run=True)
        assert report.ok, (verb, report.failed)
        assert report.dry_run
        assert report.to_json()["dryRun"] is True
        assert stored(root, tenants) == before, verb


# ── what comes in between ────────────────────────────────────────────────────


def test_an_object_that_came_after_the_plan_is_a_conflict_and_stays(
    home: Home, cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(2)
    found = plan(cluster, [grant()], tenants)
    theirs = secret(tenants[0].name, {"theirs": "x"}, "test-secret")
    del theirs["metadata"]["labels"]
    home.kubectl(theirs)
    before = stored(root, tenants)
    report = apply(cluster, found)
    assert [(one.kind, one.outcome) for one in report if one.tenant == tenants[0].name] == [
        ("Secret", "conflict"),
        ("PodDefault", "not-started"),
    ]
    assert report.counts == {"conflict": 1, "done": 2, "not-started": 1}
    after = stored(root, tenants)
    assert {place: after[place] for place in before} == before


def test_an_object_that_changed_after_the_plan_is_a_conflict_and_stays(
    home: Home, cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    apply(cluster, plan(cluster, [grant()], tenants))
    found = plan(cluster, [grant(data={"foo": "new"})], tenants, adopt=True)
    theirs = secret(tenants[0].name, {"theirs": "x"}, "test-secret")
    del theirs["metadata"]["labels"]
    home.kubectl(theirs)
    before = stored(root, tenants)
    report = apply(cluster, found)
    assert [one.outcome for one in report] == ["conflict", "unchanged"]
    assert stored(root, tenants) == before
    gone = plan(cluster, [grant("else")], tenants, prune=True)
    home.kubectl({**theirs, "data": {"theirs": coded("y")}})
    outcomes = {(one.kind, one.name): one.outcome for one in apply(cluster, gone)}
    assert outcomes["Secret", "test-secret"] == "conflict"
    assert root.get(SECRET, "test-secret", namespace=tenants[0].name) is not None


class Unseen:
    """A cluster whose objects do not say who owns their fields."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    def list(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        for obj in self._cluster.list(*arguments, **options):
            obj["metadata"].pop("managedFields", None)
            yield obj


def test_a_value_that_kubectl_owns_is_a_conflict_that_names_it_until_it_is_adopted(
    home: Home, cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    theirs = secret(tenants[0].name, {"foo": f"{CANARY}-theirs"}, "test-secret")
    home.kubectl(theirs)  # with our label, as somebody makes it who copies a manifest
    found = plan(cluster, [grant()], tenants)
    assert [one.action for one in found] == ["foreign", "foreign"]
    assert next(iter(found)).note == "data.foo belongs to kubectl; --adopt takes it over."
    # what the plan could not see is a conflict
    unseen: Any = Unseen(cluster)
    found = plan(unseen, [grant()], tenants)
    assert next(iter(found)).action == "change"
    report = apply(cluster, found)
    (row, _) = report.rows
    assert row.outcome == "conflict"
    assert row.error is not None
    assert "data.foo" in row.error
    assert "kubectl" in row.error
    assert CANARY not in json.dumps(report.to_json())
    assert apply(cluster, plan(cluster, [grant()], tenants, adopt=True)).ok
    assert data(root.get(SECRET, "test-secret", namespace=tenants[0].name)) == {"foo": CANARY}


def test_what_was_posted_by_us_is_applied_by_us_later(
    cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    """kubernetes/kubernetes#107417: of one manager, a POST and an apply clash."""
    tenants = make_tenants(1)
    made = grant().for_tenant(tenants[0]).to_labelled_mappings()
    root.create({**made[1], "spec": {**made[1]["spec"], "desc": "posted"}})
    found = plan(cluster, [grant()], tenants)
    assert [one.action for one in found] == ["create", "change"]
    assert apply(cluster, found).ok
    assert plan(cluster, [grant()], tenants).pending == 0


# ── stopped by who started it ────────────────────────────────────────────────


class Slow:
    """A cluster whose writes wait until they may go on."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.workers = 2
        self.started = threading.Semaphore(0)
        self.go = threading.Event()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._cluster, name)
        if name != "apply":
            return found

        def waiting(*arguments: Any, **options: Any) -> Any:
            self.started.release()
            self.go.wait()
            return found(*arguments, **options)

        return waiting


def waits_for_threads(thread: threading.Thread) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    names = []
    while frame is not None:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return "join" in names


def test_ctrl_c_ends_what_is_under_way_and_says_what_was_not_started(
    cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(5)
    whole = plan(cluster, [grant()], tenants)
    slow: Any = Slow(cluster)

    def press() -> None:
        slow.started.acquire()
        slow.started.acquire()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        while not waits_for_threads(threading.main_thread()):
            time.sleep(0.01)
        slow.go.set()

    threading.Thread(target=press, daemon=True).start()
    report = apply(slow, whole)
    assert report.interrupted
    assert not report.ok
    assert report.counts == {"done": 4, "not-started": 6}
    assert len(stored(root, tenants)) == 4
    assert not [one for one in threading.enumerate() if one.name.startswith("kfsecrets-apply")]
    assert apply(cluster, plan(cluster, [grant()], tenants), resume=report).ok
    assert len(stored(root, tenants)) == 10


def test_a_file_that_may_not_be_written_is_one_objects_failure(tmp_path: Path) -> None:
    directory = tmp_path / "cluster"
    for name in ("alice", "bob"):
        (directory / "namespaces" / name).mkdir(parents=True)
    cluster = Embedded(directory)
    tenants = [Tenant("alice"), Tenant("bob")]
    assert apply(cluster, plan(cluster, [grant()], tenants)).ok
    barred = directory / "namespaces" / "alice" / "secrets"
    program = """
        import json, sys
        from kfsecrets_ext import admin
        from kfsecrets_ext.cluster.embedded import Embedded

        cluster = Embedded(sys.argv[1], workers=1)
        tenants = admin.tenants(cluster, names=["alice", "bob"])
        report = admin.apply(cluster, admin.remove(cluster, ["test-secret"], tenants))
        print(json.dumps([[one.tenant, one.kind, one.outcome, one.error] for one in report]))
    """
    rights = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    barred.chmod(0o500)
    try:
        ran = subprocess.run(
            [*rights, sys.executable, "-c", textwrap.dedent(program), str(directory)],
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        barred.chmod(0o700)
    assert ran.returncode == 0, ran.stderr
    rows = {(tenant, kind): (outcome, why) for tenant, kind, outcome, why in json.loads(ran.stdout)}
    assert rows["alice", "PodDefault"] == ("done", None)
    outcome, why = rows["alice", "Secret"]
    assert outcome == "forbidden"
    assert "Permission denied" in why
    assert rows["bob", "PodDefault"] == rows["bob", "Secret"] == ("done", None)
    assert CANARY not in ran.stdout + ran.stderr


PROGRAM = """
import itertools, json, os, sys, threading
from kfsecrets_ext import admin
from kfsecrets_ext.cluster import connect
from kfsecrets_ext.cluster.embedded import Embedded

kubeconfig, user, directory, last, value, *names = json.loads(sys.stdin.readline())
if directory:
    cluster = Embedded(directory, workers=4)
else:
    cluster = connect(kubeconfig=kubeconfig, impersonate=user, workers=4)
grants = [admin.preset("generic", "test-secret", entries=admin.from_literal(f"foo={value}"))]
tenants = admin.tenants(cluster, names=names)
plan = admin.plan(cluster, grants, tenants)
inner, lock, written = cluster.apply, threading.Lock(), itertools.count(1)

def counted(*arguments, **options):
    done = inner(*arguments, **options)
    with lock:
        number = next(written)
        os.write(1, b"%d\\n" % number)
    if number >= last:
        threading.Event().wait()  # till it is killed, with what the others have under way
    return done

cluster.apply = counted
admin.apply(cluster, plan)
"""


@pytest.mark.slow
@pytest.mark.parametrize("writes", [1, 2, 7, 30])
def test_a_process_that_is_killed_leaves_what_the_next_run_makes_whole(
    home: Home, cluster: Cluster, root: Cluster, make_tenants: Make, writes: int
) -> None:
    tenants = make_tenants(20)
    foreign(home, tenants)
    theirs = not_ours(stored(root, tenants))
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    place = [
        str(home.server.kubeconfig) if isinstance(home, Real) else None,
        ADMINISTRATOR,
        str(home.directory) if isinstance(home, InDirectory) else None,
    ]
    process.stdin.write(json.dumps([*place, writes, CANARY, *(one.name for one in tenants)]) + "\n")
    process.stdin.flush()
    for line in process.stdout:
        if int(line) >= writes:
            break
    process.kill()
    process.communicate()
    # the API server may still be about a request whose sender is gone
    there = len(settled(root, tenants)) - len(theirs)
    assert writes <= there < 40
    assert apply(cluster, plan(cluster, [grant()], tenants)).ok
    assert plan(cluster, [grant()], tenants).counts == {"unchanged": 40}
    assert values_are_granted(stored(root, tenants), CANARY)
    assert not_ours(stored(root, tenants)) == theirs


# ── nothing of a value ───────────────────────────────────────────────────────


def test_nothing_that_is_said_holds_a_value(
    home: Home, cluster: Cluster, make_tenants: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    tenants = make_tenants(3)
    theirs = secret(tenants[0].name, {"foo": CANARY}, "test-secret")
    home.kubectl(theirs)
    literal = poddefault(tenants[1].name, "x", env=[{"name": "P", "value": CANARY}], selector={})
    home.kubectl(literal)
    wanted = [
        grant(data={"foo": f"{CANARY}-2"}),
        preset("docker", username="u", password=CANARY),
        grant("hashed", append_hash=True),
        grant("bad", data={"foo": f"{CANARY}{{"}, templates=["secret.data"]),
    ]
    unseen: Any = Unseen(cluster)
    found = plan(unseen, wanted, tenants)
    report = apply(cluster, found)
    assert {one.outcome for one in report} >= {"done", "conflict", "skipped"}
    said = [
        repr(found),
        repr(list(found)),
        repr(vars(found)),
        json.dumps(found.to_json()),
        repr(report),
        repr(report.rows),
        json.dumps(report.to_json()),
        repr(list(found.findings)),
        caplog.text,
        *(repr(one) for one in wanted),
    ]
    for spelled in (CANARY, coded(CANARY)[:16], base64.b64encode(f"u:{CANARY}".encode()).decode()):
        assert not [one for one in said if spelled in one]


def test_a_plan_that_stops_notebooks_is_not_written_unless_it_is_to_be(
    home: Home, cluster: Cluster, root: Cluster, make_tenants: Make
) -> None:
    tenants = make_tenants(1)
    theirs = poddefault(tenants[0].name, "theirs")
    theirs["spec"]["volumeMounts"][0]["mountPath"] = "/secret/test-secret"
    theirs["spec"]["selector"] = {}
    del theirs["metadata"]["labels"]
    home.kubectl(theirs)
    before = stored(root, tenants)
    found = plan(cluster, [grant()], tenants)
    for dry_run in (True, False):
        with pytest.raises(WouldNotStart, match="/secret/test-secret") as caught:
            apply(cluster, found, dry_run=dry_run)
    assert "mount-path-clash" in {one.code for one in caught.value.findings}
    assert stored(root, tenants) == before
    assert apply(cluster, found, ignore_findings=True).ok
