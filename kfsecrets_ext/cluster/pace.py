"""How many requests run at once, and when a refused one is sent again."""

from __future__ import annotations

import random
import threading

__all__ = ["Pace", "delay"]

_FIRST, _LONGEST = 0.1, 10.0  # s


class Pace:
    """A limit that is halved when the server is busy, and comes back slowly (AIMD).

    Parameters
    ----------
    most : int
        The limit to begin with; never more than that.
    """

    def __init__(self, most: int) -> None:
        self.limit = float(most)
        self._most = most
        self._running = 0
        self._era = 0
        self._changed = threading.Condition(threading.Lock())

    def enter(self) -> int:
        """Wait until one more request may run; tell when it began, for `leave`."""
        with self._changed:
            # The limit is never below one.
            while self._running >= int(self.limit):
                self._changed.wait()
            self._running += 1
            return self._era

    def leave(self, era: int, *, busy: bool) -> None:
        """Note the end of a request.

        Parameters
        ----------
        era : int
            What `enter` gave.
        busy : bool
            The server had no room for it. Requests that began together count once.
        """
        with self._changed:
            self._running -= 1
            if busy:
                if era == self._era:
                    self._era += 1
                    self.limit = max(1.0, self.limit / 2)
            elif self.limit < self._most:
                self.limit = min(float(self._most), self.limit + 1 / self.limit)
                self._changed.notify()
            self._changed.notify()


def delay(attempt: int, asked: str | None) -> float:
    """Return how long to wait, in seconds.

    Parameters
    ----------
    attempt : int
        How many there were.
    asked : str or None
        The answer's ``Retry-After``.
    """
    jitter = random.random()  # noqa: S311  # no secret
    own: float = min(_LONGEST, _FIRST * 2 ** min(attempt, 10)) * (0.5 + jitter / 2)
    if asked is None or not asked.isdecimal():
        return own
    # who asks for no time at all would be asked without end
    return min(int(asked), 60) * (1 + 0.2 * jitter) or max(_FIRST, own)
