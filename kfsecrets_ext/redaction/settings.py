"""What an administrator says of the guard: ``guard.json``, in the environment or in ``/etc``.

No environment variable and nothing in a home is looked at: whoever may set those is not the one
to decide.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .redactor import PUBLIC

__all__ = ["Settings", "places", "read"]

_LIMIT = 1 << 20


@dataclass(frozen=True)
class Settings:
    """What the files say together.

    Attributes
    ----------
    on : bool
        Whether outputs are masked.
    public : tuple of str
        Patterns of key names whose values are no secrets.
    files : tuple of str
        The files that were there.
    reason : str or None
        What is wrong with them; then the guard is on.
    """

    on: bool = True
    public: tuple[str, ...] = PUBLIC
    files: tuple[str, ...] = ()
    reason: str | None = None


def places() -> tuple[str, ...]:
    """Return the paths that are looked at."""
    return (
        os.path.join(sys.prefix, "etc", "kfsecrets", "guard.json"),
        os.path.join(os.sep, "etc", "kfsecrets", "guard.json"),
    )


def read(paths: Iterable[str] | None = None) -> Settings:
    """Read what an administrator set.

    The guard is off if one of the files says so and none is malformed; what each names public
    is public.

    Parameters
    ----------
    paths : iterable of str, optional
        Default is `places`.

    Returns
    -------
    Settings
    """
    on, public, files, problems = True, list(PUBLIC), [], []
    for path in places() if paths is None else paths:
        try:
            with open(path, encoding="utf-8") as file:
                said = json.loads(file.read(_LIMIT))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError) as error:
            said = None
            wrong: str | None = f"it cannot be read ({type(error).__name__})"
        else:
            wrong = _wrong(said)
        files.append(path)
        if wrong is not None:
            problems.append(f"{path}: {wrong}.")
            continue
        on = on and said.get("guard", "on") == "on"
        public += said.get("public", [])
    reason = f"{' '.join(problems)} The guard is on." if problems else None
    return Settings(on or bool(problems), tuple(dict.fromkeys(public)), tuple(files), reason)


def _wrong(said: Any) -> str | None:
    if not isinstance(said, dict):
        return "it is no JSON object"
    unknown = sorted(set(said) - {"guard", "public"})
    if unknown:
        return f"it knows no {', '.join(map(repr, unknown))}"
    if said.get("guard", "on") not in ("on", "off"):
        return 'guard is "on" or "off"'
    public = said.get("public", [])
    if not isinstance(public, list) or not all(isinstance(one, str) for one in public):
        return "public is a list of texts"
    return None
