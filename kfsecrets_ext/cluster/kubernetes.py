"""The Kubernetes API as a `Cluster`: our own requests over the official client's connections."""

from __future__ import annotations

import contextlib
import json
import math
import random
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from kfsecrets_ext.errors import ClusterError, Unreachable
from kfsecrets_ext.values import SecretBytes

from .answers import Request, refusal, status_of
from .guarded import Unguarded, UnguardedList, guard
from .kinds import SECRET, Kind, kind_of
from .pace import delay
from .protocol import FIELD_MANAGER, Event, Json
from .session import Target, target
from .transport import FAULTS, JSON, Answer, Transport, lines

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Kubernetes"]

_APPLY = "application/apply-patch+yaml"
# The server converts; without a second choice it never sends the objects themselves.
_METADATA = f"{JSON};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_METADATA_LIST = f"{JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

_PAGE_WANTED, _PAGE_MOST = 4 << 20, 8 << 20  # bytes
_FIRST_SECRETS = 50  # till it is seen how large they are
_RESTARTS = 10
_WATCH = 300.0  # s
_WATCH_TRIES = 8


class Kubernetes:
    """A cluster behind an API server.

    Parameters
    ----------
    target : Target
    workers : int
        How many requests may run at once; the size of the pool of connections.
    """

    home = "kubernetes"

    def __init__(self, target: Target, *, workers: int = 16) -> None:
        self.server = ""
        self.context = target.context
        self.namespace = target.namespace
        self.who = target.who
        self.workers = workers
        self._transport = Transport(target, workers)
        self.server = self._transport.server

    @classmethod
    def connect(
        cls,
        *,
        kubeconfig: str | None = None,
        context: str | None = None,
        impersonate: str | None = None,
        workers: int = 16,
    ) -> Self:
        """Connect as `kfsecrets_ext.cluster.connect` says."""
        found = target(
            kubeconfig=kubeconfig, context=context, impersonate=impersonate, workers=workers
        )
        return cls(found, workers=workers)

    def __repr__(self) -> str:
        return f"Kubernetes({self.server!r}, context={self.context!r}, who={self.who!r})"

    def get(
        self, kind: Kind, name: str, *, namespace: str | None = None, metadata_only: bool = False
    ) -> Json | None:
        """Return an object, or ``None``: see `Cluster.get`."""
        request = Request("get", kind, namespace, name)
        answer = self._transport.ask(
            "GET", _path(kind, namespace, name), accept=_METADATA if metadata_only else JSON
        )
        return None if answer.status == 404 else self._object(answer, request)

    def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: str | None = None,
        fields: str | None = None,
        metadata_only: bool = False,
        page: int = 500,
    ) -> Iterator[Json]:
        """Yield objects, page by page: see `Cluster.list`."""
        query = _query(labels, fields)
        listing = _Listing(
            self, kind, namespace, query=query, metadata_only=metadata_only, page=page
        )
        return iter(listing)

    def apply(self, obj: Mapping[str, Any], *, force: bool = False, dry_run: bool = False) -> Json:
        """Apply an object on the server's side: see `Cluster.apply`."""
        kind, request, body = _written("apply", obj)
        del obj  # a traceback shows the variables of its frames
        query = f"?fieldManager={FIELD_MANAGER}"
        query += ("&force=true" if force else "") + ("&dryRun=All" if dry_run else "")
        answer = self._transport.ask(
            "PATCH",
            _path(kind, request.namespace, request.name) + query,
            body=body,
            content=_APPLY,
            changes=not dry_run,
        )
        return self._done(answer, request, body, "Apply")

    def create(self, obj: Mapping[str, Any], *, dry_run: bool = False) -> Json:
        """Create an object: see `Cluster.create`."""
        kind, request, body = _written("create", obj)
        del obj  # as in `apply`
        query = f"?fieldManager={FIELD_MANAGER}" + ("&dryRun=All" if dry_run else "")
        answer = self._transport.ask(
            "POST",
            _path(kind, request.namespace) + query,
            body=body,
            changes=not dry_run,
            # Of a name that the server makes there could be two.
            repeat=dry_run or request.name is not None,
        )
        return self._done(answer, request, body, "Update")

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
        request = Request("delete", kind, namespace, name)
        wanted = {"resourceVersion": resource_version, "uid": uid}
        wanted = {name: value for name, value in wanted.items() if value is not None}
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
        options |= {"preconditions": wanted} if wanted else {}
        # Here and not in the query, which the API server does not read where there is a body.
        options |= {"dryRun": ["All"]} if dry_run else {}
        answer = self._transport.ask(
            "DELETE",
            _path(kind, namespace, name),
            body=json.dumps(options).encode(),
            changes=not dry_run,
            # Without a precondition it could be one that came after it.
            repeat=dry_run or bool(wanted),
        )
        if answer.status in (200, 202):
            return True
        if answer.uncertain:
            there = None
            if answer.status != 404:
                there = self.get(kind, name, namespace=namespace, metadata_only=True)
            about = {} if there is None else there["metadata"]
            if not about or about.get("deletionTimestamp") or (uid and about["uid"] != uid):
                return True
        if answer.status == 404:
            return False
        raise self._refusal(answer, request)

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
        """Yield what happens, over any number of connections: see `Cluster.watch`."""
        query = _query(labels, fields)
        watched = _Watch(
            self, kind, namespace, query=query, version=resource_version, timeout=timeout
        )
        return watched.events()

    def allowed(
        self,
        verb: str,
        kind: Kind,
        *,
        namespace: str | None = None,
        name: str | None = None,
        subresource: str | None = None,
    ) -> bool | None:
        """Ask the server's authorization: see `Cluster.allowed`."""
        attributes = {
            "verb": verb,
            "group": kind.group,
            "version": kind.version,
            "resource": kind.plural,
            "namespace": namespace,
            "name": name,
            "subresource": subresource,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {k: v for k, v in attributes.items() if v}},
        }
        answer = self._transport.ask(
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            body=json.dumps(review).encode(),
        )
        if answer.status == 401 or answer.fault is not None:
            raise self._refusal(answer, Request("review the rights on", kind, namespace, name))
        if answer.status != 201:
            return None
        status = status_of(answer.body).get("status") or {}
        if not status.get("allowed") and status.get("evaluationError"):
            return None
        return bool(status.get("allowed"))

    def close(self) -> None:
        """Give the connections back."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ── below: what comes back ───────────────────────────────────────────────

    def _object(self, answer: Answer, request: Request) -> Json:
        """Return the object of an answer, or raise what it means."""
        return guard(self._unguarded(answer, request), request.kind)

    def _unguarded(self, answer: Answer, request: Request) -> Unguarded:
        if not 200 <= answer.status < 300:
            raise self._refusal(answer, request)
        held = None
        if answer.body[:64].lstrip()[:1] == b"{":
            with contextlib.suppress(ValueError):  # it holds the body
                held = Unguarded(json.loads(answer.body))
        if held is None:
            raise Unreachable(f"{self.server} does not answer as an API server does.")
        return held

    def _done(self, answer: Answer, request: Request, body: SecretBytes, operation: str) -> Json:
        """As `_object`, for a write that may have been done before it was refused."""
        if answer.uncertain and answer.status == 409 and request.name is not None:
            stored = self.get(request.kind, request.name, namespace=request.namespace)
            if stored is not None and _is_stored(stored, body, operation):
                return stored
        return self._object(answer, request)

    def _refusal(self, answer: Answer, request: Request) -> ClusterError:
        doubt = ", and it is not known whether it was done" if answer.uncertain else ""
        if answer.fault is not None:
            return Unreachable(f"no answer from {self.server} ({answer.fault.cause}){doubt}.")
        return refusal(
            answer.status, status_of(answer.body), request, who=self.who, server=self.server
        )


class _Listing:
    """A list that is read in pages, none of more bytes than can be borne."""

    def __init__(
        self,
        cluster: Kubernetes,
        kind: Kind,
        namespace: str | None,
        *,
        query: Mapping[str, str],
        metadata_only: bool,
        page: int,
    ) -> None:
        self.version: str | None = None
        self._cluster = cluster
        self._request = Request("list", kind, namespace)
        self._path = _path(kind, namespace)
        self._query = query
        self._accept = _METADATA_LIST if metadata_only else JSON
        self._page = page
        large = kind == SECRET and not metadata_only
        self._limit = min(page, _FIRST_SECRETS) if large else page

    def __iter__(self) -> Iterator[Json]:
        seen: set[int] = set()
        token, restarts = "", 0
        while True:
            answer = self._asked(token)
            if answer.status == 410 and restarts < _RESTARTS:
                restarts += 1
                # With this one the list goes on as it is now; without one it starts anew.
                about = status_of(answer.body).get("metadata") or {}
                token = str(about.get("continue") or "") if token else ""
                continue
            held = self._cluster._unguarded(answer, self._request)
            about = held.get("metadata") or {}
            token = str(about.get("continue") or "")
            if self.version is None:
                self.version = about.get("resourceVersion")
            self._adjust(len(answer.body))
            del answer
            items = UnguardedList(held.pop("items", None) or [])
            items.reverse()
            while items:
                place = hash(
                    (items[-1]["metadata"].get("namespace"), items[-1]["metadata"]["name"])
                )
                if place in seen:
                    items.pop()
                    continue
                seen.add(place)
                yield guard(Unguarded(items.pop()), self._request.kind)
            if not token:
                return

    def _asked(self, token: str) -> Answer:
        while True:
            query = {**self._query, "limit": str(self._limit)}
            if token:
                query["continue"] = token
            answer = self._cluster._transport.ask(
                "GET",
                f"{self._path}?{urlencode(query)}",
                accept=self._accept,
                most=_PAGE_MOST if self._limit > 1 else None,
            )
            if not answer.cut:
                return answer
            self._limit = max(1, self._limit // 4)

    def _adjust(self, size: int) -> None:
        if size > _PAGE_WANTED:
            self._limit = max(1, self._limit * _PAGE_WANTED // size)
        elif size * 2 < _PAGE_WANTED:
            self._limit = min(self._page, self._limit * 2)


class _Watch:
    """A watch that outlives its connections, and lists anew where the server forgot."""

    def __init__(
        self,
        cluster: Kubernetes,
        kind: Kind,
        namespace: str | None,
        *,
        query: Mapping[str, str],
        version: str | None,
        timeout: float | None,
    ) -> None:
        self._cluster = cluster
        self._kind = kind
        self._request = Request("watch", kind, namespace)
        self._path = _path(kind, namespace)
        self._query = query
        self._version = version
        self._known: dict[tuple[str | None, str], Json] = {}
        self._error: Answer | None = None
        self._end = None if timeout is None else time.monotonic() + timeout

    def events(self) -> Iterator[Event]:
        failures = 0
        while True:
            if self._version is None:
                yield from self._listed()
            left = _WATCH * (1 + random.random()) if self._end is None else self._left()  # noqa: S311
            if left <= 0:
                return
            answer, response = self._opened(left)
            began = time.monotonic()
            if response is not None:
                heard = False
                try:
                    for event in self._heard(response):
                        heard = True
                        yield event
                        if self._end is not None and self._left() <= 0:
                            return
                finally:
                    response.close()
                failures = 0 if heard or time.monotonic() - began > 1 else failures + 1
                answer, self._error = self._error or answer, None
            if answer.status == 410:
                self._version = None
                continue
            if answer.status != 200:
                busy = answer.status == 429 or answer.status >= 500 or answer.fault is not None
                hopeless = answer.fault is not None and answer.fault.hopeless
                # The credentials were read anew by then.
                once = answer.status == 401 and not failures
                failures += 1
                if hopeless or failures > _WATCH_TRIES or not (busy or once):
                    raise self._cluster._refusal(answer, self._request)
            if failures:
                wait = delay(failures, None)
                time.sleep(wait if self._end is None else max(0.0, min(wait, self._left())))

    def _left(self) -> float:
        return 0.0 if self._end is None else self._end - time.monotonic()

    def _opened(self, left: float) -> tuple[Answer, Any]:
        query = {
            **self._query,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": str(self._version),
            "timeoutSeconds": str(math.ceil(left)),
        }
        # The server ends it; a connection that is dead shows a little later.
        timeout = left if self._end is not None else left + 30
        return self._cluster._transport.stream(f"{self._path}?{urlencode(query)}", timeout=timeout)

    def _heard(self, response: Any) -> Iterator[Event]:
        # The connection may fail; it is opened again.
        with contextlib.suppress(*FAULTS):
            for line in lines(response):
                event = Unguarded(status_of(line))
                if not isinstance(event.get("object"), dict):
                    return
                if event.get("type") == "ERROR":
                    said = SecretBytes(json.dumps(event["object"]).encode())
                    self._error = Answer(int(event["object"].get("code") or 500), said)
                    return
                obj = guard(Unguarded(event["object"]), self._kind)
                yield self._noted(str(event.get("type")), obj)

    def _noted(self, type_: Any, obj: Json) -> Event:
        metadata = obj.get("metadata") or {}
        self._version = metadata.get("resourceVersion") or self._version
        if type_ != "BOOKMARK":
            place = metadata.get("namespace"), str(metadata.get("name"))
            if type_ == "DELETED":
                self._known.pop(place, None)
            else:
                self._known[place] = _named(obj)
        return Event(type_, obj)

    def _listed(self) -> Iterator[Event]:
        """List, and tell what is other than it was."""
        namespace = self._request.namespace
        listing = _Listing(
            self._cluster, self._kind, namespace, query=self._query, metadata_only=False, page=500
        )
        gone = dict(self._known)
        for obj in listing:
            metadata = obj["metadata"]
            place = metadata.get("namespace"), str(metadata["name"])
            before = gone.pop(place, None)
            self._known[place] = _named(obj)
            if before is None:
                yield Event("ADDED", obj)
            elif before["metadata"] != self._known[place]["metadata"]:
                yield Event("MODIFIED", obj)
        for place, before in gone.items():
            del self._known[place]
            yield Event("DELETED", before)
        self._version = listing.version or "0"
        about: Json = {"metadata": {"resourceVersion": self._version}}
        yield Event("BOOKMARK", guard(about, self._kind))


def _written(verb: str, obj: Mapping[str, Any]) -> tuple[Kind, Request, SecretBytes]:
    kind = kind_of(obj)
    metadata = obj.get("metadata") or {}
    name, namespace = metadata.get("name"), metadata.get("namespace")
    if verb == "apply" and not name:
        raise ClusterError(f"a {kind.kind} without a name cannot be applied.")
    if kind.namespaced and not namespace:
        raise ClusterError(f"{kind.kind} {name!r} names no namespace.")
    request = Request(verb, kind, namespace if kind.namespaced else None, name)
    return kind, request, SecretBytes(json.dumps(obj, separators=(",", ":")).encode())


def _path(kind: Kind, namespace: str | None, name: str | None = None) -> str:
    path = f"/apis/{kind.group}/{kind.version}/" if kind.group else f"/api/{kind.version}/"
    if kind.namespaced and namespace is not None:
        path += f"namespaces/{quote(namespace, safe='')}/"
    path += kind.plural
    return path if name is None else f"{path}/{quote(name, safe='')}"


def _query(labels: str | None, fields: str | None) -> dict[str, str]:
    given = {"labelSelector": labels, "fieldSelector": fields}
    return {name: text for name, text in given.items() if text}


def _named(obj: Mapping[str, Any]) -> Json:
    metadata = obj.get("metadata") or {}
    names = ("name", "namespace", "uid", "resourceVersion", "labels")
    return {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "metadata": {name: metadata[name] for name in names if name in metadata},
    }


def _is_stored(stored: Json, body: SecretBytes, operation: str) -> bool:
    """Say whether a write of ours led to what is stored, though nobody told us."""
    sent = json.loads(body)
    for name in ("resourceVersion", "generateName"):
        sent["metadata"].pop(name, None)
    if not _holds(stored, sent):
        return False
    for entry in stored["metadata"].get("managedFields") or ():
        if (entry.get("manager"), entry.get("operation")) == (FIELD_MANAGER, operation):
            owned = (entry.get("fieldsV1") or {}).get("f:data") or {}
            keys = {name for name in owned if name.startswith("f:")}
            return keys == {f"f:{key}" for key in sent.get("data") or {}}
    return False


def _holds(stored: Any, sent: Any) -> bool:
    if isinstance(sent, dict):
        return isinstance(stored, dict) and all(
            name in stored and _holds(stored[name], value) if value not in (None, {}, []) else True
            for name, value in sent.items()
        )
    if isinstance(sent, list):
        return (
            isinstance(stored, list) and len(stored) == len(sent) and all(map(_holds, stored, sent))
        )
    return bool(stored == sent)
