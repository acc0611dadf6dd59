"""On by default: whoever starts a kernel, and however, it is guarded, or says that it is not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from rig.kernels import (
    BESIDE,
    CHECKOUT,
    GENERATIONS,
    Environment,
    Kernel,
    environment,
    running,
    scratch_environment,
    variables,
)
from rig.kubelet import Kubelet

from kfsecrets_ext.redaction.settings import places

pytestmark = pytest.mark.slow

VALUE = "Zx7Qp-canary-R5vT2w"
MARKER = "[redacted:test-secret/foo]"

Start = Callable[..., "contextmanager[Kernel]"]


@pytest.fixture(params=list(GENERATIONS))
def made(request: pytest.FixtureRequest) -> Environment:
    return environment(request.param)


@pytest.fixture
def own(tmp_path: Path) -> Environment:
    """An environment that a test may break."""
    return scratch_environment(tmp_path / "own")


@pytest.fixture
def root(tmp_path: Path, kubelet: Kubelet) -> Path:
    root = tmp_path / "secret"
    root.mkdir()
    kubelet.write_secret(root / "test-secret", {"foo": VALUE, "port": "5432", "one": "1"})
    return root


@pytest.fixture
def start(tmp_path: Path, root: Path) -> Callable[..., object]:
    @contextmanager
    def start(made: Environment, **options: object) -> Iterator[Kernel]:
        with running(made, tmp_path / "kernel", root, **options) as kernel:  # type: ignore[arg-type]
            yield kernel

    return start


def printed(kernel: Kernel, root: Path) -> str:
    """Return what comes of printing the value in a first cell, without an import."""
    path = root / "test-secret" / "foo"
    cell = kernel.run(f"print(open({str(path)!r}).read())")
    assert VALUE not in str(cell.messages)
    return cell.text().strip()


def test_the_first_cell_is_guarded_and_the_guard_announced(
    made: Environment, start: Start, root: Path
) -> None:
    with start(made) as kernel:
        assert printed(kernel, root) == MARKER
        said = kernel.ask("kernel_info_request", {}).reply["kfsecrets"]
    assert (said["guard"], said["reason"]) == ("on", None)
    assert re.fullmatch(r"\d+\.\d+.*", said["version"])
    assert {"secret": "test-secret", "key": "one", "reason": "short"} in said["unguarded"]


@pytest.mark.parametrize("flags", [["-I"], ["-s", "-E"], ["-E"], ["-X", "utf8"]], ids=" ".join)
def test_it_is_on_under_any_flag_of_python(
    made: Environment, start: Start, root: Path, flags: list[str]
) -> None:
    with start(made, flags=flags) as kernel:
        assert printed(kernel, root) == MARKER


@pytest.mark.parametrize("module", ["ipykernel", "ipykernel.kernelapp"])
def test_it_is_on_whatever_starts_the_kernel(
    made: Environment, start: Start, root: Path, module: str
) -> None:
    with start(made, module=module) as kernel:
        assert printed(kernel, root) == MARKER


USERS = {
    "extensions": "c.InteractiveShellApp.extensions = ['autoreload']",
    "no extensions": "c.InteractiveShellApp.extensions = []",
    "extra": "c.InteractiveShellApp.extra_extensions = ['storemagic']",
    "not captured": "c.IPKernelApp.capture_fd_output = False",
    "not quiet": "c.IPKernelApp.quiet = False",
    "another session": "c.Session.packer = 'json'\nc.Session.username = 'me'",
    "code": "c.InteractiveShellApp.exec_lines = ['x = 1']",
}


@pytest.mark.parametrize("user", list(USERS))
def test_it_is_on_whatever_the_user_configures(
    made: Environment, start: Start, root: Path, tmp_path: Path, user: str
) -> None:
    profile = tmp_path / "kernel" / "home" / ".ipython" / "profile_default"
    (profile / "startup").mkdir(parents=True)
    (profile / "ipython_kernel_config.py").write_text(f"c = get_config()\n{USERS[user]}\n")
    (profile / "startup" / "00.py").write_text("started = True\n")
    mine = {"KFSECRETS_GUARD": "off", "KFSECRETS_EXT_GUARD": "off"}
    with start(made, env=mine, options=["--ext", "autoreload"]) as kernel:
        assert printed(kernel, root) == MARKER
        assert kernel.run("print(started)").text() == "True\n"
        path = root / "test-secret" / "foo"
        kernel.run(f"import os\nn = os.write(1, open({str(path)!r}, 'rb').read())")
        kernel.later(0.6)
        assert VALUE.encode() not in kernel.logged()
        assert not any(VALUE.encode() in frame for frame in kernel.frames())


def test_a_file_in_the_home_does_not_turn_it_off(
    made: Environment, start: Start, root: Path, tmp_path: Path
) -> None:
    for place in (
        ".jupyter",
        ".ipython",
        ".config/kfsecrets",
        "etc/kfsecrets",
        ".local/etc/kfsecrets",
    ):
        directory = tmp_path / "kernel" / "home" / place
        directory.mkdir(parents=True)
        (directory / "guard.json").write_text('{"guard": "off"}')
    with start(made) as kernel:
        assert printed(kernel, root) == MARKER


def settings(own: Environment, text: str) -> None:
    directory = own.prefix / "etc" / "kfsecrets"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "guard.json").write_text(text)


def test_an_administrator_turns_it_off_and_it_says_so(
    own: Environment, start: Start, root: Path
) -> None:
    settings(own, '{"guard": "off"}')
    path = root / "test-secret" / "foo"
    with start(own) as kernel:
        assert kernel.run(f"print(open({str(path)!r}).read())").text() == VALUE + "\n"
        said = kernel.ask("kernel_info_request", {}).reply["kfsecrets"]
        assert "Guard: off." in kernel.run("%kfsecrets").text()
    assert said["guard"] == "off"
    assert "guard.json" in said["reason"]


def test_an_administrator_names_public_keys(own: Environment, start: Start, root: Path) -> None:
    settings(own, '{"public": ["foo"]}')
    path = root / "test-secret" / "foo"
    with start(own) as kernel:
        assert kernel.run(f"print(open({str(path)!r}).read())").text() == VALUE + "\n"
        said = kernel.ask("kernel_info_request", {}).reply["kfsecrets"]
        assert "foo: public" in kernel.run("%kfsecrets").text()
    assert said["guard"] == "on"
    assert {"secret": "test-secret", "key": "foo", "reason": "public"} in said["unguarded"]


@pytest.mark.parametrize("text", ['{"guard": "off"', '{"guard": "of"}', "[]", '{"gaurd": "off"}'])
def test_a_malformed_file_leaves_it_on_and_is_told(
    own: Environment, start: Start, root: Path, text: str
) -> None:
    settings(own, text)
    with start(own) as kernel:
        assert printed(kernel, root) == MARKER
        said = kernel.ask("kernel_info_request", {}).reply["kfsecrets"]
    assert said["guard"] == "on"
    assert "guard.json" in said["reason"]


@pytest.mark.parametrize("text", ['{"guard": "off"}', '{"public": ["foo"]}'])
def test_etc_counts_as_the_environment_does(
    own: Environment, start: Start, root: Path, tmp_path: Path, text: str
) -> None:
    assert places()[1:] == ("/etc/kfsecrets/guard.json",)
    (tmp_path / "guard.json").write_text(text)
    # This machine's /etc is no test's.
    (own.packages / "zzz_etc.pth").write_text("import zzz_etc\n")
    (own.packages / "zzz_etc.py").write_text(
        "from kfsecrets_ext.redaction import settings\n"
        f"settings.places = lambda: ('/nowhere', {str(tmp_path / 'guard.json')!r})\n"
    )
    settings(own, '{"guard": "on"}')
    path = root / "test-secret" / "foo"
    with start(own) as kernel:
        assert kernel.run(f"print(open({str(path)!r}).read())").text() == VALUE + "\n"
        said = kernel.ask("kernel_info_request", {}).reply["kfsecrets"]
    assert said["guard"] == ("off" if "off" in text else "on")


def test_it_stands_beside_an_administrator_s_own_configuration(
    own: Environment, start: Start, root: Path
) -> None:
    directory = own.prefix / "etc" / "ipython"
    (directory / "startup").mkdir(parents=True)
    text = (
        "c = get_config()\nc.InteractiveShellApp.extensions = ['autoreload']\n"
        "c.InteractiveShellApp.extra_extensions = ['storemagic']\n"
        "c.InteractiveShellApp.exec_lines = ['mine = 1', '%autoreload 2']\n"
    )
    for name in ("ipython_config", "ipython_kernel_config"):
        (directory / f"{name}.py").write_text(text)
    (directory / "startup" / "00.py").write_text("started = 2\n")
    with start(own) as kernel:
        assert printed(kernel, root) == MARKER
        assert kernel.run("print(mine, started)").text() == "1 2\n"
        assert printed(kernel, root) == MARKER


BREAKAGES = {
    "the package is gone": ("kfsecrets_ext.py", "raise ImportError('no')"),
    "the package is broken": ("kfsecrets_ext/__init__.py", "__version__ = '0'"),
}


@pytest.mark.parametrize("breakage", list(BREAKAGES))
def test_a_guard_that_cannot_load_replaces_outputs_and_says_so(
    own: Environment, start: Start, root: Path, breakage: str
) -> None:
    name, text = BREAKAGES[breakage]
    (own.packages / name).parent.mkdir(exist_ok=True)
    (own.packages / name).write_text(text)
    path = root / "test-secret" / "foo"
    with start(own) as kernel:
        said = kernel.ask("kernel_info_request", {}).reply["kfsecrets"]
        assert said["guard"] == "failed"
        assert "could not be loaded" in said["reason"]
        written = f"import os; n = os.system('cat {path}')"
        read = f"v = open({str(path)!r}).read(); print(v)"
        for code in (read, "v", "1/0", f"!cat {path}", "v?", written):
            cell = kernel.run(code, expressions={"a": "v"})
            assert cell.kinds()[-1] == "status"
            assert cell.reply["status"] == ("error" if code == "1/0" else "ok")
        kernel.ask("complete_request", {"code": "v", "cursor_pos": 1})
        kernel.ask(
            "history_request", {"hist_access_type": "tail", "n": 5, "output": True, "raw": True}
        )
        kernel.later(0.6)
        assert VALUE.encode() not in kernel.logged()
        assert not any(VALUE.encode() in frame for frame in kernel.frames())
        assert "the guard of kfsecrets_ext failed" in str(kernel.run("print('x')").messages)


def test_an_engine_that_raises_replaces_outputs_and_the_kernel_lives(
    made: Environment, start: Start, root: Path
) -> None:
    path = root / "test-secret" / "foo"
    with start(made) as kernel:
        kernel.run(
            "from kfsecrets_ext.redaction import index, redactor, scan, stream\n"
            "def fail(*a, **k): raise RuntimeError('broken')\n"
            "for module in (redactor, stream): module.scan = fail\n"
            "index.Index.is_quiet = fail"
        )
        for code in (f"v = open({str(path)!r}).read(); print(v)", "v", "raise ValueError(v)"):
            cell = kernel.run(code)
            assert cell.kinds()[-1] == "status"
            assert "masking failed" in str(cell.messages) or "failed, so" in str(cell.messages)
        assert not any(VALUE.encode() in frame for frame in kernel.frames())


def test_values_that_are_words_of_the_protocol_do_not_hang_it(
    made: Environment, tmp_path: Path, kubelet: Kubelet
) -> None:
    root = tmp_path / "words"
    root.mkdir()
    words = ("idle", "busy", "status", "stream", "text/plain", "execute_result", "execute_reply")
    words = (*words, "header", "msg_type", "content", "jupyter.widget", "update", "comm_open")
    kubelet.write_secret(root / "words", {f"k{n}": word for n, word in enumerate(words)})
    with running(made, tmp_path / "kernel", root) as kernel:
        assert kernel.run("print('hello')").text() == "hello\n"
        cell = kernel.run("1 + 1", expressions={"a": "2"})
        assert cell.contents("execute_result")[0]["data"]["text/plain"] == "2"
        assert cell.reply["user_expressions"]["a"]["data"] == {"text/plain": "2"}
        assert cell.kinds() == ["status", "execute_input", "execute_result", "status"]
        opened = kernel.run("import ipywidgets; w = ipywidgets.Text('x'); w").contents("comm_open")
        assert {one["target_name"] for one in opened} == {"jupyter.widget"}
        assert kernel.run("print('idle')").text() == "[redacted:words/k0]\n"


def test_no_other_python_pays_for_more_than_the_hook(made: Environment) -> None:
    code = "import sys; print([m for m in sys.modules if 'kfsecrets' in m])"
    loaded = subprocess.run([made.python, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout == "['_kfsecrets_guard']\n"


def test_without_the_hook_s_files_nothing_is_left_of_it(own: Environment, start: Start) -> None:
    for name in BESIDE:
        (own.packages / name).unlink()
    with start(own) as kernel:
        assert "kfsecrets" not in kernel.ask("kernel_info_request", {}).reply


CLIENTS = {
    "nbconvert": (
        *("-m", "nbconvert", "--to", "notebook", "--execute", "book.ipynb"),
        *("--output", "done.ipynb"),
    ),
    "nbclient": (
        "-c",
        """
