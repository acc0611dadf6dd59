"""The gate: every message of every Session passes it, and leaves masked or not at all."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kfsecrets_ext import __version__
from kfsecrets_ext.redaction import FAILED, Redactor, Stream
from kfsecrets_ext.redaction.state import guarding

from .closed import CLOSED, announced, blank, is_request
from .content import Masker, is_plain
from .iopub import wait_for_room
from .knowledge import Knowledge
from .streams import Channel, Channels, Timer

if TYPE_CHECKING:
    from jupyter_client.session import Session

__all__ = ["Gate"]


class Gate:
    """Masks messages on their way out.

    Parameters
    ----------
    redactor : Redactor
    knowledge : Knowledge
        Brings what the redactor knows up to date before a message is looked at.

    Attributes
    ----------
    lock : threading.RLock
        Held while text is masked and sent, so that it is sent in order.
    failure : str or None
        Why nothing passes any more.
    """

    def __init__(self, redactor: Redactor, knowledge: Knowledge):
        self._redactor = redactor
        self._knowledge = knowledge
        self._channels = Channels(redactor)
        self._timer = Timer(self._flush_due)
        self.lock = threading.RLock()
        self.failure: str | None = None
        self._busy = False
        self._forked = False
        self._send: Callable[..., Any]
        self._serialize: Callable[..., Any]

    def is_held(self) -> bool:
        """Tell whether the calling thread holds the gate."""
        return self.lock._is_owned()  # type: ignore[attr-defined,no-any-return]

    def close_on(self, session: type[Session]) -> None:
        """Let no message of any Session pass but through this gate.

        Parameters
        ----------
        session : type
            The class; those that exist, their clones and later ones are all meant.
        """
        from jupyter_client.session import DONE, Message

        send, serialize = session.send, session.serialize
        self._send, self._serialize = send, serialize
        gate = self

        def guarded_send(  # noqa: PLR0917
            self: Session,
            stream: Any,
            msg_or_type: Any,
            content: Any = None,
            parent: Any = None,
            ident: Any = None,
            buffers: Any = None,
            track: bool = False,
            header: Any = None,
            metadata: Any = None,
        ) -> Any:
            if isinstance(msg_or_type, (Message, dict)):
                node = vars(msg_or_type) if isinstance(msg_or_type, Message) else msg_or_type
                message = dict(node)
                buffers = buffers or message.get("buffers") or []
            else:
                message = self.msg(msg_or_type, content, parent, header, metadata)
            if is_request(message["header"]["msg_type"]):
                message = _Passed(message)
                return send(self, stream, message, ident=ident, buffers=buffers, track=track)
            sent = gate.send(self, stream, message, ident, list(buffers or ()), track)
            if sent is None:
                message["tracker"] = DONE
                return message
            return sent

        def guarded_serialize(self: Session, msg: Any, ident: Any = None) -> Any:
            if type(msg) is not _Passed and not is_request(msg["header"]["msg_type"]):
                passed, _ = gate.passed(self, dict(msg), [])
                msg = passed or _Passed(msg, content={}, metadata={})
            return serialize(self, msg, ident)

        session.send = guarded_send  # type: ignore[method-assign]
        session.serialize = guarded_serialize  # type: ignore[method-assign]
        os.register_at_fork(
            before=self.lock.acquire,
            after_in_parent=self.lock.release,
            after_in_child=self._after_fork,
        )

    def send(  # noqa: PLR0917
        self,
        session: Session,
        socket: Any,
        message: dict[str, Any],
        ident: Any,
        buffers: list[Any],
        track: bool,
    ) -> Any:
        """Send a message, masked, after the text that waited for it.

        Parameters
        ----------
        session : Session
        socket : Socket, ZMQStream or IOPubThread
        message : dict
        ident : bytes or list of bytes
        buffers : list
        track : bool

        Returns
        -------
        dict or None
            What was sent; ``None`` where nothing was, for now or at all.
        """
        kind = message["header"]["msg_type"]
        # It may run code of the user's, which may print: not while the gate is held.
        _make_plain(session, message)
        if not self.is_held():
            wait_for_room(socket)
        with self.lock:
            parent = message["parent_header"] or {}
            if self._busy:
                # A message in the middle of another's masking, from a finaliser, say.
                kind = ""
            busy, self._busy = self._busy, True
            try:
                if kind == "stream":
                    return self._send_text(session, socket, message, parent, ident)
                if kind:
                    for channel in self._channels.others(parent):
                        self._flush(channel)
                passed, buffers = self.passed(session, message, buffers)
            finally:
                self._busy = busy
            if passed is None:
                return None
            if _is_threaded(socket):
                # In order, and without waiting: the thread of iopub does that.
                return self._send(session, socket, passed, ident=ident, buffers=buffers)
        return self._send(session, socket, passed, ident=ident, buffers=buffers, track=track)

    def passed(
        self, session: Session, message: dict[str, Any], buffers: list[Any]
    ) -> tuple[dict[str, Any] | None, list[Any]]:
        """Return a message that may leave, or none, and its buffers.

        Parameters
        ----------
        session : Session
        message : dict
        buffers : list
        """
        kind = message["header"]["msg_type"]
        with self.lock:
            try:
                if kind == "status":
                    return _Passed(message), []
                _make_plain(session, message)
                self._look()
                masker = Masker(self._redactor)
                content = masker.content(kind, message["content"])
                metadata = masker.metadata(message.get("metadata") or {})
                buffers = masker.buffers(buffers)
                found = masker.found
            except Exception:  # noqa: BLE001 - whatever it is, the message must not pass
                emptied, metadata, buffers = blank(kind, _dict(message), CLOSED), {}, []
                if emptied is None:
                    return None, []
                content = emptied
                found = Counter({("", "failed"): 1})
            if kind == "kernel_info_reply":
                content["kfsecrets"] = self.announcement()
            return _Passed(message, content=content, metadata=_noted(metadata, found)), buffers

    def announcement(self) -> dict[str, Any]:
        """Return what a ``kernel_info_reply`` says of the guard."""
        if self.failure is not None:
            return announced("failed", self.failure, __version__)
        said = announced("on", guarding().reason, __version__)
        return {**said, "unguarded": self._knowledge.unguarded()}

    def text(self, stream: Stream, text: str) -> str:
        """Return what can be shown of a stream that is no message's.

        Parameters
        ----------
        stream : Stream
        text : str
            ``""`` for what waited.
        """
        with self.lock:
            try:
                self._look()
                shown = stream.feed(text) if text else stream.flush()
                return self._redactor.mask_hidden(shown).text
            except Exception:  # noqa: BLE001 - whatever it is, the text must not pass
                return CLOSED + "\n"

    def _look(self) -> None:
        if self.failure is not None:
            raise RuntimeError(self.failure)
        self._knowledge.refresh()

    def _send_text(
        self,
        session: Session,
        socket: Any,
        message: dict[str, Any],
        parent: dict[str, Any],
        ident: Any,
    ) -> Any:
        content = message["content"]
        name, text = content.get("name"), content.get("text")
        if name not in ("stdout", "stderr") or not isinstance(text, str):
            passed, _ = self.passed(session, message, [])
            return self._send(session, socket, passed, ident=ident)

        metadata, found = self._metadata(message)

        def send(channel: Channel, text: str, sent: dict[str, Any] | None = None) -> Any:
            if sent is None:
                # As OutStream does: what is sent from a fork is meant.
                session.pid = os.getpid()
                sent = session.msg("stream", parent=message["parent_header"])
            noted = _noted(metadata, channel.found() + found)
            found.clear()
            passed = _Passed(sent, content={"name": channel.name, "text": text}, metadata=noted)
            return self._send(session, socket, passed, ident=ident)

        try:
            channel = self._channels.get(name, parent)
        except Exception:  # noqa: BLE001 - whatever it is, the text must not pass
            passed = _Passed(message, content=blank("stream", content, CLOSED), metadata={})
            return self._send(session, socket, passed, ident=ident)
        channel.send = send
        for other in self._channels.others(parent, but=channel):
            self._flush(other)
        try:
            self._look()
            shown = channel.feed(text)
            if self._forked or not _is_threaded(socket) or not self._timer.start():
                # Nobody would come back for what waits.
                shown += channel.flush()
        except Exception:  # noqa: BLE001 - whatever it is, the text must not pass
            shown = CLOSED + "\n"
        for old in self._channels.surplus():
            self._flush(old)
        return send(channel, shown, message) if shown else None

    def _metadata(self, message: dict[str, Any]) -> tuple[dict[str, Any], Counter[tuple[str, str]]]:
        masker = Masker(self._redactor)
        try:
            if message.get("metadata"):
                self._look()
                return masker.metadata(message["metadata"]), masker.found
        except Exception:  # noqa: BLE001 - whatever it is, the metadata must not pass
            return {}, Counter({("", "failed"): 1})
        return {}, masker.found

    def _flush(self, channel: Channel) -> None:
        try:
            self._look()
            text = channel.flush()
        except Exception:  # noqa: BLE001
            text = FAILED + "\n"
        if text:
            channel.send(channel, text)

    def _flush_due(self, now: float) -> float | None:
        with self.lock:
            for channel in self._channels.due(now):
                self._flush(channel)
            return self._channels.next_due()

    def _after_fork(self) -> None:
        # Other threads are gone, and what waited is the parent's to send.
        self.lock.release()
        self._forked = True
        self._busy = False
        self._channels.forget()
        self._knowledge.after_fork()


class _Passed(dict):  # type: ignore[type-arg]
    """A message that has been looked at."""

    __slots__ = ()


def _make_plain(session: Session, message: dict[str, Any]) -> None:
    for part in ("content", "metadata"):
        node = message.get(part)
        if node is None:
            node = {}
        if isinstance(node, (bytes, str)):
            node = session.unpack(node)
        elif not is_plain(node):
            # As a client would see it.
            node = session.unpack(session.pack(node))
        message[part] = node


def _dict(message: Mapping[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    return content if isinstance(content, dict) else {}


def _noted(metadata: dict[str, Any], found: Counter[tuple[str, str]]) -> dict[str, Any]:
    if not found:
        return metadata
    for (label, rule), count in found.items():
        guarding().note(label, rule, count)
    masked = [
        {"label": label, "rule": rule, "count": count} for (label, rule), count in found.items()
    ]
    return {**metadata, "kfsecrets": {"masked": masked}}


def _is_threaded(socket: Any) -> bool:
    # ipykernel: IOPubThread, and the BackgroundSocket that stands for it, may be used by any thread
    return hasattr(socket, "schedule") or hasattr(type(socket), "io_thread")
