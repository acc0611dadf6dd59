"""The node that the demo's pod runs on: mounts its volumes, and keeps them up to date.

The directory of the demo stands for the root of the pod's file system: what a container mounts at
``/secret/x`` is ``secret/x`` in it. An annotation of the pod that ``cluster/pod.json`` is says so.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import fcntl
import json
import os
import posixpath
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfsecrets_ext.mounts import LIMIT
from kfsecrets_ext.podinfo import ROOT_ANNOTATION
from kfsecrets_ext.values import SecretBytes, SecretStr

from . import DemoError, kubelet
from .contents import SIDECAR

__all__ = ["MOUNTINFO", "POD_FILE", "Node", "Variable", "data_of", "secret_of", "write_text"]

MOUNTINFO = "proc/self/mountinfo"
POD_FILE = "cluster/pod.json"

_LOCK = "run/kubelet.lock"
_VOLUMES = "var/lib/kubelet/volumes"
# Where the demo keeps what is no part of the pod's file system.
_RESERVED = ("cluster", "log", "proc", "run", "share")

Secrets = Callable[[str], "Mapping[str, Any] | None"]
"""Gives a Secret of the pod's namespace, as the cluster keeps it."""


@dataclass(frozen=True)
class Variable:
    """A variable of the notebook's container.

    Attributes
    ----------
    name : str
    secret, key : str or None
        Where its value comes from; ``None`` for a literal.
    value : SecretStr or None
        ``None`` where the Secret, or its key, is not there.
    """

    name: str
    secret: str | None
    key: str | None
    value: SecretStr | None


