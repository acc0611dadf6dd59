"""The judge of leaks: decodes what it is shown in every way it knows, and looks for a value.

It shares no code and no method with the redactor, which looks for what a value is turned into;
this turns everything back. It is slow and looks at everything.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import urllib.parse
from collections.abc import Callable, Iterator
from functools import partial

__all__ = ["leaks", "shows"]

WINDOW = 8
DEPTH = 4
MOST_DECODINGS = 4000

_MARKER = re.compile(rb"\[redacted:[^\]\n]*\]")


def leaks(shown: str | bytes, value: bytes, *, window: int = WINDOW) -> list[str]:
    """Return how the value, or a piece of it, can be read from what is shown.

    Parameters
    ----------
    shown : str or bytes
        An output, a file, a frame.
    value : bytes
    window : int
        A piece of so many bytes counts as a leak; half of a value that is shorter does.

    Returns
    -------
    list of str
        For each way that leads to the value, the decodings in their order. Never a value.
    """
    value = value.strip()
    size = min(window, max(2, (len(value) + 1) // 2)) if len(value) < window else window
    pieces = {
        one[at : at + size] for one in (value, _squeeze(value)) for at in range(len(one) - size + 1)
    }
    data = shown.encode("utf-8", "surrogatepass") if isinstance(shown, str) else shown
    # No bytes of two sides of a mask make a value.
    data = _MARKER.sub(b"\xff\xfe\xff", data)
    return [way for way, decoded in _decodings(data) if _holds(decoded, pieces, size, value)]


def shows(shown: str | bytes, value: bytes) -> bool:
    """Tell whether the whole value can be read from what is shown."""
    value = value.strip()
    data = shown.encode("utf-8", "surrogatepass") if isinstance(shown, str) else shown
    squeezed = _squeeze(value)
    return any(value in one or squeezed in _squeeze(one) for _, one in _decodings(data))


def _holds(data: bytes, pieces: set[bytes], size: int, value: bytes) -> bool:
    if len(pieces) <= 64:
        return any(piece in data for piece in pieces)
    if value[:4096] in data:
        return True
    return any(data[at : at + size] in pieces for at in range(len(data) - size + 1))


def _decodings(data: bytes) -> Iterator[tuple[str, bytes]]:
    seen = {data}
    level = [("as it is", data)]
    yield level[0]
    for _ in range(DEPTH):
        following = []
        for way, one in level:
            for name, decode in _WAYS.items():
                for decoded in decode(one):
                    if len(decoded) >= 2 and decoded not in seen and len(seen) < MOST_DECODINGS:
                        seen.add(decoded)
                        following.append((f"{way}, {name}", decoded))
                        yield following[-1]
        level = following


def _without_colours(data: bytes) -> Iterator[bytes]:
    if b"\x1b" in data:
        yield re.sub(rb"\x1b(?:\[[0-9;:?]*[a-zA-Z]|\][^\x07]*\x07|[()][A-Z0-9])", b"", data)


def _without_zero_width(data: bytes) -> Iterator[bytes]:
    for zero in ("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad"):
        data = data.replace(zero.encode(), b"")
    yield data


_PYTHON = re.compile(
    rb"\\(?:x([0-9a-fA-F]{2})|([0-7]{1,3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL
)
_SIMPLE = {
    b"n": b"\n",
    b"t": b"\t",
    b"r": b"\r",
    b"b": b"\b",
    b"f": b"\f",
    b"v": b"\v",
    b"a": b"\a",
}


def _unescaped(data: bytes) -> Iterator[bytes]:
    if b"\\" not in data:
        return
    for byte in (True, False):
        text = _PYTHON.sub(partial(_character, byte=byte), data)
        try:
            yield (
                text.decode("utf-8", "surrogatepass")
                .encode("utf-16", "surrogatepass")
                .decode("utf-16")
                .encode()
            )
        except UnicodeError:
            yield text


def _character(match: re.Match[bytes], *, byte: bool) -> bytes:
    hexadecimal, octal, short, long, other = match.groups()
    if hexadecimal or octal:
        code = int(hexadecimal, 16) if hexadecimal else int(octal, 8) & 255
        return bytes([code]) if byte else chr(code).encode()
    if short or long:
        code = int(short or long, 16)
        return chr(code).encode("utf-8", "surrogatepass") if code < 0x110000 else b"?"
    return _SIMPLE.get(other, other)


def _without_entities(data: bytes) -> Iterator[bytes]:
    if b"&" in data:
        yield html.unescape(data.decode("utf-8", "surrogateescape")).encode(
            "utf-8", "surrogateescape"
        )


def _without_tags(data: bytes) -> Iterator[bytes]:
    if b"<" in data:
        yield re.sub(rb"<[^<>]{1,1000}>", b"", data)


def _without_percents(data: bytes) -> Iterator[bytes]:
    if b"%" in data:
        yield urllib.parse.unquote_to_bytes(data)
    if b"+" in data:
        yield urllib.parse.unquote_to_bytes(data.replace(b"+", b" "))


_BASE64 = re.compile(rb"[A-Za-z0-9+/_\-]{8,}")
_WRAPPED = re.compile(rb"(?:[A-Za-z0-9+/_\-]{4,}\s+){1,}[A-Za-z0-9+/_\-]{2,}")


def _from_base64(data: bytes) -> Iterator[bytes]:
    runs = [match[0] for match in _BASE64.finditer(data)]
    runs += [re.sub(rb"\s+", b"", match[0]) for match in _WRAPPED.finditer(data)]
    for run in runs:
        run = run.replace(b"-", b"+").replace(b"_", b"/")
        for phase in range(4):
            part = run[phase:]
            part = part[: len(part) - (len(part) % 4 == 1)]
            try:
                yield base64.b64decode(part + b"=" * (-len(part) % 4))
            except binascii.Error:
                continue


_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}[\s:,\-]*){4,}")


def _from_hex(data: bytes) -> Iterator[bytes]:
    for match in _HEX.finditer(data):
        digits = re.sub(rb"[^0-9a-fA-F]", b"", match[0])
        for phase in (0, 1):
            part = digits[phase:]
            yield bytes.fromhex(part[: len(part) // 2 * 2].decode())


def _from_utf16(data: bytes) -> Iterator[bytes]:
    if b"\0" in data:
        for start in (0, 1):
            for order in ("utf-16-le", "utf-16-be"):
                part = data[start:]
                text = part[: len(part) // 2 * 2].decode(order, "replace")
                yield text.encode("utf-8", "replace")


def _squeeze(data: bytes) -> bytes:
    return re.sub(rb"[\s\0'\",\[\]:]+", b"", data)


def _squeezed(data: bytes) -> Iterator[bytes]:
    yield _squeeze(data)
    yield re.sub(rb"\s+", b"", data)
    yield re.sub(rb"\n[ \t]*", b"", data)
    # One character between each two.
    for step in re.findall(rb"(?:\S\s){6,}\S?", data):
        yield step[::2]
    yield b"".join(re.findall(rb"'(.)'", data))


def _backwards(data: bytes) -> Iterator[bytes]:
    yield data.decode("utf-8", "surrogateescape")[::-1].encode("utf-8", "surrogateescape")


_WAYS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "colours dropped": _without_colours,
    "zero width dropped": _without_zero_width,
    "tags dropped": _without_tags,
    "unescaped": _unescaped,
    "entities": _without_entities,
    "percents": _without_percents,
    "base64": _from_base64,
    "hex": _from_hex,
    "UTF-16": _from_utf16,
    "squeezed": _squeezed,
    "reversed": _backwards,
}
