"""What runs inside the IPython kernel."""

from __future__ import annotations

from .completion import complete_names

__all__ = ["complete_names"]
