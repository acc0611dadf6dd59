"""The panel in Notebook 7: on a notebook's page and on the tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from browser import jupyter, kernels
from browser.conftest import Notebook
from browser.documents import code, write_notebook
from browser.volume import Pod

if TYPE_CHECKING:
    from collections.abc import Iterator

    from browser.panel import Panel


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """Notebook 7 in a pod of one secret."""
    directory = tmp_path_factory.mktemp("notebook")
    pod = Pod.create(directory / "pod")
    pod.mount("test-secret", {"foo": "bar"})
    with jupyter.running(directory / "jupyter", pod, app="notebook") as server:
        yield Notebook(server, pod)


def test_panel_inserts_on_the_page_of_a_notebook(notebook: Notebook, panel: Panel) -> None:
    write_notebook(notebook.jupyter.files / "work.ipynb", code(""))
    panel.page.goto(f"{notebook.jupyter.url}notebooks/work.ipynb")
    expect(panel.page.locator(".jp-Cell .cm-content")).to_be_visible()
    panel.open_from_menu()
    expect(panel.keys("test-secret")).to_have_count(1)
    panel.insert("test-secret", "foo").click()
    expect(panel.status).to_have_text("Inserted the code")
    assert panel.source() == (
        'from kfsecrets_ext import get_secret\nget_secret("test-secret", "foo")'
    )


def test_panel_says_whether_the_kernel_of_the_page_is_guarded(
    notebook: Notebook, panel: Panel
) -> None:
    said = {
        "guard": "on",
        "unguarded": [{"secret": "test-secret", "key": "foo", "reason": "short"}],
    }
    kernel = kernels.install(notebook.jupyter, "masking", said)
    cell = code('mask("test-secret/foo", "value, base64")')
    write_notebook(notebook.jupyter.files / "guard.ipynb", cell, kernel=kernel)
    panel.page.goto(f"{notebook.jupyter.url}notebooks/guard.ipynb")
    expect(panel.page.locator(".jp-Cell .cm-content")).to_be_visible()
    panel.open_from_menu()
    expect(panel.guard).to_contain_text("Guard on")
    expect(panel.keys("test-secret")).to_contain_text("Too short to be masked in outputs")
    panel.execute("notebook:run-all-cells")
    expect(panel.masked).to_contain_text("the value, in base64")


def test_panel_copies_on_the_tree(notebook: Notebook, panel: Panel) -> None:
    panel.page.goto(f"{notebook.jupyter.url}tree")
    panel.open_from_menu()
    expect(panel.keys("test-secret")).to_have_count(1)
    panel.copy("test-secret", "foo").click()
    expect(panel.status).to_have_text("Copied the code to the clipboard")
    assert panel.clipboard() == 'get_secret("test-secret", "foo")'
