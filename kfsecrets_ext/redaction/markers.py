"""The text that stands for a value, and where it stands already."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

__all__ = ["MARKER", "marker", "marker_begun", "markers"]

MARKER = "[redacted:"
"""How every marker begins."""


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


def markers(text: str, labels: AbstractSet[str], longest: int) -> Iterator[tuple[int, int]]:
    """Yield where markers of labels stand, in order.

    Parameters
    ----------
    text : str
    labels : set of str
    longest : int
        The length of the longest label.
    """
    start = text.find(MARKER)
    while start >= 0:
        first = start + len(MARKER)
        end = text.find("]", first)
        found = -1
        # A label may hold a bracket itself: the longest one counts.
        while 0 <= end <= first + longest:
            if text[first:end] in labels:
                found = end + 1
            end = text.find("]", end + 1)
        if found >= 0:
            yield start, found
        start = text.find(MARKER, max(found, start + 1))


def marker_begun(text: str, labels: AbstractSet[str], longest: int, position: int = 0) -> int:
    """Return where an unfinished marker begins, from a position on, else the length."""
    at = text.find("[", max(position, len(text) - len(marker("")) - longest))
    while at >= 0:
        rest = text[at:]
        if MARKER.startswith(rest[: len(MARKER)]) and any(
            marker(label).startswith(rest) and len(rest) < len(marker(label)) for label in labels
        ):
            return at
        at = text.find("[", at + 1)
    return len(text)
