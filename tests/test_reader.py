"""What a notebook user calls."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig.kubelet import Kubelet

from kfsecrets_ext import (
    get_secret,
    get_secret_bytes,
    get_secret_path,
    reader,
    redaction,
    secret_environ,
    secrets,
)
from kfsecrets_ext.errors import (
    InvalidName,
    KeyNotFound,
    SecretError,
    SecretNotFound,
    SecretNotText,
    SecretTooLarge,
    SecretUnreadable,
)
from kfsecrets_ext.values import SecretBytes, SecretStr

Write = Callable[..., None]


@pytest.fixture
def write(kubelet: Kubelet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a Secret's volume into the first root."""
    monkeypatch.setenv("KFSECRETS_ROOTS", f"{tmp_path / 'secret'}:{tmp_path / 'secrets'}")
    monkeypatch.setenv("KFSECRETS_MOUNTINFO", os.devnull)
    monkeypatch.setenv("KFSECRETS_PODINFO", str(tmp_path / "podinfo"))

    def write(name: str, data: dict[str, bytes], root: str = "secret", **more: object) -> None:
        kubelet.write_secret(tmp_path / root / name, data, **more)  # type: ignore[arg-type]

    return write


def settle() -> None:
    """Let the file system's clock pass what was just written, as it always has in a pod."""
    time.sleep(0.06)


def test_value_is_what_is_mounted_and_shows_a_mask(write: Write) -> None:
    write("test-secret", {"foo": b"bar\n"})
    value = get_secret("test-secret", "foo")
    assert value == "bar\n"
    assert type(value) is SecretStr
    assert "bar" not in repr(value)
    assert get_secret("test-secret", "foo", strip=True) == "bar"
    assert get_secret_bytes("test-secret", "foo") == b"bar\n"
    assert type(get_secret_bytes("test-secret", "foo")) is SecretBytes
    assert secrets["test-secret"]["foo"] == "bar\n"


def test_whole_secret_is_a_read_only_mapping_that_shows_key_names(write: Write) -> None:
    write("db", {"user": b"app", "password": b"correct horse"})
    db = get_secret("db")
    assert dict(db) == {"user": "app", "password": "correct horse"}
    assert repr(db) == "Secret('db', keys=['password', 'user'])"
    assert "user" in db
    assert "host" not in db
    assert db.get("host") is None
    with pytest.raises(TypeError):
        db["user"] = "other"  # type: ignore[index]
    with pytest.raises(KeyNotFound, match=r"Did you mean 'user'\?"):
        db["usr"]
    assert pickle.loads(pickle.dumps(db)) == {"user": "app", "password": "correct horse"}
    assert type(pickle.loads(pickle.dumps(db))["user"]) is str


def test_whole_secret_stays_one_generation_after_a_rotation(write: Write) -> None:
    write("db", {"user": b"old", "password": b"old"})
    db = get_secret("db")
    assert db["user"] == "old"
    write("db", {"user": b"new", "password": b"new"})
    assert db["password"] == "old"
    assert get_secret("db")["password"] == "new"


@pytest.mark.parametrize("hot", [False, True], ids=["at once", "when read often"])
def test_rotation_is_read_at_once(write: Write, hot: bool) -> None:
    for generation in range(20):
        write("db", {"password": b"generation %d" % generation})
        if hot:
            settle()
            get_secret("db", "password")
            get_secret("db", "password")
        assert get_secret("db", "password") == f"generation {generation}"


