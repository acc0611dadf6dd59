"""The demo's pod: a directory that stands for its file system, and its environment.

``cluster/`` in it keeps the Pod and the Secrets of its namespace; the rest is what the kubelet
makes of them. A rotation changes a Secret there, and projects the volumes again.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import site
import stat
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from kfsecrets_ext.errors import SecretNotFound
from kfsecrets_ext.mounts import LIMIT
from kfsecrets_ext.values import SecretBytes, SecretStr

from . import DemoError, contents, kubelet

__all__ = ["TOUR", "DemoPod", "Rotation", "find", "lay_out", "reserved"]

TOUR = "tour.ipynb"
"""The notebook that the demo opens, in the pod's home."""

_MARK = ".kfsecrets-demo"
_POD = "cluster/pod.json"
_OURS = ("cluster", "etc", "log", "proc", "run", "secret", "secrets", "share", "tmp", "var")
_HOME = "home/jovyan"
_MOUNTINFO = "proc/self/mountinfo"

# JupyterLab as it opens first: the panel beside the tour.
_LAYOUT = {
    "main": {"dock": None},
    "left": {
        "collapsed": False,
        "visible": True,
        "current": "kfsecrets-ext-panel",
        "widgets": ["filebrowser", "kfsecrets-ext-panel"],
    },
    "relativeSizes": [0.26, 0.74, 0],
}

# What must not reach the pod from the caller's own set-up.
_DROPPED = ("JUPYTER", "IPYTHON", "KFSECRETS_", "NB_", "DOCKER_", "REGISTRY_", "KUBE", "XDG_")


@dataclass(frozen=True)
class Rotation:
    """What a rotation did.

    Attributes
    ----------
    secret : str
    created : bool
        Whether the Secret was not there before.
    updated : tuple of str
        Mount paths that show the new values.
    kept : tuple of str
        Mount paths and variables that keep the old ones until the notebook starts anew.
    """

    secret: str
    created: bool
    updated: tuple[str, ...]
    kept: tuple[str, ...]


