"""What the demo's pod is made of: Secrets with made-up values, and the Pod that mounts them."""

from __future__ import annotations

import base64
import json
import secrets as random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kfsecrets_ext.values import SecretBytes, SecretStr

__all__ = [
    "CSI",
    "MOUNTS",
    "NAMESPACE",
    "NOTEBOOK",
    "NOT_YET",
    "SECRETS",
    "SIDECAR",
    "VARIABLES",
    "Mount",
    "pod",
    "secret",
]

NAMESPACE = "alice"
NOTEBOOK = "demo-nb"

_DATABASE_ITEMS = {
    "username": "username",
    "password": "password",
    "host": "host",
    "dsn": "dsn",
    "ca.crt": "tls/ca.crt",
    "client.key": "tls/client.key",
    # A path of `items` may be any text.
    "passphrase": 'pass phrase "old" ☃.txt',
}


@dataclass(frozen=True)
class Mount:
    """A volume of the pod, and where the notebook's container has it.

    Attributes
    ----------
    name : str
        The volume's name.
    path : str
        Mount path, below the pod's own root directory.
    source : mapping
        The volume's source, as in a Pod.
    sub_path : str or None
    poddefault : str or None
        The PodDefault that brought it.
    """

    name: str
    path: str
    source: Mapping[str, Any]
    sub_path: str | None = None
    poddefault: str | None = None


def _secret_volume(
    name: str, path: str, secret: str, *, sub_path: str | None = None, **options: Any
) -> Mount:
    source = {"secret": {"secretName": secret, "defaultMode": 420, **options}}
    return Mount(name, path, source, sub_path, poddefault=secret)


NOT_YET = "coming-soon"
"""A Secret that the pod may mount and that is not there until somebody rotates it."""

CSI = Mount(
    "vault",
    "secret/vault",
    {"csi": {"driver": "secrets-store.csi.k8s.io", "readOnly": True}},
    poddefault="vault",
)
"""A volume that a driver fills from an external store, with keys that cannot be read."""

SIDECAR = Mount("ssh-agent", "secret/ssh-agent", {"emptyDir": {"medium": "Memory"}})
"""A directory in which another container put a pipe."""

MOUNTS = (
    # The two of the tutorial
    _secret_volume("secret-volume", "secret/test-secret", "test-secret"),
    _secret_volume(
        "docker-config",
        "home/jovyan/.docker",
        "docker-config",
        items=[{"key": ".dockerconfigjson", "path": "config.json"}],
    ),
    _secret_volume(
        "kfsecrets-database",
        "secret/database",
        "database",
        items=[{"key": key, "path": path} for key, path in _DATABASE_ITEMS.items()],
    ),
    _secret_volume("kfsecrets-signing", "secrets/signing", "signing"),
    _secret_volume(f"kfsecrets-{NOT_YET}", f"secret/{NOT_YET}", NOT_YET, optional=True),
    _secret_volume(
        "kfsecrets-legacy-token",
        "secret/legacy-token/token",
        "legacy-token",
        sub_path="token",
    ),
    CSI,
    SIDECAR,
    Mount(
        "kfsecrets-podinfo-v1",
        "etc/kfsecrets/podinfo-v1",
        {
            "downwardAPI": {
                "defaultMode": 420,
                "items": [
                    {
                        "path": file,
                        "fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.{file}"},
                    }
                    for file in ("labels", "annotations")
                ],
            }
        },
    ),
)
"""Every volume of the pod, in the order of its mount table."""

VARIABLES = {
    "S3_ACCESS_KEY": ("object-store", "access-key"),
    "S3_SECRET_KEY": ("object-store", "secret-key"),
}
"""Variables of the container that come from a Secret: variable to Secret and key."""


def secret(name: str, *, rotated: bool = False) -> dict[str, Any]:
    """Return a Secret of the demo, as the cluster keeps it.

    Parameters
    ----------
    name : str
        One of `SECRETS`.
    rotated : bool
        Whether its values are to be new ones, unlike any before.

    Returns
    -------
    dict
    """
    kind, first, build = SECRETS[name]
    fake = SecretStr(f"demo-value-{random.token_hex(10)}" if rotated or not first else first)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "data": {
            key: SecretStr(base64.b64encode(value).decode()) for key, value in build(fake).items()
        },
    }