@dataclass(frozen=True)
class Node:
    """The node's part of the directory.

    Attributes
    ----------
    directory : Path
        Stands for ``/`` of the pod's file system.
    """

    directory: Path

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep others from mounting and writing volumes while a block runs."""
        # kubelet: AtomicWriter must be synchronised by its caller
        lock = self.directory / _LOCK
        lock.parent.mkdir(parents=True, exist_ok=True)
        with open(lock, "a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def pod(self) -> dict[str, Any] | None:
        """Return the pod that runs here, with the paths that its files have."""
        try:
            pod: dict[str, Any] = json.loads(
                (self.directory / POD_FILE).read_text(encoding="utf-8")
            )
        except FileNotFoundError:
            return None
        pod["metadata"].get("annotations", {}).pop(ROOT_ANNOTATION, None)
        return self._local(pod)

    def check(self, pod: Mapping[str, Any], secrets: Secrets) -> None:
        """See whether a pod can be started here.

        Raises
        ------
        DemoError
            It would wait for a Secret, or mounts over what is the demo's.
        """
        for mount, source in _mounts(pod):
            path = posixpath.normpath(mount["mountPath"])
            if path.split("/")[1] in ("", *_RESERVED):
                raise DemoError(f"The demo keeps its own files at {path}: mount elsewhere.")
            name = secret_of(source)
            if name is None or source["secret"].get("optional"):
                continue
            keys = {item["key"] for item in source["secret"].get("items") or ()}
            if (secret := secrets(name)) is None or not keys <= set(secret.get("data") or ()):
                raise DemoError(
                    f"The pod waits for the Secret {name!r}, or for a key of it: it is not there, "
                    "and the volume is not optional."
                )
        for variable in _variables(pod, secrets):
            if variable.value is None:
                raise DemoError(
                    f"The pod waits for the Secret {variable.secret!r} that its variable "
                    f"{variable.name} comes from."
                )

    def start(self, pod: Mapping[str, Any], secrets: Secrets) -> None:
        """Run a pod that was admitted; the one before is stopped.

        Parameters
        ----------
        pod : mapping
            As the cluster keeps it.
        secrets : callable
        """
        stored = copy.deepcopy(dict(pod))
        stored["status"] = {"phase": "Running"}
        annotations = stored["metadata"].get("annotations") or {}
        stored["metadata"]["annotations"] = {**annotations, ROOT_ANNOTATION: str(self.directory)}
        write_text(self.directory / POD_FILE, json.dumps(stored, indent=1))
        local = self._local(pod)
        self._project(local, secrets)
        for mount, source in _mounts(local):
            if "csi" in source:
                _fill_csi(Path(mount["mountPath"]))
            elif source["name"] == SIDECAR:
                _fill_sidecar(Path(mount["mountPath"]))
        self._bind(local)

    def stop(self) -> None:
        """Take away what the running pod has mounted."""
        old = self.pod() or {"spec": {"containers": [{}]}}
        shutil.rmtree(self.directory / _VOLUMES, ignore_errors=True)
        for mount, source in _mounts(old):
            self._unmount(Path(mount["mountPath"]), source)

    def sync(self, secrets: Secrets) -> tuple[str, ...]:
        """Bring the volumes of the running pod up to date.

        Parameters
        ----------
        secrets : callable

        Returns
        -------
        tuple of str
            The mount paths that show something new.
        """
        pod = self.pod()
        if pod is None:
            return ()
        changed = self._project(pod, secrets)
        self._mark_deleted(pod)
        return changed

    def mounts(self, pod: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str | None]]:
        """Yield each mount of the notebook's container, and its Secret's name."""
        for mount, source in _mounts(pod):
            yield mount, secret_of(source)

    def variables(self, pod: Mapping[str, Any], secrets: Secrets) -> Iterator[Variable]:
        """Yield each variable of the notebook's container."""
        return _variables(pod, secrets)

    def _local(self, pod: Mapping[str, Any]) -> dict[str, Any]:
        local = copy.deepcopy(dict(pod))
        for mount in local["spec"]["containers"][0].get("volumeMounts") or ():
            mount["mountPath"] = f"{self.directory}{posixpath.normpath(mount['mountPath'])}"
        return local

    def _volume(self, mount: Mapping[str, Any]) -> Path:
        """Tell where the kubelet keeps a volume: where it is mounted, unless only a file is."""
        if "subPath" in mount:
            return self.directory / _VOLUMES / str(mount["name"])
        return Path(mount["mountPath"])

    def _project(self, pod: Mapping[str, Any], secrets: Secrets) -> tuple[str, ...]:
        metadata = pod["metadata"]
        changed = []
        for mount, source in _mounts(pod):
            if "downwardAPI" in source:
                payload = kubelet.downward_payload(
                    metadata.get("labels") or {}, metadata.get("annotations") or {}
                )
            elif "secret" in source:
                given = _payload(source["secret"], secrets)
                if given is None:
                    continue
                payload = given
            else:
                continue
            if kubelet.write(self._volume(mount), payload) and "subPath" not in mount:
                changed.append(str(mount["mountPath"]))
        return tuple(changed)

    def _bind(self, pod: Mapping[str, Any]) -> None:
        """Mount the files of ``subPath`` mounts, and write the mount table."""
        lines = [_line(30, "/", "/", "overlay")]
        for number, (mount, source) in enumerate(_mounts(pod), 31):
            path = mount["mountPath"]
            inside = "/"
            if "subPath" in mount and secret_of(source) is not None:
                volume = self._volume(mount)
                file = os.path.join(os.readlink(volume / "..data"), mount["subPath"])
                if (volume / file).is_file():
                    # A link to the file itself lasts when its generation goes, as a bind mount.
                    os.makedirs(os.path.dirname(path), exist_ok=True)
                    os.link(volume / file, path)
                else:
                    # kubelet: what is not there to be mounted becomes an empty directory
                    os.makedirs(path, exist_ok=True)
                inside = f"/{file}"
            lines.append(_line(number, inside, path, "tmpfs"))
        write_text(self.directory / MOUNTINFO, "".join(lines))

    def _mark_deleted(self, pod: Mapping[str, Any]) -> None:
        table = self.directory / MOUNTINFO
        lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
        for number, (mount, _) in enumerate(_mounts(pod), 1):
            if "subPath" in mount and os.stat(mount["mountPath"]).st_nlink == 1:
                fields = lines[number].split(" ")
                fields[3] = fields[3].removesuffix("//deleted") + "//deleted"
                lines[number] = " ".join(fields)
        write_text(table, "".join(lines))

    def _unmount(self, path: Path, source: Mapping[str, Any]) -> None:
        if source["name"] == SIDECAR:
            shutil.rmtree(path, ignore_errors=True)
        elif path.is_dir():
            kubelet.clear(path)
        else:
            path.unlink(missing_ok=True)
        # The mount points, as far as nothing else is there.
        with contextlib.suppress(OSError):
            while path != self.directory:
                if path.exists():
                    path.rmdir()
                path = path.parent


