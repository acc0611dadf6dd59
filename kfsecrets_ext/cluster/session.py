"""Connections to an API server, made by the official Kubernetes client.

It reads kubeconfigs and service accounts, and makes the pool of connections; whatever it may say
about them is kept back, for it can quote them. Imported on first use.
"""

from __future__ import annotations

import base64
import contextlib
import inspect
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

from kfsecrets_ext.errors import ClusterError, Unreachable
from kfsecrets_ext.values import SecretStr

from .own import identity

__all__ = ["Session", "Target", "target"]

_FRESH = 60.0  # s; client-go reads a token's file again as often
_EARLY = 10.0  # s


@dataclass(frozen=True)
class Session:
    """A pool of connections, and what each request carries.

    Attributes
    ----------
    server : str
        Address of the API server.
    pool : urllib3.HTTPConnectionPool
    base : str
        What comes before each path: the server's own path; its whole address for a proxy that
        is asked in plain HTTP.
    headers : mapping
        Credentials among them; their values are `SecretStr`.
    until : float
        On the monotonic clock: when the credentials are to be read anew.
    trust : tuple
        What the connections themselves depend on.
    """

    server: str
    pool: Any = field(repr=False)
    base: str
    headers: Mapping[str, str] = field(repr=False)
    until: float
    trust: tuple[Any, ...] = field(repr=False)
    _close: Callable[[], None] = field(repr=False)

    def close(self) -> None:
        """Close the connections that nobody uses; the others close after their request."""
        self._close()


@dataclass(frozen=True)
class Target:
    """Whom to connect to, and as whom.

    Attributes
    ----------
    context, namespace : str or None
    who : str
        In words.
    open : callable
        Reads the credentials as they are now, and makes a `Session`; raises `ClusterError`.
    """

    context: str | None
    namespace: str | None
    who: str
    open: Callable[[], Session] = field(repr=False)


def target(
    *, kubeconfig: str | None, context: str | None, impersonate: str | None, workers: int
) -> Target:
    """Find the API server.

    Parameters
    ----------
    kubeconfig, context, impersonate : str or None
        As for `connect`.
    workers : int
        Size of the pool.

    Raises
    ------
    Unreachable
        There is none.
    ClusterError
        The kubeconfig cannot be used.
    """
    place = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    # kubectl: several files in the variable, one in the option
    parts = [kubeconfig] if kubeconfig else place.split(os.pathsep)
    paths = [os.path.expanduser(part) for part in parts if part]
    there = [path for path in paths if os.path.isfile(path) and os.path.getsize(path)]
    if kubeconfig is not None and not there:
        raise ClusterError(f"there is no kubeconfig {kubeconfig}.")
    if there:
        name, namespace = _context(there, context)
        return Target(
            name,
            namespace,
            impersonate or f"context {name}",
            lambda: _session(_of_kubeconfig(there, name), impersonate, workers),
        )
    if context is not None:
        raise ClusterError(f"there is no kubeconfig ({place}) to look up context {context!r} in.")
    if not os.environ.get("KUBERNETES_SERVICE_HOST"):
        raise Unreachable(
            f"there is no cluster to ask: no kubeconfig ({place}), and this is no pod."
        )
    return Target(
        None,
        identity().namespace,
        impersonate or "this pod's service account",
        lambda: _session(_of_pod(), impersonate, workers),
    )


@dataclass(frozen=True)
class _Credentials:
    """A configuration of the official client."""

    configuration: Any = field(repr=False)
    fresh: float  # s
    proxy: str | None = field(default=None, repr=False)
    acting: Mapping[str, Any] = field(default_factory=dict)


# ── a kubeconfig ─────────────────────────────────────────────────────────────


