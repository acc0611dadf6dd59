"""Masking of a notebook: all that is saved with it, at the places where values get to."""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import MutableMapping, MutableSequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from .lists import joined, leaves
from .stream import FAILED

if TYPE_CHECKING:
    from .redactor import Finding, Redactor

__all__ = ["Place", "Report", "redact_notebook"]

_BASE64 = re.compile(r"[A-Za-z0-9+/\s]*={0,2}\s*")
_TEXT_OF_A_TYPE = re.compile(r"text/|.*(?:\+xml|\+json|/json|/javascript|/latex|/xml)$")


@dataclass(frozen=True)
class Place:
    """What was found at a place of a notebook; never the value.

    Attributes
    ----------
    label : str
        Secret and key.
    where : str
        For example ``"cells[3].outputs[0].data['text/html']"``.
    rule : str
        The form that the value was written in.
    count : int
    masked : bool
        Whether it was replaced; a value in a source may only be reported.
    """

    label: str
    where: str
    rule: str
    count: int
    masked: bool


@dataclass(frozen=True)
class Report:
    """What was found in a notebook.

    Attributes
    ----------
    places : tuple of Place
    """

    places: tuple[Place, ...] = ()

    @property
    def masked(self) -> int:
        """How many pieces were replaced."""
        return sum(place.count for place in self.places if place.masked)

    @property
    def left(self) -> int:
        """How many pieces were found and left."""
        return sum(place.count for place in self.places if not place.masked)

    def __bool__(self) -> bool:
        return bool(self.places)


def redact_notebook(
    redactor: Redactor, notebook: Any, *, source: Literal["report", "mask"] = "report"
) -> Report:
    """Mask a notebook in place.

    Parameters
    ----------
    redactor : Redactor
    notebook : mapping
        As nbformat reads it, version 4.
    source : {"report", "mask"}
        What is done about values in the source of cells.

    Returns
    -------
    Report
    """
    walk = _Walk(redactor)
    for number, cell in enumerate(notebook.get("cells") or ()):
        walk.cell(cell, f"cells[{number}]", mask_source=source == "mask")
    if "metadata" in notebook:
        walk.child(notebook, "metadata", "metadata")
    return Report(
        tuple(
            Place(label, where, rule, count, masked)
            for (label, where, rule, masked), count in walk.found.items()
        )
    )


