"""A Jupyter server process of the test's own, with the panel and nothing of the user's in it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rig.ports import reserved

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from browser.volume import Pod

CHECKOUT = Path(__file__).parents[2]

# kubeflow/notebooks, components/example-notebook-servers/jupyter/s6/services.d/jupyterlab/run
KUBEFLOW = (
    "--ServerApp.token=",
    "--ServerApp.password=",
    "--ServerApp.allow_origin=*",
    "--ServerApp.allow_remote_access=True",
    "--ServerApp.authenticate_prometheus=False",
)


@dataclass(frozen=True)
class Jupyter:
    """A running server.

    Attributes
    ----------
    url
        Its address with the base URL; ends with a slash.
    files
        The folder that the user sees.
    """

    url: str
    files: Path


@contextlib.contextmanager
def running(
    directory: Path,
    pod: Pod,
    *,
    app: str = "lab",
    base_url: str = "/",
    server_extension: bool = True,
    arguments: Sequence[str] = KUBEFLOW,
) -> Iterator[Jupyter]:
    """Run a server until the block ends.

    Parameters
    ----------
    directory
        An empty directory for all that the server writes.
    pod
        Where the server finds its credentials.
    app
        ``lab`` or ``notebook``.
    base_url
        What Kubeflow gives as ``NB_PREFIX``.
    server_extension
        Whether ``kfsecrets_ext`` is enabled.
    arguments
        More of the command line.
    """
    files = directory / "files"
    files.mkdir(parents=True)
    _install(directory, server_extension=server_extension)
    log_path = directory / "server.log"
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(log_path.open("wb"))
        with reserved() as [port]:
            command = [
                *_jupyter(app),
                "--no-browser",
                "--allow-root",
                "--ServerApp.ip=127.0.0.1",
                f"--ServerApp.port={port}",
                "--ServerApp.port_retries=0",
                f"--ServerApp.base_url={base_url}",
                f"--ServerApp.root_dir={files}",
                "--LabApp.expose_app_in_browser=True",
                "--JupyterNotebookApp.expose_app_in_browser=True",
                *arguments,
            ]
            process = subprocess.Popen(
                command,
                cwd=files,
                env=_environment(directory, pod),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            stack.callback(_stop, process)
            url = f"http://127.0.0.1:{port}{base_url.rstrip('/')}/"
            _wait(process, url, log_path)
        yield Jupyter(url=url, files=files)


def _jupyter(app: str) -> list[str]:
    # Another Jupyter than this environment's: the oldest one that the front end supports, say.
    python = os.environ.get("KFSECRETS_TEST_PYTHON", sys.executable)
    return [python, "-m", {"lab": "jupyterlab", "notebook": "notebook"}[app]]


def _install(directory: Path, *, server_extension: bool) -> None:
    """Put the built front end and the server's configuration where the wheel would."""
    built = CHECKOUT / "kfsecrets_ext" / "labextension"
    if not (built / "static" / "style.js").exists():
        message = f"{built} is not built: run `jlpm build:prod` in labextension/"
        raise FileNotFoundError(message)
    extensions = directory / "share" / "labextensions"
    extensions.mkdir(parents=True)
    (extensions / "kfsecrets-ext").symlink_to(built)
    configuration = directory / "config"
    shipped = configuration / "jupyter_server_config.d" / "kfsecrets_ext.json"
    shipped.parent.mkdir(parents=True)
    if server_extension:
        shutil.copy(CHECKOUT / "jupyter-config" / "kfsecrets_ext.json", shipped)
    else:
        off = {"ServerApp": {"jpserver_extensions": {"kfsecrets_ext": False}}}
        shipped.write_text(json.dumps(off))
    page = configuration / "labconfig" / "page_config.json"
    page.parent.mkdir()
    # It asks whether to fetch the project's news, over whatever a test looks at.
    news = "@jupyterlab/apputils-extension:announcements"
    page.write_text(json.dumps({"disabledExtensions": {news: True}}))


def _environment(directory: Path, pod: Pod) -> dict[str, str]:
    mountinfo = directory / "mountinfo"
    mountinfo.write_text("")
    home = directory / "home"
    home.mkdir()
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "IPYTHONDIR": str(home / ".ipython"),
        "JUPYTER_CONFIG_DIR": str(directory / "config"),
        "JUPYTER_DATA_DIR": str(directory / "data"),
        "JUPYTER_PATH": str(directory / "share"),
        # What the test says comes before what is installed.
        "JUPYTER_PREFER_ENV_PATH": "0",
        "JUPYTER_RUNTIME_DIR": str(directory / "runtime"),
        "PYTHONPATH": str(CHECKOUT),
        # Else debugpy says something of frozen modules, at any time after a kernel's start.
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "KFSECRETS_ROOTS": str(pod.root),
        "KFSECRETS_PODINFO": str(pod.information),
        "KFSECRETS_MOUNTINFO": str(mountinfo),
    }


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    while process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}api", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    message = f"The server ended before it answered:\n{log.read_text(errors='replace')}"
    raise RuntimeError(message)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
