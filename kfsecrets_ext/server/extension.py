"""The extension that Jupyter Server loads."""

from __future__ import annotations

from jupyter_server.extension.application import ExtensionApp

from .handlers import HANDLERS

__all__ = ["KfSecretsExtension"]


class KfSecretsExtension(ExtensionApp):
    """Tells the front end which credentials are in this pod.

    It has no options of its own: what a kernel reads and what the panel shows must be the same,
    so both go by the environment (``KFSECRETS_ROOTS`` and the like).
    """

    name = "kfsecrets_ext"
    handlers = HANDLERS
