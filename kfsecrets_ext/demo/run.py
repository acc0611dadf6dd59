"""Running the demo: the pod's Jupyter from its start until somebody stops it."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import os
import secrets as random
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from kfsecrets_ext.values import SecretStr

from . import DemoError, janitor
from .follow import following
from .pod import TOUR, DemoPod, lay_out, reserved

__all__ = ["run"]

_PORT = 8888
_PREFIX = "kfsecrets-demo-"
_LOG_SHOWN = 15  # lines

_STARTED = """
A Kubeflow notebook pod runs on this machine. Open the tour:

    {url}

Try in a cell, or in a terminal of JupyterLab:
    from kfsecrets_ext import get_secret, list_secrets
    list_secrets()
    get_secret("test-secret", "foo")

Be the administrator: open setup.ipynb, or try in a terminal of JupyterLab:
    jupyter kfsecrets tenants

Rotate a secret, as an administrator would, from any terminal:
    {rotate}

All values are made up. Stop with Ctrl-C; {directory} {end}.
"""


def run(
    directory: Path | None,
    *,
    port: int | None,
    browser: bool,
    say: Callable[[str], None] = print,
) -> None:
    """Lay a pod out, run its Jupyter, and clean up when it is stopped.

    Parameters
    ----------
    directory : Path or None
        Kept at the end. With ``None``, a temporary one is made and removed.
    port : int or None
        With ``None``, 8888 or the next free one.
    browser : bool
        Whether to open the tour in a browser.
    say : callable
        Takes what the user is to read.

    Raises
    ------
    DemoError
        It cannot start, or ended by itself.
    """
    _check_installed()
    if port is not None:
        _check_free(port)
    with _stopping() as stopped, _janitor() as tell:
        temporary = directory is None
        if directory is None:
            directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
            tell(f"remove {directory}")
        try:
            with reserved(directory):
                pod = lay_out(directory)
                with following(pod):
                    _serve(
                        pod,
                        port=port,
                        browser=browser,
                        temporary=temporary,
                        stopped=stopped,
                        say=say,
                        tell=tell,
                    )
        finally:
            if temporary:
                janitor.clear(str(directory))


def _serve(
    pod: DemoPod,
    *,
    port: int | None,
    browser: bool,
    temporary: bool,
    stopped: _Stopped,
    say: Callable[[str], None],
    tell: Callable[[str], None],
) -> None:
    token = SecretStr(random.token_urlsafe(24))
    pod.configure_jupyter(token)
    with open(pod.log, "wb") as log:
        server = subprocess.Popen(
            _command(pod, port),
            cwd=pod.home,
            env=pod.environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Ctrl-C in the terminal is for the demo alone, which then stops the server in order.
            start_new_session=True,
        )
    tell(f"stop {server.pid}")
    try:
        address = _wait(pod, server, stopped)
        if address is not None:
            url = f"{address}lab/tree/{TOUR}?token={token}"
            say(_started(pod, url, temporary))
            if browser:
                _open(pod, url)
            while server.poll() is None and not stopped.asked:
                time.sleep(0.2)
    finally:
        status = server.poll()
        if status is None:
            _stop(server)
    if status:
        raise DemoError(_ended(pod, status, token))


def _command(pod: DemoPod, port: int | None) -> list[str]:
    # kubeflow: components/example-notebook-servers/jupyter/s6/services.d/jupyterlab/run.
    # There anybody who reaches the pod may use it; on this machine a token is asked for, other
    # sites get no answer, and only this machine reaches it.
    return [
        *(sys.executable, "-m", "jupyterlab"),
        f"--notebook-dir={pod.home}",
        "--ip=127.0.0.1",
        "--no-browser",
        "--allow-root",
        f"--port={port or _PORT}",
        f"--ServerApp.port_retries={0 if port else 50}",
        "--ServerApp.password=",
        "--ServerApp.allow_origin=",
        f"--ServerApp.base_url={pod.base_url}",
    ]


def _check_installed() -> None:
    for module in ("jupyterlab", "ipykernel"):
        if importlib.util.find_spec(module) is None:
            raise DemoError(
                "The demo needs JupyterLab, and it is not installed: "
                'pip install "kfsecrets-ext[demo]"'
            )


def _check_free(port: int) -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            reason = error.strerror
        else:
            return
    raise DemoError(
        f"Port {port} cannot be used: {reason}. Name another, or leave --port out to take the "
        "next free one."
    )


class _Stopped:
    """Whether the demo is to end.

    A plain attribute: the lock of an event may be held by the very thread that a signal's handler
    interrupts.
    """

    def __init__(self) -> None:
        self.asked = False


@contextlib.contextmanager
def _stopping() -> Iterator[_Stopped]:
    """Give what Ctrl-C, and each other request to end, sets."""
    stopped = _Stopped()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.asked = True

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [(number, signal.signal(number, stop)) for number in signals]
    try:
        yield stopped
    finally:
        for number, handler in before:
            signal.signal(number, handler)


@contextlib.contextmanager
def _janitor() -> Iterator[Callable[[str], None]]:
    """Start what cleans up if this process is killed, and give what tells it how."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", janitor.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
        text=True,
    )

    def tell(line: str) -> None:
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(f"{line}\n")
                process.stdin.flush()

    try:
        yield tell
    finally:
        tell("done")
        process.communicate()


