"""Which PodDefaults some labels choose together."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from kfsecrets_ext.poddefaults.choice import Entry, choice, differing_pair, together
from kfsecrets_ext.poddefaults.selectors import selector
from poddefaults.reference import SELECTORS, choices


def chosen_by(value, labels):
    return selector(value).matches(labels)


def every_choice(*selectors):
    return choices([{"spec": {"selector": value}} for value in selectors])


@given(SELECTORS)
def test_a_selector_has_a_choice_exactly_where_some_labels_are_chosen(value):
    some = any(chosen_by(value, labels) for labels in every_choice(value))

    assert (choice(selector(value)) is not None) == some


@given(SELECTORS, SELECTORS)
def test_two_are_together_exactly_where_some_labels_are_chosen_by_both(one, other):
    asked, asked_too = choice(selector(one)), choice(selector(other))

    if asked is not None and asked_too is not None:
        both = any(
            chosen_by(one, labels) and chosen_by(other, labels)
            for labels in every_choice(one, other)
        )
        assert together(asked, asked_too) == both


@settings(deadline=None)
@given(st.lists(st.tuples(SELECTORS, st.sampled_from("123")), max_size=30))
def test_a_differing_pair_is_found_exactly_where_there_is_one(said):
    entries = [
        Entry(number, asked, text)
        for number, (value, text) in enumerate(said)
        if (asked := choice(selector(value))) is not None
    ]
    pairs = {
        frozenset((one.subject, other.subject))
        for one, other in itertools.combinations(entries, 2)
        if one.says != other.says and together(one.choice, other.choice)
    }

    pair = differing_pair(entries)

    assert (pair is not None) == bool(pairs)
    if pair is not None:
        assert pair[0].says != pair[1].says
        assert together(pair[0].choice, pair[1].choice)


def test_a_pair_behind_many_that_one_label_tells_apart_is_found():
    def entry(name, value, says):
        return Entry(name, choice(selector(value)), says)

    teams = [entry(f"t{n}", {"matchLabels": {"team": f"t{n}"}}, f"{n}") for n in range(20)]
    without = {"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}
    inside = {"matchLabels": {"team": "t7", "more": "true"}}

    assert differing_pair(teams) is None
    pair = differing_pair([*teams, entry("a", without, "a"), entry("b", without, "b")])
    assert {one.subject for one in pair} == {"a", "b"}
    pair = differing_pair([*teams, entry("c", inside, "c")])
    assert {one.subject for one in pair} == {"t7", "c"}
