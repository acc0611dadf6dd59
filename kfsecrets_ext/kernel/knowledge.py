"""What the guard knows: every value that is mounted or set here, read by anyone or not.

Earlier generations stay known. A change is noticed before the next message leaves, and as it
comes: a generation that comes and goes between two messages is known, too.
"""

from __future__ import annotations

import atexit
import fnmatch
import json
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, suppress

from kfsecrets_ext import cluster, inventory, mounts, podinfo
from kfsecrets_ext.docker.sources import LAYOUT, of_user
from kfsecrets_ext.errors import KeyNotFound, SecretError
from kfsecrets_ext.redaction import Redactor
from kfsecrets_ext.values import SecretBytes, SecretStr

from .watch import LOST, Place, Watch

__all__ = ["Knowledge"]

# kubelet and Kubeflow: tokens of the pod's own identity; they are no Secrets, and no less secret
_TOKENS = {
    "service-account": "/var/run/secrets/kubernetes.io/serviceaccount",
    "pipelines": "/var/run/secrets/kubeflow/pipelines",
}
_TOKEN = "token"  # noqa: S105

_DOCKER_VARIABLE = "DOCKER_AUTH_CONFIG"
_DOCKER_FIELD = re.compile(
    r'"(?:auth|password|identitytoken|registrytoken)"\s*:\s*("(?:[^"\\]|\\.)*")', re.IGNORECASE
)
_DOCKER_LINE = re.compile(r"^\s*auth\s*=\s*(\S+)", re.MULTILINE)
_DOCKER_LIMIT = 2 << 20
# O_NONBLOCK: opening a FIFO that nobody writes to must not wait.
_DOCKER_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

# What tells where to look; a notebook may set them.
_SETTINGS = (
    _DOCKER_VARIABLE,
    "DOCKER_CONFIG",
    "HOME",
    "KFSECRETS_ROOTS",
    "REGISTRY_AUTH_FILE",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
)

# envFrom without a prefix: which variables are the Secret's is not told
_LIKELY = re.compile(r"SECRET|TOKEN|PASSW|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE", re.IGNORECASE)

# An API server nearby has answered by then; for another one, the first message waits.
_PROMPT = 0.5  # s
_LIMIT = 2.0  # s

_AGAIN, _SELDOM = 10.0, 600.0
"""How long after no answer the Pod object is asked for again, in seconds; each time it doubles."""

_BREATH, _LONGEST_BREATH = 0.01, 0.5
"""What the thread that follows changes waits after each, in seconds: at least, and at most."""

_PART = 10
"""In between, how often the time that it took."""

_PLACES = "places"
_DOCKER = "docker"
_DEPTH = 4
_DIRECTORIES = 1000


