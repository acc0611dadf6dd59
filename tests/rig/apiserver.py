"""A real kube-apiserver and etcd with the PodDefault CRD, Kubeflow's roles and its webhook.

One server for a whole test run, parallel workers included: whoever comes first starts a keeper
process (``python -m rig.apiserver``), which holds the server while anyone holds a shared lock on
the file ``users``; the kernel gives that lock back for a worker that was killed, too.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import http.client
import json
import os
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import trustme
import yaml

from rig import binaries
from rig.ports import reserved

Json = dict[str, Any]

Answer = Callable[[Json], Mapping[str, Any]]
"""AdmissionRequest → AdmissionResponse; ``patch`` may be a list, and ``uid`` is added."""

MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

KUBEFLOW_LABELS = {"app.kubernetes.io/part-of": "kubeflow-profile"}
"""What makes a namespace a profile's, and the webhook's."""


class ClusterFailed(binaries.RigError):
    """The API server did not start, or refused what the rig itself asked of it."""


@dataclass(frozen=True)
class Answered:
    """What the API server answered."""

    status: int
    body: Json


@dataclass(frozen=True)
class ApiServer:
    """A running API server, and how to reach it as its administrator.

    Parameters
    ----------
    host, port, authority
        Its address, and the file of the certificate authority that it is known by.
    token : str
        Of a member of ``system:masters``.
    kubeconfig : Path
        The same for kubectl and the Python clients.
    """

    host: str
    port: int
    authority: Path
    token: str
    kubeconfig: Path

    @property
    def url(self) -> str:
        """The server's address."""
        return f"https://{self.host}:{self.port}"

    @property
    def logs(self) -> list[Path]:
        """What it and etcd write down, the audit log among it where one is kept."""
        return sorted(self.authority.parent.glob("*.log"))

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content: str = "application/json",
        user: str | None = None,
        groups: tuple[str, ...] = (),
    ) -> Answered:
        """Send one request.

        Parameters
        ----------
        method, path : str
            As in HTTP; the path with its query.
        body : object, optional
            Sent as JSON.
        content : str
            The body's type: `APPLY_PATCH` for server-side apply.
        user, groups
            Whom to impersonate, such as ``system:serviceaccount:alice:default-editor``.
        """
        headers = [("Authorization", f"Bearer {self.token}"), ("Content-Type", content)]
        if user is not None:
            headers += [("Impersonate-User", user)]
            headers += [("Impersonate-Group", group) for group in groups]
        trust = ssl.create_default_context(cafile=str(self.authority))
        connection = http.client.HTTPSConnection(self.host, self.port, context=trust)
        with contextlib.closing(connection):
            connection.putrequest(method, path)
            sent = b"" if body is None else json.dumps(body).encode()
            for name, value in [*headers, ("Content-Length", str(len(sent)))]:
                connection.putheader(name, value)
            connection.endheaders(sent)
            answer = connection.getresponse()
            text = answer.read()
        try:
            return Answered(answer.status, json.loads(text))
        except ValueError:
            return Answered(answer.status, {"message": text.decode(errors="replace")})

    def create(self, path: str, body: Json) -> Json:
        """Create an object, or raise `ClusterFailed`."""
        answer = self.call("POST", path, body)
        if answer.status != 201:
            raise ClusterFailed(f"POST {path}: {answer.status} {answer.body.get('message')}")
        return answer.body

    def create_tenant(
        self, name: str, *, owner: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Json:
        """Create a namespace with all that Kubeflow's profile controller puts into it.

        Parameters
        ----------
        name : str
            The profile's.
        owner : str, optional
            Its user; ``<name>@example.com`` by default.
        labels : mapping, optional
            Instead of Kubeflow's labels, which make the webhook see the namespace.

        Returns
        -------
        dict
            The Namespace.
        """
        owner = owner or f"{name}@example.com"
        namespace = self.create(
            "/api/v1/namespaces",
            {
                "metadata": {
                    "name": name,
                    "annotations": {"owner": owner},
                    "labels": dict(KUBEFLOW_LABELS if labels is None else labels),
                }
            },
        )
        roles = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{quote(name)}/rolebindings"
        user = {"kind": "User", "name": owner, "apiGroup": "rbac.authorization.k8s.io"}
        self.create(roles, _binding("namespaceAdmin", "kubeflow-admin", user))
        for account, role in (("default-editor", "edit"), ("default-viewer", "view")):
            metadata = {"metadata": {"name": account}}
            self.create(f"/api/v1/namespaces/{quote(name)}/serviceaccounts", metadata)
            subject = {"kind": "ServiceAccount", "name": account, "namespace": name}
            self.create(roles, _binding(account, f"kubeflow-{role}", subject))
        # The API server learns of rights a little later, of the last ones last.
        viewer = f"system:serviceaccount:{name}:default-viewer"
        pods = f"/api/v1/namespaces/{quote(name)}/pods"
        while self.call("GET", pods, user=viewer).status == 403:
            time.sleep(0.02)
        return namespace


@contextmanager
def running(state: Path, *, audited: bool = False) -> Iterator[ApiServer]:
    """Share the API server of this state directory, started first where it does not run.

    Parameters
    ----------
    state : Path
        A directory that the processes of one test run have in common.
    audited : bool
        Whether it keeps an audit log, of whole requests and answers but of Secrets (``audit.log``
        of `ApiServer.logs`), and says more in its own; of the state directory, so always the same.
    """
    state.mkdir(parents=True, exist_ok=True)
    if audited:
        (state / _POLICY).write_text(json.dumps(_AUDIT), encoding="utf-8")
    with open(state / "users", "a", encoding="utf-8") as users:
        with open(state / "start", "a", encoding="utf-8") as start:
            fcntl.flock(start, fcntl.LOCK_EX)
            # Waits while a keeper that found no users is stopping.
            fcntl.flock(users, fcntl.LOCK_SH)
            if not (state / "ready").exists():
                _start_keeper(state)
        yield _known(state)


@contextmanager
def webhook(
    server: ApiServer, name: str, answer: Answer, *, labels: Mapping[str, str] = KUBEFLOW_LABELS
) -> Iterator[Webhook]:
    """Have the API server ask about each pod that is created, over TLS, as in Kubeflow.

    Parameters
    ----------
    server : ApiServer
        Which one asks.
    name : str
        Of the MutatingWebhookConfiguration; one for each that asks at the same time.
    answer : callable
        Gives the answers; `Webhook.answer` exchanges it later.
    labels : mapping
        Of the namespaces whose pods are asked about.
    """
    path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
    authority = trustme.CA()
    hook = Webhook(answer)
    httpd = _listen(hook, authority)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        url = f"https://127.0.0.1:{httpd.server_address[1]}/apply-poddefault"
        server.create(path, _configuration(name, url, authority.cert_pem.bytes(), labels))
        _await_webhook(server, hook, name, labels)
        yield hook
    finally:
        server.call("DELETE", f"{path}/{name}")
        _await_silence(server, hook, name)
        httpd.shutdown()
        httpd.server_close()
        thread.join()


class Webhook:
    """The webhook's answers; a callable that a test may exchange, and what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[Json] = []
        self.failed: list[BaseException] = []

    def review(self, review: Json) -> Json:
        """Answer an AdmissionReview as Kubeflow's webhook does, without apiVersion and kind."""
        request = review["request"]
        self.asked.append(request)
        try:
            response = {"uid": request["uid"], **self.answer(request)}
        except Exception as error:
            self.failed.append(error)
            raise
        if isinstance(response.get("patch"), list):
            patch = json.dumps(response["patch"]).encode()
            response |= {"patch": base64.b64encode(patch).decode(), "patchType": "JSONPatch"}
        return {"response": response}


def main(state: Path) -> None:
    """Keep an API server until nobody uses it; leave nothing of it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with open(state / "users", "a", encoding="utf-8") as users, contextlib.ExitStack() as stack:
        data = state / "data"
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(mode=0o700)
        stack.callback(shutil.rmtree, data)
        server = _serve(data, stack)
        _set_up(server)
        told = state / "starting"
        told.write_text(json.dumps({"port": server.port, "token": server.token}), encoding="utf-8")
        ready = told.rename(state / "ready")
        stack.callback(ready.unlink)
        fcntl.flock(users, fcntl.LOCK_EX)
        # The stack stops the server before the lock goes back to whoever waits to start one.


# facts: RBAC of Kubeflow's ClusterRoles, by what they grant in a profile's namespace
_READ = ["get", "list", "watch"]
_WRITE = ["create", "delete", "deletecollection", "patch", "update"]
_VIEW = [
    {
        "apiGroups": [""],
        "resources": ["pods", "pods/log", "events", "configmaps", "services", "serviceaccounts"],
        "verbs": _READ,
    },
    {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]},
    {"apiGroups": ["apps"], "resources": ["statefulsets", "deployments"], "verbs": _READ},
    {"apiGroups": ["kubeflow.org"], "resources": ["notebooks", "poddefaults"], "verbs": _READ},
]
_EDIT = [
    *_VIEW,
    {"apiGroups": [""], "resources": ["secrets"], "verbs": [*_READ, *_WRITE]},
    {
        "apiGroups": [""],
        "resources": ["pods", "pods/exec", "pods/portforward", "configmaps", "services"],
        "verbs": _WRITE,
    },
    {"apiGroups": ["apps"], "resources": ["statefulsets", "deployments"], "verbs": _WRITE},
    {"apiGroups": ["kubeflow.org"], "resources": ["notebooks"], "verbs": _WRITE},
    # jupyter-web-app: kubeflow-notebook-ui-edit; neither patch nor update
    {"apiGroups": ["kubeflow.org"], "resources": ["poddefaults"], "verbs": ["create", "delete"]},
]
_ADMIN = [
    *_EDIT,
    {
        "apiGroups": ["rbac.authorization.k8s.io"],
        "resources": ["roles", "rolebindings"],
        "verbs": [*_READ, *_WRITE],
    },
]
_POLICY = "audit-policy.json"
_AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "rules": [
        {"level": "Metadata", "resources": [{"group": "", "resources": ["secrets"]}]},
        {"level": "RequestResponse"},
    ],
}
_ROLES = {"kubeflow-view": _VIEW, "kubeflow-edit": _EDIT, "kubeflow-admin": _ADMIN}


def _start_keeper(state: Path) -> None:
    log = state / "keeper.log"
    with open(log, "wb") as said:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "rig.apiserver", str(state)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    while not (state / "ready").exists():
        if keeper.poll() is not None:
            words = log.read_text(encoding="utf-8", errors="replace")[-4000:]
            raise ClusterFailed(f"the API server did not start:\n{words}")
        time.sleep(0.02)
    # It outlives this process where other workers still use the server: nobody waits for it here.
    keeper.returncode = 0


def _known(state: Path) -> ApiServer:
    told = json.loads((state / "ready").read_text(encoding="utf-8"))
    return _server(state / "data", told["port"], told["token"])


def _server(data: Path, port: int, token: str) -> ApiServer:
    return ApiServer("127.0.0.1", port, data / "ca.pem", token, data / "kubeconfig")


def _serve(data: Path, stack: contextlib.ExitStack) -> ApiServer:
    programs = {name: str(binaries.program(name)) for name in ("etcd", "kube-apiserver")}
    authority = trustme.CA()
    authority.cert_pem.write_to_path(data / "ca.pem")
    identity = authority.issue_cert("127.0.0.1", "localhost")
    identity.private_key_pem.write_to_path(data / "server.key")
    for part in identity.cert_chain_pems:
        part.write_to_path(data / "server.pem", append=True)
    # Until both listen.
    ports = stack.enter_context(contextlib.ExitStack())
    port, of_etcd = ports.enter_context(reserved(2))
    server = _server(data, port, secrets.token_urlsafe(24))
    users = data / "tokens.csv"
    users.write_text(f"{server.token},admin,admin,system:masters\n", encoding="ascii")
    server.kubeconfig.write_text(json.dumps(_kubeconfig(server)), encoding="utf-8")
    etcd = f"http://127.0.0.1:{of_etcd}"
    _keep(
        stack,
        data / "etcd.log",
        *(programs["etcd"], f"--data-dir={data / 'etcd'}", "--unsafe-no-fsync"),
        *(f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}"),
        "--listen-peer-urls=http://127.0.0.1:0",
    )
    key = data / "server.key"
    policy = data.parent / _POLICY
    audit = (f"--audit-policy-file={policy}", f"--audit-log-path={data / 'audit.log'}", "-v=4")
    process = _keep(
        stack,
        data / "kube-apiserver.log",
        *(programs["kube-apiserver"], f"--etcd-servers={etcd}", f"--cert-dir={data / 'certs'}"),
        *("--bind-address=127.0.0.1", f"--secure-port={server.port}"),
        *(f"--tls-cert-file={data / 'server.pem'}", f"--tls-private-key-file={key}"),
        *("--authorization-mode=RBAC", f"--token-auth-file={users}", "--allow-privileged"),
        *("--service-cluster-ip-range=10.0.0.0/24", "--disable-admission-plugins=ServiceAccount"),
        *(f"--service-account-issuer={server.url}", f"--service-account-key-file={key}"),
        *(f"--service-account-signing-key-file={key}", *(audit if policy.exists() else ())),
    )
    while not _is_ready(server):
        if process.poll() is not None:
            said = (data / "kube-apiserver.log").read_text(errors="replace")[-4000:]
            raise ClusterFailed(f"kube-apiserver ended with {process.returncode}:\n{said}")
        time.sleep(0.02)
    ports.close()
    return server


def _keep(stack: contextlib.ExitStack, log: Path, *command: str) -> subprocess.Popen[bytes]:
    said = stack.enter_context(log.open("wb"))
    # setpriv: should the keeper be killed, they end with it.
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig=KILL", "--", *command],
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=said,
    )
    stack.callback(process.wait)
    stack.callback(process.kill)  # there is nothing to save
    return process


def _is_ready(server: ApiServer) -> bool:
    try:
        return server.call("GET", "/readyz").status == 200
    except OSError:
        return False


def _set_up(server: ApiServer) -> None:
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    server.create(definitions, yaml.safe_load(binaries.crd().read_text(encoding="utf-8")))
    for name, rules in _ROLES.items():
        role = {"metadata": {"name": name}, "rules": rules}
        server.create("/apis/rbac.authorization.k8s.io/v1/clusterroles", role)
    while server.call("GET", "/apis/kubeflow.org/v1alpha1/poddefaults").status != 200:
        time.sleep(0.02)


def _kubeconfig(server: ApiServer) -> Json:
    cluster = {"server": server.url, "certificate-authority": str(server.authority)}
    context = {"cluster": "rig", "user": "admin"}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "rig", "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": server.token}}],
        "contexts": [{"name": "rig", "context": context}],
        "current-context": "rig",
    }


def _binding(name: str, role: str, subject: Json) -> Json:
    reference = {"kind": "ClusterRole", "name": role, "apiGroup": "rbac.authorization.k8s.io"}
    return {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}


def _configuration(name: str, url: str, authority: bytes, labels: Mapping[str, str]) -> Json:
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["pods"],
    }
    hook = {
        "name": "poddefaults-webhook-deployment.kubeflow.org",
        # The order matters: the webhook's answer has neither apiVersion nor kind.
        "admissionReviewVersions": ["v1beta1", "v1"],
        "clientConfig": {"url": url, "caBundle": base64.b64encode(authority).decode()},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "namespaceSelector": {"matchLabels": dict(labels)},
        "rules": [rule],
    }
    return {"metadata": {"name": name}, "webhooks": [hook]}


def _await_webhook(server: ApiServer, hook: Webhook, name: str, labels: Mapping[str, str]) -> None:
    """Wait until the API server has noticed the configuration: it asks about a dry-run pod."""
    metadata = {"name": _probed(name), "labels": dict(labels)}
    server.call("POST", "/api/v1/namespaces", {"metadata": metadata})
    answer, hook.answer = hook.answer, lambda _: {"allowed": True}
    while not hook.asked:
        _probe(server, name)
        time.sleep(0.02)
    hook.answer = answer
    hook.asked.clear()


def _await_silence(server: ApiServer, hook: Webhook, name: str) -> None:
    """Wait until it has noticed that the configuration is gone: who ends then, refuses no pod."""
    asked, failed, answer = [*hook.asked], [*hook.failed], hook.answer
    hook.answer = lambda _: {"allowed": True}
    while True:
        hook.asked.clear()
        _probe(server, name)
        if not hook.asked:
            break
        time.sleep(0.02)
    # A test may look at these afterwards.
    hook.asked[:], hook.failed[:], hook.answer = asked, failed, answer


def _probe(server: ApiServer, name: str) -> None:
    containers = [{"name": "main", "image": "none"}]
    pod = {"metadata": {"name": "probe"}, "spec": {"containers": containers}}
    server.call("POST", f"/api/v1/namespaces/{_probed(name)}/pods?dryRun=All", pod)


def _probed(name: str) -> str:
    return f"webhook-{name}"[:63].rstrip("-.").replace(".", "-")


def _listen(hook: Webhook, authority: trustme.CA) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                status, answer = 200, hook.review(review)
            except Exception:  # noqa: BLE001  # the test sees it in `Webhook.failed`
                status, answer = 500, {"message": "the answering function failed"}
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    return httpd


if __name__ == "__main__":
    main(Path(sys.argv[1]))
