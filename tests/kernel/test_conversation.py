"""Kernel and client talk as ever: what holds no value arrives as without the guard, in order."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from rig.kernels import GENERATIONS, Cell, Kernel, environment, running, scratch_environment
from rig.kubelet import Kubelet

pytestmark = pytest.mark.slow

VALUE = "Zx7Qp-canary-R5vT2w"
MARKER = "[redacted:test-secret/foo]"

CELLS = {
    "a first comm": """
import datetime, enum
from comm import create_comm
from IPython.display import clear_output, display
data = {'a': float('nan'), 'b': [float('inf'), -0.0, 1e-7, 0.1 + 0.2], 't': (1, (2,)), 'n': None}
c = create_comm(target_name='x', data=data)
""",
    "dates and bytes": """
c.send({'d': datetime.datetime(2026, 1, 2, 3, 4, 5), 'e': b'abc\\xff', 'f': {1: 2, None: 3}})
""",
    "what is no JSON": "c.send({'s': {1}})",
    "great numbers": "display({'application/json': {'a': 2**70, 'b': 1e300}}, raw=True)",
    "no number": "display({'application/json': {'a': float('nan')}}, raw=True)",
    "own types": """
class S(str): pass
class I(int): pass
class E(enum.IntEnum): a = 1
display({'application/json': {'a': S('x'), 'b': I(5), 'c': E.a, S('k'): 1}}, raw=True)
""",
    "order of keys": "display({'application/json': {'z': 1, 'a': [{'y': 1, 'b': 2}]}}, raw=True)",
    "half a character, shown": "display('a\\ud800b')",
    "dates in metadata": "display('x', metadata={'a': datetime.datetime(2026, 1, 1)})",
    "nothing": "print('', end='', flush=True)",
    "controls": "print('\\x00\\x07\\x1b[0m\\u2028\\r\\n')",
    "a result": "{'a': [1, (2, 3)]}",
    "an error": "1/0",
    "cleared": "print('a'); clear_output(wait=True); print('b')",
    "an update": "h = display('x', display_id='h'); h.update('y')",
    "a progress bar": """
from tqdm import tqdm
for i in tqdm(range(3), bar_format='{n_fmt}/{total_fmt}', mininterval=0, miniters=1): pass
""",
    "an output widget": """