class _Walk:
    def __init__(self, redactor: Redactor):
        self._mask = redactor.mask_shown
        self._contains = redactor.contains
        self._stream = redactor.stream
        self._index = redactor.index
        self.found: Counter[tuple[str, str, str, bool]] = Counter()

    def cell(self, cell: Any, where: str, *, mask_source: bool) -> None:
        if "source" in cell:
            self._text(cell, "source", f"{where}.source", replace=mask_source)
        if "metadata" in cell:
            self.child(cell, "metadata", f"{where}.metadata")
        for name, bundle in (cell.get("attachments") or {}).items():
            self._bundle(bundle, f"{where}.attachments[{self._shown(name)!r}]")
        self._keys(cell.get("attachments"), f"{where}.attachments")
        outputs = cell.get("outputs") or ()
        self._across(outputs, where)
        for number, output in enumerate(outputs):
            self._output(output, f"{where}.outputs[{number}]")

    def child(self, parent: Any, key: Any, where: str) -> None:
        """Mask what stands under a key: texts, keys and numbers, at any depth."""
        node = parent[key]
        if isinstance(node, str):
            parent[key] = self._masked(node, where)
        elif isinstance(node, MutableMapping):
            if isinstance(node.get("outputs"), MutableSequence):
                # Of a widget that shows outputs.
                self._across(node["outputs"], where)
            for name in list(node):
                self.child(node, name, f"{where}[{self._shown(name)!r}]")
            self._keys(node, where)
        elif isinstance(node, MutableSequence):
            texts = leaves(node)
            together = joined(self._index(), texts) if texts else []
            if texts and len(together) < len(texts):
                parent[key] = node = together
            for at in range(len(node)):
                self.child(node, at, f"{where}[{at}]")
        elif isinstance(node, (int, float)) and not isinstance(node, bool):
            shown = self._masked(str(node), where)
            if shown != str(node):
                parent[key] = shown

    def _output(self, output: Any, where: str) -> None:
        kind = output.get("output_type")
        if kind == "stream":
            self._text(output, "text", f"{where}.text")
        elif kind == "error":
            for field in ("ename", "evalue"):
                if field in output:
                    self._text(output, field, f"{where}.{field}")
            self._traceback(output, where)
        else:
            self._bundle(output.get("data") or {}, f"{where}.data")
        if "metadata" in output:
            self.child(output, "metadata", f"{where}.metadata")

    def _traceback(self, output: Any, where: str) -> None:
        lines = output.get("traceback")
        if not isinstance(lines, MutableSequence) or not lines:
            return
        where = f"{where}.traceback"
        texts = list(map(str, lines))
        # Joined first: a value may begin in one piece and end in the next.
        whole, findings = self._mask("\n".join(texts))
        if not findings:
            return
        apart = [self._mask(text).text for text in texts]
        if "\n".join(apart) == whole:
            for at in range(len(texts)):
                self.child(lines, at, f"{where}[{at}]")
        else:
            self._count(list(findings), where)
            output["traceback"] = whole.split("\n")

    def _bundle(self, bundle: Any, where: str) -> None:
        for mime in list(bundle):
            place = f"{where}[{self._shown(mime)!r}]"
            node = bundle[mime]
            text = _joined(node)
            if text is None:
                self.child(bundle, mime, place)
            elif not _TEXT_OF_A_TYPE.match(mime) and _BASE64.fullmatch(text):
                self._binary(bundle, mime, text, place)
            else:
                self._text(bundle, mime, place)

    def _binary(self, bundle: Any, mime: str, text: str, where: str) -> None:
        findings = [*self._mask(text).findings]
        with suppress(binascii.Error, ValueError):
            findings += self._contains(base64.b64decode(text))
        if not findings:
            return
        self._count(findings, where)
        # A marker is no picture: the output says so in words.
        del bundle[mime]
        label = findings[0].label
        bundle.setdefault("text/plain", f"[redacted:{label}]" if label else FAILED)

    def _text(self, parent: Any, key: str, where: str, *, replace: bool = True) -> None:
        node = parent[key]
        text = _joined(node)
        if text is None:
            self.child(parent, key, where)
            return
        masked = self._masked(text, where, replaced=replace)
        if replace and masked != text:
            parent[key] = masked if isinstance(node, str) else masked.splitlines(keepends=True)

    def _keys(self, node: Any, where: str) -> None:
        if not isinstance(node, MutableMapping):
            return
        names = {name: self._shown(name) for name in node if isinstance(name, str)}
        if all(name == shown for name, shown in names.items()):
            return
        items = list(node.items())
        node.clear()
        for name, child in items:
            shown = names.get(name, name)
            if shown != name:
                self._masked(name, f"{where}, a key")
            number = 1
            free = shown
            while free in node:
                number += 1
                free = f"{shown} ({number})"
            node[free] = child

    def _across(self, outputs: Any, where: str) -> None:
        """Mask what stands in two outputs of one stream, one half in each."""
        by_name: dict[str, list[Any]] = {}
        for output in outputs:
            if not isinstance(output, MutableMapping):
                continue
            if output.get("output_type") == "stream" and _joined(output.get("text")) is not None:
                by_name.setdefault(output.get("name", "stdout"), []).append(output)
        for name, parts in by_name.items():
            texts = [_joined(part["text"]) or "" for part in parts]
            if len(parts) < 2 or not self._mask("".join(texts)).findings:
                continue
            stream = self._stream()
            shown = [stream.feed(text) for text in texts]
            shown[-1] += stream.flush()
            if "".join(shown) == "".join(self._mask(text).text for text in texts):
                continue
            for part, text in zip(parts, shown, strict=True):
                part["text"] = text
            for (label, rule), count in stream.found.items():
                self.found[label, f"{where}.outputs, {name}", rule, True] += count

    def _masked(self, text: str, where: str, *, replaced: bool = True) -> str:
        masked, findings = self._mask(text)
        self._count(list(findings), where, replaced=replaced)
        return masked

    def _shown(self, name: Any) -> Any:
        return self._mask(name).text if isinstance(name, str) else name

    def _count(self, findings: list[Finding], where: str, *, replaced: bool = True) -> None:
        for label, rule in findings:
            self.found[label, where, rule, replaced] += 1


def _joined(node: Any) -> str | None:
    """Return a text, or one that nbformat keeps as a list of lines."""
    if isinstance(node, str):
        return node
    if isinstance(node, list) and all(isinstance(one, str) for one in node):
        return "".join(node)
    return None
