"""What "insert" and "copy" do to what the user writes."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from browser import answers
from browser.documents import code, markdown, write_notebook

if TYPE_CHECKING:
    from browser.conftest import Notebook
    from browser.panel import Panel

IMPORT = "from kfsecrets_ext import get_secret\n"
EXPRESSION = 'get_secret("test-secret", "foo")'

STRANGE = [
    "quote\"s 'n' \\backslashes\\",
    "two\nlines\ttab\x00nul\x7fdelete",
    "nested/path.json",
    "separator\u2028%magic",
    "right-to-left\u202egnp.exe",
    "not UTF-8 \udc80",
    "emoji 🔑 Zażółć",
    '") or print(open("/etc/passwd").read()) #',
]


def opened(lab: Notebook, panel: Panel, path: str) -> None:
    """Open a file in JupyterLab, and the panel."""
    panel.page.goto(f"{lab.jupyter.url}lab/tree/{path}?reset")
    panel.open()
    expect(panel.credentials).to_have_count(2)
    expect(panel.page.locator(".cm-content").first).to_be_visible()
    panel.settle()


def notify(panel: Panel, words: str) -> None:
    """Wait for a notification."""
    expect(panel.page.locator(".Toastify__toast", has_text=words)).to_be_visible()


def test_inserted_code_runs_and_shows_a_mask(lab: Notebook, panel: Panel) -> None:
    write_notebook(lab.jupyter.files / "empty.ipynb", code(""))
    opened(lab, panel, "empty.ipynb")
    panel.insert("test-secret", "foo").click()
    expect(panel.status).to_have_text("Inserted the code")
    assert panel.source() == IMPORT + EXPRESSION
    # The cell has the focus, so that the user goes on.
    panel.page.keyboard.press("Shift+Enter")
    output = panel.page.locator(".jp-OutputArea-output")
    expect(output).to_have_text("SecretStr('**********')", timeout=180_000)


def test_import_is_not_repeated(lab: Notebook, panel: Panel) -> None:
    cells = [code("x = ", "c1"), code("from kfsecrets_ext import secrets, get_secret", "c2")]
    write_notebook(lab.jupyter.files / "imported.ipynb", *cells)
    opened(lab, panel, "imported.ipynb")
    panel.page.locator(".jp-Cell .cm-content").first.click()
    panel.page.keyboard.press("End")
    panel.insert("test-secret", "foo").click()
    expect(panel.status).to_have_text("Inserted the code")
    assert panel.source() == f"x = {EXPRESSION}"


def test_insertion_lands_at_the_cursor_and_is_undone_at_once(lab: Notebook, panel: Panel) -> None:
    write_notebook(lab.jupyter.files / "cursor.ipynb", code("# why\nconnect(password=, user=1)"))
    opened(lab, panel, "cursor.ipynb")
    panel.page.locator(".jp-Cell .cm-line").nth(1).click()
    panel.page.keyboard.press("Home")
    for _ in "connect(password=":
        panel.page.keyboard.press("ArrowRight")
    panel.insert("test-secret", "foo").click()
    expect(panel.status).to_have_text("Inserted the code")
    assert panel.source() == f"{IMPORT}# why\nconnect(password={EXPRESSION}, user=1)"
    panel.page.keyboard.type(".strip()")
    assert panel.source() == f"{IMPORT}# why\nconnect(password={EXPRESSION}.strip(), user=1)"
    panel.page.keyboard.press("Control+z")
    panel.page.keyboard.press("Control+z")
    expect(panel.page.locator(".jp-Cell .cm-content")).to_have_text(
        "# whyconnect(password=, user=1)"
    )


def test_keyboard_alone_inserts(lab: Notebook, panel: Panel) -> None:
    write_notebook(lab.jupyter.files / "keyboard.ipynb", code(""))
    opened(lab, panel, "keyboard.ipynb")
    panel.filter.focus()
    panel.page.keyboard.type("foo")
    expect(panel.credentials).to_have_count(1)
    for _ in ("Refresh", "section", "test-secret", "insert"):
        panel.page.keyboard.press("Tab")
    expect(panel.insert("test-secret", "foo")).to_be_focused()
    panel.page.keyboard.press("Enter")
    expect(panel.status).to_have_text("Inserted the code")
    assert panel.source() == IMPORT + EXPRESSION


@pytest.mark.parametrize(
    ("name", "cells", "language", "words"),
    [
        ("markdown", [markdown("# Title")], "python", "not a code cell"),
        ("locked", [code("x = 1", editable=False)], "python", "read-only"),
        ("r", [code("x <- 1")], "R", "not Python"),
    ],
)
def test_what_takes_no_python_is_left_alone(
    lab: Notebook,
    panel: Panel,
    name: str,
    cells: list[dict[str, Any]],
    language: str,
    words: str,
) -> None:
    write_notebook(lab.jupyter.files / f"{name}.ipynb", *cells, language=language)
    panel.page.goto(f"{lab.jupyter.url}lab/tree/{name}.ipynb?reset")
    panel.open()
    expect(panel.page.locator(".jp-Cell").first).to_be_visible()
    if language == "python":
        panel.settle()
    else:
        dialog = panel.page.get_by_role("dialog")
        dialog.get_by_role("button", name="No Kernel").click()
    panel.insert("test-secret", "foo").click()
    notify(panel, words)
    assert panel.source() == cells[0]["source"]
    assert panel.clipboard() == EXPRESSION


def test_without_an_editor_the_code_is_copied(lab: Notebook, panel: Panel) -> None:
    panel.page.goto(f"{lab.jupyter.url}lab?reset")
    panel.open()
    panel.insert("test-secret", "foo").click()
    notify(panel, "no notebook, console or file is active")
    expect(panel.status).to_have_text("Copied the code to the clipboard")
    assert panel.clipboard() == EXPRESSION


def test_insertion_in_a_file_keeps_its_docstring_first(lab: Notebook, panel: Panel) -> None:
    source = '#!/usr/bin/env python3\n"""A script."""\n\nprint(1)\n'
    (lab.jupyter.files / "script.py").write_text(source)
    opened(lab, panel, "script.py")
    panel.page.locator(".jp-FileEditor .cm-content").click()
    panel.page.keyboard.press("Control+End")
    panel.insert("test-secret", "foo").click()
    expect(panel.status).to_have_text("Inserted the code")
    changed = panel.source()
    assert changed == source.replace('"""\n', f'"""\n{IMPORT}') + EXPRESSION
    assert ast.get_docstring(ast.parse(changed)) == "A script."


def test_insertion_in_a_text_file_copies(lab: Notebook, panel: Panel) -> None:
    (lab.jupyter.files / "notes.md").write_text("Notes\n")
    opened(lab, panel, "notes.md")
    panel.insert("test-secret", "foo").click()
    notify(panel, "not Python")
    assert panel.source() == "Notes\n"


def test_insertion_in_a_console(lab: Notebook, panel: Panel) -> None:
    panel.page.goto(f"{lab.jupyter.url}lab?reset")
    panel.open()
    panel.execute("console:create", kernelPreference={"name": "python3"})
    expect(panel.page.locator(".jp-CodeConsole-promptCell .cm-content")).to_be_visible()
    panel.settle()
    panel.insert("test-secret", "foo").click()
    expect(panel.status).to_have_text("Inserted the code")
    assert panel.source() == IMPORT + EXPRESSION


def test_copy_copies_the_expression(lab: Notebook, panel: Panel) -> None:
    panel.page.goto(f"{lab.jupyter.url}lab?reset")
    panel.open()
    panel.copy("test-secret", "foo").click()
    expect(panel.status).to_have_text("Copied the code to the clipboard")
    assert panel.clipboard() == EXPRESSION


def test_code_of_any_key_name_means_that_name(lab: Notebook, panel: Panel) -> None:
    secret = answers.secret("s", *(answers.key(name) for name in STRANGE))
    panel.answer(secrets=answers.secrets(secret), registries=(404, "{}"), pod=(404, "{}"))
    panel.page.goto(f"{lab.jupyter.url}lab?reset")
    panel.open()
    expect(panel.keys("s")).to_have_count(len(STRANGE))
    for index, name in enumerate(STRANGE):
        panel.keys("s").nth(index).get_by_role("button", name="Copy code").click()
        copied = panel.clipboard()
        assert copied.isprintable()
        call = ast.parse(copied, mode="eval").body
        assert isinstance(call, ast.Call)
        assert [ast.literal_eval(each) for each in call.args] == ["s", name]
