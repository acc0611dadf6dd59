"""``%kfsecrets``: what the guard does, and why something was masked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from kfsecrets_ext.redaction import guard, marker
from kfsecrets_ext.redaction.settings import Settings
from kfsecrets_ext.redaction.state import Mask, guarding
from kfsecrets_ext.redaction.words import explain

if TYPE_CHECKING:
    from .knowledge import Knowledge

__all__ = ["describe", "explained", "register_magic"]

_MARKER = re.compile(r"\[redacted:(.*)\]")
_REASONS = {
    "short": "too short to be looked for",
    "common": "too common a word to be looked for",
    "public": "public, as guard.json or the key's name says",
}


def register_magic(shell: Any, settings: Settings, knowledge: Knowledge | None) -> None:
    """Give a shell the magic.

    Parameters
    ----------
    shell : InteractiveShell
    settings : Settings
    knowledge : Knowledge or None
        ``None`` where the guard is off.
    """

    def kfsecrets(line: str) -> None:
        """Show what the guard does; with a marker or a ``secret/key``, why that was masked."""
        print(explained(line.strip()) if line.strip() else describe(settings, knowledge))

    shell.register_magic_function(kfsecrets, "line", "kfsecrets")


def describe(settings: Settings, knowledge: Knowledge | None) -> str:
    """Say what the guard does.

    Parameters
    ----------
    settings : Settings
    knowledge : Knowledge or None

    Returns
    -------
    str
    """
    state = guarding()
    lines = [f"Guard: {state.state or 'not there'}. {state.reason or ''}".rstrip()]
    lines += [f"Set by {path}." for path in settings.files]
    if knowledge is None:
        return "\n".join(lines)
    lines.append(f"It knows {len(guard())} values, of {len(knowledge.labels)} keys.")
    if knowledge.note is not None:
        lines.append(knowledge.note)
    unguarded = knowledge.unguarded()
    if unguarded:
        lines += ["", "Not masked by value:"]
        lines += [
            f"  {one['secret']}/{one['key']}: {_REASONS.get(one['reason'], one['reason'])}"
            for one in unguarded
        ]
    recent = state.recent()
    lines += ["", "Masked lately:", *_lines(recent)] if recent else ["", "Nothing was masked yet."]
    lines += ["", "%kfsecrets secret/key (or a marker) says why that was masked."]
    return "\n".join(lines)


def explained(asked: str) -> str:
    """Say why something was masked.

    Parameters
    ----------
    asked : str
        A marker, or what stands in it.

    Returns
    -------
    str
        Never the value.
    """
    match = _MARKER.search(asked)
    label = match[1] if match else asked
    found = [mask for mask in guarding().recent() if mask.label == label]
    secret, _, key = label.partition("/")
    whose = f"key {key!r} of the Secret {secret!r}" if key else repr(label)
    if not found:
        return f"Nothing of {whose} was masked lately."
    return "\n".join([f"{marker(label)} stands for {whose}. Lately it was", *_lines(found)])


def _lines(masks: Iterable[Mask]) -> list[str]:
    return [
        f"  {mask.last:%H:%M:%S} UTC, {mask.count}×: {mask.label or 'a whole output'}: "
        f"{explain(mask.rule)}"
        for mask in masks
    ]
