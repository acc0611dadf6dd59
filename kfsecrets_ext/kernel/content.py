"""A message's content: which parts are the protocol's and stay, and the masking of the rest.

The protocol's parts are names of fields, states, counts, identifiers of comms, MIME names. A value
that happens to be ``idle`` or ``text/plain`` must not break the conversation of kernel and client.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any

from kfsecrets_ext.redaction import FAILED, Redactor, marker
from kfsecrets_ext.redaction.lists import joined, leaves
from kfsecrets_ext.redaction.shown import may_hide

from .texts import may_end_in_a_beginning

__all__ = ["Masker", "is_plain"]

_MIME = re.compile(
    r"(?:application|audio|font|image|message|model|multipart|text|video)/[\w.+\-]{1,100}"
    r"(?:;\s?[\w\-]+=[\w.\-]+)*"
)
_TEXT_OF_A_TYPE = re.compile(r"text/|.*(?:\+xml|\+json|/json|/javascript|/latex|/xml)$")
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]*={0,2}\s*")
_WINDOW = 1 << 18
_OVERLAP = 1 << 12
_MANY = 64

_STATUS = frozenset({"ok", "error", "abort", "aborted"})
_COMPLETE = frozenset({"complete", "incomplete", "invalid", "unknown"})
_METHODS = frozenset({"update", "echo_update", "custom", "request_state", "request_states"})
_SOURCES = frozenset({"page", "page_raw", "set_next_input", "ask_exit", "edit", "edit_magic"})
_WIDGET = ("_model_", "_view_")
# ipykernel: what init_metadata and finish_metadata put there
_METADATA = frozenset({"started", "dependencies_met", "engine", "status", "version"})
# All of it is the kernel's, but for errors.
_BARE = frozenset(
    {"status", "iopub_welcome", "clear_output", "kernel_info_reply", "comm_info_reply"}
    | {"connect_reply", "shutdown_reply", "interrupt_reply"}
    | {"create_subshell_reply", "delete_subshell_reply", "list_subshell_reply"}
)
_TRAIT = re.compile(r"[a-z_]{1,32}")


def is_plain(node: Any) -> bool:
    """Tell whether something is made of JSON's own types alone, so that it can be looked through.

    Parameters
    ----------
    node : object
    """
    if node is None or isinstance(node, (str, bool)) or type(node) in (int, float):
        return True
    if type(node) in (list, tuple):
        return all(map(is_plain, node))
    if type(node) is dict:
        return all(isinstance(key, str) for key in node) and all(map(is_plain, node.values()))
    return False


class Masker:
    """Masks the content of messages, and counts what it masked.

    Nothing that it is given is changed: it may be the user's own.

    Parameters
    ----------
    redactor : Redactor

    Attributes
    ----------
    found : collections.Counter
        How often each (label, rule) was masked.
    """

    def __init__(self, redactor: Redactor):
        self._redactor = redactor
        self.found: Counter[tuple[str, str]] = Counter()

    def content(self, kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return a message's content, masked.

        Parameters
        ----------
        kind : str
            The message's type.
        content : mapping
            Of plain JSON types.
        """
        if kind in _BARE and content.get("status") != "error":
            return dict(content)
        fields = {**_ERROR, **_FIELDS.get(kind, {})}
        result: dict[str, Any] = {}
        for key, node in content.items():
            if key in fields:
                result[key] = fields[key](self, node)
            else:
                result[_free(self.text(key), result)] = self.walk(node)
        return result

    def metadata(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Return a message's own metadata, masked."""
        result: dict[str, Any] = {}
        for key, node in metadata.items():
            name = key if key in _METADATA else _free(self.text(key), result)
            result[name] = self._word(node, _STATUS, key)
        return result

    def buffers(self, buffers: list[Any]) -> list[Any]:
        """Return a message's binary buffers; a marker stands for one that holds a value."""
        return [self._buffer(one) for one in buffers]

    def text(self, text: str) -> str:
        """Return a text, masked."""
        # The first is quick where there is nothing, and the second tells what there was.
        if not may_hide(text) and self._redactor.redact(text) == text:
            return text
        masked, findings = self._redactor.mask_shown(text)
        self.found.update((one.label, one.rule) for one in findings)
        return masked

    def _texts_alone(self, node: Any) -> Any:
        """Mask texts at any depth, where numbers are the protocol's."""
        if isinstance(node, dict):
            result: dict[str, Any] = {}
            for key, child in node.items():
                result[_free(self.text(key), result)] = self._texts_alone(child)
            return result
        if isinstance(node, (list, tuple)):
            return [self._texts_alone(child) for child in node]
        return self.text(node) if isinstance(node, str) else _plain(node)

    def walk(self, node: Any) -> Any:
        """Return plain JSON data, masked: texts, keys and numbers at any depth.

        Raises
        ------
        TypeError
            If there is anything else in it.
        """
        if isinstance(node, str):
            return self.text(node)
        texts = list(_texts(node))
        if len(texts) > _MANY and self._hold_nothing(texts):
            return node
        return self._deep(node)

    def _hold_nothing(self, texts: list[str]) -> bool:
        """Tell whether many texts hold nothing, together or each."""
        index = self._redactor.index()
        whole = "\n".join(texts)
        is_quiet = index.is_quiet(whole)
        if not is_quiet and self._redactor.redact(whole) != whole:
            return False
        if may_hide(whole) and any(self._redactor.mask_hidden(one).findings for one in texts):
            return False
        # Where one of them ends is not where the whole does.
        if is_quiet and not index.heads:
            return True
        ends = may_end_in_a_beginning(index, texts, is_quiet=is_quiet)
        return all(self._redactor.redact(one) == one for one in ends)

    def _deep(self, node: Any) -> Any:
        if isinstance(node, str):
            return self.text(node)
        if isinstance(node, dict):
            result: dict[str, Any] = {}
            for key, child in node.items():
                result[_free(self.text(key), result)] = self._deep(child)
            return result
        if isinstance(node, (list, tuple)):
            return self._together(leaves(node)) or [self._deep(child) for child in node]
        if isinstance(node, (int, float)) and not isinstance(node, bool):
            number = str(node)
            shown = self.text(number)
            return node if shown == number else shown
        return node

    def _together(self, texts: list[str] | None) -> list[str] | None:
        """Mask texts that hold a value together; ``None`` where they do not."""
        if texts is None:
            return None
        pieces = joined(self._redactor.index(), texts)
        return [self.text(one) for one in pieces] if len(pieces) < len(texts) else None

    def _word(self, node: Any, words: frozenset[str], key: str = "status") -> Any:
        if key == "status" and isinstance(node, str) and node in words:
            return node
        return self.walk(node)

    def _bundle(self, node: Any) -> Any:
        """Mask data by MIME name."""
        if not isinstance(node, dict):
            return self.walk(node)
        result: dict[str, Any] = {}
        gone = None
        for mime, data in node.items():
            name = mime if _MIME.fullmatch(mime) else _free(self.text(mime), result)
            if (
                isinstance(data, str)
                and not _TEXT_OF_A_TYPE.match(mime)
                and _BASE64.fullmatch(data)
            ):
                label = self._binary(data)
                if label is not None:
                    gone = label
                    continue
                result[name] = data
            else:
                result[name] = self.walk(data)
        if gone is not None:
            # A marker is no picture: the output says so in words.
            result.setdefault("text/plain", marker(gone) if gone else FAILED)
        return result

    def _binary(self, data: str) -> str | None:
        """Return the label of what base64 text holds."""
        findings = list(self._redactor.mask(data).findings)
        with suppress(binascii.Error, ValueError):
            findings += self._redactor.contains(base64.b64decode(data))
        self.found.update((one.label, one.rule) for one in findings)
        return findings[0].label if findings else None

    def _by_mime(self, node: Any) -> Any:
        if not isinstance(node, dict):
            return self.walk(node)
        return {
            key if _MIME.fullmatch(key) else self.text(key): self.walk(child)
            for key, child in node.items()
        }

    def _traceback(self, node: Any) -> Any:
        if not isinstance(node, (list, tuple)) or not all(isinstance(one, str) for one in node):
            return self.walk(node)
        # A value may begin in one piece and end in the next.
        return self._together(list(node)) or [self.text(one) for one in node]

    def _comm(self, node: Any) -> Any:
        if not isinstance(node, dict):
            return self.walk(node)
        result: dict[str, Any] = {}
        for key, child in node.items():
            is_method = key == "method" and isinstance(child, str) and child in _METHODS
            if is_method or key == "buffer_paths":
                result[key] = _plain(child)
            elif key == "state" and isinstance(child, dict):
                # Names of traits, and the names of the classes that show them.
                result[key] = {
                    name if _TRAIT.fullmatch(name) else self.text(name): self._trait(name, one)
                    for name, one in child.items()
                }
            else:
                result[_free(self.text(key), result)] = self.walk(child)
        return result

    def _trait(self, name: str, node: Any) -> Any:
        if name.startswith(_WIDGET):
            return _plain(node)
        if name == "outputs" and isinstance(node, (list, tuple)):
            return [self.walk(one) for one in self._outputs(node)]
        return self.walk(node)

    def _outputs(self, outputs: Sequence[Any]) -> Iterator[Any]:
        """Yield the outputs of a widget: pieces of a stream that hold a value together as one."""
        for name, group in groupby(outputs, _stream_of):
            pieces = list(group)
            text = "" if name is None else "".join(one["text"] for one in pieces)
            if len(pieces) > 1 and self._redactor.mask_shown(text).findings:
                yield {**pieces[0], "text": text}
            else:
                yield from pieces

    def _expressions(self, node: Any) -> Any:
        if not isinstance(node, dict):
            return self.walk(node)
        return {name: self._expression(one) for name, one in node.items()}

    def _expression(self, node: Any) -> Any:
        if not isinstance(node, dict):
            return self.walk(node)
        rules = {"data": Masker._bundle, "metadata": Masker._by_mime, "status": _status, **_ERROR}
        return {key: rules.get(key, _any)(self, child) for key, child in node.items()}

    def _payload(self, node: Any) -> Any:
        if not isinstance(node, (list, tuple)):
            return self.walk(node)
        return [self._page(one) if isinstance(one, dict) else self.walk(one) for one in node]

    def _page(self, node: dict[str, Any]) -> dict[str, Any]:
        result = {}
        for key, child in node.items():
            if key == "source" and isinstance(child, str) and child in _SOURCES:
                result[key] = child
            else:
                result[key] = self._bundle(child) if key == "data" else self.walk(child)
        return result

    def _buffer(self, buffer: Any) -> Any:
        data = memoryview(buffer).cast("B") if memoryview(buffer).nbytes else memoryview(b"")
        for start in range(0, len(data), _WINDOW - _OVERLAP):
            findings = self._redactor.contains(bytes(data[start : start + _WINDOW]))
            if findings:
                self.found.update((one.label, one.rule) for one in findings)
                label = findings[0].label
                return (marker(label) if label else FAILED).encode()
        return buffer


_Rule = Callable[[Masker, Any], Any]


def _kept(masker: Masker, node: Any) -> Any:  # noqa: ARG001
    return _plain(node)


def _any(masker: Masker, node: Any) -> Any:
    return masker.walk(node)


def _status(masker: Masker, node: Any) -> Any:
    return masker._word(node, _STATUS)


def _whether_complete(masker: Masker, node: Any) -> Any:
    return masker._word(node, _COMPLETE)


def _stream_name(masker: Masker, node: Any) -> Any:
    return node if node in ("stdout", "stderr") else masker.walk(node)


_ERROR: dict[str, _Rule] = {"ename": _any, "evalue": _any, "traceback": Masker._traceback}
_REPLY: dict[str, _Rule] = {"status": _status, "execution_count": _kept}
_DISPLAY: dict[str, _Rule] = {
    "data": Masker._bundle,
    "metadata": Masker._by_mime,
    "transient": _any,
    "execution_count": _kept,
}
_COMM: dict[str, _Rule] = {
    "data": Masker._comm,
    **dict.fromkeys(("comm_id", "target_name", "target_module"), _kept),
}
_DEBUG: dict[str, _Rule] = {
    "body": Masker._texts_alone,
    **dict.fromkeys(("type", "seq", "request_seq", "success", "command", "event"), _kept),
}

# For each type of message its fields. Others, and those of another type, are masked whole.
_FIELDS: dict[str, dict[str, _Rule]] = {
    "stream": {"name": _stream_name, "text": _any},
    "display_data": _DISPLAY,
    "update_display_data": _DISPLAY,
    "execute_result": _DISPLAY,
    "error": _REPLY,
    "execute_input": {"code": _any, "execution_count": _kept},
    "execute_reply": {
        **_REPLY,
        "user_expressions": Masker._expressions,
        "payload": Masker._payload,
    },
    "inspect_reply": {
        **_REPLY,
        "found": _kept,
        "data": Masker._bundle,
        "metadata": Masker._by_mime,
    },
    "complete_reply": {
        **_REPLY,
        "matches": _any,
        "metadata": _any,
        "cursor_start": _kept,
        "cursor_end": _kept,
    },
    "history_reply": {**_REPLY, "history": _any},
    "is_complete_reply": {"status": _whether_complete, "indent": _any},
    "input_request": {"prompt": _any, "password": _kept},
    "comm_open": _COMM,
    "comm_msg": _COMM,
    "comm_close": _COMM,
    "debug_reply": _DEBUG,
    "debug_event": _DEBUG,
    **dict.fromkeys(_BARE, _REPLY),
}


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for key, child in node.items():
            yield key
            yield from _texts(child)
    elif isinstance(node, (list, tuple)):
        for child in node:
            yield from _texts(child)
    elif isinstance(node, (int, float)) and not isinstance(node, bool):
        yield str(node)
    else:
        _plain(node)


def _stream_of(output: Any) -> str | None:
    """Return of which stream an output is a piece, if it is."""
    if not isinstance(output, dict) or output.get("output_type") != "stream":
        return None
    return str(output.get("name")) if isinstance(output.get("text"), str) else None


def _plain(node: Any) -> Any:
    # What a packer of the user's leaves as it is, bytes, say, cannot be looked through.
    if not is_plain(node):
        raise TypeError(f"{type(node).__name__} is no JSON")
    return node


def _free(key: str, taken: Mapping[str, Any]) -> str:
    """Return a key that is not taken: two masked keys may be the same."""
    free = key
    number = 1
    while free in taken:
        number += 1
        free = f"{key} ({number})"
    return free
