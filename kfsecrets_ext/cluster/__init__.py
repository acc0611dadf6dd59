"""The cluster that this pod runs in, or that an administrator works on.

`connect` gives a `Cluster`: the Kubernetes API, or the embedded cluster of a directory. The
Kubernetes client is imported when one is made, not before.
"""

from __future__ import annotations

from .connect import connect
from .guarded import LAST_APPLIED
from .kinds import (
    CLUSTERROLE,
    CLUSTERROLEBINDING,
    CRD,
    NAMESPACE,
    NOTEBOOK,
    POD,
    PODDEFAULT,
    PROFILE,
    ROLEBINDING,
    SECRET,
    STATEFULSET,
    WEBHOOK,
    WORKSPACE,
    Kind,
    kind_of,
)
from .own import Identity, OwnPod, identity, own_pod
from .protocol import FIELD_MANAGER, Cluster, Event

__all__ = [
    "CLUSTERROLE",
    "CLUSTERROLEBINDING",
    "CRD",
    "FIELD_MANAGER",
    "LAST_APPLIED",
    "NAMESPACE",
    "NOTEBOOK",
    "POD",
    "PODDEFAULT",
    "PROFILE",
    "ROLEBINDING",
    "SECRET",
    "STATEFULSET",
    "WEBHOOK",
    "WORKSPACE",
    "Cluster",
    "Event",
    "Identity",
    "Kind",
    "OwnPod",
    "connect",
    "identity",
    "kind_of",
    "own_pod",
]
