"""The widget: the inventory in a cell, with names and nothing else in it."""

from __future__ import annotations

import ast
import base64
import html
import json
import os
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import ipywidgets
import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbclient import NotebookClient
from rig.kubelet import Kubelet

from kfsecrets_ext import (
    docker,
    get_docker_credentials,
    get_secret,
    inventory,
    list_secrets,
    redaction,
)
from kfsecrets_ext.docker import FileReport, Registry
from kfsecrets_ext.redaction import Redactor, state
from kfsecrets_ext.widget import CredentialsPanel, registry_snippet, snippet

CANARY = "wide-Canary-9d1f7c52"
DOCKER_CANARY = "dock-Canary-77aa01ee"
CHECKOUT = Path(__file__).parents[1]
ELEMENTS = {
    *("b", "br", "code", "details", "div", "p", "span", "summary"),
    *("table", "tbody", "td", "th", "thead", "tr"),
}
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a'b\"c&amp;d",
    "line\nend",
    "hidden\u2028\u202eright-to-left",
    "{key}%s",
    "emoji 🔑",
)


@pytest.fixture
def volumes(tmp_path: Path, kubelet: Kubelet, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pod with three Secrets, as its kubelet lays them out."""
    root = tmp_path / "secret"
    root.mkdir()
    for name, value in pod_environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    for name in ("DOCKER_CONFIG", "DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE"):
        monkeypatch.delenv(name, raising=False)
    kubelet.write_secret(root / "test-secret", {"foo": CANARY})
    kubelet.write_secret(root / "database", {"user": f"u-{CANARY}", "password": f"p-{CANARY}"})
    auth = base64.b64encode(f"me:{DOCKER_CANARY}".encode()).decode()
    configuration = {"auths": {"https://index.docker.io/v1/": {"auth": auth}}}
    kubelet.write_secret(root / "docker-config", {".dockerconfigjson": json.dumps(configuration)})
    kubelet.write_podinfo(
        tmp_path / "podinfo",
        {"notebook-name": "nb"},
        {"poddefault.admission.kubeflow.org/poddefault-test-secret": "1"},
    )
    return root


def pod_environment(directory: Path) -> dict[str, str]:
    """What tells a process that its pod is below a directory."""
    mountinfo = directory / "mountinfo"
    mountinfo.touch()
    (directory / "home").mkdir(exist_ok=True)
    return {
        "KFSECRETS_ROOTS": str(directory / "secret"),
        "KFSECRETS_PODINFO": str(directory / "podinfo"),
        "KFSECRETS_MOUNTINFO": str(mountinfo),
        "HOME": str(directory / "home"),
    }


def tree(widget: Any) -> Iterator[ipywidgets.Widget]:
    """Yield a widget, its children, layouts and styles."""
    yield widget
    for name in ("layout", "style"):
        if hasattr(widget, name):
            yield getattr(widget, name)
    for child in getattr(widget, "children", ()):
        yield from tree(child)


def spellings(value: str) -> list[str]:
    """A value in plain text, hexadecimal, and base64 at each of its three phases."""
    found = [value, value.encode().hex(), value[::-1]]
    for phase in range(3):
        coded = base64.b64encode(b"\0" * phase + value.encode()).decode()
        # What depends on the bytes around the value is left out.
        found.append(coded[(0, 2, 3)[phase] : len(coded) - 4])
    return found


def assert_no_value(text: str) -> None:
    """Fail where a canary shows, in any spelling, also inside base64."""
    for canary in (CANARY, DOCKER_CANARY):
        for spelling in spellings(canary):
            assert spelling not in text


def everything(panel: CredentialsPanel) -> str:
    """All that a panel sends to a browser."""
    return json.dumps([widget.get_state() for widget in tree(panel)], default=str)


def markup(panel: CredentialsPanel) -> str:
    """The HTML that a panel shows, without its style sheet."""
    values = [one.value for one in tree(panel) if isinstance(one, ipywidgets.HTML)]
    return "\n".join(value for value in values if not value.startswith("<style>"))


def text_of(markup: str) -> str:
    """The text that a reader sees."""
    return html.unescape(re.sub(r"<[^>]*>", " ", markup))


class Elements(HTMLParser):
    """The elements and attributes of a piece of HTML, and whether each is closed."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_canaries_are_really_mounted(volumes: Path) -> None:
    assert get_secret("test-secret", "foo") == CANARY
    assert DOCKER_CANARY.encode() in base64.b64decode(
        json.loads(get_secret("docker-config", ".dockerconfigjson"))["auths"][
            "https://index.docker.io/v1/"
        ]["auth"]
    )


def test_no_trait_holds_a_value(volumes: Path) -> None:
    get_secret("test-secret", "foo")
    panel = CredentialsPanel()
    panel.refresh()
    state = everything(panel)
    assert "test-secret" in state
    assert_no_value(state)
    assert_no_value(repr(panel.__dict__))
    for name in panel.trait_names():
        assert_no_value(repr(getattr(panel, name)))


def test_each_secret_shows_its_origin_mount_keys_state_and_code(volumes: Path) -> None:
    panel = CredentialsPanel()
    shown = text_of(markup(panel))
    assert "PodDefault test-secret" in shown
    assert str(volumes / "test-secret") in shown
    assert "✓ Ready" in shown
    assert 'get_secret("test-secret", "foo")' in shown
    assert 'get_secret("database", "password")' in shown


def test_registries_are_shown_by_name(volumes: Path) -> None:
    shown = text_of(markup(CredentialsPanel()))
    assert "Registries" in shown
    assert "https://index.docker.io/v1/" in shown
    assert "user name and password" in shown


def test_the_code_of_a_registry_gets_its_credentials(volumes: Path) -> None:
    shown = text_of(markup(CredentialsPanel()))
    assert "from kfsecrets_ext import get_docker_credentials" in shown
    [code] = re.findall(r"get_docker_credentials\(.*?\)", shown)
    call = ast.parse(code, mode="eval").body
    assert isinstance(call, ast.Call)
    [name] = map(ast.literal_eval, call.args)
    assert get_docker_credentials(name).password == DOCKER_CANARY


@pytest.mark.parametrize(
    ("registry", "code"),
    [
        (Registry("ghcr.io", "static"), 'get_docker_credentials("ghcr.io")'),
        (Registry("ghcr.io", "token"), 'get_docker_credentials("ghcr.io")'),
        (Registry("ghcr.io", "helper", "pass"), 'get_docker_credentials("ghcr.io", helpers=True)'),
        (Registry("*", "helper", "pass"), None),
        (Registry("*.example.org", "static"), None),
        (Registry("white space", "static"), None),
        (Registry("", "static"), None),
        (Registry("ghcr.io", "empty"), None),
        (Registry("ghcr.io", "invalid"), None),
    ],
)
def test_a_registry_has_code_where_its_credentials_can_be_got(
    registry: Registry, code: str | None
) -> None:
    assert registry_snippet(registry) == code


def test_an_entry_says_which_file_comes_before_it(
    volumes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("static", "invalid", "helper", "empty")
    first = tuple(Registry(f"{name}.example", name) for name in names)
    second = tuple(Registry(f"{name}.example", "static") for name in names)
    files = [
        FileReport("/a/config.json", "home directory", "ready", None, True, first),
        FileReport("/b/config.json", "home directory", "ready", None, False, second),
    ]
    monkeypatch.setattr(docker, "files", lambda: files)
    shown = markup(CredentialsPanel())
    assert shown.count("<b>in use</b>") == 1
    entries = shown.partition("/b/config.json")[2]
    rows = [text_of(row) for row in re.findall(r"<tr><td>.*?</tr>", entries)]
    assert len(rows) == len(names)
    for name, row in zip(names, rows, strict=True):
        assert f"{name}.example" in row
        overruled = name in ("static", "invalid")
        assert ("Not used: /a/config.json comes first" in row) == overruled
        assert ("Used only where /a/config.json has no answer" in row) == (name == "helper")
        assert (f'get_docker_credentials("{name}.example")' in row) != overruled


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("https://index.docker.io/v1/", "docker.io", True),
        ("registry-1.docker.io", "https://index.docker.io/v1", True),
        ("https://ghcr.io", "ghcr.io", True),
        ("docker.io/team", "docker.io", False),
        ("notdocker.io", "docker.io", False),
    ],
)
def test_names_of_one_registry_count_as_one(
    volumes: Path, monkeypatch: pytest.MonkeyPatch, first: str, second: str, same: bool
) -> None:
    files = [
        FileReport("/a", "home directory", "ready", None, True, (Registry(first, "static"),)),
        FileReport("/b", "home directory", "ready", None, True, (Registry(second, "static"),)),
    ]
    monkeypatch.setattr(docker, "files", lambda: files)
    assert ("Not used: /a comes first" in markup(CredentialsPanel())) == same


