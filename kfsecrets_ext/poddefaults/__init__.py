"""The PodDefault: what it is, what the webhook does with it, and what is wrong with it.

`admit` says what the webhook would do with a pod; `lint` says what is wrong with the PodDefaults
of a namespace; `read_manifests` and `write_manifests` take what users have; `render` writes what
this package applies.
"""

from __future__ import annotations

from .admission import ANNOTATION_PREFIX, PROFILE_LABEL, Admission, Conflict, admit, stamp
from .findings import CODES, Finding, Severity
from .lint import lint
from .model import Manifests, NotAManifest, PodDefault, read_manifests, write_manifests
from .render import (
    LONGEST_NAME,
    MANAGED_BY,
    PODINFO_MOUNT,
    PODINFO_VOLUME,
    render,
    volume_name,
)

__all__ = [
    "ANNOTATION_PREFIX",
    "CODES",
    "LONGEST_NAME",
    "MANAGED_BY",
    "PODINFO_MOUNT",
    "PODINFO_VOLUME",
    "PROFILE_LABEL",
    "Admission",
    "Conflict",
    "Finding",
    "Manifests",
    "NotAManifest",
    "PodDefault",
    "Severity",
    "admit",
    "lint",
    "read_manifests",
    "render",
    "stamp",
    "volume_name",
    "write_manifests",
]
