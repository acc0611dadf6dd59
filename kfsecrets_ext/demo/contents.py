"""What the demo's cluster holds: tenants, Secrets with made-up values, PodDefaults, a Notebook."""

from __future__ import annotations

import base64
import json
import secrets as random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kfsecrets_ext.admin import Grant, SecretObject
from kfsecrets_ext.poddefaults import PROFILE_LABEL
from kfsecrets_ext.values import SecretBytes, SecretStr

__all__ = [
    "CSI",
    "NAMESPACE",
    "NOTEBOOK",
    "NOT_YET",
    "SECRETS",
    "SIDECAR",
    "namespaces",
    "notebook",
    "pod",
    "poddefaults",
    "secret",
]

NAMESPACE = "alice"
NOTEBOOK = "demo-nb"

NOT_YET = "coming-soon"
"""A Secret that the pod may mount and that is not there until somebody creates it."""

CSI = "vault"
"""A volume that a driver fills from an external store, with keys that cannot be read."""

SIDECAR = "ssh-agent"
"""A volume in which another container put a pipe."""

_TENANTS = ("alice", "bob", "carol")
_OTHERS = ("default", "kube-system", "kubeflow")

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


_GRANTS: Mapping[str, dict[str, Any]] = {
    # The two of the tutorial
    "test-secret": {},
    "docker-config": {"desc": "Add Docker config", "mount_path": "/home/jovyan/.docker"},
    "database": {"desc": "Sales database", "items": _DATABASE_ITEMS},
    "signing": {"mount_path": "/secrets/signing"},
    NOT_YET: {"desc": "Coming soon"},
}
"""What this package brought; the rest is by hand."""


def namespaces() -> list[dict[str, Any]]:
    """Return the namespaces: those of tenants, as the profile controller makes them, and others.

    Returns
    -------
    list of dict
    """
    found = [
        _object(
            "v1",
            "Namespace",
            name,
            labels=dict([PROFILE_LABEL]),
            annotations={"owner": f"{name}@example.com"},
        )
        for name in _TENANTS
    ]
    return [*found, *(_object("v1", "Namespace", name) for name in _OTHERS)]


def poddefaults() -> list[dict[str, Any]]:
    """Return the tenant's PodDefaults: some as this package writes them, some by hand.

    Returns
    -------
    list of dict
    """
    return [
        *(_grant(name).to_labelled_mappings()[1] for name in _GRANTS),
        _by_hand(
            "legacy-token",
            volumes=[_secret_volume("legacy-token")],
            volumeMounts=[
                {
                    "name": "kfsecrets-legacy-token",
                    "mountPath": "/secret/legacy-token/token",
                    "subPath": "token",
                    "readOnly": True,
                }
            ],
        ),
        _by_hand(
            "object-store",
            env=[
                _variable("S3_ACCESS_KEY", "object-store", "access-key"),
                _variable("S3_SECRET_KEY", "object-store", "secret-key"),
            ],
        ),
        _by_hand(
            CSI,
            volumes=[
                {"name": CSI, "csi": {"driver": "secrets-store.csi.k8s.io", "readOnly": True}}
            ],
            volumeMounts=[{"name": CSI, "mountPath": f"/secret/{CSI}", "readOnly": True}],
        ),
    ]


def secret(name: str, *, rotated: bool = False) -> dict[str, Any]:
    """Return a Secret of the demo, as an administrator applies it.

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
    if name in _GRANTS:
        return _grant(name, rotated=rotated).to_labelled_mappings()[0]
    made = _secret(name, rotated=rotated).to_mapping()
    del made["metadata"]["labels"]  # it is not ours
    return made


def notebook(chosen: Iterable[str]) -> dict[str, Any]:
    """Return the Notebook, as the launcher makes it.

    Parameters
    ----------
    chosen : iterable of str
        The configurations that its user chose: keys of labels.

    Returns
    -------
    dict
    """
    # jupyter-web-app: form.py sets each configuration's label to "true"
    labels = {"app": NOTEBOOK, **dict.fromkeys(sorted(chosen), "true")}
    container = {
        "name": NOTEBOOK,
        "image": "ghcr.io/kubeflow/kubeflow/notebook-servers/jupyter-scipy:v1.10.0",
        "volumeMounts": [
            {"name": SIDECAR, "mountPath": f"/secret/{SIDECAR}", "readOnly": True},
        ],
    }
    template = {
        "serviceAccountName": "default-editor",
        "containers": [container],
        "volumes": [{"name": SIDECAR, "emptyDir": {"medium": "Memory"}}],
    }
    return {
        **_object("kubeflow.org/v1", "Notebook", NOTEBOOK, namespace=NAMESPACE, labels=labels),
        "spec": {"template": {"spec": template}},
    }


def pod(notebook: Mapping[str, Any]) -> dict[str, Any]:
    """Return the Pod that the controllers make of the Notebook; it is not admitted yet.

    Parameters
    ----------
    notebook : mapping

    Returns
    -------
    dict
    """
    # notebook-controller: generateStatefulSet; its own labels, then all of the Notebook's
    spec = json.loads(json.dumps(notebook["spec"]["template"]["spec"]))
    prefix = {"name": "NB_PREFIX", "value": f"/notebook/{NAMESPACE}/{NOTEBOOK}"}
    spec["containers"][0].setdefault("env", []).append(prefix)
    labels = {
        "notebook-name": NOTEBOOK,
        "statefulset": NOTEBOOK,
        "statefulset.kubernetes.io/pod-name": f"{NOTEBOOK}-0",
        **notebook["metadata"].get("labels", {}),
    }
    return {
        **_object("v1", "Pod", f"{NOTEBOOK}-0", namespace=NAMESPACE, labels=labels),
        "spec": spec,
    }


def _grant(name: str, *, rotated: bool = False) -> Grant:
    return Grant(name, _secret(name, rotated=rotated), **_GRANTS[name])


def _secret(name: str, *, rotated: bool) -> SecretObject:
    kind, first, build = SECRETS[name]
    fake = SecretStr(f"demo-value-{random.token_hex(10)}" if rotated or not first else first)
    return SecretObject(name, build(fake), kind, NAMESPACE)


def _object(
    version: str,
    kind: str,
    name: str,
    *,
    namespace: str | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name}
    if namespace is not None:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = dict(labels)
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


def _by_hand(name: str, **spec: Any) -> dict[str, Any]:
    """Return a PodDefault as people write them; it is not ours."""
    return {
        **_object("kubeflow.org/v1alpha1", "PodDefault", name, namespace=NAMESPACE),
        "spec": {"desc": name, "selector": {"matchLabels": {name: "true"}}, **spec},
    }


def _secret_volume(secret: str) -> dict[str, Any]:
    return {
        "name": f"kfsecrets-{secret}",
        "secret": {"secretName": secret, "defaultMode": 420},
    }


def _variable(name: str, secret: str, key: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


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
