"""A real registry, its token server, and crane: built once from their Go modules.

``python -m rig.registry`` builds them. What is built stays in the user's cache, outside the
checkout.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import functools
import hashlib
import json
import os
import platform
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import bcrypt
import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from . import binaries
from .ports import reserved

MODULE = Path(__file__).resolve().parent.parent / "docker" / "programs"
"""The Go module that names the programs and their versions."""

SERVICE = "registry.test"
_FLAGS = ("-ldflags=-s -w",)


def program(name: str) -> Path:
    """Return the path of ``registry`` or ``crane``, built first where that is needed."""
    return _directory() / name


@functools.cache
def _directory() -> Path:
    target = binaries.CACHE / "registry" / _fingerprint()
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target.parent / "lock", "a", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.is_dir():
                _build(target)
    return target


@dataclass
class TokenServer:
    """A token server as the distribution project describes it, with one user."""

    username: str
    password: str
    refresh_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    address: str = ""
    _key: Any = field(
        default_factory=lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )

    def jwks(self) -> dict[str, Any]:
        """The public key, as the registry reads it."""
        numbers = self._key.public_key().public_numbers()
        return {
            "keys": [
                {
                    "kty": "RSA",
                    "kid": "tests",
                    "alg": "RS256",
                    "use": "sig",
                    "n": _base64(numbers.n.to_bytes(256, "big")),
                    "e": _base64(numbers.e.to_bytes(3, "big")),
                }
            ]
        }

    def token(self, scopes: list[str]) -> str:
        """A bearer token for scopes such as ``repository:team/image:pull,push``."""
        now = int(time.time())
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        claims = {
            "iss": "tests",
            "sub": self.username,
            "aud": SERVICE,
            "exp": now + 600,
            "nbf": now - 10,
            "iat": now,
            "jti": secrets.token_hex(8),
            "access": access,
        }
        header = {"typ": "JWT", "alg": "RS256", "kid": "tests"}
        signed = ".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_base64(signature)}"

    @contextmanager
    def serve(self) -> Iterator[TokenServer]:
        """Serve on loopback."""
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
                given = self.headers.get("Authorization", "")
                pair = f"{owner.username}:{owner.password}".encode()
                right = f"Basic {base64.b64encode(pair).decode()}"
                self.answer(given == right, asked.get("scope", []))

            def do_POST(self) -> None:
                size = int(self.headers.get("Content-Length", "0"))
                asked = urllib.parse.parse_qs(self.rfile.read(size).decode())
                right = asked.get("refresh_token") == [owner.refresh_token]
                self.answer(right, [part for one in asked.get("scope", []) for part in one.split()])

            def answer(self, right: bool, scopes: list[str]) -> None:
                body: dict[str, Any] = {"errors": [{"code": "UNAUTHORIZED"}]}
                if right:
                    token = owner.token(scopes)
                    body = {"token": token, "access_token": token, "expires_in": 600}
                content = json.dumps(body).encode()
                self.send_response(200 if right else 401)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: Any) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.address = f"http://127.0.0.1:{server.server_port}/token"
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()


@contextmanager
def basic(directory: Path, username: str, password: str) -> Iterator[str]:
    """Serve a registry with basic auth; yields its host and port."""
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
    users = directory / "htpasswd"
    users.write_text(f"{username}:{hashed}\n", encoding="utf-8")
    with _serve(directory, {"htpasswd": {"realm": "tests", "path": str(users)}}) as host:
        yield host


@contextmanager
def token(directory: Path, server: TokenServer) -> Iterator[str]:
    """Serve a registry that trusts a token server; yields its host and port."""
    keys = directory / "jwks.json"
    keys.write_text(json.dumps(server.jwks()), encoding="utf-8")
    auth = {
        "token": {
            "realm": server.address,
            "service": SERVICE,
            "issuer": "tests",
            "jwks": str(keys),
        }
    }
    with _serve(directory, auth) as host:
        yield host


def session(host: str, repository: str, found: Any) -> requests.Session:
    """A session that is logged in as a registry client logs in with credentials."""
    client = requests.Session()
    client.trust_env = False
    if found.registry_token:
        client.headers["Authorization"] = f"Bearer {found.registry_token}"
        return client
    challenge = client.get(f"http://{host}/v2/").headers["WWW-Authenticate"]
    scheme, _, rest = challenge.partition(" ")
    if scheme.lower() == "basic":
        client.auth = (found.username, found.password)
        return client
    asked = dict(part.split("=", 1) for part in rest.replace('"', "").split(","))
    scope = f"repository:{repository}:pull,push"
    if found.identity_token:
        answer = client.post(
            asked["realm"],
            data={
                "grant_type": "refresh_token",
                "refresh_token": found.identity_token,
                "service": asked["service"],
                "scope": scope,
                "client_id": "tests",
            },
        )
    else:
        answer = client.get(
            asked["realm"],
            params={"service": asked["service"], "scope": scope},
            auth=(found.username, found.password),
        )
    if answer.ok:
        client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
    return client


def push(client: requests.Session, host: str, repository: str, tag: str) -> str:
    """Push an image of one tiny layer; returns its digest."""
    layer = b"nothing to see"
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers"}})
    for blob in (layer, config.encode()):
        started = client.post(f"http://{host}/v2/{repository}/blobs/uploads/")
        started.raise_for_status()
        where = urllib.parse.urljoin(f"http://{host}", started.headers["Location"])
        joint = "&" if "?" in where else "?"
        client.put(f"{where}{joint}digest={_digest(blob)}", data=blob).raise_for_status()
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": _digest(config.encode()),
            "size": len(config),
        },
        "layers": [
            {
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": _digest(layer),
                "size": len(layer),
            }
        ],
    }
    body = json.dumps(manifest).encode()
    client.put(
        f"http://{host}/v2/{repository}/manifests/{tag}",
        data=body,
        headers={"Content-Type": kind},
    ).raise_for_status()
    return _digest(body)


def pull(client: requests.Session, host: str, repository: str, tag: str) -> requests.Response:
    """Pull an image's manifest."""
    return client.get(
        f"http://{host}/v2/{repository}/manifests/{tag}",
        headers={"Accept": "application/vnd.oci.image.manifest.v1+json"},
    )


