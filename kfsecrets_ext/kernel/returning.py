"""What comes back from a front end: a mask is never taken for a value.

A widget's value that was masked on its way out stands in the front end as its marker. When it is
sent back, in a form that is submitted, say, the kernel keeps the value that it has.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

__all__ = ["clean", "keep_values"]

_MARKER = re.compile(r"\[redacted[:\]]")


def keep_values() -> None:
    """Keep markers that front ends send from becoming values."""
    from comm.base_comm import CommManager
    from ipykernel.comm.manager import CommManager as KernelCommManager

    # ipykernel has a `comm_open` of its own, which does not call the one that it inherits.
    for manager in (CommManager, KernelCommManager):
        for name in ("comm_open", "comm_msg"):
            if name in vars(manager):
                setattr(manager, name, _after_cleaning(vars(manager)[name]))


def _after_cleaning(deliver: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(deliver)
    def cleaned(self: Any, stream: Any, ident: Any, msg: Any) -> Any:
        return deliver(self, stream, ident, msg) if clean(msg) else None

    return cleaned


def clean(message: dict[str, Any]) -> bool:
    """Take out of a comm's message what holds a marker.

    Parameters
    ----------
    message : dict
        Changed in place: the fields of a widget's state that hold one are left out.

    Returns
    -------
    bool
        Whether the rest can be delivered. What is no state cannot be taken apart.
    """
    content = message.get("content") or {}
    data = content.get("data")
    if not _holds_marker(data):
        return True
    if not isinstance(data, dict) or not isinstance(data.get("state"), dict):
        return False
    state = data["state"]
    masked = {name for name, value in state.items() if _holds_marker(value)}
    for name in masked:
        del state[name]
    _drop_buffers(message, data, masked)
    return not _holds_marker({**data, "state": None})


def _drop_buffers(message: dict[str, Any], data: dict[str, Any], masked: set[str]) -> None:
    paths, buffers = data.get("buffer_paths"), message.get("buffers")
    if not paths or not buffers:
        return
    kept = [
        (path, buffer)
        for path, buffer in zip(paths, buffers, strict=False)
        if not path or path[0] not in masked
    ]
    data["buffer_paths"] = [path for path, _ in kept]
    message["buffers"] = [buffer for _, buffer in kept]


def _holds_marker(node: Any) -> bool:
    if isinstance(node, str):
        return "[redacted" in node and _MARKER.search(node) is not None
    if isinstance(node, dict):
        return any(_holds_marker(key) or _holds_marker(one) for key, one in node.items())
    if isinstance(node, (list, tuple)):
        return any(map(_holds_marker, node))
    return False
