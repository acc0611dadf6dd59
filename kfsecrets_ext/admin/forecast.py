"""What a tenant's PodDefaults will do: lint and admission, for the set as it is to be."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from kfsecrets_ext.poddefaults import PROFILE_LABEL, Finding, admit, lint
from kfsecrets_ext.poddefaults.defaults import defaulted

from .tenants import Tenant

__all__ = ["Forecast"]


class Forecast:
    """Findings about tenants' PodDefaults; the same set is looked at once."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Finding, ...]] = {}
        self._key = secrets.token_bytes(32)

    def of(
        self, specs: Mapping[str, Mapping[str, Any]], ours: Iterable[str], tenant: Tenant
    ) -> tuple[Finding, ...]:
        """Say what is wrong with the PodDefaults of a namespace.

        Parameters
        ----------
        specs : mapping
            By name, as they are to be.
        ours : iterable of str
            Names of those that are granted.
        tenant : Tenant

        Returns
        -------
        tuple of Finding
            About ours, and what stops pods from starting, whosesoever it is.
        """
        granted = sorted(set(ours))
        # a foreign PodDefault may hold a literal: a digest that only this object can make
        written = json.dumps([granted, specs], sort_keys=True).encode()
        digest = hashlib.blake2b(written, key=self._key, digest_size=16).digest()
        del written
        found = self._known.get(digest)
        if found is None:
            found = self._known[digest] = tuple(_findings(specs, granted))
        if tenant.fix is None:
            return found
        return (*found, _not_injected(tenant, granted))


def _findings(specs: Mapping[str, Mapping[str, Any]], ours: list[str]) -> Iterable[Finding]:
    stored = [
        {
            "apiVersion": "kubeflow.org/v1alpha1",
            "kind": "PodDefault",
            "metadata": {"name": name, "resourceVersion": "1"},
            "spec": spec,
        }
        for name, spec in specs.items()
    ]
    for finding in lint(stored):
        if finding.severity == "error" or not set(ours).isdisjoint(finding.subjects):
            yield finding
    for name in ours:
        pod = {**_POD, "metadata": {**_POD["metadata"], "labels": {name: "true"}}}
        admission = admit(pod, stored, namespace=_NAMESPACE)
        if admission.outcome == "mutated" and name in admission.applied and not admission.invalid:
            continue
        yield Finding(
            "admission-forecast",
            "error",
            admission.message,
            f"a new notebook that chooses {name}",
            "See the findings about it and the PodDefaults that are named.",
            subjects=(name,),
        )


def _not_injected(tenant: Tenant, ours: list[str]) -> Finding:
    return Finding(
        "namespace-without-label",
        "warning",
        f"the namespace has no label {'='.join(PROFILE_LABEL)}, so that the webhook does not see "
        "its pods",
        f"every notebook of {tenant.name}: it gets no credentials",
        tenant.fix or "",
        subjects=tuple(ours),
        namespace=tenant.name,
    )


_NAMESPACE = {"metadata": {"name": "tenant", "labels": dict([PROFILE_LABEL])}}

# kubeflow/notebooks, notebook_template.yaml: what the launcher makes
_POD = defaulted(
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "notebook-0", "namespace": "tenant"},
        "spec": {
            "serviceAccountName": "default-editor",
            "containers": [
                {
                    "name": "notebook",
                    "image": "notebook:1",
                    "env": [{"name": "NB_PREFIX", "value": "/notebook/tenant/notebook"}],
                    "volumeMounts": [
                        {"name": "dshm", "mountPath": "/dev/shm"},  # noqa: S108  the pod's
                        {"name": "workspace", "mountPath": "/home/jovyan"},
                    ],
                }
            ],
            "volumes": [
                {"name": "dshm", "emptyDir": {"medium": "Memory"}},
                {"name": "workspace", "persistentVolumeClaim": {"claimName": "workspace"}},
            ],
        },
    }
)
