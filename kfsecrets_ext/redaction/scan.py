"""Where known values stand in a text: anchors found, verified, extended, merged."""

from __future__ import annotations

import base64
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from kfsecrets_ext.values import SecretBytes

from .fields import LONGEST_LINE, find_fields
from .forms import ANCHOR, RUN, Form, edges
from .index import Index, Part
from .parts import is_common, looks_random
from .views import (
    DROPPED,
    KINDS,
    ONE_ALPHABET,
    Folded,
    Layer,
    Source,
    begun,
    drop_invisible,
    fold,
    may_be_escaped,
    unescape,
)

__all__ = ["MARKER", "Range", "Scan", "marker", "scan"]

MARKER = "[redacted:"
"""How every marker begins."""

# JSON in JSON in JSON in a string: one more than what is met.
_DEEPEST = 4
_LONGEST_RUN = 4096
_SHORTEST_PIECE = 12
# Without separators of one kind, fewer characters than this may meet by chance.
_LOOSE = 12
_LOOSE_DIGITS = 16
_MOST_WORK = 64


class Range(NamedTuple):
    """A piece of a text that is masked.

    Attributes
    ----------
    start, end : int
        Characters of the text.
    label : str
        Whose value it is.
    rule : str
        In which form, and by which rule, it was found.
    """

    start: int
    end: int
    label: str
    rule: str


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


class WorkLimitError(Exception):
    """Comparing took far longer than the text is long: both repeat themselves at great length."""


def marker(label: str) -> str:
    """Return the text that stands for a value.

    Parameters
    ----------
    label : str
        Secret and key, for example ``"test-secret/foo"``.

    Returns
    -------
    str
        The same for every value that the label ever had.
    """
    return f"{MARKER}{label}]"


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
    if MARKER not in text and not (settle and "[" in text[-_longest_marker(index) :]):
        return _Pass(
            index, text, before=before, final=final, settle=settle, continued=continued
        ).result()
    ranges: list[Range] = []
    position = 0
    for start, end in _markers(index, text):
        piece = _Pass(
            index, text[position:start], before=before, final=False, settle=False, after="["
        ).result()
        ranges += (_moved(one, position) for one in piece.ranges)
        position = end
        before = "]"
    piece = _Pass(index, text[position:], before=before, final=final, settle=settle).result()
    ranges += (_moved(one, position) for one in piece.ranges)
    settled = min(piece.settled + position, _marker_begun(index, text, position))
    for one in reversed(ranges):
        if one.start < settled < one.end:
            settled = one.start
    return Scan(ranges, settled)


def _moved(one: Range, by: int) -> Range:
    return Range(one.start + by, one.end + by, one.label, one.rule)


def _longest_marker(index: Index) -> int:
    return len(MARKER) + index.longest_label + 1


def _markers(index: Index, text: str) -> Iterator[tuple[int, int]]:
    start = text.find(MARKER)
    while start >= 0:
        first = start + len(MARKER)
        end = text.find("]", first)
        found = -1
        while 0 <= end <= first + index.longest_label:
            if text[first:end] in index.labels:
                found = end + 1
            end = text.find("]", end + 1)
        if found >= 0:
            yield start, found
        start = text.find(MARKER, max(found, start + 1))


def _marker_begun(index: Index, text: str, position: int) -> int:
    first = max(position, len(text) - _longest_marker(index))
    at = text.find("[", first)
    while at >= 0:
        rest = text[at:]
        if MARKER.startswith(rest[: len(MARKER)]) and any(
            marker(label).startswith(rest) and len(rest) < len(marker(label))
            for label in index.labels
        ):
            return at
        at = text.find("[", at + 1)
    return len(text)


class _Bounded(NamedTuple):
    start: int
    end: int
    label: str
    rule: str
    left: int
    right: int
    never: bool


