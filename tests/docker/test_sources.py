"""Every file that there is, in the order that Docker's and podman's users expect."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kfsecrets_ext.docker import (
    DockerConfig,
    DockerCredentials,
    FileReport,
    files,
    get_docker_credentials,
)
from kfsecrets_ext.errors import DockerConfigError, RegistryNotFound
from kfsecrets_ext.redaction import guard


def config(user: str, registry: str = "h.io") -> str:
    auth = base64.b64encode(f"{user}:password-of-{user}".encode()).decode()
    return json.dumps({"auths": {registry: {"auth": auth}}})


def put(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def rotate(volume: Path, generation: str, keys: dict[str, str]) -> None:
    """Write a generation of a volume as the kubelet lays it out."""
    directory = volume / f"..{generation}"
    for key, content in keys.items():
        put(directory / key, content)
        if not (volume / key).is_symlink():
            (volume / key).symlink_to(f"..data/{key}")
    link = volume / "..data_tmp"
    link.symlink_to(directory.name)
    link.rename(volume / "..data")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory with nothing in it, and no Secret mounted."""
    for name in ("DOCKER_CONFIG", "DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "mountinfo").touch()
    monkeypatch.setenv("KFSECRETS_MOUNTINFO", str(tmp_path / "mountinfo"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("KFSECRETS_ROOTS", str(tmp_path / "secret"))
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.fixture
def roots(home: Path) -> Path:
    root = home.parent / "secret"
    root.mkdir()
    return root


def user(query: str = "h.io") -> str | None:
    try:
        return get_docker_credentials(query).username
    except RegistryNotFound:
        return None


def state(path: Path) -> FileReport:
    return next(report for report in files() if report.path == str(path))


def test_the_first_file_that_has_the_registry_answers(
    home: Path, roots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = home.parent / "other"
    places = {
        "secret": put(roots / "regcred" / ".dockerconfigjson", config("secret")),
        "old": put(home / ".dockercfg", config("old")),
        "podman": put(home / ".config/containers/auth.json", config("podman")),
        "runtime": put(home.parent / "run/containers/auth.json", config("runtime")),
        "docker": put(home / ".docker/config.json", config("docker")),
    }
    explicit = {
        "REGISTRY_AUTH_FILE": (put(other / "auth.json", config("file")), "file"),
        "DOCKER_CONFIG": (put(other / "config.json", config("directory")).parent, "directory"),
    }
    for name, (place, who) in explicit.items():
        monkeypatch.setenv(name, str(place))
        assert user() == who
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", config("variable"))
    assert user() == "variable"
    assert user("i.io") is None
    assert "docker" not in {report.origin for report in files()}
    for name in ("DOCKER_AUTH_CONFIG", *explicit):
        monkeypatch.delenv(name)
    for who in ("docker", "runtime", "podman", "old", "secret"):
        assert user() == who
        put(places[who], config("nobody", "elsewhere.io"))
    assert user() is None


def test_docker_config_takes_the_place_of_the_home_directory(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(home / ".docker/config.json", config("home"))
    monkeypatch.setenv("DOCKER_CONFIG", str(home.parent / "nothing"))
    assert user() is None
    monkeypatch.setenv("DOCKER_CONFIG", "")
    assert user() == "home"


@pytest.mark.parametrize("name", ["config.json", ".dockerconfigjson", ".dockercfg"])
def test_every_layout_of_a_mounted_secret_is_read(home: Path, roots: Path, name: str) -> None:
    volume = roots / "docker-config"
    volume.mkdir()
    rotate(volume, "1", {name: config("u")})
    found = get_docker_credentials("h.io/image")
    assert found.username == "u"
    assert found.source == f"docker-config/{name}"
    masked = guard().redact("password-of-u")
    assert masked.startswith("[redacted:")
    rotate(volume, "2", {name: config("v")})
    assert user() == "v"


@pytest.mark.parametrize("name", ["config.json", ".dockerconfigjson", ".dockercfg"])
def test_a_secret_mounted_on_the_docker_directory_is_read(home: Path, name: str) -> None:
    volume = home / ".docker"
    volume.mkdir()
    rotate(volume, "1", {name: config("u")})
    assert user() == "u"
    assert [report.path for report in files() if report.state == "ready"] == [str(volume / name)]


def test_a_secret_mounted_on_config_json_itself_is_read(home: Path) -> None:
    volume = home / ".docker" / "config.json"
    volume.mkdir(parents=True)
    assert user() is None
    found = DockerConfig.load(volume).credentials("h.io")
    assert found is None
    rotate(volume, "1", {".dockerconfigjson": config("u")})
    assert user() == "u"
    loaded = DockerConfig.load(volume).credentials("h.io")
    assert loaded is not None
    assert loaded.username == "u"


def test_several_files_answer_for_the_registries_that_each_names(home: Path, roots: Path) -> None:
    for name in ("a", "b"):
        put(roots / name / ".dockerconfigjson", config(f"user-{name}", f"{name}.io"))
    put(roots / "c" / ".dockercfg", '{"c.io": {"auth": "dXNlci1jOnB3"}}')
    put(home / ".docker/config.json", config("home", "b.io"))
    assert [user(f"{name}.io") for name in "abc"] == ["user-a", "home", "user-c"]
    names = [known.name for known in DockerConfig.load().registries()]
    assert names == ["b.io", "a.io", "c.io"]
    assert state(home / ".docker/config.json").used
    assert not state(roots / "b" / ".dockerconfigjson").used
    assert state(roots / "c" / ".dockercfg").used


def test_file_that_answers_is_the_one_in_use(home: Path, roots: Path) -> None:
    empty = '{"auths": {"a.io": {}}, "credHelpers": {"b.io": "none"}}'
    put(home / ".docker/config.json", empty)
    put(roots / "a" / ".dockerconfigjson", config("user-a", "a.io"))
    put(roots / "b" / ".dockerconfigjson", config("user-b", "b.io"))
    assert user("a.io") == "user-a"
    assert user("b.io") == "user-b"
    assert state(roots / "a" / ".dockerconfigjson").used
    assert state(roots / "b" / ".dockerconfigjson").used


def test_another_programs_config_json_is_none_of_ours(home: Path, roots: Path) -> None:
    put(roots / "app" / "config.json", '{"debug": true}')
    put(roots / "bad" / "config.json", "debug: true")
    put(roots / "regcred" / "config.json", config("u"))
    assert user() == "u"
    assert user("i.io") is None
    listed = [report.path for report in files() if report.state != "absent"]
    assert listed == [str(roots / "regcred" / "config.json")]


def test_a_bad_file_is_passed_over_and_told_where_nothing_else_answers(
    home: Path, roots: Path
) -> None:
    bad = put(home / ".docker/config.json", '{"auths": {"x": "canary"')
    put(roots / "regcred" / ".dockerconfigjson", config("u"))
    assert user() == "u"
    for look in (get_docker_credentials, DockerConfig.load().credentials):
        with pytest.raises(DockerConfigError) as caught:
            look("i.io")
        assert caught.value.path == str(bad)
        assert caught.value.place == "line 1, column 25"
        assert "canary" not in str(caught.value)
        assert caught.value.__context__ is None
    assert state(bad).state == "invalid"


def test_a_bad_entry_in_the_file_that_answers_is_told(home: Path, roots: Path) -> None:
    put(home / ".docker/config.json", '{"auths": {"h.io": {"auth": "!"}}}')
    put(roots / "regcred" / ".dockerconfigjson", config("u"))
    with pytest.raises(DockerConfigError) as caught:
        get_docker_credentials("h.io")
    assert caught.value.place == 'auths["h.io"].auth'


def test_a_static_entry_elsewhere_answers_where_a_helper_may_not_run(
    home: Path, roots: Path
) -> None:
    put(home / ".docker/config.json", '{"credsStore": "desktop"}')
    put(roots / "regcred" / ".dockerconfigjson", config("u"))
    assert user() == "u"
    with pytest.raises(DockerConfigError, match="desktop"):
        get_docker_credentials("i.io")


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_link_to_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


def make_large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2 << 20)


@pytest.mark.parametrize("make", [make_fifo, make_link_to_device, make_loop, make_large])
def test_what_is_no_file_never_hangs_and_is_a_typed_error(home: Path, make: Any) -> None:
    (home / ".docker").mkdir()
    path = home / ".docker" / "config.json"
    make(path)
    with pytest.raises(DockerConfigError) as caught:
        DockerConfig.load(path)
    assert caught.value.path == str(path)
    with pytest.raises(DockerConfigError):
        get_docker_credentials("h.io")
    assert state(path).state == ("invalid" if make is make_large else "unreadable")


def test_a_file_that_is_named_must_be_there(home: Path) -> None:
    with pytest.raises(DockerConfigError, match="no such file"):
        DockerConfig.load(home / "config.json")
    with pytest.raises(DockerConfigError):
        DockerConfig.load("a\0b")


def test_the_path_of_a_file_or_of_its_directory_is_taken(home: Path) -> None:
    path = put(home / "x" / "config.json", config("u"))
    for given in (path, str(path), path.parent, "~/x/config.json"):
        assert get_docker_credentials("h.io", config=given).username == "u"
    loaded = DockerConfig.load(path)
    assert get_docker_credentials("h.io", config=loaded).username == "u"


@pytest.mark.parametrize("variable", ["DOCKER_CONFIG", "REGISTRY_AUTH_FILE"])
def test_where_the_working_directory_is_gone_the_other_files_answer(
    home: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    put(home / ".dockercfg", '{"h.io": {"username": "u", "password": "password"}}')
    gone = home / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setenv(variable, "relative")
    assert get_docker_credentials("h.io").username == "u"
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", config("of the variable"))
    assert get_docker_credentials("h.io").username == "of the variable"
    with pytest.raises(RegistryNotFound):
        get_docker_credentials("other.io")


def test_a_changed_file_is_read_again(home: Path) -> None:
    path = put(home / ".docker/config.json", config("u0"))
    for number in range(1, 60):
        expected = f"u{number % 10}"
        put(path, config(expected))  # in place: the same inode and size
        assert user() == expected


@pytest.fixture
def rotating(roots: Path) -> Iterator[Path]:
    volume = roots / "docker-config"
    volume.mkdir()
    rotate(volume, "0", {".dockerconfigjson": config("user-0")})
    stop = threading.Event()

    def run() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            rotate(volume, str(number), {".dockerconfigjson": config(f"user-{number}")})
            old = volume / f"..{number - 1}"
            (old / ".dockerconfigjson").unlink()
            old.rmdir()

    thread = threading.Thread(target=run)
    thread.start()
    yield volume
    stop.set()
    thread.join()


def test_rotation_never_mixes_a_user_with_another_ones_password(rotating: Path) -> None:
    last, reads = -1, 0
    while reads < 300 or last < 1:
        reads += 1
        found: DockerCredentials = get_docker_credentials("h.io")
        assert found.password == f"password-of-{found.username}"
        number = int(found.username.removeprefix("user-"))
        assert number >= last
        last = number


def test_reports_hold_no_value_and_no_user_name(home: Path, roots: Path) -> None:
    content = {
        "auths": {
            "a.io": {"username": "canary-user", "password": "canary-password"},
            "b.io": {"identitytoken": "canary-token"},
            "c.io": {"auth": "canary!"},
        },
        "credHelpers": {"d.io": "ecr-login"},
    }
    path = put(home / ".docker/config.json", json.dumps(content))
    reports = [report.to_json() for report in files()]
    assert "canary" not in json.dumps(reports) + repr(files())
    assert state(path).to_json() == {
        "path": str(path),
        "origin": "home directory",
        "state": "ready",
        "reason": None,
        "used": True,
        "registries": [
            {"name": "d.io", "kind": "helper", "helper": "ecr-login", "reason": None},
            {"name": "a.io", "kind": "static", "helper": None, "reason": None},
            {"name": "b.io", "kind": "token", "helper": None, "reason": None},
            {"name": "c.io", "kind": "invalid", "helper": None, "reason": "this is not base64."},
        ],
    }
    absent = [report for report in reports if report["state"] == "absent"]
    assert str(home / ".dockercfg") in [report["path"] for report in absent]


def test_the_password_database_tells_the_home_directory_where_home_is_empty(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pwd

    monkeypatch.setenv("HOME", "")
    expected = os.path.join(pwd.getpwuid(os.getuid()).pw_dir, ".docker", "config.json")
    assert expected in [report.path for report in files()]
