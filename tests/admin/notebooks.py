"""Notebooks on the tests' API server: their CRD, and what Kubeflow's controller makes of one."""

from __future__ import annotations

import copy
from typing import Any

from rig.apiserver import MERGE_PATCH, ApiServer

Json = dict[str, Any]

PATH = "/apis/kubeflow.org/v1/namespaces/{}/notebooks"


def define(server: ApiServer) -> None:
    """Have the server know Notebooks; their schema is left open."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"served": True, "storage": False, "schema": {"openAPIV3Schema": schema}}
    definition = {
        "metadata": {"name": "notebooks.kubeflow.org"},
        "spec": {
            "group": "kubeflow.org",
            "scope": "Namespaced",
            "names": {"kind": "Notebook", "plural": "notebooks", "singular": "notebook"},
            "versions": [
                {**version, "name": "v1beta1"},
                {**version, "name": "v1", "storage": True},
            ],
        },
    }
    answer = server.call("POST", path, definition)
    assert answer.status in (201, 409), answer.body.get("message")
    while server.call("GET", "/apis/kubeflow.org/v1/notebooks").status != 200:
        pass


class Notebook:
    """A Notebook, its StatefulSet and its pod, each made as Kubeflow makes it.

    notebook-controller: all labels go into the StatefulSet's template when it is made, and never
    again.
    """

    def __init__(
        self,
        server: ApiServer,
        namespace: str,
        name: str,
        labels: dict[str, str] | None = None,
        spec: Json | None = None,
    ) -> None:
        self.server, self.namespace, self.name = server, namespace, name
        self.spec = spec or {"containers": [{"name": name, "image": "jupyter"}]}
        server.create(
            PATH.format(namespace),
            {
                "apiVersion": "kubeflow.org/v1",
                "kind": "Notebook",
                "metadata": {"name": name, "labels": {"app": name, **(labels or {})}},
                "spec": {"template": {"spec": self.spec}},
            },
        )

    def label(self, **labels: str | None) -> None:
        """Change the labels of the Notebook, and nothing else: as a user does."""
        path = f"{PATH.format(self.namespace)}/{self.name}"
        answer = self.server.call(
            "PATCH", path, {"metadata": {"labels": labels}}, content=MERGE_PATCH
        )
        assert answer.status == 200

    def reconcile(self) -> None:
        """Make the StatefulSet where there is none, as the controller does."""
        custom = self.server.call("GET", f"{PATH.format(self.namespace)}/{self.name}").body
        labels = {**custom["metadata"]["labels"], **self._own}
        self.server.call(
            "POST",
            f"/apis/apps/v1/namespaces/{self.namespace}/statefulsets",
            {
                "metadata": {"name": self.name},
                "spec": {
                    "replicas": 1,
                    "selector": {"matchLabels": {"statefulset": self.name}},
                    "template": {"metadata": {"labels": labels}, "spec": self.spec},
                },
            },
        )

    def start(self) -> Json:
        """Make the pod from the StatefulSet's template, through admission; a running one goes."""
        pods = f"/api/v1/namespaces/{self.namespace}/pods"
        self.server.call("DELETE", f"{pods}/{self.name}-0?gracePeriodSeconds=0")
        path = f"/apis/apps/v1/namespaces/{self.namespace}/statefulsets/{self.name}"
        template = self.server.call("GET", path).body["spec"]["template"]
        pod = copy.deepcopy(template)
        pod["metadata"] = {"name": f"{self.name}-0", "labels": template["metadata"]["labels"]}
        return self.server.create(pods, pod)

    @property
    def _own(self) -> dict[str, str]:
        return {"statefulset": self.name, "notebook-name": self.name}