class _Pass:
    """One text, looked at in all its layers."""

    def __init__(
        self,
        index: Index,
        text: str,
        *,
        before: str,
        final: bool,
        settle: bool,
        continued: int = 0,
        after: str = "",
    ):
        self._index = index
        self._text = text
        self._before = before
        self._final = final
        self._settle = settle
        self._layers: list[Layer] = []
        self._chains: list[list[Layer]] = []
        self._view = b""
        self._depth = 0
        self._unsure = False
        self._found: list[tuple[int, int, str, str]] = []
        self._bounded: list[_Bounded] = []
        self._encoded: list[tuple[int, int, Form]] = []
        self._sought: dict[Form, SecretBytes] = {}
        self._last: dict[Form, tuple[int, int]] = {}
        self._periods: dict[tuple[Form, int], bool] = {}
        self._continued = continued
        self._after = after
        self._work = 0

    def result(self) -> Scan:
        index, text = self._index, self._text
        self._source = source = Source(text)
        self._open = len(source.data)
        self._chain(source.data)
        if self._unsure:
            # What looks like a control sequence may be the beginning of a value.
            self._chain(source.data, drop=False)
        if index.twisted and may_be_escaped(source.data):
            # A value that holds an escape itself, written with escapes of another kind.
            for kind in KINDS:
                self._chain(source.data, kind)
        fields = (
            list(find_fields(text, index.fields, self._before, self._after)) if index.fields else []
        )
        if not (self._found or self._bounded or self._encoded or fields or self._settle):
            return Scan([], len(text))
        self._accept_bounded()
        ranges = [
            Range(source.character(start), source.character_after(end), label, rule)
            for start, end, label, rule in sorted(
                self._found, key=lambda one: (one[0], -one[1], one[2], one[3])
            )
        ]
        ranges += (Range(start, end, label, "whole field") for start, end, label in fields)
        ranges = _merged(ranges)
        return Scan(ranges, self._settled(ranges) if self._settle else len(text))

    def _chain(self, view: bytes, kind: int | None = None, *, drop: bool = True) -> None:
        layers: list[Layer] = []
        self._layers = layers
        self._chains.append(layers)
        for self._depth in range(_DEEPEST + 1):
            if self._depth:
                layer = unescape(view, kind)
                if layer is None:
                    return
                layers.append(layer)
                view = layer.data
            finished = begun(view) if self._settle or self._final else len(view)
            if finished < len(view):
                # What is open ends before an escape that is not complete.
                self._leave_open(finished)
                self._look_raw(view[:finished])
                if not self._final:
                    view = view[:finished]
            self._look_raw(view)
            # A value may be wrapped in colours, and a colour be written as an escape.
            plain = drop_invisible(view) if drop else None
            if plain is not None:
                self._unsure |= not plain.sure
                layers.append(plain)
                view = plain.data
                self._look_raw(view)
            if self._final:
                finished = begun(view)
                if finished < len(view):
                    self._leave_open(finished)
                    self._look_folded(view[:finished])
            self._look_folded(view)

    # ── one view ────────────────────────────────────────────────────────────

    def _look_folded(self, view: bytes) -> None:
        data = fold(view)
        self._view = view
        self._last.clear()
        folded: Folded | None = None
        for part in self._index.folded:
            hits = part.find(data)
            if hits or self._settle:
                if folded is None:
                    folded = Folded(view, data)
                self._look(part, view, folded, hits)
        if self._index.heads and self._final:
            self._look_for_heads(view)

    def _look(
        self, part: Part, view: bytes, folded: Folded, hits: list[tuple[int, int, int]]
    ) -> None:
        data = folded.data
        for number, start, _ in sorted(hits, key=lambda hit: hit[1]):
            for form, at in part.owners[number]:
                if form.kind.window:
                    if not self._depth:
                        self._look_at_piece(form, at, self._down(folded.origin(start)))
                elif not at:
                    self._look_at_form(form, view, folded, start)
        if self._settle:
            suffix = part.begun(data)
            self._leave_open_in(view, folded.origin(suffix) if suffix < len(data) else len(view))

    def _look_at_form(self, form: Form, view: bytes, folded: Folded, start: int) -> None:
        data = folded.data
        sought = self._form(form)
        length = len(sought)
        end = start + length
        if end <= len(data):
            last = self._last.get(form)
            if last is not None and last[0] < start < last[1]:
                self._accept_again(form, folded, sought, start, last)
            elif self._stands(form, data, sought, start):
                self._accept(form, view, folded, start, end)
            elif self._continued:
                self._accept_continued(form, folded, start, sought)
            return
        rest = len(data) - start
        # The end first: what repeats itself differs there.
        near = min(rest, 32)
        open_ = data[-near:] == sought[rest - near : rest]
        if open_:
            self._spend(rest)
            open_ = data[start:] == sought[:rest]
        if open_:
            self._leave_open_in(view, folded.origin(start))
            if self._final and rest >= min(ANCHOR, length):
                self._accept_beginning(form, view, folded, start, sought)
        elif self._continued:
            self._accept_continued(form, folded, start, sought)

    def _stands(self, form: Form, data: bytes, sought: SecretBytes, start: int) -> bool:
        end = start + len(sought)
        if data[max(start, end - 32) : end] != sought[-32:]:
            return False
        self._spend(len(sought))
        if data[start:end] != sought:
            return False
        self._last[form] = (start, end)
        return True

    def _accept_again(
        self, form: Form, folded: Folded, sought: SecretBytes, start: int, last: tuple[int, int]
    ) -> None:
        # Over itself, it stands only where it repeats, and then only the new end is compared.
        begin, reached = last
        end = start + len(sought)
        if not self._repeats(form, sought, start - begin):
            return
        self._spend(end - reached)
        if folded.data[reached:end] == sought[len(sought) - (end - reached) :]:
            self._last[form] = (start, end)
            if form.bounded or len(sought) < _LOOSE_DIGITS:
                self._accept(form, self._view, folded, start, end)
            else:
                first = folded.origin(reached - 1)
                self._mask(first, folded.origin(end - 1) + 1, form, run=form.kind.run)

    def _repeats(self, form: Form, sought: SecretBytes, distance: int) -> bool:
        known = self._periods.get((form, distance))
        if known is None:
            self._spend(len(sought))
            known = sought[distance:] == sought[:-distance]
            self._periods[form, distance] = known
        return known

    def _accept(self, form: Form, view: bytes, folded: Folded, start: int, end: int) -> None:
        first = folded.origin(start)
        last = folded.origin(end - 1) + 1
        written = form.written()
        lead, trail = edges(written)
        exact = self._is_exact(view, first, last, written, (lead, trail))
        if form.kind.run and form.bounded:
            if exact:
                self._encoded.append((self._down(first), self._down_end(last), form))
            return
        if form.bounded:
            if exact:
                first, last = first - len(lead), last + len(trail)
                self._bounded_at(form, view, first, last)
            elif trail.startswith(view[last:]):
                self._leave_open(first - len(lead))
            return
        if not exact and not self._may_be_loose(form, view, folded, start, end):
            return
        if lead and view[max(0, first - len(lead)) : first] == lead:
            first -= len(lead)
        if trail:
            last += _agreeing(trail, view[last : last + len(trail)])
        self._mask(first, last, form, run=form.kind.run)

    def _accept_beginning(
        self, form: Form, view: bytes, folded: Folded, start: int, sought: SecretBytes
    ) -> None:
        first = folded.origin(start)
        last = folded.origin(len(folded.data) - 1) + 1
        written = form.written()
        lead, _ = edges(written)
        length = len(folded.data) - start
        shown = SecretBytes(view[first:])
        exact = written[len(lead) : len(lead) + len(shown)] == shown
        if is_common(sought[:length]):
            return
        if exact or self._may_be_loose(form, view, folded, start, len(folded.data)):
            if lead and view[max(0, first - len(lead)) : first] == lead:
                first -= len(lead)
            self._mask(first, len(view) if exact else last, form, run=form.kind.run, begun=True)

    def _accept_continued(
        self, form: Form, folded: Folded, start: int, sought: SecretBytes
    ) -> None:
        first = self._down(folded.origin(start))
        left = self._source.byte(self._continued)
        if first < left:
            length = _agreeing(sought, folded.data[start : start + len(sought)])
            last = self._down_end(folded.origin(start + length - 1) + 1)
            if last > left:
                self._found.append((first, last, form.label, f"{form.rule}, its beginning"))

    def _is_exact(
        self, view: bytes, first: int, last: int, written: SecretBytes, around: tuple[bytes, bytes]
    ) -> bool:
        lead, trail = around
        length = len(lead) + last - first + len(trail)
        if length != len(written) or first < len(lead):
            return False
        shown = SecretBytes(view[first - len(lead) : last + len(trail)])
        return shown == written or shown.translate(ONE_ALPHABET) == written.translate(ONE_ALPHABET)

    def _may_be_loose(self, form: Form, view: bytes, folded: Folded, start: int, end: int) -> bool:
        length = end - start
        least = _LOOSE_DIGITS if folded.data[start:end].isdigit() else _LOOSE
        if length >= least:
            return True
        # A quote inside of quotes is written with more quotes.
        shown = SecretBytes(view[folded.origin(start) : folded.origin(end - 1) + 1])
        written = SecretBytes(form.written().strip(DROPPED))
        if shown.translate(ONE_ALPHABET, b"'\"") == written.translate(ONE_ALPHABET, b"'\""):
            return True
        places = [folded.origin(at) for at in range(start, end)]
        gaps = [view[one + 1 : two] for one, two in pairwise(places)]
        return all(gaps) or all(not gap or b"\n" in gap or b"\r" in gap for gap in gaps)

    def _look_at_piece(self, form: Form, at: int, place: int) -> None:
        data = self._source.data
        run = form.written()
        size = ANCHOR
        if data[place : place + size] != run[at : at + size]:
            return
        end = place + size + _agreeing(run[at + size :], data[place + size : place + len(run) - at])
        longest = min(at, place)
        start = place - _agreeing(run[at - longest : at][::-1], data[place - longest : place][::-1])
        self._spend(end - start)
        if end - start >= _SHORTEST_PIECE and looks_random(data[start : min(end, start + 4096)]):
            self._found.append((start, end, form.label, form.rule))

    def _look_raw(self, view: bytes) -> None:
        for part in self._index.raw:
            for number, start, _ in part.find(view):
                for form, _at in part.owners[number]:
                    self._look_at_raw(form, view, start)
            if self._settle:
                suffix = part.begun(view)
                if suffix < len(view):
                    self._leave_open(suffix)

    def _look_at_raw(self, form: Form, view: bytes, start: int) -> None:
        sought = self._form(form)
        end = start + len(sought)
        self._spend(len(sought) if view[end - 1 : end] == sought[-1:] else 1)
        if end <= len(view):
            if view[start:end] == sought:
                self._bounded_at(form, view, start, end)
        elif sought.startswith(view[start:]):
            self._leave_open(start)
            if self._final:
                self._mask(start, len(view), form, begun=True)

    def _look_for_heads(self, view: bytes) -> None:
        heads = self._index.heads
        for length in range(min(len(view), 15), ANCHOR - 1, -1):
            suffix = SecretBytes(view[len(view) - length :])
            at = bisect_left(heads, (suffix, "", ""))
            if at < len(heads) and heads[at][0].startswith(suffix):
                _, label, rule = heads[at]
                start, end = self._down(len(view) - length), self._down_end(len(view))
                self._found.append((start, end, label, f"{rule}, its beginning"))
                return

    # ── what was found, in bytes of the text ────────────────────────────────

    def _bounded_at(self, form: Form, view: bytes, first: int, last: int) -> None:
        if not form.bounded:
            self._mask(first, last, form)
            return
        left = _last_character(view[max(0, first - 4) : first])
        if not first:
            left = _last_of(self._before, self._depth)
        right = view[last : last + 4].decode("utf-8", "ignore")[:1]
        # Where the neighbour stands, or -1 where it is none.
        self._bounded.append(
            _Bounded(
                self._down(first),
                self._down_end(last),
                form.label,
                form.rule,
                self._down(first - 1) if first and _is_word(left) else -1,
                self._down(last) if _is_word(right) else -1,
                first == 0 and _is_word(left),
            )
        )

    def _accept_bounded(self) -> None:
        # A masked neighbour is a boundary: so the masked text, masked again, stays as it is.
        data = self._source.data
        while True:
            before = len(self._found)
            taken = _joined(self._found)
            for one in self._bounded:
                left = one.left < 0 or _covers(taken, one.left)
                right = one.right < 0 or _covers(taken, one.right)
                if left and right and not one.never:
                    self._found.append((one.start, one.end, one.label, one.rule))
            for start, end, form in self._encoded:
                run = _run(data, start, end, taken)
                if _is_text(data, start, run, form):
                    self._found.append((*run, form.label, form.rule))
            if len(self._found) == before:
                return
            found = {(one[0], one[1]) for one in self._found}
            self._bounded = [one for one in self._bounded if (one.start, one.end) not in found]
            self._encoded = [
                one for one in self._encoded if not _covers(_joined(self._found), one[0])
            ]

    def _mask(
        self, first: int, last: int, form: Form, *, run: bool = False, begun: bool = False
    ) -> None:
        start, end = self._down(first), self._down_end(last)
        if run:
            start, end = _run(self._source.data, start, end, [])
        rule = f"{form.rule}, its beginning" if begun else form.rule
        self._found.append((start, end, form.label, rule))

    def _leave_open_in(self, view: bytes, at: int) -> None:
        # A value may begin with what folding drops.
        lead = view[max(0, at - self._index.lead) : at] if self._index.lead else b""
        self._leave_open(at - len(lead) + len(lead.rstrip(DROPPED)))

    def _leave_open(self, at: int) -> None:
        self._open = min(self._open, self._down(at))

    def _down(self, at: int) -> int:
        for layer in reversed(self._layers):
            at = layer.start(at)
        return at

    def _down_end(self, at: int) -> int:
        for layer in reversed(self._layers):
            at = layer.end(at)
        return at

    def _form(self, form: Form) -> SecretBytes:
        sought = self._sought.get(form)
        if sought is None:
            sought = self._sought[form] = form.sought()
        return sought

    def _spend(self, work: int) -> None:
        self._work += work
        if self._work > _MOST_WORK * (len(self._text) + (1 << 20)):
            raise WorkLimitError("the text and a value repeat themselves")

    # ── what may still change ───────────────────────────────────────────────

    def _settled(self, ranges: list[Range]) -> int:
        source, data = self._source, self._source.data
        at = min(self._open, self._fields_open())
        waiting = [(one.start, one.end) for one in ranges]
        waiting += [
            (source.character(one.start), source.character_after(max(one.end, one.right)))
            for one in self._bounded
        ]
        waiting.sort()
        while True:
            run = data[max(0, at - _LONGEST_RUN) : at]
            at -= len(run) - len(run.rstrip(RUN))
            settled = character = source.character(self._aligned(at))
            # What ends here may go on, or wait for a neighbour to be masked.
            for start, end in reversed(waiting):
                if start < settled <= end:
                    settled = start
            if settled == character:
                return settled
            at = source.byte(settled)

    def _aligned(self, at: int) -> int:
        before = -1
        while at != before:
            before = at
            for layers in self._chains:
                at = _aligned(at, layers)
        return at

    def _fields_open(self) -> int:
        size = len(self._text)
        if not self._index.fields:
            return len(self._source.data)
        line = self._text.rfind("\n") + 1
        return self._source.byte(max(line, size - max(LONGEST_LINE, self._index.key_width + 48), 0))


