"""Objects whose values do not show themselves, wherever the object is displayed."""

from __future__ import annotations

from typing import Any

from kfsecrets_ext.values import SecretStr

from .kinds import Kind

__all__ = ["LAST_APPLIED", "Unguarded", "UnguardedList", "guard"]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""The annotation in which kubectl's client-side apply keeps the whole object, values included."""


class Unguarded(dict[str, Any]):
    """An object as it came; a traceback shows nothing of it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Unguarded()"


class UnguardedList(list[Any]):
    """Objects as they came; a traceback shows nothing of them."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UnguardedList()"


def guard(obj: dict[str, Any], kind: Kind) -> dict[str, Any]:
    """Wrap each value in an object as a `SecretStr`.

    A Secret's data, what kubectl keeps of a Secret in an annotation, and literals of variables.

    Parameters
    ----------
    obj : dict
        Is changed in place; as `Unguarded` it shows nothing meanwhile.
    kind : Kind

    Returns
    -------
    dict
        The same, with its ``apiVersion`` and ``kind``, which the items of a list lack.
    """
    # no variable here holds what is not masked yet
    obj["apiVersion"], obj["kind"] = kind.api_version, kind.kind
    if (
        isinstance(obj.get("metadata"), dict)
        and isinstance(obj["metadata"].get("annotations"), dict)
        and LAST_APPLIED in obj["metadata"]["annotations"]
    ):
        obj["metadata"]["annotations"][LAST_APPLIED] = SecretStr(
            obj["metadata"]["annotations"][LAST_APPLIED]
        )
    if kind.kind == "Secret":
        for field in ("data", "stringData"):
            if isinstance(obj.get(field), dict):
                obj[field] = {
                    key: SecretStr(obj[field][key])
                    if isinstance(obj[field][key], str)
                    else obj[field][key]
                    for key in obj[field]
                }
    elif isinstance(obj.get("spec"), dict):
        _literals(obj["spec"])
    return dict(obj) if isinstance(obj, Unguarded) else obj


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
