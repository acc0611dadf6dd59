"""The demo's pod: a cluster of its own, the pod that is admitted there, and its environment.

``cluster/`` in its directory is the embedded cluster, which keeps the tenants, their Secrets and
PodDefaults, and the Notebook. The rest is what the node makes of the pod.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import site
import stat
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from kfsecrets_ext.cluster import NOTEBOOK, POD, PODDEFAULT, SECRET
from kfsecrets_ext.cluster.embedded import Embedded
from kfsecrets_ext.errors import Rejected, SecretNotFound
from kfsecrets_ext.poddefaults import ANNOTATION_PREFIX
from kfsecrets_ext.values import SecretStr

from . import DemoError, contents
from .node import MOUNTINFO, POD_FILE, Node, write_text

__all__ = [
    "SETUP",
    "TOUR",
    "DemoPod",
    "Restart",
    "Rotation",
    "find",
    "lay_out",
    "packaged",
    "reserved",
]

TOUR = "tour.ipynb"
"""The notebook that the demo opens, in the pod's home."""

SETUP = "setup.ipynb"
"""The administrator's notebook, beside it."""

_MARK = ".kfsecrets-demo"
_OURS = ("cluster", "etc", "log", "proc", "run", "secret", "secrets", "share", "tmp", "var")
_HOME = "home/jovyan"

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
class Restart:
    """What a start of the pod anew did.

    Attributes
    ----------
    pod : str
    poddefaults : tuple of str
        Those that the webhook applied.
    mounted, gone : tuple of str
        Mount paths that came and went.
    variables : tuple of str
        Variables that differ from those of the running Jupyter, which only a start of the demo
        gives it.
    """

    pod: str
    poddefaults: tuple[str, ...]
    mounted: tuple[str, ...]
    gone: tuple[str, ...]
    variables: tuple[str, ...]


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
    def node(self) -> Node:
        """What mounts the pod's volumes."""
        return Node(self.directory)

    def cluster(self) -> Embedded:
        """Open the cluster that the pod runs in."""
        return Embedded(self.directory / "cluster")

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
            "KFSECRETS_ROOTS": f"{root}/secret:{root}/secrets",
            "KFSECRETS_PODINFO": f"{root}/etc/kfsecrets/podinfo-v1",
            "KFSECRETS_MOUNTINFO": f"{root}/{MOUNTINFO}",
            "KFSECRETS_CLUSTER": f"{root}/cluster",
            **self._container_variables(),
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
        """Give a Secret new values, as its owner would, and let the kubelet project them.

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
        if name not in contents.SECRETS:
            raise SecretNotFound(name, available=sorted(contents.SECRETS))
        with self.cluster() as cluster, self.node.alone():
            created = cluster.get(SECRET, name, namespace=contents.NAMESPACE) is None
            cluster.apply(contents.secret(name, rotated=True), force=True)
            self.node.sync(_secrets(cluster))
            pod = self.node.pod() or {}
            mounts = [mount for mount, secret in self.node.mounts(pod) if secret == name]
            variables = [
                one.name
                for one in self.node.variables(pod, _secrets(cluster))
                if one.secret == name
            ]
        return Rotation(
            secret=name,
            created=created,
            updated=tuple(mount["mountPath"] for mount in mounts if "subPath" not in mount),
            kept=(
                *(mount["mountPath"] for mount in mounts if "subPath" in mount),
                *variables,
            ),
        )

    def restart(self, choose: Iterable[str] = ()) -> Restart:
        """Start the pod anew: it is admitted again, with the PodDefaults that there are now.

        Parameters
        ----------
        choose : iterable of str
            Configurations to choose as well, as in the launcher: names of PodDefaults.

        Returns
        -------
        Restart

        Raises
        ------
        DemoError
            The pod is not admitted, or would wait; then the one before runs on.
        """
        with self.cluster() as cluster, self.node.alone():
            return self._restart(cluster, tuple(choose))

    def sync(self) -> tuple[str, ...]:
        """Let the kubelet bring the volumes up to date with the cluster.

        Returns
        -------
        tuple of str
            Mount paths that show something new.
        """
        with self.cluster() as cluster, self.node.alone():
            return self.node.sync(_secrets(cluster))

    def _restart(self, cluster: Embedded, choose: tuple[str, ...]) -> Restart:
        notebook = self._notebook(cluster, choose)
        pod = contents.pod(notebook)
        secrets = _secrets(cluster)
        old = self.node.pod()
        try:
            # The one before is there as yet: the chain is tried with another name.
            probe = {**pod["metadata"], "name": f"{pod['metadata']['name']}-probe"}
            admitted = cluster.create({**pod, "metadata": probe}, dry_run=True)
        except Rejected as error:
            refused = str(error)
        else:
            refused = ""
        if refused:
            raise DemoError(f"The pod is not admitted, and the one before runs on: {refused}")
        self.node.check(admitted, secrets)
        if choose:
            cluster.apply(notebook, force=True)
        before = _shown(self.node, old)
        if old is None:
            # The cluster keeps this pod, and no other, where the process asks for its own.
            _write_json(self.directory / POD_FILE, pod)
        else:
            self.node.stop()
        cluster.delete(POD, pod["metadata"]["name"], namespace=contents.NAMESPACE)
        made = cluster.create(pod)
        self.node.start(made, secrets)
        after = _shown(self.node, self.node.pod())
        stamp = f"{ANNOTATION_PREFIX}/poddefault-"
        annotations = made["metadata"].get("annotations") or {}
        return Restart(
            pod=made["metadata"]["name"],
            poddefaults=tuple(
                sorted(key[len(stamp) :] for key in annotations if key.startswith(stamp))
            ),
            mounted=tuple(path for path in after if path not in before),
            gone=tuple(path for path in before if path not in after),
            variables=tuple(sorted(_references(old) ^ _references(made))),
        )

    def _notebook(self, cluster: Embedded, choose: tuple[str, ...]) -> dict[str, Any]:
        found = cluster.get(NOTEBOOK, contents.NOTEBOOK, namespace=contents.NAMESPACE)
        labels = dict((found or {}).get("metadata", {}).get("labels") or {})
        for name in choose:
            poddefault = cluster.get(PODDEFAULT, name, namespace=contents.NAMESPACE)
            if poddefault is None:
                known = [
                    one["metadata"]["name"]
                    for one in cluster.list(PODDEFAULT, namespace=contents.NAMESPACE)
                ]
                raise DemoError(
                    f"There is no PodDefault {name!r} to choose; there are {', '.join(known)}."
                )
            labels |= poddefault["spec"]["selector"].get("matchLabels") or {}
        notebook = contents.notebook(())
        notebook["metadata"]["labels"] |= labels
        return notebook

    def _start(self) -> None:
        """Make everything but the home anew."""
        self.node.stop()
        for name in _OURS:
            _remove(self.directory / name)
        (self.directory / "cluster").mkdir(mode=0o700)
        with self.cluster() as cluster:
            for given in contents.namespaces():
                cluster.apply(given)
            for name in contents.SECRETS:
                if name != contents.NOT_YET:
                    cluster.apply(contents.secret(name))
            poddefaults = contents.poddefaults()
            for given in poddefaults:
                cluster.apply(given)
            chosen = [given["metadata"]["name"] for given in poddefaults]
            cluster.apply(contents.notebook(chosen))
            self.home.mkdir(parents=True, exist_ok=True)
            with self.node.alone():
                self._restart(cluster, ())
        for name in (TOUR, SETUP):
            if not (self.home / name).exists():
                (self.home / name).write_text(packaged(name), encoding="utf-8")
        # What a subPath mount shows is old from its Secret's first rotation on.
        self.rotate("legacy-token")

    def _container_variables(self) -> dict[str, SecretStr]:
        pod = self.node.pod()
        if pod is None:
            return {}
        with self.cluster() as cluster:
            return {
                one.name: one.value
                for one in self.node.variables(pod, _secrets(cluster))
                if one.value is not None
            }


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


def packaged(name: str) -> str:
    """Return a notebook of the demo, as the file's text."""
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def _secrets(cluster: Embedded) -> Any:
    def give(name: str) -> Mapping[str, Any] | None:
        return cluster.get(SECRET, name, namespace=contents.NAMESPACE)

    return give


def _shown(node: Node, pod: Mapping[str, Any] | None) -> dict[str, None]:
    return {} if pod is None else {mount["mountPath"]: None for mount, _ in node.mounts(pod)}


def _references(pod: Mapping[str, Any] | None) -> set[str]:
    container = pod["spec"]["containers"][0] if pod is not None else {}
    names = {entry["name"] for entry in container.get("env") or ()}
    return names | {f"{one.get('prefix', '')}*" for one in container.get("envFrom") or ()}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_text(path, SecretStr(json.dumps(content, indent=1)))


def _remove(path: Path) -> None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISDIR(status.st_mode):
        shutil.rmtree(path)
    else:
        path.unlink()
