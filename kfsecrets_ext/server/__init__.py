"""The Jupyter Server extension: which credentials are in this pod, over HTTP, names only."""

from __future__ import annotations

from .extension import KfSecretsExtension

__all__ = ["KfSecretsExtension"]
