"""Every value of a demo's pod, to be looked for where none may be."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path


def values(directory: Path) -> set[bytes]:
    """The values that the cluster and the vault of a pod hold now, and parts worth guarding."""
    found: set[bytes] = set()
    for file in directory.glob("cluster/namespaces/*/secrets/*.json"):
        for encoded in json.loads(file.read_text())["data"].values():
            found.add(base64.b64decode(encoded))
    found.add((directory / "secret" / "vault" / "api-token").read_bytes())
    parts = {part for value in found for part in re.findall(rb"demo-value-[0-9a-f]+", value)}
    auths = {part for value in found for part in re.findall(rb'"auth": "([^"]+)"', value)}
    return found | parts | auths


def leaks(text: str | bytes, known: set[bytes]) -> set[bytes]:
    """The values that stand in a text; a short one only as a word."""
    data = text.encode() if isinstance(text, str) else text
    return {value for value in known if _pattern(value).search(data)}


def _pattern(value: bytes) -> re.Pattern[bytes]:
    word = rb"\b" if len(value) < 8 else b""
    return re.compile(word + re.escape(value.strip()) + word)
