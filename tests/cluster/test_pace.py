"""How many requests run at once, and how long a refused one waits."""

from __future__ import annotations

import threading

import pytest

from kfsecrets_ext.cluster.pace import Pace, delay


def test_requests_that_were_refused_together_halve_the_limit_once() -> None:
    pace = Pace(16)
    together = [pace.enter() for _ in range(16)]
    for era in together:
        pace.leave(era, busy=True)
    assert pace.limit == 8
    pace.leave(pace.enter(), busy=True)
    assert pace.limit == 4


def test_the_limit_comes_back_slowly_and_never_passes_the_first() -> None:
    pace = Pace(8)
    pace.leave(pace.enter(), busy=True)
    assert pace.limit == 4
    rounds = 0
    while pace.limit < 8:
        pace.leave(pace.enter(), busy=False)
        rounds += 1
    # One more for about as many successes as may run at once.
    assert 4 + 5 + 6 + 7 <= rounds <= 28
    pace.leave(pace.enter(), busy=False)
    assert pace.limit == 8


def test_one_request_may_always_run() -> None:
    pace = Pace(2)
    for _ in range(5):
        pace.leave(pace.enter(), busy=True)
    assert pace.limit == 1
    pace.leave(pace.enter(), busy=False)
    assert pace.limit == 2


def test_who_is_over_the_limit_waits_for_another_to_leave() -> None:
    pace = Pace(1)
    first = pace.enter()
    entered = threading.Event()

    def enter() -> None:
        pace.enter()
        entered.set()

    thread = threading.Thread(target=enter)
    thread.start()
    assert not entered.wait(0.1)
    pace.leave(first, busy=True)
    thread.join()
    assert entered.is_set()


@pytest.mark.parametrize("asked", [None, "", "soon", "-1", "1.5"])
def test_the_wait_grows_to_ten_seconds_where_none_is_asked_for(asked: str | None) -> None:
    for attempt, longest in ((0, 0.1), (1, 0.2), (5, 3.2), (9, 10), (60, 10)):
        waits = [delay(attempt, asked) for _ in range(50)]
        assert all(longest / 2 <= wait <= longest for wait in waits)
        assert len(set(waits)) > 1


def test_as_long_as_is_asked_for_is_waited_and_a_little_more() -> None:
    for asked, least in (("0", 0), ("3", 3), ("100000", 60)):
        assert all(least <= delay(0, asked) <= least * 1.2 for _ in range(50))
