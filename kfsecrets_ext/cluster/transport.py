"""Requests to an API server: sent again where that is safe, in a bounded number at once.

Through the connections of a `Session`, not through the official client's own requests: those log
bodies in some versions, carry them in their errors, and do not repeat writes. Nothing is logged
here.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import urllib3
from urllib3 import exceptions

from kfsecrets_ext.errors import ClusterError
from kfsecrets_ext.values import SecretBytes

from .answers import is_final, is_of_another_kind, status_of
from .pace import Pace, delay
from .session import Session, Target

__all__ = ["FAULTS", "JSON", "Answer", "Fault", "Transport", "lines"]

JSON = "application/json"

_CONNECT, _READ = 10.0, 60.0  # s; the API server itself ends a request after 60
_TRIES = 8
_PATIENCE = 120.0  # s
_BUSY = frozenset({429, 503, 504})
_AGAIN = frozenset({500, 502, 503, 504})


@dataclass(frozen=True)
class Fault:
    """Why there is no answer.

    Attributes
    ----------
    cause : str
        In words, without anything of the request or the answer.
    sent : bool
        The server may have got the request.
    slow : bool
        It did not answer in time.
    hopeless : bool
        It will be the same the next time.
    """

    cause: str
    sent: bool = True
    slow: bool = False
    hopeless: bool = False


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes
    ----------
    status : int
        Of HTTP; 0 where nothing came.
    body : bytes
    uncertain : bool
        An earlier attempt, or this one, may have changed something without our being told.
    cut : bool
        The body is larger than what was wanted, and not here.
    fault : Fault or None
        Where nothing came.
    """

    status: int
    body: bytes = field(default=b"", repr=False)
    uncertain: bool = False
    cut: bool = False
    fault: Fault | None = None


class Transport:
    """The connections to one API server.

    Parameters
    ----------
    target : Target
        Where the credentials come from, at first and whenever they are too old.
    workers : int
        How many requests may run at once.
    """

    def __init__(self, target: Target, workers: int) -> None:
        self.pace = Pace(workers)
        self._target = target
        self._session = target.open()
        self._renewing = threading.Lock()
        self._answered = False
        self._timeout = urllib3.Timeout(connect=_CONNECT, read=_READ)

    @property
    def server(self) -> str:
        """The server's address."""
        return self._session.server

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        content: str = JSON,
        accept: str = JSON,
        changes: bool = False,
        repeat: bool = True,
        most: int | None = None,
    ) -> Answer:
        """Send a request until it is answered.

        Parameters
        ----------
        method, path : str
            The path with its query.
        body : bytes, optional
        content, accept : str
        changes : bool
            It may change something.
        repeat : bool
            It may be sent again where it is not known whether it was done.
        most : int, optional
            Do not take more bytes than that.
        """
        end = time.monotonic() + _PATIENCE
        attempt, uncertain, renewed = 0, False, False
        while True:
            session = self._current()
            headers = {**session.headers, "Accept": accept}
            if body is not None:
                headers["Content-Type"] = content
            era = self.pace.enter()
            busy = False
            try:
                answer, asked = self._once(
                    session, method, path, body=body, headers=headers, most=most
                )
                busy = answer.status in _BUSY or (answer.fault is not None and answer.fault.slow)
            finally:
                self.pace.leave(era, busy=busy)
            status, fault = answer.status, answer.fault
            if fault is None:
                self._answered = True
                if status < 400:
                    return replace(answer, uncertain=True) if uncertain else answer
                if status == 401 and not renewed and self._renew(session):
                    renewed = True
                    continue
            failed = status in _AGAIN or (fault is not None and fault.sent)
            uncertain = uncertain or (changes and failed)
            if status == 429:
                again = True
            elif fault is not None and not fault.sent:
                # An address that never answered is not worth waiting for.
                again = self._answered and not fault.hopeless and attempt < _TRIES
            elif status == 409:
                again = attempt < _TRIES and is_of_another_kind(status_of(answer.body), path)
            else:
                again = failed and repeat and attempt < _TRIES
                again = again and not (status == 500 and is_final(status_of(answer.body)))
            wait = delay(attempt, asked)
            if not again or time.monotonic() + wait > end:
                return replace(answer, uncertain=uncertain)
            time.sleep(wait)
            attempt += 1

    def stream(self, path: str, *, timeout: float) -> tuple[Answer, Any]:
        """Open a watch, in one attempt; the response where it is one.

        Parameters
        ----------
        path : str
        timeout : float
            Seconds without any news.
        """
        session = self._current()
        fault, response = None, None
        try:
            response = session.pool.urlopen(
                "GET",
                session.base + path,
                headers={**session.headers, "Accept": JSON},
                retries=False,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
                timeout=urllib3.Timeout(connect=_CONNECT, read=timeout),
            )
            if response.status == 200:
                self._answered = True
                return Answer(200), response
            answer = Answer(response.status, SecretBytes(response.data))
        except FAULTS as error:
            fault = _fault(error)
        if fault is not None:
            return Answer(0, fault=fault), None
        if answer.status == 401:
            self._renew(session)
        return answer, None

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _once(
        self,
        session: Session,
        method: str,
        path: str,
        *,
        body: bytes | None,
        headers: dict[str, str],
        most: int | None,
    ) -> tuple[Answer, str | None]:
        """Send a request once; the answer, and its ``Retry-After``."""
        try:
            response = session.pool.urlopen(
                method,
                session.base + path,
                body=body,
                headers=headers,
                retries=False,
                redirect=False,
                assert_same_host=False,
                preload_content=most is None,
                timeout=self._timeout,
            )
            if most is None:
                answer = Answer(response.status, SecretBytes(response.data))
            else:
                answer = _bounded(response, most)
            if answer.cut or _is_whole(response, answer.body):
                return answer, response.headers.get("Retry-After")
            fault = Fault("the connection fails")
        except FAULTS as error:
            fault = _fault(error)
        return Answer(0, fault=fault), None

    def _current(self) -> Session:
        session = self._session
        if time.monotonic() >= session.until:
            self._renew(session)
        return self._session

    def _renew(self, old: Session) -> bool:
        """Read the credentials anew; say whether there are others now."""
        with self._renewing:
            if self._session is not old:
                return True
            new = None
            # What there is may still do; else the server says so.
            with contextlib.suppress(ClusterError):
                new = self._target.open()
            if new is None:
                self._session = replace(old, until=time.monotonic() + _READ)
                return False
            if new.trust == old.trust:
                # The connections that are open are good for other credentials, too.
                new.close()
                self._session = replace(old, headers=new.headers, until=new.until)
                return dict(new.headers) != dict(old.headers)
            self._session = new
        old.close()
        return True


