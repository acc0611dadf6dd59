"""Reading: a hot key against ``open(path).read()``, 200 keys against 200 files of one directory.

Claims: ``get_secret`` hot ≤ 0.8 × ``open(path).read()`` of the same file; a snapshot of 200 keys
≤ 1.5 × reading 200 files through one directory descriptor.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from figures import Figures, interleaved
from rig.kubelet import Kubelet

from kfsecrets_ext import get_secret

CALLS = 2_000


def main() -> None:
    figures = Figures()
    shm = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with Kubelet() as kubelet, tempfile.TemporaryDirectory(dir=shm) as root:
        os.environ["KFSECRETS_ROOTS"] = root
        kubelet.write_secret(f"{root}/one", {"key": os.urandom(16).hex()})
        kubelet.write_secret(f"{root}/many", {f"k{n}": os.urandom(16).hex() for n in range(200)})
        time.sleep(0.1)
        hot(figures, f"{root}/one/key")
        snapshot(figures, f"{root}/many/..data")
    figures.finish()


def hot(figures: Figures, path: str) -> None:
    def ours() -> None:
        for _ in range(CALLS):
            get_secret("one", "key")

    def peer() -> None:
        for _ in range(CALLS):
            with open(path) as file:
                file.read()

    ours_seconds, peer_seconds = interleaved(ours, peer)
    figures.ratio("get_secret hot / open(path).read()", ours_seconds / peer_seconds, 0.8)


def snapshot(figures: Figures, directory: str) -> None:
    names = [f"k{n}" for n in range(200)]

    def ours() -> None:
        get_secret("many")

    def peer() -> None:
        descriptor = os.open(directory, os.O_RDONLY)
        for name in names:
            file = os.open(name, os.O_RDONLY, dir_fd=descriptor)
            os.read(file, 4096)
            os.close(file)
        os.close(descriptor)

    ours_seconds, peer_seconds = interleaved(ours, peer, rounds=301)
    figures.ratio(
        "snapshot of 200 keys / 200 files through one descriptor",
        ours_seconds / peer_seconds,
        1.5,
    )


if __name__ == "__main__":
    main()