def _context(paths: Sequence[str], context: str | None) -> tuple[str, str | None]:
    """Return the name of the context, and its namespace."""
    place = os.pathsep.join(paths)
    wanted = context
    contexts: dict[str, Mapping[str, Any]] = {}
    for path in paths:
        known = _merged([path]).value
        # kubectl: the first file that says it; the official client's newer versions differ
        wanted = wanted or known.get("current-context") or None
        for entry in known.get("contexts") or ():
            name, held = _named(entry)
            contexts.setdefault(name, held)
    if not wanted:
        raise ClusterError(f"{place} names no current context: give one with --context.")
    if wanted not in contexts:
        named = ", ".join(sorted(contexts)) or "none"
        raise ClusterError(f"{place} has no context {wanted!r}; it has {named}.")
    return str(wanted), contexts[wanted].get("namespace") or None


def _named(entry: Any) -> tuple[str, Mapping[str, Any]]:
    held = getattr(entry, "value", entry)  # the client wraps an entry with the file it is from
    held = held if isinstance(held, Mapping) else {}
    context = held.get("context")
    return str(held.get("name")), context if isinstance(context, Mapping) else {}


def _merged(paths: Sequence[str]) -> Any:
    """Read kubeconfigs, as the official client merges them."""
    import yaml

    place = os.pathsep.join(paths)
    kube_config = _client_module("config.kube_config")
    known: Any = None
    # What these errors say may quote the file.
    with contextlib.suppress(kube_config.ConfigException, yaml.YAMLError, *_BAD):
        known = kube_config.KubeConfigMerger(place).config
    if not isinstance(getattr(known, "value", None), dict):
        raise ClusterError(f"{place} is no kubeconfig that can be read.")
    return known


def _of_kubeconfig(paths: Sequence[str], context: str) -> _Credentials:
    place = os.pathsep.join(paths)
    kube_config = _client_module("config.kube_config")
    merged = _merged(paths)
    fault = incomplete = "its cluster or its user is incomplete, or its credentials cannot be got"
    with contextlib.suppress(kube_config.ConfigException, *_BAD):
        held = merged["contexts"].get_with_name(context)["context"]
        cluster = merged["clusters"].get_with_name(held["cluster"])["cluster"]
        user = None
        if held.safe_get("user"):
            user = merged["users"].get_with_name(held["user"])["user"]
        wrong, fresh = _unreadable(cluster, user), float("inf")
        if wrong is None and user is not None:
            wrong, fresh = _prepared(user, cluster)
        fault = wrong or incomplete
        if wrong is None:
            configuration = _new_configuration()
            loader = kube_config.KubeConfigLoader(
                config_dict=merged, active_context=context, config_base_path=None
            )
            loader.load_and_set(configuration)
            proxy = cluster.safe_get("proxy-url")
            # the official client acts as nobody else
            acting = {} if user is None else {n: user.value[n] for n in _ACTING if n in user.value}
            return _Credentials(configuration, fresh, str(proxy) if proxy else None, acting)
    raise ClusterError(f"context {context!r} of {place} cannot be used: {fault}.")


def _unreadable(cluster: Any, user: Any) -> str | None:
    """Name a file of a cluster or its user that cannot be read; the client's error is kept back.

    Paths of the user become absolute: the client takes them as relative to the cluster's file.
    """
    is_secure = str(cluster.safe_get("server")).startswith("https")
    for entry, what, names in (
        (cluster, "cluster", ("certificate-authority",) if is_secure else ()),
        (user, "user", ("client-certificate", "client-key") if is_secure else ()),
        (user, "user", ("tokenFile",)),
    ):
        for name in names:
            given = None if entry is None else entry.value.get(name)
            if given is None or f"{name}-data" in entry.value:
                continue
            given = SecretStr(given)
            beside = os.path.dirname(os.path.abspath(entry.path))
            place = SecretStr(os.path.join(beside, given))
            reason = _why_unreadable(place)
            if reason:
                # a token or a key in the place of a file's name is a likely mistake
                is_name = given.isprintable() and (name != "tokenFile" or "/" in given)
                shown = place if is_name else f"a file in {beside}"
                return f"{shown}, which its {what} names as {name}, {reason}"
            entry.value[name] = str(place)
    return None


