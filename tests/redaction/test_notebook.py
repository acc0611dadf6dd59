"""Every place of a notebook that a value can get to is masked, and named in the report."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import nbformat
import pytest
from leaks.oracle import leaks

from kfsecrets_ext.redaction import Redactor

VALUE = "Xk29fJq0Zm4T8vLw"
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4


@pytest.fixture
def known() -> Redactor:
    result = Redactor()
    result.add("s/token", VALUE)
    return result


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def notebook(*outputs: Any, **cell: Any) -> Any:
    made = {
        "cell_type": "code",
        "id": "c1",
        "execution_count": 1,
        "metadata": {},
        "source": "1",
        "outputs": list(outputs),
        **cell,
    }
    return nbformat.from_dict(
        {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {"kernelspec": {"name": "python3", "display_name": "P"}},
            "cells": [made],
        }
    )


def display(**data: Any) -> dict[str, Any]:
    return {
        "output_type": "display_data",
        "metadata": {},
        "data": {name.replace("__", "/"): value for name, value in data.items()},
    }


PLACES = {
    "outputs[0].text": notebook(
        {"output_type": "stream", "name": "stdout", "text": f"x {VALUE}\n"}
    ),
    "outputs[0].text, as lines": notebook(
        {
            "output_type": "stream",
            "name": "stderr",
            "text": ["a\n", f"{VALUE[:8]}", f"{VALUE[8:]}\n"],
        }
    ),
    "outputs[0].data['text/plain']": notebook(display(text__plain=repr(VALUE))),
    "outputs[0].data['text/html']": notebook(display(text__html=f"<b>{VALUE}</b>")),
    "outputs[0].data['image/svg+xml']": notebook(
        {
            "output_type": "display_data",
            "metadata": {},
            "data": {"image/svg+xml": f"<svg>{VALUE}</svg>"},
        }
    ),
    "outputs[0].data['application/json']['a'][1]": notebook(
        display(application__json={"a": [1, VALUE]})
    ),
    "outputs[0].data['application/json'], a key": notebook(display(application__json={VALUE: 1})),
    "outputs[0].data['image/png']": notebook(display(image__png=b64(PICTURE + VALUE.encode()))),
    "outputs[0].data['image/jpeg']": notebook(
        display(image__jpeg=b64(PICTURE + b64(VALUE.encode()).encode()))
    ),
    "outputs[0].evalue": notebook(
        {"output_type": "error", "ename": "E", "evalue": VALUE, "traceback": []}
    ),
    "outputs[0].traceback[0]": notebook(
        {
            "output_type": "error",
            "ename": "E",
            "evalue": "",
            "traceback": [f"\x1b[31m{VALUE}\x1b[0m", "b"],
        }
    ),
    "outputs[0].traceback": notebook(
        {"output_type": "error", "ename": "E", "evalue": "", "traceback": [VALUE[:8], VALUE[8:]]}
    ),
    "outputs[0].data['application/json']['a']": notebook(
        display(application__json={"a": [*VALUE]})
    ),
    "outputs[0].data['application/json'][1]": notebook(
        display(application__json=[["before", VALUE[:5]], VALUE[5:9], [VALUE[9:]]])
    ),
    "cells[0].metadata['tags']": notebook(metadata={"tags": ["a", VALUE[:9], VALUE[9:], "z"]}),
    "outputs[0].metadata['m']": notebook({**display(text__plain="1"), "metadata": {"m": VALUE}}),
    "cells[0].metadata['papermill']['p']": notebook(metadata={"papermill": {"p": VALUE}}),
    "attachments['a.png']": notebook(
        cell_type="markdown", attachments={"a.png": {"image/png": b64(VALUE.encode() + PICTURE)}}
    ),
    "outputs, stdout": notebook(
        {"output_type": "stream", "name": "stdout", "text": VALUE[:8]},
        display(text__plain="between"),
        {"output_type": "stream", "name": "stdout", "text": VALUE[8:]},
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_place_is_masked_and_named(place: str, known: Redactor) -> None:
    made = copy.deepcopy(PLACES[place])
    report = known.redact_notebook(made)
    streams = "".join(
        "".join(one["text"])
        for one in made["cells"][0]["outputs"]
        if one["output_type"] == "stream"
    )
    assert not leaks(json.dumps(made), VALUE.encode())
    assert not leaks(streams, VALUE.encode())
    assert report.masked
    assert not report.left
    assert {one.label for one in report.places} == {"s/token"}
    assert any(place.split(", as", maxsplit=1)[0] in one.where for one in report.places)
    assert not leaks(repr(report), VALUE.encode())


def test_widget_states_and_notebook_metadata_are_masked(known: Redactor) -> None:
    made = notebook()
    made["metadata"]["widgets"] = {
        "application/vnd.jupyter.widget-state+json": {"state": {"id": {"state": {"value": VALUE}}}}
    }
    made["metadata"]["title"] = VALUE
    report = known.redact_notebook(made)
    assert report.masked == 2
    assert VALUE not in json.dumps(made)


def test_options_of_a_widget_that_spell_a_value_become_one_marker(known: Redactor) -> None:
    made = notebook()
    states = {"id": {"state": {"_options_labels": [*VALUE], "index": 0}}}
    made["metadata"]["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": states}}
    report = known.redact_notebook(made)
    states = made["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    assert states == {"id": {"state": {"_options_labels": ["[redacted:s/token]"], "index": 0}}}
    assert report.masked == 1


def test_what_was_appended_to_an_output_widget_becomes_one_marker(known: Redactor) -> None:
    made = notebook(display(text__html=f"<b>{VALUE[:5]}</b>{VALUE[5:]}"))
    outputs = [{"output_type": "stream", "name": "stdout", "text": one} for one in VALUE]
    made["metadata"]["widgets"] = {"state": {"id": {"state": {"outputs": outputs}}}}
    assert known.redact_notebook(made).masked == 2
    texts = [one["text"] for one in made["metadata"]["widgets"]["state"]["id"]["state"]["outputs"]]
    assert "".join(texts) == "[redacted:s/token]"
    assert made["cells"][0]["outputs"][0]["data"]["text/html"] == "<b>[redacted:s/token]</b>"


def test_source_is_reported_or_masked(known: Redactor) -> None:
    made = notebook(source=f"token = '{VALUE}'")
    report = known.redact_notebook(made)
    assert made["cells"][0]["source"] == f"token = '{VALUE}'"
    assert (report.masked, report.left) == (0, 1)
    assert report.places[0].where == "cells[0].source"
    report = known.redact_notebook(made, source="mask")
    assert made["cells"][0]["source"] == "token = '[redacted:s/token]'"
    assert (report.masked, report.left) == (1, 0)


def test_number_that_is_a_value_is_masked() -> None:
    known = Redactor()
    known.add("s/pin", "9081726354")
    made = notebook(display(application__json={"n": 9081726354, "m": 5}))
    known.redact_notebook(made)
    assert made["cells"][0]["outputs"][0]["data"]["application/json"] == {
        "n": "[redacted:s/pin]",
        "m": 5,
    }


def test_notebook_without_a_value_stays_as_it_is(known: Redactor) -> None:
    made = notebook(
        display(
            image__png=b64(PICTURE), text__plain="1", application__json={"a": [1, 2.5, None, True]}
        ),
        {"output_type": "stream", "name": "stdout", "text": ["a\n", "b\n"]},
        {"output_type": "error", "ename": "E", "evalue": "", "traceback": ["a", "b"]},
    )
    before = copy.deepcopy(made)
    assert not known.redact_notebook(made)
    assert made == before


@pytest.mark.parametrize("place", PLACES)
def test_masked_notebook_is_valid_and_is_not_masked_again(place: str, known: Redactor) -> None:
    made = copy.deepcopy(PLACES[place])
    known.redact_notebook(made)
    again = copy.deepcopy(made)
    assert not known.redact_notebook(again)
    assert again == made


def test_failure_masks_all_texts(known: Redactor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kfsecrets_ext.redaction.redactor.scan", lambda *_, **__: 1 / 0)
    made = notebook(
        {"output_type": "stream", "name": "stdout", "text": VALUE}, display(image__png=b64(PICTURE))
    )
    known.redact_notebook(made)
    assert VALUE not in json.dumps(made)
    assert "image/png" not in made["cells"][0]["outputs"][1]["data"]
