"""The parts of a value that are secrets themselves: leaves, lines, passwords, bodies of keys."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

from kfsecrets_ext.values import SecretBytes

__all__ = ["ANYWHERE", "is_common", "looks_random", "parts"]

ANYWHERE = 8
"""From this many bytes on, a value is masked wherever it stands."""

_LONGEST_IN_LINES = 8 << 10
_SHORTEST_LINE = 12
_BITS_OF_A_LINE = 3.0
_DEEPEST = 6

_COMMON = frozenset(
    (
        b"true false none null nil yes no on off admin administrator root user test prod "
        b"production dev development staging default localhost 127.0.0.1 0.0.0.0 main master "
        b"latest guest public private postgres postgresql mysql username password passwd secret "
        b"example changeme http https string undefined"
    ).split()
)

# Keys whose values are no secrets in a service account's file, a DSN, a configuration.
_PUBLIC = re.compile(
    r"(?:.*_)?(?:type|uri|url|project_id|client_email|client_id|user|username|user_name|login|email"
    r"|host|hostname|server|endpoint|port|database|dbname|db|scheme|driver|engine|region|zone"
    r"|location|namespace|name|kind|apiversion|version|domain|universe_domain|cluster|context"
    r"|current.context|registry|bucket|account|format|encoding|charset|description|comment)",
    re.IGNORECASE,
)
_ASSIGNED = re.compile(
    rb"^[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.\-]{0,127})[ \t]*[=:][ \t]*(\S.*?)[ \t\r]*$",
    re.MULTILINE,
)
_USERINFO = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]{0,31}://[^\s/:@\"']{0,255}:([^\s/\"']{1,1024})@")
_PEM = re.compile(rb"-----BEGIN [A-Z0-9 ]{1,64}-----(.*?)(?:-----END|\Z)", re.DOTALL)
_PEM_HEADER = re.compile(rb"^[A-Za-z\-]+: .*$", re.MULTILINE)
_ENTRY_KEYS = frozenset(("password", "identitytoken", "registrytoken", "auth"))


def is_common(value: bytes) -> bool:
    """Tell whether a value is a word or a number that stands in ordinary text by itself."""
    # Integers below 10^5 are ports, counts, years.
    return value.lower() in _COMMON or (value.isdigit() and len(value) < 6)


def looks_random(value: bytes) -> bool:
    """Tell whether letters and digits alternate more often than in words, names and addresses."""
    kinds = value.translate(_KINDS)
    # "Words" begin with a capital: from upper to lower is no sign.
    changes = sum(map(kinds.count, (b"aA", b"a0", b"0a", b"A0", b"0A")))
    return changes * 6 >= len(value)


def _kind(byte: int) -> int:
    character = chr(byte)
    if not character.isascii() or not character.isalnum():
        return 32
    return ord("0") if character.isdigit() else ord("a") if character.islower() else ord("A")


_KINDS = bytes(map(_kind, range(256)))


def parts(value: bytes) -> Iterator[tuple[str, SecretBytes]]:
    """Yield what is a secret inside of a value, with the name of the rule that says so.

    Parameters
    ----------
    value : bytes
        Values above 8 KiB are searched for passwords in URLs and leaves of JSON only.

    Yields
    ------
    (str, SecretBytes)
        Each part once.
    """
    seen = {value}
    for rule, part in _all(value):
        secret = SecretBytes(part.strip())
        if len(secret) >= ANYWHERE and secret not in seen and not is_common(secret):
            seen.add(secret)
            yield rule, secret


def _all(value: bytes) -> Iterator[tuple[str, bytes]]:
    if b"://" in value:
        for match in _USERINFO.finditer(value):
            yield "password in a URL", SecretBytes(match[1])
            yield "password in a URL", SecretBytes(unquote_to_bytes(match[1]))
    structured = value[:1] in (b"{", b"[")
    if structured:
        yield from _leaves(value)
    for match in _PEM.finditer(value) if b"-----BEGIN" in value else ():
        yield "body of a key", SecretBytes(_PEM_HEADER.sub(b"", match[1]))
    if len(value) > _LONGEST_IN_LINES:
        return
    if not structured:
        for match in _ASSIGNED.finditer(value) if b"\n" in value or b"=" in value else ():
            assigned = SecretBytes(match[2].strip(b"'\""))
            yield from _assigned(match[1].decode(), assigned)
    if b"\n" in value.strip():
        for line in value.splitlines():
            stripped = line.strip(b" \t,;")
            if len(stripped) >= _SHORTEST_LINE and _telling(stripped):
                yield "line", SecretBytes(stripped)


def _telling(line: bytes) -> bool:
    if line.startswith(b"-----") or _entropy(line) < _BITS_OF_A_LINE:
        return False
    match = re.match(rb"['\"]?([\w.\-]+)['\"]?[ \t]*[:=]", line)
    return not (match and _PUBLIC.fullmatch(match[1].decode("ascii", "replace")))


def _entropy(line: bytes) -> float:
    counts = [line.count(byte) for byte in set(line)]
    return -sum(count / len(line) * math.log2(count / len(line)) for count in counts)


def _assigned(key: str, value: SecretBytes) -> Iterator[tuple[str, bytes]]:
    # An address is public, unless it holds a token, as those of webhooks do.
    if looks_random(value) if _is_address(value) else not _PUBLIC.fullmatch(key):
        yield "assigned in the value", value


def _is_address(value: bytes) -> bool:
    return b"://" in value and not _USERINFO.search(value)


def _leaves(value: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        tree = json.loads(value)
    except (ValueError, RecursionError):
        return
    for path, leaf in _walk(tree, (), 0):
        key = path[-1] if path else ""
        encoded = SecretBytes(leaf.encode("utf-8", "surrogatepass"))
        if key == "auth" or key in _ENTRY_KEYS:
            yield "leaf", encoded
            if key == "auth":
                yield from _decoded(encoded)
        elif encoded.find(b"-----BEGIN") >= 0:
            yield "leaf", encoded
            for _, part in parts(encoded):
                yield "leaf", part
        else:
            for _, assigned in _assigned(key, encoded):
                yield "leaf", assigned
            for match in _USERINFO.finditer(encoded):
                yield "password in a URL", SecretBytes(match[1])


def _decoded(auth: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        text = SecretBytes(base64.b64decode(auth))
    except (binascii.Error, ValueError):
        return
    _, colon, password = text.partition(b":")
    if colon:
        yield "password in an auth", SecretBytes(password)


def _walk(node: Any, path: tuple[str, ...], depth: int) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(node, str):
        yield path, node
    elif depth < _DEEPEST:
        if isinstance(node, dict):
            for key, child in node.items():
                yield from _walk(child, (*path, key), depth + 1)
        elif isinstance(node, list):
            for child in node:
                yield from _walk(child, path, depth + 1)
