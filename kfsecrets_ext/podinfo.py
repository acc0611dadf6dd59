"""What a pod says of itself: labels and stamps, and which Secret each mount and variable is from.

Two sources give it. The downward-API files are there without any permission, and hold labels and
annotations. The Pod object, where somebody may read it, holds the volumes and variables too.
Neither gives a value: literal values in the Pod object are dropped here.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

__all__ = [
    "PODINFO_DIRECTORY",
    "ROOT_ANNOTATION",
    "STAMP_PREFIX",
    "PodInfo",
    "SecretVariable",
    "SecretVolume",
    "from_files",
    "from_pod",
    "merge",
]

PODINFO_DIRECTORY = "/etc/kfsecrets/podinfo-v1"
"""Where the PodDefaults of this project mount the downward-API files."""

ROOT_ANNOTATION = "kfsecrets-ext/root"
"""Of an embedded pod: the directory that stands for the root of its file system."""

# webhook: applyPodDefaultsOnPod stamps poddefault-<name> = its resourceVersion
STAMP_PREFIX = "poddefault.admission.kubeflow.org/poddefault-"

_NOTEBOOK_LABELS = ("notebook-name", "notebooks.kubeflow.org/workspace-name")
_FILE_LIMIT = 1 << 20


@dataclass(frozen=True)
class SecretVolume:
    """A mount of the pod's container, and the Secret that it comes from.

    Attributes
    ----------
    secret : str or None
        The Secret's name; ``None`` for a CSI volume, which names none.
    path : str
        The mount path.
    sub_path : str or None
    optional : bool
        Whether the pod starts though the Secret is not there.
    """

    secret: str | None
    path: str
    sub_path: str | None = None
    optional: bool = False


@dataclass(frozen=True)
class SecretVariable:
    """An environment variable that comes from a Secret.

    Attributes
    ----------
    secret : str
    key : str or None
        ``None`` where all keys become variables (``envFrom``).
    variable : str
        The variable's name; with ``key`` ``None`` the prefix of the names.
    """

    secret: str
    key: str | None
    variable: str


@dataclass(frozen=True)
class PodInfo:
    """What is known of this pod.

    Attributes
    ----------
    information : str
        Where it comes from: ``"downward-api"``, ``"kubernetes"``, ``"embedded"`` or ``"none"``.
    labels : mapping of str to str
    stamps : mapping of str to str
        PodDefault name to the resourceVersion that was applied.
    namespace, name : str or None
    volumes : tuple of SecretVolume
    variables : tuple of SecretVariable
    complete : bool
        Whether volumes and variables are known at all.
    """

    information: str = "none"
    labels: Mapping[str, str] = field(default_factory=dict)
    stamps: Mapping[str, str] = field(default_factory=dict)
    namespace: str | None = None
    name: str | None = None
    volumes: tuple[SecretVolume, ...] = ()
    variables: tuple[SecretVariable, ...] = ()
    complete: bool = False

    @property
    def notebook(self) -> str | None:
        """The Notebook's or Workspace's name, from the labels its controller sets."""
        for label in _NOTEBOOK_LABELS:
            if label in self.labels:
                return self.labels[label]
        return None


def from_files(directory: str) -> PodInfo:
    """Read the downward-API files ``labels`` and ``annotations``.

    Parameters
    ----------
    directory : str

    Returns
    -------
    PodInfo
        With ``information`` ``"none"`` where the files are not there.
    """
    labels = _read_map(os.path.join(directory, "labels"))
    annotations = _read_map(os.path.join(directory, "annotations"))
    if labels is None and annotations is None:
        return PodInfo()
    return PodInfo(
        information="downward-api",
        labels=labels or {},
        stamps=_stamps(annotations or {}),
    )


def from_pod(pod: Mapping[str, Any], *, information: str) -> PodInfo:
    """Take what is needed from a Pod object.

    Parameters
    ----------
    pod : mapping
        As the API server gives it. It is not kept, and no literal value is taken from it.
    information : str
        Where it came from, ``"kubernetes"`` or ``"embedded"``.

    Returns
    -------
    PodInfo
    """
    metadata = _mapping(pod.get("metadata"))
    spec = _mapping(pod.get("spec"))
    container = _notebook_container(spec)
    annotations = _strings(metadata.get("annotations"))
    root = annotations.get(ROOT_ANNOTATION, "") if information == "embedded" else ""
    return PodInfo(
        information=information,
        labels=_strings(metadata.get("labels")),
        stamps=_stamps(annotations),
        namespace=metadata.get("namespace"),
        name=metadata.get("name"),
        volumes=tuple(
            replace(volume, path=f"{root}{volume.path}") for volume in _volumes(spec, container)
        ),
        variables=tuple(_variables(container)),
        complete=True,
    )


def merge(files: PodInfo, pod: PodInfo | None) -> PodInfo:
    """Join both sources; the files are fresher for labels and stamps, the Pod knows the rest."""
    if pod is None:
        return files
    if files.information == "none":
        return pod
    return replace(pod, labels=files.labels, stamps=files.stamps)


def _read_map(path: str) -> dict[str, str] | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        try:
            text = file.read(_FILE_LIMIT).decode("utf-8", "replace")
        except OSError:
            return None
    return dict(_lines(text))


def _lines(text: str) -> Iterator[tuple[str, str]]:
    # kubelet: fieldpath.FormatMap writes key="value" a line, the value by Go's %q
    for line in text.split("\n"):
        key, separator, quoted = line.partition("=")
        if not separator:
            continue
        try:
            value = ast.literal_eval(quoted)
        except (SyntaxError, ValueError):
            continue
        if isinstance(value, str):
            yield key, value


def _stamps(annotations: Mapping[str, str]) -> dict[str, str]:
    return {
        key[len(STAMP_PREFIX) :]: value
        for key, value in sorted(annotations.items())
        if key.startswith(STAMP_PREFIX)
    }


def _notebook_container(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    containers = [_mapping(one) for one in spec.get("containers") or ()]
    # notebook-controller: NB_PREFIX goes to the notebook's own container
    for container in containers:
        if any(_mapping(one).get("name") == "NB_PREFIX" for one in container.get("env") or ()):
            return container
    return containers[0] if containers else {}


def _volumes(spec: Mapping[str, Any], container: Mapping[str, Any]) -> Iterator[SecretVolume]:
    sources = {
        volume.get("name"): _secret_source(volume)
        for volume in (_mapping(one) for one in spec.get("volumes") or ())
    }
    for mount in (_mapping(one) for one in container.get("volumeMounts") or ()):
        source = sources.get(mount.get("name"))
        path = mount.get("mountPath")
        if source is None or not isinstance(path, str):
            continue
        secret, optional = source
        yield SecretVolume(
            secret=secret,
            path=os.path.normpath(path),
            sub_path=mount.get("subPath") or mount.get("subPathExpr") or None,
            optional=optional,
        )


def _secret_source(volume: Mapping[str, Any]) -> tuple[str | None, bool] | None:
    secret = _mapping(volume.get("secret"))
    if secret.get("secretName"):
        return str(secret["secretName"]), bool(secret.get("optional"))
    projected = [
        _mapping(_mapping(source).get("secret"))
        for source in _mapping(volume.get("projected")).get("sources") or ()
    ]
    names = [source for source in projected if source.get("name")]
    if len(names) == 1:
        return str(names[0]["name"]), bool(names[0].get("optional"))
    if names or _mapping(volume.get("csi")).get("driver") == "secrets-store.csi.k8s.io":
        return None, False
    return None


def _variables(container: Mapping[str, Any]) -> Iterator[SecretVariable]:
    for one in (_mapping(entry) for entry in container.get("env") or ()):
        reference = _mapping(_mapping(one.get("valueFrom")).get("secretKeyRef"))
        if reference.get("name") and reference.get("key") and one.get("name"):
            yield SecretVariable(str(reference["name"]), str(reference["key"]), str(one["name"]))
    for one in (_mapping(entry) for entry in container.get("envFrom") or ()):
        reference = _mapping(one.get("secretRef"))
        if reference.get("name"):
            yield SecretVariable(str(reference["name"]), None, str(one.get("prefix") or ""))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _strings(value: Any) -> dict[str, str]:
    return {str(key): str(text) for key, text in _mapping(value).items()}
