"""The files that commands take with ``-f``: manifests, and where in them each PodDefault is."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kfsecrets_ext.errors import SecretError
from kfsecrets_ext.poddefaults import Finding, NotAManifest, PodDefault, read_manifests
from kfsecrets_ext.values import SecretBytes

__all__ = ["BadManifests", "Files", "Place", "Placed", "read_files"]


class BadManifests(SecretError):
    """Files that cannot be read as manifests; one sentence each, without what is written there.

    Attributes
    ----------
    sentences : tuple of str
    """

    def __init__(self, sentences: Iterable[str]) -> None:
        self.sentences = tuple(sentences)
        super().__init__("\n".join(self.sentences))


@dataclass(frozen=True)
class Place:
    """Where an object is written.

    Attributes
    ----------
    file : str
        As it was named; ``-`` is standard input.
    document : int
        Of the file, from 1.
    line : int
        Of its first field, from 1.
    """

    file: str
    document: int
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    def to_json(self) -> dict[str, object]:
        """Give the place as a JSON object."""
        return {"file": self.file, "document": self.document, "line": self.line}


@dataclass(frozen=True)
class Placed:
    """A PodDefault, and where it is written; None where that cannot be told."""

    poddefault: PodDefault
    place: Place | None


@dataclass(frozen=True)
class Files:
    """What is in the files.

    Attributes
    ----------
    names : tuple of str
        Of the files, in the order read.
    poddefaults : tuple of Placed
    others : tuple of mapping
        The other objects.
    findings : tuple of Finding
        Fields that were kept out.
    """

    names: tuple[str, ...]
    poddefaults: tuple[Placed, ...]
    others: tuple[Mapping[str, Any], ...] = field(repr=False)
    findings: tuple[Finding, ...]


def read_files(names: Sequence[str], *, recursive: bool = False) -> Files:
    """Read what ``-f`` names.

    Parameters
    ----------
    names : sequence of str
        Files, directories, or ``-``.
    recursive : bool
        Whether directories are descended into.

    Returns
    -------
    Files

    Raises
    ------
    BadManifests
        Naming each file that cannot be read.
    """
    read: list[str] = []
    poddefaults: list[Placed] = []
    others: list[Mapping[str, Any]] = []
    findings: list[Finding] = []
    bad: list[str] = []
    for name in _expanded(names, recursive, bad):
        found = _file(name, bad)
        if found is not None:
            read.append(name)
            poddefaults.extend(found.poddefaults)
            others.extend(found.others)
            findings.extend(found.findings)
    if bad:
        raise BadManifests(bad)
    return Files(tuple(read), tuple(poddefaults), tuple(others), tuple(findings))


def _expanded(names: Sequence[str], recursive: bool, bad: list[str]) -> Iterator[str]:
    for name in names:
        if name == "-" or not os.path.isdir(name):
            yield name
            continue
        before = len(bad)
        inside = sorted(_inside(name, recursive, bad))
        if not inside and len(bad) == before:
            bad.append(f"{name}: no .yaml, .yml or .json file is in this directory.")
        yield from inside


def _inside(directory: str, recursive: bool, bad: list[str]) -> Iterator[str]:
    def tell(error: OSError) -> None:
        bad.append(f"{error.filename}: {error.strerror}.")

    for place, below, files in os.walk(directory, onerror=tell):
        if not recursive:
            below.clear()
        for file in files:
            if file.endswith((".yaml", ".yml", ".json")):
                yield os.path.join(place, file)


def _file(name: str, bad: list[str]) -> Files | None:
    shown = "standard input" if name == "-" else name
    try:
        # Secrets may be among the objects.
        if name == "-":
            text = SecretBytes(sys.stdin.buffer.read())
        else:
            with open(name, "rb") as file:
                text = SecretBytes(file.read())
        manifests = read_manifests(text)
        places = list(_places(name, text)) if manifests.poddefaults else []
    except OSError as error:
        bad.append(f"{shown}: {error.strerror or 'cannot be read'}.")
        return None
    except NotAManifest as error:
        bad.append(f"{shown}: {error}.")
        return None
    except RecursionError:
        bad.append(f"{shown}: it is nested too deeply.")
        return None
    # merge keys and the like hide what a document is from a walk of its nodes
    known = len(places) == len(manifests.poddefaults)
    placed = tuple(
        Placed(poddefault, places[number] if known else None)
        for number, poddefault in enumerate(manifests.poddefaults)
    )
    return Files((name,), placed, manifests.others, manifests.findings)


def _places(name: str, text: bytes) -> Iterator[Place]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for number, node in enumerate(yaml.compose_all(bytes(text), Loader=loader), 1):
        for line in _lines(node, None):
            yield Place(name, number, line)


def _lines(node: Any, kind: str | None) -> Iterator[int]:
    """Give the lines of the PodDefaults below a node, in the order of `read_manifests`."""
    if node.id == "sequence":
        for item in node.value:
            yield from _lines(item, kind)
    elif node.id == "mapping":
        fields = {key.value: value for key, value in node.value if key.id == "scalar"}
        if "kind" in fields and fields["kind"].id == "scalar":
            kind = fields["kind"].value
        items = fields.get("items")
        if kind is not None and kind.endswith("List") and items is not None:
            if items.id == "sequence":
                yield from _lines(items, kind.removesuffix("List") or None)
        elif kind == "PodDefault":
            yield node.start_mark.line + 1
