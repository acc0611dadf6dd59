"""What Kyverno's ClusterPolicy makes of a grant in another namespace."""

from __future__ import annotations

from kfsecrets_ext.admin import Tenant
from kfsecrets_ext.cluster import PODDEFAULT, SECRET, Cluster


def copied(root: Cluster, source: Tenant, tenant: Tenant, name: str = "test-secret") -> None:
    """Copy a grant, labels and all.

    Kyverno's background/generate/clone.go takes the source as it is; PolicyInfo adds the policy,
    and managedBy, up to the releases which no longer look, leaves the label that is there.
    """
    for kind in (SECRET, PODDEFAULT):
        held = root.get(kind, name, namespace=source.name)
        assert held is not None
        labels = {
            **held["metadata"]["labels"],
            "generate.kyverno.io/clone-source": "",
            "generate.kyverno.io/policy-name": f"kfsecrets-{name}",
            "generate.kyverno.io/rule-name": kind.kind.lower(),
        }
        metadata = {"name": name, "namespace": tenant.name, "labels": labels}
        root.create({**held, "metadata": metadata})
