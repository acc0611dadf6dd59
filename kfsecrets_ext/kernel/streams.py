"""Streams of text, one for each name and parent: what waits, and when it goes on at the latest."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from kfsecrets_ext.redaction import Masked, Redactor, Stream

__all__ = ["Channel", "Channels", "Timer"]

WAIT = 0.2
"""How long text may wait, in seconds."""

_REMEMBERED = 256


class Channel:
    """A stream of one parent's, and what it takes to send a message of it.

    Attributes
    ----------
    name : str
        ``"stdout"`` or ``"stderr"``.
    parent : dict
        The parent's header.
    send : callable
        Sends a text; set by each message.
    due : float or None
        When text that may wait has to go on.
    """

    def __init__(
        self,
        name: str,
        parent: dict[str, Any],
        stream: Stream,
        mask_hidden: Callable[[str], Masked],
    ):
        self.name = name
        self.parent = parent
        self.send: Callable[[Channel, str], object] = lambda _, text: text
        self.due: float | None = None
        self._stream = stream
        self._mask_hidden = mask_hidden
        self._hidden: Counter[tuple[str, str]] = Counter()
        self._told: Counter[tuple[str, str]] = Counter()

    def feed(self, text: str) -> str:
        """Take text; return what can be shown now."""
        if self.due is None:
            self.due = time.monotonic() + WAIT
        return self._look_behind(self._stream.feed(text))

    def flush(self) -> str:
        """Return what waited."""
        self.due = None
        return self._look_behind(self._stream.flush())

    def found(self) -> Counter[tuple[str, str]]:
        """Return how often each (label, rule) was masked since this was asked last."""
        if self._stream.found == self._told and not self._hidden:
            return Counter()
        fresh = self._stream.found - self._told + self._hidden
        self._told = self._stream.found.copy()
        self._hidden.clear()
        return fresh

    def _look_behind(self, text: str) -> str:
        masked, findings = self._mask_hidden(text)
        self._hidden.update((one.label, one.rule) for one in findings)
        return masked


class Channels:
    """The streams of the latest parents.

    A thread may go on to print after its cell has ended, so they are kept for a while.

    Parameters
    ----------
    redactor : Redactor
    """

    def __init__(self, redactor: Redactor):
        self._redactor = redactor
        self._channels: OrderedDict[tuple[str, str], Channel] = OrderedDict()

    def get(self, name: str, parent: dict[str, Any]) -> Channel:
        """Return the stream of that name and parent."""
        key = (_identity(parent), name)
        channel = self._channels.get(key)
        if channel is None:
            stream = self._redactor.stream()
            channel = Channel(name, parent, stream, self._redactor.mask_hidden)
            self._channels[key] = channel
        else:
            self._channels.move_to_end(key)
        return channel

    def others(self, parent: dict[str, Any], but: Channel | None = None) -> Iterator[Channel]:
        """Yield the streams of a parent in which text may wait."""
        identity = _identity(parent)
        for (owner, _), channel in list(self._channels.items()):
            if owner == identity and channel is not but and channel.due is not None:
                yield channel

    def due(self, now: float) -> Iterator[Channel]:
        """Yield the streams whose text has waited long enough."""
        for channel in list(self._channels.values()):
            if channel.due is not None and channel.due <= now:
                yield channel

    def next_due(self) -> float | None:
        """Return when the next one is due."""
        return min(
            (one.due for one in self._channels.values() if one.due is not None), default=None
        )

    def surplus(self) -> Iterator[Channel]:
        """Forget the oldest streams, and yield each."""
        while len(self._channels) > _REMEMBERED:
            yield self._channels.popitem(last=False)[1]

    def forget(self) -> None:
        """Forget all: they are another process's."""
        self._channels.clear()


class Timer:
    """A thread that calls back when text is due.

    Parameters
    ----------
    flush : callable
        Is given the time, sends what is due, and returns when the next is.
    """

    def __init__(self, flush: Callable[[float], float | None]):
        self._flush = flush
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> bool:
        """See to text that was just taken; tell whether that can be done.

        Returns
        -------
        bool
            ``False`` where no thread can be started, for now.
        """
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="kfsecrets", daemon=True)
            # debugpy: a breakpoint must not stop what lets outputs go.
            thread.pydev_do_not_trace = True  # type: ignore[attr-defined]
            thread.is_pydev_daemon_thread = True  # type: ignore[attr-defined]
            try:
                thread.start()
            except RuntimeError:
                return False
            self._thread = thread
        self._wake.set()
        return True

    def _run(self) -> None:
        due: float | None = None
        while True:
            if due is None:
                self._wake.wait()
                self._wake.clear()
                due = time.monotonic() + WAIT
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                due = self._flush(time.monotonic())
            except Exception:  # noqa: BLE001 - a socket that is closed, say; others go on
                due = time.monotonic() + WAIT


def _identity(parent: dict[str, Any]) -> str:
    return str(parent.get("msg_id", ""))
