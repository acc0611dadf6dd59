"""What this process knows to be secret, and the masking of it.

There is one record a process, `guard`: whatever hands a value to a user tells the record first.
Values of earlier generations stay known for the life of the process, since outputs that were
produced before a rotation may still hold them.
"""

from __future__ import annotations

import threading

from .redactor import PUBLIC, Finding, Masked, Redactor, marker
from .stream import FAILED, Stream

__all__ = [
    "FAILED",
    "PUBLIC",
    "Finding",
    "Masked",
    "Redactor",
    "Stream",
    "guard",
    "marker",
]

_lock = threading.Lock()
_guard: Redactor | None = None


def guard() -> Redactor:
    """Return the one redactor of this process.

    Returns
    -------
    Redactor
        Shared by `get_secret`, `secrets.register` and everything else that hands out values.
    """
    global _guard
    if _guard is None:
        with _lock:
            if _guard is None:
                _guard = Redactor()
    return _guard
