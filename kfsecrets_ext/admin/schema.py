"""The schema of the grant file, and a check by it whose errors show no value.

It is a JSON Schema, which editors know too; the check reads the keywords that it uses.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

__all__ = ["SCHEMA", "faults"]

SCHEMA: Final = Path(__file__).with_name("grant.schema.json")
"""The JSON Schema of a document of a grant file."""


def faults(document: Any) -> Iterator[tuple[str, str]]:
    """Say what is wrong with a document.

    Parameters
    ----------
    document : object
        As read from YAML or JSON.

    Yields
    ------
    (str, str)
        Where, as ``secret.data.foo``, and what; no value is in it, and no name that may be one:
        of the names that the schema does not know only keys, and slips of those that it knows.
    """
    yield from _check(document, _schema(), "")


@functools.cache
def _schema() -> Mapping[str, Any]:
    schema: Mapping[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return schema


_WORDS = {"object": "a mapping", "array": "a list", "string": "text", "boolean": "true or false"}


def _is(given: Any, kind: str) -> bool:
    if kind == "boolean":
        return isinstance(given, bool)
    wanted = {"object": Mapping, "array": list, "string": str}[kind]
    return isinstance(given, wanted)


def _check(given: Any, schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    if "$ref" in schema:
        yield from _check(given, _schema()["$defs"][schema["$ref"].rpartition("/")[2]], path)
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is(given, kind) for kind in kinds):
        hint = " Quote it." if "string" in kinds and not isinstance(given, (Mapping, list)) else ""
        yield path, f"it must be {' or '.join(_WORDS[kind] for kind in kinds)}.{hint}"
        return
    if "const" in schema and (
        given != schema["const"] or isinstance(given, bool) != isinstance(schema["const"], bool)
    ):
        yield path, f"it must be {json.dumps(schema['const'])}."
    if isinstance(given, str):
        yield from _text(given, schema, path)
    elif isinstance(given, list):
        yield from _list(given, schema, path)
    elif isinstance(given, Mapping):
        yield from _mapping(given, schema, path)
        yield from _together(given, schema, path)


def _text(given: str, schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    if len(given) < schema.get("minLength", 0):
        yield path, "it is empty."
    elif len(given) > schema.get("maxLength", len(given)):
        yield path, f"it has more than {schema['maxLength']} characters."
    elif "pattern" in schema and not re.search(schema["pattern"], given):
        yield path, "it has characters or a form that it may not have."


def _list(given: list[Any], schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    if len(given) < schema.get("minItems", 0):
        yield path, "it is empty."
    if schema.get("uniqueItems") and any(one in given[:n] for n, one in enumerate(given)):
        yield path, "something is in it twice."
    for number, one in enumerate(given):
        yield from _check(one, schema.get("items", {}), f"{path}[{number}]")


def _mapping(
    given: Mapping[Any, Any], schema: Mapping[str, Any], path: str
) -> Iterator[tuple[str, str]]:
    fields: Mapping[str, Any] = schema.get("properties", {})
    rest = schema.get("additionalProperties", {})
    if len(given) < schema.get("minProperties", 0):
        yield path, f"it is empty; it may have {', '.join(fields)}." if fields else "it is empty."
    if len(given) > schema.get("maxProperties", len(given)):
        yield path, f"it must have one alone of {', '.join(fields)}."
    for number, (name, one) in enumerate(given.items(), 1):
        if not isinstance(name, str):
            yield path, "the name of a field must be text. Quote it."
        elif name in fields:
            yield from _check(one, fields[name], _below(path, name))
        elif rest is False:
            yield _unknown(name, one, number, fields, path)
        elif one is None:
            yield path, f"its key number {number} has nothing after it. {_HIDDEN}"
        elif any(True for _ in _text(name, schema.get("propertyNames", {}), path)):
            yield path, "a key has characters that no key may have. It is not shown."
        else:
            yield from _check(one, rest, _below(path, name))
    for name in schema.get("required", ()):
        if name not in given:
            yield path, f"{name} is missing."


def _below(path: str, name: str) -> str:
    return f"{path}.{name!s}" if path else str(name)


_HIDDEN = "It is not shown; is there a space after each ':'?"


def _unknown(
    name: str, given: Any, number: int, fields: Mapping[str, Any], path: str
) -> tuple[str, str]:
    # YAML takes {value:hunter2} and {hunter2} for names with nothing after them, so that a name
    # is shown only where it is the slip of a known one and has something after it.
    nearest = difflib.get_close_matches(name, fields, n=1, cutoff=0.75)
    if given is None or not nearest or not _LETTERS.fullmatch(name):
        return path, f"its field number {number} is none of {', '.join(fields)}. {_HIDDEN}"
    reason = f"there is no such field. Did you mean {nearest[0]!r}? There are {', '.join(fields)}."
    return _below(path, name), reason


_LETTERS = re.compile("[A-Za-z_]{1,20}")


def _together(
    given: Mapping[Any, Any], schema: Mapping[str, Any], path: str
) -> Iterator[tuple[str, str]]:
    if "oneOf" in schema:
        fitting = [one for one in schema["oneOf"] if _fits(given, one)]
        if len(fitting) != 1:
            named = ", ".join(" or ".join(_named(one)) for one in schema["oneOf"])
            yield path, f"it must have exactly one of these: {named}."
    for one in schema.get("allOf", ()):
        if not _fits(given, one):
            names = _named(one["not"])
            yield path, f"{' and '.join(names)} do not go together."


def _fits(given: Mapping[Any, Any], schema: Mapping[str, Any]) -> bool:
    if "not" in schema:
        return not _fits(given, schema["not"])
    if "anyOf" in schema:
        return any(_fits(given, one) for one in schema["anyOf"])
    return all(name in given for name in schema["required"])


def _named(schema: Mapping[str, Any]) -> list[str]:
    return [name for one in schema.get("anyOf", [schema]) for name in one["required"]]
