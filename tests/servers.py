"""A Jupyter server process of the test's own: Kubeflow's command line, and nothing of the user's.

It is started with the extension enabled by the file that the wheel installs, and stopped with all
the processes that it started.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rig.ports import reserved

ROOT = Path(__file__).resolve().parent.parent

NB_PREFIX = "/notebook/alice/nb"
"""What Kubeflow sets in a notebook ``nb`` of the tenant ``alice``."""

# kubeflow/notebooks, components/example-notebook-servers/jupyter/s6/services.d/jupyterlab/run
KUBEFLOW = (
    "--no-browser",
    "--allow-root",
    "--ServerApp.token=",
    "--ServerApp.password=",
    "--ServerApp.allow_origin=*",
    "--ServerApp.allow_remote_access=True",
    "--ServerApp.authenticate_prometheus=False",
)
"""Kubeflow's command line after ``jupyter lab --notebook-dir … --ip … --port … --base_url``."""

_GRACE = 10.0  # s, from SIGTERM to SIGKILL


@dataclass(frozen=True)
class Answer:
    """A response, with nothing hidden: as it came over the wire.

    Attributes
    ----------
    status : int
    headers : list of (str, str)
    body : bytes
    """

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """Return the body's JSON, and fail where the header calls it anything else."""
        assert self.header("Content-Type") == "application/json", self.headers
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        """Return the header's value; of several, joined."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None


@dataclass(frozen=True)
class Server:
    """A running Jupyter server.

    Attributes
    ----------
    port : int
    base_url : str
        Starts and ends with a slash.
    log_file : Path
        All that it wrote.
    process : Popen
    """

    port: int
    base_url: str
    log_file: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """The address, with the base URL; ends with a slash."""
        return f"http://127.0.0.1:{self.port}{self.base_url}"

    def get(
        self,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        timeout: float | None = None,
    ) -> Answer:
        """Ask for a path below the base URL, sent as it is given.

        Parameters
        ----------
        path : str
            Percent-encoded where it has to be; nothing is normalized. One that starts with a
            slash is that of the server, outside the base URL.
        headers : mapping, optional
        method : str
        timeout : float, optional
            Seconds to wait for each part of the answer.
        """
        target = path if path.startswith("/") else self.base_url + path
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, target, headers=dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def log(self) -> str:
        """Return what the server wrote so far."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")


@contextmanager
def serving(
    directory: Path,
    *,
    env: Mapping[str, str] | None = None,
    arguments: Sequence[str] = KUBEFLOW,
    command: Sequence[str] = ("lab",),
    base_url: str = NB_PREFIX,
    extensions: Mapping[str, bool] | None = None,
    start: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen,
) -> Iterator[Server]:
    """Run a server until the block ends.

    Parameters
    ----------
    directory : Path
        For all that the server writes; it may hold a ``home`` already.
    env : mapping, optional
        Its environment, besides what keeps it from the user's own files.
    arguments : sequence of str
        More of the command line.
    command : sequence of str
        The ``jupyter`` command.
    base_url : str
    extensions : mapping, optional
        Server extensions and whether they are enabled; by default what the wheel's file says.
    start : callable
        Starts the process, as `subprocess.Popen` does.
    """
    log_file = directory / "server.log"
    environment = {**isolated(directory, extensions), "NB_PREFIX": base_url, **(env or {})}
    with ExitStack() as stack:
        log = stack.enter_context(open(log_file, "wb"))
        with reserved() as [port]:
            process = start(
                [
                    jupyter(),
                    *command,
                    f"--notebook-dir={directory / 'home'}",
                    "--ip=127.0.0.1",
                    f"--port={port}",
                    f"--ServerApp.base_url={base_url}",
                    *arguments,
                ],
                env=environment,
                cwd=directory / "home",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            stack.callback(_stop, process)
            found = _wait(process, directory / "runtime", log_file)
        yield Server(found["port"], found["base_url"], log_file, process)


def jupyter() -> str:
    """Return the ``jupyter`` of this environment."""
    return str(Path(sys.executable).with_name("jupyter"))


def isolated(directory: Path, extensions: Mapping[str, bool] | None = None) -> dict[str, str]:
    """Return an environment with no configuration in it but the extension's own, once installed.

    Parameters
    ----------
    directory : Path
    extensions : mapping, optional
        Instead of what the wheel's file enables.
    """
    shipped = (ROOT / "jupyter-config" / "kfsecrets_ext.json").read_text(encoding="utf-8")
    if extensions is not None:
        shipped = json.dumps({"ServerApp": {"jpserver_extensions": dict(extensions)}})
    config = directory / "etc" / "jupyter_server_config.d" / "kfsecrets_ext.json"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(shipped, encoding="utf-8")
    home = directory / "home"
    home.mkdir(exist_ok=True)
    mountinfo = directory / "mountinfo"
    if not mountinfo.exists():
        mountinfo.write_bytes(b"")
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "IPYTHONDIR": str(directory / "ipython"),
        "JUPYTER_CONFIG_DIR": str(directory / "config"),
        "JUPYTER_CONFIG_PATH": str(directory / "etc"),
        "JUPYTER_DATA_DIR": str(directory / "data"),
        "JUPYTER_RUNTIME_DIR": str(directory / "runtime"),
        "PYTHONPATH": str(ROOT),
        # Else debugpy says something of frozen modules, at any time after a kernel's start.
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "KFSECRETS_ROOTS": str(directory / "secret"),
        "KFSECRETS_PODINFO": str(directory / "podinfo"),
        # The machine's own mounts are no part of the pod.
        "KFSECRETS_MOUNTINFO": str(mountinfo),
    }


def quote(name: str) -> str:
    """Percent-encode one segment of a path."""
    return urllib.parse.quote(name, safe="")


def _wait(process: subprocess.Popen[bytes], runtime: Path, log_file: Path) -> dict[str, Any]:
    # jupyter_server writes this file once it listens, with the port that it got.
    information = runtime / f"jpserver-{process.pid}.json"
    while process.poll() is None:
        try:
            found: dict[str, Any] = json.loads(information.read_bytes())
            connection = http.client.HTTPConnection("127.0.0.1", found["port"])
            connection.request("GET", f"{found['base_url']}api")
            if connection.getresponse().status == 200:
                connection.close()
                return found
            connection.close()
        except (OSError, ValueError):
            pass
        time.sleep(0.05)
    said = log_file.read_text(encoding="utf-8", errors="replace")
    raise RuntimeError(f"the server ended with {process.returncode} before it answered:\n{said}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    _signal(process, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_GRACE)
    # What the server started and left behind is of its group.
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
