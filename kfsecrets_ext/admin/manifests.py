"""Objects as JSON and YAML, such that ``kubectl`` reads from it what was meant."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from kfsecrets_ext.values import SecretStr

__all__ = ["as_list", "to_json", "to_yaml"]


def to_json(given: Mapping[str, Any]) -> SecretStr:
    """Write an object as JSON, indented as kubectl does."""
    return SecretStr(json.dumps(given, indent=4) + "\n")


def to_yaml(given: Mapping[str, Any]) -> SecretStr:
    """Write an object as YAML.

    Whatever one of YAML's versions could take for something else than text is quoted: a key
    ``y``, or base64 that looks like a number.
    """
    import yaml

    class Dumper(yaml.SafeDumper):
        """A dumper whose texts stay texts."""

    def text(dumper: yaml.SafeDumper, given: str) -> yaml.ScalarNode:
        style = None if _is_plain(given) else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", given, style=style)

    Dumper.add_representer(str, text)
    Dumper.add_multi_representer(str, text)
    written: str = yaml.dump(
        dict(given), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=sys.maxsize
    )
    return SecretStr(written)


def as_list(objects: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Give objects as a v1 List."""
    return {"apiVersion": "v1", "kind": "List", "items": list(objects)}


_PLAIN = re.compile(r"[A-Za-z/.][A-Za-z0-9+/._-]*=*")
# YAML 1.1 and what Go's parsers add to it
_WORDS = frozenset(
    {"y", "n", "yes", "no", "on", "off", "true", "false", "null", ".inf", ".nan", "nan", "inf"}
)


def _is_plain(given: str) -> bool:
    return (
        _PLAIN.fullmatch(given) is not None
        and given.lower() not in _WORDS
        and (not given.startswith(".") or given[1:2].isalpha())
    )
