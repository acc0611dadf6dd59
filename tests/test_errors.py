"""Errors: what they tell, and that none of them carries a value."""

from __future__ import annotations

import base64
import inspect
import io
import os
import pickle
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
import rich.console
import rich.traceback
from rig.kubelet import Kubelet

from kfsecrets_ext import (
    errors,
    get_secret,
    get_secret_bytes,
    get_secret_path,
    secret_environ,
    secrets,
)
from kfsecrets_ext.errors import (
    ClusterError,
    Conflict,
    DockerConfigError,
    Forbidden,
    InvalidName,
    KeyNotFound,
    RegistryNotFound,
    Rejected,
    SecretError,
    SecretNotFound,
    SecretNotText,
    SecretTooLarge,
    SecretUnreadable,
    Unreachable,
)
from kfsecrets_ext.values import SecretBytes, SecretStr

# ── what they tell ───────────────────────────────────────────────────────────

EXAMPLES: list[tuple[SecretError, tuple[type, ...], dict[str, Any], str]] = [
    (
        SecretNotFound("test-secrt", available=["test-secret", "other"], hint="Restart it."),
        (KeyError,),
        {"name": "test-secrt", "available": ("test-secret", "other")},
        (
            "No secret named 'test-secrt' is mounted here. Did you mean 'test-secret'? "
            "Secrets here: 'test-secret', 'other'. Restart it."
        ),
    ),
    (
        KeyNotFound("test-secret", "fooo", available=["foo"]),
        (KeyError,),
        {"name": "test-secret", "key": "fooo", "available": ("foo",)},
        "Secret 'test-secret' has no key 'fooo'. Did you mean 'foo'? Its keys: 'foo'.",
    ),
    (
        SecretUnreadable("test-secret", "foo", reason="permission denied.", path="/secret/x"),
        (),
        {"name": "test-secret", "key": "foo", "reason": "permission denied.", "path": "/secret/x"},
        "Key 'foo' of secret 'test-secret' (/secret/x) cannot be read: permission denied.",
    ),
    (
        SecretUnreadable("test-secret", reason="permission denied."),
        (),
        {"name": "test-secret", "key": None, "reason": "permission denied.", "path": None},
        "Secret 'test-secret' cannot be read: permission denied.",
    ),
    (
        SecretTooLarge("test-secret", "foo", limit=1048576),
        (),
        {"name": "test-secret", "key": "foo", "limit": 1048576},
        "Key 'foo' of secret 'test-secret' is over 1048576 bytes",
    ),
    (
        SecretNotText("test-secret", "foo", encoding="utf-8"),
        (ValueError,),
        {"name": "test-secret", "key": "foo", "encoding": "utf-8"},
        "get_secret_bytes('test-secret', 'foo')",
    ),
    (
        InvalidName("secret", "a/b", reason="it holds a slash."),
        (ValueError,),
        {"kind": "secret", "name": "a/b", "reason": "it holds a slash."},
        "'a/b' cannot be the name of a secret: it holds a slash.",
    ),
    (
        DockerConfigError("it is no JSON.", path="/c.json", place="line 2", helper="ecr-login"),
        (),
        {"reason": "it is no JSON.", "path": "/c.json", "place": "line 2", "helper": "ecr-login"},
        "/c.json, line 2: it is no JSON.",
    ),
    (
        RegistryNotFound("ghcr.io", available=["quay.io"]),
        (KeyError,),
        {"registry": "ghcr.io", "available": ("quay.io",)},
        "No credentials for registry 'ghcr.io' were found. Registries configured: 'quay.io'.",
    ),
    (ClusterError("It failed.", reason="Gone"), (), {"reason": "Gone"}, "It failed."),
    (Forbidden("No.", reason="Forbidden"), (ClusterError,), {"reason": "Forbidden"}, "No."),
    (
        Conflict("Changed.", reason="Conflict", fields=[".data.a"], managers=["kubectl"]),
        (ClusterError,),
        {"reason": "Conflict", "fields": (".data.a",), "managers": ("kubectl",)},
        "Changed.",
    ),
    (
        Rejected("Invalid.", causes=["metadata.name"], by="webhook", webhook="w.example.com"),
        (ClusterError,),
        {
            "reason": None,
            "causes": ("metadata.name",),
            "by": "webhook",
            "webhook": "w.example.com",
        },
        "Invalid.",
    ),
    (Unreachable("No answer."), (ClusterError,), {"reason": None}, "No answer."),
]
each = pytest.mark.parametrize(
    ("error", "bases", "data", "text"),
    EXAMPLES,
    ids=[type(error).__name__ for error, *_ in EXAMPLES],
)


