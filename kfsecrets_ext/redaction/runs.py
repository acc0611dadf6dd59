"""Runs of base64 and hex, which are masked whole: a character at the edge would give bits away."""

from __future__ import annotations

import base64

from kfsecrets_ext.values import SecretBytes

from .forms import Form
from .ranges import Joined
from .views import fold

__all__ = ["LONGEST_RUN", "RUN", "holds_text", "run_around"]

RUN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_=-"
"""The bytes of both base64 alphabets: what an encoded value is a run of."""

LONGEST_RUN = 4096
"""So far to either side a run is followed."""

_DIGITS = b"0123456789abcdefABCDEF"
_TEXT = bytes(range(32, 127)) + b"\t\r\n"


def run_around(data: bytes, start: int, end: int, taken: Joined | None = None) -> tuple[int, int]:
    """Return the run around a piece, up to what is masked already.

    Parameters
    ----------
    data : bytes
    start, end : int
        The piece.
    taken : Joined, optional
        What is masked already.
    """
    before = data[max(0, start - LONGEST_RUN) : start]
    after = data[end : end + LONGEST_RUN]
    first = start - (len(before) - len(before.rstrip(RUN)))
    last = end + len(after) - len(after.lstrip(RUN))
    return (first, last) if taken is None else taken.free_around(start, end, first, last)


def holds_text(data: bytes, start: int, run: tuple[int, int], form: Form) -> bool:
    """Tell whether a run decodes to text, read so that the piece that begins there is met."""
    encoded = SecretBytes(data[slice(*run)].rstrip(b"="))
    if form.kind.phase is None:
        before = encoded[: start - run[0]]
        return (len(before) - len(before.rstrip(_DIGITS))) % 2 == 0
    if (start - run[0]) % 4 != form.kind.phase or encoded.find(b"=") >= 0:
        return False
    encoded = SecretBytes(encoded[: len(encoded) - (len(encoded) % 4 == 1)])
    text = SecretBytes(base64.b64decode(fold(encoded) + b"=" * (-len(encoded) % 4)))
    return not text.translate(None, _TEXT)
