"""`admit` against admissions recorded from the real webhook behind a real API server."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from types import MappingProxyType

import pytest

from kfsecrets_ext.poddefaults import admit

CASES = json.loads((Path(__file__).parent / "poddefault_admission.json").read_text())


def frozen(value):
    """Make a read-only copy: whoever writes to it fails."""
    if isinstance(value, dict):
        return MappingProxyType({key: frozen(part) for key, part in value.items()})
    if isinstance(value, list):
        return tuple(frozen(part) for part in value)
    return value


def admitted(case, poddefaults=None):
    return admit(
        case["pod"],
        case["poddefaults"] if poddefaults is None else poddefaults,
        namespace=case["namespace"],
    )


def test_the_recording_is_whole():
    outcomes = {case["expect"]["outcome"] for case in CASES}
    assert len(CASES) == 394
    assert outcomes == {"not called", "unchanged", "mutated", "denied", "broken patch"}


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_pod_comes_out_as_recorded(case):
    expect = case["expect"]
    before = copy.deepcopy(case)

    admission = admitted(case)

    assert admission.outcome == expect["outcome"]
    assert admission.allowed == (expect["outcome"] in {"not called", "unchanged", "mutated"})
    assert list(admission.applied) == expect["applied"]
    assert admission.pod == expect.get("pod", case["pod"])
    found = [
        {"field": c.field, "poddefault": c.poddefault, "on": c.on} for c in admission.conflicts
    ]
    assert found == expect.get("conflicts", [])
    assert bool(admission.invalid) == (expect["api"] == 422)
    assert admission.message
    assert case == before


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_order_of_the_poddefaults_does_not_matter(case):
    shuffled = list(case["poddefaults"])
    random.Random(case["name"]).shuffle(shuffled)

    assert admitted(case, shuffled) == admitted(case, reversed(shuffled)) == admitted(case)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_arguments_are_only_read(case):
    admission = admit(
        frozen(case["pod"]),
        frozen(case["poddefaults"]),
        namespace=frozen(case["namespace"]),
    )

    assert admission.outcome == case["expect"]["outcome"]
    if "pod" in case["expect"]:
        assert admission.pod == case["expect"]["pod"]


REFUSED = [case for case in CASES if case["expect"]["api"] == 422]


@pytest.mark.parametrize("case", REFUSED, ids=[case["name"] for case in REFUSED])
def test_invalid_names_each_thing_the_api_server_named(case):
    recorded = case["expect"]["message"].split(" is invalid: ", 1)[1].strip("[]")
    admission = admitted(case)

    named = ("Not found", "Duplicate value", "no more than 63 bytes")
    assert len(admission.invalid) == sum(recorded.count(what) for what in named)
    for text in admission.invalid:
        place, _, what = text.partition(": ")
        assert place in recorded
        assert what in recorded or "no more than 63 bytes" in what
        assert admission.outcome == "broken patch" or text in admission.message
