"""The kubelet's volume layout: which Secrets are mounted here, and their consistent reading.

The kubelet writes a volume as ``..data -> ..<generation>``, a directory that never changes, and
replaces the link at once when the Secret changes. Everything is read through one descriptor of
that directory, so that what is read together belongs together, and nothing outside is reached.
"""

from __future__ import annotations

from .discovery import Mount, find, roots
from .table import MountPoint, mount_table
from .volume import (
    LIMIT,
    KeyFile,
    Listing,
    Reading,
    Snapshot,
    list_key,
    list_keys,
    read_all,
    read_key,
)

__all__ = [
    "LIMIT",
    "KeyFile",
    "Listing",
    "Mount",
    "MountPoint",
    "Reading",
    "Snapshot",
    "find",
    "list_key",
    "list_keys",
    "mount_table",
    "read_all",
    "read_key",
    "roots",
]
