"""The credentials of this notebook in a cell: names, keys, origin, state; never values.

>>> from kfsecrets_ext.widget import CredentialsPanel
>>> CredentialsPanel()  # doctest: +SKIP
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import ipywidgets

from . import docker, inventory, redaction
from .docker import FileReport, Registry
from .docker.names import HUB_HOSTS, parse_key
from .inventory import Key, MountReport, Secret
from .names import literal
from .redaction.state import Guarding, Mask, guarding
from .redaction.words import explain
from .table import SecretTable

__all__ = ["CredentialsPanel", "registry_snippet", "snippet"]


class CredentialsPanel(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """The Secrets in this pod, as a widget.

    Each Secret unfolds to its keys, and each Docker configuration file to its registries; beside
    each is the code that gets the credentials: one click selects it. The panel looks when it is
    made and when **Refresh** is clicked, never by itself. Where widgets cannot be shown, it is the
    table that `list_secrets` gives.

    Examples
    --------
    >>> CredentialsPanel()  # doctest: +SKIP
    """

    def __init__(self) -> None:
        self._text = ipywidgets.Text(
            placeholder="Filter by secret, key, path or PodDefault",
            layout=ipywidgets.Layout(flex="1 1 auto", width="auto"),
        )
        self._button = ipywidgets.Button(
            description="Refresh",
            icon="refresh",
            tooltip="Look again which credentials are mounted here",
            layout=ipywidgets.Layout(width="auto", flex="0 0 auto"),
        )
        self._head = ipywidgets.HTML(layout=ipywidgets.Layout(margin="0"))
        # Shared, so that an entry costs one message to the browser and not three.
        self._shared = {"layout": self._head.layout, "style": self._head.style}
        self._items: dict[str, ipywidgets.HTML] = {}
        self._guard = ipywidgets.HTML(**self._shared)
        self._list = ipywidgets.VBox()
        self._masks = ipywidgets.HTML(**self._shared)
        self._registries = ipywidgets.HTML(**self._shared)
        self._foot = ipywidgets.HTML(**self._shared)
        tools = ipywidgets.HBox(
            [self._text, self._button], layout=ipywidgets.Layout(align_items="center")
        )
        super().__init__(
            [
                *(ipywidgets.HTML(_STYLE), tools, self._guard, self._head, self._list),
                *(self._masks, self._registries, self._foot),
            ],
            layout=ipywidgets.Layout(max_width="56rem"),
        )
        self.add_class("kfsecrets-panel")
        self._text.observe(lambda _: self._show(), "value")
        self._button.on_click(lambda _: self.refresh())
        self.refresh()

    def refresh(self) -> None:
        """Look again which Secrets are here."""
        self._inventory = inventory.collect()
        self._looked = datetime.now(timezone.utc).astimezone()
        self._unguarded = redaction.guard().unguarded()
        self._guard.value = _guard(guarding())
        self._masks.value = _masks(guarding().recent(), self._unguarded)
        self._registries.value = _registries(docker.files())
        self._show()

    def __repr__(self) -> str:
        return repr(SecretTable(self._inventory))

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_(**options) or {}
        # ipywidgets shortens the text, and takes it from the traits.
        return {**bundle, "text/plain": repr(self)}

    def _show(self) -> None:
        secrets = self._inventory.secrets
        found = tuple(_matches(secrets, self._text.value))
        unfolded = sum(len(secret.keys) for secret in secrets) <= _UNFOLDED_KEYS
        self._head.value = _head(secrets, len(found), self._looked, self._inventory.roots)
        self._foot.value = _foot(self._inventory.notes)
        self._close(self._items.keys() - {secret.name for secret in secrets})
        shown = []
        for secret, keys, by_key in found:
            item = self._items.get(secret.name)
            if item is None:
                item = self._items[secret.name] = ipywidgets.HTML(**self._shared)
            item.value = _entry(secret, keys, self._unguarded, unfolded=unfolded or by_key)
            shown.append(item)
        self._list.children = shown

    def _close(self, names: Iterable[str]) -> None:
        for name in names:
            self._items.pop(name).close()


def snippet(name: str, key: str) -> str:
    """Return the Python expression that reads a key.

    Parameters
    ----------
    name, key : str
        Any text: what cannot be seen, or would end the literal, is escaped.

    Returns
    -------
    str

    Examples
    --------
    >>> snippet("test-secret", "foo")
    'get_secret("test-secret", "foo")'
    """
    return f"get_secret({literal(name)}, {literal(key)})"


def registry_snippet(registry: Registry) -> str | None:
    """Return the Python expression that gets the credentials for a registry.

    Parameters
    ----------
    registry : Registry
        As a configuration file names it.

    Returns
    -------
    str or None
        ``None`` where nothing gets them: the entry has none, or is a wildcard.

    Examples
    --------
    >>> registry_snippet(Registry("ghcr.io", "static"))
    'get_docker_credentials("ghcr.io")'
    >>> registry_snippet(Registry("ghcr.io", "helper", "pass"))
    'get_docker_credentials("ghcr.io", helpers=True)'
    """
    if registry.kind not in ("static", "token", "helper") or not _REGISTRY.fullmatch(registry.name):
        return None
    rest = ", helpers=True" if registry.kind == "helper" else ""
    return f"get_docker_credentials({literal(registry.name)}{rest})"


_REGISTRY = re.compile(r"[^*\s\x00-\x1f\x7f]+")
"""A wildcard stands for registries, and is none; white space cannot be asked for."""


_UNFOLDED_KEYS = 30
"""The number of keys up to which every Secret starts unfolded."""

_SIGNS = {
    "ready": ("✓ Ready", "good"),
    "stale": ("⚠ Stale", "warn"),
    "empty": ("⚠ Empty", "warn"),
    "too-large": ("⚠ Too large", "warn"),
    "unreadable": ("✗ Unreadable", "bad"),
    "invalid": ("✗ Invalid", "bad"),
}

_STAYS = "What a cell prints of a value stays in the notebook."

_GUARDS = {
    "on": ("✓ Guard on: values are masked", "good", None),
    "off": ("⚠ Guard off by the administrator", "warn", _STAYS),
    "failed": ("✗ Guard failed", "bad", "Outputs are replaced."),
    None: ("⚠ This kernel is not guarded", "warn", _STAYS),
}

_STYLE = """<style>
.kfsecrets-panel .widget-html-content { line-height: 1.45; }
.kfsecrets-panel details {
  border: 1px solid var(--jp-border-color2, rgba(128, 128, 128, 0.4));
  border-radius: 4px; margin: 2px 0; }
