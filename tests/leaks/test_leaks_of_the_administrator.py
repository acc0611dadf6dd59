"""An error in the midst of any of the administrator's verbs shows no value, in whatever way."""

from __future__ import annotations

import base64
import contextlib
import json
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import rich.traceback
from IPython.core.ultratb import VerboseTB
from leaks.oracle import leaks
from rig.homes import Home

import kfsecrets_ext
from kfsecrets_ext import admin
from kfsecrets_ext.admin.verify import verify
from kfsecrets_ext.cluster import LAST_APPLIED, Cluster
from kfsecrets_ext.values import SecretBytes, SecretStr

# Masked wherever a frame of the tests is shown; of a length that no shortening hides.
CANARY = SecretStr("Qx7LmT" * 3 + "-canary-" + "vZ29Kd" * 20)


def sealed(more: str = "") -> SecretBytes:
    return SecretBytes(CANARY.encode() + more.encode())


def grants(more: str = "") -> list[admin.Grant]:
    def one(name: str, **options: Any) -> admin.Grant:
        return admin.Grant(name, admin.SecretObject(name, {"foo": sealed(more)}), **options)

    # a value with a template has a form of its own for each tenant
    braces = admin.SecretObject("filled", {"foo": sealed(more + "{namespace}")})
    return [
        one("plain"),
        one("hashed", append_hash=True),
        admin.Grant("filled", braces, templates=["secret.data"]),
        admin.preset("docker", username="robot", password=SecretStr(sealed(more).decode())),
        admin.Grant("copied", admin.FromSecret("source", "source")),
    ]


class Scene:
    """Two tenants, a source of values, and what somebody else put there."""

    def __init__(self, home: Home, root: Cluster) -> None:
        self.names = sorted(home.tenant(root) for _ in range(2))
        self.source = home.tenant(root)
        self.put(home, self.source, "source")
        self.put(home, self.names[0], "plain")

    def put(self, home: Home, namespace: str, name: str) -> None:
        coded = SecretStr(base64.b64encode(sealed("theirs")).decode())
        copy = SecretStr(json.dumps({"data": {"foo": coded}}))
        metadata = {"name": name, "namespace": namespace, "annotations": {LAST_APPLIED: copy}}
        made = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"foo": coded}}
        home.kubectl(made)

    def story(self, cluster: Cluster) -> Iterator[Callable[[], Any]]:
        """Yield the steps of what an administrator does, each to be called."""
        held: dict[str, Any] = {}

        def given(more: str = "") -> list[admin.Grant]:
            made = grants(more)
            made[-1] = admin.Grant("copied", admin.FromSecret(self.source, "source"))
            return made

        def plan(more: str = "", **options: Any) -> admin.Plan:
            tenants = admin.tenants(cluster, names=self.names)
            held["plan"] = admin.plan(cluster, given(more), tenants, **options)
            return held["plan"]

        def rotate() -> admin.Rotation:
            tenants = admin.tenants(cluster, names=self.names)
            secret = admin.SecretObject("x", {"foo": sealed("rotated")})
            held["rotation"] = admin.rotate(cluster, "hashed", tenants, secret, canary=1)
            return held["rotation"]

        yield plan
        yield lambda: admin.apply(cluster, held["plan"], dry_run=True)
        yield lambda: admin.apply(cluster, plan(adopt=True))
        yield lambda: plan("-two", prune=True)
        yield lambda: admin.apply(cluster, held["plan"])
        yield lambda: verify(cluster, given("-two"), self.names)
        yield rotate
        yield lambda: [admin.apply(cluster, one) for one in held["rotation"].plans]
        yield lambda: admin.remove(cluster, ["plain", "hashed"])
        yield lambda: admin.apply(cluster, plan("-three"))


@pytest.fixture
def scene(home: Home) -> Scene:
    with home.connect() as root:
        return Scene(home, root)


def shows_it(text: str) -> bool:
    """Say whether the value's beginning is in a text: plainly, in hexadecimal, in base64."""
    return any(form in text for form in FORMS)


def forms() -> Iterator[SecretStr]:
    yield SecretStr(CANARY[:12])
    yield SecretStr(CANARY.encode().hex()[:24])
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + CANARY.encode()).decode()
        yield SecretStr(coded[4 if before else 0 : 40])


FORMS = tuple(forms())


# ── whatever a frame of ours holds ───────────────────────────────────────────


