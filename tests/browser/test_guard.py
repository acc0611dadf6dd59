"""What the panel says of the guard of the current kernel, and what of it was masked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from browser import kernels
from browser.documents import code, write_notebook

if TYPE_CHECKING:
    from playwright.sync_api import WebSocket

    from browser.conftest import Notebook
    from browser.panel import Panel

ON = {
    "version": "0.1",
    "guard": "on",
    "reason": None,
    "unguarded": [
        {"secret": "test-secret", "key": "second", "reason": "short"},
        {"secret": "mine", "key": "colour", "reason": "common"},
    ],
}


def opened(lab: Notebook, panel: Panel, name: str, *cells: str, kernel: str) -> None:
    """Open a notebook with a kernel, and the panel."""
    path = lab.jupyter.files / name
    write_notebook(path, *(code(cell, f"c{i}") for i, cell in enumerate(cells)), kernel=kernel)
    panel.page.goto(f"{lab.jupyter.url}lab/tree/{name}?reset")
    panel.open()
    expect(panel.credentials).to_have_count(2)
    panel.settle()


def run(panel: Panel) -> None:
    """Run all cells."""
    panel.execute("notebook:run-all-cells")


def restart(panel: Panel) -> None:
    """Restart the kernel."""
    panel.page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"
    )


@pytest.mark.parametrize(
    ("said", "language", "words"),
    [
        (ON, "python", ["Guard on", "on-python.ipynb"]),
        (
            {"guard": "off", "reason": "/etc/kfsecrets/guard.json says so."},
            "python",
            ["Guard off by the administrator", "guard.json says so.", "stays in the notebook"],
        ),
        (
            {"guard": "failed", "reason": "It could not be loaded."},
            "python",
            ["Guard failed", "It could not be loaded."],
        ),
        (None, "python", ["This kernel is not guarded", "is not in its environment"]),
        (None, "R", ["This kernel is not guarded", "Only Python kernels are"]),
    ],
)
def test_panel_says_what_the_kernel_announced(
    lab: Notebook, panel: Panel, said: Any, language: str, words: list[str]
) -> None:
    # A notebook keeps its kernel: each has its own.
    name = f"{said['guard'] if said else 'bare'}-{language.lower()}"
    kernel = kernels.install(lab.jupyter, name, said, language)
    opened(lab, panel, f"{name}.ipynb", "", kernel=kernel)
    for word in words:
        expect(panel.guard).to_contain_text(word)


def test_a_value_that_a_cell_prints_is_masked_and_listed(lab: Notebook, panel: Panel) -> None:
    value = "hunter2hunter2"
    cells = (
        "import base64, pathlib",
        f"value = pathlib.Path({str(lab.pod.root / 'database' / 'password')!r}).read_text()",
        "print(value)",
        "base64.b64encode(value.encode())",
    )
    opened(lab, panel, "real.ipynb", *cells, kernel=kernels.install_guarded(lab.jupyter))
    expect(panel.guard).to_contain_text("Guard on")
    expect(panel.unguarded.filter(has_text="test-secret/second")).to_contain_text("Too short")
    run(panel)
    expect(panel.masked.filter(has_text="database/password")).to_have_count(2)
    expect(panel.masked.filter(has_text="the value, in base64")).to_have_count(1)
    outputs = panel.page.locator(".jp-OutputArea-output")
    expect(outputs).to_have_count(2)
    for output in outputs.all():
        expect(output).to_contain_text("[redacted:database/password]")
    assert value not in panel.page.content()


def test_panel_says_nothing_of_a_guard_without_a_kernel(lab: Notebook, panel: Panel) -> None:
    panel.page.goto(f"{lab.jupyter.url}lab?reset")
    panel.open()
    expect(panel.credentials).to_have_count(2)
    expect(panel.guard).to_have_count(0)


def test_masks_are_listed_in_words_and_counted(lab: Notebook, panel: Panel) -> None:
    kernel = kernels.install(lab.jupyter, "masking", ON)
    cells = ('mask("test-secret/foo", "value")', 'for _ in range(300): mask("aws/key", "hex")')
    opened(lab, panel, "masks.ipynb", *cells, kernel=kernel)
    expect(panel.masked).to_have_count(0)
    run(panel)
    expect(panel.masked).to_have_count(2)
    expect(panel.masked.nth(0)).to_contain_text("aws/key")
    expect(panel.masked.nth(0)).to_contain_text("300 times")
    expect(panel.masked.nth(0)).to_contain_text("in hexadecimal; last at")
    expect(panel.masked.nth(1)).to_contain_text("test-secret/foo")
    expect(panel.masked.nth(1)).to_contain_text("1 time")
    run(panel)
    expect(panel.masked.nth(0)).to_contain_text("600 times")


def test_keys_that_are_not_masked_by_value_say_so(lab: Notebook, panel: Panel) -> None:
    kernel = kernels.install(lab.jupyter, "masking", ON)
    opened(lab, panel, "unguarded.ipynb", "", kernel=kernel)
    expect(panel.unguarded).to_have_count(2)
    expect(panel.unguarded.nth(0)).to_contain_text("test-secret/second")
    expect(panel.unguarded.nth(1)).to_contain_text("Too common")
    keys = panel.keys("test-secret")
    expect(keys.filter(has_text="Too short to be masked in outputs")).to_have_count(1)
    expect(keys.filter(has_text="second")).to_contain_text("Too short")


def test_a_restart_clears_what_was_masked_and_asks_for_the_guard_anew(
    lab: Notebook, panel: Panel
) -> None:
    then = {"guard": "failed", "reason": "No index could be built."}
    kernel = kernels.install(lab.jupyter, "failing", {**ON, "after_restart": then})
    opened(lab, panel, "restart.ipynb", 'mask("test-secret/foo", "value")', kernel=kernel)
    run(panel)
    expect(panel.masked).to_have_count(1)
    expect(panel.guard).to_contain_text("Guard on")
    restart(panel)
    expect(panel.masked).to_have_count(0)
    expect(panel.guard).to_contain_text("No index could be built.")


def test_the_guard_is_that_of_the_current_notebook(lab: Notebook, panel: Panel) -> None:
    guarded = kernels.install(lab.jupyter, "masking", ON)
    bare = kernels.install(lab.jupyter, "bare", None)
    write_notebook(lab.jupyter.files / "bare.ipynb", code(""), kernel=bare)
    opened(lab, panel, "guarded.ipynb", 'mask("test-secret/foo", "value")', kernel=guarded)
    run(panel)
    expect(panel.masked).to_have_count(1)
    panel.execute("docmanager:open", path="bare.ipynb")
    expect(panel.guard).to_contain_text("This kernel is not guarded")
    expect(panel.guard).to_contain_text("bare.ipynb")
    expect(panel.masked).to_have_count(0)
    panel.page.get_by_role("tab", name="guarded.ipynb").click()
    expect(panel.guard).to_contain_text("Guard on")
    expect(panel.masked).to_have_count(1)


def test_a_console_has_a_guard_too(lab: Notebook, panel: Panel) -> None:
    kernel = kernels.install(lab.jupyter, "masking", ON)
    panel.page.goto(f"{lab.jupyter.url}lab?reset")
    panel.open()
    panel.execute("console:create", kernelPreference={"name": kernel})
    expect(panel.guard).to_contain_text("Guard on")
    expect(panel.guard).to_contain_text("Console 1")


def test_the_panel_sends_nothing_to_the_kernel(lab: Notebook, panel: Panel) -> None:
    kernel = kernels.install(lab.jupyter, "masking", ON)
    sent: list[str] = []

    def listen(socket: WebSocket) -> None:
        if "/channels" in socket.url:
            socket.on("framesent", lambda data: sent.append(_kind(data)))

    panel.page.on("websocket", listen)
    panel.page.goto(f"{lab.jupyter.url}lab?reset")
    panel.open()
    expect(panel.credentials).to_have_count(2)
    write_notebook(lab.jupyter.files / "quiet.ipynb", code(""), kernel=kernel)
    panel.execute("docmanager:open", path="quiet.ipynb")
    expect(panel.guard).to_contain_text("Guard on")
    panel.settle()
    before = -1
    while before != len(sent):  # what JupyterLab sends once the kernel is there
        before = len(sent)
        panel.page.wait_for_timeout(1000)
    # JupyterLab asks by itself, with the panel or without.
    assert "kernel_info_request" in sent
    assert "execute_request" not in sent
    panel.refresh.click()
    expect(panel.status).to_have_text("2 credentials")
    panel.execute("docmanager:open", path="quiet.ipynb")
    assert sent[before:] == []


def test_a_malicious_kernel_gets_nothing_but_text_on_the_page(lab: Notebook, panel: Panel) -> None:
    markup = "<img src=x onerror=\"document.title='owned'\">\u202e"
    said = {
        "guard": "failed",
        "reason": markup,
        "unguarded": [{"secret": markup, "key": markup, "reason": "short"}, None, 7],
    }
    kernel = kernels.install(lab.jupyter, "malicious", said)
    cell = f"mask({markup!r}, {markup!r}, -1)\nmask(None, {{}}, [])"
    opened(lab, panel, "malicious.ipynb", cell, kernel=kernel)
    run(panel)
    expect(panel.masked).to_have_count(1)
    expect(panel.masked).to_contain_text("<img src=x")
    expect(panel.guard).to_contain_text("<img src=x")
    expect(panel.region.locator("img")).to_have_count(0)
    expect(panel.region.get_by_text("\u202e")).to_have_count(0)
    assert panel.page.title() != "owned"


def _kind(data: str | bytes) -> str:
    """The type of a message to a kernel, in either of the websocket's protocols."""
    if isinstance(data, str):
        return str(json.loads(data)["header"]["msg_type"])
    start = data.index(b'"msg_type":"') + len(b'"msg_type":"')
    return data[start : data.index(b'"', start)].decode()