import nbclient, nbformat
book = nbformat.read("book.ipynb", 4)
nbclient.execute(book)
nbformat.write(book, "done.ipynb")
""",
    ),
    "papermill": ("-m", "papermill", "--log-output", "book.ipynb", "done.ipynb"),
}


@pytest.mark.parametrize("client", list(CLIENTS))
def test_it_is_on_under_clients_that_are_no_browser(
    made: Environment, root: Path, tmp_path: Path, client: str
) -> None:
    path = root / "test-secret" / "foo"
    source = f"v = open({str(path)!r}).read()\nprint(v)\n!cat {path}\nv"
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": source, "outputs": []}
    metadata = {"kernelspec": {"name": "guarded", "display_name": "g", "language": "python"}}
    book = {"cells": [{**cell, "execution_count": None}], "metadata": metadata}
    work = tmp_path / "work"
    install_specification(made, work)
    (work / "book.ipynb").write_text(json.dumps({**book, "nbformat": 4, "nbformat_minor": 5}))
    env = {**variables(work, root), "JUPYTER_DATA_DIR": str(work / "data")}
    ran = subprocess.run(
        [made.python, *CLIENTS[client]], cwd=work, env=env, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    done = (work / "done.ipynb").read_text()
    assert done.count(MARKER) == 3
    for directory, _, files in os.walk(work):
        for name in files:
            assert VALUE.encode() not in (Path(directory) / name).read_bytes(), name


def test_it_is_on_under_jupyter_console(made: Environment, root: Path, tmp_path: Path) -> None:
    path = root / "test-secret" / "foo"
    work = tmp_path / "work"
    install_specification(made, work)
    typed = f"v = open({str(path)!r}).read()\nprint('printed', v)\nv\n!cat {path}\nexit\n"
    errors = work / "errors"
    with (
        errors.open("wb") as sink,
        subprocess.Popen(
            [made.python, "-m", "jupyter_console", "--simple-prompt", "--kernel", "guarded"],
            cwd=work,
            env={**variables(work, root), "JUPYTER_DATA_DIR": str(work / "data")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sink,
            text=True,
        ) as console,
    ):
        assert console.stdout is not None
        before = ""
        try:
            while not before.endswith("In [1]: "):
                one = console.stdout.read(1)
                assert one, errors.read_text()
                before += one
            # It may ask before it hears iopub, and wait for ever for an "idle" that it missed.
            [connection] = (work / "runtime").glob("kernel-*.json")
            iopub = json.loads(connection.read_text())["iopub_port"]
            while iopub not in _connected(console.pid):
                assert console.poll() is None, errors.read_text()
                time.sleep(0.1)
            time.sleep(2)
            shown, _ = console.communicate(typed, timeout=300)
        finally:
            console.kill()
    assert console.returncode == 0, errors.read_text()
    assert shown.count(MARKER) == 3, shown
    assert VALUE not in before + shown + errors.read_text()


def _connected(process: int) -> set[int]:
    """Return the ports that a process is connected to."""
    connections = psutil.Process(process).net_connections("tcp")
    return {one.raddr.port for one in connections if one.status == psutil.CONN_ESTABLISHED}


def test_kernels_that_processes_of_a_pool_start_are_guarded(
    made: Environment, root: Path, tmp_path: Path
) -> None:
    path = root / "test-secret" / "foo"
    work = tmp_path / "work"
    install_specification(made, work)
    (work / "pool.py").write_text(
        "import multiprocessing, nbclient, nbformat\n"
        f"PATH = {str(path)!r}\n"
        "def run(number):\n"
        "    source = f'print({number}, open({PATH!r}).read())'\n"
        "    cells = [nbformat.v4.new_code_cell(source)]\n"
        "    book = nbformat.v4.new_notebook(cells=cells)\n"
        "    nbclient.execute(book, kernel_name='guarded')\n"
        "    return ''.join(one['text'] for one in book.cells[0].outputs)\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(3) as pool:\n"
        "        print(*pool.map(run, range(3)), sep='', end='')\n"
    )
    env = {**variables(work, root), "JUPYTER_DATA_DIR": str(work / "data")}
    ran = subprocess.run(
        [made.python, "pool.py"], cwd=work, env=env, capture_output=True, text=True
    )
    assert ran.stdout == "".join(f"{number} {MARKER}\n" for number in range(3)), ran.stderr


def install_specification(made: Environment, work: Path) -> None:
    """Make an environment's kernel known as ``guarded`` to clients that work in a directory."""
    directory = work / "data" / "kernels" / "guarded"
    directory.mkdir(parents=True)
    argv = [str(made.python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    specification = {"argv": argv, "display_name": "g", "language": "python"}
    (directory / "kernel.json").write_text(json.dumps(specification))


def test_what_is_kept_in_the_package_is_what_the_wheel_installs() -> None:
    assert all((CHECKOUT / "kfsecrets_ext" / "kernel" / one).exists() for one in BESIDE.values())
    # PEP 829: where a .start file is, the .pth's import lines are not run.
    point = (CHECKOUT / "kfsecrets_ext" / "kernel" / "hook.start").read_text().strip()
    module, _, function = point.partition(":")
    line = (CHECKOUT / "kfsecrets_ext" / "kernel" / "hook.pth").read_text().strip()
    assert line == f"import {module}; {module}.{function}()"
