"""Credentials that Kubeflow mounted into this notebook: by name, and never shown.

>>> from kfsecrets_ext import get_secret
>>> get_secret("test-secret", "foo")  # doctest: +SKIP
SecretStr('**********')
"""

# Importing the package must cost next to nothing: names are resolved on first use.

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .docker import get_docker_credentials
    from .reader import (
        get_secret,
        get_secret_bytes,
        get_secret_path,
        secret_environ,
        secrets,
    )
    from .table import list_secrets
    from .widget import CredentialsPanel as CredentialsPanel

__version__ = "0.1.0"

__all__ = [
    "get_docker_credentials",
    "get_secret",
    "get_secret_bytes",
    "get_secret_path",
    "list_secrets",
    "secret_environ",
    "secrets",
]

_MODULES = {
    "CredentialsPanel": "widget",
    "get_docker_credentials": "docker",
    "get_secret": "reader",
    "get_secret_bytes": "reader",
    "get_secret_path": "reader",
    "list_secrets": "table",
    "secret_environ": "reader",
    "secrets": "reader",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import sys
    from importlib import import_module

    value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    if "IPython" in sys.modules:
        import_module(".kernel", __name__).complete_names()
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "kfsecrets-ext"}]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from .server import KfSecretsExtension

    return [{"module": "kfsecrets_ext", "app": KfSecretsExtension}]


def load_ipython_extension(shell: Any) -> None:
    """Complete names in ``get_secret("…`` and the like: ``%load_ext kfsecrets_ext``."""
    from .kernel import complete_names

    complete_names(shell)