.kfsecrets-panel summary { cursor: pointer; padding: 5px 10px; overflow-wrap: anywhere; }
.kfsecrets-panel summary b { margin-right: 0.6em; }
.kfsecrets-body { border-top: 1px solid var(--jp-border-color2, rgba(128, 128, 128, 0.4));
  padding: 6px 10px 8px; }
.kfsecrets-body p { margin: 0 0 4px; }
.kfsecrets-panel table { border-collapse: collapse; width: 100%; margin-top: 4px;
  table-layout: fixed; }
.kfsecrets-body th:nth-child(1), .kfsecrets-facts th:nth-child(1) { width: 35%; }
.kfsecrets-body th:nth-child(2) { width: 8em; }
.kfsecrets-panel th { font-weight: 600; }
.kfsecrets-panel th, .kfsecrets-panel td { padding: 3px 12px 3px 0; text-align: left;
  vertical-align: top; overflow-wrap: anywhere; }
.kfsecrets-file th:nth-child(2) { width: 30%; }
.kfsecrets-heading { font-weight: 600; padding: 6px 0 2px; }
.kfsecrets-panel code { font-family: var(--jp-code-font-family, monospace); font-size: 0.95em;
  overflow-wrap: anywhere; white-space: pre-wrap; }
.kfsecrets-code { user-select: all; -webkit-user-select: all; cursor: copy; padding: 1px 4px;
  border-radius: 3px; background: var(--jp-layout-color2, rgba(128, 128, 128, 0.15)); }
