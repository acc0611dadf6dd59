"""The embedded default: a notebook pod on this machine, for seeing and learning."""

from __future__ import annotations

from kfsecrets_ext.errors import SecretError

__all__ = ["DemoError"]


class DemoError(SecretError):
    """The demo cannot do what was asked; the text says why and what to do."""
