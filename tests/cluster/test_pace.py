"""How many requests run at once, and how long a refused one waits."""

from __future__ import annotations

import json
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from kfsecrets_ext.cluster.pace import Pace, delay
from kfsecrets_ext.cluster.transport import Transport


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
    for asked, least in (("3", 3), ("100000", 60)):
        assert all(least <= delay(0, asked) <= least * 1.2 for _ in range(50))


def test_who_is_asked_to_come_at_once_waits_all_the_same_and_longer_each_time() -> None:
    for attempt, least in ((0, 0.1), (5, 1.6), (60, 5)):
        assert all(least <= delay(attempt, "0") <= 10 for _ in range(50))


def test_no_number_of_attempts_is_too_large() -> None:
    assert 5 <= delay(5000, None) <= 10
    assert 3 <= delay(5000, "3") <= 3.6


CHANGED = {"reason": "Conflict", "message": "Operation cannot be fulfilled on …"}


def transport(answers: list[tuple[int, dict[str, Any]]]) -> Transport:
    def urlopen(*_: Any, **__: Any) -> Any:
        status, body = answers.pop(0)
        return SimpleNamespace(status=status, data=json.dumps(body).encode(), headers={})

    session: Any = SimpleNamespace(
        pool=SimpleNamespace(urlopen=urlopen), base="", headers={}, until=float("inf"), server="x"
    )
    target: Any = SimpleNamespace(open=lambda: session)
    return Transport(target, 1)


def test_a_quota_that_was_counted_meanwhile_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kfsecrets_ext.cluster.transport.delay", lambda *_: 0.0)
    path = "/api/v1/namespaces/alice/secrets/test?fieldManager=x"
    busy = 409, {**CHANGED, "details": {"name": "q", "kind": "resourcequotas"}}
    answer = transport([busy, busy, (201, {})]).ask("PATCH", path, changes=True)
    assert (answer.status, answer.uncertain) == (201, False)
    # one that never ends is given up
    assert transport([busy] * 20).ask("PATCH", path, changes=True).status == 409
    # and what somebody else wrote is no such thing; a precondition names the kind in another form
    for kind in ("secrets", "Secret"):
        changed = 409, {**CHANGED, "details": {"name": "test", "kind": kind}}
        assert transport([changed]).ask("PATCH", path, changes=True).status == 409