def secret_of(source: Mapping[str, Any]) -> str | None:
    """Name the Secret of a volume."""
    name: str | None = source.get("secret", {}).get("secretName")
    return name


def data_of(secret: Mapping[str, Any] | None) -> dict[str, SecretBytes]:
    """Decode the data of a Secret."""
    held = (secret or {}).get("data") or {}
    return {key: SecretBytes(base64.b64decode(value)) for key, value in held.items()}


def write_text(path: Path, text: str) -> None:
    """Write a file for this user alone, at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(new, path)


def _mounts(pod: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each mount of the notebook's container, and its volume."""
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or ()}
    for mount in pod["spec"]["containers"][0].get("volumeMounts") or ():
        yield mount, volumes[mount["name"]]


def _variables(pod: Mapping[str, Any], secrets: Secrets) -> Iterator[Variable]:
    container = pod["spec"]["containers"][0]
    for source in container.get("envFrom") or ():
        name = source.get("secretRef", {}).get("name")
        for key, value in data_of(secrets(name) if name else None).items():
            yield Variable(f"{source.get('prefix', '')}{key}", name, key, _text(value))
    for entry in container.get("env") or ():
        reference = entry.get("valueFrom", {}).get("secretKeyRef")
        if reference is not None:
            found = data_of(secrets(reference["name"])).get(reference["key"])
            if found is not None or not reference.get("optional"):
                text = None if found is None else _text(found)
                yield Variable(entry["name"], reference["name"], reference["key"], text)
        elif "valueFrom" not in entry:
            yield Variable(entry["name"], None, None, SecretStr(entry.get("value", "")))


def _text(value: SecretBytes) -> SecretStr:
    return SecretStr(value.decode("utf-8", "surrogateescape"))


def _payload(source: Mapping[str, Any], secrets: Secrets) -> dict[str, kubelet.File] | None:
    """Give the files of a volume; ``None`` where the kubelet would leave it as it is."""
    secret = secrets(source["secretName"])
    optional = bool(source.get("optional"))
    if secret is None and not optional:
        return None
    with contextlib.suppress(kubelet.Refused):
        return kubelet.secret_payload(
            data_of(secret),
            items={item["key"]: item["path"] for item in source.get("items") or ()},
            mode=source.get("defaultMode", kubelet.MODE),
            optional=optional,
        )
    return None


def _fill_csi(volume: Path) -> None:
    # secrets-store-csi-driver writes with a copy of the kubelet's AtomicWriter
    size = LIMIT + 1
    kubelet.write(
        volume,
        {
            "api-token": kubelet.File(SecretBytes(b"demo-value-of-the-vault")),
            "bundle.bin": kubelet.File(SecretBytes(b"demo" * (size // 4 + 1))),
        },
    )
    # A provider's link to a file of the image: nothing outside the mount is read.
    (volume / "..data" / "ca.crt").symlink_to("/etc/ssl/certs/ca-certificates.crt")
    (volume / "ca.crt").symlink_to("..data/ca.crt")


def _fill_sidecar(volume: Path) -> None:
    volume.mkdir(parents=True)
    os.mkfifo(volume / "agent.pipe", 0o600)


_OCTAL = str.maketrans({" ": "\\040", "\t": "\\011", "\n": "\\012", "\\": "\\134", "#": "\\043"})


def _line(number: int, inside: str, path: str, filesystem: str) -> str:
    # proc(5): id parent major:minor root mount-point options - type source options
    access = "rw" if path == "/" else "ro"
    return (
        f"{number} {1 if path == '/' else 30} 0:{number} {inside.translate(_OCTAL)} "
        f"{path.translate(_OCTAL)} {access},relatime - {filesystem} {filesystem} {access}\n"
    )
