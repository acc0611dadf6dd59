"""One Chromium a process, one server a test file, one fresh page a test."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from playwright.sync_api import expect, sync_playwright

from browser import chromium, jupyter
from browser.panel import Panel
from browser.volume import Pod

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from playwright.sync_api import Browser, ConsoleMessage, Error, Page


TIME = 90_000
"""How long something may take to appear, in milliseconds; the machine may have more to do."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a browser."""
    here = os.path.dirname(__file__)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.slow)


class Notebook(NamedTuple):
    """A server, and the pod that it is in."""

    jupyter: jupyter.Jupyter
    pod: Pod


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser."""
    expect.set_options(timeout=TIME)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=chromium.path(), args=[*chromium.ARGUMENTS]
        )
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """JupyterLab in a pod of two secrets."""
    directory = tmp_path_factory.mktemp("lab")
    pod = Pod.create(directory / "pod")
    pod.mount("test-secret", {"foo": "bar", "second": "2"})
    pod.mount("database", {"password": "hunter2hunter2"})
    with jupyter.running(directory / "jupyter", pod) as server:
        yield Notebook(server, pod)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Notebook]]:
    """Start a server in a pod of these secrets; name it before the page, which has to end first."""
    with contextlib.ExitStack() as stack:

        def start(secrets: Mapping[str, Mapping[str, str]], **options: Any) -> Notebook:
            pod = Pod.create(tmp_path / "pod")
            for name, keys in secrets.items():
                pod.mount(name, keys)
            server = stack.enter_context(jupyter.running(tmp_path / "jupyter", pod, **options))
            return Notebook(server, pod)

        yield start


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own profile; what goes wrong in the panel fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(TIME)
    page = context.new_page()
    problems: list[str] = []

    # Chromium, Notebook and JupyterLab log errors of their own, in some versions on every page.
    def listen(message: ConsoleMessage) -> None:
        if message.type == "error" and "extensions/kfsecrets-ext/" in (
            message.text + message.location["url"]
        ):
            problems.append(message.text)

    def note(error: Error) -> None:
        if "extensions/kfsecrets-ext/" in (error.stack or ""):
            problems.append(str(error))

    page.on("console", listen)
    page.on("pageerror", note)
    yield page
    context.close()
    assert problems == []


@pytest.fixture
def panel(page: Page) -> Panel:
    """The panel, before any page is loaded."""
    return Panel(page)
