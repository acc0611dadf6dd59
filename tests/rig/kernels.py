"""Kernels as clients meet them: real processes of each generation, and all that comes out of them.

An environment of its own for each generation of ipykernel, with the hook beside its packages as
the wheel puts it there; everything else is this environment's.
"""

from __future__ import annotations

import fcntl
import os
import queue
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.connect import write_connection_file

from rig.ports import reserved

CHECKOUT = Path(__file__).parents[2]
HOOK = CHECKOUT / "kfsecrets_ext" / "kernel"

BESIDE = {
    "_kfsecrets_guard.py": "hook.py",
    "_kfsecrets_guard.pth": "hook.pth",
    "_kfsecrets_guard.start": "hook.start",
    "_kfsecrets_closed.py": "closed.py",
}
"""Files of the hook, as they are installed and as they are kept."""

GENERATIONS = {"ipykernel 6": ("ipykernel==6.31.*",), "ipykernel 7": ()}
"""What is installed over this environment's packages."""

PORTS = ("shell_port", "iopub_port", "stdin_port", "hb_port", "control_port")
"""What a kernel listens on, as a connection file names it."""

_SHORT = 1000
"""No header of a message is as long, in bytes."""


@dataclass(frozen=True)
class Environment:
    """A Python with the hook.

    Attributes
    ----------
    prefix, python, packages : Path
    """

    prefix: Path

    @property
    def python(self) -> Path:
        return self.prefix / "bin" / "python"

    @property
    def packages(self) -> Path:
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        return self.prefix / "lib" / version / "site-packages"