def lines(response: Any) -> Iterator[SecretBytes]:
    """Yield the lines of a stream as they come."""
    rest = b""
    for part in response.stream(1 << 16, decode_content=True):
        *whole, rest = (rest + part).split(b"\n")
        for line in whole:
            if line.strip():
                yield SecretBytes(line)


FAULTS = (exceptions.HTTPError, OSError, http.client.HTTPException)


def _fault(error: BaseException) -> Fault:
    """Name what went wrong with a connection; the texts of these errors are not kept."""
    if isinstance(error, (exceptions.SSLError, ssl.SSLError)) and _is_of_trust(error):
        return Fault("its certificate is not trusted", sent=False, hopeless=True)
    if isinstance(error, exceptions.ProxyError):
        return Fault("the proxy does not let it through", sent=False)
    # In version 1 a timeout's subclass.
    if isinstance(error, exceptions.NewConnectionError):
        return Fault("no connection to it can be made", sent=False)
    if isinstance(error, exceptions.ConnectTimeoutError):
        return Fault("it takes too long", sent=False, slow=True)
    if isinstance(error, exceptions.TimeoutError):
        return Fault("it takes too long", slow=True)
    return Fault("the connection fails")


def _is_whole(response: Any, body: bytes) -> bool:
    """Compare with what was announced, which urllib3 does from version 2 on."""
    length = response.headers.get("Content-Length") or ""
    coded = "Content-Encoding" in response.headers
    return coded or not length.isdecimal() or int(length) == len(body)


def _is_of_trust(error: BaseException) -> bool:
    inner = error.args[0] if error.args else None
    # Version 1 of urllib3 has a CertificateError of its own.
    return isinstance(inner, ssl.SSLCertVerificationError) or (
        type(inner).__name__ == "CertificateError" or "certificate" in str(error).lower()
    )


def _bounded(response: Any, most: int) -> Answer:
    length = response.headers.get("Content-Length") or ""
    parts: list[SecretBytes] = []
    size = int(length) if length.isdecimal() else 0
    if size <= most:
        size = 0
        for part in map(SecretBytes, response.stream(1 << 18, decode_content=True)):
            parts.append(part)
            size += len(part)
            if size > most:
                break
    if size > most:
        # What is still to come is not worth the connection.
        response.close()
        return Answer(response.status, cut=True)
    response.release_conn()
    return Answer(response.status, SecretBytes(b"".join(parts)))
