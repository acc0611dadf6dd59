"""One tenant of a cluster, as far as a check of its PodDefaults needs it.

Names, PodDefaults and the Namespace; of Secrets the names alone, asked for as metadata, so that no
value crosses the wire. Two homes: the embedded cluster ($KFSECRETS_CLUSTER), and Kubernetes
through the official client, which is imported on first use. Bodies are never logged.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from kfsecrets_ext.errors import ClusterError, Forbidden, SecretError, Unreachable
from kfsecrets_ext.poddefaults import NotAManifest, read_manifests
from kfsecrets_ext.values import SecretStr

from .own import identity

__all__ = ["NoNamespace", "Tenant", "read_tenant"]


class NoNamespace(SecretError):
    """Neither the caller nor the context nor a pod names the namespace."""


@dataclass(frozen=True)
class Tenant:
    """A namespace, and what a check of its PodDefaults needs.

    Attributes
    ----------
    name : str
        Of the namespace.
    namespace : mapping or None
        The Namespace object, where it may be read.
    poddefaults : tuple of mapping
        As stored.
    secrets : frozenset of str or None
        Names of its Secrets, where they may be listed.
    home : str
        ``"kubernetes"`` or ``"embedded"``.
    server : str
        Address of the API server, or the directory of the embedded cluster.
    context : str or None
        Of the kubeconfig.
    notes : tuple of str
        What could not be known, and why.
    """

    name: str
    namespace: Mapping[str, Any] | None = field(repr=False)
    # literals in env.value stay out of the repr
    poddefaults: tuple[Mapping[str, Any], ...] = field(repr=False)
    secrets: frozenset[str] | None
    home: str
    server: str
    context: str | None = None
    notes: tuple[str, ...] = ()


def read_tenant(
    namespace: str | None = None,
    *,
    kubeconfig: str | None = None,
    context: str | None = None,
    impersonate: str | None = None,
) -> Tenant:
    """Read the PodDefaults of a namespace, and what is around them.

    Parameters
    ----------
    namespace : str, optional
        Default is the context's, else this pod's own.
    kubeconfig, context : str, optional
        As kubectl takes them. Without a kubeconfig this pod's service account asks.
    impersonate : str, optional
        The user to act as.

    Returns
    -------
    Tenant

    Raises
    ------
    NoNamespace
        No namespace is named anywhere.
    Forbidden, Unreachable, ClusterError
        The PodDefaults cannot be read.
    """
    home = os.environ.get("KFSECRETS_CLUSTER")
    if home and kubeconfig is None and context is None and impersonate is None:
        return _embedded(Path(home), namespace)
    server = _connected(kubeconfig, context, impersonate)
    name = namespace or server.namespace or identity().namespace
    if not name:
        raise NoNamespace("neither the context nor a pod names a namespace: give one with -n.")
    return _asked(server, name)


# ── the embedded cluster ─────────────────────────────────────────────────────


def _embedded(home: Path, namespace: str | None) -> Tenant:
    name = namespace or _own_namespace(home) or identity().namespace
    if not name:
        raise NoNamespace("the embedded cluster's pod names no namespace: give one with -n.")
    if "/" in name or name in (".", "..") or not (home / "namespaces" / name).is_dir():
        raise ClusterError(f"the embedded cluster has no namespace {name!r}.", reason="NotFound")
    directory = home / "namespaces" / name
    poddefaults: list[Mapping[str, Any]] = []
    for file in _files(directory / "poddefaults"):
        poddefaults.extend(given.to_mapping() for given in _manifests(file).poddefaults)
    notes = () if poddefaults else ("The embedded cluster keeps no PodDefaults here.",)
    spaces = [
        given
        for file in _files(directory, "namespace.*")
        for given in _manifests(file).others
        if given.get("kind") == "Namespace"
    ]
    secrets = frozenset(file.stem for file in _files(directory / "secrets"))
    return Tenant(
        name,
        spaces[0] if spaces else None,
        tuple(poddefaults),
        secrets,
        "embedded",
        str(home),
        notes=notes,
    )


def _own_namespace(home: Path) -> str | None:
    try:
        pod = json.loads((home / "pod.json").read_bytes())
        namespace = pod["metadata"]["namespace"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return namespace if isinstance(namespace, str) else None


def _files(directory: Path, pattern: str = "*") -> Iterator[Path]:
    for file in sorted(directory.glob(pattern)):
        if file.suffix in (".json", ".yaml", ".yml") and file.is_file():
            yield file


def _manifests(file: Path) -> Any:
    try:
        return read_manifests(file.read_bytes())
    except NotAManifest as error:
        reason = str(error)
    raise ClusterError(f"the embedded cluster's {file}: {reason}.")


# ── Kubernetes ───────────────────────────────────────────────────────────────

_PAGE = 500
_TIMEOUT = (10.0, 60.0)  # s: to connect, to read
# The server converts; without a second choice it never sends the objects themselves.
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


@dataclass(frozen=True)
class _Answer:
    status: int
    body: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class _Server:
    """A connection of the official client, and who asks through it."""

    client: Any = field(repr=False)
    context: str | None
    namespace: str | None
    impersonate: str | None

    @property
    def address(self) -> str:
        return str(self.client.configuration.host)

    @property
    def who(self) -> str:
        if self.impersonate:
            return self.impersonate
        return "this pod's service account" if self.context is None else f"context {self.context}"

    def get(self, path: str, query: Mapping[str, Any], accept: str) -> _Answer:
        """Ask once; no retry, no log."""
        import urllib3

        configuration = self.client.configuration
        headers = {**self.client.default_headers, "Accept": accept}
        for auth in configuration.auth_settings().values():
            if auth["in"] == "header" and auth["value"]:
                headers[auth["key"]] = SecretStr(auth["value"])
        if self.impersonate:
            headers["Impersonate-User"] = self.impersonate
        url = f"{self.address}{path}?{urlencode(query)}"
        # Not through the client's own request: until version 35 it logs each body it got, and its
        # ApiException carries the body in its text.
        failed = None
        try:
            response = self.client.rest_client.pool_manager.request(
                "GET",
                url,
                headers=headers,
                timeout=urllib3.Timeout(connect=_TIMEOUT[0], read=_TIMEOUT[1]),
                retries=False,
            )
            body = json.loads(response.data) if response.status == 200 else {}
        except (urllib3.exceptions.HTTPError, OSError) as error:
            failed = f"no answer from {self.address} ({_cause(error)})."
        except ValueError:
            failed = f"{self.address} does not answer as an API server does."
        if failed is None and isinstance(body, dict):
            return _Answer(response.status, body)
        raise Unreachable(failed or f"{self.address} does not answer as an API server does.")

    def list(
        self, path: str, accept: str = "application/json"
    ) -> tuple[int, list[Mapping[str, Any]]]:
        """List in pages; the status, and the items where it is 200."""
        items: list[Mapping[str, Any]] = []
        token = ""
        while True:
            query = {"limit": _PAGE, **({"continue": token} if token else {})}
            answer = self.get(path, query, accept)
            if answer.status != 200:
                return answer.status, []
            items.extend(answer.body.get("items") or ())
            token = (answer.body.get("metadata") or {}).get("continue") or ""
            if not token:
                return 200, items


def _asked(server: _Server, name: str) -> Tenant:
    space = quote(name, safe="")
    status, poddefaults = server.list(f"/apis/kubeflow.org/v1alpha1/namespaces/{space}/poddefaults")
    if status != 200:
        raise _refused(status, "list PodDefaults", name, server)
    notes = []
    namespace: Mapping[str, Any] | None = None
    answer = server.get(f"/api/v1/namespaces/{space}", {}, "application/json")
    if answer.status == 404:
        raise ClusterError(f"{server.address} has no namespace {name!r}.", reason="NotFound")
    if answer.status == 200:
        namespace = answer.body
    else:
        notes.append(
            f"Namespace {name} may not be read (HTTP {answer.status}): whether the webhook sees "
            "it was not checked."
        )
    status, listed = server.list(f"/api/v1/namespaces/{space}/secrets", _METADATA)
    secrets: frozenset[str] | None = None
    if status == 200:
        secrets = frozenset(str(item["metadata"]["name"]) for item in listed)
    else:
        notes.append(
            f"The names of Secrets in {name} may not be listed (HTTP {status}): whether they are "
            "there was not checked."
        )
    return Tenant(
        name,
        namespace,
        tuple(poddefaults),
        secrets,
        "kubernetes",
        server.address,
        server.context,
        tuple(notes),
    )


def _refused(status: int, what: str, namespace: str, server: _Server) -> ClusterError:
    where = f"in namespace {namespace!r} of {server.address}"
    if status == 401:
        return Forbidden(
            f"{server.address} does not know who asks ({server.who}): the credentials are "
            "missing or too old.",
            reason="Unauthorized",
        )
    if status == 403:
        return Forbidden(f"{server.who} may not {what} {where}.", reason="Forbidden")
    if status == 404:
        return ClusterError(
            f"{server.address} has no PodDefaults: their CRD is not installed.", reason="NotFound"
        )
    if status >= 500:
        return Unreachable(f"the API server failed to {what} {where} (HTTP {status}).")
    return ClusterError(f"the API server did not {what} {where} (HTTP {status}).")


def _connected(kubeconfig: str | None, context: str | None, impersonate: str | None) -> _Server:
    place = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    paths = [os.path.expanduser(part) for part in place.split(os.pathsep) if part]
    there = [path for path in paths if os.path.isfile(path)]
    if kubeconfig is not None and not there:
        raise ClusterError(f"there is no kubeconfig {kubeconfig}.")
    if there:
        return _from_kubeconfig(os.pathsep.join(there), context, impersonate)
    if context is not None:
        raise ClusterError(f"there is no kubeconfig ({place}) to look up context {context!r} in.")
    if not os.environ.get("KUBERNETES_SERVICE_HOST"):
        raise Unreachable(
            f"there is no cluster to ask: no kubeconfig ({place}), and this is no pod."
        )
    return _in_pod(impersonate)


def _from_kubeconfig(place: str, context: str | None, impersonate: str | None) -> _Server:
    import yaml

    config = _client_module("config")
    bad = (config.ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, KeyError)
    known: Any = None
    # What these errors say may quote the file, or what a credential plugin printed.
    with contextlib.suppress(*bad, AttributeError):
        known = _client_module("config.kube_config").KubeConfigMerger(place).config.value
    if not isinstance(known, dict):
        raise ClusterError(f"{place} is no kubeconfig that can be read.")
    wanted = context or known.get("current-context")
    if not wanted:
        raise ClusterError(f"{place} names no current context: give one with --context.")
    contexts = dict(map(_context, known.get("contexts") or ()))
    if wanted not in contexts:
        named = ", ".join(sorted(map(str, contexts))) or "none"
        raise ClusterError(f"{place} has no context {wanted!r}; it has {named}.")
    client = None
    with contextlib.suppress(*bad):
        client = config.new_client_from_config(place, wanted, persist_config=False)
    if client is None:
        raise ClusterError(
            f"context {wanted!r} of {place} cannot be used: its cluster or its "
            "user is incomplete, or its credentials cannot be got."
        )
    return _Server(client, str(wanted), contexts[wanted].get("namespace") or None, impersonate)


def _context(entry: Any) -> tuple[str, Mapping[str, Any]]:
    held = getattr(entry, "value", entry)  # the client wraps an entry with the file it is from
    held = held if isinstance(held, Mapping) else {}
    context = held.get("context")
    return str(held.get("name")), context if isinstance(context, Mapping) else {}


def _in_pod(impersonate: str | None) -> _Server:
    client, config = _client_module("client"), _client_module("config")
    account = Path(
        os.environ.get("KFSECRETS_SERVICEACCOUNT")
        or "/var/run/secrets/kubernetes.io/serviceaccount"
    )
    configuration = client.Configuration()
    ready = False
    with contextlib.suppress(config.ConfigException, OSError, ValueError):
        loader = config.incluster_config.InClusterConfigLoader(
            str(account / "token"), str(account / "ca.crt")
        )
        loader.load_and_set(configuration)
        ready = True
    if not ready:
        raise Unreachable(
            f"there is no cluster to ask: no kubeconfig, and no service account in {account}."
        )
    return _Server(client.ApiClient(configuration), None, None, impersonate)


def _client_module(name: str) -> Any:
    """Import a part of the official client; what of it has types differs between its versions."""
    return import_module(f"kubernetes.{name}")


def _cause(error: BaseException) -> str:
    """Name what went wrong with a connection; the texts of these errors hold addresses at most."""
    import urllib3

    if isinstance(error, urllib3.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "no connection to it can be made"  # a timeout's subclass in version 1
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return "it takes too long"
    if isinstance(error, urllib3.exceptions.ProxyError):
        return "the proxy does not let it through"
    return "the connection fails"
