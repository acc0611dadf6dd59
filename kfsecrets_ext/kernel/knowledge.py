"""What the guard knows: every value that is mounted or set here, read by anyone or not.

Earlier generations stay known. A change is noticed before the next message leaves.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import threading
from collections.abc import Hashable, Iterator
from contextlib import suppress

from kfsecrets_ext import cluster, docker, inventory, mounts, podinfo
from kfsecrets_ext.errors import KeyNotFound, SecretError
from kfsecrets_ext.redaction import Redactor
from kfsecrets_ext.values import SecretBytes, SecretStr

from .watch import Place, Watch

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

# envFrom without a prefix: which variables are the Secret's is not told
_LIKELY = re.compile(r"SECRET|TOKEN|PASSW|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE", re.IGNORECASE)

# An API server nearby has answered by then; for another one, the first message waits.
_PROMPT = 0.5  # s

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
    """

    # Whoever calls holds the gate's lock.
    def __init__(self, redactor: Redactor, watch: Watch | None = None):
        self._redactor = redactor
        self._watch = watch or Watch()
        self._info = podinfo.PodInfo()
        self._asking: threading.Thread | None = None
        self._found: dict[Hashable, tuple[str, mounts.Mount]] = {}
        self._stale = True
        self.labels: dict[str, None] = {}

    def start(self) -> None:
        """Learn what there is; what the Pod object tells is waited for by `refresh`."""
        directory = os.environ.get("KFSECRETS_PODINFO") or podinfo.PODINFO_DIRECTORY
        self._info = podinfo.from_files(directory)
        self._asking = threading.Thread(target=self._ask, name="kfsecrets-pod", daemon=True)
        self._asking.start()
        # The first label of a value stays, and only the Pod object names what is mounted elsewhere.
        self._asking.join(_PROMPT)
        self._learn()

    def refresh(self) -> None:
        """Learn what changed since the last time."""
        if self._asking is not None:
            # own_pod has a time limit.
            self._asking.join()
            self._asking = None
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
        own = cluster.own_pod()
        if own.pod is None:
            return
        pod = podinfo.from_pod(own.pod, information=own.home)
        self._info = podinfo.merge(self._info, pod)
        self._stale = True

    def _learn(self) -> None:
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
        if _PLACES in concerns:
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
            with suppress(OSError), open(path, "rb") as file:
                content = SecretBytes(file.read(_DOCKER_LIMIT))
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
        self._asking = None
        self._stale = True


def _docker_paths() -> list[str]:
    return [
        os.path.abspath(report.path) for report in docker.files() if not report.path.startswith("$")
    ]


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
