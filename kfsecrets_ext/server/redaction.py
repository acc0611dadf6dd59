"""What can be said of the masking of values with no kernel asked and no value read."""

from __future__ import annotations

import os
import site
from typing import Any

from kfsecrets_ext.redaction import marker, settings
from kfsecrets_ext.redaction.forms import AT_BOUNDARIES, WHOLE_FIELD
from kfsecrets_ext.redaction.parts import ANYWHERE
from kfsecrets_ext.redaction.words import RULES

__all__ = ["describe"]

_HOOK = (
    "_kfsecrets_guard.pth",
    "_kfsecrets_guard.start",
    "_kfsecrets_guard.py",
    "_kfsecrets_closed.py",
)

# Which values are masked where: from so many bytes, to so many.
_SIZES = (
    (ANYWHERE, None, "masked wherever they stand, and however they are written"),
    (AT_BOUNDARIES, ANYWHERE - 1, "masked where no letter or digit touches them"),
    (WHOLE_FIELD, AT_BOUNDARIES - 1, "masked where they are a whole line, string or field"),
    (1, WHOLE_FIELD - 1, "not masked; nor are, at any length, common words and small numbers"),
)

_NOTE = (
    "This is the server's environment. Whether a kernel is guarded, it says itself, in its "
    "kernel_info_reply."
)


def describe() -> dict[str, Any]:
    """Describe how values are masked, and whether kernels of this environment are guarded.

    Returns
    -------
    dict
        The body of ``GET redaction``.
    """
    policy = settings.read()
    return {
        "marker": marker("<secret>/<key>"),
        "sizes": [{"from": low, "to": high, "text": text} for low, high, text in _SIZES],
        "rules": [{"rule": rule, "text": text} for rule, text in RULES.items()],
        "public": list(policy.public),
        "policy": {
            "guard": "on" if policy.on else "off",
            "places": list(settings.places()),
            "files": list(policy.files),
            "reason": policy.reason,
        },
        "hook": _hook(),
        "notes": [_NOTE],
    }


def _hook() -> dict[str, Any]:
    """Say whether Python starts the guard by itself, as it does from the top of site-packages."""
    directories = [*site.getsitepackages()]
    if site.ENABLE_USER_SITE and site.USER_SITE:
        directories.append(site.USER_SITE)
    found: list[str] = []
    for directory in directories:
        here = [path for name in _HOOK if os.path.isfile(path := os.path.join(directory, name))]
        if len(here) > len(found):
            found = here
    missing = [name for name in _HOOK if name not in map(os.path.basename, found)]
    reason = (
        f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not at the top of "
        "site-packages: install kfsecrets_ext from its wheel."
        if missing
        else None
    )
    return {"installed": not missing, "files": found, "reason": reason}