_TEXT = bytes(range(32, 127)) + b"\t\r\n"


def _merged(ranges: list[Range]) -> list[Range]:
    merged: list[Range] = []
    for one in sorted(ranges, key=lambda one: (one.start, -one.end, one.label, one.rule)):
        if one.start >= one.end:
            continue
        if merged and one.start < merged[-1].end:
            if one.end > merged[-1].end:
                merged[-1] = merged[-1]._replace(end=one.end)
        else:
            merged.append(one)
    return merged


def _aligned(at: int, layers: list[Layer]) -> int:
    """Return the place, or the one before it where no replaced piece is cut in two."""
    while True:
        place = at
        for depth, layer in enumerate(layers):
            above, wanted = layer.forward(place)
            if wanted != place:
                for below in reversed(layers[:depth]):
                    wanted = below.start(wanted)
                break
            place = above
        else:
            return at
        at = min(at - 1, wanted)


def _joined(found: list[tuple[int, int, str, str]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end, *_ in sorted(found):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _covers(joined: list[tuple[int, int]], at: int) -> bool:
    after = bisect_right(joined, (at, 1 << 62))
    return after > 0 and joined[after - 1][0] <= at < joined[after - 1][1]


def _run(data: bytes, start: int, end: int, taken: list[tuple[int, int]]) -> tuple[int, int]:
    """Return the run of base64 or hex around a piece, up to what is masked already."""
    before = data[max(0, start - _LONGEST_RUN) : start]
    after = data[end : end + _LONGEST_RUN]
    first = start - (len(before) - len(before.rstrip(RUN)))
    last = end + len(after) - len(after.lstrip(RUN))
    at = bisect_right(taken, (start, 1 << 62))
    if at and taken[at - 1][1] > first:
        first = min(start, taken[at - 1][1])
    if at < len(taken) and taken[at][0] < last:
        last = max(end, taken[at][0])
    return first, last


def _agreeing(one: bytes, two: bytes) -> int:
    """Return how many first bytes are the same."""
    low, high = 0, min(len(one), len(two))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == two[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _last_character(data: bytes) -> str:
    for size in range(1, 5):
        try:
            return data[-size:].decode()
        except UnicodeDecodeError:
            continue
    return ""


def _last_of(before: str, depth: int) -> str:
    if not before:
        return ""
    data = Source(before[-64:]).data
    for one in range(depth + 1):
        for undo in (unescape, drop_invisible) if one else (drop_invisible,):
            layer = undo(data)
            data = data if layer is None else layer.data
    return _last_character(data)


def _is_text(data: bytes, start: int, run: tuple[int, int], form: Form) -> bool:
    """Tell whether a run decodes to text, read so that the piece that begins there is met."""
    encoded = SecretBytes(data[slice(*run)].rstrip(b"="))
    if form.kind.phase is None:
        before = len(encoded[: start - run[0]]) - len(encoded[: start - run[0]].rstrip(_DIGITS))
        return before % 2 == 0
    if (start - run[0]) % 4 != form.kind.phase:
        return False
    encoded = SecretBytes(encoded[: len(encoded) - (len(encoded) % 4 == 1)])
    if encoded.find(b"=") >= 0:
        return False
    text = SecretBytes(base64.b64decode(fold(encoded) + b"=" * (-len(encoded) % 4)))
    return not text.translate(None, _TEXT)


_DIGITS = b"0123456789abcdefABCDEF"
