"""A message's content: many texts, texts that hold a value together, what cannot be looked into."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.session import Session
from rig.kernels import GENERATIONS, Cell, Kernel, environment, running
from rig.kubelet import Kubelet

from kfsecrets_ext.kernel.content import Masker
from kfsecrets_ext.kernel.gate import Gate
from kfsecrets_ext.redaction import Redactor

VALUE = "Zx7Qp-canary-R5vT2w"
MARKER = "[redacted:test-secret/foo]"
MANY = {f"field {number}": f"text {number}" for number in range(80)}
APART = "a:b c:d e:f g:h i:j"
"""A value of which folding leaves less than it looks for."""


@pytest.fixture
def masker() -> Masker:
    redactor = Redactor()
    redactor.add("test-secret/foo", VALUE)
    redactor.add("test-secret/apart", APART)
    redactor.add("test-secret/words", "correct/horse/battery/staple")
    return Masker(redactor)


BEGINNINGS = {
    "plain": "key " + VALUE[:10],
    "nothing else": VALUE[:8],
    "coloured": "key \x1b[31m" + VALUE[:10] + "\x1b[0m",
    "in a URL": "https://example.org/%20?key=" + VALUE[:10],
    "escaped": "key Zx7Qp\\u002dcana",
    "percent": "key Zx7Qp%2Dcana",
    "beside a NUL": "key \0" + VALUE[:10],
    "apart": "key " + APART[:10],
    "apart, coloured": "key \x1b[31m" + APART[:10] + "\x1b[0m",
    "of words": "key correct/horse/batt",
}


@pytest.mark.parametrize("quiet", [True, False], ids=["quiet", "with an escape"])
@pytest.mark.parametrize("beginning", list(BEGINNINGS))
def test_the_beginning_of_a_value_ends_a_text_of_many_as_of_few(
    masker: Masker, beginning: str, quiet: bool
) -> None:
    node = {"text": BEGINNINGS[beginning]} | ({} if quiet else {"path": "C:\\users\\me"})
    few = masker.walk(node)
    assert "[redacted:test-secret/" in few["text"]
    assert masker.walk({**node, **MANY}) == {**few, **MANY}
    assert masker.walk([MANY, node, MANY]) == [MANY, few, MANY]


def test_many_texts_that_hold_nothing_are_left_alone(masker: Masker) -> None:
    node = {**MANY, "number": 1.5, "none": None, "path": "C:\\new", "has": f"{VALUE[:10]} in it"}
    assert masker.walk(node) is node
    assert not masker.found


SPREAD: dict[str, tuple[list[Any], list[Any]]] = {
    "characters": ([*VALUE], [MARKER]),
    "pieces": ([VALUE[at : at + 4] for at in range(0, len(VALUE), 4)], [MARKER]),
    "halves": ([VALUE[:9], VALUE[9:]], [MARKER]),
    "backwards": ([*VALUE[::-1]], [MARKER]),
    "among others": (["one", *VALUE, "two\nthree"], ["one", MARKER, "two\nthree"]),
    "in sentences": ([f"it is {VALUE[:9]}", f"{VALUE[9:]}, yes"], [f"it is {MARKER}, yes"]),
    "twice": ([*VALUE, "and", *VALUE], [MARKER, "and", MARKER]),
    "rows": ([[one] for one in VALUE], [MARKER]),
    "rows of two": ([[*VALUE[at : at + 2]] for at in range(0, len(VALUE), 2)], [MARKER]),
    "a whole one beside it": ([VALUE, *VALUE], [MARKER, MARKER]),
}


@pytest.mark.parametrize("others", [{}, MANY], ids=["few", "many"])
@pytest.mark.parametrize("spread", list(SPREAD))
def test_a_value_spread_over_a_list_leaves_one_marker(
    masker: Masker, spread: str, others: dict[str, str]
) -> None:
    given, expected = SPREAD[spread]
    assert masker.walk({"list": given, **others}) == {"list": expected, **others}
    assert masker.walk({"list": tuple(given), **others}) == {"list": expected, **others}
    assert sum(masker.found.values()) == 2 * str(expected).count(MARKER)


def stream(text: str, name: str = "stdout") -> dict[str, str]:
    return {"output_type": "stream", "name": name, "text": text}


@pytest.mark.parametrize("size", [1, 3, 9])
def test_a_value_that_is_appended_to_an_output_widget_leaves_one_marker(
    masker: Masker, size: int
) -> None:
    pieces = [stream(VALUE[at : at + size]) for at in range(0, len(VALUE), size)]
    around = [stream("before\n"), stream("an error", "stderr"), {"output_type": "display_data"}]
    given = [*around, *pieces, stream("after", "stderr"), *[stream("x", "stderr")] * 70]
    content = {"data": {"method": "update", "state": {"outputs": given}, "buffer_paths": []}}
    shown = masker.content("comm_msg", content)["data"]["state"]["outputs"]
    assert shown == [*around, stream(MARKER), stream("after", "stderr"), *given[-70:]]
    quiet = [*around, *[stream("one "), stream("two")] * 40]
    content["data"]["state"] = {"outputs": quiet}
    assert masker.content("comm_msg", content) == content


@pytest.mark.parametrize("others", [{}, MANY], ids=["few", "many"])
def test_what_markup_hides_is_masked_in_messages_of_few_and_of_many_texts(
    masker: Masker, others: dict[str, str]
) -> None:
    hidden = f"<b>{VALUE[:6]}</b>{VALUE[6:]}"
    data = {"text/html": hidden, "application/json": {"a": [hidden, "b"], **others}}
    shown = masker.content("display_data", {"data": data, "metadata": {}})["data"]
    assert shown["text/html"] == f"<b>{MARKER}</b>"
    assert shown["application/json"] == {"a": [f"<b>{MARKER}</b>", "b"], **others}
    assert masker.found["test-secret/foo", "value"] == 2


@given(
    st.lists(st.integers(0, len(VALUE)), max_size=len(VALUE)),
    st.lists(st.sampled_from(["one", "two three", "", "4", "{", "\n"]), max_size=3),
    st.lists(st.sampled_from(["one.", "=", "\u00e4", "a b"]), max_size=3),
)
def test_however_it_is_cut_none_of_it_is_left(
    cuts: list[int], before: list[str], after: list[str]
) -> None:
    redactor = Redactor()
    redactor.add("test-secret/foo", VALUE)
    edges = [0, *sorted(cuts), len(VALUE)]
    pieces = [VALUE[start:end] for start, end in pairwise(edges)]
    masked = Masker(redactor).walk([*before, "|", *pieces, "|", *after])
    middle = masked[masked.index("|") + 1 : -masked[::-1].index("|") - 1]
    assert [one for one in middle if one.strip()] == [MARKER]
    assert masked[: len(before) + 1] == [*before, "|"]
    assert masked[len(masked) - len(after) :] == after


@pytest.mark.parametrize(
    "node",
    [[], [""], [[]], ["a", "b"], [*"ponmlkji"], [[1, "a"], [2, "b"]], [*VALUE[:7]], [None, *"ab"]],
    ids=str,
)
def test_lists_that_hold_nothing_keep_their_form(masker: Masker, node: list[Any]) -> None:
    assert masker.walk({"list": node}) == {"list": node}


def test_a_widget_s_state_keeps_its_buffers(masker: Masker) -> None:
    state = {"_options_labels": [*VALUE], "index": 3, "parts": [None, "x"], "_model_name": "M"}
    data = {"method": "update", "state": state, "buffer_paths": [["parts", 0]]}
    shown = masker.content("comm_msg", {"comm_id": "c", "data": data})["data"]
    assert shown == {**data, "state": {**state, "_options_labels": [MARKER]}}


def test_lines_of_a_traceback_are_masked_each_and_together(masker: Masker) -> None:
    lines = ["one", f"key {VALUE[:10]}", "two\nthree", f"in {VALUE[:9]}", f"{VALUE[9:]}.", VALUE]
    shown = masker.content("error", {"traceback": lines})["traceback"]
    assert shown == ["one", f"key {MARKER}", "two\nthree", f"in {MARKER}.", MARKER]


UNPACKED = {
    "data": ("display_data", {"data": {"application/x-raw": VALUE.encode()}, "metadata": {}}),
    "deep": ("display_data", {"data": {"application/json": {"a": [{"b": VALUE.encode()}]}}}),
    "a key": ("display_data", {"data": {"application/json": {VALUE.encode(): 1}}}),
    "a count": ("execute_result", {"data": {}, "execution_count": VALUE.encode()}),
    "a name": ("comm_msg", {"data": {"method": "update", "state": {"_model_x": VALUE.encode()}}}),
    "a path": ("comm_msg", {"data": {"method": "update", "buffer_paths": [[VALUE.encode()]]}}),
    "debugger": ("debug_reply", {"body": {"value": VALUE.encode()}}),
    "another field": ("execute_reply", {"status": "ok", "more": VALUE.encode()}),
}


@pytest.mark.parametrize("packer", ["msgpack", "pickle"])
@pytest.mark.parametrize("place", list(UNPACKED))
def test_what_a_packer_leaves_as_bytes_does_not_pass(
    masker: Masker, place: str, packer: str
) -> None:
    class Guarded(Session):
        pass

    class Nothing:
        def refresh(self) -> None:
            return

    Gate(masker._redactor, Nothing()).close_on(Guarded)  # type: ignore[arg-type]
    session = Guarded(key=b"key", packer=packer)
    kind, content = UNPACKED[place]
    frames = session.serialize(session.msg(kind, content))
    assert VALUE.encode() not in b"".join(frames)
    # A message that cannot do without its content is not sent at all.
    assert b"is not shown" in frames[-1] or kind in ("comm_msg", "execute_reply")


@pytest.fixture(params=list(GENERATIONS))
def kernel(request: pytest.FixtureRequest, tmp_path: Path, kubelet: Kubelet) -> Iterator[Kernel]:
    root = tmp_path / "secret"
    root.mkdir()
    kubelet.write_secret(root / "test-secret", {"foo": VALUE})
    with running(environment(request.param), tmp_path / "kernel", root) as kernel:
        path = root / "test-secret" / "foo"
        kernel.run(f"v = open({str(path)!r}).read()\nfrom IPython.display import JSON, display")
        yield kernel


@pytest.mark.slow
def test_a_value_in_pieces_leaves_no_kernel(kernel: Kernel) -> None:
    def shown(code: str) -> Any:
        [display] = kernel.run(f"display({code})").contents("display_data")
        return display["data"]["application/json"]

    many = "**{f'field {n}': f'text {n}' for n in range(80)}"
    assert shown("JSON(list(v))") == [MARKER]
    assert shown(f"JSON({{'t': list(v), {many}}})") == {"t": [MARKER], **MANY}
    assert shown(f"JSON({{'t': 'key ' + v[:10], {many}}})") == {"t": f"key {MARKER}", **MANY}


@pytest.mark.slow
def test_a_value_given_as_options_leaves_no_kernel_and_the_widget_works(kernel: Kernel) -> None:
    def labels(cell: Cell) -> list[Any]:
        messages = cell.contents("comm_open") + cell.contents("comm_msg")
        states = [one["data"].get("state", {}) for one in messages]
        return [one["_options_labels"] for one in states if "_options_labels" in one]

    made = kernel.run("import ipywidgets\nw = ipywidgets.Dropdown(options=v)\nw")
    assert labels(made) == [[MARKER]]
    assert labels(kernel.run("w.options = [*v, 'other']")) == [[MARKER, "other"]]
    assert labels(kernel.run("w.options = ['a', 'b']")) == [["a", "b"]]
    comm = next(
        one["comm_id"]
        for one in made.contents("comm_open")
        if "_options_labels" in one["data"]["state"]
    )
    update = {"method": "update", "state": {"index": 1}, "buffer_paths": []}
    kernel.ask("comm_msg", {"comm_id": comm, "data": update}, reply=False)
    assert kernel.run("print(w.value)").text() == "b\n"
