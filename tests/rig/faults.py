"""What stands between a client and the API server, and does it harm: on demand, and only that.

`Faults` ends TLS, sees each request and may refuse it, cut it off or keep it waiting; what it lets
through, the real API server answers. `Distance` carries bytes with a delay and knows nothing of
them, for benchmarks (a process of its own: ``python -m rig.faults``). `ConnectProxy` is an HTTP
proxy as in companies.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import json
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trustme

from rig.apiserver import ApiServer

if TYPE_CHECKING:
    from typing_extensions import Self

Json = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """A request that came.

    Parameters
    ----------
    method, path : str
        The path with its query.
    headers : mapping
    body : bytes
    number : int
        Of its method and its path without the query, from 1: the attempts at one thing.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    number: int


@dataclass(frozen=True)
class Refuse:
    """Answer in the API server's place.

    Parameters
    ----------
    status : int
    retry_after : int, optional
    reason, message : str
        Of the ``Status``.
    carry_on : bool
        Let the API server do it all the same: the answer is a lie.
    metadata : mapping
        Of the ``Status``.
    """

    status: int
    retry_after: int | None = None
    reason: str = ""
    message: str = "a fault of the rig"
    carry_on: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reset:
    """Cut the connection, with RST.

    Parameters
    ----------
    when : str
        ``"before"`` or ``"after"`` the API server did it, or ``"within"`` its answer.
    """

    when: str = "before"


@dataclass(frozen=True)
class Wait:
    """Keep a request waiting.

    Parameters
    ----------
    seconds : float
    """

    seconds: float


@dataclass(frozen=True)
class Say:
    """Answer 200 in the API server's place.

    Parameters
    ----------
    content : bytes
        JSON; in a watch, lines of it.
    """

    content: bytes


Fault = Refuse | Reset | Wait | Say | None
Decide = Callable[[Seen], Fault]


