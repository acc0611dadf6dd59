"""The gate: what is masked, what is not touched, in which order it leaves, what a failure does."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jupyter_client.session import Session

from kfsecrets_ext.kernel.closed import CLOSED
from kfsecrets_ext.kernel.gate import Gate
from kfsecrets_ext.redaction import Redactor

VALUE = "Zx7Qp-canary-R5vT2w"
MARKER = "[redacted:test-secret/foo]"
PROTOCOL = ("idle", "status", "stream", "text/plain", "execute_result", "ok", "stdout", "error")


class NothingNew:
    """Knowledge that never changes."""

    def refresh(self) -> None:
        return

    def unguarded(self) -> list[dict[str, str]]:
        return [{"secret": "a", "key": "b", "reason": "short"}]

    def after_fork(self) -> None:
        return


class Wire:
    """What stands for ipykernel's thread of iopub: keeps what is sent."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.sent: list[dict[str, Any]] = []

    def schedule(self, call: Callable[[], None]) -> None:
        call()

    def send_multipart(self, frames: list[bytes], copy: bool = True) -> None:
        _, parts = self._session.feed_identities(frames)
        self.sent.append(self._session.deserialize(parts))

    def text(self, name: str = "stdout", parent: str | None = None) -> str:
        return "".join(
            one["content"]["text"]
            for one in self.sent
            if one["msg_type"] == "stream"
            and one["content"]["name"] == name
            and parent in (None, one["parent_header"].get("msg_id"))
        )


class Kernel:
    """A Session behind a gate."""

    def __init__(self, *values: str) -> None:
        class Guarded(Session):
            pass

        self.redactor = Redactor()
        for number, value in enumerate(values):
            self.redactor.add("test-secret/foo" if not number else f"test-secret/{number}", value)
        self.gate = Gate(self.redactor, NothingNew())  # type: ignore[arg-type]
        self.gate.close_on(Guarded)
        self.session = Guarded(key=b"key")
        self.wire = Wire(Session(key=b"key"))
        self.class_ = Guarded

    def send(self, kind: str, content: Any, parent: str = "p", **more: Any) -> None:
        header = {"msg_id": parent, "msg_type": "execute_request"}
        self.session.send(self.wire, kind, content, parent={"header": header}, **more)

    def print(self, text: str, name: str = "stdout", parent: str = "p") -> None:
        self.send("stream", {"name": name, "text": text}, parent)

    def last(self) -> dict[str, Any]:
        return self.wire.sent[-1]


@pytest.fixture
def kernel() -> Kernel:
    return Kernel(VALUE)


def test_a_message_that_is_masked_says_so(kernel: Kernel) -> None:
    kernel.send("execute_result", {"data": {"text/plain": f"{VALUE} {VALUE}"}, "metadata": {}})
    assert kernel.last()["content"]["data"] == {"text/plain": f"{MARKER} {MARKER}"}
    masked = [{"label": "test-secret/foo", "rule": "value", "count": 2}]
    assert kernel.last()["metadata"]["kfsecrets"] == {"masked": masked}


def test_a_message_without_a_value_is_left_alone(kernel: Kernel) -> None:
    content = {
        "data": {"text/plain": "x", "application/json": {"a": [1, 2.5, None, True, {"b": "c"}]}},
        "metadata": {"text/plain": {"x": 1}},
        "transient": {"display_id": "d"},
    }
    kernel.send("display_data", content, metadata={"mine": [1]})
    assert kernel.last()["content"] == content
    assert kernel.last()["metadata"] == {"mine": [1]}


@pytest.mark.parametrize(
    "kind",
    [
        *("stream", "display_data", "execute_result", "error", "comm_msg", "execute_reply"),
        *("inspect_reply", "complete_reply", "debug_event", "input_request", "of_tomorrow"),
    ],
)
def test_fields_that_nobody_knows_are_masked_too(kernel: Kernel, kind: str) -> None:
    kernel.send(kind, {"more": VALUE, VALUE: {VALUE: 1}}, metadata={VALUE: VALUE, "engine": VALUE})
    assert VALUE not in str(kernel.last())
    assert str(kernel.last()).count(MARKER) >= 5