@contextmanager
def _serve(directory: Path, auth: dict[str, Any]) -> Iterator[str]:
    (directory / "storage").mkdir(exist_ok=True)
    starting = contextlib.ExitStack()
    [port] = starting.enter_context(reserved())
    host = f"127.0.0.1:{port}"
    settings = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(directory / "storage")}},
        "http": {"addr": host, "secret": secrets.token_hex(8)},
        "auth": auth,
    }
    # JSON is YAML
    path = directory / "registry.yml"
    path.write_text(json.dumps(settings), encoding="utf-8")
    log = directory / "registry.log"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [program("registry"), "serve", path],
            stdout=output,
            stderr=output,
            env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
        )
    try:
        with starting:
            _wait(host, process, log)
        yield host
    finally:
        process.terminate()
        process.wait()


def _wait(host: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 300
    address, port = host.split(":")
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection((address, int(port)), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise binaries.RigError(f"the registry does not serve:\n{log.read_text()[-2000:]}")


def _build(target: Path) -> None:
    go = binaries.toolchain()
    made = Path(tempfile.mkdtemp(prefix=".registry-", dir=target.parent))
    try:
        made.chmod(0o755)
        command = [str(go), "build", *_FLAGS, "-o", str(made), "tool"]
        print("building registry and crane (minutes, once)", file=sys.stderr)
        flags = os.environ.get("GOFLAGS", "").split()
        done = subprocess.run(
            command,
            cwd=MODULE,
            env={
                **os.environ,
                "CGO_ENABLED": "0",
                "GOTOOLCHAIN": "local",
                "GOFLAGS": " ".join([*flags, "-buildvcs=false"]),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            said = "\n".join(done.stderr.strip().splitlines()[-20:])
            raise binaries.BuildFailed(f"{' '.join(command)} ended with {done.returncode}:\n{said}")
        made.rename(target)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _fingerprint() -> str:
    digest = hashlib.sha256("\0".join((*_FLAGS, platform.machine())).encode())
    for name in ("go.mod", "go.sum"):
        digest.update((MODULE / name).read_bytes())
    return digest.hexdigest()[:16]


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


if __name__ == "__main__":
    print(program("registry").parent)
