"""Lists of texts that hold a value together, a piece in each."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any

from .index import Index
from .scan import scan

__all__ = ["joined", "leaves"]


def joined(index: Index, texts: Sequence[str]) -> list[str]:
    """Return the texts, those that hold a value together as one.

    Once it is masked, one marker is left: how many texts there were would tell how long the
    value is.

    Parameters
    ----------
    index : Index
    texts : sequence of str
    """
    whole = "\n".join(texts)
    if len(texts) < 2 or index.is_quiet(whole):
        return list(texts)
    ranges = scan(index, whole).ranges
    starts = [one.start for one in ranges]
    result: list[str] = []
    end = -1
    for text in texts:
        before = bisect_right(starts, end) - 1
        if before >= 0 and end < ranges[before].end:
            result[-1] += "\n" + text
        else:
            result.append(text)
        end += 1 + len(text)
    return result


def leaves(node: Iterable[Any]) -> list[str] | None:
    """Return the texts of a list, and of lists in it; ``None`` where it holds anything else.

    Parameters
    ----------
    node : list or tuple
    """
    texts: list[str] = []
    for child in node:
        if isinstance(child, str):
            texts.append(child)
        elif isinstance(child, (list, tuple)) and (below := leaves(child)) is not None:
            texts += below
        else:
            return None
    return texts
