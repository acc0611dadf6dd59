"""What is to be masked in a text, and what in that which is left between masked pieces."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from .compare import WorkLimitError
from .index import Index
from .markers import MARKER, marker, marker_begun, markers
from .passes import Pass
from .ranges import Range, merged

__all__ = ["MARKER", "Range", "Scan", "marker", "scan"]

_MOST_ROUNDS = 32


class Scan(NamedTuple):
    """What was found in a text.

    Attributes
    ----------
    ranges : list of Range
        In order, apart from each other.
    settled : int
        Up to here nothing that may follow the text can change what is found.
    """

    ranges: list[Range]
    settled: int


def scan(
    index: Index,
    text: str,
    *,
    before: str = "",
    final: bool = True,
    settle: bool = False,
    continued: int = 0,
) -> Scan:
    """Find what is to be masked.

    Parameters
    ----------
    index : Index
    text : str
    before : str
        What stood before the text; it is context only.
    final : bool
        Whether the text ends here. Eight characters that begin a value are then masked too.
    settle : bool
        Whether to find out up to where the result is settled.
    continued : int
        So many first characters left earlier, masked as the beginning of a value: what continues
        it is masked even if the value is not completed.

    Raises
    ------
    WorkLimitError
    """
    ranges: list[Range] = []
    position = 0
    for start, end in markers(text, index.labels, index.longest_label) if MARKER in text else ():
        piece = _Piece(index, text[position:start], before=before, after="[", final=False)
        ranges += (one.moved(position) for one in piece.ranges)
        position = end
        before = "]"
        continued = 0
    piece = _Piece(
        index, text[position:], before=before, final=final, settle=settle, continued=continued
    )
    ranges += (one.moved(position) for one in piece.ranges)
    if not settle:
        return Scan(ranges, len(text))
    upto = marker_begun(text, index.labels, index.longest_label, position)
    return Scan(ranges, position + piece.settled(upto - position))


class _Piece:
    """A text without markers, and what is masked in it.

    A masked piece is cut out of the text, and may take half of an escape with it: then what is
    left reads otherwise than before, and is looked at once more, until nothing new is found. So
    the masked text, masked again, stays as it is.
    """

    def __init__(
        self,
        index: Index,
        text: str,
        *,
        before: str,
        after: str = "",
        final: bool,
        settle: bool = False,
        continued: int = 0,
        rounds: int = 0,
    ):
        if rounds > _MOST_ROUNDS:
            raise WorkLimitError("values take each other's escapes")
        self._size = len(text)
        self._whole = Pass(
            index,
            text,
            before=before,
            after=after,
            final=final,
            settle=settle,
            continued=continued,
        )
        self._gaps: list[tuple[int, int, _Piece]] = []
        self._upto = self._size
        self.ranges = self._whole.ranges
        for at in self._whole.begun_in_escapes() if settle else ():
            # What may begin there would be cut out: what stands before it then waits for that.
            left = _Piece(
                index, text[:at], before=before, after="[", final=False, rounds=rounds + 1
            )
            new = [one.start for one in left.ranges if one not in self.ranges]
            self._upto = min([self._upto, *new])
        if not self.ranges:
            return
        sure = self.ranges
        if settle and not final:
            settled = self._whole.settled(self._size)
            sure = [one for one in sure if one.end <= settled]
        edges = [(0, 0), *((one.start, one.end) for one in sure), (self._size, self._size)]
        for (_, start), (end, _) in pairwise(edges):
            first, last = start == 0, end == self._size
            if start == end or all(map(self._whole.cuts_no_escape, (start, end))):
                continue
            gap = _Piece(
                index,
                text[start:end],
                before=before if first else "]",
                after=after if last else "[",
                final=final and last,
                settle=settle and last,
                continued=continued if first else 0,
                rounds=rounds + 1,
            )
            self._gaps.append((start, end, gap))
        if self._gaps:
            found = (one.moved(start) for start, _, gap in self._gaps for one in gap.ranges)
            self.ranges = merged([*self.ranges, *found])

    def settled(self, upto: int) -> int:
        """Return up to where, at most ``upto``, nothing that may follow can change the result."""
        upto = min(upto, self._upto)
        while True:
            at = wanted = self._whole.settled(upto)
            for start, end, gap in reversed(self._gaps):
                if start < at <= end:
                    at = start + gap.settled(at - start)
            if at == wanted:
                return at
            upto = at