@dataclass(frozen=True)
class DemoPod:
    """A pod in a directory.

    Attributes
    ----------
    directory : Path
        Stands for ``/`` of the pod's file system.
    """

    directory: Path

    @property
    def home(self) -> Path:
        """The pod's ``/home/jovyan``, which is kept while the pods come and go."""
        return self.directory / _HOME

    @property
    def runtime(self) -> Path:
        """Where the pod's Jupyter keeps what tells of its processes."""
        return self.directory / "run" / "jupyter"

    @property
    def log(self) -> Path:
        """What the pod's Jupyter wrote."""
        return self.directory / "log" / "jupyter.log"

    @property
    def base_url(self) -> str:
        """The pod's ``NB_PREFIX``."""
        return f"/notebook/{contents.NAMESPACE}/{contents.NOTEBOOK}"

    def variables(self) -> dict[str, str]:
        """Return the variables that the pod's container has, and where its credentials are."""
        root = self.directory
        return {
            "HOME": str(self.home),
            "NB_PREFIX": self.base_url,
            "KFSECRETS_ROOTS": f"{root}/secret:{root}/secrets",
            "KFSECRETS_PODINFO": f"{root}/etc/kfsecrets/podinfo-v1",
            "KFSECRETS_MOUNTINFO": f"{root}/{_MOUNTINFO}",
            "KFSECRETS_CLUSTER": f"{root}/cluster",
            **{
                variable: SecretStr(_data(self._secret(name) or {})[key].decode())
                for variable, (name, key) in contents.VARIABLES.items()
            },
        }

    def environment(self) -> dict[str, str]:
        """Return the environment of the pod's Jupyter, with nothing of the caller's Jupyter."""
        root = self.directory
        scripts = sysconfig.get_path("scripts")
        return {
            **{name: text for name, text in os.environ.items() if not name.startswith(_DROPPED)},
            **self.variables(),
            "PATH": os.pathsep.join(filter(None, (scripts, os.environ.get("PATH")))),
            # Packages that the user installed for herself are looked for below HOME otherwise.
            "PYTHONUSERBASE": site.getuserbase(),
            "XDG_RUNTIME_DIR": f"{root}/run",
            # As a pod, it has a /tmp of its own.
            "TMPDIR": str(root / "tmp"),
            "IPYTHONDIR": f"{self.home}/.ipython",
            "JUPYTER_CONFIG_DIR": f"{root}/etc/jupyter",
            "JUPYTER_DATA_DIR": f"{root}/share/jupyter",
            "JUPYTER_RUNTIME_DIR": str(self.runtime),
            "JUPYTER_PREFER_ENV_PATH": "0",
        }

    def configure_jupyter(self, token: str) -> None:
        """Write the configuration of the pod's Jupyter.

        Parameters
        ----------
        token : str
            What a browser must know. It stands in a file that only this user can read, and on
            no command line.
        """
        configuration = self.directory / "etc" / "jupyter"
        _write_json(
            configuration / "jupyter_server_config.json",
            {
                "IdentityProvider": {"token": token},
                "KernelSpecManager": {"allowed_kernelspecs": ["python3"]},
                "LabApp": {"default_url": f"/lab/tree/{TOUR}"},
                "ServerApp": {"jpserver_extensions": {"kfsecrets_ext": True}},
            },
        )
        # It would ask whether to fetch news of the project from elsewhere.
        news = "@jupyterlab/apputils-extension:announcements"
        _write_json(
            configuration / "labconfig" / "page_config.json", {"disabledExtensions": {news: True}}
        )
        # The name that JupyterLab makes of "default".
        _write_json(
            configuration / "lab" / "workspaces" / "default-37a8.jupyterlab-workspace",
            {"data": {"layout-restorer:data": _LAYOUT}, "metadata": {"id": "default"}},
        )
        _write_json(
            self.directory / "share" / "jupyter" / "kernels" / "python3" / "kernel.json",
            {
                "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                "display_name": "Python 3",
                "language": "python",
                "metadata": {"debugger": True},
            },
        )
        self.runtime.mkdir(parents=True, exist_ok=True)
        (self.directory / "tmp").mkdir(exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)

    def rotate(self, name: str) -> Rotation:
        """Give a Secret new values, and let the kubelet project them.

        Parameters
        ----------
        name : str

        Returns
        -------
        Rotation

        Raises
        ------
        SecretNotFound
            The demo has no such Secret.
        """
        with self._alone():
            if name not in contents.SECRETS:
                raise SecretNotFound(name, available=sorted(contents.SECRETS))
            created = self._secret(name) is None
            self._keep(contents.secret(name, rotated=True))
            pod = self._pod()
            self._project(pod)
            self._mark_deleted(pod)
        mounts = [mount for mount, source in _volume_mounts(pod) if _secret_of(source) == name]
        return Rotation(
            secret=name,
            created=created,
            updated=tuple(mount["mountPath"] for mount in mounts if "subPath" not in mount),
            kept=(
                *(mount["mountPath"] for mount in mounts if "subPath" in mount),
                *(
                    variable
                    for variable, (secret, _) in contents.VARIABLES.items()
                    if secret == name
                ),
            ),
        )

    def _start(self) -> None:
        """Make everything but the home anew."""
        for name in _OURS:
            _remove(self.directory / name)
        for name in contents.SECRETS:
            if name != contents.NOT_YET:
                self._keep(contents.secret(name))
        pod = contents.pod(str(self.directory))
        _write_json(self.directory / _POD, pod)
        with self._alone():
            self._project(pod)
            self._bind(pod)
            _fill_csi(self.directory / contents.CSI.path)
            _fill_sidecar(self.directory / contents.SIDECAR.path)
        self.home.mkdir(parents=True, exist_ok=True)
        if not (self.home / TOUR).exists():
            (self.home / TOUR).write_text(tour(), encoding="utf-8")
        # What a subPath mount shows is old from its Secret's first rotation on.
        self.rotate("legacy-token")

    def _pod(self) -> dict[str, Any]:
        pod: dict[str, Any] = json.loads((self.directory / _POD).read_text(encoding="utf-8"))
        return pod

    def _file(self, name: str) -> Path:
        namespace = self.directory / "cluster" / "namespaces" / contents.NAMESPACE
        return namespace / "secrets" / f"{name}.json"

    def _secret(self, name: str) -> Mapping[str, Any] | None:
        try:
            with open(self._file(name), encoding="utf-8") as file:
                secret: dict[str, Any] = json.load(file, object_hook=_guarded)
        except FileNotFoundError:
            return None
        return secret

    def _keep(self, secret: Mapping[str, Any]) -> None:
        _write_json(self._file(secret["metadata"]["name"]), secret)

    def _volume(self, mount: Mapping[str, Any]) -> Path:
        """Tell where the kubelet keeps a volume: where it is mounted, unless only a file is."""
        if "subPath" in mount:
            return self.directory / "var" / "lib" / "kubelet" / "volumes" / str(mount["name"])
        return Path(mount["mountPath"])

    def _project(self, pod: Mapping[str, Any]) -> None:
        metadata = pod["metadata"]
        for mount, source in _volume_mounts(pod):
            if "downwardAPI" in source:
                payload = kubelet.downward_payload(metadata["labels"], metadata["annotations"])
            elif "secret" in source:
                payload = self._payload(source["secret"])
            else:
                continue
            kubelet.write(self._volume(mount), payload)

    def _payload(self, source: Mapping[str, Any]) -> dict[str, kubelet.File]:
        items = {item["key"]: item["path"] for item in source.get("items") or ()}
        return kubelet.secret_payload(
            _data(self._secret(source["secretName"]) or {}),
            items=items,
            mode=source.get("defaultMode", kubelet.MODE),
            optional=bool(source.get("optional")),
        )

    def _bind(self, pod: Mapping[str, Any]) -> None:
        """Mount the files of ``subPath`` mounts, and write the mount table."""
        table = self.directory / _MOUNTINFO
        lines = [_line(30, "/", "/", "overlay")]
        for number, (mount, _) in enumerate(_volume_mounts(pod), 31):
            path = mount["mountPath"]
            inside = "/"
            if "subPath" in mount:
                volume = self._volume(mount)
                file = os.path.join(os.readlink(volume / "..data"), mount["subPath"])
                # A link to the file itself lasts when its generation goes, as a bind mount does.
                os.makedirs(os.path.dirname(path), exist_ok=True)
                os.link(volume / file, path)
                inside = f"/{file}"
            lines.append(_line(number, inside, path, "tmpfs"))
        table.parent.mkdir(parents=True, exist_ok=True)
        table.write_text("".join(lines), encoding="utf-8")

    def _mark_deleted(self, pod: Mapping[str, Any]) -> None:
        table = self.directory / _MOUNTINFO
        lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
        for number, (mount, _) in enumerate(_volume_mounts(pod), 1):
            if "subPath" in mount and os.stat(mount["mountPath"]).st_nlink == 1:
                fields = lines[number].split(" ")
                fields[3] = fields[3].removesuffix("//deleted") + "//deleted"
                lines[number] = " ".join(fields)
        _replace(table, "".join(lines))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        # kubelet: AtomicWriter must be synchronised by its caller
        with open(self.directory / "cluster" / "lock", "a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def lay_out(directory: Path) -> DemoPod:
    """Lay a pod out.

    Parameters
    ----------
    directory : Path
        A new or empty directory, or that of an earlier demo: then all but the home is made
        anew.

    Returns
    -------
    DemoPod

    Raises
    ------
    DemoError
        The directory holds something else.
    """
    pod = DemoPod(_ours(directory))
    pod._start()
    return pod


@contextmanager
def reserved(directory: Path) -> Iterator[None]:
    """Keep a directory for one demo while a block runs.

    Parameters
    ----------
    directory : Path
        As for `lay_out`.

    Raises
    ------
    DemoError
        The directory holds something else, or a demo runs there.
    """
    directory = _ours(directory)
    with open(directory / _MARK, "a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            taken = True
        else:
            taken = False
            yield
    if taken:
        raise DemoError(f"A demo runs in {directory} already.")


def find(directory: Path | None) -> DemoPod:
    """Find the pod of a running demo.

    Parameters
    ----------
    directory : Path or None
        Its directory; ``None`` where this process runs in it.

    Returns
    -------
    DemoPod

    Raises
    ------
    DemoError
        There is none.
    """
    if directory is None:
        cluster = os.environ.get("KFSECRETS_CLUSTER")
        if not cluster:
            raise DemoError(
                "Which demo? Say so in a terminal or a notebook of the demo, or name its "
                "directory with --dir."
            )
        directory = Path(cluster).parent
    if not (directory / _MARK).is_file():
        raise DemoError(f"{directory} is not the directory of a demo.")
    return DemoPod(Path(os.path.abspath(directory)))


def _ours(directory: Path) -> Path:
    """Make the directory and mark it, unless it is somebody else's."""
    directory = Path(os.path.abspath(directory))
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        is_directory = False
    else:
        is_directory = True
    if not is_directory:
        raise DemoError(f"{directory} is no directory.")
    if not (directory / _MARK).is_file() and any(directory.iterdir()):
        raise DemoError(
            f"{directory} holds other files. Name a new or an empty directory, or that of an "
            "earlier demo."
        )
    (directory / _MARK).touch(mode=0o600)
    return directory


def tour() -> str:
    """Return the tour notebook, as the file's text."""
    return (resources.files(__package__) / TOUR).read_text(encoding="utf-8")


def _volume_mounts(pod: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each mount of the notebook's container, and its volume."""
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    for mount in pod["spec"]["containers"][0]["volumeMounts"]:
        yield mount, volumes[mount["name"]]


def _secret_of(source: Mapping[str, Any]) -> str | None:
    name: str | None = source.get("secret", {}).get("secretName")
    return name


def _data(secret: Mapping[str, Any]) -> dict[str, SecretBytes]:
    return {
        key: SecretBytes(base64.b64decode(value)) for key, value in secret.get("data", {}).items()
    }


def _guarded(part: dict[str, Any]) -> dict[str, Any]:
    # Called from the inside out: the one whose parts are all texts may be the data.
    if "data" in part and isinstance(part["data"], dict):
        part["data"] = {key: SecretStr(value) for key, value in part["data"].items()}
    return part


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


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, SecretStr(json.dumps(content, indent=1)))


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(new, path)


def _remove(path: Path) -> None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISDIR(status.st_mode):
        shutil.rmtree(path)
    else:
        path.unlink()
