"""The kubelet's loop: the pod's volumes follow the cluster, for as long as the demo runs.

``python -m kfsecrets_ext.demo.follow DIR PID`` does it beside a container that has become the pod,
until that process, its parent, ends.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kfsecrets_ext.cluster import SECRET
from kfsecrets_ext.errors import ClusterError

from .contents import NAMESPACE
from .kubelet import Refused
from .pod import DemoPod, find

__all__ = ["follow", "following"]

_PAUSE = 0.2  # s; in Kubernetes a minute and a half may pass


def follow(pod: DemoPod, stopped: Callable[[], bool]) -> None:
    """Project what changes, until told to stop.

    Parameters
    ----------
    pod : DemoPod
    stopped : callable
    """
    cluster = pod.cluster()
    seen: dict[str, str] | None = None
    while not stopped():
        # The directory may just be made anew, or taken away; what was refused is tried again.
        with contextlib.suppress(ClusterError, OSError, Refused):
            found = {
                secret["metadata"]["name"]: secret["metadata"]["resourceVersion"]
                for secret in cluster.list(SECRET, namespace=NAMESPACE, metadata_only=True)
            }
            if found != seen:
                pod.sync()
                seen = found
        time.sleep(_PAUSE)


@contextmanager
def following(pod: DemoPod) -> Iterator[None]:
    """Project what changes while a block runs.

    Parameters
    ----------
    pod : DemoPod
    """
    stop = threading.Event()
    thread = threading.Thread(target=follow, args=(pod, stop.is_set), name="kubelet", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def main(directory: str, parent: int) -> None:
    """Follow until the parent process ends, which may have ended before this one began."""
    with contextlib.suppress(KeyboardInterrupt):
        follow(find(Path(directory)), lambda: os.getppid() != parent)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
