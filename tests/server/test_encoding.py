"""The inventory's JSON text is what the model says, whatever the names."""

from __future__ import annotations

import json
from datetime import datetime, timezone

from hypothesis import given, settings
from hypothesis import strategies as st

from kfsecrets_ext.inventory import Inventory, Key, MountReport, Secret
from kfsecrets_ext.server.encoding import encode, encode_inventory

ANY = st.text(st.characters(exclude_categories=()), max_size=12)
OPTIONAL = st.none() | ANY
KINDS = st.sampled_from(("volume", "subPath", "environment"))
STATES = st.sampled_from(("ready", "stale", "empty", "unreadable", "too-large"))
TIMES = st.none() | st.datetimes(timezones=st.just(timezone.utc)).map(
    lambda time: time.replace(microsecond=0)
)
KEYS = st.builds(Key, ANY, STATES, KINDS, OPTIONAL, OPTIONAL, OPTIONAL, TIMES)
MOUNTS = st.builds(MountReport, KINDS, OPTIONAL, STATES, OPTIONAL, TIMES)


def tuples(of: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(of, max_size=3).map(tuple)


SECRETS = st.builds(Secret, ANY, STATES, OPTIONAL, OPTIONAL, tuples(MOUNTS), tuples(KEYS))


@settings(deadline=None)
@given(st.builds(Inventory, tuples(SECRETS), tuples(ANY), tuples(ANY)))
def test_the_text_is_that_of_the_model(inventory: Inventory) -> None:
    assert encode_inventory(inventory) == encode(inventory.to_json())


@settings(deadline=None)
@given(st.dictionaries(ANY, OPTIONAL))
def test_strict_readers_can_read_whatever_a_file_is_named(body: dict[str, str | None]) -> None:
    encoded = encode(body).decode("utf-8", "strict")
    assert all(not "\ud800" <= letter <= "\udfff" for letter in encoded)
    assert len(json.loads(encoded)) <= len(body)


def test_what_is_no_text_is_shown_as_a_question_mark() -> None:
    assert encode({"name": "a\udcff\ud800b"}) == b'{"name":"a??b"}'


def test_times_are_in_utc_to_the_second() -> None:
    time = datetime(2026, 11, 24, 22, 51, 7, tzinfo=timezone.utc)
    key = Key("foo", "ready", "volume", None, "/secret/test-secret/foo", None, time)
    secret = Secret("test-secret", "ready", None, None, (), (key,))
    assert b'"updated":"2026-11-24T22:51:07Z"' in encode_inventory(Inventory((secret,), ()))
