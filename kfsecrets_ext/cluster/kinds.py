"""The kinds of objects that this package asks a cluster for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kfsecrets_ext.errors import ClusterError

__all__ = [
    "CLUSTERROLE",
    "CLUSTERROLEBINDING",
    "CRD",
    "NAMESPACE",
    "NOTEBOOK",
    "POD",
    "PODDEFAULT",
    "PROFILE",
    "ROLEBINDING",
    "SECRET",
    "STATEFULSET",
    "WEBHOOK",
    "WORKSPACE",
    "Kind",
    "kind_of",
]


@dataclass(frozen=True)
class Kind:
    """A kind of objects, and where the API server keeps them.

    Attributes
    ----------
    group, version : str
        The group is empty for the core.
    plural : str
        As in the path.
    kind : str
        As in the objects.
    namespaced : bool
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As in the objects."""
        return f"{self.group}/{self.version}" if self.group else self.version


NAMESPACE = Kind("", "v1", "namespaces", "Namespace", namespaced=False)
SECRET = Kind("", "v1", "secrets", "Secret")
POD = Kind("", "v1", "pods", "Pod")
PODDEFAULT = Kind("kubeflow.org", "v1alpha1", "poddefaults", "PodDefault")
NOTEBOOK = Kind("kubeflow.org", "v1", "notebooks", "Notebook")
WORKSPACE = Kind("kubeflow.org", "v1beta1", "workspaces", "Workspace")
PROFILE = Kind("kubeflow.org", "v1", "profiles", "Profile", namespaced=False)
STATEFULSET = Kind("apps", "v1", "statefulsets", "StatefulSet")
ROLEBINDING = Kind("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
CLUSTERROLE = Kind(
    "rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False
)
CLUSTERROLEBINDING = Kind(
    "rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False
)
CRD = Kind(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    namespaced=False,
)
WEBHOOK = Kind(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    namespaced=False,
)


def kind_of(obj: Mapping[str, Any]) -> Kind:
    """Tell the kind of an object.

    Parameters
    ----------
    obj : mapping
        With ``apiVersion`` and ``kind``.

    Returns
    -------
    Kind
        Of the object's own version.

    Raises
    ------
    ClusterError
        It is none of the kinds that this package writes.
    """
    api_version, name = str(obj.get("apiVersion") or ""), str(obj.get("kind") or "")
    kind = _EXACT.get((api_version, name))
    if kind is not None:
        return kind
    group, _, version = api_version.rpartition("/")
    for kind in _ALL:
        if (kind.group, kind.kind) == (group, name) and version:
            return replace(kind, version=version)
    raise ClusterError(f"{name or 'an object without a kind'} is no kind that is written here.")


_ALL = (
    *(NAMESPACE, SECRET, POD, PODDEFAULT, NOTEBOOK, WORKSPACE, PROFILE, STATEFULSET),
    *(ROLEBINDING, CLUSTERROLE, CLUSTERROLEBINDING, CRD, WEBHOOK),
)
_EXACT = {(kind.api_version, kind.kind): kind for kind in _ALL}
