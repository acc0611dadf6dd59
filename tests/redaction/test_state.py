"""What the guard masked lately, as the widget and the magic show it."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone

from kfsecrets_ext.redaction.state import Guarding, Mask, guarding

NOON = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)


def test_a_process_without_a_guard_says_so() -> None:
    assert Guarding().state is None
    assert Guarding().recent() == ()


def test_what_was_announced_last_counts() -> None:
    state = Guarding()
    state.announce("failed", "No index.")
    assert (state.state, state.reason) == ("failed", "No index.")
    state.announce("on")
    assert (state.state, state.reason) == ("on", None)


def test_masks_are_counted_by_label_and_rule_the_latest_first() -> None:
    times = iter(NOON + timedelta(seconds=second) for second in range(10))
    state = Guarding(lambda: next(times))
    state.note("a/b", "value")
    state.note("c/d", "value", 2)
    state.note("a/b", "value, hex")
    state.note("a/b", "value", 3)
    assert state.recent() == (
        Mask("a/b", "value", 4, NOON + timedelta(seconds=3)),
        Mask("a/b", "value, hex", 1, NOON + timedelta(seconds=2)),
        Mask("c/d", "value", 2, NOON + timedelta(seconds=1)),
    )


def test_only_the_latest_are_kept() -> None:
    state = Guarding()
    for number in range(1000):
        state.note(f"a/{number}", "value")
    assert [mask.label for mask in state.recent()][:2] == ["a/999", "a/998"]
    assert len(state.recent()) == 50


def test_threads_lose_no_mask() -> None:
    state = Guarding()

    def work() -> None:
        for _ in range(2000):
            state.note("a/b", "value")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [mask.count for mask in state.recent()] == [8000]


def test_there_is_one_a_process() -> None:
    assert guarding() is guarding()