@pytest.fixture
def guard(monkeypatch: pytest.MonkeyPatch) -> state.Guarding:
    """A guard of the test's own, and a record of values that nobody else fills."""
    own, record = state.Guarding(), Redactor()
    monkeypatch.setattr("kfsecrets_ext.widget.guarding", lambda: own)
    monkeypatch.setattr(redaction, "guard", lambda: record)
    return own


@pytest.mark.parametrize(
    ("announced", "words"),
    [
        (None, "⚠ This kernel is not guarded"),
        (("on", None), "✓ Guard on"),
        (("off", "guard.json says so."), "⚠ Guard off by the administrator"),
        (("failed", "no index could be built."), "✗ Guard failed"),
    ],
)
def test_the_panel_says_whether_the_kernel_is_guarded(
    volumes: Path, guard: state.Guarding, announced: Any, words: str
) -> None:
    if announced is not None:
        guard.announce(*announced)
    shown = text_of(markup(CredentialsPanel()))
    assert words in shown
    if announced is not None and announced[1]:
        assert announced[1][1:] in shown


def test_what_was_masked_is_listed_in_words(volumes: Path, guard: state.Guarding) -> None:
    panel = CredentialsPanel()
    assert "Masked lately" not in markup(panel)
    guard.note("test-secret/foo", "value, base64", 3)
    guard.note("database/password", "value")
    panel.refresh()
    shown = " ".join(text_of(markup(panel)).split())
    assert "Masked lately" in shown
    assert "database/password the value 1 time, last at" in shown
    assert "test-secret/foo the value, in base64 3 times, last at" in shown


