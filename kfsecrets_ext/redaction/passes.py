"""One look at a text in all its layers: anchors found, verified, extended."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import NamedTuple

from kfsecrets_ext.values import SecretBytes

from .chains import DEEPEST, View, aligned
from .compare import LOOSE_DIGITS, Comparer, agreeing, is_exact, may_be_loose
from .dumps import dump_begun, hex_of_dump, may_be_dump
from .fields import find_fields
from .forms import ANCHOR, Form, edges
from .index import Index, Part
from .parts import is_common, looks_random
from .ranges import Joined, Range, merged
from .runs import LONGEST_RUN, RUN, holds_text, run_around
from .views import KINDS, Drop, Folded, Layer, Source, begun, fold, unescape, without

__all__ = ["Pass"]

_SHORTEST_PIECE = 12
_CONTEXT = 64
_MOST_BEGUN = 16
_LONGEST_HALF = 12


class _Bounded(NamedTuple):
    """A value that is masked where no letter or digit touches it; places in bytes.

    Attributes
    ----------
    left, right : int
        Where a letter or digit touches it, or -1.
    never : bool
        Whether one that is not part of the text does.
    """

    found: Range
    left: int
    right: int
    never: bool


class Pass:
    """One text, looked at in all its layers.

    Parameters
    ----------
    index : Index
    text : str
    before, after : str
        What stands around the text; it is context only.
    final : bool
        Whether the text ends here. Eight characters that begin a value are then masked too.
    settle : bool
        Whether more text may follow, and `settled` is asked for.
    continued : int
        So many first characters left earlier, masked as the beginning of a value.

    Attributes
    ----------
    ranges : list of Range
        In order, apart from each other, in characters.
    """

    def __init__(
        self,
        index: Index,
        text: str,
        *,
        before: str = "",
        after: str = "",
        final: bool = True,
        settle: bool = False,
        continued: int = 0,
    ):
        self._index = index
        self._text = text
        self._before = before
        self._after = after
        self._final = final
        self._settle = settle
        self._continued = continued
        self._source = Source(text)
        self._comparer = Comparer(len(text))
        self._cut: dict[Form, int] = {}
        self._leaves: list[View] = []
        self._seen: set[tuple[int, bytes]] = set()
        # All in bytes of the text.
        self._open = len(self._source.data)
        self._begun: set[int] = set()
        self._half: set[int] = set()
        self._found: list[Range] = []
        self._beginnings: list[Range] = []
        self._bounded: list[_Bounded] = []
        self._encoded: list[tuple[int, int, Form]] = []
        self.ranges = self._look()

    def settled(self, upto: int) -> int:
        """Return up to where nothing that may follow the text can change what is found.

        Parameters
        ----------
        upto : int
            The character that is asked for at most.
        """
        source = self._source
        fields = source.byte(self._index.field_begun(self._text))
        at = min(source.byte(upto), self._run_before(min(self._open, fields)))
        waiting = [(one.start, one.end) for one in self.ranges]
        for one in self._bounded:
            end = max(one.found.end, one.right)
            waiting.append((source.character(one.found.start), source.character_after(end)))
        waiting.sort()
        while True:
            settled = character = source.character(aligned(at, self._leaves))
            # What ends here may go on, or wait for a neighbour to be masked.
            for start, end in reversed(waiting):
                if start < settled <= end:
                    settled = start
            if settled == character:
                return settled
            at = self._run_before(source.byte(settled))

    def cuts_no_escape(self, character: int) -> bool:
        """Tell whether a place lies between escapes, in each layer."""
        at = self._source.byte(character)
        return aligned(at, self._leaves) == at

    def begun_in_escapes(self) -> list[int]:
        """Return the characters at which a value may begin that takes half of an escape."""
        begun = [*sorted(self._begun)[:_MOST_BEGUN], len(self._source.data)]
        begun += map(self._run_before, begun[:])
        places = set(map(self._source.character, begun))
        places.update(one.start for one in self.ranges[-_MOST_BEGUN:])
        return [at for at in places if 0 < at < len(self._text) and not self.cuts_no_escape(at)]

    # ── views ───────────────────────────────────────────────────────────────

    def _look(self) -> list[Range]:
        index, source = self._index, self._source
        dropped = self._look_through(View(source.data), Drop.INVISIBLE)
        # What looks like a control sequence may be the beginning of a value.
        if dropped is Drop.INVISIBLE:
            self._seen.clear()
            self._look_through(View(source.data), Drop.COLOURS)
        if dropped is not Drop.NOTHING and index.controls:
            self._seen.clear()
            self._look_through(View(source.data), Drop.NOTHING)
        self._look_at_dumps()
        self._accept_beginnings()
        if index.meets_field(source.data):
            self._look_for_fields()
        if not (self._found or self._bounded or self._encoded):
            return []
        self._accept_bounded()
        found = [
            one._replace(start=source.character(one.start), end=source.character_after(one.end))
            for one in sorted(self._found, key=lambda one: (one.start, -one.end, *one[2:]))
        ]
        return merged(found)

    def _look_through(self, view: View, drop: Drop) -> Drop:
        """Look at a view and all below it; tell what was dropped."""
        end = self._finished(view)
        if end == len(view.data):
            return self._look_at(view, drop)
        cut = view.cut(end)
        dropped = self._look_at(cut, drop)
        if begun(cut.data) < end:
            dropped = max(dropped, self._look_deeper(cut, drop))
        return max(dropped, self._look_at(view, drop)) if self._final else dropped

    def _look_deeper(self, view: View, drop: Drop) -> Drop:
        """Look again one level deeper, as where an escape far away is undone in between."""
        if view.depth == DEEPEST:
            return Drop.NOTHING
        return self._look_through(view.deeper(), drop)

    def _look_at(self, view: View, drop: Drop) -> Drop:
        self._look_raw(view)
        # A value may be wrapped in colours, and a colour be written as an escape.
        plain = without(view.data, drop)
        if plain is None:
            return self._look_below(view, drop)
        dropped = plain.drop
        same_end = plain.data[-_LONGEST_HALF:] == view.data[-_LONGEST_HALF:]
        view = view.over(plain)
        end = len(view.data) if same_end else self._finished(view)
        views = [view]
        if end < len(view.data):
            views = [view.cut(end), view] if self._final else [view.cut(end)]
        for one in views:
            self._look_raw(one)
            dropped = max(dropped, self._look_below(one, drop))
        if end < len(view.data) or without(view.data, drop) is not None:
            dropped = max(dropped, self._look_deeper(view, drop))
        return dropped

    def _look_below(self, view: View, drop: Drop) -> Drop:
        self._look_folded(view)
        dropped, last = Drop.NOTHING, True
        for deeper in view.unescaped(self._index.twisted) if view.depth < DEEPEST else ():
            last = False
            key = (deeper.depth, deeper.data)
            if key not in self._seen:
                self._seen.add(key)
                dropped = max(dropped, self._look_through(deeper, drop))
            else:
                self._leaves.append(deeper)
        if last:
            self._leaves.append(view)
        return dropped

    def _look_at_dumps(self) -> None:
        view = View(self._source.data)
        at_start = not self._before or self._before.endswith("\n")
        end = len(view.data)
        if self._settle or self._final:
            end = dump_begun(view.data, at_start=at_start)
        views = [view]
        if end < len(view.data):
            self._leave_open(view, end)
            views = [view.cut(end), view] if self._final else [view.cut(end)]
        for one in views if may_be_dump(view.data) else ():
            layers = hex_of_dump(one.data, at_start=at_start)
            if layers is not None:
                alone, whole = layers
                self._look_folded(one.over(alone))
                # No line of a dump is cut in two.
                self._leaves.append(one.over(whole))

    def _finished(self, view: View) -> int:
        """Return where an escape begins that is not complete, else the length."""
        if not (self._settle or self._final):
            return len(view.data)
        end = begun(view.data)
        if end < len(view.data):
            # What is open ends before it.
            self._leave_open(view, end)
            self._half.add(view.down(end))
        return end

    def _look_folded(self, view: View) -> None:
        data = fold(view.data)
        self._comparer.next_view()
        self._cut.clear()
        folded: Folded | None = None
        for part in self._index.folded:
            hits = part.find(data)
            if hits or self._settle:
                if folded is None:
                    folded = Folded(view.data, data)
                self._look_at_hits(part, view, folded, hits)
        if self._index.heads and self._final:
            self._look_for_heads(view)

    def _look_at_hits(
        self, part: Part, view: View, folded: Folded, hits: list[tuple[int, int, int]]
    ) -> None:
        for number, start, _ in sorted(hits, key=lambda hit: hit[1]):
            for form, at in part.owners(number):
                if form.kind.window:
                    if not view.depth:
                        self._look_at_piece(form, at, view.down(folded.origin(start)))
                elif not at:
                    self._look_at_form(form, view, folded, start)
        if self._settle:
            data = folded.data
            suffix = part.begun(data)
            at = folded.origin(suffix) if suffix < len(data) else len(view.data)
            self._leave_open_from(view, at)

    def _look_raw(self, view: View) -> None:
        for part in self._index.raw:
            for number, start, _ in part.find(view.data):
                for form, _at in part.owners(number):
                    self._look_at_raw(form, view, start)
            if self._settle:
                suffix = part.begun(view.data)
                if suffix < len(view.data):
                    self._leave_open(view, suffix)

    def _look_for_fields(self) -> None:
        byte = self._source.byte
        for start, end, label in find_fields(
            self._text, self._index.fields, self._before, self._after
        ):
            self._found.append(Range(byte(start), byte(end), label, "whole field"))

    def _look_for_heads(self, view: View) -> None:
        heads, data = self._index.heads, view.data
        for length in range(min(len(data), 15), ANCHOR - 1, -1):
            suffix = SecretBytes(data[len(data) - length :])
            at = bisect_left(heads, (suffix, "", ""))
            if at < len(heads) and heads[at][0].startswith(suffix):
                _, label, rule = heads[at]
                start, end = view.down(len(data) - length), view.down_end(len(data))
                self._mask_beginning(start, end, label, rule)
                return

    # ── what an anchor belongs to ───────────────────────────────────────────

    def _look_at_form(self, form: Form, view: View, folded: Folded, start: int) -> None:
        data = folded.data
        length = len(self._comparer.sought(form))
        end = start + length
        if end <= len(data):
            new = self._comparer.stands(form, data, start)
            if new is None:
                self._look_at_part(form, view, folded, start)
            elif new == start or form.bounded or length < LOOSE_DIGITS:
                self._accept(form, view, folded, start, end)
            else:
                first, last = folded.origin(new - 1), folded.origin(end - 1) + 1
                self._mask(view, first, last, form)
        elif self._comparer.begins(form, data, start):
            self._leave_open_from(view, folded.origin(start))
            if self._final and len(data) - start >= min(ANCHOR, length):
                self._accept_beginning(form, view, folded, start, len(data))
        else:
            self._look_at_part(form, view, folded, start)

    def _look_at_part(self, form: Form, view: View, folded: Folded, start: int) -> None:
        """Look at the beginning of a form that goes on otherwise."""
        if self._continued:
            self._accept_continued(form, view, folded, start)
        # Where a value repeats itself the first is the longest.
        if start < self._cut.get(form, 0):
            return
        cut = self._comparer.cut_short(form, folded.data, start)
        if cut is None:
            return
        if not cut.sure:
            self._leave_open_from(view, folded.origin(start))
        if (cut.sure or self._final) and self._accept_beginning(form, view, folded, start, cut.end):
            self._cut[form] = cut.end

    def _look_at_piece(self, form: Form, at: int, place: int) -> None:
        data = self._source.data
        run = form.written()
        size = ANCHOR
        if data[place : place + size] != run[at : at + size]:
            return
        end = place + size + agreeing(run[at + size :], data[place + size : place + len(run) - at])
        longest = min(at, place)
        start = place - agreeing(run[at - longest : at][::-1], data[place - longest : place][::-1])
        self._comparer.spend(end - start)
        if end - start >= _SHORTEST_PIECE and looks_random(data[start : min(end, start + 4096)]):
            self._found.append(Range(start, end, form.label, form.rule))

    def _look_at_raw(self, form: Form, view: View, start: int) -> None:
        data = view.data
        sought = self._comparer.sought(form)
        end = start + len(sought)
        self._comparer.spend(len(sought) if data[end - 1 : end] == sought[-1:] else 1)
        if end <= len(data):
            if data[start:end] == sought:
                self._accept_exact(form, view, start, end)
        elif sought.startswith(data[start:]):
            self._leave_open(view, start)
            if self._final:
                self._mask(view, start, len(data), form, begun=True)

    # ── what is masked ──────────────────────────────────────────────────────

    def _accept(self, form: Form, view: View, folded: Folded, start: int, end: int) -> None:
        data = view.data
        first, last = folded.origin(start), folded.origin(end - 1) + 1
        written = form.written()
        lead, trail = edges(written)
        exact = is_exact(data, first, last, written, (lead, trail))
        if form.bounded:
            if exact and form.kind.run:
                self._encoded.append((view.down(first), view.down_end(last), form))
            elif exact:
                self._accept_exact(form, view, first - len(lead), last + len(trail))
            elif trail.startswith(data[last:]):
                self._leave_open(view, first - len(lead))
        elif exact or may_be_loose(form, data, folded, start, end):
            if trail:
                last += agreeing(trail, data[last : last + len(trail)])
            self._mask(view, _with_lead(data, first, lead), last, form)

    def _accept_beginning(
        self, form: Form, view: View, folded: Folded, start: int, end: int
    ) -> bool:
        """Mask the beginning of a form unless it may stand there by chance; tell whether it is."""
        data = view.data
        first = folded.origin(start)
        last = folded.origin(end - 1) + 1
        at_end = end == len(folded.data)
        written = form.written()
        lead, _ = edges(written)
        shown = SecretBytes(data[first:] if at_end else data[first:last])
        exact = written[len(lead) : len(lead) + len(shown)] == shown
        if is_common(shown) or not (exact or may_be_loose(form, data, folded, start, end)):
            return False
        last = len(data) if exact and at_end else last
        self._mask(view, _with_lead(data, first, lead), last, form, begun=True)
        return True

    def _accept_continued(self, form: Form, view: View, folded: Folded, start: int) -> None:
        first = view.down(folded.origin(start))
        left = self._source.byte(self._continued)
        if first < left:
            sought = self._comparer.sought(form)
            length = agreeing(sought, folded.data[start : start + len(sought)])
            last = view.down_end(folded.origin(start + length - 1) + 1)
            if last > left:
                self._found.append(Range(first, last, form.label, f"{form.rule}, its beginning"))

    def _accept_exact(self, form: Form, view: View, first: int, last: int) -> None:
        if not form.bounded:
            self._mask(view, first, last, form)
            return
        data = view.data
        touched = bool(first) and _is_word(_last_character(data[max(0, first - 4) : first]))
        right = data[last : last + 4].decode("utf-8", "ignore")[:1]
        self._bounded.append(
            _Bounded(
                Range(view.down(first), view.down_end(last), form.label, form.rule),
                view.down(first - 1) if touched else -1,
                view.down(last) if _is_word(right) else -1,
                not first and self._follows_a_word(view, last),
            )
        )

    def _follows_a_word(self, view: View, last: int) -> bool:
        """Tell whether what stood before ends in a letter or digit, in each way to read it."""
        if not self._before:
            return False
        # What leaves the value and its other neighbour as they are may be dropped and undone.
        drops = [drop for drop in Drop if _stays(without(view.data, drop), last)]
        free = sum(kinds for kinds in KINDS if _stays(unescape(view.data, kinds), last))
        for drop in drops:
            data = Source(self._before[-_CONTEXT:]).data
            for layer in view.layers:
                data = layer.replaced(data)
            for _ in range(view.depth, DEEPEST + 1):
                plain = without(data, drop)
                data = data if plain is None else plain.data
                if not _is_word(_last_character(data)):
                    return False
                deeper = unescape(data, free) if free else None
                if deeper is None:
                    break
                data = deeper.data
        return True

    def _accept_bounded(self) -> None:
        # A masked neighbour is a boundary: so the masked text, masked again, stays as it is.
        data = self._source.data
        while True:
            before = len(self._found)
            taken = Joined(self._found)
            for one in self._bounded:
                left = one.left < 0 or taken.covers(one.left)
                right = one.right < 0 or taken.covers(one.right)
                if left and right and not one.never:
                    self._found.append(one.found)
            for start, end, form in self._encoded:
                run = run_around(data, start, end, taken)
                if holds_text(data, start, run, form):
                    self._found.append(Range(*run, form.label, form.rule))
            if len(self._found) == before:
                return
            found = {one[:2] for one in self._found}
            taken = Joined(self._found)
            self._bounded = [one for one in self._bounded if one.found[:2] not in found]
            self._encoded = [one for one in self._encoded if not taken.covers(one[0])]

    def _mask(self, view: View, first: int, last: int, form: Form, *, begun: bool = False) -> None:
        start, end = view.down(first), view.down_end(last)
        if form.kind.run:
            start, end = run_around(self._source.data, start, end)
        if begun:
            self._mask_beginning(start, end, form.label, form.rule)
        else:
            self._found.append(Range(start, end, form.label, form.rule))

    def _mask_beginning(self, start: int, end: int, label: str, rule: str) -> None:
        self._beginnings.append(Range(start, end, label, f"{rule}, its beginning"))

    def _accept_beginnings(self) -> None:
        found = sorted(self._found)
        starts = [one.start for one in found]
        ends = [0, *accumulate((one.end for one in found), max)]
        for one in self._beginnings:
            # Where it is a part of something whole, that is what is named.
            if one.end > ends[bisect_right(starts, one.start)]:
                # Half of an escape behind it may go on with it.
                end = len(self._source.data) if one.end in self._half else one.end
                self._found.append(one._replace(end=end))

    # ── what may still change ───────────────────────────────────────────────

    def _leave_open_from(self, view: View, at: int) -> None:
        self._leave_open(view, self._index.lead_before(view.data, at))

    def _leave_open(self, view: View, at: int) -> None:
        place = view.down(at)
        self._open = min(self._open, place)
        self._begun.add(place)

    def _run_before(self, at: int) -> int:
        run = self._source.data[max(0, at - LONGEST_RUN) : at]
        return at - len(run) + len(run.rstrip(RUN))


def _stays(layer: Layer | None, at: int) -> bool:
    # Whether a layer leaves all up to a place, and what stands there, as it is.
    return layer is None or layer.forward(at + 1) == (at + 1, at + 1)


def _with_lead(data: bytes, first: int, lead: bytes) -> int:
    if lead and data[max(0, first - len(lead)) : first] == lead:
        return first - len(lead)
    return first


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _last_character(data: bytes) -> str:
    for size in range(1, 5):
        try:
            return data[-size:].decode()
        except UnicodeDecodeError:
            continue
    return ""
