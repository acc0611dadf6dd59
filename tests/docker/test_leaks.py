"""Whatever a file holds: no crash, no hang, and no value in an error or its frames."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from IPython.core.ultratb import VerboseTB

from kfsecrets_ext.docker import DockerConfig, files, get_docker_credentials
from kfsecrets_ext.errors import DockerConfigError, RegistryNotFound, SecretError

CANARY = "cAnArYcAnArY"
CANARIES = (CANARY, base64.b64encode(CANARY.encode()).decode().rstrip("="))

FUZZ = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [one.__cause__, one.__context__]


def our_frames(traceback: TracebackType | None) -> Iterator[dict[str, Any]]:
    while traceback is not None:
        frame = traceback.tb_frame
        if f"kfsecrets_ext{'/'}docker" in frame.f_code.co_filename:
            yield frame.f_locals
        traceback = traceback.tb_next


def assert_tells_nothing(error: BaseException) -> None:
    for one in chain(error):
        shown = f"{one!s} {one!r} {one.args!r} {vars(one)!r}"
        for locals_of_frame in our_frames(one.__traceback__):
            shown += repr(locals_of_frame)
        for canary in CANARIES:
            assert canary not in shown


def look(read: Callable[[], DockerConfig]) -> None:
    """Use a configuration in every way; only the errors of this package may come out."""
    try:
        config = read()
    except DockerConfigError as error:
        assert_tells_nothing(error)
        return
    listed = config.registries()
    for canary in CANARIES:
        assert canary not in repr(config)
        assert canary not in repr(listed)
    for query in (None, "h.io", "h.io/a/b", "a.h.io", *(known.name for known in listed[:5])):
        try:
            found = config.credentials(query)
        except SecretError as error:
            assert_tells_nothing(error)
        else:
            for canary in CANARIES:
                assert canary not in repr(found)


def values() -> st.SearchStrategy[Any]:
    text = st.sampled_from(
        [CANARY, *CANARIES, base64.b64encode(f"u:{CANARY}".encode()).decode(), f"{CANARY}\ud800"]
    )
    return st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), text)


HOSTS = st.sampled_from(
    ["h.io", "h.io/a", "https://h.io/v1/", "*.h.io", "index.docker.io", "h.io:5000", "\ud800", ""]
)
FIELDS = st.sampled_from(
    ["auth", "Auth", "username", "password", "identitytoken", "registrytoken", "email", "x"]
)
ENTRY = st.one_of(
    values(), st.dictionaries(FIELDS, values(), max_size=4), st.lists(values(), max_size=2)
)
SECTION = st.one_of(values(), st.dictionaries(HOSTS, ENTRY, max_size=4))
CONFIG = st.one_of(
    values(),
    st.dictionaries(
        st.one_of(st.sampled_from(["auths", "Auths", "HttpHeaders"]), HOSTS),
        SECTION,
        max_size=4,
    ),
)


@FUZZ
@given(CONFIG)
@example({"auths": {"h.io": {"auth": CANARY, "username": CANARY}}})
@example({"auths": {"h.io": {"password": [CANARY]}}})
@example({"auths": {"h.io": CANARY}})
@example({"auths": CANARY})
@example({"credsStore": [CANARY]})
def test_no_json_crashes_or_leaks(content: Any) -> None:
    text = json.dumps(content)
    look(lambda: DockerConfig.from_json(text))
    if isinstance(content, dict):
        look(lambda: DockerConfig.from_json(content))


@FUZZ
@given(CONFIG, st.data())
def test_no_broken_file_crashes_or_leaks(tmp_path: Path, content: Any, data: st.DataObject) -> None:
    whole = bytearray(json.dumps(content).encode())
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(whole)))
        whole[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    path = tmp_path / "config.json"
    path.write_bytes(bytes(whole))
    look(lambda: DockerConfig.load(path))


@FUZZ
@given(st.binary(max_size=200))
@example(b"\xff\xfe{\0}\0")
@example(b"\xef\xbb\xbf{}")
@example(b"{\0\0\0")
@example(b'{"auths":{"h.io":{"auth":"\xff"}}}')
@example(b"auth = ==\n")
def test_no_bytes_crash(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    look(lambda: DockerConfig.load(path))
    look(lambda: DockerConfig.from_json(content))


@pytest.mark.parametrize(
    "content",
    [
        f'{{"auths": {{"h.io": {{"password": "{CANARY}"}}, "i.io": ',
        f'{{"auths": {{"h.io": {{"auth": "{CANARY}!"}}}}}}',
        f'{{"auths": {{"h.io": {{"username": ["{CANARY}"]}}}}}}',
        f'{{"auths": "{CANARY}"}}',
        f'"{CANARY}"',
        f"{CANARY}\x00",
    ],
)
def test_a_verbose_traceback_shows_no_value(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(content, encoding="utf-8")
    for look_up in (look_at_once, load_first):
        shown = verbose(look_up, path)
        assert "DockerConfigError" in shown
        for canary in CANARIES:
            assert canary not in shown


def look_at_once(path: Path) -> None:
    get_docker_credentials("h.io", config=path)


def load_first(path: Path) -> None:
    DockerConfig.load(path).credentials("h.io")


def verbose(look_up: Callable[[Path], None], path: Path) -> str:
    try:
        look_up(path)
    except DockerConfigError as error:
        assert_tells_nothing(error)
        formatter = VerboseTB(theme_name="nocolor")
        return "\n".join(formatter.structured_traceback(*sys.exc_info()))
    return ""


def test_an_error_about_text_at_hand_holds_none_of_it() -> None:
    for content in (
        f'{{"auths": "{CANARY}"',
        {"auths": CANARY},
        {"auths": {"h.io": {"auth": CANARY + "!"}}},
        {"auths": {"h.io": object()}, "x": CANARY},
    ):
        with pytest.raises(DockerConfigError) as caught:
            DockerConfig.from_json(content).credentials("h.io")  # type: ignore[arg-type]
        assert_tells_nothing(caught.value)


def test_a_registry_that_is_not_there_is_told_without_values() -> None:
    content = {"auths": {"h.io": {"username": CANARY, "password": CANARY}}}
    with pytest.raises(RegistryNotFound) as caught:
        get_docker_credentials("i.io", config=DockerConfig.from_json(content))
    assert_tells_nothing(caught.value)


@pytest.mark.parametrize("module", ["lookup", "document", "sources", "names", "credentials"])
def test_what_a_module_keeps_shows_no_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    path = tmp_path / "config.json"
    content = {"auths": {"h.io": {"username": "u", "password": CANARY}}}
    path.write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for _ in range(2):
        config = DockerConfig.load(path)
        assert config.credentials("h.io") is not None
    files()
    kept = sys.modules[f"kfsecrets_ext.docker.{module}"]
    assert CANARY not in repr(vars(kept))
    assert CANARY not in repr(vars(config))