def test_keys_that_are_not_masked_by_value_are_listed_and_say_so(
    volumes: Path, guard: state.Guarding
) -> None:
    redaction.guard().add("test-secret/foo", "x")
    redaction.guard().add("mine/colour", "admin")
    shown = markup(CredentialsPanel())
    listed = text_of(shown.partition("Not masked by value")[2])
    assert re.search(r"mine/colour\s+too common\s+test-secret/foo\s+too short", listed)
    [row] = re.findall(r"<tr><td>foo<br>.*?</tr>", shown)
    assert "Too short to be masked in outputs" in row


def test_a_label_stays_text(volumes: Path, guard: state.Guarding) -> None:
    script = "<script>alert(1)</script>\u202e"
    guard.announce("failed", script)
    guard.note(script, script)
    redaction.guard().add(script, "x")
    shown = markup(CredentialsPanel())
    assert "<script" not in shown
    assert "\u202e" not in shown
    assert shown.count("&lt;script&gt;") == 4


def test_a_state_is_a_word(volumes: Path, kubelet: Kubelet) -> None:
    kubelet.write_secret(volumes / "later", {}, items={"k": "k"}, optional=True)
    generation = volumes / "database" / os.readlink(volumes / "database" / "..data")
    os.mkfifo(generation / "pipe")
    (generation / "huge").write_bytes(b"x" * ((1 << 20) + 1))
    shown = text_of(markup(CredentialsPanel()))
    assert "Empty" in shown
    assert "appears by itself" in shown
    assert "Unreadable" in shown
    assert "It is not a regular file." in shown
    assert "Too large" in shown


def test_without_secrets_the_panel_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in pod_environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    shown = text_of(markup(CredentialsPanel()))
    assert "No credentials are mounted here" in shown
    assert "PodDefault" in shown
    assert str(tmp_path / "secret") in shown


