"""The pod's log: what the kernel's own process writes to its stdout and stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from rig.kernels import GENERATIONS, Cell, Kernel, environment, running
from rig.kubelet import Kubelet

pytestmark = pytest.mark.slow

VALUE = "Zx7Qp-cänary-R5vT2w"
MARKER = "[redacted:test-secret/foo]"


@pytest.fixture(scope="module", params=list(GENERATIONS))
def kernel(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kernel]:
    with _started(request.param, tmp_path_factory.mktemp("log")) as kernel:
        yield kernel


@contextmanager
def _started(generation: str, directory: Path, **options: Any) -> Iterator[Kernel]:
    root = directory / "secret"
    root.mkdir()
    with Kubelet() as kubelet:
        kubelet.write_secret(root / "test-secret", {"foo": VALUE})
    with running(environment(generation), directory / "kernel", root, **options) as kernel:
        path = root / "test-secret" / "foo"
        kernel.run(f"import os, sys, subprocess, time\nPATH = {str(path)!r}\nv = open(PATH).read()")
        yield kernel


def eventually(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + 120
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


WRITES = {
    "os.write": "n = os.write(1, f'<{v}>'.encode())",
    "os.write, in halves": """
data = f'<{v}>'.encode()
n = os.write(1, data[:14]); time.sleep(0.5); n = os.write(1, data[14:])
""",
    "os.write, cut in a character": """
data = f'<{v}>'.encode()
n = os.write(1, data[:9]); time.sleep(0.5); n = os.write(1, data[9:])
""",
    "os.system": """n = os.system(f'printf "<%s>" "$(cat {PATH})"')""",
    "C": """
import ctypes
c = ctypes.CDLL(None); n = c.printf(b'<%s>', v.encode()); n = c.fflush(None)
""",
    "the saved descriptor": "n = os.write(sys.stdout.fileno(), f'<{v}>'.encode())",
    "a subprocess": "n = subprocess.run(['printf', '<%s>', v], stdout=sys.stderr)",
    "the old stdout": "n = sys.__stdout__.write(f'<{v}>'); sys.__stdout__.flush()",
    "the kernel's log": "get_ipython().kernel.log.error('<%s>', v)",
    "faulthandler": """
import faulthandler
exec(compile('def ' + 'f():\\n import faulthandler; faulthandler.dump_traceback(sys.__stderr__)',
             f'<{v}>', 'exec')); f()
""",
    "an exception in a hook": """
