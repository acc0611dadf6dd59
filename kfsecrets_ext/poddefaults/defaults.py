"""What the API server writes into a pod before the webhook sees it.

Kubernetes: ``pkg/apis/core/v1/defaults.go``, and the admission plugins Priority and
DefaultTolerationSeconds, which run earlier than webhooks. What depends on the cluster stays out:
the token volume of the service account, priority classes, other webhooks.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["defaulted"]


def defaulted(pod: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in a pod as the API server does.

    Parameters
    ----------
    pod : Mapping
        As in a file. Never changed.

    Returns
    -------
    dict
        The pod as the webhook gets it; one that is filled in already stays as it is.
    """
    filled: dict[str, Any] = copy.deepcopy(dict(pod))
    spec = filled.get("spec")
    spec = filled["spec"] = spec if isinstance(spec, dict) else {}
    _fill(
        spec,
        restartPolicy="Always",
        dnsPolicy="ClusterFirst",
        terminationGracePeriodSeconds=30,
        schedulerName="default-scheduler",
        enableServiceLinks=True,
        securityContext={},
    )
    # the old name of serviceAccountName is kept in step
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    if not spec.get("priorityClassName"):
        _fill(spec, priority=0, preemptionPolicy="PreemptLowerPriority")
    _tolerations(spec)
    for container in _all(spec, "initContainers", "containers"):
        _container(container)
    for volume in _all(spec, "volumes"):
        _volume(volume)
    return filled


def _tolerations(spec: dict[str, Any]) -> None:
    listed = [entry for entry in spec.get("tolerations") or () if isinstance(entry, dict)]
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(
            entry.get("key") in (key, None, "") and entry.get("effect") in ("NoExecute", None, "")
            for entry in listed
        ):
            spec["tolerations"] = [
                *(spec.get("tolerations") or ()),
                {
                    "key": key,
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": 300,
                },
            ]


def _container(container: dict[str, Any]) -> None:
    _fill(
        container,
        resources={},
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy=_pull_policy(str(container.get("image") or "")),
    )
    resources = container["resources"]
    if isinstance(resources, dict) and isinstance(resources.get("limits"), dict):
        requests = resources.get("requests")
        # what is limited and not asked for is asked for
        resources["requests"] = {
            **resources["limits"],
            **(requests if isinstance(requests, dict) else {}),
        }
    for port in _all(container, "ports"):
        _fill(port, protocol="TCP")
    for variable in _all(container, "env"):
        _field_ref(variable.get("valueFrom"))
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if isinstance(probe, dict):
            _fill(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
            _handler(probe)
            if isinstance(probe.get("grpc"), dict):
                probe["grpc"].setdefault("service", "")
    lifecycle = container.get("lifecycle")
    for name in ("postStart", "preStop"):
        if isinstance(lifecycle, dict) and isinstance(lifecycle.get(name), dict):
            _handler(lifecycle[name])


def _handler(handler: dict[str, Any]) -> None:
    if isinstance(handler.get("httpGet"), dict):
        _fill(handler["httpGet"], path="/", scheme="HTTP")


def _pull_policy(image: str) -> str:
    if "@" in image:
        return "IfNotPresent"
    tag = image.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


_MODES = ("secret", "configMap", "downwardAPI", "projected")


def _volume(volume: dict[str, Any]) -> None:
    if not any(part is not None for name, part in volume.items() if name != "name"):
        volume["emptyDir"] = {}
    for name in _MODES:
        source = volume.get(name)
        if isinstance(source, dict):
            _fill(source, defaultMode=420)
            for item in _all(source, "items"):
                _field_ref(item)
            for part in _all(source, "sources"):
                for item in _all(part.get("downwardAPI"), "items"):
                    _field_ref(item)
                token = part.get("serviceAccountToken")
                if isinstance(token, dict):
                    _fill(token, expirationSeconds=3600)
    host = volume.get("hostPath")
    if isinstance(host, dict):
        _fill(host, type="")
    ephemeral = volume.get("ephemeral")
    template = ephemeral.get("volumeClaimTemplate") if isinstance(ephemeral, dict) else None
    if isinstance(template, dict) and isinstance(template.get("spec"), dict):
        _fill(template["spec"], volumeMode="Filesystem")


def _field_ref(holder: Any) -> None:
    reference = holder.get("fieldRef") if isinstance(holder, dict) else None
    if isinstance(reference, dict):
        _fill(reference, apiVersion="v1")


def _fill(holder: dict[str, Any], **values: Any) -> None:
    for name, value in values.items():
        if holder.get(name) is None:
            holder[name] = value


def _all(holder: Any, *fields: str) -> Iterator[dict[str, Any]]:
    for name in fields:
        listed = holder.get(name) if isinstance(holder, dict) else None
        for entry in listed if isinstance(listed, list) else ():
            if isinstance(entry, dict):
                yield entry
