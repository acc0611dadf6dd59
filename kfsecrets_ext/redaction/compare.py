"""Whether a value stands where an anchor of it was found, and how exactly."""

from __future__ import annotations

import re
from bisect import bisect_left
from itertools import pairwise
from typing import NamedTuple

from kfsecrets_ext.values import SecretBytes

from .forms import Form
from .views import DROPPED, ONE_ALPHABET, Folded

__all__ = [
    "LOOSE_DIGITS",
    "Comparer",
    "WorkLimitError",
    "agreeing",
    "is_exact",
    "may_be_loose",
]

LOOSE_DIGITS = 16
"""So many digits, or more, do not meet by chance with separators of any kind between them."""

_LOOSE = 12
_END = 32
_MOST_WORK = 64
_WHITE = b" \t\r\n\x0b\x0c"
# `df`, `reprlib`, `textwrap.shorten` and `%whos` write "...", "[...]" and "<...>".
# Of more dots than three, it begins at each.
_ELLIPSIS = re.compile(rb"[<(]?(?=(\.\.\.|\xe2\x80\xa6)|\.{1,2}\Z)|[<(]\Z")
_SHORTEST_CUT = 16
_LONGEST_CUT = 512
_SEPARATORS = (b" ", b"\n", b"\r\n", b", ", b",", b"', '", b'", "', b"\t")


class WorkLimitError(Exception):
    """Comparing took far longer than the text is long: both repeat themselves at great length."""


class Cut(NamedTuple):
    """Where a form ends that is cut short.

    Attributes
    ----------
    end : int
    sure : bool
        Whether all of the ellipsis is there.
    """

    end: int
    sure: bool


class Comparer:
    """Compares forms with the views of one text, and bounds the work that this takes.

    Parameters
    ----------
    size : int
        How long the text is.
    """

    __slots__ = ("_budget", "_cuts", "_last", "_periods", "_sought")

    def __init__(self, size: int):
        self._budget = _MOST_WORK * (size + (1 << 20))
        self._sought: dict[Form, SecretBytes] = {}
        self._last: dict[Form, tuple[int, int]] = {}
        self._cuts: list[tuple[int, bool]] | None = None
        self._periods: dict[tuple[Form, int], bool] = {}

    def sought(self, form: Form) -> SecretBytes:
        """Return a form as the index sees it."""
        sought = self._sought.get(form)
        if sought is None:
            sought = self._sought[form] = form.sought()
        return sought

    def spend(self, work: int) -> None:
        """Count so many compared bytes.

        Raises
        ------
        WorkLimitError
        """
        self._budget -= work
        if self._budget < 0:
            raise WorkLimitError("the text and a value repeat themselves")

    def next_view(self) -> None:
        """Forget where values stood: what follows is about another view."""
        self._last.clear()
        self._cuts = None

    def stands(self, form: Form, data: bytes, start: int) -> int | None:
        """Tell whether a form stands at a place of a view, which is asked in ascending order.

        Returns
        -------
        int or None
            None where it does not stand; the end of the same form where that overlaps this one
            and is no longer away than it repeats itself; else ``start``.
        """
        sought = self.sought(form)
        end = start + len(sought)
        last = self._last.get(form)
        if last is not None and last[0] < start < last[1]:
            # Over itself, it stands only where it repeats, and then only the new end is compared.
            begin, reached = last
            if not self._repeats(form, sought, start - begin):
                return None
            self.spend(end - reached)
            if data[reached:end] != sought[len(sought) - (end - reached) :]:
                return None
            self._last[form] = (start, end)
            return reached
        # The end first: what repeats itself differs there.
        if data[max(start, end - _END) : end] != sought[-_END:]:
            return None
        self.spend(len(sought))
        if data[start:end] != sought:
            return None
        self._last[form] = (start, end)
        return start

    def begins(self, form: Form, data: bytes, start: int) -> bool:
        """Tell whether all that is there from a place on is the beginning of a form."""
        sought = self.sought(form)
        rest = len(data) - start
        near = min(rest, _END)
        if data[-near:] != sought[rest - near : rest]:
            return False
        self.spend(rest)
        return data[start:] == sought[:rest]

    def cut_short(self, form: Form, data: bytes, start: int) -> Cut | None:
        """Tell where the beginning of a form ends that stands before an ellipsis."""
        cuts = self._cuts
        if cuts is None:
            found = _ELLIPSIS.finditer(data)
            cuts = self._cuts = [(match.start(), match[1] is not None) for match in found]
        which = bisect_left(cuts, (start + _SHORTEST_CUT,))
        if which == len(cuts):
            return None
        at, sure = cuts[which]
        length = at - start
        sought = self.sought(form)
        near = data[at - _SHORTEST_CUT : at]
        if length > _LONGEST_CUT or near != sought[length - _SHORTEST_CUT : length]:
            return None
        self.spend(length)
        if data[start:at] != sought[:length]:
            return None
        # The dots may be the value's own.
        more = agreeing(sought[length:], data[at : start + len(sought)])
        return Cut(at + more, sure)

    def _repeats(self, form: Form, sought: SecretBytes, distance: int) -> bool:
        known = self._periods.get((form, distance))
        if known is None:
            self.spend(len(sought))
            known = sought[distance:] == sought[:-distance]
            self._periods[form, distance] = known
        return known


def is_exact(
    view: bytes, first: int, last: int, written: SecretBytes, around: tuple[bytes, bytes]
) -> bool:
    """Tell whether a piece of a view is a form as written, with nothing in between.

    Parameters
    ----------
    view : bytes
    first, last : int
        The piece, without what folding drops at its edges.
    written : SecretBytes
    around : (bytes, bytes)
        What folding drops at the edges of the form.
    """
    lead, trail = around
    length = len(lead) + last - first + len(trail)
    if length != len(written) or first < len(lead):
        return False
    shown = SecretBytes(view[first - len(lead) : last + len(trail)])
    return shown == written or shown.translate(ONE_ALPHABET) == written.translate(ONE_ALPHABET)


def may_be_loose(form: Form, view: bytes, folded: Folded, start: int, end: int) -> bool:
    """Tell whether what folding dropped within a form may be what separates its characters.

    Of few characters, those of a value may stand by chance in a list or in prose.
    """
    length = end - start
    if length >= (LOOSE_DIGITS if folded.data[start:end].isdigit() else _LOOSE):
        return True
    shown = SecretBytes(view[folded.origin(start) : folded.origin(end - 1) + 1])
    written = SecretBytes(form.written().strip(DROPPED))
    # A quote inside of quotes is written with more quotes.
    if shown.translate(ONE_ALPHABET, b"'\"") == written.translate(ONE_ALPHABET, b"'\""):
        return True
    if _is_separated(shown.translate(ONE_ALPHABET), written.translate(ONE_ALPHABET)):
        return True
    places = [folded.origin(at) for at in range(start, end)]
    gaps = [view[one + 1 : two] for one, two in pairwise(places)]
    return all(gaps) or all(not gap or b"\n" in gap or b"\r" in gap for gap in gaps)


def agreeing(one: bytes, two: bytes) -> int:
    """Return how many first bytes are the same."""
    low, high = 0, min(len(one), len(two))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == two[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _is_separated(shown: bytes, written: bytes) -> bool:
    # A value that holds what folding drops, one character after the other.
    if shown.translate(None, _WHITE) != written.translate(None, _WHITE):
        return any(
            shown == separator.join(written[at : at + 1] for at in range(len(written)))
            for separator in _SEPARATORS
        )
    return len(shown) >= 2 * len(written) - 1
