"""Sources give what was given, to the byte, and their errors give nothing away."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from IPython.core.ultratb import VerboseTB

from kfsecrets_ext.admin import (
    SourceError,
    docker_registry,
    from_environment_file,
    from_file,
    from_literal,
    from_prompt,
    generic,
)
from kfsecrets_ext.admin.sources import FILE_LIMIT, Entry, from_path, read_file
from kfsecrets_ext.values import SecretBytes

CANARY = "cAnArYcAnArY"


def chain(error: BaseException) -> Iterator[BaseException]:
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__ or one.__context__


def failure(take: Callable[[], Any]) -> SourceError:
    """The error of a source, which must not hold the canary anywhere a reader could look."""
    try:
        take()
    except SourceError as error:
        for one in chain(error):
            assert CANARY not in f"{one} {one!r} {one.args!r} {vars(one)!r}"
        shown = "\n".join(VerboseTB(theme_name="nocolor").structured_traceback(*sys.exc_info()))
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if f"kfsecrets_ext{os.sep}admin" in frame.f_code.co_filename:
                assert CANARY not in repr(frame.f_locals)
        assert "SourceError" in shown
        return error
    raise AssertionError("it was taken")


def stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))


def only(entries: Iterator[Entry]) -> Entry:
    (entry,) = entries
    assert type(entry[1]) is SecretBytes
    return entry


@pytest.mark.parametrize("value", ["", "=", "a=b", "-x", "é\n", "'q'", "~", "\udcff"])
def test_a_literal_is_taken_to_the_byte(value: str) -> None:
    assert only(from_literal(f"k={value}")) == ("k", os.fsencode(value))


@pytest.mark.parametrize(
    "literal",
    [
        *(CANARY, f"={CANARY}", f"{CANARY}!=x", f"k {CANARY}=x", f"k{CANARY * 30}=x", ""),
        *(f"..{CANARY}=1", f"k={CANARY}\ud800", f"{CANARY}\n=1"),
    ],
)
def test_a_bad_literal_is_never_shown(literal: str) -> None:
    error = failure(lambda: list(from_literal(literal, source="--from-literal number 2")))
    assert error.source == "--from-literal number 2"
    assert error.reason


@pytest.mark.parametrize(
    "given", [CANARY, f"k={CANARY}", f"a=b={CANARY}", f"={CANARY}", f"{CANARY}=", f"{CANARY}!=f"]
)
def test_what_was_given_for_a_file_is_never_shown(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A value is easily put in the place of a file.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").write_bytes(b"x")
    failure(lambda: list(from_file(given)))


@pytest.mark.parametrize("take", [from_file, from_path, from_environment_file, read_file])
@pytest.mark.parametrize("path", [f"{CANARY}\0", f"{CANARY}\ud800"])
def test_what_no_path_may_hold_is_told_and_not_shown(take: Callable[[str], Any], path: str) -> None:
    error = failure(lambda: tuple(take(path)))
    assert "it has a character that no path may have" in str(error)


@pytest.mark.parametrize("take", [from_path, from_environment_file, read_file])
def test_where_a_prompt_goes_is_told_where_there_may_be_one(take: Callable[[str], Any]) -> None:
    # grant files name files too, and have no prompt
    assert failure(lambda: tuple(take("/no/such"))).reason == "No such file or directory."
    for given in ("/no/such", "k=/no/such"):
        assert "see --from-prompt" in str(failure(lambda given=given: list(from_file(given))))


@pytest.mark.parametrize(
    "line",
    [
        *(f"{CANARY}!=1", f"export {CANARY}=1", f"1{CANARY}=2", f"{CANARY} {CANARY}"),
        *(f"k={CANARY}\udcff", f"k={CANARY * 6000}", f"k={CANARY}\nk={CANARY}"),
    ],
)
def test_a_bad_line_is_told_by_its_number_alone(line: str, tmp_path: Path) -> None:
    path = tmp_path / "e.env"
    path.write_bytes(b"a=" + CANARY.encode() + b"\n\n" + os.fsencode(line))
    error = failure(
        lambda: generic("s", from_environment_file(str(path), source="--from-env-file"))
    )
    assert "line 3" in str(error) or "key 'k'" in str(error)


def test_a_line_that_kubectl_would_stop_at_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "e.env"
    path.write_bytes(b"a=" + b"x" * 65533 + b"\nb=1\n")
    assert [key for key, _ in from_environment_file(str(path))] == ["a", "b"]
    path.write_bytes(b"a=" + b"x" * 65534 + b"\nb=1\n")
    assert "line 1" in str(failure(lambda: list(from_environment_file(str(path)))))


def test_a_key_that_comes_twice_is_an_error_without_its_values() -> None:
    entries = [*from_literal(f"k={CANARY}"), *from_literal(f"k={CANARY}2")]
    assert "'k'" in str(failure(lambda: generic("s", entries)))


def test_the_files_of_a_directory_are_in_order_and_links_are_none(tmp_path: Path) -> None:
    for name in ("b", "A", "a"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "link").symlink_to("b")
    (tmp_path / "sub").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert list(from_file(str(tmp_path))) == [("A", b"A"), ("a", b"a"), ("b", b"b")]


def test_a_file_whose_name_is_no_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "a b").write_bytes(CANARY.encode())
    assert "a b" in str(failure(lambda: list(from_file(str(tmp_path)))))
    assert "a b" in str(failure(lambda: list(from_file(str(tmp_path / "a b")))))
    assert only(from_file(f"k={tmp_path / 'a b'}")) == ("k", CANARY.encode())


def test_what_never_ends_is_not_read_to_its_end() -> None:
    assert "16 MiB" in str(failure(lambda: list(from_file("k=/dev/zero"))))
    assert FILE_LIMIT == 16 << 20


def test_standard_input_is_taken_to_the_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, b"\xffv\n")
    assert only(from_file("k=-")) == ("k", b"\xffv\n")
    stdin(monkeypatch, b"A=1\nB=2")
    assert dict(from_environment_file("-")) == {"A": b"1", "B": b"2"}
    assert "KEY=-" in str(failure(lambda: list(from_file("-"))))


def test_a_prompt_that_gives_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import getpass

    monkeypatch.setattr(getpass, "getpass", lambda question: "")
    assert "nothing was entered" in str(failure(lambda: list(from_prompt("k"))))
    monkeypatch.setattr(getpass, "getpass", lambda question: CANARY)
    assert only(from_prompt("k")) == ("k", CANARY.encode())
    failure(lambda: list(from_prompt(f"{CANARY}!")))


@pytest.mark.parametrize("part", ["username", "password", "server"])
def test_an_incomplete_registry_is_an_error_without_its_values(part: str) -> None:
    given = {"username": CANARY, "password": CANARY, "server": CANARY, part: ""}
    assert f"--docker-{part}" in str(failure(lambda: docker_registry("s", **given)))


def test_a_registry_that_no_bytes_stand_for_is_an_error_without_its_values() -> None:
    failure(lambda: docker_registry("s", username=CANARY, password=f"{CANARY}\ud800"))
