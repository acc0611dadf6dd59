"""Threads, finalizers and handlers that send at the same time: the kernel goes on, in order."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import zmq
from ipykernel.iostream import IOPubThread, OutStream
from rig.kernels import GENERATIONS, Kernel, environment, running
from rig.kubelet import Kubelet

from kfsecrets_ext.kernel.iopub import never_wait, wait_for_room
from kfsecrets_ext.redaction import Redactor
from kfsecrets_ext.redaction.engines import best_engine
from kfsecrets_ext.redaction.record import Record
from kfsecrets_ext.redaction.state import Guarding

VALUE = "Zx7Qp-canary-R5vT2w"
MARKER = "[redacted:test-secret/foo]"


@pytest.fixture(params=list(GENERATIONS))
def kernel(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kernel]:
    root = tmp_path / "secret"
    root.mkdir()
    with Kubelet() as kubelet:
        kubelet.write_secret(root / "test-secret", {"foo": VALUE})
    with running(environment(request.param), tmp_path / "kernel", root) as kernel:
        try:
            kernel.run(f"v = open({str(root / 'test-secret' / 'foo')!r}).read()")
            yield kernel
        finally:
            # One that hangs does not end by itself.
            kernel.process.kill()


@pytest.mark.slow
@pytest.mark.parametrize(
    "thing",
    ["comm.send({'state': i})", "bar.value = i"],
    ids=["comms", "widgets"],
)
def test_threads_that_send_fast_do_not_stop_the_kernel(kernel: Kernel, thing: str) -> None:
    reply = _reply(
        kernel,
        "import threading, ipywidgets\n"
        "from comm import create_comm\n"
        "comm = create_comm(target_name='x')\n"
        "def send():\n"
        "    bar = ipywidgets.IntProgress(max=8000)\n"
        "    for i in range(8000):\n"
        f"        {thing}\n"
        "        if i % 50 == 0: print(i)\n"
        "threads = [threading.Thread(target=send, daemon=True) for _ in range(4)]\n"
        "for one in threads: one.start()\n"
        "for one in threads: one.join()",
    )
    assert reply["status"] == "ok"
    assert kernel.run("print(v)").text() == f"{MARKER}\n"


@pytest.mark.slow
def test_a_finalizer_may_send_while_values_become_known(kernel: Kernel) -> None:
    # As tqdm.notebook does: in a cycle, so that it ends in whatever thread collects garbage.
    reply = _reply(
        kernel,
        "import gc, kfsecrets_ext\n"
        "from comm import create_comm\n"
        "from IPython.display import display\n"
        "comm = create_comm(target_name='x')\n"
        "class Bar:\n"
        "    def __init__(self): self.me = self\n"
        "    def __del__(self): comm.send({'closed': v}); ended.append(self.number)\n"
        "ended = []\n"
        "for number in range(20):\n"
        "    for i in range(100):\n"
        "        kfsecrets_ext.secrets.register(f'{number}/{i}', f'{number} canary {i} R5vT2w')\n"
        "    gc.collect()\n"
        "    bar = Bar(); bar.number = number; del bar\n"
        "    display('hello')",
    )
    assert reply["status"] == "ok"
    assert kernel.run("print(v, '7 canary 7 R5vT2w')").text() == f"{MARKER} [redacted:7/7]\n"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["finalizer", "signal handler"])
def test_what_flushes_while_a_message_is_masked_does_not_wait(kernel: Kernel, how: str) -> None:
    begin = {
        "finalizer": "gc.collect(); Late()",
        "signal handler": "signal.setitimer(signal.ITIMER_REAL, 0.001)",
    }[how]
    cell = kernel.run(
        "import gc, logging, signal, time\n"
        "from IPython.display import display\n"
        "logging.basicConfig()\n"
        "def warn(): logging.warning('late %s', v)\n"
        "def handle(number, frame):\n"
        "    while frame and frame.f_code.co_name != 'passed': frame = frame.f_back\n"
        "    if frame: warn()\n"
        "    else: signal.setitimer(signal.ITIMER_REAL, 0.001)\n"
        "class Late:\n"
        "    def __init__(self): self.me = self\n"
        "    def __del__(self): warn()\n"
        "signal.signal(signal.SIGALRM, handle)\n"
        "rows = [{'a': f'{i} b'} for i in range(9000)] + [{'a': v}]\n"
        f"{begin}\n"
        "began = time.monotonic()\n"
        "display({'text/plain': 'x', 'application/json': rows}, raw=True)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0)\n"
        "took = time.monotonic() - began",
    )
    assert f"late {MARKER}" in cell.text("stderr")
    assert cell.kinds().count("display_data") == 1
    took = kernel.run("0", expressions={"took": "took"}).reply["user_expressions"]["took"]
    # ipykernel gives up waiting for a flush after 10 s.
    assert float(took["data"]["text/plain"]) < 9
    assert b"timed out" not in kernel.logged()


def _reply(kernel: Kernel, code: str) -> dict[str, Any]:
    """Run what sends more than a client takes: what is dropped of it may be its end."""
    asked = kernel.client.execute(code)
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        kernel.later(0.1)
        with suppress(queue.Empty):
            got = kernel.client.get_shell_msg(timeout=0)
            if got["parent_header"].get("msg_id") == asked:
                content: dict[str, Any] = got["content"]
                # Else what is sent next is dropped, too.
                while kernel.later(0.5):
                    pass
                return content
    raise AssertionError("the kernel hangs")


class Wire:
    """What the thread of iopub sends to: it takes its time."""

    def __init__(self) -> None:
        self.context = zmq.Context.instance()
        self.sent: list[int] = []

    def send_multipart(self, frames: list[int]) -> None:
        time.sleep(0.0001)
        self.sent += frames

    def until(self, count: int) -> list[int]:
        give_up = time.monotonic() + 60
        while len(self.sent) < count and time.monotonic() < give_up:
            time.sleep(0.01)
        return self.sent


@pytest.fixture
def gate() -> Any:
    return threading.RLock()


@pytest.fixture
def iopub(gate: Any) -> Iterator[IOPubThread]:
    class Thread(IOPubThread):
        pass

    class Out(OutStream):
        pass

    never_wait(Thread, Out, gate._is_owned)
    thread = Thread(Wire())
    thread.start()
    yield thread
    thread.stop()


def test_who_holds_the_gate_does_not_wait_for_the_thread_that_waits_for_it(
    gate: Any, iopub: IOPubThread
) -> None:
    def flush() -> None:
        with gate:
            pass

    def send() -> None:
        with gate:
            iopub.schedule(flush)
            for number in range(5000):
                iopub.send_multipart([number])

    _in_time(send)
    assert iopub.socket.until(5000) == list(range(5000))


def test_of_what_threads_send_nothing_is_lost_or_out_of_order_and_little_waits(
    gate: Any, iopub: IOPubThread
) -> None:
    numbers = itertools.count()
    waiting = []

    def send() -> None:
        for _ in range(2000):
            wait_for_room(iopub.background_socket)
            with gate:
                waiting.append(len(iopub._events))
                iopub.background_socket.send_multipart([next(numbers)])

    def send_all() -> None:
        threads = [threading.Thread(target=send, daemon=True) for _ in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()

    _in_time(send_all)
    assert iopub.socket.until(8000) == list(range(8000))
    assert max(waiting) < 2010


def test_who_sends_past_the_gate_waits_for_room_too(iopub: IOPubThread) -> None:
    waiting = []

    def send() -> None:
        for number in range(6000):
            iopub.send_multipart([number])
            waiting.append(len(iopub._events))

    _in_time(send)
    assert max(waiting) < 2010


def test_a_value_that_becomes_known_while_an_index_is_built_is_masked() -> None:
    nested = []

    def engine(*arguments: Any) -> Any:
        if not nested:
            nested.append("")
            redactor.add("late/key", "late-canary-R5vT2w")
            nested.append(redactor.redact(f"{VALUE} late-canary-R5vT2w"))
        return best_engine(*arguments)

    redactor = Redactor(engine=engine)
    redactor.add("test-secret/foo", VALUE)
    _in_time(lambda: nested.append(redactor.redact(VALUE)))
    assert nested[1:] == [f"{MARKER} [redacted:late/key]", MARKER]
    assert redactor.redact(f"{VALUE} late-canary-R5vT2w") == f"{MARKER} [redacted:late/key]"


def test_a_value_may_become_known_while_another_one_does() -> None:
    class Value(bytes):
        def __hash__(self) -> int:
            hashed.append(self)
            # The second time under the lock.
            if len(hashed) == 2:
                record.add("late", b"late")
            return super().__hash__()

    hashed: list[bytes] = []
    record = Record()
    _in_time(lambda: record.add("first", Value(b"first")))
    assert {one.label for one in record.known()} == {"first", "late"}
    assert record.version == 2


def test_what_was_masked_may_be_noted_while_it_is_noted() -> None:
    def now() -> datetime:
        asked.append(1)
        if len(asked) == 1:
            state.note("late", "value")
        return datetime.now(timezone.utc)

    asked: list[int] = []
    state = Guarding(now)
    _in_time(lambda: state.note("first", "value"))
    assert {one.label for one in state.recent()} == {"first", "late"}


def _in_time(call: Callable[[], Any]) -> None:
    """Call in a thread that may hang."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "it hangs"
