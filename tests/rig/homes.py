"""The two homes of a cluster, as the tests use them alike, and objects to put there."""

from __future__ import annotations

import base64
import json
import subprocess
import traceback
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from kfsecrets_ext.admin.clusterrole import RIGHTS, shipped
from kfsecrets_ext.cluster import NAMESPACE, Cluster, connect
from kfsecrets_ext.cluster.embedded import Embedded
from rig import binaries
from rig.apiserver import ApiServer

Json = dict[str, Any]
VALUE = "value-that-nobody-prints"
ADMINISTRATOR = "platform-admin@example.com"
OURS = {"app.kubernetes.io/managed-by": "kfsecrets-ext"}


class Home(ABC):
    """A cluster, and somebody else who writes to it."""

    labels: Mapping[str, str]

    @abstractmethod
    def connect(self) -> Cluster:
        """One more connection to it."""

    @abstractmethod
    def administrator(self) -> Cluster:
        """A connection with the rights of the ClusterRole that ships, and no other."""

    @abstractmethod
    def kubectl(self, obj: Json) -> None:
        """Somebody else applies an object, as the field manager ``kubectl``."""

    def tenant(self, cluster: Cluster) -> str:
        """A namespace of its own for a test."""
        name = f"tenant-{uuid.uuid4().hex[:8]}"
        metadata = {"name": name, "labels": dict(self.labels)}
        cluster.create(
            {"apiVersion": NAMESPACE.api_version, "kind": "Namespace", "metadata": metadata}
        )
        return name


class Real(Home):
    def __init__(self, server: ApiServer, labels: Mapping[str, str]) -> None:
        self.server = server
        self.labels = labels

    def connect(self) -> Cluster:
        return connect(kubeconfig=self.server.kubeconfig)

    def administrator(self) -> Cluster:
        return administrator(self.server)

    def kubectl(self, obj: Json) -> None:
        subprocess.run(
            [
                *(str(binaries.program("kubectl")), "--kubeconfig", str(self.server.kubeconfig)),
                *("apply", "--server-side", "--field-manager=kubectl", "-f", "-"),
            ],
            input=json.dumps(obj),
            text=True,
            check=True,
            capture_output=True,
        )


class InDirectory(Home):
    def __init__(self, directory: Path, labels: Mapping[str, str]) -> None:
        self.directory = directory
        self.labels = labels

    def connect(self) -> Cluster:
        return Embedded(self.directory)

    def administrator(self) -> Cluster:
        # there are no users
        return self.connect()

    def kubectl(self, obj: Json) -> None:
        Embedded(self.directory, manager="kubectl").apply(obj)


def administrator(server: ApiServer) -> Cluster:
    """Connect as `ADMINISTRATOR`, who is bound to the ClusterRole that ships, and to nothing else.

    Role and binding are made by whoever needs them first on a server.
    """
    _bind(server)
    cluster = connect(kubeconfig=server.kubeconfig, impersonate=ADMINISTRATOR)
    # the API server learns of a role a little later
    while not cluster.allowed(RIGHTS[-1].verb, RIGHTS[-1].kind):
        pass
    return cluster


def administrator_kubeconfig(server: ApiServer, directory: Path) -> Path:
    """Write a kubeconfig with which our programs act as `ADMINISTRATOR`; kubectl does, too."""
    administrator(server).close()
    return kubeconfig_as(ADMINISTRATOR, server, directory)


def kubeconfig_as(who: str, server: ApiServer, directory: Path) -> Path:
    """Write a kubeconfig with which one acts as somebody."""
    held = json.loads(server.kubeconfig.read_text(encoding="utf-8"))
    held["users"][0]["user"]["as"] = who
    path = directory / "kubeconfig"
    path.write_text(json.dumps(held), encoding="utf-8")
    return path


def _bind(server: ApiServer) -> None:
    rbac, group = "/apis/rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io"
    role = yaml.safe_load(shipped())
    name = role["metadata"]["name"]
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": group, "kind": "User", "name": ADMINISTRATOR}],
    }
    for path, obj in (("clusterroles", role), ("clusterrolebindings", binding)):
        answer = server.call("POST", f"{rbac}/{path}", obj)
        assert answer.status in (201, 409), answer.body.get("message")


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def secret(
    namespace: str,
    data: dict[str, str],
    name: str = "test",
    version: str | None = None,
    **more: Any,
) -> Json:
    metadata: Json = {"name": name, "namespace": namespace, "labels": dict(OURS)}
    if version is not None:
        metadata["resourceVersion"] = version
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "data": {key: coded(text) for key, text in data.items()},
        **more,
    }


def poddefault(namespace: str, name: str = "test", **spec: Any) -> Json:
    return {
        "apiVersion": "kubeflow.org/v1alpha1",
        "kind": "PodDefault",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(OURS)},
        "spec": {
            "selector": {"matchLabels": {name: "true"}},
            "desc": name,
            "volumes": [
                {
                    "name": f"volume-{name}",
                    "secret": {"secretName": name, "defaultMode": 420, "optional": True},
                }
            ],
            "volumeMounts": [
                {"name": f"volume-{name}", "mountPath": f"/secret/{name}", "readOnly": True}
            ],
            **spec,
        },
    }


def pod(namespace: str, name: str = "nb-0", **labels: str) -> Json:
    container = {"name": "nb", "image": "none"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"containers": [container]},
    }


def data(obj: Json | None) -> dict[str, str]:
    assert obj is not None
    return {key: base64.b64decode(value).decode() for key, value in (obj.get("data") or {}).items()}


def version(obj: Json | None) -> str:
    assert obj is not None
    return str(obj["metadata"]["resourceVersion"])


def owners(obj: Json | None) -> set[tuple[str, str]]:
    assert obj is not None
    return {(one["manager"], one["operation"]) for one in obj["metadata"]["managedFields"]}


def says_no_value(error: BaseException) -> bool:
    """Nothing of an error, its chain and the variables of our frames shows a value."""
    shown = "".join(
        traceback.TracebackException.from_exception(error, capture_locals=True).format()
    )
    ours = [
        f"{frame.f_locals!r}"
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if "kfsecrets_ext" in frame.f_code.co_filename and "/tests/" not in frame.f_code.co_filename
    ]
    said = f"{error}{error!r}{error.args!r}{error.__dict__!r}{ours}"
    assert shown
    return not any(spelled in said for spelled in (VALUE, coded(VALUE), coded(VALUE)[:12])) and (
        error.__cause__,
        error.__context__,
    ) == (None, None)