class Faults:
    """A running proxy.

    Attributes
    ----------
    decide : callable
        Says what happens to a request; a test may exchange it. It is called in many threads.
    seen : list of Seen
    running, most : int
        Requests at this moment, and the most there ever were at once.
    """

    def __init__(self, server: ApiServer, port: int, authority: bytes, decide: Decide) -> None:
        self.server = server
        self.url = f"https://127.0.0.1:{port}"
        self.authority = authority
        self.decide = decide
        self.seen: list[Seen] = []
        self.running = self.most = 0
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def kubeconfig(self, place: Path, **user: Any) -> Path:
        """Write a kubeconfig that leads through here.

        Parameters
        ----------
        place : Path
        **user
            The user's entry, instead of the administrator's token.
        """
        authority = base64.b64encode(self.authority).decode()
        cluster = {"server": self.url, "certificate-authority-data": authority}
        held = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "faulty", "cluster": cluster}],
            "users": [{"name": "admin", "user": user or {"token": self.server.token}}],
            "contexts": [{"name": "faulty", "context": {"cluster": "faulty", "user": "admin"}}],
            "current-context": "faulty",
        }
        place.write_text(json.dumps(held), encoding="utf-8")
        return place

    def count(self, method: str, words: str = "") -> int:
        """Count the requests of a method whose path has these words."""
        return sum(one.method == method and words in one.path for one in self.seen)

    def note(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Seen:
        """Note a request."""
        with self._lock:
            key = method, path.partition("?")[0]
            self._counts[key] += 1
            seen = Seen(method, path, headers, body, self._counts[key])
            self.seen.append(seen)
            return seen

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Count a request that runs."""
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            yield
        finally:
            with self._lock:
                self.running -= 1


@contextmanager
def faults(server: ApiServer, decide: Decide = lambda _: None) -> Iterator[Faults]:
    """Put a proxy before the API server.

    Parameters
    ----------
    server : ApiServer
    decide : callable
        `Faults.decide`.
    """
    authority = trustme.CA()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    httpd.daemon_threads = True
    proxy = Faults(server, httpd.server_address[1], authority.cert_pem.bytes(), decide)
    httpd.RequestHandlerClass = _handler(proxy)
    httpd.handle_error = lambda *_: None  # type: ignore[method-assign]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    # The handshake belongs to the connection's own thread.
    httpd.socket = context.wrap_socket(
        httpd.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=httpd.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def first(number: int, fault: Fault, *, method: str = "", words: str = "") -> Decide:
    """Make the first attempts at each thing fail.

    Parameters
    ----------
    number : int
        How many.
    fault : Fault
    method, words : str
        Of which requests.
    """

    def decide(seen: Seen) -> Fault:
        concerned = method in ("", seen.method) and words in seen.path
        return fault if concerned and seen.number <= number else None

    return decide


def _handler(proxy: Faults) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        upstream: http.client.HTTPSConnection | None = None
        wbufsize = 1 << 16
        disable_nagle_algorithm = True

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except (OSError, ssl.SSLError, http.client.HTTPException):
                self.close_connection = True

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self.serve
            raise AttributeError(name)

        def serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            seen = proxy.note(self.command, self.path, dict(self.headers), body)
            with proxy.at_work():
                self.answer(seen, proxy.decide(seen))

        def answer(self, seen: Seen, fault: Fault) -> None:
            if isinstance(fault, Wait):
                time.sleep(fault.seconds)
            if fault == Reset("before"):
                self.reset()
                return
            if isinstance(fault, Refuse):
                if fault.carry_on:
                    self.asked(seen).read()
                self.refuse(fault)
                return
            if isinstance(fault, Say):
                self.say(200, fault.content)
                return
            response = self.asked(seen)
            if fault == Reset("after"):
                response.read()
                self.reset()
                return
            self.pass_on(response, within=fault == Reset("within"))

        def asked(self, seen: Seen) -> http.client.HTTPResponse:
            if self.upstream is None:
                trust = ssl.create_default_context(cafile=str(proxy.server.authority))
                self.upstream = http.client.HTTPSConnection(
                    proxy.server.host, proxy.server.port, context=trust
                )
            headers = {**seen.headers, "Content-Length": str(len(seen.body))}
            headers.pop("Host", None)
            self.upstream.request(seen.method, seen.path, seen.body, headers)
            return self.upstream.getresponse()

        def pass_on(self, response: http.client.HTTPResponse, *, within: bool) -> None:
            self.send_response_only(response.status)
            for name in ("Content-Type", "Retry-After", "Audit-Id", "Warning"):
                if response.getheader(name):
                    self.send_header(name, str(response.getheader(name)))
            if response.chunked:
                # A watch, or a long answer.
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.flush()
                while part := response.read1(1 << 16):
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
                    self.wfile.flush()
                    if within:
                        self.reset()
                        return
                self.wfile.write(b"0\r\n\r\n")
                self.wfile.flush()
                return
            content = response.read()
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if within:
                self.wfile.write(content[: len(content) // 2])
                self.wfile.flush()
                self.reset()
                return
            self.wfile.write(content)
            self.wfile.flush()

        def refuse(self, fault: Refuse) -> None:
            status = {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": dict(fault.metadata),
                "status": "Failure",
                "message": fault.message,
                "reason": fault.reason,
                "code": fault.status,
            }
            self.say(fault.status, json.dumps(status).encode(), fault.retry_after)

        def say(self, status: int, content: bytes, retry_after: int | None = None) -> None:
            self.send_response_only(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            if retry_after is not None:
                self.send_header("Retry-After", str(retry_after))
            self.end_headers()
            self.wfile.write(content)
            self.wfile.flush()

        def reset(self) -> None:
            self.close_connection = True
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            # With the descriptor goes the connection, without TLS saying goodbye.
            socket.socket(fileno=self.connection.detach()).close()
            self.wfile = open("/dev/null", "wb")  # noqa: SIM115

        def finish(self) -> None:
            if self.upstream is not None:
                self.upstream.close()
            with contextlib.suppress(OSError, ValueError):
                super().finish()

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


# ── distance ─────────────────────────────────────────────────────────────────


@contextmanager
def distance(server: ApiServer, round_trip: float, place: Path) -> Iterator[Path]:
    """Move the API server away.

    Parameters
    ----------
    server : ApiServer
    round_trip : float
        Seconds that it takes longer to get an answer.
    place : Path
        For the kubeconfig.

    Yields
    ------
    Path
        The kubeconfig, as the rig's own but for the port.
    """
    command = (sys.executable, "-m", "rig.faults", server.host, str(server.port), str(round_trip))
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent
    ) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            held = json.loads(server.kubeconfig.read_text(encoding="utf-8"))
            held["clusters"][0]["cluster"]["server"] = f"https://{server.host}:{port}"
            place.write_text(json.dumps(held), encoding="utf-8")
            yield place
        finally:
            process.kill()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, late: float) -> None:
    """Carry bytes one way: what comes at a moment leaves that much later."""
    loop = asyncio.get_running_loop()
    on_the_way: deque[tuple[float, bytes]] = deque()
    more = asyncio.Event()

    async def deliver() -> None:
        while True:
            while not on_the_way:
                more.clear()
                await more.wait()
            due, part = on_the_way.popleft()
            await asyncio.sleep(due - loop.time())
            if not part:
                writer.close()
                return
            writer.write(part)

    delivery = asyncio.ensure_future(deliver())
    part = b"x"
    while part:
        try:
            part = await reader.read(1 << 16)
        except OSError:
            part = b""
        on_the_way.append((loop.time() + late, part))
        more.set()
    await delivery


async def _away(host: str, port: int, round_trip: float) -> None:
    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, port)
        await asyncio.gather(
            _carry(reader, back, round_trip / 2), _carry(there, writer, round_trip / 2)
        )

    listening = await asyncio.start_server(met, "127.0.0.1", 0, backlog=256)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


# ── a company's proxy ────────────────────────────────────────────────────────


class ConnectProxy:
    """An HTTP proxy that makes tunnels.

    Parameters
    ----------
    login : str, optional
        ``user:password`` that it wants to hear.

    Attributes
    ----------
    targets : list of str
        Whereto it made one.
    refused : int
    """

    def __init__(self, login: str | None = None) -> None:
        self.login = login
        self.targets: list[str] = []
        self.refused = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # accept() in the other thread ends with it
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            part = client.recv(4096)
            if not part:
                client.close()
                return
            head += part
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        wanted = self.login and base64.b64encode(self.login.encode()).decode()
        said = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if method != "CONNECT" or (wanted and said.get("proxy-authorization") != f"Basic {wanted}"):
            self.refused += 1
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            client.close()
            return
        self.targets.append(target)
        host, _, port = target.rpartition(":")
        server = socket.create_connection((host, int(port)))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = threading.Thread(target=_pump, args=(server, client), daemon=True)
        back.start()
        _pump(client, server)
        back.join()
        client.close()
        server.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(1 << 16):
            sink.sendall(part)
        sink.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_away(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
