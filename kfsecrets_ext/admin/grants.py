"""Grant files: YAML or JSON documents, each a grant; errors name the field, never what is in it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from kfsecrets_ext.errors import InvalidName, SecretError
from kfsecrets_ext.values import SecretBytes, SecretStr

from .from_secret import FromSecret
from .grant import Grant
from .presets import FIELDS, preset
from .schema import faults
from .secret import SecretObject, generic
from .sources import (
    Entry,
    SourceError,
    exact,
    from_environment_file,
    from_path,
    read_file,
    sealed,
)
from .tenants import TenantChoice, read_names

__all__ = ["GrantFileError", "load_grants", "read_grants"]


class GrantFileError(SecretError):
    """A grant file that cannot be read.

    Attributes
    ----------
    reason : str
    file : str or None
        As it was named; ``-`` is standard input.
    document : int or None
        Which of the file's documents, from 1.
    path : str or None
        The field, such as ``secret.data.foo``.
    line, column : int or None
        Where the YAML is none.
    """

    def __init__(
        self,
        reason: str,
        *,
        file: str | None = None,
        document: int | None = None,
        path: str | None = None,
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        self.reason = reason
        self.file = file
        self.document = document
        self.path = path
        self.line = line
        self.column = column
        places = (
            "standard input" if file == "-" else file,
            None if line is None else f"line {line}, column {column}",
            None if document is None else f"document {document}",
            path,
        )
        where = ", ".join(place for place in places if place)
        super().__init__(f"{where}: {reason}" if where else reason)


def load_grants(path: str | os.PathLike[str]) -> list[Grant]:
    """Read a grant file; files that it names are beside it.

    Parameters
    ----------
    path : path
        ``-`` is standard input; what it names is then in the working directory.

    Returns
    -------
    list of Grant

    Raises
    ------
    GrantFileError
    """
    path = os.fspath(path)
    reason = ""
    content = SecretBytes()
    try:
        content = read_file(path, source="grant file")
    except SourceError as error:
        reason = error.reason
    if reason:
        raise GrantFileError(reason, file=path)
    directory = "." if path == "-" else os.path.dirname(path) or "."
    try:
        return read_grants(content, directory=directory)
    except GrantFileError as error:
        found = {name: getattr(error, name) for name in ("document", "path", "line", "column")}
        reason = error.reason
    raise GrantFileError(reason, file=path, **found)


def read_grants(
    text: str | bytes, *, directory: str | os.PathLike[str] | None = None
) -> list[Grant]:
    """Read grants.

    Parameters
    ----------
    text : str or bytes
        YAML or JSON documents; ``docs/grants.md`` describes the fields.
    directory : path, optional
        Where the files are that it names; by default the working directory.

    Returns
    -------
    list of Grant

    Raises
    ------
    GrantFileError
        It is no YAML, a field is not known, missing or not of its form, or a file or a variable
        that it names cannot be read.
    """
    text = sealed(text)
    home = os.fspath(directory) if directory is not None else "."
    grants = []
    for number, document in enumerate(_documents(text), 1):
        if document is None:
            continue
        for path, reason in faults(document):
            raise GrantFileError(reason, document=number, path=path or None)
        grants.append(_grant(document, _Place(number, home)))
    return grants


@dataclass(frozen=True)
class _Place:
    """Which document, and where the files are that it names."""

    document: int
    directory: str

    def path(self, given: str) -> SecretStr:
        """A value given in the place of a path is a likely mistake, so it is not shown."""
        with contextlib.suppress(ValueError):  # no path has such a character; who reads it says so
            given = SecretStr(os.path.expanduser(given))
        return SecretStr(os.path.join(self.directory, given))

    def error(self, path: str, reason: str) -> GrantFileError:
        return GrantFileError(reason, document=self.document, path=path)


def _grant(document: Mapping[str, Any], place: _Place) -> Grant:
    name = str(document["name"])
    about = document.get("podDefault", {})
    secret = document["secret"]
    templates = tuple(map(str, document.get("templates", ())))
    made = _secret(name, secret, templates, place)
    workspaces = secret.get("workspaces", {})
    desc, path = about.get("desc"), about.get("mountPath")
    grant = replace(
        made,
        desc=made.desc if desc is None else str(desc),
        mount_path=None if path is None else str(path),
        items=_keys(about.get("items")),
        required=about.get("required", False),
        templates=templates,
        tenants=_choice(document.get("tenants"), place),
        can_mount=workspaces.get("canMount", False),
        can_update=workspaces.get("canUpdate", False),
        immutable=secret.get("immutable", False),
        append_hash=secret.get("appendHash", False),
    )
    known = grant.secret.data if isinstance(grant.secret, SecretObject) else None
    for template in grant.templates:
        key = template.removeprefix("secret.data.")
        if known is not None and key != template and key not in known:
            raise place.error("templates", f"the Secret has no key {key!r}.")
        if template.startswith("secret.from.") and not isinstance(grant.secret, FromSecret):
            raise place.error("templates", f"there is no {template}.")
    if grant.items is not None and known is not None:
        for key in grant.items:
            if key not in known:
                raise place.error("podDefault.items", f"the Secret has no key {key!r}.")
    return grant


def _secret(
    name: str, given: Mapping[str, Any], templates: tuple[str, ...], place: _Place
) -> Grant:
    """Give a grant of the Secret, and of the description that goes with it."""
    called = str(given.get("name", name))
    kind = None if "type" not in given else str(given["type"])
    if "existing" in given:
        return Grant(name, called)
    wrong = ("", "")
    try:
        if "from" in given:
            other = given["from"]
            keys = _keys(other.get("keys"))
            source = FromSecret(str(other["namespace"]), str(other["name"]), keys, called, kind)
            return Grant(name, source)
        for one in FIELDS:
            if one in given:
                fields: dict[str, Any] = dict(_fields(given[one], f"secret.{one}", place))
                made = preset(one, name, templates=templates, **fields)
                secret = cast("SecretObject", made.secret)
                return replace(made, secret=replace(secret, name=called))
        return Grant(name, generic(called, _entries(given, place), type=kind))
    except SourceError as error:
        wrong = error.source, error.reason
    except InvalidName as error:
        wrong = "secret", error.reason
    raise place.error(*wrong)


def _entries(given: Mapping[str, Any], place: _Place) -> Iterator[Entry]:
    for key, source in given.get("data", {}).items():
        yield str(key), _value(source, f"secret.data.{key}", place)
    for number, path in enumerate(given.get("files", ())):
        yield from from_path(place.path(path), source=f"secret.files[{number}]")
    for number, path in enumerate(given.get("envFiles", ())):
        yield from from_environment_file(place.path(path), source=f"secret.envFiles[{number}]")


def _fields(
    given: Mapping[str, Any], path: str, place: _Place
) -> Iterator[tuple[str, SecretBytes]]:
    for field, source in given.items():
        value = _value(source, f"{path}.{field}", place)
        if "file" in source and value.endswith(b"\n"):
            # a line in a file of its own; the field is of a text that is composed
            value = value[:-1]
            value = value[:-1] if value.endswith(b"\r") else value
        yield str(field), value


def _value(source: Mapping[str, Any], path: str, place: _Place) -> SecretBytes:
    if "value" in source:
        try:
            return SecretBytes(source["value"].encode())
        except UnicodeEncodeError:
            pass  # its error holds the text
        raise SourceError(path, "it holds a character that UTF-8 does not have.")
    if "file" in source:
        return read_file(place.path(source["file"]), source=f"{path}.file")
    value = os.environb.get(exact(source["env"], f"{path}.env"))
    if value is None:
        raise SourceError(f"{path}.env", "the environment has no such variable.")
    return SecretBytes(value)


def _keys(given: Any) -> dict[str, str] | None:
    if given is None:
        return None
    if isinstance(given, Mapping):
        return {str(key): str(given[key]) for key in given}
    return {str(key): str(key) for key in given}


def _choice(given: Mapping[str, Any] | None, place: _Place) -> TenantChoice | None:
    if given is None:
        return None
    names = [str(name) for name in given.get("names", ())]
    if "file" in given:
        reason = ""
        try:
            content = read_file(place.path(given["file"]), source="tenants.file")
            found = read_names(content.decode("utf-8-sig"))
            names += found
            # Whoever writes it may have failed; with --prune it would take away from everybody.
            reason = "" if found else "it names no tenant."
        except SourceError as error:
            reason = error.reason
        except UnicodeDecodeError:
            reason = "it is not UTF-8."
        if reason:
            raise place.error("tenants.file", reason)
    selector = given.get("selector")
    return TenantChoice(
        "everyone" in given,
        tuple(dict.fromkeys(names)),
        None if selector is None else str(selector),
    )


class _NotText:
    """What YAML takes for a number or a time: it is asked to be quoted, and not shown."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<not text>"