def _wait(pod: DemoPod, server: subprocess.Popen[bytes], stopped: _Stopped) -> str | None:
    """Wait for the server's first answer; ``None`` if it ends, or is to end, before."""
    file = pod.runtime / f"jpserver-{server.pid}.json"
    while server.poll() is None and not stopped.asked:
        address = _address(file)
        if address is not None and _answers(*address):
            host, port, base = address
            return f"http://{host}:{port}{base}"
        time.sleep(0.05)
    return None


def _address(file: Path) -> tuple[str, int, str] | None:
    try:
        info: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return "127.0.0.1", int(info["port"]), str(info["base_url"])


def _answers(host: str, port: int, base: str) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", f"{base}api")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _started(pod: DemoPod, url: str, temporary: bool) -> str:
    rotate = f"jupyter kfsecrets demo --rotate test-secret --dir {shlex.quote(str(pod.directory))}"
    return _STARTED.format(
        url=url,
        rotate=rotate,
        directory=pod.directory,
        end="is removed then" if temporary else "is kept",
    )


def _open(pod: DemoPod, url: str) -> None:
    # Without a desktop, a browser that draws in the terminal would take it over.
    desktop = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "WSL_DISTRO_NAME")
    if sys.platform.startswith("linux") and not any(map(os.environ.get, desktop)):
        return
    # As Jupyter does: a browser's command line, and the token in it, would be for all to see.
    page = pod.runtime / "open.html"
    page.touch(mode=0o600)
    page.write_text(
        f'<!doctype html><meta http-equiv="refresh" content="0; url={url}">'
        f'<a href="{url}">The tour</a>\n',
        encoding="utf-8",
    )
    threading.Thread(target=webbrowser.open, args=(page.as_uri(),), daemon=True).start()


def _stop(server: subprocess.Popen[bytes]) -> None:
    waiting = threading.Thread(target=server.wait)
    waiting.start()
    janitor.end(server.pid)
    waiting.join()


def _ended(pod: DemoPod, status: int, token: str) -> str:
    how = f"with status {status}"
    if status < 0:
        with contextlib.suppress(ValueError):
            how = f"by {signal.Signals(-status).name}"
    log = pod.log.read_text(encoding="utf-8", errors="replace").replace(token, "…")
    lines = log.strip().splitlines()[-_LOG_SHOWN:]
    return "\n    ".join([f"The demo's Jupyter server ended {how}. It said last:", *lines])
