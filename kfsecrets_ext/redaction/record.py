"""The record of known values: who they belong to, in the order they became known."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from kfsecrets_ext.values import SecretBytes

__all__ = ["Known", "Record"]


class Known:
    """One known value and the label that stands for it.

    Attributes
    ----------
    label : str
        What the marker says, for example ``"test-secret/foo"``.
    value : SecretBytes
        The value; text is kept as UTF-8.
    """

    __slots__ = ("label", "value")

    def __init__(self, label: str, value: SecretBytes):
        self.label = label
        self.value = value

    def __repr__(self) -> str:
        return f"Known({self.label!r})"


class Record:
    """A set of known values that only grows; safe to use from several threads.

    Attributes
    ----------
    version : int
        Rises with each value that was new, so that an index knows when it is old.
    """

    def __init__(self) -> None:
        # Held again by a finalizer that sends, where garbage is collected meanwhile.
        self._lock = threading.RLock()
        self._labels: dict[bytes, Known] = {}
        self.version = 0

    def add(self, label: str, value: bytes) -> None:
        """Remember a value. The first label that a value came with is kept."""
        known = self._labels
        if not value or value in known:
            return
        with self._lock:
            if value not in known:
                mine = value if type(value) is SecretBytes else SecretBytes(value)
                known[mine] = Known(label, mine)
                self.version += 1

    def known(self) -> tuple[Known, ...]:
        """Return what is known now, oldest first."""
        with self._lock:
            return tuple(self._labels.values())

    def state(self) -> tuple[int, tuple[Known, ...]]:
        """Return the version and what is known in it, oldest first."""
        with self._lock:
            return self.version, tuple(self._labels.values())

    def unknown(self, values: Mapping[str, bytes]) -> list[str]:
        """Return the keys whose values are not known yet."""
        known = self._labels
        return [key for key, value in values.items() if value not in known]

    def __len__(self) -> int:
        return len(self._labels)

    def __repr__(self) -> str:
        return f"Record({len(self)} values)"
