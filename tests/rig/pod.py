"""A pod's file system: commands see the mount table and the volumes that a notebook's pod has.

A `Pod` is a node and a container, each a mount namespace of its own. On the node, the kubelet
(`rig.kubelet`) keeps each volume where kubelets do, Secrets in a tmpfs each; the container sees
them bind-mounted at their mount paths, and not the node. The commands run without capabilities,
as a notebook's do, as root's or the calling user's own processes.

What ``/proc/self/mountinfo`` says in such a pod, here of a Secret, a `SubPath` of it after a
rotation, a ConfigMap, the podinfo and the service account's token (long lines folded; the lines of
the machine's own directories, which are bind-mounted too, left out)::

    128 71 0:46 / / rw,relatime - overlay overlay rw,lowerdir=…,upperdir=…,workdir=…,uuid=on
    338 128 0:40 /pods/<uid>/volumes/kubernetes.io~configmap/settings /etc/settings ro,relatime
        - overlay overlay rw,lowerdir=…,upperdir=…,workdir=…,uuid=on
    339 128 0:43 /..2026_11_24_23_23_26.1607393185/config.json//deleted /opt/config.json ro,relatime
        - tmpfs tmpfs rw,size=1048576k
    340 128 0:43 / /home/jovyan/.docker ro,relatime - tmpfs tmpfs rw,size=1048576k
    341 128 0:44 / /etc/kfsecrets/podinfo-v1 ro,relatime - tmpfs tmpfs rw,size=1048576k
    342 128 0:42 / /run/secrets/kubernetes.io/serviceaccount ro,relatime - tmpfs tmpfs
        rw,size=1048576k
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rig import binaries
from rig.kubelet import Gone, Kubelet, KubeletError

if TYPE_CHECKING:
    from typing_extensions import Self

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where every pod has the token of its service account."""

PODINFO = "/etc/kfsecrets/podinfo-v1"
"""Where the volume ``kfsecrets-podinfo-v1`` is mounted."""

Data = Mapping[str, "str | bytes"]
"""Keys and values; text is encoded as UTF-8."""


class PodError(binaries.RigError):
    """A pod cannot be had here, or ended too early; the message says what is missing."""


@dataclass(frozen=True)
class SecretVolume:
    """A Secret as a volume.

    Parameters
    ----------
    name : str
        The volume's.
    data : mapping or None
        The Secret's; None where there is no such Secret (then ``optional`` has to be true).
    mount_path : str or None
        Where the container sees it; None where only a `SubPath` of it is mounted.
    items : mapping, optional
        Key to path; only these keys are there.
    mode : int
        Permission bits of the files.
    optional, read_only : bool
        As in a pod's ``secret`` and ``volumeMounts``. Kubelets make every Secret's mount
        read-only, whatever the pod says.
    """

    name: str
    data: Data | None = field(repr=False)
    mount_path: str | None
    items: Mapping[str, str] | None = None
    mode: int = 0o644
    optional: bool = False
    read_only: bool = True


@dataclass(frozen=True)
class ConfigMapVolume:
    """A ConfigMap as a volume: laid out as a Secret, on the node's disk."""

    name: str
    data: Data
    mount_path: str
    read_only: bool = True


@dataclass(frozen=True)
class TokenVolume:
    """A projected volume with a token in it: laid out as a Secret, and not one."""

    name: str
    data: Data = field(repr=False)
    mount_path: str
    read_only: bool = True


@dataclass(frozen=True)
class CsiVolume:
    """A tmpfs that a CSI driver fills with plain files: no ``..data``, no generations."""

    name: str
    data: Data = field(repr=False)
    mount_path: str
    read_only: bool = True


@dataclass(frozen=True)
class EmptyDir:
    """An ``emptyDir`` of medium ``Memory``, as notebooks have at ``/dev/shm``."""

    name: str
    mount_path: str
    read_only: bool = False


