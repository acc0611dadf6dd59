"""The PodDefaults that this package writes.

They are in the form that the API server defaults a pod to, since a pod that carries the same
volume already arrives defaulted and the webhook compares to the letter.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from kfsecrets_ext.errors import InvalidName

__all__ = [
    "LONGEST_NAME",
    "MANAGED_BY",
    "PODINFO_MOUNT",
    "PODINFO_VOLUME",
    "render",
    "volume_name",
]

LONGEST_NAME: Final = 52
"""Characters of a name that still fit into the webhook's stamp."""

MANAGED_BY: Final = ("app.kubernetes.io/managed-by", "kfsecrets-ext")
"""The label of what this package owns."""

# Frozen to the byte: two forms of it would conflict in one pod. A change takes another name and
# another path.
PODINFO_VOLUME: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "name": "kfsecrets-podinfo-v1",
        "downwardAPI": {
            "items": [
                {
                    "path": "labels",
                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels"},
                },
                {
                    "path": "annotations",
                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.annotations"},
                },
            ],
            "defaultMode": 420,
        },
    }
)
PODINFO_MOUNT: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "name": "kfsecrets-podinfo-v1",
        "readOnly": True,
        "mountPath": "/etc/kfsecrets/podinfo-v1",
    }
)


def render(
    name: str,
    *,
    secret_name: str | None = None,
    mount_path: str | None = None,
    desc: str | None = None,
    items: Mapping[str, str] | Iterable[str] | None = None,
    required: bool = False,
    namespace: str | None = None,
) -> dict[str, Any]:
    """Write the PodDefault that mounts one Secret.

    Parameters
    ----------
    name : str
        Its name, and the key of the label that chooses it; at most 52 characters.
    secret_name : str, optional
        The Secret; by default of the same name.
    mount_path : str, optional
        Where; by default ``/secret/<Secret>``.
    desc : str, optional
        What the launcher shows; by default the name.
    items : mapping or iterable of str, optional
        Keys to mount, with the paths they get where it is a mapping; by default all keys.
    required : bool
        Whether a pod waits for the Secret; by default it starts, and the files come when the
        Secret does.
    namespace : str, optional
        Left out where it is not given.

    Returns
    -------
    dict
        The object, for the API server or a file.

    Raises
    ------
    InvalidName
        Where a name or path cannot be one.
    """
    secret = name if secret_name is None else secret_name
    _check_name("PodDefault", name, LONGEST_NAME)
    _check_name("secret", secret, 253)
    path = f"/secret/{secret}" if mount_path is None else mount_path
    if not path.startswith("/") or path.rstrip("/") == "" or ":" in path:
        raise InvalidName(
            "mount path", path, reason="it must start with '/', go on after it, and hold no ':'"
        )
    volume = volume_name(name)
    source: dict[str, Any] = {"secretName": secret}
    if items is not None:
        pairs = items.items() if isinstance(items, Mapping) else [(key, key) for key in items]
        source["items"] = [_item(key, below) for key, below in pairs]
    source["defaultMode"] = 420
    if not required:
        source["optional"] = True
    metadata: dict[str, Any] = {"name": name, "labels": {MANAGED_BY[0]: MANAGED_BY[1]}}
    if namespace is not None:
        metadata["namespace"] = namespace
    return {
        "apiVersion": "kubeflow.org/v1alpha1",
        "kind": "PodDefault",
        "metadata": metadata,
        "spec": {
            "selector": {"matchLabels": {name: "true"}},
            "desc": desc or name,
            "volumes": [{"name": volume, "secret": source}, copy.deepcopy(dict(PODINFO_VOLUME))],
            "volumeMounts": [
                {"name": volume, "readOnly": True, "mountPath": path},
                dict(PODINFO_MOUNT),
            ],
        },
    }


def volume_name(name: str) -> str:
    """Give the volume of a PodDefault, one for each name.

    A volume may not have dots; a name with dots gets a part of its digest, so that ``a.b`` and
    ``a-b`` do not share one.
    """
    if "." not in name:
        return f"kfs-{name}"
    digest = hashlib.sha256(name.encode()).hexdigest()[:6]
    return f"kfs-{name.replace('.', '-')}-{digest}"


def _check_name(kind: str, name: str, longest: int) -> None:
    if len(name) > longest:
        raise InvalidName(kind, name, reason=f"it has more than {longest} characters")
    if not _SUBDOMAIN.fullmatch(name):
        raise InvalidName(kind, name, reason="lower-case letters, digits, '-' and '.' will do")


def _item(key: str, path: str) -> dict[str, str]:
    if not _DATA_KEY.fullmatch(key) or key == "." or key.startswith(".."):
        raise InvalidName("key", key, reason="letters, digits, '-', '_' and '.' will do")
    if not path or path.startswith(("/", "..")) or ".." in path.split("/"):
        raise InvalidName("path of a key", path, reason="it must be relative, without '..'")
    return {"key": key, "path": path}


_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
