"""What the server says of the masking: the policy, the hook, the rules."""

from __future__ import annotations

import json
import site
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kfsecrets_ext.redaction import settings
from kfsecrets_ext.server.redaction import describe

HOOK = (
    "_kfsecrets_guard.pth",
    "_kfsecrets_guard.start",
    "_kfsecrets_guard.py",
    "_kfsecrets_closed.py",
)


@pytest.fixture(autouse=True)
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment of the test's own."""
    directory = tmp_path / "site-packages"
    directory.mkdir()
    monkeypatch.setattr(site, "getsitepackages", lambda: [str(tmp_path / "none"), str(directory)])
    monkeypatch.setattr(site, "ENABLE_USER_SITE", False)
    return directory


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], str]:
    """Write an administrator's file."""
    path = tmp_path / "guard.json"
    monkeypatch.setattr(settings, "places", lambda: (str(tmp_path / "absent"), str(path)))

    def write(content: Any) -> str:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return write


def test_without_a_file_the_guard_is_on(policy: Callable[[Any], str]) -> None:
    said = describe()["policy"]
    assert (said["guard"], said["files"], said["reason"]) == ("on", [], None)


def test_the_policy_names_the_file_that_switches_the_guard_off(
    policy: Callable[[Any], str],
) -> None:
    path = policy({"guard": "off", "public": ["*.pub"]})
    body = describe()
    assert body["policy"]["guard"] == "off"
    assert body["policy"]["files"] == [path]
    assert path in body["policy"]["places"]
    assert "*.pub" in body["public"]


def test_a_broken_policy_says_what_is_wrong_and_leaves_the_guard_on(
    policy: Callable[[Any], str],
) -> None:
    path = policy('{"guard": "off"')
    said = describe()["policy"]
    assert said["guard"] == "on"
    assert path in said["reason"]


def test_the_hook_is_installed_when_all_of_its_files_are_there(packages: Path) -> None:
    for name in HOOK:
        (packages / name).touch()
    assert describe()["hook"] == {
        "installed": True,
        "files": [str(packages / name) for name in HOOK],
        "reason": None,
    }


@pytest.mark.parametrize("missing", HOOK)
def test_a_hook_that_lacks_a_file_is_not_installed(packages: Path, missing: str) -> None:
    for name in HOOK:
        if name != missing:
            (packages / name).touch()
    hook = describe()["hook"]
    assert not hook["installed"]
    assert len(hook["files"]) == 3
    assert f"{missing} is not at the top" in hook["reason"]


def test_a_hook_of_the_user_counts_where_python_looks_for_it(
    packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = tmp_path / "user"
    user.mkdir()
    for name in HOOK:
        (user / name).touch()
    monkeypatch.setattr(site, "USER_SITE", str(user))
    assert not describe()["hook"]["installed"]
    monkeypatch.setattr(site, "ENABLE_USER_SITE", True)
    assert describe()["hook"]["installed"]