class Knowledge:
    """Keeps a redactor up to date with what is in this pod.

    Parameters
    ----------
    redactor : Redactor
    watch : Watch, optional

    Attributes
    ----------
    labels : dict of str to None
        Of what was read, in order.
    note : str or None
        What could not be known, and why.
    """

    # Whoever calls holds the gate's lock.
    def __init__(self, redactor: Redactor, watch: Watch | None = None):
        self._redactor = redactor
        self._watch = watch or Watch()
        self._info = podinfo.PodInfo()
        self._told: podinfo.PodInfo | None = None
        self._answered = threading.Event()
        self._answer_due: float | None = None
        self._settings: int | None = None
        self._is_ended = False
        self._found: dict[Hashable, tuple[str, mounts.Mount]] = {}
        self._stale = True
        self.labels: dict[str, None] = {}
        self.note: str | None = None

    def start(self) -> None:
        """Learn what there is; what the Pod object tells is waited for by `refresh`."""
        directory = os.environ.get("KFSECRETS_PODINFO") or podinfo.PODINFO_DIRECTORY
        self._info = podinfo.from_files(directory)
        self._answer_due = time.monotonic() + _LIMIT
        _in_background(self._ask)
        # The first label of a value stays, and only the Pod object names what is mounted elsewhere.
        self._answered.wait(_PROMPT)
        self._learn()

    def follow(self, lock: AbstractContextManager[object]) -> None:
        """Learn what changes as it changes, until the process ends.

        Parameters
        ----------
        lock : context manager
            The gate's lock.
        """

        def end() -> None:
            # A thread that is stopped with the interpreter would keep the lock.
            with lock:
                self._is_ended = True

        def run() -> None:
            while not self._is_ended:
                self._watch.wait()
                began = time.thread_time()
                with lock, suppress(Exception):
                    if not self._is_ended:
                        self.refresh()
                # However fast changes come, they get a part of the time.
                breath = _PART * (time.thread_time() - began)
                time.sleep(min(max(_BREATH, breath), _LONGEST_BREATH))

        atexit.register(end)
        _in_background(run)

    def refresh(self) -> None:
        """Learn what changed since the last time."""
        if self._answer_due is not None:
            self._answered.wait(max(0.0, self._answer_due - time.monotonic()))
            self._answer_due = None
        if self._told is not None or _settings() != self._settings:
            self._stale = True
        stale, self._stale = self._stale, True
        if stale:
            self._learn()
        else:
            self._update(self._watch.changed())
        # Not reached by an interrupt: then everything is looked at the next time.
        self._stale = False

    def unguarded(self) -> list[dict[str, str]]:
        """Return the keys whose values are not masked by looking for them, and why."""
        reasons = {
            label: "short" if reason == "too short" else "common"
            for label, reason in self._redactor.unguarded().items()
        }
        for label in list(self.labels):
            key = label.partition("/")[2]
            if any(fnmatch.fnmatchcase(key, one) for one in self._redactor.public):
                reasons[label] = "public"
        return [
            {"secret": label.partition("/")[0], "key": label.partition("/")[2], "reason": reason}
            for label, reason in sorted(reasons.items())
        ]

    def _ask(self) -> None:
        pause = _AGAIN
        while True:
            try:
                own = cluster.own_pod()
                self.note = own.note
                if own.pod is not None:
                    self._told = podinfo.from_pod(own.pod, information=own.home)
            finally:
                self._answered.set()
            if not own.may_come:
                return
            time.sleep(pause)
            pause = min(2 * pause, _SELDOM)

    def _learn(self) -> None:
        self._settings = _settings()
        if self._told is not None:
            self._info = podinfo.merge(self._info, self._told)
            self._told = None
        found, _ = inventory.places(mounts.roots(), self._info)
        self._found = {
            place.mount.path: (place.names[0], place.mount)
            for place in found
            if place.mount is not None
        }
        for name, directory in _TOKENS.items():
            mount = mounts.Mount(name, directory, "", "volume", _TOKEN)
            self._found[mount.path] = (name, mount)
        # Watched before it is read: a change in between is read twice, not never.
        self._watch.over(self._places())
        for name, mount in self._found.values():
            self._read(name, mount)
        for place in found:
            self._take_variables(place.variables)
        self._take_registries()
        self._stale = False

    def _update(self, concerns: set[Hashable]) -> None:
        if _PLACES in concerns or LOST in concerns:
            self._learn()
            return
        for concern in concerns:
            if concern == _DOCKER:
                self._take_registries()
            elif concern in self._found:
                self._read(*self._found[concern])

    def _read(self, name: str, mount: mounts.Mount) -> None:
        values: dict[str, SecretBytes] = {}
        with suppress(SecretError, KeyNotFound):
            if mount.key is None:
                values = mounts.read_all(name, mount.base, mount.entry).values
            else:
                reading = mounts.read_key(name, mount.base, mount.entry, mount.key)
                values = {mount.key: reading.value}
        self._redactor.add_secret(name, values)
        self.labels.update(dict.fromkeys(f"{name}/{key}" for key in values))
        for key in values:
            if os.path.basename(key) in LAYOUT:
                text = SecretStr(values[key].decode("utf-8", "replace"))
                self._take_registry(f"{name}/{key}", text)

    def _take_variables(self, variables: tuple[podinfo.SecretVariable, ...]) -> None:
        for variable in variables:
            if variable.key is not None:
                names = {variable.key: variable.variable}
            else:
                prefix = variable.variable
                names = {
                    one[len(prefix) :]: one
                    for one in os.environ
                    if one.startswith(prefix) and (prefix or _LIKELY.search(one))
                }
            for key, name in names.items():
                if name in os.environ:
                    value = SecretBytes(os.fsencode(os.environ[name]))
                    self._redactor.add_secret(variable.secret, {key: value})
                    self.labels[f"{variable.secret}/{key}"] = None

    def _take_registries(self) -> None:
        text = SecretStr(os.environ.get(_DOCKER_VARIABLE, ""))
        self._take_registry("registry", text)
        for path in _docker_paths():
            with suppress(OSError):
                content = _content(path)
                self._take_registry("registry", SecretStr(content.decode("utf-8", "replace")))

    def _take_registry(self, label: str, text: SecretStr) -> None:
        # Found wherever they stand: a file that is no JSON is printed as well as one that is.
        values = [SecretStr(match[1]) for match in _DOCKER_LINE.finditer(text)]
        for match in _DOCKER_FIELD.finditer(text):
            with suppress(ValueError):
                values.append(SecretStr(json.loads(SecretStr(match[1]), strict=False)))
        for value in filter(None, values):
            self._redactor.add(label, value)
            with suppress(ValueError):
                password = _password(value)
                if password:
                    self._redactor.add(label, password)

    def _places(self) -> Iterator[Place]:
        for path, (_, mount) in self._found.items():
            if not os.path.isdir(mount.directory):
                yield _above(mount.directory, _PLACES)
            elif mount.kind == "volume":
                yield Place(mount.directory, path)
                if not os.path.islink(os.path.join(mount.directory, "..data")):
                    yield from (Place(one, path) for one in _below(mount.directory))
        for root in mounts.roots():
            if os.path.isdir(root):
                yield Place(root, _PLACES)
            else:
                yield _above(root, _PLACES)
        for path in _docker_paths():
            directory, name = os.path.split(path)
            if os.path.isdir(directory):
                yield Place(directory, _DOCKER, frozenset({name}))
            else:
                # The directory has to be watched once it is there.
                yield _above(directory, _PLACES)

    def after_fork(self) -> None:
        """Begin anew in a forked process."""
        # The descriptor is shared with the parent, which must not miss what this process reads.
        self._watch.close()
        self._answer_due = None
        self._stale = True


