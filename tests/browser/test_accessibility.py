"""The panel for everyone: axe-core's rules, both themes, a narrow side bar, a large font."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from browser import answers, kernels
from browser.documents import code, write_notebook

if TYPE_CHECKING:
    from browser.conftest import Notebook
    from browser.panel import Panel

THEMES = ("JupyterLab Light", "JupyterLab Dark")

STATES: dict[str, dict[str, Any]] = {
    "list": {
        "secrets": answers.EVERY_STATE,
        "registries": answers.REGISTRIES,
        "pod": answers.pod(notes=["No stamps."]),
    },
    "empty": {"secrets": answers.secrets(), "registries": (404, "{}"), "pod": answers.pod()},
    "error": {"secrets": (500, '{"message": "No."}'), "registries": (404, "{}"), "pod": (404, "")},
    "missing-server": {"secrets": (404, ""), "registries": (404, ""), "pod": (404, "")},
    "guard on": {"secrets": answers.EVERY_STATE, "registries": answers.REGISTRIES},
    "guard failed": {"secrets": answers.secrets(), "registries": (404, "{}")},
}

LONG = "a-secret-with-a-rather-long-name/and-a-key-with-an-even-longer-one.json"

GUARDS: dict[str, dict[str, Any]] = {
    "guard on": {
        "guard": "on",
        "unguarded": [{"secret": "test-secret", "key": "foo", "reason": "short"}],
    },
    "guard failed": {"guard": "failed", "reason": "The index could not be built: " + "x" * 80},
}


def shown(lab: Notebook, panel: Panel, state: str, theme: str) -> None:
    """Open the panel in a state and a theme."""
    panel.answer(**STATES[state])
    path = ""
    if state in GUARDS:
        kernel = kernels.install(lab.jupyter, state.replace(" ", "-"), GUARDS[state])
        path = f"/tree/{kernel}.ipynb"
        cell = code(f"mask({LONG!r}, 'value, base64, its beginning', 1234)")
        write_notebook(lab.jupyter.files / f"{kernel}.ipynb", cell, kernel=kernel)
    panel.page.goto(f"{lab.jupyter.url}lab{path}?reset")
    panel.open()
    panel.execute("apputils:change-theme", theme=theme)
    expect(panel.page.locator("body")).to_have_attribute("data-jp-theme-name", theme)
    if state in GUARDS:
        expect(panel.page.locator(".jp-Cell .cm-content")).to_be_visible()
        panel.settle()
        panel.execute("notebook:run-all-cells")
        expect(panel.guard).to_contain_text(state.capitalize())
        expect(panel.masked).to_have_count(1)
    expect(panel.status).not_to_have_text("")
    expect(panel.status).not_to_have_text("Refreshing…")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("state", STATES)
def test_axe_finds_no_violation(lab: Notebook, panel: Panel, state: str, theme: str) -> None:
    shown(lab, panel, state, theme)
    results = Axe().run(panel.page, context="#kfsecrets-ext-panel")
    assert results.response["passes"]
    found = [
        (violation["id"], node["html"], node["failureSummary"])
        for violation in results.response["violations"]
        for node in violation["nodes"]
    ]
    assert found == []


@pytest.mark.parametrize("state", STATES)
def test_nothing_is_cut_off_in_a_narrow_side_bar(lab: Notebook, panel: Panel, state: str) -> None:
    shown(lab, panel, state, THEMES[0])
    panel.page.add_style_tag(
        content="#kfsecrets-ext-panel { --jp-ui-font-size1: 26px; max-width: 250px; }"
    )
    cut: list[str] = panel.page.evaluate(
        """() => [...document.querySelectorAll(
            '#kfsecrets-ext-panel :is(.jp-KfSecrets-section, .jp-KfSecrets-guard) *')]
          .filter(node => node.scrollWidth > node.clientWidth + 1 && node.clientWidth > 0
            && getComputedStyle(node).display !== 'inline')
          .map(node => node.outerHTML.slice(0, 120))"""
    )
    assert cut == [], "\n".join(cut)