class Watch:
    """Looks at the variables of our functions, line by line, as an error there would show them."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self._seen: dict[tuple[Any, int], int] = {}

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(_PLACES):
            return None
        place = frame.f_code, frame.f_lineno
        # what a loop holds may be another at its second and third turn
        self._seen[place] = self._seen.get(place, 0) + 1
        if self._seen[place] <= 3:
            for name, value in list(frame.f_locals.items()):
                with contextlib.suppress(AttributeError):  # not yet made
                    self._look(frame, name, repr(value))
        return self

    def _look(self, frame: FrameType, name: str, shown: str) -> None:
        if shows_it(shown):
            where = Path(frame.f_code.co_filename).name
            self.found.add(f"{where}, {frame.f_code.co_name}, line {frame.f_lineno}: {name}")

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        before = sys.gettrace(), threading.gettrace()
        threading.settrace(self)
        sys.settrace(self)
        try:
            yield
        finally:
            sys.settrace(before[0])
            threading.settrace(before[1])  # type: ignore[arg-type]


_PACKAGE = Path(kfsecrets_ext.__file__).parent
_PLACES = (str(_PACKAGE / "admin"), str(_PACKAGE / "cluster"))


def test_no_variable_of_ours_shows_a_value_at_any_line(home: Home, scene: Scene) -> None:
    watch = Watch()
    with home.connect() as cluster:
        for step in scene.story(cluster):
            with watch.watching():
                done = step()
            assert leaks(repr(done), CANARY.encode()) == []
    assert sorted(watch.found) == []


def test_the_watch_finds_what_it_is_to_find(monkeypatch: pytest.MonkeyPatch) -> None:
    def leaking(held: SecretBytes) -> int:
        coded = base64.b64encode(held).decode()
        return len(coded)

    monkeypatch.setattr(sys.modules[__name__], "_PLACES", (__file__,))
    watch = Watch()
    with watch.watching():
        leaking(sealed())
    assert any(one.endswith("coded") for one in watch.found)
    assert not any(one.endswith("held") for one in watch.found)


# ── an error at any request ──────────────────────────────────────────────────


class Broken(Exception):
    """What nobody foresees."""


class Breaking:
    """A cluster that breaks at one of its requests, with what it was given in its hands."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lock = threading.Lock()
        self.left = sys.maxsize
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._cluster, name)
        if name not in ("get", "list", "apply", "create", "delete", "allowed"):
            return found

        def asked(*given: Any, **options: Any) -> Any:
            with self._lock:
                self.asked += 1
                self.left -= 1
                breaks = self.left < 0
            answer = found(*given, **options)
            if breaks:
                raise Broken(name)
            return answer

        return asked


def shown(error: BaseException) -> Iterator[tuple[str, str]]:
    """Yield an error with the variables of its frames, as several tools display it."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    yield "traceback", "".join(told.format())
    parts = (type(error), error, error.__traceback__)
    yield "IPython", "\n".join(VerboseTB(theme_name="nocolor").structured_traceback(*parts))
    trace = rich.traceback.Traceback.extract(*parts, show_locals=True)
    frames = [frame for stack in trace.stacks for frame in stack.frames]
    yield "rich", "\n".join(str(one) for frame in frames for one in (frame.locals or {}).values())
    yield "error", f"{error!r} {error.args!r} {vars(error)!r}"
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for name, value in frame.f_locals.items():
            with contextlib.suppress(Exception):  # such as a plan without its slots
                yield f"{name} of {frame.f_code.co_name}", repr(vars(value))


def test_an_error_at_a_request_of_any_verb_shows_no_value(home: Home, scene: Scene) -> None:
    seen: set[str] = set()
    with home.connect() as cluster:
        breaking: Any = Breaking(cluster)
        for step in scene.story(breaking):
            for left in (1, 9):
                breaking.left = left
                error = broken(step)
                if error is None:
                    continue
                assert leaks(f"{error!r}{error.args}", CANARY.encode()) == []
                for way, text in shown(error):
                    assert not shows_it(text), way
                    seen.update(text.split())
            breaking.left = sys.maxsize
            step()
    # the places where a value could have been are shown, and masked
    assert any("SecretStr('**********')" in word for word in seen)
    assert any("SecretBytes('**********')" in word for word in seen)


def broken(step: Callable[[], Any]) -> Broken | None:
    try:
        step()
    except Broken as error:
        return error
    return None


# ── a grant file with a slip ─────────────────────────────────────────────────


@pytest.mark.parametrize(
    "secret",
    [
        "{data: {foo: {value:%s}}}",
        "{data: {foo: {%s}}}",
        "{data: {foo: {value %s}}}",
        "{data: {foo:%s}}",
        "{data: {%s}}",
        "{docker: {username: {value: u}, password:%s}}",
        "{git: {username: {value: u}, password: {value:%s}}}",
        '{data: {foo: {file: "%s\\0"}}}',
        '{data: {foo: {env: "%s\\ud800"}}}',
        "{data: {foo: {value: !!str [%s]}}}",
        "{data: {foo: {value: !!bool [%s]}}}",
    ],
)
@pytest.mark.parametrize("value", [CANARY, SecretStr("hunter2"), SecretStr("passw0rd")])
def test_a_slip_in_a_grant_file_shows_no_value(secret: str, value: SecretStr) -> None:
    head = "apiVersion: kfsecrets-ext/v1\nkind: Grant\nname: a\nsecret: "
    text = SecretStr(head + secret % value)
    with pytest.raises(admin.GrantFileError) as caught:
        admin.read_grants(text)
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    for way, told in shown(error):
        assert value not in told, way
    assert leaks(f"{error!r}{error.args}{vars(error)}", value.encode()) == []
