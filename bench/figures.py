"""One figure a claim: a ratio against a named peer, measured in the same run."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

__all__ = ["Figures", "interleaved"]


class Figures:
    """Prints each figure beside its limit; the process fails if one is broken."""

    def __init__(self) -> None:
        self._broken = False

    def ratio(self, claim: str, value: float, limit: float) -> None:
        """Print a ratio that may be ``limit`` at most."""
        holds = value <= limit
        self._broken |= not holds
        print(f"{claim}: {value:.3f} (limit {limit:g}) {'ok' if holds else 'BROKEN'}", flush=True)

    def at_least(self, claim: str, value: float, limit: float) -> None:
        """Print a ratio that must reach ``limit``."""
        holds = value >= limit
        self._broken |= not holds
        print(
            f"{claim}: {value:.3f} (at least {limit:g}) {'ok' if holds else 'BROKEN'}", flush=True
        )

    def count(self, claim: str, value: int, limit: int) -> None:
        """Print a count that may be ``limit`` at most."""
        holds = value <= limit
        self._broken |= not holds
        print(f"{claim}: {value} (limit {limit}) {'ok' if holds else 'BROKEN'}", flush=True)

    def finish(self) -> None:
        """End the process, with 1 if a limit is broken."""
        sys.exit(1 if self._broken else 0)


def interleaved(
    ours: Callable[[], object], peer: Callable[[], object], *, rounds: int = 31
) -> tuple[float, float]:
    """Time two callables in turn, so that a slow moment of the machine meets both.

    Returns
    -------
    (float, float)
        The median of each, in seconds.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for call, taken in zip((ours, peer), times, strict=True):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])
