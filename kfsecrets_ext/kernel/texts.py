"""Many texts of one message: which of them end as a value begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from kfsecrets_ext.redaction.engines import Engine, best_engine
from kfsecrets_ext.redaction.forms import ANCHOR, HEAD
from kfsecrets_ext.redaction.index import Index
from kfsecrets_ext.redaction.views import (
    DROPPED,
    ONE_ALPHABET,
    Drop,
    Source,
    unescape,
    without,
)

__all__ = ["may_end_in_a_beginning"]

# Folding drops it too, and nobody writes it.
_BETWEEN = "\0"
_DROPPED = DROPPED.replace(_BETWEEN.encode(), b"")


def may_end_in_a_beginning(index: Index, texts: Sequence[str], *, is_quiet: bool) -> set[str]:
    """Return the texts that may end in the beginning of a value, of many that hold none.

    It takes one look at all of them, at escapes one level deep.

    Parameters
    ----------
    index : Index
    texts : sequence of str
    is_quiet : bool
        What `Index.is_quiet` says of all of them.
    """
    data = Source(_BETWEEN.join(texts)).data
    shown = without(data, Drop.INVISIBLE)
    layers = [data] if shown is None else [data, shown.data]
    if not is_quiet:
        undone = unescape(layers[-1])
        layers += [undone.data] if undone is not None else []
    heads = [_heads(index).meets] if index.heads else []
    raw = [part.meets for part in index.raw]
    folded = [part.meets for part in index.folded]
    found: set[str] = set()
    for layer in layers:
        found |= _those_that_meet(heads, layer, texts, last=HEAD - 1)
        if not is_quiet:
            found |= _those_that_meet(raw, layer, texts)
            found |= _those_that_meet(folded, layer.translate(ONE_ALPHABET, _DROPPED), texts)
    return found


def _those_that_meet(
    meeting: Sequence[Callable[[bytes], object]],
    data: bytes,
    texts: Sequence[str],
    last: int | None = None,
) -> set[str]:
    if not any(meets(data) for meets in meeting):
        return set()
    lines = data.split(_BETWEEN.encode())
    if len(lines) != len(texts):
        return set(texts)
    size = last or len(data)
    return {
        text
        for text, line in zip(texts, lines, strict=True)
        if any(meets(line[-size:]) for meets in meeting)
    }


@lru_cache(maxsize=1)
def _heads(index: Index) -> Engine:
    return best_engine(sorted({head[:ANCHOR] for head, _, _ in index.heads}))
