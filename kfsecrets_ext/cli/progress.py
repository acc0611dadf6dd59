"""How far a long command is: one line of a terminal that is written anew; nothing in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ProgressLine"]

_WIDTH = 30
_EVERY = 0.1  # s


class ProgressLine:
    """A bar on standard error, where that is a terminal; a context manager that clears it.

    Parameters
    ----------
    label : str
        What is being done.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._started = time.monotonic()
        self._written = 0.0
        self._shows = sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        """Show that so many of so many are done."""
        now = time.monotonic()
        if not self._shows or (done < total and now - self._written < _EVERY):
            return
        self._written = now
        filled = _WIDTH * done // max(total, 1)
        bar = "#" * filled + "." * (_WIDTH - filled)
        took = int(now - self._started)
        sys.stderr.write(f"\r\x1b[K{self._label} [{bar}] {done}/{total}  {took} s")
        sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._shows and self._written:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