def _documents(text: SecretStr | SecretBytes) -> list[Any]:
    """Read YAML; every text is a `SecretStr`, since what is a value is not known yet."""
    import yaml

    class Loader(yaml.SafeLoader):
        """A loader for which a text is masked, and a field that is given twice is an error."""

    def scalar(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> SecretStr:
        given = SecretStr(loader.construct_scalar(node))
        # JSON may escape a character in two parts, which YAML leaves apart
        parts = SecretBytes(given.encode("utf-16-le", "surrogatepass"))
        return SecretStr(parts.decode("utf-16-le", "surrogatepass"))

    def boolean(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
        # YAML 1.1 takes y, no and on for booleans, 1.2 does not
        written = SecretStr(loader.construct_scalar(node))
        return {"true": True, "false": False}.get(written.lower(), _NotText())

    def other(_loader: yaml.SafeLoader, _node: yaml.Node) -> _NotText:
        return _NotText()

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
        own = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for number, name in enumerate(own):
            if name in own[:number]:
                raise yaml.constructor.ConstructorError(
                    None, None, _TWICE, node.value[number][0].start_mark
                )
        loader.flatten_mapping(node)
        return {
            loader.construct_object(key, deep=True): loader.construct_object(value, deep=True)
            for key, value in node.value
        }

    tag = "tag:yaml.org,2002:"
    Loader.add_constructor(f"{tag}str", scalar)
    Loader.add_constructor(f"{tag}bool", boolean)
    Loader.add_constructor(f"{tag}map", mapping)
    for name in ("int", "float", "timestamp", "binary"):
        Loader.add_constructor(tag + name, other)
    reason = "this is not YAML."
    line = column = None
    try:
        return list(yaml.load_all(_without_tabs(text), Loader))
    except yaml.YAMLError as error:
        if getattr(error, "problem", None) == _TWICE:
            reason = _TWICE
        line, column = _position(error)
    except (UnicodeDecodeError, ValueError, TypeError, RecursionError):
        pass
    raise GrantFileError(reason, line=line, column=column)


def _position(error: Exception) -> tuple[int | None, int | None]:
    mark = getattr(error, "problem_mark", None)  # it holds the text: not for the frame that raises
    return (None, None) if mark is None else (mark.line + 1, mark.column + 1)


def _without_tabs(text: SecretStr | SecretBytes) -> SecretStr | SecretBytes:
    """Give JSON with spaces for tabs, which YAML does not take; none is in a string of JSON."""
    with contextlib.suppress(ValueError, RecursionError):  # no JSON
        plain = SecretStr(text.decode("utf-8-sig") if isinstance(text, bytes) else text)
        json.loads(plain)
        return SecretStr(plain.replace("\t", " "))
    return text


_TWICE = "a field is given twice."
