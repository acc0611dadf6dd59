"""What comes back: a mask never becomes a value."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rig.kernels import GENERATIONS, Kernel, environment, running
from rig.kubelet import Kubelet

from kfsecrets_ext.kernel.returning import clean

VALUE = "Zx7Qp-canary-R5vT2w"
MARKER = "[redacted:test-secret/foo]"


def message(data: Any, buffers: list[bytes] | None = None) -> dict[str, Any]:
    return {"content": {"comm_id": "c", "data": data}, "buffers": buffers or []}


def test_only_the_fields_that_hold_a_marker_are_left_out() -> None:
    state = {"value": f"x{MARKER}", "more": {"deep": [MARKER]}, MARKER: 1, "description": "d"}
    given = message({"method": "update", "state": state, "buffer_paths": []})
    assert clean(given)
    assert given["content"]["data"]["state"] == {"description": "d", MARKER: 1}


def test_their_buffers_go_with_them() -> None:
    state: dict[str, Any] = {"value": {"a": MARKER}, "other": {}}
    paths = [["value", "b"], ["other", "c"]]
    given = message({"method": "update", "state": state, "buffer_paths": paths}, [b"1", b"2"])
    assert clean(given)
    assert given["content"]["data"]["buffer_paths"] == [["other", "c"]]
    assert given["buffers"] == [b"2"]


@pytest.mark.parametrize(
    "data",
    [{"method": "custom", "content": {"value": MARKER}}, {"value": MARKER}, MARKER, [MARKER]],
)
def test_what_is_no_state_is_not_delivered(data: Any) -> None:
    assert not clean(message(data))


@pytest.mark.parametrize(
    "data", [{}, None, {"method": "custom", "content": {"event": "click"}}, {"a": "[redacted] no"}]
)
def test_what_holds_no_marker_is_left_alone(data: Any) -> None:
    assert clean(message(data)) == ("[redacted]" not in str(data))


@pytest.fixture(params=list(GENERATIONS))
def kernel(
    request: pytest.FixtureRequest, tmp_path: Path, kubelet: Kubelet
) -> Iterator[tuple[Kernel, str]]:
    root = tmp_path / "secret"
    root.mkdir()
    kubelet.write_secret(root / "test-secret", {"foo": VALUE})
    with running(environment(request.param), tmp_path / "kernel", root) as kernel:
        path = root / "test-secret" / "foo"
        opened = kernel.run(
            f"import ipywidgets\nw = ipywidgets.Password(value=open({str(path)!r}).read())\n"
            "sent = []\nw.on_msg(lambda _, content, buffers: sent.append(content))\nw"
        ).contents("comm_open")
        yield kernel, opened[-1]["comm_id"]


@pytest.mark.slow
def test_a_masked_value_that_a_form_sends_back_is_not_stored(kernel: tuple[Kernel, str]) -> None:
    running, comm = kernel

    def change(data: dict[str, Any]) -> None:
        running.ask("comm_msg", {"comm_id": comm, "data": data}, reply=False)

    change({"method": "update", "state": {"value": MARKER, "disabled": True}, "buffer_paths": []})
    change({"method": "update", "state": {"value": f"my {MARKER}"}, "buffer_paths": []})
    change({"method": "custom", "content": {"value": MARKER}})
    change({"method": "custom", "content": {"value": "mine"}})
    known = running.run(f"print(w.value == {VALUE!r}, w.disabled, sent)").text()
    assert known == "True True [{'value': 'mine'}]\n"
    change({"method": "update", "state": {"value": "typed anew"}, "buffer_paths": []})
    assert running.run("print(w.value)").text() == "typed anew\n"


@pytest.mark.slow
def test_what_a_front_end_opens_with_a_masked_value_is_not_opened(
    kernel: tuple[Kernel, str],
) -> None:
    running, _ = kernel
    running.run(
        "opened = []\n"
        "def target(comm, message): opened.append(message['content']['data'])\n"
        "get_ipython().kernel.comm_manager.register_target('mine', target)"
    )
    for number, data in enumerate(
        ({"value": MARKER}, {"value": "mine"}, {"state": {"value": MARKER, "more": 1}})
    ):
        content = {"comm_id": f"c{number}", "target_name": "mine", "data": data}
        running.ask("comm_open", content, reply=False)
    known = running.run("print(opened)").text()
    assert known == "[{'value': 'mine'}, {'state': {'more': 1}}]\n"