import ipywidgets
w = ipywidgets.Output()
with w: print('a'); display('b')
""",
    "in turn": "for i in range(100): print(i, end=' '); display(i)",
    "captured": "%%capture x\nprint('a')",
    "shown": "x()",
}


@pytest.fixture(scope="module", params=list(GENERATIONS))
def kernels(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Kernel, Kernel]]:
    """Give a kernel with the guard, and one without."""
    directory = tmp_path_factory.mktemp("conversation")
    root = directory / "secret"
    root.mkdir()
    with Kubelet() as kubelet:
        kubelet.write_secret(root / "test-secret", {"foo": VALUE})
    made = environment(request.param)
    bare = scratch_environment(directory / "bare", hook=False, like=made)
    with (
        running(made, directory / "guarded", root) as guarded,
        running(bare, directory / "unguarded", root) as unguarded,
    ):
        assert "kfsecrets" not in unguarded.ask("kernel_info_request", {}).reply
        guarded.run(f"v = open({str(root / 'test-secret' / 'foo')!r}).read()")
        yield guarded, unguarded


@pytest.mark.parametrize("cell", list(CELLS))
def test_what_holds_no_value_arrives_as_without_the_guard(
    kernels: tuple[Kernel, Kernel], cell: str
) -> None:
    if cell != next(iter(CELLS)):
        for kernel in kernels:
            kernel.run(CELLS["a first comm"])
    with_guard, without = (_told(kernel.run(CELLS[cell])) for kernel in kernels)
    assert with_guard == without


def test_an_interrupt_shows_nothing_and_breaks_nothing(kernels: tuple[Kernel, Kernel]) -> None:
    kernel = kernels[0]
    kernel.run("from IPython.display import display")
    bundle = "{'text/plain': v, 'application/json': [v] * 20}"
    loops = (f"display({bundle}, raw=True)", "print(v, 'x' * 50)", "print(v[:9], flush=True)")
    for number in range(12):
        code = f"display('begun')\nwhile True: {loops[number % 3]}"
        asked = kernel.client.execute(code, stop_on_error=False)
        _begun(kernel, asked)
        kernel.later(0.1 + number * 0.013)
        os.kill(kernel.process.pid, signal.SIGINT)
        assert _reply(kernel, asked)["ename"] == "KeyboardInterrupt"
    assert kernel.run("print(v, 1 + 1)").text() == f"{MARKER} 2\n"
    assert not any(VALUE.encode() in frame for frame in kernel.frames())


def test_children_of_a_pool_print_all_that_they_print(kernels: tuple[Kernel, Kernel]) -> None:
    kernel = kernels[0]
    kernel.later(0.5)
    cell = kernel.run(
        "import multiprocessing\n"
        "def say(number): print('child', number, v, flush=True); return number\n"
        "with multiprocessing.get_context('fork').Pool(3) as pool: print(pool.map(say, range(6)))"
    )

    def counts(later: list[dict[str, Any]]) -> list[int]:
        # ipykernel: a child sends each write by itself, so that those of several stand in turn.
        said: dict[str, str] = {}
        for one in (*cell.messages, *later):
            if one["msg_type"] == "stream":
                process = one["header"]["msg_id"].rpartition("_")[0]
                said[process] = said.get(process, "") + one["content"]["text"]
        text = "\n".join(said.values())
        return [text.count(one) for one in ("child", MARKER, "[0, 1, 2, 3, 4, 5]")]

    wanted = [6, 6, 1]
    later = kernel.until(lambda later: counts(later) == wanted)
    assert counts([*later, *kernel.later(1.0)]) == wanted
    assert not any(VALUE.encode() in frame for frame in kernel.frames())


def test_a_great_output_arrives_whole(kernels: tuple[Kernel, Kernel]) -> None:
    code = "text = '0123456789abcdef' * 625_000; print(text + v)"
    assert kernels[0].run(code).text() == "0123456789abcdef" * 625_000 + f"{MARKER}\n"


def _told(cell: Cell) -> list[tuple[str, Any]]:
    """Return what a client was told, but for what differs from run to run."""
    told: list[tuple[str, Any]] = []
    for one in cell.messages:
        kind, content = one["msg_type"], one["content"]
        last = told[-1] if told else None
        if kind == "stream" and last and last[0] == kind and last[1]["name"] == content["name"]:
            told[-1] = (kind, {**content, "text": last[1]["text"] + content["text"]})
        else:
            told.append((kind, content))
    told.append(("reply", cell.reply))
    plain: list[tuple[str, Any]] = _alike(json.loads(json.dumps(told, default=str)))
    return plain


_CHANGING = re.compile(
    r"(?:/tmp/)?ipykernel_\d+/\d+(?:\.py)?|[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f_\-]+|0x[0-9a-f]+"
    r"|\d{4}-\d\d-\d\dT[\d:.]+Z|In\s?\[\d+\]"
)


def _alike(node: Any) -> Any:
    """Take out identifiers, times and counts."""
    if isinstance(node, str):
        return _CHANGING.sub("…", node)
    if isinstance(node, dict):
        # As pairs: the order of keys is the user's.
        return [[key, _alike(child)] for key, child in node.items() if key != "execution_count"]
    return [_alike(child) for child in node] if isinstance(node, list) else node


def _begun(kernel: Kernel, asked: str) -> None:
    """Wait until a cell shows something: before its code runs, interrupts are ignored or lost."""

    def is_there(messages: list[dict[str, Any]]) -> bool:
        one = messages[-1] if messages else None
        return one is not None and (one["msg_type"], one["parent_header"].get("msg_id")) == (
            "display_data",
            asked,
        )

    kernel.until(is_there)


def _reply(kernel: Kernel, asked: str) -> dict[str, Any]:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        # Read, so that what is shown next is not dropped.
        kernel.later(0.1)
        with suppress(queue.Empty):
            got = kernel.client.get_shell_msg(timeout=0)
            if got["parent_header"].get("msg_id") == asked:
                content: dict[str, Any] = got["content"]
                return content
    raise AssertionError("no reply")
