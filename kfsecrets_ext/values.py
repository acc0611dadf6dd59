"""The types that carry a secret value: a ``str`` and a ``bytes`` that do not show themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, SupportsIndex, overload

__all__ = ["MASK", "SecretBytes", "SecretStr"]

MASK = "**********"
"""What stands for a value wherever one would be displayed; the same for every value."""


class SecretStr(str):
    """A ``str`` whose ``repr`` is a fixed mask.

    It is a ``str`` in every other respect, so that each library that takes a string gets the
    right one. ``str(value)``, ``print(value)`` and f-strings give the value: a type that
    answered otherwise would give wrong passwords silently. A part of it is masked too;
    operations such as ``strip`` return a plain ``str``.

    Examples
    --------
    >>> SecretStr("hunter2")
    SecretStr('**********')
    >>> "Bearer " + SecretStr("t0ken") == "Bearer t0ken"
    True
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"SecretStr('{MASK}')"

    # rich shortens what it shows by taking a part, and shows the length of the rest.
    def __rich_repr__(self) -> Iterator[str]:
        yield MASK

    def __getitem__(self, index: SupportsIndex | slice) -> SecretStr:
        return SecretStr(super().__getitem__(index))

    def __copy__(self) -> SecretStr:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> SecretStr:
        return self

    def __reduce_ex__(self, protocol: Any) -> tuple[type[str], tuple[str]]:
        # A plain str, so that a worker without this package can load it.
        return str, (str(self),)


class SecretBytes(bytes):
    """A ``bytes`` whose ``repr`` and ``str`` are a fixed mask.

    ``str(b"…")`` is a display, never the value, so it is masked too; ``value.decode()``,
    ``b"%s" % value`` and the buffer protocol give the bytes.

    Examples
    --------
    >>> SecretBytes(b"hunter2")
    SecretBytes('**********')
    >>> f"{SecretBytes(b'hunter2')}"
    "SecretBytes('**********')"
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"SecretBytes('{MASK}')"

    def __str__(self) -> str:
        return repr(self)

    def __rich_repr__(self) -> Iterator[str]:
        yield MASK

    @overload
    def __getitem__(self, index: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> SecretBytes: ...
    def __getitem__(self, index: SupportsIndex | slice) -> int | SecretBytes:
        part = super().__getitem__(index)
        return part if isinstance(part, int) else SecretBytes(part)

    def __copy__(self) -> SecretBytes:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> SecretBytes:
        return self

    def __reduce_ex__(self, protocol: Any) -> tuple[type[bytes], tuple[bytes]]:
        return bytes, (bytes(self),)
