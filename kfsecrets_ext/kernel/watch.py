"""Noticing that directories changed: by inotify, and by looking where there is none.

Asking costs one read of one descriptor, however many directories there are.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import time
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from functools import cache
from typing import Final, NamedTuple

__all__ = ["LOST", "Place", "Watch"]

LOST: Final = object()
"""A concern: a directory went away, and what comes in its place is not watched."""

# inotify(7): the numbers are those of sys/inotify.h
_MODIFY, _ATTRIB, _CLOSE_WRITE = 0x2, 0x4, 0x8
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE, _MOVE_SELF = 0x40, 0x80, 0x100, 0x200, 0x800
_DELETE_SELF, _OVERFLOW, _IGNORED = 0x400, 0x4000, 0x8000
_GONE = _DELETE_SELF | _MOVE_SELF | _IGNORED
_EXCL_UNLINK, _MASK_ADD = 0x04000000, 0x20000000
_CHANGES = (
    _MODIFY | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
)
_EVENT = struct.Struct("iIII")
_BUFFER = 1 << 16

_SWEEP = 2.0
"""How often directories are looked at beside inotify, in seconds: not every file system tells."""

# And never for more than a part of the time.
_SHARE = 1000

_LOOK = 0.25
"""How often whoever waits looks at what inotify says nothing of, in seconds."""


class Place(NamedTuple):
    """A directory, and whom its changes concern.

    Attributes
    ----------
    path : str
        A directory.
    concern : hashable
        What is returned when it changed.
    names : frozenset of str or None
        The entries that matter; ``None`` for all but the kubelet's own.
    """

    path: str
    concern: Hashable
    names: frozenset[str] | None = None


class Watch:
    """Tells which concerns' directories changed since it was asked last.

    Parameters
    ----------
    inotify : bool
        Whether to try inotify at all.
    clock : callable
    """

    def __init__(
        self, *, inotify: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._inotify = inotify
        self._clock = clock
        self._descriptor: int | None = None
        self._watches: dict[int, list[Place]] = {}
        self._seen: dict[Place, object] = {}
        self._next_sweep = 0.0
        # Those that inotify says nothing of: its limit was reached, or there is none.
        self._untold: list[Place] = []

    def over(self, places: Iterable[Place]) -> None:
        """Watch these directories, and no others.

        Parameters
        ----------
        places : iterable of Place
        """
        places = tuple(dict.fromkeys(places))
        # The descriptor stays, for whoever waits on it.
        if self._descriptor is None:
            self._open()
        before, self._watches = self._watches, {}
        # Added before it is looked at: a change in between is told twice, not never.
        self._untold = [place for place in places if not self._add(place)]
        for watch in before.keys() - self._watches.keys():
            _libc().inotify_rm_watch(self._descriptor, watch)
        self._seen = {place: _signature(place) for place in places}
        self._next_sweep = self._clock() + _SWEEP

    def changed(self) -> set[Hashable]:
        """Return whom changes concern."""
        concerns: set[Hashable] = set()
        if self._descriptor is not None:
            try:
                while data := os.read(self._descriptor, _BUFFER):
                    concerns |= self._concerns(data)
            except BlockingIOError:
                pass
            except OSError:
                # Code that closes every descriptor closed this one.
                self._descriptor, self._watches = None, {}
                concerns.add(LOST)
        if self._untold:
            concerns |= self._look(self._untold)
        if self._clock() >= self._next_sweep:
            concerns |= self._sweep()
        return concerns

    def wait(self) -> None:
        """Wait until it is worth asking; by another thread than those that ask, if need be."""
        descriptor = self._descriptor
        poll = select.poll()
        if descriptor is not None:
            poll.register(descriptor, select.POLLIN)
        told = descriptor is not None and not self._untold
        poll.poll(1000 * (_SWEEP if told else _LOOK))

    def close(self) -> None:
        """Watch nothing."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)
        self._descriptor = None
        self._watches = {}
        self._seen = {}
        self._untold = []

    def _open(self) -> None:
        if not self._inotify:
            return
        try:
            init = _libc().inotify_init1
        except (AttributeError, OSError):
            return
        descriptor = init(os.O_NONBLOCK | os.O_CLOEXEC)
        self._descriptor = descriptor if descriptor >= 0 else None

    def _add(self, place: Place) -> bool:
        if self._descriptor is None:
            return False
        mask = _CHANGES | _EXCL_UNLINK | _MASK_ADD
        path = os.fsencode(place.path)
        watch = _libc().inotify_add_watch(self._descriptor, path, ctypes.c_uint32(mask))
        if watch < 0:
            return False
        self._watches.setdefault(watch, []).append(place)
        return True

    def _concerns(self, data: bytes) -> set[Hashable]:
        concerns: set[Hashable] = set()
        position = 0
        while position + _EVENT.size <= len(data):
            watch, mask, _, size = _EVENT.unpack_from(data, position)
            position += _EVENT.size
            name = os.fsdecode(data[position : position + size].rstrip(b"\0"))
            position += size
            if mask & _OVERFLOW:
                told = {place.concern for places in self._watches.values() for place in places}
                return told | {LOST}
            if mask & _GONE and watch in self._watches:
                concerns.add(LOST)
            for place in self._watches.get(watch, ()):
                if not name or _matters(place, name):
                    concerns.add(place.concern)
        return concerns

    def _sweep(self) -> set[Hashable]:
        began = self._clock()
        concerns = self._look(self._seen)
        ended = self._clock()
        self._next_sweep = ended + max(_SWEEP, _SHARE * (ended - began))
        return concerns

    def _look(self, places: Iterable[Place]) -> set[Hashable]:
        concerns: set[Hashable] = set()
        for place in places:
            now = _signature(place)
            if now != self._seen[place]:
                self._seen[place] = now
                concerns.add(place.concern)
        return concerns


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _matters(place: Place, name: str) -> bool:
    if place.names is not None:
        return name in place.names
    # kubelet: names that start with ".." are the writer's own; all becomes visible with ..data
    return name == "..data" or not name.startswith("..")


def _signature(place: Place) -> object:
    """Return what changes when the directory does."""
    if place.names is not None:
        return tuple(_status(os.path.join(place.path, name)) for name in sorted(place.names))
    try:
        return os.readlink(os.path.join(place.path, "..data"))
    except OSError:
        pass
    try:
        with os.scandir(place.path) as entries:
            files = [(one.name, _status(one.path)) for one in entries]
    except OSError:
        return None
    return sorted(files)


def _status(path: str) -> tuple[int, ...] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_ctime_ns, status.st_size, status.st_dev
