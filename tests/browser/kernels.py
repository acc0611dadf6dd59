"""Kernels: one with the guard, and some that say of theirs what a test wants to see."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from browser.jupyter import Jupyter

_TESTS = os.path.dirname(os.path.dirname(__file__))


def install(jupyter: Jupyter, name: str, announcement: Any = None, language: str = "python") -> str:
    """Make a kernel known to a server.

    Parameters
    ----------
    jupyter
        The server.
    name
        Of the kernel.
    announcement
        What its ``kernel_info_reply`` says of its guard; ``None`` where it says nothing. Below
        ``after_restart``, what it says from its second start on.
    language
        What it says that it runs.

    Returns
    -------
    str
        The name.
    """
    specification = {
        "argv": [sys.executable, "-m", "browser.kernels", "-f", "{connection_file}"],
        "language": language,
        "env": {
            "PYTHONPATH": _TESTS,
            "TEST_ANNOUNCEMENT": json.dumps(announcement),
            "TEST_LANGUAGE": language,
            # A process cannot know that it comes after a restart: a file tells.
            "TEST_STARTED": str(jupyter.files.parent / f"{name}-started"),
        },
    }
    return _install(jupyter, name, specification)


def install_guarded(jupyter: Jupyter) -> str:
    """Make a kernel known that has the guard, wherever this environment got the product from.

    Parameters
    ----------
    jupyter
        The server.

    Returns
    -------
    str
        Its name.
    """
    start = (
        "import runpy; from kfsecrets_ext.kernel.hook import wait; wait(); "
        "runpy.run_module('ipykernel_launcher', run_name='__main__')"
    )
    return _install(
        jupyter,
        "guarded",
        {"argv": [sys.executable, "-c", start, "-f", "{connection_file}"], "language": "python"},
    )


def _install(jupyter: Jupyter, name: str, specification: dict[str, Any]) -> str:
    directory = jupyter.files.parent / "data" / "kernels" / name
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "kernel.json").write_text(json.dumps({"display_name": name, **specification}))
    return name


def _run() -> None:
    # This environment puts the guard on each kernel; here the test speaks.
    sys.meta_path[:] = [
        one for one in sys.meta_path if getattr(one, "__module__", "") != "_kfsecrets_guard"
    ]

    from ipykernel.ipkernel import IPythonKernel
    from ipykernel.kernelapp import IPKernelApp

    said = json.loads(os.environ["TEST_ANNOUNCEMENT"])
    mark = os.environ["TEST_STARTED"]
    if said and "after_restart" in said:
        then = said.pop("after_restart")
        said = then if os.path.exists(mark) else said
    with open(mark, "w"):
        pass
    language = os.environ["TEST_LANGUAGE"]

    class Announcing(IPythonKernel):  # type: ignore[misc]
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            if language != "python":
                self.language_info = {**self.language_info, "name": language}
            self.shell.push({"mask": self.mask})

        @property
        def kernel_info(self) -> dict[str, Any]:
            info: dict[str, Any] = super().kernel_info
            return info if said is None else {**info, "kfsecrets": said}

        def mask(self, label: str, rule: str, count: Any = 1) -> None:
            """Print a marker, in a message that says so."""
            masked = [{"label": label, "rule": rule, "count": count}]
            self.session.send(
                self.iopub_socket,
                "stream",
                {"name": "stdout", "text": f"[redacted:{label}]\n"},
                parent=self.get_parent(),
                metadata={"kfsecrets": {"masked": masked}},
            )

    IPKernelApp.launch_instance(kernel_class=Announcing)


if __name__ == "__main__":
    _run()