def test_every_error_is_tried() -> None:
    classes = {
        one
        for _, one in inspect.getmembers(errors, inspect.isclass)
        if issubclass(one, SecretError)
    }
    assert {type(error) for error, *_ in EXAMPLES} == classes - {SecretError}
    assert {one.__name__ for one in classes} == set(errors.__all__)


@each
def test_an_error_carries_its_data_and_says_it(
    error: SecretError, bases: tuple[type, ...], data: dict[str, Any], text: str
) -> None:
    assert isinstance(error, (SecretError, *bases))
    assert all(isinstance(error, base) for base in bases)
    assert {name: getattr(error, name) for name in data} == data
    # KeyError alone would show the repr of its argument.
    assert text in str(error)
    assert str(error).count(text) == 1
    assert "\\n" not in str(error)


@each
def test_an_error_survives_pickling(
    error: SecretError, bases: tuple[type, ...], data: dict[str, Any], text: str
) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        loaded = pickle.loads(pickle.dumps(error, protocol=protocol))
        assert type(loaded) is type(error)
        assert loaded.args == error.args
        assert loaded.__dict__ == error.__dict__
        assert str(loaded) == str(error)


@pytest.mark.parametrize(
    ("asked", "available", "nearest"),
    [
        ("test-secrt", ["other", "test-secret"], "test-secret"),
        ("Test-Secret", ["test-secret"], "test-secret"),
        ("test_secret", ["test-secret", "best-secret-x"], "test-secret"),
        ("zzz", ["test-secret"], None),
        ("test-secret", [], None),
    ],
)
def test_the_nearest_name_is_suggested(
    asked: str, available: list[str], nearest: str | None
) -> None:
    for error in (
        SecretNotFound(asked, available=available),
        KeyNotFound("s", asked, available=available),
        RegistryNotFound(asked, available=available),
    ):
        if nearest is None:
            assert "Did you mean" not in str(error)
        else:
            assert f"Did you mean {nearest!r}?" in str(error)


def test_a_long_list_of_names_is_shortened() -> None:
    error = SecretNotFound("x", available=(f"secret-{number:04}" for number in range(500)))
    assert len(error.available) == 500
    assert "and 490 more" in str(error)
    assert len(str(error)) < 400


def test_errors_of_dictionaries_and_values_are_caught_as_such() -> None:
    for kind in (SecretNotFound, KeyNotFound, RegistryNotFound):
        assert issubclass(kind, KeyError)
    for kind in (SecretNotText, InvalidName):
        assert issubclass(kind, ValueError)


# ── that none carries a value ────────────────────────────────────────────────

CHECKOUT = Path(__file__).parents[1]
CANARY = "Zx7Qp-canary-R5vT2w"
BINARY = b"\xff\xfe" + CANARY.encode() + b"\x80\x80"
Failures = dict[str, Callable[[], object]]