@pytest.mark.parametrize("name", ["stdout", "neither"])
def test_metadata_of_printed_text_are_masked_too(kernel: Kernel, name: str) -> None:
    content = {"name": name, "text": f"{VALUE}\n"}
    kernel.send("stream", content, metadata={"mine": VALUE, VALUE: 1})
    kernel.send("status", {"execution_state": "idle"})
    assert kernel.wire.sent[0]["content"]["text"] == f"{MARKER}\n"
    metadata = dict(kernel.wire.sent[0]["metadata"])
    masked = [{"label": "test-secret/foo", "rule": "value", "count": 3}]
    assert metadata.pop("kfsecrets") == {"masked": masked}
    assert metadata == {"mine": MARKER, MARKER: 1}


def test_metadata_of_text_that_waited_are_masked_too(kernel: Kernel) -> None:
    kernel.send("stream", {"name": "stdout", "text": VALUE[:6]}, metadata={"mine": VALUE})
    kernel.send("status", {"execution_state": "idle"})
    assert kernel.wire.text() == VALUE[:6]
    assert kernel.wire.sent[0]["metadata"]["mine"] == MARKER


def test_metadata_that_cannot_be_masked_are_left_out(kernel: Kernel) -> None:
    kernel.gate.failure = "It could not be started."
    kernel.send("stream", {"name": "stdout", "text": VALUE}, metadata={"mine": VALUE})
    assert VALUE not in str(kernel.wire.sent)


def test_numbers_of_the_debugger_are_the_protocol_s() -> None:
    kernel = Kernel("12345678")
    body = {"variables": [{"name": "n", "value": "12345678", "variablesReference": 12345678}]}
    kernel.send("debug_reply", {"type": "response", "seq": 12345678, "body": body})
    content = kernel.last()["content"]
    assert content["seq"] == 12345678
    assert content["body"]["variables"] == [
        {"name": "n", "value": MARKER, "variablesReference": 12345678}
    ]


def test_a_number_that_is_a_value_is_masked_and_a_count_is_not() -> None:
    kernel = Kernel("12345678")
    data = {"application/json": {"n": 12345678}}
    kernel.send("execute_result", {"data": data, "metadata": {}, "execution_count": 12345678})
    assert kernel.last()["content"]["data"] == {"application/json": {"n": MARKER}}
    assert kernel.last()["content"]["execution_count"] == 12345678


def test_what_the_user_holds_is_not_changed(kernel: Kernel) -> None:
    state = {"value": VALUE, VALUE: [VALUE]}
    kernel.send("comm_msg", {"comm_id": "c", "data": {"method": "update", "state": state}})
    assert state == {"value": VALUE, VALUE: [VALUE]}
    assert VALUE not in str(kernel.last())


@pytest.mark.parametrize("how", ["clone", "new"])
def test_later_sessions_are_guarded_too(kernel: Kernel, how: str) -> None:
    session = kernel.session.clone() if how == "clone" else kernel.class_(key=b"key")
    session.send(kernel.wire, "error", {"ename": "E", "evalue": VALUE, "traceback": [VALUE]})
    assert kernel.last()["content"]["evalue"] == MARKER


def test_serializing_alone_is_guarded_too(kernel: Kernel) -> None:
    message = kernel.session.msg("display_data", {"data": {"text/plain": VALUE}, "metadata": {}})
    assert VALUE.encode() not in b"".join(kernel.session.serialize(message))
    assert message["content"]["data"] == {"text/plain": VALUE}


