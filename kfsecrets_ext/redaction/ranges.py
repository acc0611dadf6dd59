"""Pieces of a text: which are masked, merged and looked up."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Joined", "Range", "merged"]


class Range(NamedTuple):
    """A piece of a text that is masked.

    Attributes
    ----------
    start, end : int
        Characters of the text, or bytes where that is said.
    label : str
        Whose value it is.
    rule : str
        In which form, and by which rule, it was found.
    """

    start: int
    end: int
    label: str
    rule: str

    def moved(self, by: int) -> Range:
        """Return the same piece in a text that something stands before."""
        return Range(self.start + by, self.end + by, self.label, self.rule)


def merged(ranges: Iterable[Range]) -> list[Range]:
    """Return ranges in order, those that overlap as one, by the name of the first and longest.

    Of the same range, the name of a whole value comes before that of one it is a part of.
    """
    result: list[Range] = []
    for one in sorted(ranges, key=_order):
        if one.start >= one.end:
            continue
        if result and one.start < result[-1].end:
            if one.end > result[-1].end:
                result[-1] = result[-1]._replace(end=one.end)
        else:
            result.append(one)
    return result


def _order(one: Range) -> tuple[int, int, int, bool, str, str]:
    rule = one.rule
    return one.start, -one.end, rule.count(","), not rule.startswith("value"), one.label, rule


class Joined:
    """What ranges cover, those that touch as one.

    Parameters
    ----------
    ranges : iterable of Range
    """

    __slots__ = ("_ends", "_starts")

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end, *_ in sorted(ranges):
            if self._ends and start <= self._ends[-1]:
                self._ends[-1] = max(end, self._ends[-1])
            else:
                self._starts.append(start)
                self._ends.append(end)

    def covers(self, at: int) -> bool:
        """Tell whether a place is in a range."""
        after = bisect_right(self._starts, at)
        return after > 0 and at < self._ends[after - 1]

    def free_around(self, start: int, end: int, first: int, last: int) -> tuple[int, int]:
        """Return ``first`` and ``last``, or what is nearer to the piece and not covered."""
        after = bisect_right(self._starts, start)
        if after and self._ends[after - 1] > first:
            first = min(start, self._ends[after - 1])
        if after < len(self._starts) and self._starts[after] < last:
            last = max(end, self._starts[after])
        return first, last
