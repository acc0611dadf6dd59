"""Ports for programs that have to be told theirs before they start."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def reserved(count: int = 1) -> Iterator[tuple[int, ...]]:
    """Keep ports of loopback from all who ask for any port, until whoever is told them listens.

    Linux: of sockets with SO_REUSEADDR, which servers set, only one that listens is in the way of
    another. So a program can listen on a port that is held here, and nobody gets it by chance.

    Parameters
    ----------
    count : int
    """
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(("127.0.0.1", 0))
        yield tuple(one.getsockname()[1] for one in held)