def test_hostile_names_stay_text(volumes: Path, kubelet: Kubelet) -> None:
    kubelet.write_secret(
        volumes / "odd <b>",
        {str(number): "x" for number in range(len(HOSTILE))},
        items={str(number): name for number, name in enumerate(HOSTILE)},
    )
    panel = CredentialsPanel()
    shown = markup(panel)
    elements = Elements(shown)
    assert elements.names <= ELEMENTS
    assert elements.attributes <= {"class", "open", "role"}
    assert elements.open == []
    for name in HOSTILE:
        assert html.escape(snippet("odd <b>", name)) in shown
    for invisible in "\u2028\u202e":
        assert invisible not in shown


def test_hostile_notes_and_poddefaults_stay_text(
    volumes: Path, kubelet: Kubelet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "<script>x</script>"
    mount = inventory.MountReport("volume", f"/secret/{script}", "unreadable", script)
    key = inventory.Key(script, "unreadable", "environment", script, variable=script)
    secret = inventory.Secret(script, "ready", script, script, (mount,), (key,))
    odd = inventory.Inventory((secret,), (script,), (script,))
    monkeypatch.setattr(inventory, "collect", lambda: odd)
    registry = Registry(script, "helper", script, script)
    files = [FileReport(script, script, "ready", script, True, (registry,))] * 2
    monkeypatch.setattr(docker, "files", lambda: files)
    shown = markup(CredentialsPanel())
    assert shown.count(html.escape(script)) >= 17
    assert "<script" not in shown
    monkeypatch.setattr(inventory, "collect", lambda: inventory.Inventory((), (script,)))
    shown = markup(CredentialsPanel())
    assert html.escape(script) in shown
    assert "<script" not in shown


@pytest.mark.parametrize(
    ("words", "secrets", "keys"),
    [
        ("", ["database", "docker-config", "test-secret"], {"foo", "password"}),
        ("TEST-Secret", ["test-secret"], {"foo"}),
        ("passw", ["database"], {"password"}),
        ("database passw", ["database"], {"password"}),
        ("database", ["database"], {"password", "user"}),
        ("database foo", [], set()),
        ("secret/test", ["test-secret"], {"foo"}),
    ],
)
def test_the_filter_finds_secrets_by_name_place_and_key(
    volumes: Path, words: str, secrets: list[str], keys: set[str]
) -> None:
    panel = CredentialsPanel()
    [field] = [one for one in tree(panel) if isinstance(one, ipywidgets.Text)]
    field.value = words
    shown = markup(panel)
    assert re.findall(r"<details(?: open)?><summary><b>(.*?)</b>", shown) == secrets
    rows = set(re.findall(r"<tr><td>([^<]*)</td><td><span", shown))
    assert keys <= rows
    assert not ({"foo", "password", "user"} - keys) & rows or not words
    field.value = ""
    assert panel_names(panel) == ["database", "docker-config", "test-secret"]


def panel_names(panel: CredentialsPanel) -> list[str]:
    return re.findall(r"<details(?: open)?><summary><b>(.*?)</b>", markup(panel))


def test_refresh_shows_a_new_secret_and_forgets_one_that_is_gone(
    volumes: Path, kubelet: Kubelet
) -> None:
    panel = CredentialsPanel()
    [button] = [one for one in tree(panel) if isinstance(one, ipywidgets.Button)]
    before = {one.model_id for one in tree(panel)}
    kubelet.write_secret(volumes / "another", {"k": "v"})
    (volumes / "database").rename(volumes.parent / "gone")
    assert panel_names(panel) == ["database", "docker-config", "test-secret"]
    button.click()
    assert panel_names(panel) == ["another", "docker-config", "test-secret"]
    assert "database" not in everything(panel)
    assert len({one.model_id for one in tree(panel)} - before) == 1
    assert "another" in repr(panel)


def test_an_unfolded_entry_stays_as_it_is_when_nothing_changed(volumes: Path) -> None:
    panel = CredentialsPanel()
    sent: list[Any] = []
    entries = [one for one in tree(panel) if "<details" in str(getattr(one, "value", ""))]
    for entry in entries:
        entry.observe(sent.append, "value")
    panel.refresh()
    assert entries
    assert sent == []


def test_the_text_fallback_is_the_table_of_names(volumes: Path) -> None:
    panel = CredentialsPanel()
    table = repr(list_secrets())
    assert "test-secret" in table
    bundle = panel._repr_mimebundle_()
    assert bundle["text/plain"] == repr(panel) == table
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == panel.model_id
    assert_no_value(json.dumps(bundle))


@given(name=st.text(), key=st.text())
def test_a_snippet_names_exactly_its_secret_and_key(name: str, key: str) -> None:
    code = snippet(name, key)
    assert code.isprintable()
    call = ast.parse(code, mode="eval").body
    assert isinstance(call, ast.Call)
    assert isinstance(call.func, ast.Name)
    assert call.func.id == "get_secret"
    assert [ast.literal_eval(argument) for argument in call.args] == [name, key]


@given(name=st.text())
def test_the_code_of_a_registry_names_exactly_that_registry(name: str) -> None:
    code = registry_snippet(Registry(name, "helper", "pass"))
    if code is None:
        assert not name or re.search(r"[*\s\x00-\x1f\x7f]", name)
        return
    assert code.isprintable()
    call = ast.parse(code, mode="eval").body
    assert isinstance(call, ast.Call)
    assert ast.unparse(call.func) == "get_docker_credentials"
    assert [ast.literal_eval(argument) for argument in call.args] == [name]
    assert [ast.unparse(keyword) for keyword in call.keywords] == ["helpers=True"]


def test_a_snippet_reads_well() -> None:
    assert snippet("test-secret", "foo") == 'get_secret("test-secret", "foo")'
    assert snippet("s", "it's") == """get_secret("s", "it's")"""


@pytest.mark.slow
def test_a_saved_notebook_holds_names_and_no_value(volumes: Path, tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(
                "from kfsecrets_ext import get_secret\n"
                "from kfsecrets_ext.widget import CredentialsPanel\n"
                'value = get_secret("test-secret", "foo")\n'
                "panel = CredentialsPanel()\n"
                "panel"
            ),
            nbformat.v4.new_code_cell("panel.refresh()\nvalue"),
        ]
    )
    client = NotebookClient(notebook, kernel_name="python3", store_widget_state=True)
    environment = {**os.environ, **pod_environment(tmp_path), "PYTHONPATH": str(CHECKOUT)}
    client.execute(env=environment, cwd=str(tmp_path))
    saved = nbformat.writes(notebook)
    bundle = notebook.cells[0].outputs[0]["data"]
    assert "test-secret" in bundle["text/plain"]
    assert "application/vnd.jupyter.widget-view+json" in bundle
    state = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    assert "test-secret" in json.dumps(state)
    assert_no_value(saved)


