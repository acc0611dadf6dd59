"""What the panel says when there is nothing to list, or no way to list it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from browser import answers
from browser.panel import API

if TYPE_CHECKING:
    from collections.abc import Callable

    from browser.conftest import Notebook
    from browser.panel import Panel

    Serve = Callable[..., Notebook]


def test_missing_server_extension_says_how_to_enable_it(serve: Serve, panel: Panel) -> None:
    server, _ = serve({}, server_extension=False)
    panel.page.goto(f"{server.url}lab?reset")
    panel.open()
    expect(panel.region.get_by_text("jupyter server extension list")).to_be_visible()
    command = "jupyter server extension enable kfsecrets_ext"
    expect(panel.region.get_by_text(command)).to_be_visible()
    expect(panel.status).to_have_text("The server extension is not enabled")
    panel.answer(secrets=answers.EVERY_STATE)
    panel.region.get_by_role("button", name="Retry").click()
    expect(panel.credentials).to_have_count(5)


def test_empty_pod_says_how_credentials_come(serve: Serve, panel: Panel) -> None:
    server, pod = serve({})
    panel.page.goto(f"{server.url}lab?reset")
    panel.open()
    expect(panel.region.get_by_text("No credentials are mounted here")).to_be_visible()
    expect(panel.region.get_by_text("An administrator grants a credential")).to_be_visible()
    expect(panel.region.get_by_text(str(pod.root))).to_be_visible()
    pod.mount("first", {"key": "abcdefgh"})
    panel.refresh.click()
    expect(panel.keys("first")).to_have_count(1)


def test_a_secret_that_a_poddefault_awaits_is_declared_and_not_granted_yet(
    serve: Serve, panel: Panel
) -> None:
    server, pod = serve({})
    # kubelet: the volume of an optional Secret that does not exist has a generation, and no keys
    pod.mount("later", {})
    pod.describe({"poddefault.admission.kubeflow.org/poddefault-later": "1"})
    panel.page.goto(f"{server.url}lab?reset")
    panel.open()
    expect(panel.credential("later")).to_contain_text("Declared, not granted yet")
    expect(panel.credential("later")).to_contain_text("PodDefault later")
    pod.mount("later", {"token": "abcdefgh"})
    panel.refresh.click()
    expect(panel.keys("later")).to_have_count(1)
    expect(panel.credential("later")).not_to_contain_text("not granted yet")
    expect(panel.credential("later")).to_contain_text("Ready")


def test_unreachable_server_is_an_error_that_leaves_the_list(lab: Notebook, panel: Panel) -> None:
    panel.page.goto(f"{lab.jupyter.url}lab?reset")
    panel.open()
    expect(panel.credentials).to_have_count(2)
    panel.page.route(f"{API}secrets*", lambda route: route.abort())
    panel.refresh.click()
    alert = panel.region.get_by_role("alert")
    expect(alert).to_contain_text("could not be reached")
    expect(alert).to_contain_text("may be out of date")
    expect(panel.credentials).to_have_count(2)
    panel.page.unroute(f"{API}secrets*")
    alert.get_by_role("button", name="Retry").click()
    expect(alert).to_have_count(0)
    expect(panel.credentials).to_have_count(2)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (500, '{"message": "The disk is on fire."}', "The disk is on fire. (HTTP 500)"),
        (502, "<html>Bad gateway</html>", "The server answered HTTP 502."),
        (403, '{"message": "Forbidden"}', "Your session may have ended"),
        (200, "<html>Log in</html>", "did not come from the server extension"),
    ],
)
def test_failed_request_says_why_and_retries(
    lab: Notebook, panel: Panel, status: int, body: str, words: str
) -> None:
    panel.answer(secrets=(status, body))
    panel.page.goto(f"{lab.jupyter.url}lab?reset")
    panel.open()
    expect(panel.region.get_by_role("alert")).to_contain_text(words)
    expect(panel.status).to_have_text("The credentials could not be listed")
    panel.page.unroute(f"{API}secrets*")
    panel.region.get_by_role("button", name="Retry").click()
    expect(panel.credentials).to_have_count(2)
    expect(panel.region.get_by_role("alert")).to_have_count(0)


def test_failing_registries_leave_the_credentials(lab: Notebook, panel: Panel) -> None:
    panel.answer(registries=(500, '{"message": "No."}'))
    panel.page.goto(f"{lab.jupyter.url}lab?reset")
    panel.open()
    expect(panel.credentials).to_have_count(2)
    expect(panel.region.get_by_role("list", name="Notes")).to_contain_text(
        "The registries could not be listed"
    )
    expect(panel.region.get_by_role("heading", name="Registries")).to_have_count(0)