def hook(): raise ValueError(f'<{v}>')
get_ipython().kernel.io_loop.call_later(0, hook)
""",
}


@pytest.mark.parametrize("write", list(WRITES))
def test_a_value_is_masked_in_the_log(kernel: Kernel, write: str) -> None:
    before = len(kernel.logged())
    kernel.run(WRITES[write])
    ends = [f"<{MARKER}>".encode()]
    if "cut" in write:
        ends = [f"{MARKER}>".encode()]  # seven characters may go before they are a value's
    if write == "faulthandler":
        ends.append(b"\\x")  # it escapes what is not ASCII
    if write != "an exception in a hook":
        logged = kernel.logged
        assert eventually(lambda: any(end in logged()[before:] for end in ends)), logged()[before:]
    kernel.later(0.5)
    assert VALUE.encode() not in kernel.logged()
    assert b"nary-R5vT2w" not in kernel.logged()
    assert not any(VALUE.encode() in frame for frame in kernel.frames())


def test_a_character_across_two_readings_does_not_hide_a_value(kernel: Kernel) -> None:
    position = len(VALUE.encode()[: VALUE.encode().index("ä".encode()) + 1])
    for size in (1000, 65536):
        filler = size - position - 1
        cell = kernel.run(f"n = os.write(1, b'.' * {filler} + b' ' + v.encode() + b'|')")

        def text(later: list[dict[str, Any]], cell: Cell = cell) -> str:
            streams = (one for one in cell.messages + later if one["msg_type"] == "stream")
            return "".join(one["content"]["text"] for one in streams)

        later = kernel.until(lambda later, text=text: f"{MARKER}|" in text(later))
        assert "nary" not in text(later + kernel.later(0.6))


def test_what_is_no_value_reaches_the_log_byte_for_byte(kernel: Kernel, tmp_path: Path) -> None:
    data = bytes(range(256)) * 40 + "päss 密 \U0001f511".encode() * 300
    (tmp_path / "data").write_bytes(data)
    # What is on its way comes before this.
    for number in (1, 2):
        kernel.run(f"n = os.write({number}, b'so far {number}\\n')")
    so_far = (b"so far 1\n", b"so far 2\n")
    assert eventually(lambda: all(one in kernel.logged() for one in so_far)), kernel.logged()
    before = len(kernel.logged())
    kernel.run(f"n = subprocess.run(['cat', {str(tmp_path / 'data')!r}])")
    assert eventually(lambda: len(kernel.logged()) - before >= len(data))
    assert kernel.logged()[before:] == data


@pytest.mark.parametrize("generation", list(GENERATIONS))
def test_the_last_words_of_a_kernel_reach_the_log(generation: str, tmp_path: Path) -> None:
    with _started(generation, tmp_path) as kernel:
        kernel.run("import atexit; atexit.register(lambda: os.write(1, f'bye {v}'.encode()))")
        kernel.client.shutdown()
        kernel.process.wait(300)
        assert f"bye {MARKER}".encode() in kernel.logged()
        assert VALUE.encode() not in kernel.logged()


UNCAPTURED = "--IPKernelApp.capture_fd_output=False"
LAUNCHER = """
import kfsecrets_ext.kernel.guard as guard

def fail(*_): raise RuntimeError("no")

{broken} = fail
from ipykernel import kernelapp
kernelapp.launch_new_instance()
"""
FAILURES = {
    "the package cannot be loaded": ("kfsecrets_ext", "raise ImportError('no')"),
    "nothing can be learned": ("launcher", LAUNCHER.format(broken="guard.Knowledge.start")),
    "the log cannot be masked": ("launcher", LAUNCHER.format(broken="guard.mask_descriptors")),
}


@pytest.mark.parametrize("options", [(), (UNCAPTURED,)], ids=["captured", "uncaptured"])
@pytest.mark.parametrize("failure", list(FAILURES))
@pytest.mark.parametrize("generation", list(GENERATIONS))
def test_a_guard_that_failed_lets_nothing_into_the_log(
    generation: str, failure: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    name, text = FAILURES[failure]
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / f"{name}.py").write_text(text)
    launched = {"module": "launcher"} if name == "launcher" else {}
    env = {"PYTHONPATH": str(broken)}
    with _started(generation, tmp_path, env=env, options=options, **launched) as kernel:
        said = kernel.ask("kernel_info_request", {}).reply["kfsecrets"]
        assert said["guard"] == "failed"
        for write in WRITES.values():
            kernel.run(write)
        kernel.later(0.6)
        assert b"nary-R5vT2w" not in kernel.logged()
        assert not any(b"nary-R5vT2w" in frame for frame in kernel.frames())
        # Whoever looks there for what is wrong finds it.
        assert said["reason"].encode() in kernel.logged()


@pytest.mark.parametrize("generation", list(GENERATIONS))
def test_an_output_that_nobody_can_write_to_any_more_keeps_no_processor_busy(
    generation: str, tmp_path: Path
) -> None:
    with _started(generation, tmp_path, options=(UNCAPTURED,)) as kernel:
        kernel.run("os.dup2(os.open(os.devnull, os.O_WRONLY), 1)")
        process = psutil.Process(kernel.process.pid)
        before = sum(process.cpu_times()[:2])
        kernel.later(3)
        assert sum(process.cpu_times()[:2]) - before < 0.5
        # The other one is masked as before.
        kernel.run("n = os.write(2, f'<{v}>'.encode())")
        assert eventually(lambda: f"<{MARKER}>".encode() in kernel.logged())