def environment(generation: str) -> Environment:
    """Return the environment of a generation, made once and kept in the checkout."""
    base = CHECKOUT / ".cache" / "kernels"
    base.mkdir(parents=True, exist_ok=True)
    made = Environment(base / generation.replace(" ", "-"))
    with open(base / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (made.prefix / "made").exists():
            _make(made, GENERATIONS[generation])
            (made.prefix / "made").touch()
        install_hook(made.packages)
    return made


def scratch_environment(
    prefix: Path, *, hook: bool = True, like: Environment | None = None
) -> Environment:
    """Make an environment of a test's own, with this environment's packages.

    Parameters
    ----------
    prefix : Path
    hook : bool
    like : Environment, optional
        Whose packages come before.
    """
    made = Environment(prefix)
    _make(made, ())
    if like is not None:
        # Not its .pth files: those of a path that is added so are not read.
        (made.packages / "aa_packages_before.pth").write_text(f"{like.packages}\n")
    if hook:
        install_hook(made.packages)
    return made


def install_hook(packages: Path) -> None:
    """Put the hook where the wheel puts it."""
    for installed, source in BESIDE.items():
        target = packages / installed
        if not target.exists() or target.read_bytes() != (HOOK / source).read_bytes():
            # Whole at once: kernels of another worker may be starting.
            draft = target.with_name(f".{installed}.{os.getpid()}")
            shutil.copy(HOOK / source, draft)
            draft.replace(target)


def _make(made: Environment, requirements: Sequence[str]) -> None:
    uv = str(Path(sys.executable).parent / "uv")
    words = ["--quiet", "--clear", "--python", sys.executable, str(made.prefix)]
    subprocess.run([uv, "venv", *words], check=True)
    if requirements:
        words = ["--quiet", "--no-deps", "--python", str(made.python), *requirements]
        subprocess.run([uv, "pip", "install", *words], check=True)
    own = f"{CHECKOUT}\n{sysconfig.get_paths()['purelib']}\n"
    (made.packages / "zz_packages_of_the_tests.pth").write_text(own)


@dataclass
class Cell:
    """What came of a request.

    Attributes
    ----------
    reply : dict
        Its content.
    messages : list of dict
        What came on iopub, in order, from ``busy`` to ``idle``.
    """

    reply: dict[str, Any]
    messages: list[dict[str, Any]] = field(default_factory=list)

    def text(self, name: str = "stdout") -> str:
        """Return what was printed."""
        return "".join(
            one["content"]["text"]
            for one in self.messages
            if one["msg_type"] == "stream" and one["content"]["name"] == name
        )

    def kinds(self) -> list[str]:
        return [one["msg_type"] for one in self.messages]

    def contents(self, kind: str) -> list[dict[str, Any]]:
        return [one["content"] for one in self.messages if one["msg_type"] == kind]


class Kernel:
    """A running kernel.

    Attributes
    ----------
    client : BlockingKernelClient
    log : Path
        What the process wrote to its own stdout and stderr.
    others : list of dict
        What came on iopub of other requests while one was waited for.
    """

    def __init__(self, process: subprocess.Popen[bytes], client: BlockingKernelClient, log: Path):
        self.process = process
        self.client = client
        self.log = log
        self.others: list[dict[str, Any]] = []
        self._frames: list[bytes] = []
        # Headers, each with an identifier: what the client took last, what the listener heard.
        self._taken = b""
        self._overheard: set[bytes] = set()
        self._lock = threading.Condition()
        self._keep_frames(client)
        self._stop = threading.Event()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def run(
        self,
        code: str,
        *,
        answer: Callable[[str], str] | None = None,
        header: Mapping[str, Any] | None = None,
        silent: bool = False,
        expressions: Mapping[str, str] | None = None,
    ) -> Cell:
        """Run a cell; return all that came of it."""
        content = {
            "code": code,
            "silent": silent,
            "store_history": not silent,
            "user_expressions": dict(expressions or {}),
            "allow_stdin": answer is not None,
            "stop_on_error": True,
        }
        return self.ask("execute_request", content, answer=answer, header=header)

    def ask(
        self,
        kind: str,
        content: Mapping[str, Any],
        *,
        channel: str = "shell",
        answer: Callable[[str], str] | None = None,
        header: Mapping[str, Any] | None = None,
        reply: bool = True,
    ) -> Cell:
        """Send a request; wait for its reply and for the kernel to be idle."""
        message = self.client.session.msg(kind, dict(content))
        message["header"].update(header or {})
        getattr(self.client, f"{channel}_channel").send(message)
        identity = message["header"]["msg_id"]
        cell = Cell({})
        replied, idle = not reply, False
        give_up = time.monotonic() + 120
        while not (replied and idle):
            assert time.monotonic() < give_up, f"no answer to {kind}"
            assert self.process.poll() is None, "the kernel is gone"
            with suppress(queue.Empty):
                got = self.client.get_iopub_msg(timeout=0.05)
                if got["parent_header"].get("msg_id") == identity:
                    cell.messages.append(got)
                    if got["content"].get("execution_state") == "idle":
                        self._await_listener()
                        idle = True
                else:
                    self.others.append(got)
            if answer is not None:
                with suppress(queue.Empty):
                    asked = self.client.get_stdin_msg(timeout=0)
                    cell.messages.append(asked)
                    self.client.input(answer(asked["content"]["prompt"]))
            if not replied:
                getter = getattr(self.client, f"get_{channel}_msg")
                with suppress(queue.Empty):
                    got = getter(timeout=0)
                    if got["parent_header"].get("msg_id") == identity:
                        cell.reply = got["content"]
                        replied = True
        return cell

    def until(self, condition: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """Return what comes on iopub until that, in order, meets a condition."""
        found: list[dict[str, Any]] = []
        give_up = time.monotonic() + 120
        while not condition(found):
            assert time.monotonic() < give_up, found
            assert self.process.poll() is None, "the kernel is gone"
            with suppress(queue.Empty):
                found.append(self.client.get_iopub_msg(timeout=0.5))
        return found

    def later(self, seconds: float) -> list[dict[str, Any]]:
        """Return what comes on iopub within a time."""
        found = []
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            with suppress(queue.Empty):
                found.append(self.client.get_iopub_msg(timeout=left))
        return found

    def frames(self) -> list[bytes]:
        """Return every frame that reached a client on any channel."""
        with self._lock:
            return list(self._frames)

    def logged(self) -> bytes:
        """Return what the process wrote to its own stdout and stderr."""
        return self.log.read_bytes()

    def close(self) -> None:
        self._stop.set()
        self._listener.join()
        self.client.stop_channels()
        self.process.terminate()
        self.process.wait()

    def _keep_frames(self, client: BlockingKernelClient) -> None:
        original = client.session.feed_identities

        def feed(frames: list[bytes], copy: bool = True) -> Any:
            with self._lock:
                self._frames += [bytes(one) for one in frames]
            identities, parts = original(frames, copy)
            self._taken = bytes(parts[1])
            return identities, parts

        client.session.feed_identities = feed

    def _listen(self) -> None:
        # A second client, which knows nothing of the protocol.
        context = zmq.Context()
        socket = context.socket(zmq.SUB)
        socket.linger = 0
        socket.rcvhwm = 0  # else what comes faster than it is read is dropped
        socket.subscribe(b"")
        socket.connect(self.client._make_url("iopub"))
        while not self._stop.is_set():
            if socket.poll(50):
                frames = socket.recv_multipart()
                with self._lock:
                    self._frames += frames
                    self._overheard.update(one for one in frames if len(one) < _SHORT)
                    self._lock.notify_all()
        socket.close()
        context.term()

    def is_overheard(self) -> bool:
        """Tell whether the second client has what the first one took last."""
        with self._lock:
            return self._taken in self._overheard

    def _await_listener(self) -> None:
        # What it hears late would be taken for the next cell's.
        with self._lock:
            heard = self._lock.wait_for(lambda: self._taken in self._overheard, 120)
        assert heard, "the second client hears nothing"


@contextmanager
def running(
    made: Environment,
    directory: Path,
    root: Path,
    *,
    flags: Sequence[str] = (),
    options: Sequence[str] = (),
    module: str = "ipykernel_launcher",
    env: Mapping[str, str] | None = None,
) -> Iterator[Kernel]:
    """Run a kernel until the block ends.

    Parameters
    ----------
    made : Environment
    directory : Path
        For its home and its log.
    root : Path
        The directory whose entries are Secrets.
    flags : sequence of str
        Of Python.
    options : sequence of str
        Of the kernel.
    module : str
        What is run as the kernel.
    env : mapping, optional
        More variables.
    """
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "kernel.log"
    with ExitStack() as stack, ExitStack() as ports:
        held = ports.enter_context(reserved(len(PORTS)))
        connection, _ = write_connection_file(
            str(directory / f"kernel-{time.monotonic_ns()}.json"),
            **dict(zip(PORTS, held, strict=True)),
        )
        with log.open("ab") as sink:
            process = subprocess.Popen(
                [str(made.python), *flags, "-m", module, "-f", connection, *options],
                cwd=directory,
                env={**variables(directory, root), **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )
        client = BlockingKernelClient(connection_file=connection)
        client.load_connection_file()
        client.start_channels()
        kernel = Kernel(process, client, log)
        stack.callback(kernel.close)
        _wait(kernel)
        ports.close()
        yield kernel


def variables(directory: Path, root: Path) -> dict[str, str]:
    """Return the variables of a pod whose Secrets are in a directory."""
    mountinfo = directory / "mountinfo"
    mountinfo.write_text("")
    home = directory / "home"
    home.mkdir(exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "KFSECRETS_ROOTS": str(root),
        "KFSECRETS_MOUNTINFO": str(mountinfo),
        "KFSECRETS_PODINFO": str(directory / "podinfo"),
        "JUPYTER_RUNTIME_DIR": str(directory / "runtime"),
        # Else debugpy says something of frozen modules, at any time after the start.
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


def _wait(kernel: Kernel) -> None:
    give_up = time.monotonic() + 120
    while True:
        assert kernel.process.poll() is None, kernel.log.read_text(errors="replace")
        assert time.monotonic() < give_up, "the kernel does not answer"
        kernel.client.kernel_info()
        with suppress(queue.Empty):
            if kernel.client.get_shell_msg(timeout=1)["msg_type"] == "kernel_info_reply":
                break
    # Until both clients hear it, too. Answers that come late are told by their parents.
    while True:
        assert time.monotonic() < give_up, "the kernel is not heard"
        kernel.client.kernel_info()
        with suppress(queue.Empty):
            kernel.client.get_iopub_msg(timeout=0.1)
            if kernel.is_overheard():
                break
