"""Objects whose values do not show themselves, wherever the object is displayed."""

from __future__ import annotations

from typing import Any

from kfsecrets_ext.values import SecretStr

from .kinds import Kind

__all__ = ["guard"]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def guard(obj: dict[str, Any], kind: Kind) -> dict[str, Any]:
    """Wrap each value in an object as a `SecretStr`.

    A Secret's data, what kubectl keeps of a Secret in an annotation, and literals of variables.

    Parameters
    ----------
    obj : dict
        Is changed in place.
    kind : Kind

    Returns
    -------
    dict
        The same, with its ``apiVersion`` and ``kind``, which the items of a list lack.
    """
    obj["apiVersion"], obj["kind"] = kind.api_version, kind.kind
    metadata = obj.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    if isinstance(annotations, dict) and LAST_APPLIED in annotations:
        annotations[LAST_APPLIED] = SecretStr(annotations[LAST_APPLIED])
    if kind.kind == "Secret":
        for field in ("data", "stringData"):
            data = obj.get(field)
            if isinstance(data, dict):
                obj[field] = {
                    key: SecretStr(value) if isinstance(value, str) else value
                    for key, value in data.items()
                }
    elif isinstance(obj.get("spec"), dict):
        _literals(obj["spec"])
    return obj


def _literals(held: Any) -> None:
    if isinstance(held, dict):
        for name, value in held.items():
            if name == "env" and isinstance(value, list):
                for variable in value:
                    if isinstance(variable, dict) and isinstance(variable.get("value"), str):
                        variable["value"] = SecretStr(variable["value"])
            elif isinstance(value, (dict, list)):
                _literals(value)
    elif isinstance(held, list):
        for value in held:
            if isinstance(value, (dict, list)):
                _literals(value)
