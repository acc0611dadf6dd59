"""The cluster that this pod runs in, where it may be asked."""

from __future__ import annotations

from .own import Identity, OwnPod, identity, own_pod

__all__ = ["Identity", "OwnPod", "identity", "own_pod"]
