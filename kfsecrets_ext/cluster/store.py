"""The files of the embedded cluster.

``namespaces/<namespace>/<plural>/<name>.json``, ``namespaces/<namespace>/namespace.json``,
``cluster/<plural>/<name>.json`` for what has no namespace, and ``pod.json``: the Pod that this
machine plays. Files that somebody put there by hand, YAML and several objects in one of them
included, are read as well.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import stat
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from kfsecrets_ext.errors import ClusterError, Forbidden
from kfsecrets_ext.poddefaults import PROFILE_LABEL, NotAManifest, PodDefault, read_manifests
from kfsecrets_ext.values import SecretBytes

from .answers import Request
from .guarded import Unguarded, guard
from .kinds import NAMESPACE, POD, PODDEFAULT, SECRET, Kind

__all__ = ["Place", "Store", "is_name"]

Json = dict[str, Any]
Place = tuple[str | None, str]
"""Namespace and name."""

_SUFFIXES = (".json", ".yaml", ".yml")
_NAME = re.compile(r"[A-Za-z0-9]([-._:A-Za-z0-9]*[A-Za-z0-9])?")
_NAMESPACE_FOR_IDS = uuid.UUID("5d8b3a1e-2f0c-4b7e-9f57-7c7d1f1a5b11")


_Found = TypeVar("_Found")


class Store:
    """Objects in a directory; what writes holds `alone`.

    What the file system refuses is a `Forbidden`, and what fails there a `ClusterError`: either is
    about the one object, as an API server's would be.

    Parameters
    ----------
    home : Path
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._thread = threading.RLock()
        # file → its stamp, and what is in it
        self._known: dict[tuple[Path, Kind], tuple[tuple[int, int, int], list[Json]]] = {}

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other threads and processes from writing."""
        with self._thread:
            descriptor = self._tried(Request("write", NAMESPACE), self._locked)
            try:
                yield
            finally:
                os.close(descriptor)

    def has_namespace(self, name: str | None) -> bool:
        """Say whether there is such a namespace."""
        return self._tried(Request("read", NAMESPACE, None, name), lambda: self._has(name))

    def read(self, kind: Kind, namespace: str | None, name: str) -> Json | None:
        """Return an object, or ``None``."""
        request = Request("read", kind, namespace, name)
        return self._tried(request, lambda: self._one(kind, namespace, name))

    def scan(self, kind: Kind, namespace: str | None = None) -> Iterator[Json]:
        """Yield objects by namespace and name; of all namespaces where none is given."""
        spaces = [namespace]
        if kind == NAMESPACE or (kind.namespaced and namespace is None):
            spaces = list(self._tried(Request("read", NAMESPACE), self._namespaces))
        for space in spaces:
            if kind == NAMESPACE:
                one = self.read(NAMESPACE, None, str(space))
                if one is not None:
                    yield one
                continue
            request = Request("read", kind, space)
            yield from self._tried(request, partial(self._all, kind, space))

    def write(self, kind: Kind, obj: Json) -> Json:
        """Keep an object, under a new resource version."""
        about = obj["metadata"]
        request = Request("write", kind, about.get("namespace"), str(about["name"]))
        return self._tried(request, lambda: self._written(kind, obj))

    def remove(self, kind: Kind, namespace: str | None, name: str) -> None:
        """Remove an object; with a Namespace all that is in it."""
        request = Request("delete", kind, namespace, name)
        self._tried(request, lambda: self._removed(kind, namespace, name))

    # ── below: the work, and what the file system says to it ─────────────────

    def _tried(self, request: Request, do: Callable[[], _Found]) -> _Found:
        try:
            return do()
        except OSError as error:
            fault = _fault(error, request, self.home)
        raise fault

    def _locked(self) -> int:
        self._directory(self.home)
        descriptor = os.open(self.home / ".writes", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _namespaces(self) -> list[str]:
        try:
            listed = os.listdir(self.home / "namespaces")
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(name for name in listed if self._has(name))

    def _has(self, name: str | None) -> bool:
        return is_name(name) and _is_directory(self.home / "namespaces" / str(name))

    def _one(self, kind: Kind, namespace: str | None, name: str) -> Json | None:
        if kind == NAMESPACE:
            return self._namespace(name) if self._has(name) else None
        found = self._find(kind, namespace, name)
        return None if found is None else found[1]

    def _all(self, kind: Kind, namespace: str | None) -> list[Json]:
        if kind.namespaced and not self._has(namespace):
            return []
        held = {name: obj for name, (_, obj) in self._objects(kind, namespace).items()}
        return [held[name] for name in sorted(held)]

    def _written(self, kind: Kind, obj: Json) -> Json:
        metadata = obj["metadata"]
        namespace, name = metadata.get("namespace"), str(metadata["name"])
        metadata["resourceVersion"] = self._next_version()
        if kind == NAMESPACE:
            self._write_namespace(name, obj)
            return obj
        if kind == POD and (namespace, name) == self._own_pod():
            self._put(self.home / "pod.json", obj)
            return obj
        target = self._of(kind, namespace) / f"{name}.json"
        self._directory(target.parent)
        found = self._find(kind, namespace, name)
        if found is not None and found[0] != target:
            self._part(kind, found[0], name)
        self._put(target, obj)
        return obj

    def _removed(self, kind: Kind, namespace: str | None, name: str) -> None:
        if kind == NAMESPACE:
            # as a whole: without its file the directory would be another namespace for a moment
            gone = self.home / "namespaces" / f".{uuid.uuid4().hex}.gone"
            os.rename(self.home / "namespaces" / name, gone)
            # those too that somebody was stopped at: they hold values
            for old in gone.parent.glob(".*.gone"):
                shutil.rmtree(old)
            return
        found = self._find(kind, namespace, name)
        if found is None:
            return
        if found[0] == self.home / "pod.json":
            # Its successor of this name is this machine's Pod again.
            self._keep_state(ownPod=[namespace, name])
        self._part(kind, found[0], name)

    # ── below: files ─────────────────────────────────────────────────────────

    def _of(self, kind: Kind, namespace: str | None) -> Path:
        if kind.namespaced:
            return self.home / "namespaces" / str(namespace) / kind.plural
        return self.home / "cluster" / kind.plural

    def _write_namespace(self, name: str, obj: Json) -> None:
        directory = self.home / "namespaces" / name
        if not directory.is_dir():
            # as a whole: a directory alone is a namespace too, and another one
            self._directory(directory.parent)
            new = directory.with_name(f".{uuid.uuid4().hex}.new")
            new.mkdir(mode=0o700)
            try:
                self._put(new / "namespace.json", obj)
                os.rename(new, directory)
            except BaseException:
                shutil.rmtree(new, ignore_errors=True)
                raise
            return
        self._put(directory / "namespace.json", obj)
        for file in _files(directory, "namespace"):
            if file.suffix != ".json":
                file.unlink()

    def _namespace(self, name: str) -> Json | None:
        directory = self.home / "namespaces" / name
        try:
            held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            files = list(_files(directory, "namespace"))
            for file in files:
                for obj in self._read(NAMESPACE, file, name):
                    if obj.get("kind") == NAMESPACE.kind:
                        obj["metadata"]["name"] = name
                        return obj
            # while it is held no other directory has its number
            if not _is_same(directory, held) or not all(file.exists() for file in files):
                return self._namespace(name)
        finally:
            os.close(held)
        # A directory alone is a profile's namespace.
        label, value = PROFILE_LABEL
        bare = Unguarded({"metadata": {"name": name, "labels": {label: value}}})
        return self._completed(NAMESPACE, bare, directory, name)

    def _find(self, kind: Kind, namespace: str | None, name: str) -> tuple[Path, Json] | None:
        if not is_name(name) or (kind.namespaced and not self._has(namespace)):
            return None
        if kind != POD:
            file = self._of(kind, namespace) / f"{name}.json"
            for obj in self._read(kind, file, namespace):
                if obj["metadata"]["name"] == name:
                    return file, obj
        return self._objects(kind, namespace).get(name)

    def _objects(self, kind: Kind, namespace: str | None) -> dict[str, tuple[Path, Json]]:
        found: dict[str, tuple[Path, Json]] = {}
        for file in _files(self._of(kind, namespace)):
            for obj in self._read(kind, file, namespace):
                found.setdefault(str(obj["metadata"]["name"]), (file, obj))
        if kind == POD:
            file = self.home / "pod.json"
            for obj in self._read(POD, file, None):
                if obj["metadata"].get("namespace") == namespace:
                    found[str(obj["metadata"]["name"])] = (file, obj)
        return found

    def _read(self, kind: Kind, file: Path, namespace: str | None) -> list[Json]:
        try:
            status = os.stat(file)
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            known = self._known.get((file, kind))
            if known is None or known[0] != stamp:
                with open(file, "rb") as opened:
                    content = SecretBytes(opened.read())
                parsed = _parsed(kind, file, content)
                known = stamp, [self._completed(kind, obj, file, namespace) for obj in parsed]
                self._known[file, kind] = known
        except (FileNotFoundError, NotADirectoryError):
            self._known.pop((file, kind), None)
            return []
        return [_copied(obj) for obj in known[1]]

    def _completed(self, kind: Kind, obj: Unguarded, file: Path, namespace: str | None) -> Json:
        """Add what an object that was written by hand lacks, the same each time it is read."""
        return self._whole(kind, guard(obj, kind), file, namespace)

    def _whole(self, kind: Kind, obj: Json, file: Path, namespace: str | None) -> Json:
        metadata = obj["metadata"] if isinstance(obj.get("metadata"), dict) else {}
        obj["metadata"] = metadata
        if not metadata.get("name"):
            metadata["name"] = file.stem
        if kind.namespaced and namespace is not None:
            metadata["namespace"] = namespace
        if not metadata.get("resourceVersion"):
            with contextlib.suppress(OSError):
                metadata["resourceVersion"] = str(os.stat(file).st_mtime_ns // 1000)
        if not metadata.get("uid"):
            place = f"{kind.plural}/{metadata.get('namespace')}/{metadata['name']}"
            metadata["uid"] = str(uuid.uuid5(_NAMESPACE_FOR_IDS, place))
        if kind == SECRET:
            obj.setdefault("type", "Opaque")
        return obj

    def _part(self, kind: Kind, file: Path, name: str) -> None:
        """Take one object out of a file; others that are in it get files of their own."""
        others = [
            obj for obj in self._read(kind, file, None) if str(obj["metadata"]["name"]) != name
        ]
        for obj in others:
            own = file.with_name(f"{obj['metadata']['name']}.json")
            if not own.exists():
                self._put(own, obj)
        file.unlink()

    def _put(self, file: Path, obj: Mapping[str, Any]) -> None:
        """Replace a file as a whole; nobody else may read it."""
        temporary = file.with_name(f".{uuid.uuid4().hex}.new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
                json.dump(obj, opened, ensure_ascii=False, indent=1)
            os.replace(temporary, file)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise

    def _directory(self, directory: Path) -> None:
        if not directory.is_dir():
            if directory != self.home:
                self._directory(directory.parent)
            # Those above the home are made as anybody makes them.
            directory.mkdir(mode=0o700, parents=directory == self.home, exist_ok=True)

    def _own_pod(self) -> Place | None:
        for obj in self._read(POD, self.home / "pod.json", None):
            return obj["metadata"].get("namespace"), str(obj["metadata"]["name"])
        kept = self._state().get("ownPod")
        return (kept[0], kept[1]) if isinstance(kept, list) and len(kept) == 2 else None

    def _next_version(self) -> str:
        # Microseconds: they go on from the files' times, which stand for versions till then.
        last = self._state().get("resourceVersion")
        version = max((last if isinstance(last, int) else 0) + 1, time.time_ns() // 1000)
        self._keep_state(resourceVersion=version)
        return str(version)

    def _state(self) -> Json:
        try:
            state = json.loads((self.home / ".state.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def _keep_state(self, **changes: Any) -> None:
        self._put(self.home / ".state.json", {**self._state(), **changes})


def is_name(name: object) -> bool:
    """Say whether this can be the name of a file and an object."""
    return isinstance(name, str) and len(name) <= 253 and bool(_NAME.fullmatch(name))


def _files(directory: Path, stem: str | None = None) -> Iterator[Path]:
    try:
        listed = sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in listed:
        file = directory / name
        if name.startswith(".") or file.suffix not in _SUFFIXES:
            continue
        if stem in (None, file.stem) and file.is_file():
            yield file


_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def _fault(error: OSError, request: Request, home: Path) -> ClusterError:
    why = error.strerror or "no reason is given"
    if isinstance(error.filename, str):
        place, name = os.path.split(error.filename)
        # what is hidden is of this store alone, and gone by now
        why += f" ({place if name.startswith('.') else error.filename})"
    what = f"{request.verb} {request.what} {request.where(str(home))}: {why}."
    if error.errno in _FORBIDDEN:
        return Forbidden(f"you may not {what}", reason="Forbidden")
    return ClusterError(f"the embedded cluster failed to {what}")


def _is_directory(place: Path) -> bool:
    try:
        return stat.S_ISDIR(os.stat(place).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _is_same(directory: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(directory), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _parsed(kind: Kind, file: Path, content: SecretBytes) -> list[Unguarded]:
    held: Unguarded | None = None
    if content.lstrip()[:1] == b"{":
        with contextlib.suppress(ValueError):
            held = Unguarded(json.loads(content))
    if held is not None and "items" not in held and held.get("kind") in (kind.kind, None):
        written = isinstance(held.get("metadata"), dict) and "uid" in held["metadata"]
        if kind == PODDEFAULT and not written:
            held = _plain(PodDefault.from_mapping(held).to_mapping())
        return [held]
    held = reason = None
    try:
        manifests = read_manifests(content)
    except NotAManifest as error:
        reason = str(error)
    if reason is not None:
        raise ClusterError(f"the embedded cluster's {file}: {reason}.")
    if kind == PODDEFAULT:
        return [_plain(one.to_mapping()) for one in manifests.poddefaults]
    return [_plain(one) for one in manifests.others if one.get("kind") in (kind.kind, None)]


def _plain(given: Mapping[str, Any]) -> Unguarded:
    """Make an object of a YAML file one of JSON: its dates become texts."""
    return Unguarded(json.loads(json.dumps(given, default=str)))


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_copied(inner) for inner in value]
    return value
