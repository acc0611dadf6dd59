"""The index: which forms may stand where, judged by the anchors that are found."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

from kfsecrets_ext.values import SecretBytes

from .engines import Engine
from .forms import (
    ANCHOR,
    AT_BOUNDARIES,
    WHOLE_FIELD,
    Anchors,
    Form,
    Owners,
    add_forms,
    edges,
    is_public,
    pairs,
)
from .markers import marker
from .parts import is_common
from .record import Known
from .views import (
    DROPPED,
    ONE_ALPHABET,
    begun,
    drop_colours,
    escapes_in,
    fold,
    may_be_escaped,
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
    """

    __slots__ = ("_anchors", "_heads", "_longest", "_owners", "find", "meets")

    def __init__(self, anchors: dict[bytes, Owners], make: MakeEngine):
        self._owners = list(anchors.values())
        engine = make(list(anchors))
        self.find, self.meets = engine.find, engine.meets
        self._anchors: dict[bytes, Owners] | None = anchors
        self._heads: list[bytes] = []
        self._longest = 1

    def owners(self, number: int) -> tuple[tuple[Form, int], ...]:
        """Return the forms that an anchor belongs to, and where in each of them it stands."""
        return pairs(self._owners[number])

    def _sort(self, anchors: dict[bytes, Owners]) -> None:
        # Only streams ask for beginnings.
        heads = sorted(
            anchor
            for anchor, owners in anchors.items()
            if not isinstance(owners, tuple) or any(not at for _, at in owners)
        )
        self._longest = max(map(len, heads), default=1)
        self._heads = heads
        self._anchors = None

    def begun(self, view: bytes) -> int:
        """Return where the earliest suffix stands that is the beginning of an anchor."""
        anchors = self._anchors
        if anchors is not None:
            self._sort(anchors)
        heads, count = self._heads, len(self._heads)
        size = len(view)
        for start in range(max(0, size - self._longest + 1), size):
            suffix = view[start:]
            at = bisect_left(heads, suffix)
            if at < count and heads[at].startswith(suffix):
                return start
        return size

    def __repr__(self) -> str:
        return f"Part({len(self._owners)} anchors)"


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
    lead : int
        How many bytes that folding drops a form begins with, at most.
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
        "lead",
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
        self.lead = 0
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
        if not text.isascii():
            return False
        data = text.encode()
        for meets in self._meets_raw:
            if meets(data):
                return False
        if self._meets_field is not None and self._meets_field(data):
            return False
        if "\x1b" in text:
            data = drop_colours(data)
            if self.raw or 0x1B in data:
                return False
        if ("\\" in text or "%" in text or "&" in text) and may_be_escaped(data):
            return False
        folded = data.translate(ONE_ALPHABET, DROPPED)
        for meets in self._meets:
            if meets(folded):
                return False
        if self._starts:
            end = data[1 - _HEAD :]
            starts = self._starts
            return not any(end[at : at + ANCHOR] in starts for at in range(len(end) - ANCHOR + 1))
        return True

    def meets_field(self, data: bytes) -> bool:
        """Tell whether a value that is masked as a whole field stands in a text."""
        return self._meets_field is not None and bool(self._meets_field(data))

    def is_settled(self, line: str) -> bool:
        """Tell whether a quiet text that ends a line surely begins nothing either."""
        if self.lead or self.raw or "[" in line[-self.longest_label - len(marker("")) :]:
            return False
        end = line[-_TAIL:].encode()
        if begun(end) < len(end):
            return False
        # What folding leaves of this is long enough, or the line is short.
        if len(end) == _TAIL and len(fold(end)) < _LONGEST_ANCHOR:
            return False
        folded = fold(end)
        return all(part.begun(folded) == len(folded) for part in self.folded)

    def __repr__(self) -> str:
        return f"Index({len(self.labels)} labels)"


_HEAD = 16
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
    for form, anchor in anchors.plain:
        _add_head(index, form, anchor)
    index.labels = frozenset(labels)
    index.folded = (Part(anchors.folded, make),) if anchors.folded else ()
    index.raw = (Part(anchors.raw, make),) if anchors.raw else ()
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
        whole.lead = max(whole.lead, one.lead)
    whole.heads.sort()
    whole._starts = frozenset(head[:ANCHOR] for head, _, _ in whole.heads)
    whole._meets = tuple(part.meets for part in whole.folded)
    whole._meets_raw = tuple(part.meets for part in whole.raw)
    if whole.fields:
        whole._meets_field = make(list(whole.fields)).meets
    whole.longest_label = max(map(len, whole.labels), default=0)
    short = (label for labels in whole.fields.values() for label in labels)
    whole.key_width = max(map(len, short), default=0)
    return whole


def _add_head(index: Index, form: Form, anchor: bytes) -> None:
    head = form.head(_HEAD)
    # What folding leaves as it is has its anchor there.
    if not head.startswith(anchor):
        index.lead = max(index.lead, len(edges(head)[0]))
        if not form.bounded and len(head) >= ANCHOR:
            index.heads.append((head, form.label, form.rule))


def _add_field(fields: dict[bytes, frozenset[str]], known: Known) -> None:
    value = SecretBytes(known.value.strip())
    if WHOLE_FIELD <= len(value) < AT_BOUNDARIES and not is_common(value):
        fields[value] = fields.get(value, frozenset()) | {known.label}
