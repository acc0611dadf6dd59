"""A demo in a process of its own, as a user starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import requests
import websocket

JUPYTER = ("jupyter", "kfsecrets")

_MARK = "TEST_DEMO"
"""A variable that tells the processes of a demo."""


def environment(tmp_path: Path, **variables: str) -> dict[str, str]:
    """An environment with a home and a directory for temporary files of the test's own."""
    home, temporary = tmp_path / "own-home", tmp_path / "tmp"
    home.mkdir(exist_ok=True)
    temporary.mkdir(exist_ok=True)
    dropped = ("JUPYTER", "KFSECRETS_", "IPYTHON", "DISPLAY", "WAYLAND", "BROWSER")
    return {
        **{name: text for name, text in os.environ.items() if not name.startswith(dropped)},
        "PATH": os.pathsep.join((sysconfig.get_path("scripts"), os.environ["PATH"])),
        "HOME": str(home),
        "TMPDIR": str(temporary),
        _MARK: str(temporary),
        # Else debugpy says something of frozen modules, at any time after a kernel's start.
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        **variables,
    }


def kfsecrets(*arguments: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run([*JUPYTER, *arguments], env=env, capture_output=True, text=True)


class Demo:
    """``jupyter kfsecrets demo --no-browser``, running."""

    def __init__(self, tmp_path: Path, *arguments: str, **variables: str) -> None:
        self.env = environment(tmp_path, **variables)
        self.said = tmp_path / f"said-{uuid.uuid4().hex}"
        with open(self.said, "wb") as said:
            self.process = subprocess.Popen(
                [*JUPYTER, "demo", "--no-browser", *arguments],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        while "Stop with Ctrl-C" not in self.text:
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode}: {self.text}")
            time.sleep(0.05)
        [url] = [line.strip() for line in self.text.splitlines() if "token=" in line]
        page, self.token = url.split("?token=")
        self.page = page
        self.url = page.partition("lab/tree/")[0]
        [rotate] = [line for line in self.text.splitlines() if "--rotate" in line]
        self.directory = Path(rotate.partition("--dir ")[2].strip())
        self.port = int(self.url.split(":")[2].split("/")[0])

    @property
    def text(self) -> str:
        """What the demo said."""
        return self.said.read_text()

    def get(self, path: str, **options: Any) -> requests.Response:
        """Ask the server, as the front end does."""
        headers = {"Authorization": f"token {self.token}"}
        return requests.get(self.url + path, headers=headers, **options)

    def secrets(self) -> dict[str, dict[str, Any]]:
        """The inventory, by name."""
        answer = self.get("kfsecrets/api/v1/secrets")
        assert answer.status_code == 200, answer.text
        return {secret["name"]: secret for secret in answer.json()["secrets"]}

    def kernel(self) -> str:
        """Start a kernel, and return its address."""
        headers = {"Authorization": f"token {self.token}"}
        answer = requests.post(f"{self.url}api/kernels", headers=headers)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def execute(self, kernel: str, code: str) -> str:
        """Run code in a kernel, and return the text that it printed."""
        address = f"ws{self.url.removeprefix('http')}api/kernels/{kernel}/channels"
        channels = websocket.create_connection(
            address, header={"Authorization": f"token {self.token}"}
        )
        try:
            identity = uuid.uuid4().hex
            channels.send(json.dumps(_request(identity, code)))
            text = ""
            while True:
                message = json.loads(channels.recv())
                if message["parent_header"].get("msg_id") != identity:
                    continue
                if message["msg_type"] == "stream":
                    text += message["content"]["text"]
                if message["msg_type"] == "error":
                    raise AssertionError("\n".join(message["content"]["traceback"]))
                if message["content"].get("execution_state") == "idle":
                    return text
        finally:
            channels.close()

    def processes(self) -> list[psutil.Process]:
        """What still runs of this demo: servers, kernels and what they started, and the janitor."""
        return [one for one in psutil.process_iter() if self._is_ours(one)]

    def server(self) -> psutil.Process:
        """The Jupyter server's process."""
        [server] = [
            one
            for one in self.processes()
            # What it is about to start has its command line for a moment.
            if "jupyterlab" in _command(one) and "jupyterlab" not in _command(one.parent())
        ]
        return server

    def leftovers(self) -> list[str]:
        """What is left of the demo, where nothing should be."""
        return [*map(str, self.processes()), *os.listdir(self.env["TMPDIR"])]

    def end(self) -> None:
        """Stop it, whatever state it is in."""
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return (
                process.status() != psutil.STATUS_ZOMBIE
                and process.environ().get(_MARK) == self.env[_MARK]
            )
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False


def _command(process: psutil.Process | None) -> list[str]:
    try:
        return process.cmdline() if process is not None else []
    except psutil.Error:
        return []


def _request(identity: str, code: str) -> dict[str, Any]:
    header = {
        "msg_id": identity,
        "msg_type": "execute_request",
        "username": "",
        "session": identity,
        "version": "5.4",
    }
    content = {
        "code": code,
        "silent": False,
        "store_history": False,
        "user_expressions": {},
        "allow_stdin": False,
        "stop_on_error": True,
    }
    return {
        "header": header,
        "parent_header": {},
        "metadata": {},
        "content": content,
        "channel": "shell",
        "buffers": [],
    }