def _why_unreadable(place: str) -> str:
    try:
        if not os.path.exists(place):
            return "is not there. Put it there, or name another one"
        if not os.path.isfile(place):
            return "is no file. Name another one"
        with open(place, "rb"):
            return ""
    except OSError as error:
        reason = error.strerror or "no reason is given"
    return f"cannot be read: {reason}. Mend that, or name another one"


def _prepared(user: Any, cluster: Any) -> tuple[str | None, float]:
    """Put the credentials of a user where the client looks for them.

    A plugin is run here, since the client would log what a plugin says, and go on without
    credentials. Returns what is wrong, and for how many seconds they are good.
    """
    if "tokenFile" in user.value:
        # kubectl: the file comes before the token
        user.value.pop("token", None)
        return None, _FRESH
    if "exec" not in user.value:
        return None, float("inf")
    plugin = user["exec"]
    command = os.path.basename(str(plugin.value.get("command") or "without a name"))
    provider = _client_module("config.exec_provider").ExecProvider
    base = os.path.dirname(os.path.abspath(cluster.path)) if cluster.path else None
    status: Any = None
    failed = f"its credential plugin {command} gives no credentials"
    try:
        # Version 28 does not take the cluster.
        takes_cluster = "cluster" in inspect.signature(provider.__init__).parameters
        arguments = (plugin, base, cluster) if takes_cluster else (plugin, base)
        status = provider(*arguments).run()
    except FileNotFoundError:
        failed = f"its credential plugin {command} is not installed"
    except (_client_module("config").ConfigException, *_BAD):
        pass  # the error quotes what the plugin said
    if not isinstance(status, Mapping):
        return failed, 0.0
    del user.value["exec"]
    token, certificate = status.get("token"), status.get("clientCertificateData")
    if not token and not (certificate and status.get("clientKeyData")):
        return failed, 0.0
    if token:
        user.value["token"] = SecretStr(token)
    if certificate:
        user.value["client-certificate-data"] = base64.b64encode(certificate.encode()).decode()
        user.value["client-key-data"] = SecretStr(
            base64.b64encode(status["clientKeyData"].encode()).decode()
        )
    return None, _seconds_until(status.get("expirationTimestamp"))


def _seconds_until(moment: Any) -> float:
    with contextlib.suppress(TypeError, ValueError, AttributeError):
        # Python 3.10 reads no "Z".
        then = datetime.fromisoformat(moment.replace("Z", "+00:00"))
        return float(max((then - datetime.now(timezone.utc)).total_seconds() - _EARLY, 1.0))
    return float("inf")


# ── a pod ────────────────────────────────────────────────────────────────────


def _of_pod() -> _Credentials:
    config = _client_module("config")
    account = Path(
        os.environ.get("KFSECRETS_SERVICEACCOUNT")
        or "/var/run/secrets/kubernetes.io/serviceaccount"
    )
    configuration = _new_configuration()
    with contextlib.suppress(config.ConfigException, *_BAD):
        config.incluster_config.InClusterConfigLoader(
            str(account / "token"), str(account / "ca.crt")
        ).load_and_set(configuration)
        return _Credentials(configuration, _FRESH)
    raise Unreachable(
        f"there is no cluster to ask: no kubeconfig, and no service account in {account}."
    )


# ── the connections ──────────────────────────────────────────────────────────