@pytest.fixture
def failing(kubelet: Kubelet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Failures:
    """Each way to fail, with the canary as near to it as can be."""
    root = tmp_path / "secret"
    root.mkdir()
    (tmp_path / "mountinfo").touch()
    for name in ("HOME", "KFSECRETS_PODINFO"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))
    monkeypatch.setenv("KFSECRETS_ROOTS", str(root))
    monkeypatch.setenv("KFSECRETS_MOUNTINFO", str(tmp_path / "mountinfo"))
    data = {"text": CANARY, "binary": BINARY, "nul": f"{CANARY}\0", "large": "", "secret": CANARY}
    kubelet.write_secret(root / "odd", data)
    (tmp_path / "outside").write_text(CANARY)
    generation = root / "odd" / os.readlink(root / "odd" / "..data")
    # No Secret is that large; a CSI driver's volume may be.
    (generation / "large").write_bytes(CANARY.encode() * ((1 << 20) // len(CANARY) + 1))
    os.mkfifo(generation / "pipe")
    (generation / "leaves").symlink_to(tmp_path / "outside")
    (generation / "dangles").symlink_to("nowhere")
    (generation / "loops").symlink_to("loops")
    (generation / "directory").mkdir()
    (generation / "directory" / "text").write_text(CANARY)
    (root / "file").write_text(CANARY)
    (root / "away").symlink_to(tmp_path)
    failures: Failures = {
        "not text": lambda: get_secret("odd", "binary"),
        "not text, whole": lambda: get_secret("odd")["binary"],
        "not text, stripped": lambda: get_secret("odd", "binary", strip=True),
        "not text, items": lambda: dict(get_secret("odd")),
        "not ascii": lambda: get_secret("odd", "binary", encoding="ascii"),
        "not utf-16": lambda: get_secret("odd", "binary", encoding="utf-16"),
        "no such encoding": lambda: get_secret("odd", "text", encoding="nothing"),
        "no text encoding": lambda: get_secret("odd", "text", encoding="base64"),
        "NUL for a variable": lambda: secret_environ(A=("odd", "nul")).__enter__(),
        "not text for a variable": lambda: secret_environ(A=("odd", "binary")).__enter__(),
        "a value for a variable": lambda: secret_environ(A=SecretStr(CANARY)).__enter__(),  # type: ignore[arg-type]
        "too large": lambda: get_secret("odd", "large"),
        "too large, whole": lambda: get_secret("odd")["large"],
        "too large, bytes": lambda: get_secret_bytes("odd", "large"),
        "too large, path": lambda: get_secret_path("odd", "large"),
        "FIFO": lambda: get_secret("odd", "pipe"),
        "FIFO, whole": lambda: get_secret("odd")["pipe"],
        "link leaves": lambda: get_secret("odd", "leaves"),
        "link leaves, whole": lambda: get_secret("odd")["leaves"],
        "link dangles": lambda: get_secret("odd", "dangles"),
        "link loops": lambda: get_secret("odd", "loops"),
        "directory": lambda: get_secret("odd", "directory"),
        "file in the root": lambda: get_secret("file", "text"),
        "mount leaves": lambda: get_secret("away", "outside"),
        "no such secret": lambda: get_secret("od", "text"),
        "no such key": lambda: get_secret("odd", "txt"),
        "no such key, whole": lambda: get_secret("odd")["txt"],
        "no such key, mapping": lambda: secrets["odd"]["txt"],
        "below a value": lambda: get_secret("odd", "text/more"),
        "name with slash": lambda: get_secret("a/b"),
        "name reserved": lambda: get_secret(".."),
        "key leaves": lambda: get_secret("odd", "../outside"),
        "value as name": lambda: get_secret(SecretStr(CANARY)),
        "value as name with key": lambda: get_secret(SecretStr(CANARY), "foo"),
        "value as key": lambda: get_secret("odd", SecretStr(CANARY)),
        "value as key, whole": lambda: get_secret("odd")[SecretStr(CANARY)],
        "value as name, mapping": lambda: secrets[SecretStr(CANARY)],
        "bytes as name": lambda: get_secret(SecretBytes(CANARY.encode())),  # type: ignore[call-overload]
        "plain bytes as key": lambda: get_secret("odd", SecretBytes(CANARY.encode())),  # type: ignore[call-overload]
        "value as name, bytes": lambda: get_secret_bytes(SecretStr(CANARY), "foo"),
        "value as name, path": lambda: get_secret_path(SecretStr(CANARY), "foo"),
        "value as label": lambda: secrets.register(SecretStr(CANARY), "x"),
        "no value": lambda: secrets.register("label", [SecretStr(CANARY)]),  # type: ignore[call-overload]
        "empty value": lambda: secrets.register("label", ""),
    }
    return failures


WAYS = [
    *("not text", "not text, whole", "not text, stripped", "not text, items", "not ascii"),
    *("not utf-16", "no such encoding", "no text encoding", "NUL for a variable"),
    *("not text for a variable", "a value for a variable", "too large", "too large, whole"),
    *("too large, bytes", "too large, path", "FIFO", "FIFO, whole", "link leaves"),
    *("link leaves, whole", "link dangles", "link loops", "directory", "file in the root"),
    *("mount leaves", "no such secret", "no such key", "no such key, whole"),
    *("no such key, mapping", "below a value", "name with slash", "name reserved", "key leaves"),
    *("value as name", "value as name with key", "value as key", "value as key, whole"),
    *("value as name, mapping", "bytes as name", "plain bytes as key", "value as name, bytes"),
    *("value as name, path", "value as label", "no value", "empty value"),
]
# A programming error, not one of a secret.
OTHERS = {
    "no such encoding": LookupError,
    "no text encoding": LookupError,
    "a value for a variable": TypeError,
    "no value": TypeError,
    "empty value": ValueError,
}


def spellings() -> list[str]:
    """The canary in parts of eight, in plain text, hexadecimal and base64."""
    found = []
    for start in range(len(CANARY) - 7):
        part = CANARY[start : start + 8]
        found += [part, part.encode().hex()]
    for phase in range(3):
        coded = base64.b64encode(b"\xff" * phase + CANARY.encode()).decode()
        found.append(coded[(0, 2, 3)[phase] : len(coded) - 4])
    return found


def assert_hidden(shown: str) -> None:
    """Fail where a part of the canary shows."""
    for spelling in spellings():
        assert spelling not in shown, f"found as {spelling!r}"


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, and all that is behind it, suppressed or not."""
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop()
        if one is not None:
            yield one
            pending += [one.__cause__, one.__context__]


def our_frames(trace: TracebackType | None) -> Iterator[dict[str, Any]]:
    """Yield the local variables of each frame but those of this file."""
    for frame, _ in traceback.walk_tb(trace):
        if frame.f_code.co_filename != __file__:
            yield frame.f_locals


def caught(fail: Callable[[], object]) -> Exception:
    """The error that a call raises."""
    try:
        fail()
    except Exception as error:  # noqa: BLE001
        return error
    pytest.fail("nothing was raised")


def test_every_way_to_fail_is_tried(failing: Failures) -> None:
    assert list(failing) == WAYS


@pytest.mark.parametrize("way", WAYS)
def test_no_failure_carries_a_value(failing: Failures, way: str) -> None:
    error = caught(failing[way])
    assert isinstance(error, OTHERS.get(way, SecretError))
    for one in chain(error):
        assert_hidden(str(one))
        assert_hidden(repr(one))
        assert_hidden(repr(one.args))
        assert_hidden(repr(one.__dict__))
        for argument in (*one.args, *one.__dict__.values()):
            # What shows only a mask is a value all the same: an error outlives its cell.
            assert CANARY not in str(argument)
            assert not isinstance(argument, bytes) or CANARY.encode() not in argument
    assert_hidden(str(pickle.dumps(error)))


@pytest.mark.parametrize("way", WAYS)
def test_no_failure_chains_an_error_that_holds_the_value(failing: Failures, way: str) -> None:
    for one in chain(caught(failing[way])):
        assert not isinstance(one, UnicodeError)


@pytest.mark.parametrize("way", WAYS)
def test_no_local_variable_on_the_way_shows_a_value(failing: Failures, way: str) -> None:
    error = caught(failing[way])
    for one in chain(error):
        for variables in our_frames(one.__traceback__):
            for value in variables.values():
                assert_hidden(repr(value))
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    lines = [f"{frame.name} {frame.locals}" for frame in shown.stack if frame.filename != __file__]
    assert_hidden("\n".join([*lines, *shown.format_exception_only()]))


@pytest.mark.parametrize("way", WAYS)
def test_a_rich_traceback_with_locals_shows_no_value(failing: Failures, way: str) -> None:
    error = caught(failing[way])
    output = io.StringIO()
    # This file's own frames know the canary by its name.
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    rich.console.Console(file=output, width=240).print(
        rich.traceback.Traceback.from_exception(
            type(error), error, trace, show_locals=True, locals_max_string=100_000
        )
    )
    assert_hidden(output.getvalue())


def test_a_value_given_as_a_name_is_named_as_such(failing: Failures) -> None:
    for way in ("value as name", "value as key", "value as name, mapping", "value as label"):
        error = caught(failing[way])
        assert isinstance(error, InvalidName)
        assert "value was given" in str(error)


def test_a_file_without_permission_is_explained_without_its_value(
    kubelet: Kubelet, tmp_path: Path
) -> None:
    kubelet.write_secret(tmp_path / "secret" / "odd", {"locked": CANARY}, mode=0)
    script = textwrap.dedent(
        """
        import traceback
        from kfsecrets_ext import get_secret
        try:
            get_secret("odd", "locked")
        except Exception as error:
            print("".join(traceback.TracebackException.from_exception(
                error, capture_locals=True).format()))
        """
    )
    # Root reads everything unless it has no capabilities.
    unprivileged = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if not os.geteuid() else []
    result = subprocess.run(
        [*unprivileged, sys.executable, "-c", script],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(CHECKOUT),
            "KFSECRETS_ROOTS": str(tmp_path / "secret"),
            "KFSECRETS_MOUNTINFO": os.devnull,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert "SecretUnreadable" in result.stdout
    assert "permission denied" in result.stdout
    assert "defaultMode" in result.stdout
    assert_hidden(result.stdout)
