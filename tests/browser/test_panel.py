"""What the panel shows of a real pod, in JupyterLab."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from browser import answers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Response

    from browser.conftest import Notebook
    from browser.panel import Panel


@pytest.fixture
def opened(lab: Notebook, panel: Panel) -> Panel:
    """The panel, open in JupyterLab."""
    panel.page.goto(f"{lab.jupyter.url}lab?reset")
    panel.open()
    return panel


def test_panel_lists_the_credentials_of_the_pod(lab: Notebook, opened: Panel) -> None:
    expect(opened.credentials).to_have_count(2)
    row = opened.credential("test-secret")
    expect(row).to_contain_text(str(lab.pod.root / "test-secret"))
    expect(row).to_contain_text("Ready")
    expect(opened.keys("test-secret")).to_have_count(2)
    expect(opened.keys("database")).to_contain_text("password")
    expect(opened.status).to_have_text("2 credentials")


def test_panel_shows_no_value(lab: Notebook, panel: Panel) -> None:
    responses: list[Response] = []
    panel.page.on("response", lambda response: responses.append(response))
    panel.page.goto(f"{lab.jupyter.url}lab?reset")
    panel.open()
    expect(panel.credentials).to_have_count(2)
    bodies = [each.text() for each in responses if "/kfsecrets/api/" in each.url]
    assert any("test-secret" in body for body in bodies)
    assert "hunter2" not in "".join(bodies) + panel.page.content()


def test_refresh_shows_a_new_secret(lab: Notebook, opened: Panel) -> None:
    expect(opened.credentials).to_have_count(2)
    lab.pod.mount("later", {"token": "abcdefgh"})
    try:
        opened.refresh.click()
        expect(opened.keys("later")).to_contain_text("token")
        expect(opened.status).to_have_text("3 credentials")
    finally:
        lab.pod.unmount("later")


def test_showing_the_panel_again_refreshes_it(lab: Notebook, opened: Panel) -> None:
    expect(opened.credentials).to_have_count(2)
    opened.page.get_by_role("tab", name=re.compile("File Browser")).click()
    expect(opened.region).to_be_hidden()
    lab.pod.mount("later", {"token": "abcdefgh"})
    try:
        opened.open()
        expect(opened.credentials).to_have_count(3)
    finally:
        lab.pod.unmount("later")


def test_nothing_is_asked_while_nobody_asks(lab: Notebook, panel: Panel) -> None:
    panel.page.clock.install()
    panel.page.goto(f"{lab.jupyter.url}lab?reset")
    panel.open()
    expect(panel.credentials).to_have_count(2)
    asked: list[str] = []
    panel.page.on(
        "request", lambda request: asked.append(request.url) if "kfsecrets" in request.url else None
    )
    panel.page.clock.fast_forward("01:00:00")
    panel.page.clock.run_for(60_000)
    assert asked == []
    panel.refresh.click()
    expect(panel.status).to_have_text("2 credentials")
    assert asked != []


def test_filter_narrows_the_list_and_says_so(opened: Panel) -> None:
    opened.filter.fill("pass")
    expect(opened.credentials).to_have_count(1)
    expect(opened.keys("database")).to_have_count(1)
    expect(opened.status).to_have_text("1 credential matches the filter")
    opened.filter.fill("nothing of the kind")
    expect(
        opened.region.get_by_text("No credential matches “nothing of the kind”.")
    ).to_be_visible()
    opened.region.get_by_role("button", name="Clear the filter").click()
    expect(opened.credentials).to_have_count(2)
    opened.filter.fill("pass")
    opened.filter.press("Escape")
    expect(opened.filter).to_have_value("")
    expect(opened.credentials).to_have_count(2)


def test_keys_fold_and_unfold(opened: Panel) -> None:
    expect(opened.keys("test-secret")).to_have_count(2)
    opened.disclosure("test-secret").click()
    expect(opened.keys("test-secret")).to_have_count(0)
    opened.disclosure("test-secret").click()
    expect(opened.keys("test-secret")).to_have_count(2)


def test_everything_is_reached_by_keyboard_and_visibly_so(opened: Panel) -> None:
    expect(opened.credentials).to_have_count(2)
    wanted = [
        "Refresh",
        "database",
        "Insert code for key password of database",
        "Copy code for key password of database",
        "test-secret",
        "Insert code for key foo of test-secret",
        "Copy code for key foo of test-secret",
        "Insert code for key second of test-secret",
        "Copy code for key second of test-secret",
    ]
    reached: list[str] = []
    # While it starts JupyterLab may take the focus, as for the launcher.
    for _ in range(3):
        reached = [one for one in _reached_by_tab(opened, wanted[-1]) if one in wanted]
        if reached == wanted:
            break
    assert reached == wanted
    opened.disclosure("database").press("Enter")
    expect(opened.disclosure("database")).to_have_attribute("aria-expanded", "false")
    opened.disclosure("database").press("Space")
    expect(opened.disclosure("database")).to_have_attribute("aria-expanded", "true")


def _reached_by_tab(panel: Panel, last: str) -> Iterator[str]:
    """Go from the filter on by the tabulator; yield what has the focus, which has to be seen."""
    panel.filter.focus()
    for _ in range(30):
        panel.page.keyboard.press("Tab")
        name, is_shown = panel.page.evaluate(
            """() => {
              const node = document.activeElement;
              const style = getComputedStyle(node);
              const own = node.matches('.jp-KfSecrets button');
              const shown = !own || (style.outlineStyle !== 'none'
                && getComputedStyle(node.parentElement).opacity === '1');
              return [node.ariaLabel ?? node.textContent, shown];
            }"""
        )
        assert is_shown, name
        yield name
        if name == last:
            return


def test_every_state_has_its_word_and_its_reason(lab: Notebook, panel: Panel) -> None:
    panel.answer(secrets=answers.EVERY_STATE, registries=answers.REGISTRIES, pod=answers.pod())
    panel.page.goto(f"{lab.jupyter.url}lab?reset")
    panel.open()
    for name, words in {
        "test-secret": ["Ready", "PodDefault test-secret"],
        "aws": ["Ready", "Environment variables", "environment variable AWS_ACCESS_KEY_ID"],
        "database": ["Stale", "does not follow the Secret", "Too large"],
        "later": ["Empty", "does not exist yet", "No keys"],
        "root-only": ["Unreadable", "PodDefault not known", "Permission denied."],
    }.items():
        for word in words:
            expect(panel.credential(name)).to_contain_text(word)
    expect(panel.region.get_by_text("Pod nb-0 in namespace alice")).to_be_visible()
    expect(panel.region.get_by_role("list", name="Notes")).to_contain_text("no stamp of it")
    files = panel.region.get_by_role("list", name="Docker configuration files")
    expect(files).to_contain_text("https://index.docker.io/v1/")
    expect(files).to_contain_text("credential helper docker-credential-ecr-login")


def test_a_thousand_credentials_stay_usable(lab: Notebook, panel: Panel) -> None:
    many = [
        answers.secret(f"secret-{i:04}", *(answers.key(f"key-{i:04}-{j}") for j in range(10)))
        for i in range(1000)
    ]
    panel.answer(secrets=answers.secrets(*many), registries=(404, "{}"), pod=answers.pod())
    panel.page.goto(f"{lab.jupyter.url}lab?reset")
    panel.open()
    expect(panel.credentials).to_have_count(1000)
    expect(panel.region.get_by_role("list", name=re.compile("^Keys of"))).to_have_count(0)
    panel.filter.fill("key-0512-3")
    expect(panel.credentials).to_have_count(1)
    expect(panel.keys("secret-0512")).to_have_count(1)


def test_side_follows_the_settings(lab: Notebook, opened: Panel) -> None:
    expect(opened.credentials).to_have_count(2)
    left = opened.region.bounding_box()
    assert left is not None
    opened.page.evaluate(
        """() => window.jupyterapp.serviceManager.settings
          .save('kfsecrets-ext:plugin', '{"side": "right"}')"""
    )
    try:
        opened.page.reload()
        opened.open()
        expect(opened.credentials).to_have_count(2)
        # It moves when the settings have come, which may be after it was first shown.
        opened.page.wait_for_function(
            """edge => {
              const panel = document.getElementById('kfsecrets-ext-panel');
              return panel !== null && panel.getBoundingClientRect().x > edge;
            }""",
            arg=left["x"] + left["width"],
        )
    finally:
        opened.page.evaluate(
            "() => window.jupyterapp.serviceManager.settings.save('kfsecrets-ext:plugin', '{}')"
        )


def test_open_panel_comes_back_with_the_page(opened: Panel) -> None:
    expect(opened.credentials).to_have_count(2)

    # The layout is saved a moment after it changes; an earlier one may be on its way.
    def saves_it(response: Response) -> bool:
        request = response.request
        shown = '"current":"kfsecrets-ext-panel"'
        return "/api/workspaces/" in request.url and shown in (request.post_data or "")

    with opened.page.expect_response(saves_it):
        opened.page.evaluate("() => window.dispatchEvent(new Event('resize'))")
        opened.disclosure("database").click()
    opened.page.reload()
    expect(opened.region).to_be_visible()
    expect(opened.credentials).to_have_count(2)


def test_palette_and_menu_open_the_panel(lab: Notebook, panel: Panel) -> None:
    panel.page.goto(f"{lab.jupyter.url}lab?reset")
    expect(panel.page.get_by_role("tab", name="Credentials", exact=True)).to_be_visible()
    panel.open_from_menu()
    expect(panel.filter).to_be_focused()
    panel.page.keyboard.press("Control+Shift+C")
    panel.page.get_by_role("searchbox").or_(
        panel.page.locator(".lm-CommandPalette-input")
    ).last.fill("refresh credentials")
    # The palette looks for what was typed a moment later.
    found = panel.page.locator(".lm-CommandPalette-item.lm-mod-active")
    expect(found).to_contain_text("Refresh Credentials")
    with panel.page.expect_request(re.compile("kfsecrets/api/v1/secrets")):
        panel.page.keyboard.press("Enter")
