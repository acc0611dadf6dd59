"""The panel behind Kubeflow's command line and base URL, and behind Jupyter's own token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

from browser import jupyter
from browser.documents import code, write_notebook

if TYPE_CHECKING:
    from collections.abc import Callable

    from browser.conftest import Notebook
    from browser.panel import Panel

    Serve = Callable[..., Notebook]

PREFIX = "/notebook/alice/nb"
SECRETS = {"test-secret": {"foo": "bar"}}


def test_panel_works_under_the_base_url_of_a_notebook(serve: Serve, panel: Panel) -> None:
    server, _ = serve(SECRETS, base_url=f"{PREFIX}/", arguments=jupyter.KUBEFLOW)
    write_notebook(server.files / "work.ipynb", code(""))
    asked: list[str] = []
    panel.page.on("request", lambda request: asked.append(request.url))
    panel.page.goto(f"{server.url}lab/tree/work.ipynb?reset")
    panel.open()
    expect(panel.keys("test-secret")).to_have_count(1)
    panel.settle()
    panel.insert("test-secret", "foo").click()
    expect(panel.status).to_have_text("Inserted the code")
    assert panel.source().endswith('get_secret("test-secret", "foo")')
    ours = [url for url in asked if "/kfsecrets/" in url]
    assert ours
    assert all(f"{PREFIX}/kfsecrets/api/v1/" in url for url in ours)


def test_panel_sends_the_token(serve: Serve, panel: Panel) -> None:
    server, _ = serve(SECRETS, arguments=("--IdentityProvider.token=abcdef0123456789",))
    panel.page.goto(f"{server.url}lab?token=abcdef0123456789")
    panel.open()
    expect(panel.keys("test-secret")).to_have_count(1)
