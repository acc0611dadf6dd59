"""What all tests share: the rig."""

from __future__ import annotations

pytest_plugins = ["rig.fixtures"]
