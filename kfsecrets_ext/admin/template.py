"""Placeholders of a tenant, filled into names, descriptions, paths and values where asked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from kfsecrets_ext.errors import SecretError
from kfsecrets_ext.values import SecretBytes, SecretStr

from .sources import sealed

if TYPE_CHECKING:
    from .tenants import Tenant

__all__ = ["PLACES", "TemplateError", "fill", "fill_bytes"]

PLACES: Final = (
    "secret.name",
    "secret.data",
    "secret.from.namespace",
    "secret.from.name",
    "podDefault.desc",
    "podDefault.mountPath",
)
"""Where placeholders may be asked for; ``secret.data.KEY`` is one value alone."""


class TemplateError(SecretError):
    """A text with placeholders that cannot be filled in; names the place, not the text.

    Attributes
    ----------
    place : str
        One of `PLACES`, or ``secret.data.KEY``.
    reason : str
    """

    def __init__(self, place: str, reason: str) -> None:
        self.place = place
        self.reason = reason
        super().__init__(f"{place}: {reason}")


def fill(text: str, tenant: Tenant, *, place: str) -> SecretStr:
    """Fill a tenant's names into a text.

    Parameters
    ----------
    text : str
        With ``{namespace}`` and ``{owner}``; ``{{`` and ``}}`` stand for ``{`` and ``}``.
    tenant : Tenant
    place : str
        What errors call it.

    Returns
    -------
    SecretStr

    Raises
    ------
    TemplateError
        Another placeholder, a brace without its partner, or an owner that is not known.
    """
    text = sealed(text)
    names = {"namespace": tenant.name, "owner": tenant.owner}
    faults: list[str] = []

    # It raises nothing: the match in its frame shows a part of the text.
    def put(found: re.Match[str]) -> str:
        whole = found[0]
        if whole in ("{{", "}}"):
            return whole[0]
        name = found[1]
        if name not in names:
            faults.append(_LONE if name is None else _UNKNOWN)
        elif names[name] is None:
            faults.append(
                f"the owner of namespace {tenant.name} is not known: it has no annotation 'owner', "
                "or may not be read."
            )
        return str(names.get(name) or "")

    filled = SecretStr(_BRACES.sub(put, text))
    if faults:
        raise TemplateError(place, faults[0])
    return filled


def fill_bytes(value: bytes, tenant: Tenant, *, place: str) -> SecretBytes:
    """Fill a tenant's names into a value: see `fill`. What is no UTF-8 stays as it is."""
    value = sealed(value)
    text = SecretStr(value.decode("utf-8", "surrogateescape"))
    return SecretBytes(fill(text, tenant, place=place).encode("utf-8", "surrogateescape"))


_BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_UNKNOWN = "it has a placeholder that is neither {namespace} nor {owner}. Write '{{' for a brace."
_LONE = "it has a brace without its partner. Write '{{' and '}}' for braces."
