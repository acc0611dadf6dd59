"""The panel as its user finds it: by role and name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from playwright.sync_api import TimeoutError as TooLate
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator, Page, Route

API = "**/kfsecrets/api/v1/"


@dataclass(frozen=True)
class Panel:
    """The credentials panel on a page of JupyterLab or Notebook."""

    page: Page

    @property
    def region(self) -> Locator:
        """The whole panel."""
        return self.page.get_by_role("region", name="Credentials", exact=True)

    @property
    def filter(self) -> Locator:
        """The filter's input."""
        return self.region.get_by_role("searchbox", name="Filter credentials")

    @property
    def refresh(self) -> Locator:
        """The refresh button."""
        return self.region.get_by_role("button", name="Refresh", exact=True)

    @property
    def status(self) -> Locator:
        """What a screen reader is told."""
        return self.region.get_by_role("status")

    @property
    def credentials(self) -> Locator:
        """The rows of the list."""
        return self.region.get_by_role("list", name="Credentials", exact=True).locator("> li")

    def credential(self, name: str) -> Locator:
        """The row of one secret."""
        return self.credentials.filter(has=self.disclosure(name))

    def disclosure(self, name: str) -> Locator:
        """The button that unfolds a secret."""
        return self.page.get_by_role("button", name=name, exact=True)

    def keys(self, name: str) -> Locator:
        """The rows of a secret's keys."""
        return self.region.get_by_role("list", name=f"Keys of {name}", exact=True).locator("> li")

    def insert(self, name: str, key: str) -> Locator:
        """The button that inserts a snippet."""
        return self._action(f"Insert code for key {key} of {name}")

    def copy(self, name: str, key: str) -> Locator:
        """The button that copies a snippet."""
        return self._action(f"Copy code for key {key} of {name}")

    def insert_registry(self, name: str) -> Locator:
        """The button that inserts a registry's snippet."""
        return self._action(f"Insert code for registry {name}")

    def copy_registry(self, name: str) -> Locator:
        """The button that copies a registry's snippet."""
        return self._action(f"Copy code for registry {name}")

    @property
    def guard(self) -> Locator:
        """What the panel says of the kernel's guard."""
        return self.region.get_by_role("region", name="Guard", exact=True)

    @property
    def masked(self) -> Locator:
        """The rows of what was masked."""
        return self.region.get_by_role("list", name="Masked lately", exact=True).locator("> li")

    @property
    def unguarded(self) -> Locator:
        """The rows of the keys that are not masked by value."""
        return self.region.get_by_role("list", name="Not masked by value").locator("> li")

    def registries(self, path: object) -> Locator:
        """The rows of a Docker configuration file's registries."""
        return self.region.get_by_role("list", name=f"Registries of {path}", exact=True).locator(
            "> li"
        )

    def open(self) -> None:
        """Open the panel by its tab, unless it is open."""
        tab = self.page.get_by_role("tab", name="Credentials", exact=True)
        expect(tab).to_be_visible()
        # Until then JupyterLab still puts its side bars back as they were.
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0)
        if not self.region.is_visible():
            tab.click()
        expect(self.region).to_be_visible()

    def open_from_menu(self) -> None:
        """Open the panel by the View menu, as one does in Notebook, which shows no tabs."""
        self.choose("View", "Show Credentials")
        expect(self.region).to_be_visible()

    def choose(self, menu: str, name: str) -> None:
        """Choose from a menu, again where it closes first: what is opened takes the focus."""
        item = self.page.get_by_role("menuitem", name=name, exact=True)
        for last in (False, False, False, False, True):
            self.page.get_by_role("menuitem", name=menu, exact=True).click()
            try:
                item.click(timeout=None if last else 15_000)
            except TooLate:
                if last:
                    raise
                self.page.keyboard.press("Escape")
            else:
                return

    def answer(self, **bodies: Any) -> None:
        """Answer these endpoints in the server's place: a body, or a status and a body."""
        for endpoint, body in bodies.items():
            status, content = body if isinstance(body, tuple) else (200, body)
            text = content if isinstance(content, str) else json.dumps(content)
            self.page.route(f"{API}{endpoint}*", _fulfil(status, text))

    def execute(self, command: str, **arguments: Any) -> None:
        """Run a command of the application, as a menu would."""
        self.page.evaluate(
            """async ([command, args]) => {
              await window.jupyterapp.commands.execute(command, args);
            }""",
            [command, arguments],
        )

    def settle(self) -> None:
        """Wait until the kernel of what is open, if it has one, is idle."""
        self.page.wait_for_function(
            """() => {
              const current = window.jupyterapp.shell.currentWidget;
              const session = current?.sessionContext ?? current?.console?.sessionContext;
              const path = current?.context?.path ?? '';
              return session && path.search(/[.](py|md)$/) < 0
                ? session.session?.kernel?.status === 'idle'
                : current?.context?.isReady ?? false;
            }""",
            timeout=180_000,
        )

    def source(self) -> str:
        """The text in which the user writes: of the active cell, console prompt or file."""
        text: str = self.page.evaluate(
            """() => {
              const { content, console } = window.jupyterapp.shell.currentWidget;
              const part = console?.promptCell ?? content.activeCell ?? content;
              return part.model.sharedModel.getSource();
            }"""
        )
        return text

    def clipboard(self) -> str:
        """What was copied."""
        text: str = self.page.evaluate("() => navigator.clipboard.readText()")
        return text

    def _action(self, name: str) -> Locator:
        return self.region.get_by_role("button", name=name, exact=True)


def _fulfil(status: int, text: str) -> Callable[[Route], None]:
    return lambda route: route.fulfill(status=status, content_type="application/json", body=text)