@pytest.mark.parametrize(
    "content",
    [
        {"data": {"application/json": {1: VALUE}}},
        {"data": {"application/json": {"a": (VALUE, {VALUE})}}},
        {"data": {"text/html": iter([VALUE])}},
        {"data": {"application/x-raw": VALUE.encode()}},
        f'{{"data": {{"text/plain": "{VALUE}"}}}}',
        f'{{"data": {{"text/plain": "{VALUE}"}}}}'.encode(),
    ],
    ids=["number as key", "set", "iterator", "bytes", "packed text", "packed bytes"],
)
def test_content_of_any_kind_is_looked_through(kernel: Kernel, content: Any) -> None:
    message = kernel.session.msg("display_data")
    message["content"] = content
    kernel.session.send(kernel.wire, message)
    # "Zx7Qp-canary" in base64, too.
    assert VALUE not in str(kernel.last())
    assert "Wng3UXAtY2Fu" not in str(kernel.last())


def test_buffers_are_looked_through_wherever_the_value_is(kernel: Kernel) -> None:
    quiet = bytes(random.Random(1).randbytes(700_000))
    inside = quiet[:300_000] + VALUE.encode() + quiet[300_000:]
    frames: list[bytes] = []
    kernel.wire.send_multipart = lambda parts, copy=True: frames.extend(map(bytes, parts))  # type: ignore[method-assign]
    content = {"comm_id": "c", "data": {}}
    kernel.send("comm_msg", content, buffers=[VALUE.encode(), memoryview(quiet), inside, b""])
    assert frames[-4:] == [MARKER.encode(), quiet, MARKER.encode(), b""]


def test_a_picture_with_a_value_is_taken_out(kernel: Kernel) -> None:
    import base64

    picture = base64.b64encode(b"\x89PNG" + VALUE.encode()).decode()
    kernel.send("display_data", {"data": {"image/png": picture}, "metadata": {}})
    assert kernel.last()["content"]["data"] == {"text/plain": MARKER}


@pytest.mark.parametrize("value", PROTOCOL)
def test_a_value_that_is_a_word_of_the_protocol_does_not_break_it(value: str) -> None:
    kernel = Kernel(value)
    kernel.send("status", {"execution_state": "idle"})
    assert kernel.last()["content"] == {"execution_state": "idle"}
    kernel.send("execute_reply", {"status": "ok", "execution_count": 1, "payload": []})
    assert kernel.last()["content"]["status"] == "ok"
    assert kernel.last()["msg_type"] == "execute_reply"
    kernel.send("display_data", {"data": {"text/plain": "x"}, "metadata": {"text/plain": {}}})
    assert list(kernel.last()["content"]["data"]) == ["text/plain"]
    kernel.send("comm_open", {"comm_id": "c", "target_name": "jupyter.widget", "data": {}})
    assert kernel.last()["content"]["target_name"] == "jupyter.widget"
    kernel.print("x\n")
    kernel.send("status", {"execution_state": "idle"})
    streams = [one for one in kernel.wire.sent if one["msg_type"] == "stream"]
    assert [one["content"] for one in streams] == [{"name": "stdout", "text": "x\n"}]


def test_what_a_client_in_the_kernel_asks_is_its_own(kernel: Kernel) -> None:
    kernel.send("execute_request", {"code": f"login({VALUE!r})"})
    assert VALUE in kernel.last()["content"]["code"]
    kernel.send("input_request", {"prompt": VALUE, "password": False})
    assert kernel.last()["content"]["prompt"] == MARKER


def test_text_that_waits_goes_before_what_follows_it(kernel: Kernel) -> None:
    for kind in ("display_data", "clear_output", "status", "execute_reply", "input_request"):
        kernel.wire.sent.clear()
        kernel.print(f"text {VALUE[:5]}")
        kernel.send(kind, {"execution_state": "idle"} if kind == "status" else {})
        assert [one["msg_type"] for one in kernel.wire.sent][-1] == kind
        assert kernel.wire.text() == f"text {VALUE[:5]}"


def test_text_that_waits_goes_by_itself_after_a_while(kernel: Kernel) -> None:
    # Nothing goes by itself while the gate is held.
    with kernel.gate.lock:
        kernel.print(f"text {VALUE[:6]}")
        assert kernel.wire.text() != f"text {VALUE[:6]}"
    _wait_for(kernel, f"text {VALUE[:6]}")