def _session(credentials: _Credentials, impersonate: str | None, workers: int) -> Session:
    configuration = credentials.configuration
    server, fault = _address(SecretStr(configuration.host))
    configuration.host = server
    configuration.connection_pool_maxsize = workers
    headers = _headers(configuration)
    acting = {"as": impersonate} if impersonate else credentials.acting
    for name, given in acting.items():
        if _ACTING[name] is None:
            fault = f"its user acts as another one with {name}, which is not supported: give --as"
        else:
            headers[str(_ACTING[name])] = str(given)
    if not all(value.isascii() and value.isprintable() for value in headers.values()):
        fault = "its credentials hold what no header can carry"  # http.client would quote them
    pool = None
    with contextlib.suppress(*_BAD):
        path = urlsplit(server).path
        _set_proxy(configuration, server, credentials.proxy)
        client = _client_module("client").ApiClient(configuration)
        manager = client.rest_client.pool_manager
        pool = manager.connection_from_url(server)
    if fault is not None or pool is None:
        raise ClusterError(
            f"{server} cannot be connected to: {fault or 'its address or its proxy is no good'}."
        )
    plain = getattr(manager, "proxy", None) is not None and server.startswith("http:")
    return Session(
        server=server,
        pool=pool,
        base=server if plain else path.rstrip("/"),
        headers=headers,
        until=time.monotonic() + credentials.fresh,
        trust=tuple(getattr(configuration, name, None) for name in _TRUST),
        _close=manager.clear,
    )


def _address(given: str) -> tuple[str, str | None]:
    """Give a server's address without login and query, and what is wrong with it.

    Of one where the end of a login cannot be told, only what follows is given.
    """
    found = _ADDRESS.fullmatch(given)
    if found is not None:
        return f"{found[1]}{found[2]}{found[3].rstrip('/')}", None
    scheme = _SCHEME.match(given)
    rest = re.split("[?#]", given.rpartition("@")[2])[0]
    shown = f"{scheme[0]}{rest}" if scheme is not None and "@" in given else rest
    wrong = "its address has an '@' behind the host: write %40" if "@" in given else None
    return shown, wrong or "its address is none"


_SCHEME = re.compile("https?://", re.IGNORECASE)
_ADDRESS = re.compile(
    r"((?:https?://)?)(?:[^/?#]*@)?([^/?#@]+)([^?#@]*)(?:[?#][^@]*)?", re.IGNORECASE
)


def _headers(configuration: Any) -> dict[str, str]:
    headers = {"User-Agent": "kfsecrets-ext"}
    for auth in configuration.auth_settings().values():
        if auth["in"] == "header" and auth["value"]:
            headers[auth["key"]] = SecretStr(auth["value"].strip())
    return headers


def _set_proxy(configuration: Any, server: str, proxy: str | None) -> None:
    """Have requests go through a proxy; older clients take none from the environment."""
    known = getproxies()
    # client-go: what the kubeconfig names has no exceptions
    configuration.no_proxy = "" if proxy else known.get("no", "")
    proxy = proxy or known.get(urlsplit(server).scheme)
    parts = urlsplit(proxy or "")
    if proxy and "://" not in proxy:
        proxy, parts = f"http://{proxy}", urlsplit(f"http://{proxy}")
    if parts.username is not None:
        import urllib3

        login = SecretStr(f"{unquote(parts.username)}:{unquote(parts.password or '')}")
        configuration.proxy_headers = urllib3.make_headers(proxy_basic_auth=login)
        proxy = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    configuration.proxy = proxy or None


# client-go: what a user of a kubeconfig says of whom it acts as; groups would need a header twice
_ACTING = {
    "as": "Impersonate-User",
    "as-uid": "Impersonate-Uid",
    "as-groups": None,
    "as-user-extra": None,
}

_TRUST = (
    *("host", "ssl_ca_cert", "cert_file", "key_file", "verify_ssl", "tls_server_name"),
    *("proxy", "no_proxy", "proxy_headers"),
)


def _new_configuration() -> Any:
    """Make a configuration of the client's own defaults, whatever a program made its default."""
    return type.__call__(_client_module("client").Configuration)


def _client_module(name: str) -> Any:
    """Import a part of the official client; what of it has types differs between its versions."""
    return import_module(f"kubernetes.{name}")


_BAD = (OSError, ValueError, TypeError, KeyError, AttributeError)
