"""The pod that this process runs in: who it is, and its own Pod object where that may be read.

One GET with the pod's own service account, by the standard library alone: the Kubernetes client
would cost each notebook server 0.3 s and 29 MiB for it. A Workspace's service account may not
read its pod; then the files have to do.
"""

from __future__ import annotations

import http.client
import json
import os
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from kfsecrets_ext.values import SecretStr

__all__ = ["Identity", "OwnPod", "identity", "own_pod"]

_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_TIMEOUT = 2.0  # s
_FRESH = 30.0  # s
_REFUSED = 600.0  # s; permissions do not come and go
_SILENT = 10.0  # s; at first, and twice as long each time
_BODY_LIMIT = 4 << 20

# notebook-controller: NB_PREFIX=/notebook/<namespace>/<name>; Workspaces:
# /workspace/connect/<namespace>/<name>/<port>/
_PREFIX = re.compile(r"^/(?:notebook|workspace/connect)/([^/]+)/([^/]+)(?:/|$)")


@dataclass(frozen=True)
class Identity:
    """What files and environment say of who this pod is.

    Attributes
    ----------
    namespace, name, notebook : str or None
    """

    namespace: str | None
    name: str | None
    notebook: str | None


@dataclass(frozen=True, repr=False)
class OwnPod:
    """The Pod object of this process's pod, or why there is none.

    Attributes
    ----------
    pod : mapping or None
        As the API server gives it; it may hold literal values of variables.
    home : str
        ``"kubernetes"`` or ``"embedded"``.
    note : str or None
        Why ``pod`` is ``None``.
    may_come : bool
        Whether asking again later may give it.
    """

    pod: Mapping[str, Any] | None
    home: str
    note: str | None = None
    may_come: bool = False

    def __repr__(self) -> str:
        return f"OwnPod(home={self.home!r}, known={self.pod is not None}, note={self.note!r})"


_NO_ANSWER = OwnPod(
    None,
    "kubernetes",
    "The Kubernetes API did not answer; what only it knows is missing here.",
    may_come=True,
)


def identity() -> Identity:
    """Tell who this pod is, without asking anyone.

    Returns
    -------
    Identity
    """
    match = _PREFIX.match(os.environ.get("NB_PREFIX", ""))
    account = _text(os.path.join(_account(), "namespace"))
    return Identity(
        namespace=account or (match[1] if match else None),
        name=socket.gethostname() if account or match else None,
        notebook=match[2] if match else None,
    )


def own_pod() -> OwnPod:
    """Return this pod's Pod object.

    An answer is kept for half a minute, a refusal for ten. Waits two seconds at most; where
    nothing answered, it asks again after ten seconds, then ever less often.

    Returns
    -------
    OwnPod
    """
    embedded = os.environ.get("KFSECRETS_CLUSTER")
    if embedded:
        return _embedded(embedded)
    global _answer, _silence
    with _lock:
        if _answer is None or time.monotonic() >= _answer[0]:
            answer = _ask_in_time()
            if answer.may_come:
                fresh, _silence = _silence, min(2 * _silence, _REFUSED)
            else:
                fresh, _silence = _FRESH if answer.pod is not None else _REFUSED, _SILENT
            _answer = time.monotonic() + fresh, answer
        return _answer[1]


_lock = threading.Lock()
_answer: tuple[float, OwnPod] | None = None
_silence = _SILENT


def _after_fork() -> None:
    # Whoever asked is another process's thread.
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _embedded(home: str) -> OwnPod:
    try:
        with open(os.path.join(home, "pod.json"), encoding="utf-8") as file:
            pod = json.load(file)
    except (OSError, ValueError):
        return OwnPod(None, "embedded", "The embedded cluster has no pod.json that can be read.")
    return OwnPod(pod, "embedded")


def _account() -> str:
    return os.environ.get("KFSECRETS_SERVICEACCOUNT") or _ACCOUNT


def _ask_in_time() -> OwnPod:
    # A socket's own time limit begins anew with each piece that comes.
    answers: queue.SimpleQueue[OwnPod] = queue.SimpleQueue()
    asking = threading.Thread(target=lambda: answers.put(_ask()), name="kfsecrets-api", daemon=True)
    asking.start()
    try:
        return answers.get(timeout=_TIMEOUT)
    except queue.Empty:
        return _NO_ANSWER


def _ask() -> OwnPod:
    host = os.environ.get("KUBERNETES_SERVICE_HOST")
    account = _account()
    token = SecretStr(_text(os.path.join(account, "token")) or "")
    who = identity()
    if not host or not token or not who.namespace or not who.name:
        return OwnPod(None, "kubernetes", None)
    path = f"/api/v1/namespaces/{quote(who.namespace)}/pods/{quote(who.name)}"
    try:
        port = int(os.environ.get("KUBERNETES_SERVICE_PORT_HTTPS") or 443)
        trust = ssl.create_default_context(cafile=os.path.join(account, "ca.crt"))
        connection = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT, context=trust)
        try:
            headers = {"Authorization": SecretStr(f"Bearer {token}"), "Accept": "application/json"}
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            body = response.read(_BODY_LIMIT)
        finally:
            connection.close()
        if response.status == 200:
            pod = json.loads(body)
            return OwnPod(pod, "kubernetes") if isinstance(pod, dict) else _NO_ANSWER
    except (OSError, ValueError, http.client.HTTPException):
        return _NO_ANSWER
    if response.status == 429 or response.status >= 500:
        return _NO_ANSWER
    return OwnPod(
        None,
        "kubernetes",
        f"This pod's service account may not read its own Pod (HTTP {response.status}): Secrets "
        "behind environment variables, and the names of Secrets mounted elsewhere, are not known.",
    )


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip() or None
    except (OSError, ValueError):
        return None
