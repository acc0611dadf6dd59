"""An API server of one object, over TLS: what a pod asks for itself with its service account."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme

TOKEN = "a service account's token"


@dataclass
class PodApi:
    """What it answers, and what it was asked.

    Attributes
    ----------
    variables : mapping
        What a pod's process finds it by.
    status : int
    body : bytes
    pause : float
        In seconds, before each byte of the body.
    asked : list of tuple
        Path and authorization of each request.
    """

    variables: Mapping[str, str]
    status: int = 200
    body: bytes = json.dumps({"metadata": {"name": "nb-0"}}).encode()
    pause: float = 0.0
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@contextmanager
def serving(account: Path) -> Iterator[PodApi]:
    """Serve until the block ends.

    Parameters
    ----------
    account : Path
        Becomes the directory of the service account.
    """
    account.mkdir()
    (account / "token").write_text(TOKEN)
    (account / "namespace").write_text("alice")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(account / "ca.crt"))
    ended = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            api.asked.append((self.path, self.headers["Authorization"]))
            self.send_response(api.status)
            self.end_headers()
            if not api.pause:
                self.wfile.write(api.body)
                return
            for byte in api.body:
                if ended.wait(api.pause):
                    return
                self.wfile.write(bytes([byte]))

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(trust)
    server.socket = trust.wrap_socket(server.socket, server_side=True)
    api = PodApi(
        {
            "KFSECRETS_SERVICEACCOUNT": str(account),
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT_HTTPS": str(server.server_port),
        }
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield api
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
