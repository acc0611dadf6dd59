"""The registries of the pod's Docker configuration files, and the code that gets credentials."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from browser.documents import code, write_notebook

if TYPE_CHECKING:
    from collections.abc import Callable

    from browser.conftest import Notebook
    from browser.panel import Panel

PASSWORD = "regi-Canary-4f0d8be1"
IMPORT = "from kfsecrets_ext import get_docker_credentials\n"
EXPRESSION = 'get_docker_credentials("registry.example.com")'


def configuration(*registries: str, helper: str | None = None) -> dict[str, str]:
    """The keys of a Secret that holds credentials for these registries."""
    auth = base64.b64encode(f"alice:{PASSWORD}".encode()).decode()
    content = {"auths": {name: {"auth": auth} for name in registries}}
    helpers = {"credHelpers": {helper: "pass"}} if helper else {}
    return {"config.json": json.dumps(content | helpers)}


@pytest.fixture
def pod(serve: Callable[..., Notebook]) -> Notebook:
    """A pod of two configuration files that name one registry both."""
    return serve(
        {
            "a-docker": configuration("registry.example.com", helper="helped.example.com"),
            "b-docker": configuration("registry.example.com", "*.example.org"),
        }
    )


def test_inserted_code_gets_the_credentials_and_shows_a_mask(pod: Notebook, panel: Panel) -> None:
    cell = code("from kfsecrets_ext import get_secret", "c1")
    write_notebook(pod.jupyter.files / "registry.ipynb", code(""), cell)
    panel.page.goto(f"{pod.jupyter.url}lab/tree/registry.ipynb?reset")
    panel.open()
    expect(panel.page.locator(".cm-content").first).to_be_visible()
    panel.settle()
    panel.insert_registry("registry.example.com").click()
    expect(panel.status).to_have_text("Inserted the code")
    assert panel.source() == IMPORT + EXPRESSION
    panel.page.keyboard.press("Shift+Enter")
    output = panel.page.locator(".jp-OutputArea-output").first
    expect(output).to_have_text(
        "DockerCredentials(registry='registry.example.com', **********)", timeout=180_000
    )
    assert PASSWORD not in panel.page.content()


def test_the_first_file_wins_and_a_wildcard_has_no_code(pod: Notebook, panel: Panel) -> None:
    panel.page.goto(f"{pod.jupyter.url}lab?reset")
    panel.open()
    first, second = (pod.pod.root / name / "config.json" for name in ("a-docker", "b-docker"))
    expect(panel.registries(first)).to_have_count(2)
    twice, wildcard = panel.registries(second).all()
    expect(twice).to_contain_text(f"Not used: {first} comes first")
    expect(wildcard).to_contain_text("*.example.org")
    for row in (twice, wildcard):
        expect(row.get_by_role("button")).to_have_count(0)
    panel.copy_registry("helped.example.com").click()
    expect(panel.status).to_have_text("Copied the code to the clipboard")
    assert panel.clipboard() == 'get_docker_credentials("helped.example.com", helpers=True)'
