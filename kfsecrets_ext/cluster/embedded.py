"""The embedded cluster: a directory that plays the Kubernetes API for one machine.

It keeps what the product needs of the API server: server-side apply with ownership, versions as
preconditions, dry run, selectors, watches, and pods that are defaulted and admitted. It has no
users, and is no API server.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import secrets
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from kfsecrets_ext.errors import ClusterError, Conflict, Rejected
from kfsecrets_ext.poddefaults import PodDefault, admit
from kfsecrets_ext.poddefaults.defaults import defaulted
from kfsecrets_ext.poddefaults.schema import unknown_fields
from kfsecrets_ext.values import SecretStr

from .guarded import Unguarded, guard
from .kinds import NAMESPACE, POD, PODDEFAULT, SECRET, Kind, kind_of
from .matching import Match, matcher
from .own import identity
from .ownership import applied, created
from .protocol import FIELD_MANAGER, Event, EventType, Json
from .store import Place, Store, is_name

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["WEBHOOK_NAME", "Embedded"]

WEBHOOK_NAME = "poddefaults-webhook-deployment.kubeflow.org"
"""As in Kubeflow."""

_POLL = 0.1  # s
_SECRET_LIMIT = 1 << 20  # Kubernetes: MaxSecretSize
# Kubernetes: what may be a key of a Secret
_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_LABEL = "[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


class Embedded:
    """A cluster in a directory.

    Parameters
    ----------
    directory : Path
        Made by the first write where it does not exist.
    workers : int
        How many requests may run at once.
    manager : str
        Who owns what is written; another one plays somebody else.
    """

    home = "embedded"
    context: str | None = None
    who = "you"

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        workers: int = 16,
        manager: str = FIELD_MANAGER,
    ) -> None:
        self.server = str(directory)
        self.workers = workers
        self._manager = manager
        self._store = Store(Path(directory))

    def __repr__(self) -> str:
        return f"Embedded({self.server!r})"

    @property
    def namespace(self) -> str | None:
        """The namespace of this machine's Pod."""
        try:
            pod = json.loads((self._store.home / "pod.json").read_bytes())
            namespace = pod["metadata"]["namespace"]
        except (OSError, ValueError, KeyError, TypeError):
            namespace = None
        return namespace if isinstance(namespace, str) and namespace else identity().namespace

    def get(
        self, kind: Kind, name: str, *, namespace: str | None = None, metadata_only: bool = False
    ) -> Json | None:
        """Return an object, or ``None``: see `Cluster.get`."""
        obj = self._store.read(kind, namespace, name)
        return _metadata(obj) if obj is not None and metadata_only else obj

    def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: str | None = None,
        fields: str | None = None,
        metadata_only: bool = False,
        page: int = 500,  # noqa: ARG002
    ) -> Iterator[Json]:
        """Yield objects: see `Cluster.list`."""
        matches = matcher(kind, labels, fields)
        return (
            _metadata(obj) if metadata_only else obj
            for obj in self._store.scan(kind, namespace)
            if matches(obj)
        )

    def apply(self, obj: Mapping[str, Any], *, force: bool = False, dry_run: bool = False) -> Json:
        """Apply an object: see `Cluster.apply`."""
        kind = kind_of(obj)
        given = _given(obj, kind)
        del obj  # a traceback shows the variables of its frames, and the caller's has plain values
        namespace, name = _place(given, kind)
        version = given["metadata"].pop("resourceVersion", None)
        uid = given["metadata"].pop("uid", None)
        with self._store.alone():
            self._check_namespace(kind, namespace)
            current = self._store.read(kind, namespace, name)
            _check_same(current, kind, name, version=version, uid=uid)
            result = applied(current, given, manager=self._manager, force=force, time=_time())
            if result.clashes:
                raise Conflict(
                    f"{kind.kind} {name!r} has fields that others own: "
                    + ", ".join(f"{one.field} ({one.manager})" for one in result.clashes)
                    + ".",
                    reason="Conflict",
                    fields=(one.field for one in result.clashes),
                    managers=dict.fromkeys(one.manager for one in result.clashes),
                )
            _check(kind, result.obj, current)
            if not result.changed:
                return result.obj
            stored = _born(result.obj, kind, current)
            if not dry_run:
                self._store.write(kind, stored)
        return guard(stored, kind)

    def create(self, obj: Mapping[str, Any], *, dry_run: bool = False) -> Json:
        """Create an object; a Pod is defaulted and admitted: see `Cluster.create`."""
        kind = kind_of(obj)
        given = _given(obj, kind)
        del obj  # as in `apply`
        metadata = given["metadata"]
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + secrets.token_hex(3)[:5]
        namespace, name = _place(given, kind)
        for field in ("resourceVersion", "uid"):
            metadata.pop(field, None)
        if kind == PODDEFAULT:
            given["spec"] = dict(PodDefault.from_mapping(given).spec)  # as the CRD prunes it
        with self._store.alone():
            self._check_namespace(kind, namespace)
            if self._store.read(kind, namespace, name) is not None:
                raise Conflict(f"{kind.kind} {name!r} is there already.", reason="AlreadyExists")
            if kind == POD:
                given = self._admitted(given, str(namespace), name)
            _check(kind, given, None)
            stored = _born(created(given, manager=self._manager, time=_time()), kind, None)
            if not dry_run:
                self._store.write(kind, stored)
        return guard(stored, kind)

    def delete(
        self,
        kind: Kind,
        name: str,
        *,
        namespace: str | None = None,
        resource_version: str | None = None,
        uid: str | None = None,
        dry_run: bool = False,
    ) -> bool:
        """Delete an object: see `Cluster.delete`."""
        with self._store.alone():
            current = self._store.read(kind, namespace, name)
            if current is None:
                return False
            metadata = current["metadata"]
            for wanted, there in ((uid, "uid"), (resource_version, "resourceVersion")):
                if wanted is not None and wanted != metadata.get(there):
                    raise Conflict(
                        f"{kind.kind} {name!r} is another one by now.", reason="Conflict"
                    )
            if not dry_run:
                self._store.remove(kind, namespace, name)
        return True

    def watch(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: str | None = None,
        fields: str | None = None,
        resource_version: str | None = None,
        timeout: float | None = None,
    ) -> Iterator[Event]:
        """Yield what happens, by looking at the files: see `Cluster.watch`."""
        matches = matcher(kind, labels, fields)
        known: dict[Place, Json] = {}
        if resource_version is not None:
            for place, obj in self._seen(kind, namespace, matches).items():
                if _number(obj) <= int(resource_version):
                    known[place] = _named(obj)
        events = self._events(
            lambda: self._seen(kind, namespace, matches), known, resource_version is None, timeout
        )
        return (Event(type_, guard(obj, kind)) for type_, obj in events)

    def allowed(
        self,
        verb: str,  # noqa: ARG002
        kind: Kind,  # noqa: ARG002
        *,
        namespace: str | None = None,  # noqa: ARG002
        name: str | None = None,  # noqa: ARG002
        subresource: str | None = None,  # noqa: ARG002
    ) -> bool | None:
        """Say yes: there are no users here."""
        return True

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ── below: how ───────────────────────────────────────────────────────────

    def _check_namespace(self, kind: Kind, namespace: str | None) -> None:
        if kind.namespaced and not self._store.has_namespace(namespace):
            raise ClusterError(
                f"the embedded cluster has no namespace {namespace!r}.", reason="NotFound"
            )

    def _admitted(self, pod: Json, namespace: str, name: str) -> Json:
        space = self._store.read(NAMESPACE, None, namespace) or {}
        poddefaults = list(self._store.scan(PODDEFAULT, namespace))
        admission = admit(defaulted(pod), poddefaults, namespace=space)
        del pod
        if not admission.allowed:
            raise Rejected(
                f"the admission webhook {WEBHOOK_NAME} refuses Pod {name!r}: {admission.message}.",
                reason="BadRequest",
                by="webhook",
                webhook=WEBHOOK_NAME,
            )
        if admission.invalid:
            raise Rejected(
                f"Pod {name!r} is not valid: " + "; ".join(admission.invalid), reason="Invalid"
            )
        return {**admission.pod, "status": {"phase": "Pending"}}

    def _seen(self, kind: Kind, namespace: str | None, matches: Match) -> dict[Place, Json]:
        return {
            (obj["metadata"].get("namespace"), obj["metadata"]["name"]): obj
            for obj in self._store.scan(kind, namespace)
            if matches(obj)
        }

    def _events(
        self,
        look: Callable[[], dict[Place, Json]],
        known: dict[Place, Json],
        bookmark: bool,
        timeout: float | None,
    ) -> Iterator[tuple[EventType, Json]]:
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            seen = look()
            for place in [place for place in known if place not in seen]:
                yield "DELETED", known.pop(place)
            for place, obj in seen.items():
                before = known.get(place)
                known[place] = _named(obj)
                if before is None:
                    yield "ADDED", obj
                elif before["metadata"]["uid"] != obj["metadata"]["uid"]:
                    yield "DELETED", before
                    yield "ADDED", obj
                elif before["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
                    yield "MODIFIED", obj
            if bookmark:
                bookmark = False
                version = max([time.time_ns() // 1000, *map(_number, known.values())])
                yield "BOOKMARK", {"metadata": {"resourceVersion": str(version)}}
            left = _POLL if end is None else end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(_POLL, left))


def _given(obj: Mapping[str, Any], kind: Kind) -> Json:
    """Copy what is given, in the form in which it is stored."""
    given = guard(Unguarded(json.loads(json.dumps(obj))), kind)
    metadata = given.get("metadata")
    given["metadata"] = metadata if isinstance(metadata, dict) else {}
    for name in ("managedFields", "creationTimestamp", "generation", "selfLink"):
        given["metadata"].pop(name, None)
    if kind == SECRET and isinstance(given.get("stringData"), dict):
        texts = given.pop("stringData")
        given["data"] = {
            **(given.get("data") or {}),
            **{
                key: SecretStr(base64.b64encode(str(texts[key]).encode()).decode()) for key in texts
            },
        }
    return given


def _place(given: Json, kind: Kind) -> Place:
    metadata = given["metadata"]
    name = metadata.get("name")
    known = kind.group.startswith("rbac.") or (isinstance(name, str) and _SUBDOMAIN.fullmatch(name))
    if not is_name(name) or not known:
        raise Rejected(
            f"the {kind.kind} is not valid: its metadata.name is none that it can have.",
            reason="Invalid",
            causes=["metadata.name"],
        )
    if not kind.namespaced:
        metadata.pop("namespace", None)
        return None, str(name)
    if not metadata.get("namespace"):
        raise Rejected(
            f"{kind.kind} {name!r} names no namespace.",
            reason="BadRequest",
            causes=["metadata.namespace"],
        )
    return str(metadata["namespace"]), str(name)


def _check_same(
    current: Json | None, kind: Kind, name: str, *, version: object, uid: object
) -> None:
    # apiserver: a version alone does not keep an object that is gone from being created again
    there = {} if current is None else current["metadata"]
    if uid is not None and there.get("uid") != uid:
        raise Conflict(f"{kind.kind} {name!r} is another one by now.", reason="Conflict")
    if version is not None and there and there.get("resourceVersion") != version:
        raise Conflict(f"{kind.kind} {name!r} changed in between.", reason="Conflict")


def _check(kind: Kind, obj: Json, current: Json | None) -> None:
    """Refuse what the API server would refuse of the kinds that are kept here."""
    name, causes = obj["metadata"]["name"], []
    if kind == PODDEFAULT:
        unknown = unknown_fields("PodDefaultSpec", obj.get("spec"), "spec")
        causes += [f"{place}.{field}" for place, field in unknown]
    if kind == PODDEFAULT and not isinstance((obj.get("spec") or {}).get("selector"), dict):
        causes.append("spec.selector")
    if kind == SECRET:
        causes += _secret_faults(obj, current)
    if causes:
        raise Rejected(
            f"{kind.kind} {name!r} is not valid: {', '.join(causes)}.",
            reason="Invalid",
            causes=causes,
        )


def _secret_faults(obj: Json, current: Json | None) -> Iterator[str]:
    size = 0
    for key, value in (obj.get("data") or {}).items():
        if not _KEY.fullmatch(key) or len(key) > 253 or key == "." or key.startswith(".."):
            yield f"data[{key}]"
        try:
            size += len(base64.b64decode(SecretStr(value), validate=True))
        except (binascii.Error, ValueError, TypeError):
            yield f"data.{key}"
    if size > _SECRET_LIMIT:
        yield "data"
    obj.setdefault("type", "Opaque")
    if current is None:
        return
    if obj["type"] != current.get("type", "Opaque"):
        yield "type"
    if current.get("immutable"):
        if not obj.get("immutable"):
            yield "immutable"
        if (obj.get("data") or {}) != (current.get("data") or {}):
            yield "data"


def _born(obj: Json, kind: Kind, current: Json | None) -> Json:
    """Give an object what the API server gives it."""
    metadata = obj["metadata"]
    if current is None:
        metadata["uid"] = str(uuid.uuid4())
        metadata["creationTimestamp"] = _time()
        metadata["resourceVersion"] = "0"
    if kind == NAMESPACE:
        metadata.setdefault("labels", {})["kubernetes.io/metadata.name"] = metadata["name"]
        obj.setdefault("status", {"phase": "Active"})
    if kind not in (NAMESPACE, SECRET):
        before = current or {}
        generation = int((before.get("metadata") or {}).get("generation") or 0)
        changed = current is None or before.get("spec") != obj.get("spec")
        metadata["generation"] = generation + 1 if changed else generation
    return obj


def _metadata(obj: Json) -> Json:
    return {name: obj[name] for name in ("apiVersion", "kind", "metadata")}


def _named(obj: Json) -> Json:
    metadata = obj["metadata"]
    return {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "metadata": {
            name: metadata[name]
            for name in ("name", "namespace", "uid", "resourceVersion", "labels")
            if name in metadata
        },
    }


def _number(obj: Mapping[str, Any]) -> int:
    version = str(obj["metadata"].get("resourceVersion") or "")
    return int(version) if version.isdecimal() else 0


def _time() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