def _wait_for(kernel: Kernel, text: str) -> None:
    until = time.monotonic() + 60
    while kernel.wire.text() != text and time.monotonic() < until:
        time.sleep(0.05)
    assert kernel.wire.text() == text


def test_text_that_waits_on_the_other_stream_goes_before_it(kernel: Kernel) -> None:
    kernel.print(f"out {VALUE[:6]}", "stdout")
    kernel.print("err\n", "stderr")
    shown = [(one["content"]["name"], one["content"]["text"]) for one in kernel.wire.sent]
    assert "".join(text for name, text in shown if name == "stdout") == f"out {VALUE[:6]}"
    assert shown[-1] == ("stderr", "err\n")


def test_a_socket_that_is_closed_does_not_end_the_letting_go(kernel: Kernel) -> None:
    class Closed:
        def schedule(self, call: Callable[[], None]) -> None:
            raise AssertionError("not used")

        def send_multipart(self, frames: list[bytes], copy: bool = True) -> None:
            raise OSError("closed")

    parent = {"header": {"msg_id": "x"}}
    content = {"name": "stdout", "text": VALUE[:6]}
    kernel.session.send(Closed(), "stream", content, parent=parent)
    time.sleep(0.5)
    kernel.print(f"text {VALUE[:6]}")
    _wait_for(kernel, f"text {VALUE[:6]}")


def test_sockets_that_are_closed_do_not_keep_what_others_wait_with(kernel: Kernel) -> None:
    class Closed(Wire):
        def send_multipart(self, frames: list[bytes], copy: bool = True) -> None:
            raise OSError("closed")

    content = {"name": "stdout", "text": VALUE[:6]}
    for parent in ("x", "y", "z"):
        closed = Closed(Session(key=b"key"))
        kernel.session.send(closed, "stream", content, parent={"header": {"msg_id": parent}})
    kernel.print(f"text {VALUE[:6]}")
    # Nothing is printed later.
    _wait_for(kernel, f"text {VALUE[:6]}")