.kfsecrets-muted { opacity: 0.75; }
.kfsecrets-state { white-space: nowrap; }
.kfsecrets-warn { color: var(--jp-warn-color0, #b25d00); }
.kfsecrets-bad { color: var(--jp-error-color1, #d32f2f); }
.kfsecrets-panel .kfsecrets-head { padding: 2px 0; }
.kfsecrets-message { padding: 8px 0; }
</style>"""

_NOTHING = """<div class="kfsecrets-message"><b>No credentials are mounted here.</b><br>
An administrator grants a credential: a Secret, and a PodDefault that mounts it, in your namespace.
Choose the PodDefault under “Configurations” when you create a notebook; it mounts nothing in a
notebook that is running already.{looked}</div>"""


def _matches(secrets: Iterable[Secret], text: str) -> Iterator[tuple[Secret, Sequence[Key], bool]]:
    """Yield the Secrets in which each word of the filter occurs, and those of the keys that do.

    Where the Secret itself matches, all of its keys are there.
    """
    words = text.lower().split()
    for secret in secrets:
        places = (mount.path or "" for mount in secret.mounts)
        own = "\n".join((secret.name, secret.poddefault or "", *places)).lower()
        rest = [word for word in words if word not in own]
        if not rest:
            yield secret, secret.keys, False
            continue
        keys = [
            key
            for key in secret.keys
            if all(word in f"{key.name}\n{key.variable or ''}".lower() for word in rest)
        ]
        if keys:
            yield secret, keys, True


def _head(secrets: Sequence[Secret], found: int, looked: datetime, roots: Sequence[str]) -> str:
    time = f"{looked:%H:%M:%S %Z}"
    if not secrets:
        places = ", ".join(map(_shown, roots))
        where = f"<br>Looked in {places} at {time}." if places else ""
        return _NOTHING.format(looked=where)
    count = f"{len(secrets)} secret" + ("s" if len(secrets) != 1 else "")
    if found < len(secrets):
        count = f"{found} of {count}" if found else f"None of {count} matches the filter"
    return (
        '<div class="kfsecrets-head">'
        f'<span class="kfsecrets-muted" role="status">{count}, as of {time}. '
        f"A click selects the code. Once in a notebook:</span> {_import('get_secret')}</div>"
    )


def _import(name: str) -> str:
    return f'<code class="kfsecrets-code">from kfsecrets_ext import {name}</code>'


def _foot(notes: Iterable[str]) -> str:
    return "".join(f'<div class="kfsecrets-muted">Note: {_shown(note)}</div>' for note in notes)


def _guard(state: Guarding) -> str:
    words, level, effect = _GUARDS[state.state]
    about = [_sentence(one) for one in (state.reason, effect) if one]
    rest = f'<br><span class="kfsecrets-muted">{" ".join(about)}</span>' if about else ""
    return f'<div class="kfsecrets-head"><span class="kfsecrets-{level}">{words}</span>{rest}</div>'


def _masks(masks: Sequence[Mask], unguarded: Mapping[str, str]) -> str:
    tables = ""
    if masks:
        rows = "".join(
            f"<tr><td>{_label(one.label)}</td><td>{_shown(explain(one.rule))}</td>"
            f"<td>{_times(one)}</td></tr>"
            for one in masks
        )
        tables += _table("Masked lately", ("Secret and key", "Found", "How often"), rows)
    if unguarded:
        rows = "".join(
            f"<tr><td>{_shown(label)}</td><td>{_shown(reason)}</td></tr>"
            for label, reason in unguarded.items()
        )
        tables += _table("Not masked by value", ("Secret and key", "Why"), rows)
    return tables


def _table(title: str, heads: Sequence[str], rows: str) -> str:
    cells = "".join(f"<th>{head}</th>" for head in heads)
    return (
        f'<div class="kfsecrets-heading">{title}</div><div class="kfsecrets-facts"><table>'
        f"<thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _label(label: str) -> str:
    return _shown(label) if label else "Output replaced"


def _times(mask: Mask) -> str:
    count = "1 time" if mask.count == 1 else f"{mask.count} times"
    return f"{count}, last at {mask.last.astimezone():%H:%M:%S %Z}"


def _entry(
    secret: Secret, keys: Sequence[Key], unguarded: Mapping[str, str], *, unfolded: bool
) -> str:
    origin = (
        "PodDefault not known"
        if secret.poddefault is None
        else f"PodDefault {_shown(secret.poddefault)}"
    )
    body = f"<p>{_sentence(secret.reason)}</p>" if secret.reason else ""
    body += "".join(f"<p>{_place(mount, secret)}</p>" for mount in secret.mounts)
    body += _keys(secret, keys, unguarded)
    return (
        f"<details{' open' if unfolded else ''}>"
        f"<summary><b>{_shown(secret.name)}</b>{_state(secret.state)} "
        f'<span class="kfsecrets-muted">· {origin}</span></summary>'
        f'<div class="kfsecrets-body">{body}</div></details>'
    )


def _place(mount: MountReport, secret: Secret) -> str:
    text = {
        "volume": "Mounted at",
        "subPath": "Single file (subPath), mounted at",
        "environment": "In environment variables",
    }[mount.kind]
    parts = [text if mount.path is None else f"{text} <code>{_shown(mount.path)}</code>"]
    if mount.state not in ("ready", secret.state):
        parts.append(_state(mount.state))
        if mount.reason:
            parts.append(f'<span class="kfsecrets-muted">{_sentence(mount.reason)}</span>')
    if mount.updated is not None:
        updated = f"{mount.updated:%Y-%m-%d %H:%M:%S %Z}"
        parts.append(f'<span class="kfsecrets-muted">· updated {updated}</span>')
    return " ".join(parts)


def _keys(secret: Secret, keys: Sequence[Key], unguarded: Mapping[str, str]) -> str:
    if not keys:
        return '<p class="kfsecrets-muted">No keys</p>'
    rows = "".join(_key(secret, key, unguarded.get(f"{secret.name}/{key.name}")) for key in keys)
    return (
        "<table><thead><tr><th>Key</th><th>State</th><th>Code</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _key(secret: Secret, key: Key, unguarded: str | None) -> str:
    about = []
    if key.kind == "environment" and key.variable is not None:
        about.append(f"environment variable {_shown(key.variable)}")
    elif key.kind == "subPath":
        about.append("single file (subPath)")
    if key.reason and key.reason != secret.reason:
        about.append(_sentence(key.reason))
    if unguarded is not None:
        about.append(f"{_sentence(unguarded)} to be masked in outputs")
    more = "".join(f'<br><span class="kfsecrets-muted">{line}</span>' for line in about)
    code = html.escape(snippet(secret.name, key.name))
    return (
        f"<tr><td>{_shown(key.name)}{more}</td><td>{_state(key.state)}</td>"
        f'<td><code class="kfsecrets-code">{code}</code></td></tr>'
    )


def _registries(files: Sequence[FileReport]) -> str:
    entries = "".join(
        _file(file, files[:index]) for index, file in enumerate(files) if file.state != "absent"
    )
    if not entries:
        return ""
    some = any(registry_snippet(registry) for file in files for registry in file.registries)
    head = (
        '<div class="kfsecrets-head"><span class="kfsecrets-muted">Once in a notebook:</span> '
        f"{_import('get_docker_credentials')}</div>"
    )
    return f'<div class="kfsecrets-heading">Registries</div>{head if some else ""}{entries}'


def _file(file: FileReport, earlier: Sequence[FileReport]) -> str:
    used = " · <b>in use</b>" if file.used else ""
    reason = f"<p>{_sentence(file.reason)}</p>" if file.reason else ""
    rows = "".join(_registry(registry, earlier) for registry in file.registries)
    table = (
        "<table><thead><tr><th>Registry</th><th>Credentials</th><th>Code</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
        if rows
        else '<p class="kfsecrets-muted">No registries</p>'
    )
    return (
        f'<details class="kfsecrets-file"><summary><b>{_shown(file.path)}</b>{_state(file.state)} '
        f'<span class="kfsecrets-muted">· {_shown(file.origin)}{used}</span></summary>'
        f'<div class="kfsecrets-body">{reason}{table}</div></details>'
    )


def _registry(registry: Registry, earlier: Sequence[FileReport]) -> str:
    # An entry with credentials answers, and a broken one is an error. A helper may know nothing,
    # and is not run unless that is asked for. An entry without credentials leaves it to the next.
    first = _naming(registry.name, ("static", "token", "invalid"), earlier)
    helper = _naming(registry.name, ("helper",), earlier)
    code = registry_snippet(registry) if first is None else None
    about = [_kind(registry)]
    if first is not None:
        about.append(f"Not used: {_shown(first.path)} comes first")
    elif helper is not None:
        about.append(f"Used only where {_shown(helper.path)} has no answer")
    if registry.reason:
        about.append(f'<span class="kfsecrets-muted">{_sentence(registry.reason)}</span>')
    cell = f'<code class="kfsecrets-code">{html.escape(code)}</code>' if code else ""
    return f"<tr><td>{_shown(registry.name)}</td><td>{'<br>'.join(about)}</td><td>{cell}</td></tr>"


def _naming(name: str, kinds: Sequence[str], files: Iterable[FileReport]) -> FileReport | None:
    """Return the first file with an entry of this name and one of these kinds."""
    for file in files:
        if any(
            one.kind in kinds and _canonical(one.name) == _canonical(name)
            for one in file.registries
        ):
            return file
    return None


def _canonical(name: str) -> tuple[str, ...]:
    """Return what an entry is for: the same under each of Docker Hub's names."""
    key = parse_key(name)
    return (HUB_HOSTS[0] if key.host in HUB_HOSTS else key.host, *key.path)


def _kind(registry: Registry) -> str:
    words = {
        "static": "user name and password",
        "token": "token",
        "helper": "credential helper",
        "empty": "no credentials",
        "invalid": "invalid entry",
    }[registry.kind]
    return words if registry.helper is None else f"{words} {_shown(registry.helper)}"


def _state(state: str) -> str:
    # The word says it; sign and colour repeat it.
    sign, level = _SIGNS[state]
    return f'<span class="kfsecrets-state kfsecrets-{level}">{sign}</span>'


def _sentence(text: str) -> str:
    return _shown(text[:1].upper() + text[1:])


def _shown(text: str) -> str:
    """Return a name as HTML: itself, or a Python literal where part of it could not be seen."""
    return html.escape(text if text.isprintable() and text else literal(text))
