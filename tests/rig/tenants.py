"""Many tenants at once: requests to the API server with nothing of ours in between."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import urllib3

from rig.apiserver import APPLY_PATCH, KUBEFLOW_LABELS, ApiServer

Json = dict[str, Any]

THREADS = 32

Request = tuple[str, str, bytes, str]
"""Method, path, body, type of the body."""


def namespaces(names: Iterable[str], labels: Mapping[str, str] = KUBEFLOW_LABELS) -> list[Request]:
    """Give the requests that create namespaces."""
    return [
        _post("/api/v1/namespaces", {"metadata": {"name": name, "labels": dict(labels)}})
        for name in names
    ]


def creations(objects: Iterable[Mapping[str, Any]]) -> list[Request]:
    """Give the requests that create Secrets and PodDefaults."""
    return [_post(_path(one), one) for one in objects]


def patches(objects: Iterable[Mapping[str, Any]], *, manager: str) -> list[Request]:
    """Give the requests of server-side apply."""
    return [
        (
            "PATCH",
            f"{_path(one)}/{one['metadata']['name']}?fieldManager={manager}",
            json.dumps(one, separators=(",", ":")).encode(),
            APPLY_PATCH,
        )
        for one in objects
    ]


def deletions(objects: Iterable[Mapping[str, Any]]) -> list[Request]:
    """Give the requests that delete objects."""
    return [
        ("DELETE", f"{_path(one)}/{one['metadata']['name']}", b"", "application/json")
        for one in objects
    ]


def send(
    server: ApiServer,
    requests: Sequence[Request],
    *,
    url: str | None = None,
    threads: int = THREADS,
) -> None:
    """Send requests over urllib3, as many at once as there are threads; all must succeed.

    Parameters
    ----------
    server : ApiServer
    requests : sequence
    url : str, optional
        Where it is reached; by default where it is.
    threads : int
    """
    address = urlsplit(url or server.url)
    trust = ssl.create_default_context(cafile=str(server.authority))
    pool = urllib3.HTTPSConnectionPool(
        str(address.hostname), address.port, maxsize=threads, block=True, ssl_context=trust
    )
    headers = {"Authorization": f"Bearer {server.token}"}
    left = iter(requests)
    taking = threading.Lock()
    refused: list[str] = []

    def work() -> None:
        while not refused:
            with taking:
                one = next(left, None)
            if one is None:
                return
            method, path, body, kind = one
            answer = pool.urlopen(
                method, path, body=body, headers={**headers, "Content-Type": kind}, retries=False
            )
            if answer.status >= 300:
                refused.append(f"{method} {path}: {answer.status} {answer.data!r:.500}")

    crew = [threading.Thread(target=work) for _ in range(min(threads, len(requests)))]
    for one in crew:
        one.start()
    for one in crew:
        one.join()
    pool.close()
    assert not refused, refused[0]


def _post(path: str, body: Mapping[str, Any]) -> Request:
    return "POST", path, json.dumps(body, separators=(",", ":")).encode(), "application/json"


def _path(obj: Mapping[str, Any]) -> str:
    namespace = obj["metadata"]["namespace"]
    if obj["kind"] == "Secret":
        return f"/api/v1/namespaces/{namespace}/secrets"
    return f"/apis/kubeflow.org/v1alpha1/namespaces/{namespace}/poddefaults"