def _in_background(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work, name="kfsecrets", daemon=True)
    # debugpy: a breakpoint must not stop what learns of values.
    thread.pydev_do_not_trace = True  # type: ignore[attr-defined]
    thread.is_pydev_daemon_thread = True  # type: ignore[attr-defined]
    thread.start()


def _settings() -> int:
    # One of them is a value: it is compared, and not kept.
    return hash(tuple(map(os.environ.get, _SETTINGS)))


def _docker_paths() -> list[str]:
    paths = []
    for source in of_user():
        if not source.path.startswith("$"):
            # Where the working directory is gone, a relative path leads nowhere.
            with suppress(OSError):
                paths.append(os.path.abspath(source.path))
    return paths


def _content(path: str) -> SecretBytes:
    descriptor = os.open(path, _DOCKER_FLAGS)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return SecretBytes()
        with open(descriptor, "rb", closefd=False) as file:
            return SecretBytes(file.read(_DOCKER_LIMIT))
    finally:
        os.close(descriptor)


def _password(auth: SecretStr) -> SecretStr:
    import base64

    compact = SecretStr("".join(auth.split()).rstrip("="))
    decoded = base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    return SecretStr(SecretBytes(decoded).decode().partition(":")[2].strip("\0"))


def _above(path: str, concern: Hashable) -> Place:
    """Return where a path that is not there would appear."""
    directory, name = os.path.split(path)
    while not os.path.isdir(directory) and name:
        directory, name = os.path.split(directory)
    return Place(directory or os.sep, concern, frozenset({name}))


def _below(directory: str) -> Iterator[str]:
    """Yield the directories in a volume that the kubelet's writer did not lay out."""
    count = 0
    for path, names, _ in os.walk(directory):
        depth = path[len(directory) :].count(os.sep)
        if depth >= _DEPTH:
            names.clear()
        for name in names:
            count += 1
            if count > _DIRECTORIES:
                return
            yield os.path.join(path, name)
