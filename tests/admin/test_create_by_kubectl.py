"""What kubectl makes of any literals, files and environment files, this package makes too."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rig import binaries

from kfsecrets_ext.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.platform]

COMPARE = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def kubectl() -> Path:
    return binaries.program("kubectl")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "sp ace").write_bytes(b"y")
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir/b").write_bytes(b"\xff\0")
    (tmp_path / "dir/A").write_bytes(b"1\n")
    (tmp_path / "dir/link").symlink_to("b")
    (tmp_path / "dir/sub").mkdir()
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd/a b").write_bytes(b"z")
    (tmp_path / "nothing").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SET", "of the environment")
    return tmp_path


def by_kubectl(kubectl: Path, arguments: list[bytes], place: Path) -> dict[str, Any] | None:
    done = subprocess.run(
        [kubectl, "create", "secret", "--dry-run=client", "-ojson", *arguments],
        cwd=place,
        env={**os.environ, "KUBECONFIG": "/dev/null", "HOME": str(place)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    return in_short(json.loads(done.stdout)) if done.returncode == 0 else None


def by_us(arguments: list[bytes], capfd: pytest.CaptureFixture[str]) -> dict[str, Any] | None:
    words = [os.fsdecode(word) for word in arguments]
    # first, since words after "--" are left out
    status = main(["create", "--no-poddefault", "--dry-run=client", "-o", "json", *words])
    said = capfd.readouterr()
    return in_short(json.loads(said.out)) if status == 0 else None


def in_short(secret: dict[str, Any]) -> dict[str, Any]:
    secret["metadata"].pop("labels", None)
    return secret


def without_nul(content: bytes) -> bytes:
    return content.replace(b"\0", b"")


KEY = st.sampled_from([b"a", b"b", b"A.b-c_1", b".", b"..", b"..a", b"a b", b"\xc3\xa9", b"", b"1"])
VALUE = st.one_of(
    st.sampled_from(
        [b"", b"=", b"a=b", b"-x", b'"', b"a,b", b" ", b"~", b"'q'", b"$HOME", b"\xff"]
    ),
    st.binary(max_size=20).map(without_nul),
    st.text(max_size=10).map(lambda text: without_nul(text.encode("utf-8", "surrogatepass"))),
)
LITERAL = st.one_of(st.tuples(KEY, VALUE).map(b"=".join), VALUE)
CSV = st.text('f,"\n\rk=', max_size=8).map(str.encode)
PATHS = CSV | st.sampled_from(
    [
        *(b"f", b"empty", b"sp ace", b"dir", b"dir/", b"odd", b"nothing", b"missing", b"./f", b""),
        *(
            b"k=f",
            b"k=sp ace",
            b"k=dir",
            b"=f",
            b"k=",
            b"a=b=c",
            b"k=missing",
            b"dir//b",
            b"dir/../f",
        ),
        *(b"f,dir/b", b'"f"', b'"k=f",dir/A', b'"f', b'f"', b"f,", b",f", b'"f"x', b'"sp"" ace"'),
        *(b"\nf", b"f\nempty", b"f\r", b"\n", b'"f\nx"', b"k=/dev/null", b"/dev/null", b"\xff"),
    ]
)


def options(name: str, values: st.SearchStrategy[bytes]) -> st.SearchStrategy[list[bytes]]:
    joined = values.map(lambda value: [b"--%b=%b" % (name.encode(), value)])
    apart = values.map(lambda value: [b"--" + name.encode(), value])
    return st.one_of(joined, apart)


SWITCHES = st.sampled_from(
    [
        *([], [b"--append-hash"], [b"--append-hash=false"], [b"--append-hash=T"]),
        *([b"--append-hash=x"], [b"-nns"], [b"-n=ns"], [b"--namespace", b"ns"], [b"-n", b"-x"]),
        *([b"--"], [b"extra"], [b"--", b"extra"], [b"-z"], [b"--unknown"], [b"-"]),
    ]
)


def commands(kind: bytes, *parts: st.SearchStrategy[list[bytes]]) -> st.SearchStrategy[list[bytes]]:
    names = st.sampled_from([[b"s"], [b"Bad_Name"], [b"a<b>&\xc3\xa9"], [b""], []])
    pieces = st.lists(st.one_of(*parts), max_size=4)
    return st.tuples(names, pieces, SWITCHES).map(
        lambda made: [kind, *made[0], *(word for piece in made[1] for word in piece), *made[2]]
    )


TYPES = options("type", st.sampled_from([b"", b"my/type", b"<&>", b"kubernetes.io/tls"]))


def same(kubectl: Path, arguments: list[bytes], place: Path, capfd: Any) -> None:
    assert by_us(arguments, capfd) == by_kubectl(kubectl, arguments, place)


@COMPARE
@given(commands(b"generic", options("from-literal", LITERAL), options("from-file", PATHS), TYPES))
@example([b"generic", b"s", b"--from-literal", b"-a=1"])
@example([b"generic", b"--append-hash", b"s", b"--type=<&>", b"--from-literal=a=\xff"])
def test_literals_and_files(kubectl, place, capfd, arguments) -> None:
    same(kubectl, arguments, place, capfd)


DOCKER = st.one_of(
    st.sampled_from([b"", b"u", b'p"<&>\xc3\xa9:', b"\xe2\x80\xa8\x01\x7f\b\f"]), VALUE
)


@COMPARE
@given(
    commands(
        b"docker-registry",
        options("docker-username", DOCKER),
        options("docker-password", DOCKER),
        options("docker-email", DOCKER),
        options("docker-server", st.one_of(st.just(b"h.io"), DOCKER)),
    ),
    st.booleans(),
)
def test_registries(kubectl, place, capfd, arguments, complete) -> None:
    if complete:
        arguments[1:1] = [b"--docker-username=u", b"--docker-password=p"]
    same(kubectl, arguments, place, capfd)


@COMPARE
@given(commands(b"docker-registry", options("from-file", PATHS)))
def test_registries_from_files(kubectl, place, capfd, arguments) -> None:
    same(kubectl, arguments, place, capfd)


LINE = st.one_of(
    st.sampled_from(
        [
            *(b"A=1", b"B=", b"  C=x ", b"#c", b" #c", b"", b" ", b"SET", b"NOT_SET_ANYWHERE"),
            *(b"export A=1", b"1A=1", b"k@=v", b"a.b-c=v", b"=v", b"..a=1", b".=1", b"D='q'"),
            *(
                b"\xef\xbb\xbfE=1",
                b"\xc2\xa0F=1",
                b"\xe3\x80\x80G=1",
                b"\x1cH=1",
                b"\x0bI=1",
                b"J=\xff",
            ),
            *(b"K=a\rb", b"L=1\r", b"M=1\r\r", b"N=\0", b"O==", b"\xc2\x85P=1"),
        ]
    ),
    st.binary(max_size=8),
)


@COMPARE
@given(
    st.lists(LINE, max_size=5),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.booleans(),
    st.sampled_from([[], [b"--append-hash"], [b"--from-file="], [b"--from-literal=a=b"]]),
)
@example([b"\xef\xbb\xbfA=1", b"\xef\xbb\xbfB=1"], b"\n", True, [])
def test_environment_files(kubectl, place, capfd, lines, end, ended, more) -> None:
    (place / "e.env").write_bytes(end.join(lines) + end * ended)
    same(kubectl, [b"generic", b"s", b"--from-env-file=e.env", *more], place, capfd)


NAMES = ["y", "n", "on", "null", "true", "1e3", "0x1", "1.5", ".inf", "-", "1_0", "a", "NaN", "-1"]


@COMPARE
@given(
    st.dictionaries(
        st.sampled_from(NAMES),
        st.one_of(
            st.sampled_from(
                [b"\xb6\xbb\x9e", b"\x9e\xe9\x65", b"\xd5\xed\x1d", b"\xd7\x6d\xf8", b""]
            ),
            st.binary(max_size=6),
        ),
        max_size=4,
    ),
    st.sampled_from(["test", "tést ☃", "yes", "a: b #c", "\x85 \u2028", "1e3", "- x", "'\""]),
)
def test_kubectl_reads_from_our_yaml_what_was_meant(kubectl, place, capfd, data, desc) -> None:
    for key, value in data.items():
        (place / "values").mkdir(exist_ok=True)
        (place / "values" / key).write_bytes(value)
    files = [f"--from-file={key}=values/{key}" for key in data]
    command = ["create", "generic", "s", *files, f"--desc={desc}", "--dry-run=client"]
    assert main([*command, "-o", "json"]) == 0
    meant = json.loads(capfd.readouterr().out)["items"]
    assert main([*command, "-o", "yaml"]) == 0
    written = capfd.readouterr().out
    # it reads the manifests and asks no cluster
    done = subprocess.run(
        [kubectl, "label", "--local", "-f", "-", "-o", "json", "read=1"],
        input=written.encode(),
        env={**os.environ, "KUBECONFIG": "/dev/null", "HOME": str(place)},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    decoder, text, read = json.JSONDecoder(), done.stdout.decode().strip(), []
    while text:
        one, end = decoder.raw_decode(text)
        text = text[end:].strip()
        read += one["items"] if one["kind"] == "List" else [one]
    for one in read:
        assert one["metadata"]["labels"].pop("read") == "1"
    assert read == meant
