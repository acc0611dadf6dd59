"""The pod's log: what the kernel's own process writes to its stdout and stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rig.kernels import GENERATIONS, Kernel, environment, running
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
def _started(generation: str, directory: Path) -> Iterator[Kernel]:
    root = directory / "secret"
    root.mkdir()
    with Kubelet() as kubelet:
        kubelet.write_secret(root / "test-secret", {"foo": VALUE})
    with running(environment(generation), directory / "kernel", root) as kernel:
        path = root / "test-secret" / "foo"
        kernel.run(f"import os, sys, subprocess, time\nPATH = {str(path)!r}\nv = open(PATH).read()")
        yield kernel


def eventually(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + 30
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
        messages = cell.messages + kernel.later(0.6)
        text = "".join(one["content"]["text"] for one in messages if one["msg_type"] == "stream")
        assert "nary" not in text
        assert f"{MARKER}|" in text


def test_what_is_no_value_reaches_the_log_byte_for_byte(kernel: Kernel, tmp_path: Path) -> None:
    data = bytes(range(256)) * 40 + "päss 密 \U0001f511".encode() * 300
    (tmp_path / "data").write_bytes(data)
    kernel.later(0.5)
    before = len(kernel.logged())
    kernel.run(f"n = subprocess.run(['cat', {str(tmp_path / 'data')!r}])")
    assert eventually(lambda: len(kernel.logged()) - before >= len(data))
    assert kernel.logged()[before:] == data


@pytest.mark.parametrize("generation", list(GENERATIONS))
def test_the_last_words_of_a_kernel_reach_the_log(generation: str, tmp_path: Path) -> None:
    with _started(generation, tmp_path) as kernel:
        kernel.run("import atexit; atexit.register(lambda: os.write(1, f'bye {v}'.encode()))")
        kernel.client.shutdown()
        kernel.process.wait(60)
        assert f"bye {MARKER}".encode() in kernel.logged()
        assert VALUE.encode() not in kernel.logged()