def pod(root: str) -> dict[str, Any]:
    """Return the Pod, as the API server would give it.

    Parameters
    ----------
    root : str
        The directory that stands for the root of its file system.

    Returns
    -------
    dict
    """
    applied = sorted({mount.poddefault for mount in MOUNTS if mount.poddefault} | {"object-store"})
    stamp = "poddefault.admission.kubeflow.org/poddefault-"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{NOTEBOOK}-0",
            "namespace": NAMESPACE,
            # notebook-controller: its own labels, then all of the Notebook's
            "labels": {
                "app": NOTEBOOK,
                "notebook-name": NOTEBOOK,
                "statefulset": NOTEBOOK,
                "statefulset.kubernetes.io/pod-name": f"{NOTEBOOK}-0",
                **dict.fromkeys(applied, "true"),
            },
            "annotations": {
                f"{stamp}{name}": str(5012 + 7 * number) for number, name in enumerate(applied)
            },
        },
        "spec": {
            "serviceAccountName": "default-editor",
            "containers": [
                {
                    "name": NOTEBOOK,
                    "env": [
                        {"name": "NB_PREFIX", "value": f"/notebook/{NAMESPACE}/{NOTEBOOK}"},
                        *(
                            {
                                "name": variable,
                                "valueFrom": {"secretKeyRef": {"name": name, "key": key}},
                            }
                            for variable, (name, key) in VARIABLES.items()
                        ),
                    ],
                    "volumeMounts": [_volume_mount(root, mount) for mount in MOUNTS],
                }
            ],
            "volumes": [{"name": mount.name, **mount.source} for mount in MOUNTS],
        },
    }


def _volume_mount(root: str, mount: Mount) -> dict[str, Any]:
    part = {"subPath": mount.sub_path} if mount.sub_path else {}
    return {"name": mount.name, "mountPath": f"{root}/{mount.path}", "readOnly": True, **part}


def _test_secret(fake: SecretStr) -> dict[str, SecretBytes]:
    return {"foo": _bytes(fake)}


def _docker_config(fake: SecretStr) -> dict[str, SecretBytes]:
    pair = SecretStr(base64.b64encode(_bytes(f"not-a-real-user:{fake}")).decode())
    registries = {
        "https://index.docker.io/v1/": {"auth": pair},
        "registry.example.com": {"auth": pair},
    }
    return {".dockerconfigjson": _bytes(json.dumps({"auths": registries}))}


def _database(fake: SecretStr) -> dict[str, SecretBytes]:
    return {
        "username": _bytes("not-a-real-user"),
        "password": _bytes(fake),
        "host": _bytes("db.example.com"),
        "dsn": _bytes(f"postgresql://not-a-real-user:{fake}@db.example.com:5432/sales"),
        "ca.crt": _pem("CERTIFICATE", fake),
        "client.key": _pem("PRIVATE KEY", fake),
        "passphrase": _bytes(f"{fake} of old"),
    }


def _signing(fake: SecretStr) -> dict[str, SecretBytes]:
    return {
        # No text in any encoding that a keystore might be taken for
        "keystore.p12": SecretBytes(b"\x30\x82\x00\xff\xfe" + _bytes(fake) + b"\x80\x00"),
        # As many files end
        "passphrase": _bytes(f"{fake}\n"),
    }


def _object_store(fake: SecretStr) -> dict[str, SecretBytes]:
    return {"access-key": _bytes("NOT-A-REAL-ACCESS-KEY"), "secret-key": _bytes(fake)}


def _token(fake: SecretStr) -> dict[str, SecretBytes]:
    return {"token": _bytes(fake)}


_Build = Callable[[SecretStr], dict[str, SecretBytes]]

SECRETS: Mapping[str, tuple[str, str, _Build]] = {
    "test-secret": ("Opaque", "bar", _test_secret),
    "docker-config": ("kubernetes.io/dockerconfigjson", "", _docker_config),
    "database": ("Opaque", "", _database),
    "signing": ("Opaque", "", _signing),
    "object-store": ("Opaque", "", _object_store),
    "legacy-token": ("Opaque", "", _token),
    NOT_YET: ("Opaque", "", _token),
}
"""Secret to its type, its first value where the tutorial gives one, and what builds its data."""


def _bytes(text: str) -> SecretBytes:
    return SecretBytes(text.encode())


def _pem(label: str, fake: SecretStr) -> SecretBytes:
    content = SecretStr(base64.b64encode(_bytes(f"not a real one: {fake}")).decode())
    return _bytes(f"-----BEGIN {label}-----\n{content}\n-----END {label}-----\n")
