"""What a check of PodDefaults says: a code, how bad, what happens, to whom, and the fix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

__all__ = ["CODES", "Finding", "Severity"]

Severity = Literal["error", "warning", "note"]

# error: some choice of labels makes a pod that is refused; warning: something goes wrong, or
# depends on the pod; note: worth knowing
CODES: Mapping[str, Severity] = MappingProxyType(
    {
        "selector-unreadable": "error",
        "volume-clash": "error",
        "mount-path-clash": "error",
        "env-clash": "error",
        "toleration-clash": "error",
        "container-clash": "error",
        "metadata-clash": "error",
        "name-too-long": "error",
        "api-refuses": "error",
        "selector-matches-every-pod": "warning",
        "selector-matches-no-pod": "warning",
        "launcher-breaks": "warning",
        "launcher-cannot-select": "warning",
        "launcher-label-shared": "warning",
        "description-shared": "warning",
        "no-description": "note",
        "label-differs-from-name": "note",
        "literal-secret": "warning",
        "secret-missing": "warning",
        "secret-key-missing": "warning",
        "mount-without-volume": "warning",
        "volume-without-mount": "note",
        "mount-hides-home": "warning",
        "mount-in-home": "note",
        "clashes-with-notebook": "warning",
        "service-account-swap": "warning",
        "silent-override": "warning",
        "sidecar-second-container": "warning",
        "csi-not-read-only": "warning",
        "podinfo-differs": "warning",
        "not-defaulted": "note",
        "never-refreshes": "note",
        "field-pruned": "warning",
        "name-twice": "warning",
        "namespace-without-label": "warning",
    }
)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with the PodDefaults of a namespace.

    Parameters
    ----------
    code : str
        Stable name of the check; ``docs/lint.md`` has a section for each.
    severity : str
        ``"error"``, ``"warning"`` or ``"note"``.
    what : str
        What happens.
    whom : str
        To whom it happens.
    fix : str
        What mends it.
    subjects : tuple of str
        Names of the PodDefaults it is about, sorted.
    on : str
        The volume, path, variable, key, Secret or field it is about; empty where there is none.
    namespace : str or None
        The namespace, where it is known.
    """

    code: str
    severity: Severity
    what: str
    whom: str
    fix: str
    subjects: tuple[str, ...] = ()
    on: str = ""
    namespace: str | None = None

    def __str__(self) -> str:
        return f"{self.severity} {self.code}: {self.what} ({self.whom}). {self.fix}"

    def to_json(self) -> dict[str, object]:
        """Give the finding as a JSON object."""
        return {
            "code": self.code,
            "severity": self.severity,
            "what": self.what,
            "whom": self.whom,
            "fix": self.fix,
            "subjects": list(self.subjects),
            "on": self.on,
            "namespace": self.namespace,
        }