@pytest.mark.slow
def test_in_a_guarded_kernel_the_panel_says_so_and_lists_what_was_masked(
    volumes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = (
        "import runpy; from kfsecrets_ext.kernel.hook import wait; wait(); "
        "runpy.run_module('ipykernel_launcher', run_name='__main__')"
    )
    specification = {
        "argv": [sys.executable, "-c", start, "-f", "{connection_file}"],
        "display_name": "guarded",
        "language": "python",
    }
    directory = tmp_path / "jupyter" / "kernels" / "guarded"
    directory.mkdir(parents=True)
    (directory / "kernel.json").write_text(json.dumps(specification))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    path = volumes / "database" / "password"
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(f"print(open({str(path)!r}).read())"),
            nbformat.v4.new_code_cell(
                "from kfsecrets_ext.widget import CredentialsPanel\nCredentialsPanel()"
            ),
        ]
    )
    client = NotebookClient(notebook, kernel_name="guarded", store_widget_state=True)
    environment = {**os.environ, **pod_environment(tmp_path), "PYTHONPATH": str(CHECKOUT)}
    client.execute(env=environment, cwd=str(tmp_path))
    assert notebook.cells[0].outputs[0]["text"] == "[redacted:database/password]\n"
    state = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    shown = " ".join(
        text_of(" ".join(str(one["state"].get("value")) for one in state.values())).split()
    )
    assert "✓ Guard on" in shown
    assert "database/password the value 1 time" in shown
    assert_no_value(nbformat.writes(notebook))
