"""Putting the guard on: what `hook` calls before a process becomes a kernel."""

from __future__ import annotations

from functools import wraps
from typing import Any

from kfsecrets_ext import __version__
from kfsecrets_ext.redaction import guard
from kfsecrets_ext.redaction.settings import Settings, read
from kfsecrets_ext.redaction.state import guarding

from .closed import announced, close_log, when_a_kernel_starts
from .completion import complete_names
from .descriptors import decode_whole_characters, mask_descriptors
from .gate import Gate
from .iopub import never_wait
from .knowledge import Knowledge
from .magic import register_magic
from .returning import keep_values

__all__ = ["put_on"]


def put_on() -> None:
    """Guard the kernel that this process becomes, unless an administrator turned that off."""
    global _is_on
    if _is_on:
        return
    _is_on = True
    settings = read()
    if not settings.on:
        where = " and ".join(settings.files)
        guarding().announce("off", f"An administrator turned it off, in {where}.")
        _announce_only()
        when_a_kernel_starts(lambda app: _greet(app, settings, None))
        return
    from ipykernel.iostream import IOPubThread, OutStream
    from jupyter_client.session import Session

    redactor = guard()
    redactor.public = settings.public
    knowledge = Knowledge(redactor)
    gate = Gate(redactor, knowledge)
    gate.close_on(Session)
    never_wait(IOPubThread, OutStream, gate.is_held)
    guarding().announce("on", settings.reason)

    def start(app: Any) -> None:
        try:
            keep_values()
            decode_whole_characters()
            with gate.lock:
                knowledge.start()
                knowledge.follow(gate.lock)
            mask_descriptors(redactor.stream, gate.text)
            _greet(app, settings, knowledge)
        except Exception as error:  # noqa: BLE001 - whatever it is, no output may pass
            gate.failure = f"The guard could not be started ({type(error).__name__})."
            guarding().announce("failed", gate.failure)
            close_log(gate.failure)

    when_a_kernel_starts(start)


_is_on = False


def _greet(app: Any, settings: Settings, knowledge: Knowledge | None) -> None:
    """Give the application's shell what a user has of the guard."""

    def there(change: Any) -> None:
        shell = change["new"]
        if shell is not None:
            register_magic(shell, settings, knowledge)
            complete_names(shell)

    app.observe(there, "shell")


def _announce_only() -> None:
    from jupyter_client.session import Session

    serialize = Session.serialize

    @wraps(serialize)
    def announcing(self: Any, msg: Any, ident: Any = None) -> Any:
        content = msg.get("content")
        if msg["header"]["msg_type"] == "kernel_info_reply" and isinstance(content, dict):
            said = announced("off", guarding().reason, __version__)
            msg = {**msg, "content": {**content, "kfsecrets": said}}
        return serialize(self, msg, ident)

    Session.serialize = announcing  # type: ignore[method-assign]
