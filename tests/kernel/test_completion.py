"""Completion of names, in a kernel as JupyterLab starts it."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from rig.kernels import PORTS, Environment, environment, scratch_environment
from rig.kubelet import Kubelet
from rig.ports import reserved

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parents[2]
CANARY = "Zx7Qp-canary-R5vT2w"
ODD_SECRET = 'it\'s "odd" \\ 🔑'
ODD_KEYS = (
    'with "double" quotes',
    "it's single",
    "back\\slash",
    "line\nend",
    "tab\there",
    "emoji 🔑",
    "nested/path/key",
    "{brace}%s",
    "\u2028separator",
    "# no comment",
    "closing]) brackets",
)
SECRETS = {"database", "test-secret", "test-other", ODD_SECRET}


class Kernel:
    """A running kernel, asked as a front end asks it."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self._client = client

    def run(self, code: str) -> str:
        """Run a cell; return what it printed."""
        printed: list[str] = []

        def keep(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream":
                printed.append(message["content"]["text"])

        reply = self._client.execute_interactive(code, output_hook=keep)
        assert reply["content"]["status"] == "ok", reply["content"]
        return "".join(printed)

    def complete(self, code: str) -> dict[str, str]:
        """Complete at ``|``; return each name that is offered, and the code that it makes."""
        before, _, after = code.partition("|")
        reply = self._client.complete(before + after, len(before), reply=True)["content"]
        assert reply["status"] == "ok"
        whole = before + after
        start, end = reply["cursor_start"], reply["cursor_end"]
        return {match: whole[:start] + match + whole[end:] for match in reply["matches"]}


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory laid out as a pod's, by the kubelet's code."""
    directory = tmp_path_factory.mktemp("pod")
    root = directory / "secret"
    root.mkdir()
    (directory / "home").mkdir()
    odd = {str(number): name for number, name in enumerate(ODD_KEYS)}
    with Kubelet() as kubelet:
        kubelet.write_secret(root / "test-secret", {"foo": CANARY, "bar": CANARY, "fox": CANARY})
        kubelet.write_secret(root / "test-other", {"alone": CANARY})
        kubelet.write_secret(root / "database", {"password": CANARY})
        kubelet.write_secret(root / ODD_SECRET, dict.fromkeys(odd, CANARY), items=odd)
    # The guard would complete names by itself.
    scratch_environment(directory / "unguarded", hook=False)
    return directory


@contextmanager
def running(pod: Path, python: Path | None = None) -> Iterator[Kernel]:
    """Run a kernel in a pod, with nothing of the user's in it; by default without the guard."""
    manager = KernelManager(kernel_name="python3")
    specification = manager.kernel_spec
    assert specification is not None
    specification.argv[0] = str(python or Environment(pod / "unguarded").python)
    ports = ExitStack()
    manager.cache_ports = False
    for name, port in zip(PORTS, ports.enter_context(reserved(len(PORTS))), strict=True):
        setattr(manager, name, port)
    manager.start_kernel(
        cwd=str(pod),
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(pod / "home"),
            "IPYTHONDIR": str(pod / "home" / ".ipython"),
            "PYTHONPATH": str(CHECKOUT),
            "KFSECRETS_ROOTS": str(pod / "secret"),
            "KFSECRETS_MOUNTINFO": os.devnull,
            "KFSECRETS_PODINFO": str(pod / "podinfo"),
            # Else debugpy says something of frozen modules, at any time after the start.
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        },
    )
    client = manager.client()
    client.start_channels()
    try:
        with ports:
            client.wait_for_ready(timeout=120)
        yield Kernel(client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
        manager.context.destroy()


@pytest.fixture(scope="module")
def kernel(pod: Path) -> Iterator[Kernel]:
    """A kernel in which the names were imported, as a user does."""
    with running(pod) as kernel:
        kernel.run(
            "from kfsecrets_ext import get_secret, get_secret_bytes, get_secret_path, secrets\n"
            "my_secrets = {}"
        )
        yield kernel


def completed(offered: dict[str, str], close: str, find: Callable[[ast.AST], bool]) -> set[str]:
    """The text of the literal that each completion makes, once the code is closed."""
    found = set()
    for code in offered.values():
        tree = ast.parse(code + close)
        [literal] = [
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and find(node)
        ]
        found.add(literal)
    return found


def last_of(code: str) -> Callable[[ast.AST], bool]:
    """A test for the literal that is being completed: the one around the cursor."""
    before = code.partition("|")[0]
    line = before.count("\n") + 1
    last = max(before.rfind('"'), before.rfind("'"))
    column = len(before[: last + 1].rpartition("\n")[2].encode()) - 1

    def find(node: ast.AST) -> bool:
        return (getattr(node, "lineno", 0), getattr(node, "col_offset", -1)) == (line, column)

    return find


def offered(kernel: Kernel, code: str, close: str) -> set[str]:
    """The names that are offered at ``|``, as Python reads the completed code."""
    return completed(kernel.complete(code), close, last_of(code))


@pytest.mark.parametrize(
    ("code", "close"),
    [
        ('get_secret("|', '")'),
        ("get_secret('|", "')"),
        ('get_secret(name="|', '")'),
        ('get_secret( "|', '")'),
        ('get_secret_bytes("|', '", "k")'),
        ('get_secret_path("|', '", "k")'),
        ('secrets["|', '"]'),
        ("secrets['|", "']"),
        ('print(get_secret("|', '"))'),
        ('f(1, [get_secret("|', '")])'),
        ('x = {"a": get_secret("|', '")}'),
        ('import os\nos.environ["A"] = get_secret("|', '")'),
        ('get_secret(\n    "|', '")'),
        ('def f():\n    return get_secret("|', '")'),
        ('"🔑🔑"; get_secret("|', '")'),
        ('get_secret("|")', ""),
        ('get_secret("|", "foo")', ""),
        ('secrets["|"]', ""),
        ('get_secret("|")\nget_secret("database")', ""),
        ('get_secret("database", "password"); get_secret("|', '")'),
        ('kfsecrets_ext.get_secret("|', '")'),
    ],
)
def test_names_of_secrets_are_completed(kernel: Kernel, code: str, close: str) -> None:
    assert offered(kernel, code, close) == SECRETS


@pytest.mark.parametrize(
    ("code", "close"),
    [
        ('get_secret("test-secret", "|', '")'),
        ("get_secret('test-secret', '|", "')"),
        ('get_secret("test-secret", \'|', "')"),
        ('get_secret("test-secret","|', '")'),
        ('get_secret("test-secret", key="|', '")'),
        ('get_secret("test-secret", key = "|', '")'),
        ('get_secret(name="test-secret", key="|', '")'),
        ('get_secret_bytes("test-secret", "|', '")'),
        ('get_secret_path("test-secret", "|', '")'),
        ('secrets["test-secret"]["|', '"]'),
        ("secrets['test-secret']['|", "']"),
        ('get_secret(\n    "test-secret",\n    "|', '",\n)'),
        ('get_secret(\n    "test-secret",\n    key="|",\n)', ""),
        ('connect(password=get_secret("test-secret", "|', '"))'),
        ('get_secret("test-secret", "|")', ""),
        ('get_secret("\\x74est-secret", "|', '")'),
    ],
)
def test_keys_are_completed(kernel: Kernel, code: str, close: str) -> None:
    assert offered(kernel, code, close) == {"foo", "bar", "fox"}


@pytest.mark.parametrize(
    ("code", "close", "names"),
    [
        ('get_secret("te|', '")', {"test-secret", "test-other"}),
        ('get_secret("test-s|', '")', {"test-secret"}),
        ("secrets['da|", "']", {"database"}),
        ('get_secret("test-secret", "fo|', '")', {"foo", "fox"}),
        ('secrets["test-secret"]["b|', '"]', {"bar"}),
        ('get_secret("it|', '")', {ODD_SECRET}),
    ],
)
def test_what_is_typed_narrows_the_names(
    kernel: Kernel, code: str, close: str, names: set[str]
) -> None:
    assert offered(kernel, code, close) == names


@pytest.mark.parametrize("quote", ['"', "'"])
@pytest.mark.parametrize(
    "start", ["get_secret({}, {}|", "get_secret({}, key={}|", "secrets[{}][{}|"]
)
def test_odd_key_names_complete_to_code_that_names_them(
    kernel: Kernel, start: str, quote: str
) -> None:
    code = start.format(repr(ODD_SECRET), quote)
    close = quote + ("]" if start.startswith("secrets") else ")")
    offers = kernel.complete(code)
    assert len(offers) == len(ODD_KEYS)
    named = set()
    for made in offers.values():
        statement = ast.parse(made + close).body[0]
        assert isinstance(statement, ast.Expr)
        node = statement.value
        if isinstance(node, ast.Call):
            literal: ast.expr = [*node.args, *(one.value for one in node.keywords)][-1]
        else:
            assert isinstance(node, ast.Subscript)
            literal = node.slice
        named.add(ast.literal_eval(literal))
    assert named == set(ODD_KEYS)


def test_a_half_typed_escape_is_completed(kernel: Kernel) -> None:
    code = f'get_secret({ODD_SECRET!r}, "with \\"|'
    assert offered_odd(kernel, code) == {'with "double" quotes'}


def offered_odd(kernel: Kernel, code: str) -> set[str]:
    calls = [ast.parse(made + '")').body[0] for made in kernel.complete(code).values()]
    return {ast.literal_eval(call.value.args[1]) for call in calls}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "code",
    [
        '"|',
        'print("|',
        'get_secret("test-secret", "foo", "|',
        'get_secret("test-secret", encoding="|',
        'get_secret("no-such", "|',
        'secrets["no-such"]["|',
        'my_get_secret("|',
        'get_secret_value("|',
        'my_secrets["|',
        'get_secret("test-secret")["foo"], "|',
        'get_secret("test-secret", "foo")\nprint("|',
        'get_secret("test-secret", "foo"), "|',
        "get_secret(|",
        'x = ["|',
    ],
)
def test_nothing_is_offered_elsewhere(kernel: Kernel, code: str) -> None:
    offers = " ".join(kernel.complete(code))
    for name in ("test-secret", "test-other", "database", "password", "fox"):
        assert name not in offers


