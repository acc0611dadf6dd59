"""The thread of iopub waits for the gate: so nobody who holds the gate waits for the thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import zmq

if TYPE_CHECKING:
    from ipykernel.iostream import IOPubThread, OutStream

__all__ = ["never_wait", "wait_for_room"]

_ROOM = 2000
"""How much may wait for the thread: as many wake-ups as one of its pipes holds."""


def never_wait(
    thread: type[IOPubThread], stream: type[OutStream], holds_gate: Callable[[], bool]
) -> None:
    """Let no thread that holds the gate wait for the thread of iopub.

    Parameters
    ----------
    thread, stream : type
        The classes; their instances that exist are meant too.
    holds_gate : callable
        Tells whether the calling thread holds the gate.
    """
    if not hasattr(thread, "_event_pipe"):
        return  # a later ipykernel, which does it another way
    original = stream.flush

    def schedule(self: Any, f: Callable[[], Any]) -> None:
        if not holds_gate():
            wait_for_room(self)
        if not self.thread.is_alive():
            f()
            return
        self._events.append(f)
        # ipykernel waits while the pipe is full of wake-ups. At the next one all events are taken.
        with suppress(zmq.Again):
            self._event_pipe.send(b"", zmq.NOBLOCK)

    def flush(self: Any) -> None:
        if holds_gate() and self.pub_thread is not None:
            # A finalizer or a signal handler, while a message is masked.
            self.pub_thread.schedule(self._flush)
        else:
            original(self)  # type: ignore[no-untyped-call]

    thread.schedule = schedule  # type: ignore[method-assign]
    stream.flush = flush  # type: ignore[method-assign]


def wait_for_room(socket: Any) -> None:
    """Wait while too much waits for the thread of iopub.

    Parameters
    ----------
    socket : IOPubThread or BackgroundSocket
        At any other one nothing is waited for.
    """
    io = getattr(socket, "io_thread", socket)
    events = getattr(io, "_events", ())
    while len(events) > _ROOM and io.thread.is_alive():
        if io.thread is threading.current_thread():
            return
        time.sleep(0.001)