@dataclass(frozen=True)
class SubPath:
    """One file of a volume at a path of its own; it keeps the generation it was mounted from.

    Parameters
    ----------
    volume : str
        The volume's name.
    sub_path : str
        The path below it. One that is not there becomes a directory, as with kubelets.
    mount_path : str
        Where the container sees it.
    read_only : bool
        As in a pod's ``volumeMounts``.
    """

    volume: str
    sub_path: str
    mount_path: str
    read_only: bool = True


@dataclass(frozen=True)
class PodInfo:
    """What the volume ``kfsecrets-podinfo-v1`` shows a pod of itself."""

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


Volume = SecretVolume | ConfigMapVolume | TokenVolume | CsiVolume | EmptyDir


def pipelines_token() -> TokenVolume:
    """Return the volume that Kubeflow's PodDefault ``access-ml-pipeline`` brings."""
    return TokenVolume(
        "volume-kf-pipeline-token",
        {"token": "not.a.pipelines-token"},
        "/var/run/secrets/kubeflow/pipelines",
    )


class Pod:
    """A running pod; a context manager that leaves neither processes nor mounts.

    A mount point that is not there is made in the container alone. For that, the directory that
    exists above it is shared entry by entry: files that come into it later stay on their side.
    Where that matters (a mount point in ``tmp_path``), make the mount point beforehand.

    Parameters
    ----------
    volumes : sequence
        The volumes and the `SubPath` mounts.
    podinfo : PodInfo, optional
        Mount the downward-API volume with this in it.
    env : mapping, optional
        The container's variables, added to those that name the machine's programs and folders.
    namespace : str
        The pod's, for its service account.
    user : int, optional
        The uid that the commands run under. It takes root to choose.

    Raises
    ------
    PodError
        On entering: this machine does not let the caller make mount namespaces, or a mount
        failed; the message says what is missing.
    KubeletError
        On entering: the kubelet's code refused a volume.

    Examples
    --------
    >>> with Pod([SecretVolume("aws", {"key": b"x"}, "/secret/aws")]) as pod:
    ...     pod.run(["cat", "/secret/aws/key"], check=True).stdout
    'x'
    """

    def __init__(
        self,
        volumes: Sequence[Volume | SubPath] = (),
        *,
        podinfo: PodInfo | None = None,
        env: Mapping[str, str] | None = None,
        namespace: str = "alice",
        user: int | None = None,
    ) -> None:
        self.uid = str(uuid.uuid4())
        self.env = dict(env or {})
        self._user = user
        self._podinfo = podinfo
        self._sub_paths = [volume for volume in volumes if isinstance(volume, SubPath)]
        self._volumes: dict[str, Volume] = {
            volume.name: volume
            for volume in (_service_account(namespace), *volumes)
            if not isinstance(volume, SubPath)
        }
        self._kubelet: Kubelet | None = None
        self._container: subprocess.Popen[bytes] | None = None
        self._started: list[subprocess.Popen[Any]] = []

    def run(
        self,
        command: Sequence[str],
        *,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        check: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the container to its end; its output is kept, as text.

        Parameters
        ----------
        command : sequence of str
            As for `subprocess.run`.
        stdin : str, optional
            What it reads there; nothing by default.
        env : mapping, optional
            More variables.
        cwd : path, optional
            Its working directory, the caller's by default.
        check : bool
            Raise `subprocess.CalledProcessError` where it fails.
        """
        process = self.start(
            command,
            env=env,
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        out, err = process.communicate(stdin or "")
        if check and process.returncode:
            raise subprocess.CalledProcessError(process.returncode, list(command), out, err)
        return subprocess.CompletedProcess(list(command), process.returncode, out, err)

    def start(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> subprocess.Popen[Any]:
        """Start a command in the container; the process is the command's own.

        Whatever still runs when the pod stops is killed, and the pipes are closed then.

        Parameters
        ----------
        command, env, cwd
            As for `run`.
        **options
            More for `subprocess.Popen`.
        """
        if self._container is None:
            raise PodError("the pod does not run")
        who = [f"--reuid={self._user}", f"--regid={self._user}", "--clear-groups"]
        process = subprocess.Popen(
            [
                *self._enter(self._container),
                *("env", f"--chdir={os.fspath(cwd) if cwd is not None else os.getcwd()}"),
                *("setpriv", *(who if self._user is not None else ())),
                *("--inh-caps=-all", "--bounding-set=-all", "--", *command),
            ],
            env={**_machine(), **self.env, **(env or {})},
            **options,
        )
        self._started.append(process)
        return process

    def rotate(self, volume: str, data: Data | None) -> None:
        """Write new content into a volume, as the kubelet does once its object has changed.

        Parameters
        ----------
        volume : str
            The volume's name.
        data : mapping or None
            All of the new content; None where the (optional) Secret has gone.

        Raises
        ------
        PodError
            There is no such volume.
        KubeletError
            The kubelet's code refused it.
        """
        if volume not in self._volumes:
            raise PodError(f"the pod has no volume {volume}, only {', '.join(self._volumes)}")
        self._write(self._volumes[volume], data)

    def rotate_podinfo(self, podinfo: PodInfo) -> None:
        """Show the pod other labels and annotations, as after an edit of the running pod."""
        assert self._kubelet is not None
        directory = self._directory("kubernetes.io~downward-api", "kfsecrets-podinfo-v1")
        self._kubelet.write_podinfo(directory, podinfo.labels, podinfo.annotations)

    def on_node(self, volume: str) -> Path:
        """Return a volume's directory as its kubelet has it: writable, seen from this process."""
        assert self._kubelet is not None
        return _seen(self._kubelet.process, self._place(self._volumes[volume]))

    def in_container(self, path: str) -> Path:
        """Return a path of the container, seen from this process."""
        assert self._container is not None
        return _seen(self._container, path)

    def stop(self) -> None:
        """End the pod and every process in it; again is harmless."""
        for process in self._started:
            process.kill()
        if self._container is not None:
            # It kills whatever else is in the container.
            self._container.communicate(b"stop")
            self._container = None
        for process in self._started:
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    _close(pipe)
        self._started.clear()
        if self._kubelet is not None:
            self._kubelet.close()
            self._kubelet = None

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _begin(self) -> None:
        for tool in ("unshare", "nsenter", "setpriv", "env"):
            if shutil.which(tool) is None:
                raise PodError(f"there is no {tool} here: install util-linux and coreutils")
        plan = json.dumps(self._node()).encode()
        self._kubelet = Kubelet([*_unshare(), *_script("node", plan)], plan)
        try:
            for volume in self._volumes.values():
                self._write(volume, getattr(volume, "data", {}))
            if self._podinfo is not None:
                self.rotate_podinfo(self._podinfo)
        except Gone as gone:
            raise PodError(f"{gone}\n{_HINT}") from gone
        plan = json.dumps({"mounts": self._mounts()}).encode()
        container = subprocess.Popen(
            [
                *self._enter(self._kubelet.process),
                *("unshare", "--mount"),
                *_script("container", plan),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._container = container
        assert container.stdin is not None
        assert container.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # what it says next tells why
            container.stdin.write(plan)
            container.stdin.flush()
        if container.stdout.readline() != b"ready\n":
            said = container.communicate()[1].decode(errors="replace")
            self._container = None
            raise PodError(f"the container could not be made: {said.strip()}")

    def _write(self, volume: Volume, data: Data | None) -> None:
        assert self._kubelet is not None
        if isinstance(volume, CsiVolume):
            for key, value in (data or {}).items():
                content = value.encode() if isinstance(value, str) else value
                (self.on_node(volume.name) / key).write_bytes(content)
        elif isinstance(volume, SecretVolume):
            if data is None and not volume.optional:
                raise PodError(f"the pod would wait for the Secret of the volume {volume.name}")
            self._kubelet.write_secret(
                self._place(volume),
                data or {},
                items=volume.items,
                mode=volume.mode,
                optional=volume.optional,
            )
        elif not isinstance(volume, EmptyDir):
            self._kubelet.write_secret(self._place(volume), data or {})

    def _node(self) -> dict[str, Any]:
        volumes = [
            {"path": self._place(volume), "memory": not isinstance(volume, ConfigMapVolume)}
            for volume in self._volumes.values()
        ]
        if self._podinfo is not None:
            path = self._directory("kubernetes.io~downward-api", "kfsecrets-podinfo-v1")
            volumes.append({"path": path, "memory": True})
        return {"kubelet": str(binaries.program("kubelet-volumes")), "volumes": volumes}

    def _mounts(self) -> list[dict[str, Any]]:
        mounts = [
            _mount(self._place(volume), volume.mount_path, volume.read_only)
            for volume in self._volumes.values()
            if volume.mount_path is not None
        ]
        if self._podinfo is not None:
            path = self._directory("kubernetes.io~downward-api", "kfsecrets-podinfo-v1")
            mounts.append(_mount(path, PODINFO, read_only=True))
        for sub_path in self._sub_paths:
            source = self._place(self._volumes[sub_path.volume])
            mount = _mount(source, sub_path.mount_path, sub_path.read_only)
            mounts.append({**mount, "sub_path": sub_path.sub_path})
        return mounts

    def _place(self, volume: Volume) -> str:
        inside = "/mount" if isinstance(volume, CsiVolume) else ""
        return self._directory(_PLUGINS[type(volume)], volume.name) + inside

    def _directory(self, plugin: str, name: str) -> str:
        return f"/var/lib/kubelet/pods/{self.uid}/volumes/{plugin}/{name}"

    def _enter(self, process: subprocess.Popen[bytes]) -> list[str]:
        user = [] if _may_mount() else ["--user", "--preserve-credentials"]
        return ["nsenter", f"--target={process.pid}", *user, "--mount", "--"]


# kubelet: where each volume plugin keeps its volumes
_PLUGINS: dict[type[Volume], str] = {
    SecretVolume: "kubernetes.io~secret",
    ConfigMapVolume: "kubernetes.io~configmap",
    TokenVolume: "kubernetes.io~projected",
    CsiVolume: "kubernetes.io~csi",
    EmptyDir: "kubernetes.io~empty-dir",
}

_HINT = (
    "A pod needs Linux 5.11 or newer, and root with CAP_SYS_ADMIN or user namespaces that anyone "
    "may make (sysctl user.max_user_namespaces above 0, and where there are such settings "
    "kernel.unprivileged_userns_clone=1 and kernel.apparmor_restrict_unprivileged_userns=0)."
)

# What a container image and its machine have; the rest of the caller's variables stays outside.
_KEPT = (
    *("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "TZ", "USER"),
    *("PYTHONPATH", "PYTHONWARNINGS", "PYTHONDONTWRITEBYTECODE"),
    *("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG", "COVERAGE_FILE"),
)

_CAP_SYS_ADMIN = 1 << 21


def _service_account(namespace: str) -> TokenVolume:
    data = {
        "token": "not.a.service-account-token",
        "ca.crt": "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        "namespace": namespace,
    }
    return TokenVolume("kube-api-access-x7k2q", data, SERVICE_ACCOUNT)


def _may_mount() -> bool:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) & _CAP_SYS_ADMIN)
    return False


def _unshare() -> list[str]:
    user = [] if _may_mount() else ["--user", "--map-root-user"]
    return ["unshare", *user, "--mount", "--"]


def _script(role: str, plan: bytes) -> list[str]:
    script = Path(__file__).with_name("namespaces.py")
    return [sys.executable, "-I", "-S", str(script), role, str(len(plan))]


def _machine() -> dict[str, str]:
    return {name: os.environ[name] for name in _KEPT if name in os.environ}


def _mount(source: str, path: str, read_only: bool) -> dict[str, Any]:
    return {"source": source, "sub_path": None, "path": path, "read_only": read_only}


def _seen(process: subprocess.Popen[bytes], path: str) -> Path:
    return Path(f"/proc/{process.pid}/root{path}")


def _close(pipe: Any) -> None:
    with contextlib.suppress(BrokenPipeError):  # what was still to be written has no reader
        pipe.close()


__all__ = [
    "ConfigMapVolume",
    "CsiVolume",
    "EmptyDir",
    "KubeletError",
    "Pod",
    "PodError",
    "PodInfo",
    "SecretVolume",
    "SubPath",
    "TokenVolume",
    "pipelines_token",
]