def test_unchanged_value_is_not_read_again(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("db", {"password": b"correct horse"})
    settle()
    get_secret("db", "password")

    def refuse(*_: object, **__: object) -> int:
        raise AssertionError("the file was opened")

    monkeypatch.setattr(os, "open", refuse)
    assert get_secret("db", "password") == "correct horse"


def test_rotation_is_read_though_the_new_file_looks_like_the_old_one(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system may give the new file the old one's inode, within one tick of its clock."""
    monkeypatch.setattr(reader, "_same", lambda _: (1, 1, 1))
    write("db", {"password": b"old"})
    settle()
    assert get_secret("db", "password") == "old"
    write("db", {"password": b"new"})
    assert get_secret("db", "password") == "new"


def test_file_changed_in_place_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KFSECRETS_ROOTS", str(tmp_path))
    (tmp_path / "plain").mkdir()
    for round_ in range(30):
        (tmp_path / "plain" / "key").write_text(f"value {round_}")
        assert get_secret("plain", "key") == f"value {round_}"
        if round_ % 3 == 0:
            settle()
            get_secret("plain", "key")


def test_root_set_later_and_mount_in_an_earlier_root_count(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("x", {"key": b"second"}, root="secrets")
    settle()
    assert get_secret("x", "key") == "second"
    assert get_secret("x", "key") == "second"
    write("x", {"key": b"first"})
    assert get_secret("x", "key") == "first"
    monkeypatch.setenv("KFSECRETS_ROOTS", str(tmp_path / "secrets"))
    assert get_secret("x", "key") == "second"


def test_key_only_in_a_later_root_is_found(write: Write) -> None:
    write("x", {"a": b"first"})
    write("x", {"a": b"second", "b": b"second"}, root="secrets")
    assert get_secret("x", "b") == "second"
    assert dict(get_secret("x")) == {"a": "first", "b": "second"}


def test_default_stands_for_what_is_not_there_and_for_nothing_else(
    write: Write, tmp_path: Path
) -> None:
    write("x", {"a": b"1", "binary": b"\xff\xfe"})
    assert get_secret("none", "a", default=None) is None
    assert get_secret("none", default=7) == 7
    assert get_secret("x", "none", default="d") == "d"
    assert get_secret("x", "a", default="d") == "1"
    with pytest.raises(SecretNotText):
        get_secret("x", "binary", default="d")
    (tmp_path / "secret" / "plain").mkdir()
    os.mkfifo(tmp_path / "secret" / "plain" / "fifo")
    with pytest.raises(SecretUnreadable):
        get_secret("plain", "fifo", default="d")


def test_what_is_missing_is_explained(write: Write) -> None:
    with pytest.raises(SecretNotFound, match="Nothing is mounted in") as nothing:
        get_secret("test-secret", "foo")
    assert nothing.value.available == ()
    write("test-secret", {"foo": b"bar"})
    with pytest.raises(SecretNotFound, match=r"Did you mean 'test-secret'\?"):
        get_secret("test-secert", "foo")
    with pytest.raises(KeyNotFound, match=r"Did you mean 'foo'\?") as key:
        get_secret("test-secret", "fo")
    assert (key.value.name, key.value.key, key.value.available) == ("test-secret", "fo", ("foo",))
    with pytest.raises(KeyError):
        secrets["none"]


BAD_NAMES = [
    *("", ".", "..", "../x", "a/b", "/etc", "..data", "a\0b", "a\nb", "x" * 254, "é" * 127),
    *(b"a", 7, None, SecretStr("value"), SecretBytes(b"value")),
]
BAD_KEYS = [
    *("", ".", "..", "../x", "a/../b", "/etc/passwd", "..data", "..data/foo", "a//b", "a/"),
    *("a\0b", "x" * 254, "\ud800", b"a", 7, SecretStr("value")),
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=repr)
def test_bad_name_is_refused(write: Write, name: object) -> None:
    write("a", {"b": b"1"})
    for call in (get_secret, get_secret_bytes, get_secret_path):
        with pytest.raises(InvalidName) as caught:
            call(name, "key")  # type: ignore[operator]
        assert "value" not in str(caught.value).replace("a secret's value", "")


@pytest.mark.parametrize("key", BAD_KEYS, ids=repr)
def test_bad_key_is_refused(write: Write, key: object) -> None:
    write("a", {"b": b"1"})
    for call in (get_secret, get_secret_bytes, get_secret_path):
        with pytest.raises(InvalidName):
            call("a", key)  # type: ignore[operator]


@given(name=st.text(), key=st.text())
def test_any_two_texts_give_a_value_or_a_typed_error(name: str, key: str) -> None:
    with pytest.raises(SecretError):
        get_secret(name, key)


def test_longest_names_and_unicode_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KFSECRETS_ROOTS", str(tmp_path))
    for name in ("n" * 253, "schlüssel", "with space", "鍵"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "line\nend").write_text("v")
        assert get_secret(name, "line\nend") == "v"


def test_binary_needs_bytes_or_an_encoding(write: Write) -> None:
    write("x", {"latin": b"caf\xe9", "utf-16": "café".encode("utf-16")})
    with pytest.raises(SecretNotText, match=r"get_secret_bytes\('x', 'latin'\)"):
        get_secret("x", "latin")
    assert get_secret("x", "latin", encoding="latin-1") == "café"
    assert get_secret("x", "utf-16", encoding="utf-16") == "café"
    assert get_secret("x").read_bytes("latin") == b"caf\xe9"
    with pytest.raises(SecretNotText):
        get_secret("x")["latin"]
    with pytest.raises(LookupError):
        get_secret("x", "latin", encoding="no-such-encoding")


def test_unreadable_key_is_an_error_where_it_is_used(tmp_path: Path, write: Write) -> None:
    (tmp_path / "secret" / "mixed").mkdir(parents=True)
    os.mkfifo(tmp_path / "secret" / "mixed" / "fifo")
    (tmp_path / "secret" / "mixed" / "large").write_bytes(b"x" * (1 << 20) + b"x")
    (tmp_path / "secret" / "mixed" / "good").write_text("fine")
    mixed = get_secret("mixed")
    assert list(mixed) == ["fifo", "good", "large"]
    assert mixed["good"] == "fine"
    with pytest.raises(SecretUnreadable):
        mixed["fifo"]
    with pytest.raises(SecretTooLarge):
        mixed["large"]


def test_path_is_the_mounted_file_and_survives_a_rotation(write: Write, tmp_path: Path) -> None:
    write("tls", {"tls.key": b"old"})
    path = get_secret_path("tls", "tls.key")
    assert path == tmp_path / "secret" / "tls" / "tls.key"
    write("tls", {"tls.key": b"new"})
    assert path.read_bytes() == b"new"
    with pytest.raises(KeyNotFound):
        get_secret_path("tls", "none")


def test_redactor_knows_each_value_before_its_caller_has_it(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {
        "get_secret": "value of get_secret",
        "whole": "value of the whole",
        "bytes": "value as bytes",
        "path": "value as a path",
        "environ": "value as a variable",
    }
    write("known", {key: value.encode() for key, value in values.items()})
    known = redaction.guard()

    def known_now(value: str) -> bool:
        return value not in known.redact(f"<{value}>")

    assert not any(map(known_now, values.values()))
    get_secret("known", "get_secret")
    assert known_now(values["get_secret"])
    get_secret_bytes("known", "bytes")
    assert known_now(values["bytes"])
    get_secret_path("known", "path")
    assert known_now(values["path"])
    with secret_environ(A=("known", "environ")):
        assert known_now(values["environ"])
    assert not known_now(values["whole"])
    get_secret("known")
    assert known_now(values["whole"])
    assert known.redact(values["whole"]) == "[redacted:known/whole]"


def test_redactor_keeps_old_generations(write: Write) -> None:
    write("rotating", {"key": b"the first generation"})
    get_secret("rotating", "key")
    write("rotating", {"key": b"the second generation"})
    get_secret("rotating", "key")
    assert (
        redaction.guard().redact("the first generation, the second generation")
        == "[redacted:rotating/key], [redacted:rotating/key]"
    )


def test_registered_value_is_guarded(write: Write) -> None:
    value = secrets.register("vault/token", "s.from elsewhere")
    assert type(value) is SecretStr
    assert value == "s.from elsewhere"
    assert redaction.guard().redact("s.from elsewhere") == "[redacted:vault/token]"
    raw = secrets.register("vault/raw", b"\xffraw bytes")
    assert type(raw) is SecretBytes
    for label in ("", "two\nlines", SecretStr("value"), 7):
        with pytest.raises(InvalidName):
            secrets.register(label, "x")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="nothing to guard"):
        secrets.register("label", "")
    with pytest.raises(TypeError, match="not int"):
        secrets.register("label", 7)  # type: ignore[call-overload]


def test_environment_is_set_for_a_block_and_for_its_subprocesses(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("aws", {"key": b"AKIA", "nul": b"a\0b", "binary": b"\xff"})
    monkeypatch.setenv("BEFORE", "as it was")
    monkeypatch.delenv("FRESH", raising=False)
    with secret_environ(BEFORE=("aws", "key"), FRESH=("aws", "key")):
        printed = subprocess.check_output(
            [sys.executable, "-c", "import os; print(os.environ['FRESH'])"], text=True
        )
        assert printed == "AKIA\n"
    assert os.environ["BEFORE"] == "as it was"
    assert "FRESH" not in os.environ
    with pytest.raises(RuntimeError), secret_environ(FRESH=("aws", "key")):
        raise RuntimeError
    assert "FRESH" not in os.environ
    for bad in ("nul", "binary"):
        with pytest.raises(SecretNotText), secret_environ(FRESH=("aws", "key"), BAD=("aws", bad)):
            pass
    assert "FRESH" not in os.environ
    with pytest.raises(KeyNotFound), secret_environ(FRESH=("aws", "key"), BAD=("aws", "none")):
        pass
    assert "FRESH" not in os.environ
    with pytest.raises(TypeError, match="FRESH needs a pair"), secret_environ(FRESH="aws"):  # type: ignore[arg-type]
        pass


def test_secrets_is_a_mapping_of_names(write: Write) -> None:
    write("b", {"x": b"1"})
    write("a", {"y": b"1"}, root="secrets")
    assert list(secrets) == ["a", "b"]
    assert len(secrets) == 2
    assert "a" in secrets
    assert "c" not in secrets
    assert repr(secrets) == "Secrets(['a', 'b'])"
    assert secrets._ipython_key_completions_() == ["a", "b"]
    assert secrets["b"]._ipython_key_completions_() == ["x"]


def test_threads_read_while_the_secret_rotates(write: Write) -> None:
    write("db", {"password": b"generation 0"})
    failures: list[object] = []
    stop = threading.Event()

    def read() -> None:
        last = -1
        while not stop.is_set():
            now = int(get_secret("db", "password").split()[1])
            if now < last:
                failures.append((last, now))
            last = now

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for generation in range(300):
        write("db", {"password": b"generation %d" % generation})
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert get_secret("db", "password") == "generation 299"


def test_cache_of_values_is_bounded(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_HOT", 10)
    write("many", {f"k{n}": b"v" for n in range(40)})
    settle()
    for n in range(40):
        get_secret("many", f"k{n}")
    assert len(reader._hot) <= 10