def test_other_completion_goes_on(kernel: Kernel) -> None:
    kernel.run("table = {'apple': 1, 'avocado': 2}; apricot = 1")
    assert "apricot" in kernel.complete("apri|")
    assert {"apple", "avocado"} <= {one.strip("'\"]") for one in kernel.complete("table['a|")}
    assert "environ" in " ".join(kernel.complete("import os; os.envi|"))


@pytest.mark.parametrize(
    "statement",
    [
        "from kfsecrets_ext import get_secret",
        "from kfsecrets_ext import secrets",
        "import kfsecrets_ext; kfsecrets_ext.get_secret",
        "import kfsecrets_ext\nprint(kfsecrets_ext.list_secrets())",
        "%load_ext kfsecrets_ext",
        "%load_ext kfsecrets_ext\n%reload_ext kfsecrets_ext\nfrom kfsecrets_ext import secrets",
    ],
)
def test_one_line_is_enough(pod: Path, statement: str) -> None:
    with running(pod) as kernel:
        kernel.run(statement)
        offers = kernel.complete('get_secret("|')
        assert len(offers) == len(SECRETS)
        assert offered(kernel, 'get_secret("|', '")') == SECRETS
        assert offered(kernel, 'secrets["test-secret"]["|', '"]') == {"foo", "bar", "fox"}


