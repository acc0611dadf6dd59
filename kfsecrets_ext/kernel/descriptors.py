"""The pod's log: what reaches the process's own stdout and stderr is masked as outputs are.

File descriptors 1 and 2 become pipes before the kernel copies them, and a thread writes what
comes out of them to where they led. So it does not matter who writes, or through which copy.
"""

from __future__ import annotations

import atexit
import codecs
import fcntl
import os
import select
import stat
import sys
import termios
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from kfsecrets_ext.redaction import Stream

from .streams import WAIT

__all__ = ["decode_whole_characters", "mask_descriptors"]

_CHUNK = 1 << 16
_LAST = 1.0  # s


class _Descriptor:
    """One descriptor: the pipe that stands for it, and where it led.

    Attributes
    ----------
    pipe : int
    due : float or None
        When what waits has to go on.
    is_done : bool
        Whether nobody can write to the pipe any more.
    """

    def __init__(self, number: int, stream: Stream, show: Callable[[Stream, str], str]):
        self._stream = stream
        self._show = show
        self._decoder = _decoder("surrogateescape")
        self.due: float | None = None
        self.is_done = False
        self._real = os.dup(number)
        self.pipe, end = os.pipe()
        os.set_blocking(self.pipe, False)
        for standard in (sys.__stdout__, sys.__stderr__):
            with suppress(Exception):
                standard.flush()  # type: ignore[union-attr]
        os.dup2(end, number)
        os.close(end)

    def read(self) -> bool:
        """Pass on what is there; tell whether there was any."""
        try:
            data = os.read(self.pipe, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self.is_done = True
            return False
        if self.due is None:
            self.due = time.monotonic() + WAIT
        text = self._decoder.decode(data)
        if text:
            self._write(self._show(self._stream, text))
        return True

    def flush(self) -> None:
        """Let go what waits, but for a part of a character: half of one hides a value."""
        self.due = None
        self._write(self._show(self._stream, ""))

    def finish(self) -> None:
        """Let go all."""
        while self.read():
            pass
        text = self._decoder.decode(b"", final=True)
        self._write(self._show(self._stream, text) if text else "")
        self.flush()

    def _write(self, text: str) -> None:
        data = memoryview(text.encode("utf-8", "surrogateescape"))
        # Whoever read it is gone, or full: the kernel goes on.
        with suppress(OSError):
            while data:
                data = data[os.write(self._real, data) :]


def mask_descriptors(make: Callable[[], Stream], show: Callable[[Stream, str], str]) -> None:
    """Mask what is written to file descriptors 1 and 2 from now on.

    Parameters
    ----------
    make : callable
        Makes a `Stream`.
    show : callable
        Is given a stream and text, or ``""`` to let go what waits; returns what can be shown.
    """
    descriptors = []
    for number in (1, 2):
        with suppress(OSError):  # closed: nobody reads it
            descriptors.append(_Descriptor(number, make(), show))
    if not descriptors:
        return
    lock = threading.Lock()
    owner = os.getpid()
    thread = threading.Thread(target=_run, args=(descriptors, lock), name="kfsecrets-log")
    thread.daemon = True
    # debugpy: a breakpoint must not stop what others wait for.
    thread.pydev_do_not_trace = True  # type: ignore[attr-defined]
    thread.is_pydev_daemon_thread = True  # type: ignore[attr-defined]
    thread.start()

    def finish() -> None:
        if os.getpid() != owner:
            return
        for standard in (sys.__stdout__, sys.__stderr__):
            with suppress(Exception):
                standard.flush()  # type: ignore[union-attr]
        # ipykernel's own thread may still have to read what was written last, and to copy it.
        give_up = time.monotonic() + _LAST
        while any(map(_holds_more, (1, 2))) and time.monotonic() < give_up:
            time.sleep(0.001)
        time.sleep(0.01)
        with lock:
            for one in descriptors:
                one.finish()

    atexit.register(finish)


def _holds_more(number: int) -> bool:
    """Tell whether a descriptor is a pipe in which something waits to be read."""
    try:
        if not stat.S_ISFIFO(os.fstat(number).st_mode):
            return False
        return any(fcntl.ioctl(number, termios.FIONREAD, bytes(4)))
    except OSError:
        return False


def _run(descriptors: list[_Descriptor], lock: threading.Lock) -> None:
    poll = select.poll()
    by_pipe = {one.pipe: one for one in descriptors}
    for pipe in by_pipe:
        poll.register(pipe, select.POLLIN)
    while True:
        due = [one.due for one in descriptors if one.due is not None]
        wait = max(0.0, min(due) - time.monotonic()) * 1000 if due else None
        ready = poll.poll(wait)
        with lock:
            for pipe, _ in ready:
                by_pipe[pipe].read()
                if by_pipe[pipe].is_done:
                    # Else it would be ready for ever.
                    poll.unregister(pipe)
            now = time.monotonic()
            for one in descriptors:
                if one.due is not None and one.due <= now:
                    one.flush()


def decode_whole_characters() -> None:
    """Have ipykernel decode captured output by whole characters.

    It reads a thousand bytes at a time, and a character that lies across two readings becomes
    two question marks: a value with one in it would no longer be recognised. A part of a
    character waits for the rest.
    """
    from ipykernel.iostream import OutStream

    def watch(self: Any) -> None:
        if self._fid is None:
            return
        decoder = _decoder("replace")
        try:
            data = os.read(self._fid, _CHUNK)
            while data and self._should_watch:
                text = decoder.decode(data)
                if text:
                    self.write(text)
                os.write(self._original_stdstream_copy, data)
                data = os.read(self._fid, _CHUNK)
        except Exception:  # noqa: BLE001 - as ipykernel does: `close` shows it
            self._exc = sys.exc_info()

    OutStream._watch_pipe_fd = watch  # type: ignore[method-assign]


def _decoder(errors: str) -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")(errors)
