"""What the API server refuses of a container apart from its env and mounts.

Each rule is one of core validation's; init containers and sidecars of a PodDefault come here
unseen by the webhook.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from .quantity import Quantity, quantity

__all__ = ["container_refusals"]


def container_refusals(container: Mapping[str, Any], at: str) -> Iterator[str]:
    """Name what is refused of a container's image, ports, resources, probes and security.

    Parameters
    ----------
    container : Mapping
        The container.
    at : str
        Where it is, for the texts.

    Yields
    ------
    str
        One text for each refusal.
    """
    image = container.get("image")
    if not image:
        yield f"{at}.image: Required value"
    elif str(image) != str(image).strip():
        yield f"{at}.image: Invalid value: must not have leading or trailing whitespace"
    for field, allowed in _CHOICES.items():
        value = container.get(field)
        if value and value not in allowed:
            yield f'{at}.{field}: Unsupported value: "{value}"'
    if container.get("ports"):
        yield from _ports(container["ports"], f"{at}.ports")
    if container.get("resources"):
        yield from _resources(_mapping(container["resources"]), f"{at}.resources")
    for field in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(field) is not None:
            yield from _probe(_mapping(container[field]), f"{at}.{field}")
    if container.get("securityContext") is not None:
        yield from _security(_mapping(container["securityContext"]), f"{at}.securityContext")


def _ports(value: Any, at: str) -> Iterator[str]:
    # core validation: validateContainerPorts
    names: set[str] = set()
    for index, entry in enumerate(value if isinstance(value, (list, tuple)) else ()):
        port, place = _mapping(entry), f"{at}[{index}]"
        name = str(port.get("name") or "")
        if name:
            sound = len(name) <= 15 and _PORT_NAME.fullmatch(name) and "--" not in name
            if not sound or not re.search("[a-z]", name):
                yield f'{place}.name: Invalid value: "{name}"'
            elif name in names:
                yield f'{place}.name: Duplicate value: "{name}"'
            names.add(name)
        number, host = port.get("containerPort") or 0, port.get("hostPort") or 0
        if number == 0:
            yield f"{place}.containerPort: Required value"
        elif not 0 < number < 65536:
            yield f"{place}.containerPort: Invalid value: must be from 1 to 65535"
        if host and not 0 < host < 65536:
            yield f"{place}.hostPort: Invalid value: must be from 1 to 65535"
        protocol = port.get("protocol")
        if protocol and protocol not in ("TCP", "UDP", "SCTP"):
            yield f'{place}.protocol: Unsupported value: "{protocol}"'


def _resources(resources: Mapping[str, Any], at: str) -> Iterator[str]:
    # core validation: ValidateContainerResourceRequirements
    limits, requests = _mapping(resources.get("limits")), _mapping(resources.get("requests"))
    for field, amounts in (("limits", limits), ("requests", requests)):
        for name, text in amounts.items():
            amount = quantity(text)
            if not (name in _RESOURCES or "/" in name or name.startswith("hugepages-")):
                yield f"{at}.{field}[{name}]: Invalid value: no resource of a container"
            if amount is None or amount.amount < 0:
                yield f"{at}.{field}[{name}]: Invalid value: must be a quantity, 0 or more"
    for name, text in requests.items():
        asked, most = quantity(text), quantity(limits.get(name))
        if asked is not None and most is not None and _value(asked) > _value(most):
            yield f"{at}.requests: Invalid value: {name} must not be more than its limit"


def _value(amount: Quantity) -> Decimal:
    return Decimal(amount.amount).scaleb(amount.scale)


def _probe(probe: Mapping[str, Any], at: str) -> Iterator[str]:
    # core validation: validateHandler
    kinds = [
        kind for kind in ("exec", "httpGet", "tcpSocket", "grpc") if probe.get(kind) is not None
    ]
    if not kinds:
        yield f"{at}: Required value: must specify a handler type"
    for extra in kinds[1:]:
        yield f"{at}.{extra}: Forbidden: may not specify more than 1 handler type"
    if kinds[:1] == ["exec"] and not _mapping(probe["exec"]).get("command"):
        yield f"{at}.exec.command: Required value"


def _security(context: Mapping[str, Any], at: str) -> Iterator[str]:
    # core validation: ValidateSecurityContext; whether privileged is allowed is the cluster's
    for field in ("runAsUser", "runAsGroup"):
        value = context.get(field)
        if isinstance(value, int) and not 0 <= value <= 2**31 - 1:
            yield f"{at}.{field}: Invalid value: must be from 0 to 2147483647"
    if context.get("allowPrivilegeEscalation") is False:
        added = _mapping(context.get("capabilities")).get("add") or ()
        if context.get("privileged") or "CAP_SYS_ADMIN" in added:
            yield f"{at}: Invalid value: allowPrivilegeEscalation must be true here"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


_CHOICES = {
    "imagePullPolicy": ("Always", "IfNotPresent", "Never"),
    "terminationMessagePolicy": ("File", "FallbackToLogsOnError"),
}
_RESOURCES = frozenset(("cpu", "memory", "ephemeral-storage"))
_PORT_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
