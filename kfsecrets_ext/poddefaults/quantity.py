"""Kubernetes quantities: equal by representation, written in canonical form."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple

__all__ = ["Quantity", "quantity"]


class Quantity(NamedTuple):
    """A quantity as the platform holds it in memory.

    Two quantities are the same to the webhook only where every part is: ``1`` and ``1000m`` are
    one amount and two representations.

    Parameters
    ----------
    amount : int
        The digits, with a binary suffix multiplied in.
    scale : int
        The power of ten that belongs to them.
    form : str
        ``"decimal"``, ``"binary"`` or ``"exponent"``.
    spelled : str
        The text, where it is kept because it is canonical already.
    """

    amount: int
    scale: int
    form: str
    spelled: str

    def text(self) -> str:
        """Give the canonical text, the one that the platform writes."""
        if self.spelled:
            return self.spelled
        value = Decimal(self.amount).scaleb(self.scale)
        if value == 0:
            return "0"
        if self.form == "binary" and abs(value) >= 1024 and value == value.to_integral_value():
            digits, power = int(value), 0
            while digits % 1024 == 0 and power < 6:
                digits, power = digits // 1024, power + 1
            return f"{digits}{_BINARY[power]}"
        digits, exponent = self.amount, self.scale
        while digits % 10 == 0:
            digits, exponent = digits // 10, exponent + 1
        while exponent % 3 or exponent > 18:
            digits, exponent = digits * 10, exponent - 1
        if self.form == "exponent":
            return f"{digits}e{exponent}" if exponent else str(digits)
        return f"{digits}{_DECIMAL.get(exponent, f'e{exponent}')}"


def quantity(text: object) -> Quantity | None:
    """Read a quantity; None where it is none.

    Parameters
    ----------
    text : object
        The JSON value: a string or a number.
    """
    if isinstance(text, bool) or not isinstance(text, (str, int, float)):
        return None
    spelled = str(text).strip()
    if spelled == "0":
        return Quantity(0, 0, "decimal", "0")
    parts = _QUANTITY.fullmatch(spelled)
    if parts is None or not (parts["whole"] or parts["part"]):
        return None
    suffix = parts["suffix"]
    whole = parts["whole"].lstrip("0") or "0"
    part = parts["part"] or ""
    shifted = whole + part
    sign = -1 if parts["sign"] == "-" else 1
    if suffix in _BINARY and suffix:
        amount = int(shifted) * 1024 ** _BINARY.index(suffix)
        scale = -len(part)
        kept = not part and int(shifted) & 7 != 0
        return Quantity(sign * amount, scale, "binary", spelled if kept else "")
    if suffix and suffix[0] in "eE" and suffix != "E":
        form, scale = "exponent", int(suffix[1:]) - len(part)
    elif suffix in _EXPONENTS:
        form, scale = "decimal", _EXPONENTS[suffix] - len(part)
    else:
        return None
    if scale < -9:  # apimachinery: ParseQuantity rounds up to a nano
        factor = 10 ** (-9 - scale)
        return Quantity(sign * -(-int(shifted) // factor), -9, form, "")
    # apimachinery: ParseQuantity keeps the text where it is canonical already
    kept = scale % 3 == 0 and not shifted.endswith("000") and shifted[0] != "0"
    return Quantity(sign * int(shifted), scale, form, spelled if kept else "")


_QUANTITY = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]*)(?:\.(?P<part>[0-9]*))?"
    r"(?P<suffix>[eE][+-]?[0-9]{1,9}|[KMGTPE]i|[numkMGTPE]?)"
)
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_EXPONENTS = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL = {exponent: suffix for suffix, exponent in _EXPONENTS.items()}
