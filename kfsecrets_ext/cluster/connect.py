"""Find the cluster to work on."""

from __future__ import annotations

import os
from pathlib import Path

from kfsecrets_ext.errors import Unreachable

from .protocol import Cluster

__all__ = ["connect"]


def connect(
    *,
    kubeconfig: str | os.PathLike[str] | None = None,
    context: str | None = None,
    impersonate: str | None = None,
    workers: int = 16,
) -> Cluster:
    """Connect to a cluster.

    With none of the first three given, ``$KFSECRETS_CLUSTER`` names the directory of an embedded
    cluster. Else the kubeconfig (``$KUBECONFIG``, ``~/.kube/config``), and without one this pod's
    service account. Nothing is asked yet.

    Parameters
    ----------
    kubeconfig : path, optional
        One file.
    context : str, optional
        Default is the kubeconfig's current one.
    impersonate : str, optional
        The user to act as.
    workers : int
        How many requests may run at once.

    Returns
    -------
    Cluster

    Raises
    ------
    Unreachable
        There is no cluster to connect to.
    ClusterError
        The kubeconfig cannot be used.
    """
    home = os.environ.get("KFSECRETS_CLUSTER")
    if home and kubeconfig is None and context is None and impersonate is None:
        if not os.path.isdir(home):
            # whoever means to make one takes `Embedded` itself
            what = "no directory" if os.path.lexists(home) else "not there"
            raise Unreachable(
                f"there is no cluster to ask: KFSECRETS_CLUSTER names {home}, which is {what}. "
                "`jupyter kfsecrets demo` makes an embedded cluster, and an empty directory is one."
            )
        from .embedded import Embedded

        return Embedded(Path(home), workers=workers)
    from .kubernetes import Kubernetes

    place = None if kubeconfig is None else os.fspath(kubeconfig)
    return Kubernetes.connect(
        kubeconfig=place, context=context, impersonate=impersonate, workers=workers
    )
