"""What the guard of this process does: whether it is on, and what it masked lately."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal

__all__ = ["GuardState", "Guarding", "Mask", "guarding"]

GuardState = Literal["on", "off", "failed"]

_LATELY = 50


@dataclass(frozen=True)
class Mask:
    """What was masked in outputs, without a word of it.

    Attributes
    ----------
    label : str
        Secret and key.
    rule : str
        As `kfsecrets_ext.redaction.words.explain` takes it.
    count : int
        How often.
    last : datetime
        When for the last time.
    """

    label: str
    rule: str
    count: int
    last: datetime


class Guarding:
    """The state of a guard, and what it masked lately; safe to use from several threads.

    Parameters
    ----------
    now : callable, optional
        The clock.

    Attributes
    ----------
    state : {"on", "off", "failed"} or None
        ``None`` where no guard was ever put on: then nothing is masked.
    reason : str or None
        Why it is off or failed.
    """

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)) -> None:
        self._now = now
        # Held again by a finalizer that sends, where garbage is collected meanwhile.
        self._lock = threading.RLock()
        self._masks: dict[tuple[str, str], Mask] = {}
        self.state: GuardState | None = None
        self.reason: str | None = None

    def announce(self, state: GuardState, reason: str | None = None) -> None:
        """Say what the guard is.

        Parameters
        ----------
        state : {"on", "off", "failed"}
        reason : str, optional
            One sentence.
        """
        with self._lock:
            self.state, self.reason = state, reason

    def note(self, label: str, rule: str, count: int = 1) -> None:
        """Remember what was masked.

        Parameters
        ----------
        label, rule : str
            Those of a finding.
        count : int, optional
        """
        with self._lock:
            known = self._masks.pop((label, rule), None)
            before = 0 if known is None else known.count
            self._masks[label, rule] = Mask(label, rule, before + count, self._now())
            if len(self._masks) > _LATELY:
                del self._masks[next(iter(self._masks))]

    def recent(self) -> tuple[Mask, ...]:
        """Return what was masked, the latest first: each label and rule once, 50 at most."""
        with self._lock:
            return tuple(reversed(self._masks.values()))

    def __repr__(self) -> str:
        return f"Guarding({self.state!r}, {len(self._masks)} masks)"


_guarding = Guarding()


def guarding() -> Guarding:
    """Return what the guard of this process does.

    Returns
    -------
    Guarding
    """
    return _guarding
