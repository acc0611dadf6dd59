"""Credential helpers: programs that answer for a registry, asked by their protocol.

The protocol is that of docker-credential-helpers: ``docker-credential-NAME get``, the server on
standard input, JSON on standard output. What a helper prints is never shown, since it may hold
a value.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import IO

from kfsecrets_ext.errors import DockerConfigError
from kfsecrets_ext.values import SecretBytes, SecretStr

__all__ = ["LIMIT", "TIMEOUT", "Answer", "ask", "is_helper"]

TIMEOUT = 10.0
"""Seconds that a helper may take."""

LIMIT = 1 << 20
"""The most bytes that a helper may print."""

_NAME = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
# docker-credential-helpers: credentials/error.go
_NOT_FOUND = b"credentials not found in native keychain"
_REFUSALS = {
    b"no credentials server URL": "it was given no server",
    b"no credentials username": "it has no user name for the server",
}
_TOKEN_USER = "<token>"  # noqa: S105 - the user name that says that the secret is a token
_SURROGATE = re.compile("[\ud800-\udfff]")
_TICK = 0.02


@dataclass(frozen=True)
class Answer:
    """What a helper has for a server.

    Attributes
    ----------
    username : str
        ``""`` where the secret is an identity token.
    secret : SecretStr
    is_token : bool
    """

    username: str
    secret: SecretStr
    is_token: bool


def is_helper(name: object) -> bool:
    """Tell whether something can be a credential helper's name."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def ask(name: str, server: str, *, path: str | None = None) -> Answer | None:
    """Ask a credential helper for a server's credentials.

    Parameters
    ----------
    name : str
        The helper's name, without ``docker-credential-``.
    server : str
    path : str, optional
        The configuration file that names the helper, for errors.

    Returns
    -------
    Answer or None
        ``None`` if the helper has no credentials for the server.

    Raises
    ------
    DockerConfigError
        The name is no helper's, the program is not there, fails, prints what is no answer, or
        takes longer than `TIMEOUT`.
    """
    if not is_helper(name):
        raise DockerConfigError(
            "a credential helper is named by letters, digits, '-' and '_' only.", path=path
        )
    program = shutil.which(f"docker-credential-{name}")
    if program is None or not os.path.isabs(program):
        raise _failed(name, path, "is not on the PATH; install it, or use a static entry")
    status, printed, problem = _run(program, server)
    if problem is not None:
        raise _failed(name, path, problem)
    if status != 0:
        word = SecretBytes(printed.strip())
        if word == _NOT_FOUND:
            return None
        refusal = _REFUSALS.get(word, f"failed with exit status {status}")
        raise _failed(name, path, refusal)
    answer = _answer(printed)
    if answer is None:
        raise _failed(name, path, "printed something that is no answer of a credential helper")
    if not answer.username and not answer.secret and not answer.is_token:
        return None  # docker-py: the `pass` helper says so that it has none
    return answer


def _failed(name: str, path: str | None, what: str) -> DockerConfigError:
    return DockerConfigError(
        f"the credential helper {name!r} (docker-credential-{name}): {what}.",
        path=path,
        helper=name,
    )


def _run(program: str, server: str) -> tuple[int, SecretBytes, str | None]:
    """Run a helper to its end, or end it."""
    problem: str | None = None
    printed = SecretBytes()
    try:
        process = subprocess.Popen(
            [program, "get"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return 0, printed, "could not be started"
    deadline = time.monotonic() + TIMEOUT
    with process:
        try:
            _tell(process.stdin, server)
            printed, problem = _read(process, process.stdout, deadline)
            if problem is None:
                process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            problem = f"took longer than {TIMEOUT:g} seconds"
        finally:
            if process.returncode is None:
                _end(process)
    return process.returncode, printed, problem


def _tell(pipe: IO[bytes] | None, server: str) -> None:
    # A helper that does not read gets SIGPIPE's error here, and its own below.
    if pipe is not None:
        with contextlib.suppress(BrokenPipeError):
            pipe.write(server.encode("utf-8", "replace"))
            pipe.flush()
        with contextlib.suppress(BrokenPipeError):
            pipe.close()


def _read(
    process: subprocess.Popen[bytes], pipe: IO[bytes] | None, deadline: float
) -> tuple[SecretBytes, str | None]:
    printed = SecretBytes()
    if pipe is None:
        return printed, None
    output = pipe.fileno()
    os.set_blocking(output, False)
    ended = False
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return printed, f"took longer than {TIMEOUT:g} seconds"
            if selector.select(min(left, _TICK)):
                chunk = SecretBytes(os.read(output, 1 << 16))
                if not chunk:
                    return printed, None
                printed = SecretBytes(printed + chunk)
                if len(printed) > LIMIT:
                    return printed, f"printed more than {LIMIT >> 20} MiB"
            elif ended:
                # A process that the helper left behind keeps the pipe open.
                return printed, None
            else:
                # Not reaped here: the process group must stay ours until it is ended.
                ended = _has_ended(process)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _answer(printed: SecretBytes) -> Answer | None:
    try:
        content = json.loads(printed)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    texts: dict[str, SecretStr] = {}
    for field, text in content.items():
        if field.lower() not in ("username", "secret"):
            continue
        if text is None:
            continue
        if not isinstance(text, str) or _SURROGATE.search(text):
            return None
        texts[field.lower()] = SecretStr(text)
    username = str(texts.get("username", ""))
    secret = texts.get("secret", SecretStr(""))
    if username == _TOKEN_USER:
        return Answer("", secret, True)
    return Answer(username, secret, False)
