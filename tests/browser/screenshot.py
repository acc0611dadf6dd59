"""The pictures of the panel in docs/, taken from the demo: ``python -m browser.screenshot``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import expect, sync_playwright

from browser import chromium
from browser.panel import Panel

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHECKOUT = Path(__file__).parents[2]
IMAGES = CHECKOUT / "docs" / "images"


def take(browser: Browser, url: str, target: Path, *, theme: str = "JupyterLab Light") -> None:
    """Photograph JupyterLab with the panel open beside what the address opens.

    Parameters
    ----------
    browser
        Chromium.
    url
        A page of JupyterLab, with its token.
    target
        The PNG file.
    theme
        The name of the theme.
    """
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    panel = Panel(page)
    base, token = url.partition("lab/tree/")[0], url.rpartition("token=")[2]
    saved = page.request.put(
        f"{base}lab/api/settings/@jupyterlab/apputils-extension:themes",
        headers={"Authorization": f"token {token}"},
        data={"raw": json.dumps({"theme": theme})},
    )
    assert saved.ok, saved.text()
    page.goto(url)
    # The demo opens it, beside the tour.
    expect(panel.region).to_be_visible()
    expect(panel.credentials.first).to_be_visible()
    expect(page.get_by_role("heading", name="Credentials in a notebook pod").first).to_be_visible()
    expect(page.locator(".jp-Notebook .jp-Cell").first).to_be_visible()
    expect(page.locator("body")).to_have_attribute("data-jp-theme-name", theme)
    # A wider side bar: drag its edge.
    box = panel.region.bounding_box()
    assert box is not None
    edge = box["x"] + box["width"] + 1
    page.mouse.move(edge, 500)
    page.mouse.down()
    page.mouse.move(edge + 70, 500, steps=5)
    page.mouse.up()
    panel.region.get_by_role("list", name=re.compile("^Keys of")).get_by_role(
        "listitem"
    ).first.hover()
    expect(page.get_by_role("contentinfo")).to_contain_text("| Idle")
    page.screenshot(path=target)
    page.close()


def main() -> None:
    """Run the demo and take the pictures."""
    IMAGES.mkdir(exist_ok=True)
    demo = subprocess.Popen(
        [sys.executable, "-m", "kfsecrets_ext.cli", "demo", "--no-browser"],
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert demo.stdout is not None
        address = next(
            found[0]
            for line in demo.stdout
            if (found := re.search(r"http://\S+token=\S+", line)) is not None
        )
        expect.set_options(timeout=60_000)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=chromium.path(), args=[*chromium.ARGUMENTS]
            )
            take(browser, address, IMAGES / "panel.png")
            take(browser, address, IMAGES / "panel-dark.png", theme="JupyterLab Dark")
            browser.close()
    finally:
        demo.terminate()
        demo.wait(timeout=30)


if __name__ == "__main__":
    main()
