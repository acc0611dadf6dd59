"""The pod that is asked for, never made, to see what admission would make of a notebook's."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["PREFIX", "from_notebook", "minimal"]

PREFIX: Final = "kfsecrets-probe-"
"""How the name begins: a pod of the notebook's own name may be there."""


def from_notebook(notebook: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any] | None:
    """Write the pod that the notebook controller would make of a Notebook, with more labels.

    Parameters
    ----------
    notebook : Mapping
        The Notebook, as stored.
    labels : Mapping
        What chooses the PodDefaults.

    Returns
    -------
    dict or None
        ``None`` where the Notebook has no container.
    """
    metadata = _mapping(notebook.get("metadata"))
    template = _mapping(_mapping(notebook.get("spec")).get("template"))
    spec = copy.deepcopy(dict(_mapping(template.get("spec"))))
    containers = spec.get("containers")
    if not isinstance(containers, list) or not containers:
        return None
    name, space = str(metadata.get("name")), str(metadata.get("namespace"))
    # notebook-controller, generateStatefulSet: labels, annotations, and the first container
    first = containers[0]
    if isinstance(first, dict):
        first.setdefault("workingDir", "/home/jovyan")
        first.setdefault("ports", [{"containerPort": 8888, "name": "notebook-port"}])
        variables = [one for one in first.get("env") or [] if one.get("name") != "NB_PREFIX"]
        variables.append({"name": "NB_PREFIX", "value": f"/notebook/{space}/{name}"})
        first["env"] = variables
    spec.setdefault("securityContext", {"fsGroup": 100})
    annotations = {
        key: value
        for key, value in _mapping(metadata.get("annotations")).items()
        if "kubectl" not in key and "notebook" not in key
    }
    own = {**_mapping(metadata.get("labels")), "statefulset": name, "notebook-name": name}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": PREFIX,
            "namespace": space,
            "labels": {**own, **labels},
            "annotations": annotations,
        },
        "spec": spec,
    }


def minimal(namespace: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """Write a pod that asks for little and may nearly nothing.

    Parameters
    ----------
    namespace : str
    labels : Mapping
        What chooses the PodDefaults.

    Returns
    -------
    dict
    """
    least = {"cpu": "10m", "memory": "16Mi"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": PREFIX,
            "namespace": namespace,
            # Istio's own containers would not pass Pod Security
            "labels": {"sidecar.istio.io/inject": "false", **labels},
        },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "notebook",
                    "image": "registry.invalid/none:none",
                    "resources": {"requests": dict(least), "limits": dict(least)},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
