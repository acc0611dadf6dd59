"""The Chromium of the machine, started without what it would look up in the network by itself."""

from __future__ import annotations

import os
import shutil

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def path() -> str:
    """Where it is: ``CHROMIUM_PATH``, or the first in ``PATH``."""
    found = os.environ.get("CHROMIUM_PATH") or shutil.which("chromium")
    if not found:
        message = "Chromium is not installed: apt-get install chromium, or set CHROMIUM_PATH"
        raise FileNotFoundError(message)
    return found