def test_text_does_not_wait_where_no_thread_can_be_started(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        kernel.print(f"text {VALUE[:6]}")
        assert kernel.wire.text() == f"text {VALUE[:6]}"
    kernel.print(f"; more {VALUE[:6]}")
    _wait_for(kernel, f"text {VALUE[:6]}; more {VALUE[:6]}")


def test_another_socket_is_not_waited_for_while_the_gate_is_held(kernel: Kernel) -> None:
    held = []

    class Blocking:
        def send_multipart(self, frames: list[bytes], copy: bool = True) -> None:
            held.append(kernel.gate.is_held())

    for kind in ("execute_reply", "comm_msg"):
        kernel.session.send(Blocking(), kind, {"status": "ok", "data": {}})
    assert held == [False, False]


def test_streams_and_parents_are_kept_apart(kernel: Kernel) -> None:
    half = len(VALUE) // 2
    for name in ("stdout", "stderr"):
        for parent in ("p", "q"):
            kernel.print(VALUE[:half], name, parent)
    for name in ("stdout", "stderr"):
        for parent in ("p", "q"):
            kernel.print(VALUE[half:] + ".", name, parent)
    for parent in ("p", "q"):
        kernel.send("status", {"execution_state": "idle"}, parent)
        for name in ("stdout", "stderr"):
            assert kernel.wire.text(name, parent) == f"{MARKER}."


@pytest.mark.parametrize("part", ["redact", "mask"])
def test_a_failure_replaces_the_output_and_never_the_conversation(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def fail(*arguments: Any) -> Any:
        raise MemoryError(VALUE)

    monkeypatch.setattr(kernel.redactor, "redact", fail)
    monkeypatch.setattr(kernel.redactor, "mask", fail)
    monkeypatch.setattr(kernel.gate._channels._redactor, "stream", fail)
    _speak(kernel)


def test_a_failure_to_learn_replaces_the_output(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OSError(VALUE)

    monkeypatch.setattr(kernel.gate._knowledge, "refresh", fail)
    _speak(kernel)


def test_a_guard_that_failed_says_so(kernel: Kernel) -> None:
    kernel.gate.failure = "It could not be started."
    _speak(kernel)
    kernel.send("kernel_info_reply", {"status": "ok", "banner": "b"})
    said = kernel.last()["content"]["kfsecrets"]
    assert (said["guard"], said["reason"]) == ("failed", "It could not be started.")


def _speak(kernel: Kernel) -> None:
    """Have a kernel with a broken guard say all it can; nothing of it may be the user's."""
    kernel.send("status", {"execution_state": "busy"})
    kernel.print(VALUE)
    for kind, content in (
        ("execute_input", {"code": VALUE, "execution_count": 1}),
        ("display_data", {"data": {"text/plain": VALUE}, "metadata": {VALUE: 1}}),
        ("execute_result", {"data": {VALUE: VALUE}, "metadata": {}, "execution_count": 3}),
        ("error", {"ename": VALUE, "evalue": VALUE, "traceback": [VALUE]}),
        ("comm_msg", {"comm_id": "c", "data": {"a": VALUE}}),
        ("execute_reply", {"status": "ok", "execution_count": 3, "payload": [{"a": VALUE}]}),
        ("execute_reply", {"status": "error", "evalue": VALUE, "execution_count": 3}),
        ("inspect_reply", {"status": "ok", "found": True, "data": {"text/plain": VALUE}}),
        ("complete_reply", {"status": "ok", "matches": [VALUE], "cursor_start": 0}),
        ("history_reply", {"status": "ok", "history": [[1, 1, VALUE]]}),
        ("debug_reply", {"type": "response", "command": "x", "body": {"a": VALUE}}),
        ("input_request", {"prompt": VALUE, "password": True}),
        ("a_reply_of_tomorrow", {"status": "ok", "new": VALUE}),
    ):
        kernel.send(kind, content, buffers=[VALUE.encode()])
    kernel.send("status", {"execution_state": "idle"})
    kinds = [one["msg_type"] for one in kernel.wire.sent]
    assert kinds[0] == kinds[-1] == "status"
    assert kinds.count("execute_reply") == 2
    assert "comm_msg" not in kinds
    assert VALUE not in str(kernel.wire.sent)
    assert CLOSED in kernel.wire.text() or "masking failed" in kernel.wire.text()
    replies = [one["content"] for one in kernel.wire.sent if one["msg_type"] == "execute_reply"]
    assert [one["status"] for one in replies] == ["ok", "error"]


def test_threads_that_print_lose_no_text(kernel: Kernel) -> None:
    def say(parent: str) -> None:
        for number in range(200):
            kernel.print(f"{number} {VALUE}\n", parent=parent)

    threads = [threading.Thread(target=say, args=(f"p{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        kernel.send("status", {"execution_state": "idle"}, f"p{number}")
        expected = "".join(f"{line} {MARKER}\n" for line in range(200))
        assert kernel.wire.text(parent=f"p{number}") == expected


_WORD = st.sampled_from([*VALUE, VALUE[:8], VALUE[8:], "\n", " ", "text", "\r", "ä", "\x1b[0m"])
_MESSAGE = st.one_of(
    st.tuples(st.sampled_from(["stdout", "stderr"]), st.lists(_WORD, max_size=6).map("".join)),
    st.tuples(st.just("display_data"), st.text(max_size=12)),
    st.tuples(st.just("clear_output"), st.just("")),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_MESSAGE, max_size=30))
def test_order_and_other_text_are_kept(messages: list[tuple[str, str]]) -> None:
    kernel = Kernel(VALUE)
    for kind, text in messages:
        if kind in ("stdout", "stderr"):
            kernel.print(text, kind)
        elif kind == "clear_output":
            kernel.send(kind, {"wait": False})
        else:
            kernel.send(kind, {"data": {"text/plain": text}, "metadata": {}})
    kernel.send("status", {"execution_state": "idle"})
    shown = [
        (one["content"]["name"], one["content"]["text"])
        if one["msg_type"] == "stream"
        else (one["msg_type"], one["content"].get("data", {}).get("text/plain", ""))
        for one in kernel.wire.sent[:-1]
    ]
    for name in ("stdout", "stderr"):
        said = "".join(text for kind, text in messages if kind == name)
        heard = "".join(text for kind, text in shown if kind == name)
        assert VALUE not in heard
        if not _holds_a_piece(said):
            assert heard == said
    others = [kind for kind, _ in messages if kind not in ("stdout", "stderr")]
    assert [kind for kind, _ in shown if kind not in ("stdout", "stderr")] == others
    streams = ("stdout", "stderr")
    joined = ["".join(text for kind, text in messages if kind == name) for name in streams]
    if not any(map(_holds_a_piece, joined)):
        # Between each two messages of another kind, the same streams in the same order. What
        # continues a piece that went masked has no marker of its own.
        assert _blocks(shown) == _blocks(messages)


def _holds_a_piece(text: str) -> bool:
    """Tell whether a text holds so much of the value that it may be masked."""
    squeezed = "".join(text.replace("\x1b[0m", "").split())
    return any(
        value[at : at + 7] in squeezed
        for value in (VALUE, VALUE[::-1])
        for at in range(len(VALUE) - 6)
    )


def _blocks(messages: list[tuple[str, str]]) -> list[str]:
    """Return the kinds, each run of one stream's texts as one."""
    kinds: list[str] = []
    for kind, text in messages:
        if kind in ("stdout", "stderr") and (not text or (kinds and kinds[-1] == kind)):
            continue
        kinds.append(kind)
    return kinds


@pytest.mark.slow
def test_of_a_hundred_thousand_messages_none_is_lost_changed_or_out_of_order() -> None:
    kernel = Kernel(VALUE, 'p@ss w\\rd "quoted"', "12345678", "text/plain")
    rng = random.Random(20261125)
    words = [
        "text",
        "\n",
        " ",
        "{",
        '"a": 1',
        "\\n",
        "ä",
        "\x1b[31m",
        "\r",
        "%41",
        "&amp;",
        "=",
        "7",
        VALUE,
    ]
    said: list[tuple[str, str]] = []
    for number in range(100_000):
        text = "".join(rng.choices(words, k=rng.randrange(6)))
        kind = rng.choice(["stdout", "stdout", "stderr", "display_data", "error", "comm_msg"])
        if kind in ("stdout", "stderr"):
            kernel.print(text, kind)
        elif kind == "display_data":
            kernel.send(kind, {"data": {"text/plain": text, "application/json": [text]}})
        elif kind == "error":
            kernel.send(kind, {"ename": "E", "evalue": text, "traceback": [text, text]})
        else:
            state = {"value": text, "n": number}
            kernel.send(kind, {"comm_id": "c", "data": {"method": "update", "state": state}})
        said.append((kind, text.replace(VALUE, MARKER)))
    kernel.send("status", {"execution_state": "idle"})
    assert _joined(_heard(kernel.wire.sent[:-1])) == _joined(said)
    assert VALUE not in str(kernel.wire.sent)


def _heard(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    found = []
    for one in messages:
        kind, content = one["msg_type"], one["content"]
        if kind == "stream":
            found.append((content["name"], content["text"]))
        elif kind == "display_data":
            assert content["data"]["application/json"] == [content["data"]["text/plain"]]
            found.append((kind, content["data"]["text/plain"]))
        elif kind == "error":
            found.append((kind, content["evalue"]))
        else:
            found.append((kind, content["data"]["state"]["value"]))
    return found


def _joined(messages: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Join what stands next to each other in one stream: it may be cut elsewhere."""
    found: list[tuple[str, str]] = []
    for kind, text in messages:
        if kind not in ("stdout", "stderr"):
            found.append((kind, text))
        elif text and found and found[-1][0] == kind:
            found[-1] = (kind, found[-1][1] + text)
        elif text:
            found.append((kind, text))
    return found
