"""Closing a kernel: where the guard fails, no output passes.

The wheel installs this file beside the packages too, as ``_kfsecrets_closed.py``. It needs the
standard library alone, so that it works whatever is wrong with the rest.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import wraps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = [
    "CLOSED",
    "announced",
    "blank",
    "close",
    "close_log",
    "is_request",
    "when_a_kernel_starts",
]

CLOSED = "[redacted: the guard of kfsecrets_ext failed, so this output is not shown]"
"""What stands for each output of a kernel whose guard failed."""


def announced(state: str, reason: str | None = None, version: str = "unknown") -> dict[str, Any]:
    """Return what a ``kernel_info_reply`` says of the guard."""
    return {"version": version, "guard": state, "reason": reason, "unguarded": []}


def close(reason: str) -> None:
    """Let no output of any Session of this process pass, nor of the process itself.

    Parameters
    ----------
    reason : str
        One sentence, for the ``kernel_info_reply`` and the log.
    """
    from jupyter_client.session import Message, Session

    class Passed(dict):  # type: ignore[type-arg]
        __slots__ = ()

    send, serialize = Session.send, Session.serialize

    def closed(session: Any, message: Any) -> Any:
        kind = message["header"]["msg_type"]
        content = message["content"]
        if isinstance(content, (bytes, str)):
            content = session.unpack(content)
        emptied = blank(kind, content or {}, CLOSED)
        if emptied is None:
            return None
        if kind == "kernel_info_reply":
            emptied["kfsecrets"] = announced("failed", reason)
        return Passed(message, content=emptied, metadata={}, buffers=[])

    def closed_send(  # noqa: PLR0917
        self: Any,
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
            message = dict(vars(msg_or_type) if isinstance(msg_or_type, Message) else msg_or_type)
        else:
            message = self.msg(msg_or_type, content, parent, header, metadata)
        if is_request(message["header"]["msg_type"]):
            return send(self, stream, Passed(message), ident=ident, buffers=buffers, track=track)
        passed = closed(self, message)
        return message if passed is None else send(self, stream, passed, ident=ident)

    def closed_serialize(self: Any, msg: Any, ident: Any = None) -> Any:
        if type(msg) is not Passed and not is_request(msg["header"]["msg_type"]):
            msg = closed(self, msg) or Passed(msg, content={}, metadata={})
        return serialize(self, msg, ident)

    Session.send = closed_send  # type: ignore[method-assign]
    Session.serialize = closed_serialize  # type: ignore[method-assign]
    when_a_kernel_starts(lambda _: close_log(reason))


def close_log(reason: str) -> None:
    """Lead file descriptors 1 and 2 nowhere: they are the pod's log.

    Parameters
    ----------
    reason : str
        One sentence, the last in the log.
    """
    with suppress(OSError):
        os.write(2, f"kfsecrets_ext: {reason} Nothing more is written here.\n".encode())
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(nowhere, number)
    if nowhere > 2:
        os.close(nowhere)


def when_a_kernel_starts(start: Callable[[Any], None]) -> None:
    """Call back once, before the application of a kernel reads its configuration.

    Parameters
    ----------
    start : callable
        Is given the application.
    """
    from IPython.core.application import BaseIPythonApplication

    initialize = BaseIPythonApplication.initialize
    started = False

    @wraps(initialize)
    def guarded(self: Any, argv: Any = None) -> Any:
        nonlocal started
        # By name: `python -m ipykernel.kernelapp` has a class of its own.
        if not started and any(one.__name__ == "IPKernelApp" for one in type(self).__mro__):
            started = True
            start(self)
        return initialize(self, argv)  # type: ignore[no-untyped-call]

    BaseIPythonApplication.initialize = guarded  # type: ignore[method-assign]


def is_request(kind: str) -> bool:
    """Tell whether a message is one that clients send, such as a kernel's own client."""
    return (kind.endswith("_request") and kind != "input_request") or kind == "input_reply"


# Nothing of the user's is in these.
_BARE = frozenset(
    {"status", "iopub_welcome", "clear_output", "kernel_info_reply", "is_complete_reply"}
    | {"shutdown_reply", "interrupt_reply", "connect_reply"}
    | {"create_subshell_reply", "delete_subshell_reply", "list_subshell_reply"}
)
# The kernel's part of a reply; numbers, and words of the debugger's.
_KEPT = ("execution_count", "cursor_start", "cursor_end", "wait", "password")
_DEBUG = ("type", "seq", "request_seq", "command", "event")
_STATUS = ("ok", "error", "abort", "aborted")


def blank(kind: str, content: dict[str, Any], text: str) -> dict[str, Any] | None:
    """Return a message's content with a text in place of all that may be the user's.

    Parameters
    ----------
    kind : str
        The message's type.
    content : dict
    text : str
        What is shown instead.

    Returns
    -------
    dict or None
        ``None`` where the message cannot do without its content.
    """
    status = content.get("status")
    failed = {"ename": "GuardFailed", "evalue": text, "traceback": [text]}
    if kind == "status" or (kind in _BARE and status != "error"):
        return dict(content)
    if kind.startswith("comm_") and not kind.endswith("_reply"):
        return None
    if kind in ("debug_reply", "debug_event"):
        kept = {key: content[key] for key in _DEBUG if isinstance(content.get(key), (str, int))}
        return {**kept, "success": False, "message": text, "body": {}}
    kept = {key: content[key] for key in _KEPT if isinstance(content.get(key), int)}
    if status is not None:
        kept["status"] = status if status in _STATUS else "error"
    if kind == "stream":
        name = content.get("name")
        return {"name": name if name == "stderr" else "stdout", "text": text + "\n"}
    if kind in ("display_data", "update_display_data", "execute_result"):
        return {**kept, "data": {"text/plain": text}, "metadata": {}, "transient": {}}
    if kind == "error" or kept.get("status") == "error":
        return {**kept, **failed}
    more: dict[str, dict[str, Any]] = {
        "execute_reply": {"user_expressions": {}, "payload": []},
        "complete_reply": {"matches": [], "metadata": {}},
        "inspect_reply": {"found": False, "data": {}, "metadata": {}},
        "history_reply": {"history": []},
        "comm_info_reply": {"comms": {}},
        "input_request": {"prompt": text},
        "execute_input": {"code": text},
    }
    return {**kept, **more.get(kind, {})}
