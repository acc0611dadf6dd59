"""Text that comes in pieces: what could still become a value waits, the rest goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from kfsecrets_ext.values import SecretStr

from .index import Index
from .scan import Range, marker, scan

__all__ = ["FAILED", "Stream"]

FAILED = "[redacted: masking failed, so this output is not shown]"
"""What stands for a text that could not be looked at."""

_CONTEXT = 512
_OFTEN = 1 << 12


class Stream:
    """Masks a text that comes in pieces as if it came whole.

    However the text is split, the pieces that `feed` and the last `flush` return, joined, are
    the same. A `flush` in between lets the waiting text go: where it is the beginning of a value,
    of eight characters or more, it goes masked, and so does what continues it.

    Attributes
    ----------
    found : collections.Counter
        How often each (label, rule) was masked.
    """

    def __init__(self, index: Callable[[], Index]):
        self._index = index
        self._waiting = SecretStr("")
        self._gone = 0
        self._masked = False
        self._before = SecretStr("")
        self._looked_at = 0
        self.found: Counter[tuple[str, str]] = Counter()

    def feed(self, text: str) -> str:
        """Take a piece of text.

        Parameters
        ----------
        text : str

        Returns
        -------
        str
            What can be shown now, of this piece and of earlier ones.
        """
        self._waiting = SecretStr(str.__add__(self._waiting, text))
        del text
        size = len(self._waiting)
        # A long match that grows slowly is not looked at again for each character.
        if size > _OFTEN and size - self._looked_at < self._looked_at // 4:
            return ""
        return self._guarded(final=False)

    def flush(self) -> str:
        """Let go what waits, because no more text comes for a while.

        Returns
        -------
        str
        """
        if len(self._waiting) == self._gone:
            return ""
        return self._guarded(final=True)

    def __repr__(self) -> str:
        return "Stream()"

    def _guarded(self, *, final: bool) -> str:
        try:
            return self._advance(final=final)
        except Exception:  # noqa: BLE001 - whatever it is, the text must not pass
            self._forget()
            return FAILED
        except BaseException as error:  # noqa: BLE001
            self._forget()
            stopped = type(error)
        # Outside of the handler, so that no frame that holds the text is shown with it.
        raise stopped

    def _forget(self) -> None:
        self._waiting = self._before = SecretStr("")
        self._gone = self._looked_at = 0
        self._masked = False

    def _advance(self, *, final: bool) -> str:
        text = self._waiting
        index = self._index()
        ranges: list[Range] = []
        quiet = index.settled(text) if index.is_quiet(text) else None
        if quiet is not None:
            # Most of what is printed.
            settled = quiet
        else:
            ranges, settled = scan(
                index,
                text,
                before=self._before,
                final=final,
                settle=True,
                continued=self._gone if self._masked else 0,
            )
        upto = len(text) if final else settled
        shown = self._shown(text, ranges, upto)
        self._before = SecretStr((self._before + _masked(text, ranges, settled))[-_CONTEXT:])
        if final:
            self._masked = any(one.end == upto for one in ranges)
        elif settled >= self._gone:
            self._masked = False
        self._gone = max(0, (upto if final else self._gone) - settled)
        self._waiting = SecretStr(text[settled:])
        self._looked_at = len(self._waiting)
        return shown

    def _shown(self, text: SecretStr, ranges: list[Range], upto: int) -> str:
        pieces = []
        position = self._gone
        for one in ranges:
            if one.start >= upto or one.end <= position:
                continue
            if one.start >= position:
                pieces.append(str.__getitem__(text, slice(position, one.start)))
            if one.start >= position or not self._masked:
                pieces.append(marker(one.label))
                self.found[one.label, one.rule] += 1
            position = one.end
        pieces.append(str.__getitem__(text, slice(position, max(position, upto))))
        return "".join(pieces)


def _masked(text: SecretStr, ranges: list[Range], upto: int) -> str:
    pieces: list[str] = []
    position = 0
    for one in ranges:
        if one.start >= upto:
            break
        pieces += (str(text[position : one.start]), marker(one.label))
        position = one.end
    pieces.append(str(text[position:upto]))
    return "".join(pieces)[-_CONTEXT:]
