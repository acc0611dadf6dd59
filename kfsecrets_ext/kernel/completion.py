"""Completion of Secret and key names in IPython, inside ``get_secret("…`` and ``secrets["…``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from kfsecrets_ext import inventory
from kfsecrets_ext.names import literal

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult

__all__ = ["candidates", "complete_names"]

_STRING = r"""(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
_OPEN = r"""(?P<quote>["'])(?P<typed>(?:\\.|(?!(?P=quote))[^\\\n])*)$"""
_CALL = r"\bget_secret(?:_bytes|_path)?\(\s*"

_NAME = re.compile(rf"(?:{_CALL}(?:name\s*=\s*)?|\bsecrets\[\s*){_OPEN}")
_KEY = re.compile(
    rf"(?:{_CALL}(?:name\s*=\s*)?(?P<called>{_STRING})\s*,\s*(?:key\s*=\s*)?"
    rf"|\bsecrets\[\s*(?P<indexed>{_STRING})\s*\]\s*\[\s*){_OPEN}"
)


def candidates(text: str) -> tuple[str, list[str]] | None:
    """Return what could stand at the end of a piece of code.

    Parameters
    ----------
    text : str
        The code up to the cursor.

    Returns
    -------
    (str, list of str) or None
        The part of the name that is typed already, and the names that fit, written as they
        stand in the string. ``None`` where no name is being typed.
    """
    match = _KEY.search(text)
    if match is not None:
        secret = inventory.collect().get(_value(match["called"] or match["indexed"]))
        names = [key.name for key in secret.keys] if secret is not None else []
    else:
        match = _NAME.search(text)
        if match is None:
            return None
        names = list(inventory.collect().names())
    typed = match["typed"]
    written = (literal(name, match["quote"])[1:-1] for name in names)
    return typed, [name for name in written if name.startswith(typed)]


def complete_names(shell: Any = None) -> None:
    """Complete names in an IPython shell from now on; a second call does nothing.

    Parameters
    ----------
    shell : InteractiveShell, optional
        Default is the running one; without any, nothing is done.
    """
    if shell is None:
        from IPython.core.getipython import get_ipython

        shell = get_ipython()
    completer = getattr(shell, "Completer", None)
    matchers = getattr(completer, "custom_matchers", None)
    if matchers is None or any(getattr(one, "matcher_identifier", "") == _ID for one in matchers):
        return
    matchers.insert(0, _matcher())


_ID = "kfsecrets_ext.names"


def _matcher() -> Any:
    from IPython.core.completer import SimpleCompletion, context_matcher

    def names(context: CompletionContext) -> SimpleMatcherResult:
        lines = context.full_text.split("\n")
        before = [
            *lines[: context.cursor_line],
            lines[context.cursor_line][: context.cursor_position],
        ]
        found = candidates("\n".join(before))
        typed, matching = found or ("", [])
        result = {
            "completions": [SimpleCompletion(text=name, type="secret") for name in matching],
            "matched_fragment": typed,
            "suppress": bool(matching),
        }
        return cast("SimpleMatcherResult", result)

    return context_matcher(identifier=_ID, priority=1000)(names)


def _value(literal: str) -> str:
    import ast

    try:
        return str(ast.literal_eval(literal))
    except (SyntaxError, ValueError):
        return ""
