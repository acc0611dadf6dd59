"""The kubelet's side of a volume: writes and rotates Secret and downward-API directories.

The writing is done by ``kubelet-volumes``, which is the kubelet's own code.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rig import binaries

if TYPE_CHECKING:
    from typing_extensions import Self

PODINFO = (
    {"path": "labels", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels"}},
    {"path": "annotations", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.annotations"}},
)
"""The files of the volume ``kfsecrets-podinfo-v1``."""


class KubeletError(binaries.RigError):
    """The kubelet's code did not write a volume."""


class Refused(KubeletError):
    """The kubelet's code refused a volume: a key that is not there, a path that leaves it."""


class Gone(KubeletError):
    """The process that writes volumes has ended; the message is what it said last."""


class Kubelet:
    """One process that writes volumes, each request when it is made, one at a time.

    Parameters
    ----------
    command : sequence of str, optional
        What starts ``kubelet-volumes``; by default, the program itself on this machine.
    plan : bytes
        What that reads on stdin before it becomes ``kubelet-volumes``.

    Examples
    --------
    >>> with Kubelet() as kubelet:
    ...     kubelet.write_secret(tmp_path / "test-secret", {"foo": b"bar"})
    ...     kubelet.write_secret(tmp_path / "test-secret", {"foo": b"rotated"})
    """

    def __init__(self, command: Sequence[str] = (), plan: bytes = b"") -> None:
        self._lock = threading.Lock()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the process
        self.process = subprocess.Popen(
            [*command] or [str(binaries.program("kubelet-volumes"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
        )
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the first request says why
            self.process.stdin.write(plan)
            self.process.stdin.flush()

    def write_secret(
        self,
        directory: str | os.PathLike[str],
        data: Mapping[str, str | bytes],
        *,
        items: Mapping[str, str] | None = None,
        mode: int | None = None,
        optional: bool = False,
    ) -> None:
        """Write or rotate the volume of a Secret (or of anything laid out as one).

        Parameters
        ----------
        directory : path
            The volume, made if it is not there.
        data : mapping
            The Secret's keys and values; text is encoded as UTF-8.
        items : mapping, optional
            Key to path below the volume; only these keys are written.
        mode : int, optional
            Permission bits of the files, 0o644 by default.
        optional : bool, optional
            Let the keys of ``items`` be absent from ``data``.

        Raises
        ------
        Refused
            The kubelet's code would not write this.
        Gone
            The process has ended.
        """
        encoded = {
            key: base64.b64encode(value.encode() if isinstance(value, str) else value).decode()
            for key, value in data.items()
        }
        request: dict[str, Any] = {"secret": {"data": encoded}, "optional": optional}
        if items is not None:
            request["items"] = [{"key": key, "path": path} for key, path in items.items()]
        self._write(directory, request, mode)

    def write_podinfo(
        self,
        directory: str | os.PathLike[str],
        labels: Mapping[str, str],
        annotations: Mapping[str, str],
        *,
        mode: int | None = None,
    ) -> None:
        """Write or rotate the downward-API volume that shows a pod its labels and annotations.

        Parameters
        ----------
        directory : path
            The volume, made if it is not there.
        labels, annotations : mapping
            The pod's.
        mode : int, optional
            Permission bits of the files, 0o644 by default.

        Raises
        ------
        Refused, Gone
            As `write_secret`.
        """
        metadata = {"labels": dict(labels), "annotations": dict(annotations)}
        self._write(directory, {"pod": {"metadata": metadata}, "fields": PODINFO}, mode)

    def close(self) -> None:
        """End the process; again is harmless."""
        with self._lock:
            for pipe in (self.process.stdin, self.process.stdout):
                assert pipe is not None
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue
            self.process.wait()
            self._said.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _write(
        self, directory: str | os.PathLike[str], request: dict[str, Any], mode: int | None
    ) -> None:
        request["dir"] = os.fspath(directory)
        if mode is not None:
            request["defaultMode"] = mode
        with self._lock:
            answer = self._ask(json.dumps(request).encode() + b"\n")
        if not answer:
            raise Gone(self._last_words())
        said = json.loads(answer)
        if "error" in said:
            raise Refused(said["error"])

    def _ask(self, line: bytes) -> bytes:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(line)
            self.process.stdin.flush()
            return self.process.stdout.readline()
        except (BrokenPipeError, ValueError):  # ended, or closed by us
            return b""

    def _last_words(self) -> str:
        code = self.process.wait()
        if self._said.closed:
            return "closed"
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip()
        return f"ended with {code}: {said}"
