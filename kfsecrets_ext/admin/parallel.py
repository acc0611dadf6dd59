"""Several requests at once, as many as the cluster's home allows, with a bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["in_order"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int
) -> Iterator[Result]:
    """Call a function with each item, several at once.

    Parameters
    ----------
    function : callable
    items : iterable
        It is read ahead by no more than is under way.
    workers : int

    Yields
    ------
    object
        The results, in the order of the items.
    """
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        running: deque[Future[Result]] = deque()
        try:
            for item in items:
                running.append(pool.submit(function, item))
                if len(running) >= 2 * workers:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for one in running:
                one.cancel()
