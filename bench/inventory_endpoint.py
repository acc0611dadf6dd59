"""``GET …/secrets`` with 1,000 mounts of 10 keys, against what Jupyter and Python do there.

The peers are measured in turn with it: ``/api/contents`` of the same server on the folder of
mounts, and a bare ``os.scandir`` walk with ``stat`` of the same files. Before each first call
the kubelet rotates every mount, so that nothing of the call before can be used. The quickest of
each counts: whatever else the machine does only adds.
"""

from __future__ import annotations

import http.client
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from figures import Figures
from rig.kubelet import Kubelet
from servers import Server, serving

MOUNTS = 1000
KEYS = 10
ROUNDS = 11

# Others work in the background for a while after the start.
ALONE = {
    "jupyter_lsp": False,
    "jupyter_server_terminals": False,
    "jupyterlab": False,
    "kfsecrets_ext": True,
    "notebook": False,
    "notebook_shim": False,
}


class Client:
    """A browser, so to say: it asks one server over one connection."""

    def __init__(self, server: Server):
        self._server = server
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port)

    def inventory(self) -> None:
        """Ask for the Secrets."""
        assert self.ask("kfsecrets/api/v1/secrets").count(b'"variable"') == MOUNTS * KEYS

    def contents(self) -> None:
        """Ask for the folder of mounts."""
        assert self.ask("api/contents/mounts").count(b'"last_modified"') == MOUNTS + 1

    def ask(self, path: str) -> bytes:
        """Ask for a path below the base URL; give the body."""
        self._connection.request("GET", self._server.base_url + path)
        response = self._connection.getresponse()
        body = response.read()
        assert response.status == 200, body
        return body


def main() -> None:
    """Measure, and judge."""
    with tempfile.TemporaryDirectory() as name, Kubelet() as kubelet:
        directory = Path(name)
        root = directory / "home" / "mounts"
        root.mkdir(parents=True)
        write(kubelet, root, "before")
        describe(root, directory / "mountinfo")
        environment = {"KFSECRETS_ROOTS": str(root)}
        with serving(directory, command=("server",), env=environment, extensions=ALONE) as server:
            first, second, contents, walk = measure(Client(server), kubelet, root)
    print(
        f"first call {1000 * first:.1f} ms, second {1000 * second:.1f} ms, "
        f"/api/contents {1000 * contents:.1f} ms, os.scandir {1000 * walk:.1f} ms"
    )
    figures = Figures()
    figures.ratio("GET secrets / GET api/contents of the mounts", first / contents, 0.5)
    figures.ratio("GET secrets / os.scandir walk with stat", first / walk, 3)
    figures.ratio("GET secrets, second call / first", second / first, 0.2)
    figures.finish()


def measure(client: Client, kubelet: Kubelet, root: Path) -> tuple[float, float, float, float]:
    """Give the quickest of each, in seconds."""
    calls: tuple[Callable[[], object], ...] = (
        client.inventory,
        client.inventory,
        client.contents,
        lambda: bare_walk(root),
    )
    times: list[list[float]] = [[] for _ in calls]
    for number in range(ROUNDS):
        write(kubelet, root, f"round {number}")
        for call, taken in zip(calls, times, strict=True):
            started = time.perf_counter()
            call()
            taken.append(time.perf_counter() - started)
    first, second, contents, walk = (min(taken) for taken in times)
    return first, second, contents, walk


def write(kubelet: Kubelet, root: Path, value: str) -> None:
    """Write or rotate every mount."""
    data = {f"key-{number}": value for number in range(KEYS)}
    for number in range(MOUNTS):
        kubelet.write_secret(root / f"secret-{number:04}", data)


def describe(root: Path, mountinfo: Path) -> None:
    """Write the mount table that a pod with these mounts has."""
    lines = (
        f"{900 + number} 600 0:{100 + number} / {path} ro,relatime - "
        "tmpfs tmpfs rw,size=1048576k,inode64\n"
        for number, path in enumerate(sorted(root.iterdir()))
    )
    mountinfo.write_text("".join(lines), encoding="utf-8")


def bare_walk(directory: str | os.PathLike[str]) -> None:
    """Look at everything below a directory."""
    with os.scandir(directory) as entries:
        for entry in entries:
            entry.stat(follow_symlinks=False)
            if entry.is_dir(follow_symlinks=False):
                bare_walk(entry.path)


if __name__ == "__main__":
    main()