def test_without_the_package_nothing_is_completed(pod: Path) -> None:
    with running(pod) as kernel:
        assert "test-secret" not in " ".join(kernel.complete('get_secret("|'))


def test_in_a_guarded_kernel_names_are_completed_before_any_import(pod: Path) -> None:
    with running(pod, environment("ipykernel 7").python) as kernel:
        assert offered(kernel, 'get_secret("|', '")') == SECRETS
        assert len(kernel.complete('get_secret("|')) == len(SECRETS)
        kernel.run("%load_ext kfsecrets_ext\nfrom kfsecrets_ext import secrets")
        assert len(kernel.complete('get_secret("|')) == len(SECRETS)


def test_a_new_secret_is_completed_at_once(pod: Path, kernel: Kernel) -> None:
    late = pod / "secret" / "late"
    with Kubelet() as kubelet:
        kubelet.write_secret(late, {"first": "x"})
        assert offered(kernel, 'get_secret("la|', '")') == {"late"}
        assert offered(kernel, 'get_secret("late", "|', '")') == {"first"}
        kubelet.write_secret(late, {"second": "x"})
        assert offered(kernel, 'get_secret("late", "|', '")') == {"second"}
    late.rename(pod / "gone")
    assert "late" not in kernel.complete('get_secret("la|')


def test_completing_reads_no_value(kernel: Kernel) -> None:
    kernel.run("from kfsecrets_ext import redaction; known = len(redaction.guard())")
    kernel.complete('secrets["test-secret"]["|')
    kernel.complete('get_secret("test-secret", "|')
    assert kernel.run("print(len(redaction.guard()) - known)") == "0\n"
