"""The index: which forms may stand where, judged by the anchors that are found."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

from kfsecrets_ext.values import SecretBytes

from .dumps import may_be_dump, may_become_dump
from .engines import Engine
from .fields import LONGEST_LINE
from .forms import (
    ANCHOR,
    AT_BOUNDARIES,
    HEAD,
    WHOLE_FIELD,
    Anchors,
    Form,
    Places,
    add_forms,
    edges,
    is_public,
)
from .markers import MARKER, marker_begun
from .parts import is_common
from .record import Known
from .runs import LONGEST_RUN, RUN
from .views import (
    DROPPED,
    ONE_ALPHABET,
    Source,
    begun,
    drop_colours,
    escapes_in,
    fold,
    may_be_escaped,
    may_be_invisible,
)

__all__ = ["Index", "MakeEngine", "Part", "build", "combined"]

MakeEngine = Callable[[Sequence[bytes]], Engine]


class Part:
    """Anchors of one kind of view, the engine that finds them, and the forms they belong to.

    Attributes
    ----------
    find : callable
        Gives the hits in a view.
    meets : callable
        Tells whether there is one.
    passes : tuple of callable
        The same: whether one of them does.
    """

    __slots__ = (
        "_earlier",
        "_heads",
        "_longest",
        "_numbers",
        "_places",
        "_triples",
        "find",
        "meets",
        "passes",
    )

    def __init__(self, places: Places, make: MakeEngine):
        last, self._earlier = places.once()
        self._numbers = tuple(last.values())
        self._places = places
        engine = make(list(last))
        self.find, self.meets, self.passes = engine.find, engine.meets, engine.passes
        self._heads: list[bytes] | None = None
        self._triples: frozenset[bytes] = frozenset()
        self._longest = 1

    def owners(self, number: int) -> list[tuple[Form, int]]:
        """Return the forms that an anchor belongs to, and where in each of them it stands."""
        last = self._numbers[number]
        return [*map(self._places.owner, self._earlier.get(last, ())), self._places.owner(last)]

    def _sorted_heads(self) -> list[bytes]:
        heads = sorted(set(self._places.beginnings()))
        self._longest = max(map(len, heads), default=1)
        self._triples = frozenset(anchor[:3] for anchor in heads)
        self._heads = heads
        return heads

    def begun(self, view: bytes) -> int:
        """Return where the earliest suffix stands that is the beginning of an anchor."""
        # Only streams ask for beginnings.
        heads = self._sorted_heads() if self._heads is None else self._heads
        count, triples = len(heads), self._triples
        size = len(view)
        for start in range(max(0, size - self._longest + 1), size):
            # Most are no beginning by their first three bytes, which is told quicker.
            if start + 3 <= size and view[start : start + 3] not in triples:
                continue
            suffix = view[start:]
            at = bisect_left(heads, suffix)
            if at < count and heads[at].startswith(suffix):
                return start
        return size

    def __repr__(self) -> str:
        return f"Part({len(self._numbers)} anchors)"


class Index:
    """What is looked for; never changed once it is built.

    Attributes
    ----------
    folded, raw : tuple of Part
        What is looked for in folded and in unfolded text.
    fields : dict of bytes to frozenset of str
        Values that are masked as whole fields only, and their labels.
    heads : list
        First bytes, as written, of the forms that folding shortens there, label and rule; sorted.
        At the end of a text eight characters of them are too short for an anchor.
    labels : frozenset of str
    longest_label, key_width : int
        The length of the longest label, of any value and of the short ones.
    twisted : int
        The kinds of escapes that values hold themselves, as `escapes_in` tells.
    controls : bool
        Whether a value holds a control sequence, or the beginning of one.
    leads : frozenset of bytes
        What forms begin with that folding drops.
    """

    __slots__ = (
        "_meets",
        "_meets_field",
        "_meets_raw",
        "_starts",
        "controls",
        "fields",
        "folded",
        "heads",
        "key_width",
        "labels",
        "leads",
        "longest_label",
        "raw",
        "twisted",
    )

    def __init__(self) -> None:
        self.folded: tuple[Part, ...] = ()
        self.raw: tuple[Part, ...] = ()
        self.fields: dict[bytes, frozenset[str]] = {}
        self.heads: list[tuple[SecretBytes, str, str]] = []
        self.labels: frozenset[str] = frozenset()
        self.leads: frozenset[bytes] = frozenset()
        self.twisted = 0
        self.controls = False
        self.longest_label = 0
        self.key_width = 0
        self._meets: tuple[Callable[[bytes], object], ...] = ()
        self._meets_raw: tuple[Callable[[bytes], object], ...] = ()
        self._meets_field: Callable[[bytes], object] | None = None
        self._starts: frozenset[bytes] = frozenset()

    def is_quiet(self, text: str) -> bool:
        """Tell whether a text surely holds nothing, without a closer look."""
        if text.isascii():
            data = text.encode()
        else:
            data = Source(text).data
            if may_be_invisible(data):
                return False
        for meets in self._meets_raw:
            if meets(data):
                return False
        if self._meets_field is not None and self._meets_field(data):
            return False
        if may_be_dump(data):
            return False
        if "\x1b" in text:
            data = drop_colours(data)
            if self.controls or 0x1B in data:
                return False
            for meets in self._meets_raw:
                if meets(data):
                    return False
        if ("\\" in text or "%" in text or "&" in text) and may_be_escaped(data):
            return False
        folded = data.translate(ONE_ALPHABET, DROPPED)
        for meets in self._meets:
            if meets(folded):
                return False
        if self._starts:
            end = data[1 - HEAD :]
            starts = self._starts
            return not any(end[at : at + ANCHOR] in starts for at in range(len(end) - ANCHOR + 1))
        return True

    def meets_field(self, data: bytes) -> bool:
        """Tell whether a value that is masked as a whole field stands in a text."""
        return self._meets_field is not None and bool(self._meets_field(data))

    def settled(self, text: str) -> int | None:
        """Return up to where nothing that may follow a quiet text makes a part of it a value.

        Returns
        -------
        int or None
            None where this takes a closer look.
        """
        if "\x1b" in text or MARKER in text:
            return None
        if may_become_dump(text):
            return None
        end = Source(text[-_TAIL:]).data
        size = len(end)
        if begun(end) < size:
            return None
        open_at = min([size, *(part.begun(end) for part in self.raw)])
        folded = fold(end)
        # What folding leaves of this is long enough, or all that there is.
        if len(folded) < _LONGEST_ANCHOR and len(text) > _TAIL:
            return None
        left = len(folded) - min([len(folded), *(part.begun(folded) for part in self.folded)])
        at = size
        while left:
            at -= 1
            left -= end[at] not in DROPPED
        waiting = end[min(open_at, self.lead_before(end, at)) :]
        if not waiting.isascii():
            return None
        before = text[: min(len(text) - len(waiting), self.field_begun(text))]
        return min(
            len(before) - len(before[-LONGEST_RUN:]) + len(before[-LONGEST_RUN:].rstrip(_RUN)),
            marker_begun(text, self.labels, self.longest_label),
        )

    def lead_before(self, data: bytes, at: int) -> int:
        """Return where what folding drops of a form, or the beginning of it, stands before it."""
        leads = self.leads
        if leads:
            for size in range(min(at, max(map(len, leads))), 0, -1):
                piece = data[at - size : at]
                if any(lead.startswith(piece) for lead in leads):
                    return at - size
        return at

    def field_begun(self, text: str) -> int:
        """Return the character from which on a text may become a whole field, else the length."""
        if not self.fields:
            return len(text)
        wide = max(LONGEST_LINE, self.key_width + 48)
        return max(text.rfind("\n") + 1, len(text) - wide, 0)

    def __repr__(self) -> str:
        return f"Index({len(self.labels)} labels)"


_RUN = RUN.decode()
_TAIL = 64
_LONGEST_ANCHOR = 16


def build(known: Iterable[Known], public: Sequence[str], make: MakeEngine) -> Index:
    """Return an index of values.

    Parameters
    ----------
    known : iterable of Known
    public : sequence of str
        Patterns of key names whose values are no secrets.
    make : callable
        Makes an engine of anchors.
    """
    anchors = Anchors()
    index = Index()
    labels = set()
    for one in known:
        labels.add(one.label)
        if not is_public(one.label, public):
            index.twisted |= escapes_in(one.value) | escapes_in(one.value[::-1])
            index.controls |= one.value.find(b"\x1b") >= 0
            add_forms(anchors, one)
            _add_field(index.fields, one)
    for form, head in anchors.shortened:
        _add_head(index, form, head)
    index.labels = frozenset(labels)
    index.folded = (Part(anchors.folded, make),) if len(anchors.folded) else ()
    index.raw = (Part(anchors.raw, make),) if len(anchors.raw) else ()
    return combined((index,), make)


def combined(indexes: Sequence[Index], make: MakeEngine) -> Index:
    """Return one index that knows what several know."""
    whole = Index()
    for one in indexes:
        whole.folded += one.folded
        whole.raw += one.raw
        for value, labels in one.fields.items():
            whole.fields[value] = whole.fields.get(value, frozenset()) | labels
        whole.heads += one.heads
        whole.labels |= one.labels
        whole.twisted |= one.twisted
        whole.controls |= one.controls
        whole.leads |= one.leads
    whole.heads.sort()
    whole._starts = frozenset(head[:ANCHOR] for head, _, _ in whole.heads)
    whole._meets = tuple(one for part in whole.folded for one in part.passes)
    whole._meets_raw = tuple(one for part in whole.raw for one in part.passes)
    if whole.fields:
        whole._meets_field = make(list(whole.fields)).meets
    whole.longest_label = max(map(len, whole.labels), default=0)
    short = (label for labels in whole.fields.values() for label in labels)
    whole.key_width = max(map(len, short), default=0)
    return whole


def _add_head(index: Index, form: Form, head: SecretBytes) -> None:
    lead = edges(head)[0]
    if lead:
        index.leads |= {bytes(lead if len(lead) < len(head) else edges(form.written())[0])}
    if not form.bounded and len(head) >= ANCHOR:
        index.heads.append((head, form.label, form.rule))


def _add_field(fields: dict[bytes, frozenset[str]], known: Known) -> None:
    value = SecretBytes(known.value.strip())
    if WHOLE_FIELD <= len(value) < AT_BOUNDARIES and not is_common(value):
        fields[value] = fields.get(value, frozenset()) | {known.label}
