"""Rotation: a 20-key secret that the kubelet's code rotates every millisecond, read 100,000 times.

Claim: 0 torn snapshots and 0 errors.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

TESTS = str(Path(__file__).parent.parent / "tests")
sys.path.insert(0, TESTS)

from figures import Figures
from rig import binaries

from kfsecrets_ext import get_secret
from kfsecrets_ext.errors import SecretError

READS = 100_000
ROTATOR = textwrap.dedent(
    """
    import sys, time
    from rig.kubelet import Kubelet
    with Kubelet() as kubelet:
        generation = 0
        while True:
            kubelet.write_secret(sys.argv[1], {f"k{n}": f"{generation}" for n in range(20)})
            if not generation:
                print("ready", flush=True)
            generation += 1
            time.sleep(0.001)
    """
)


def main() -> None:
    figures = Figures()
    binaries.program("kubelet-volumes")
    torn = errors = 0
    seen = set()
    shm = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=shm) as root:
        os.environ["KFSECRETS_ROOTS"] = root
        rotator = subprocess.Popen(
            [sys.executable, "-c", ROTATOR, f"{root}/rotating"],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": TESTS},
            start_new_session=True,
        )
        assert rotator.stdout is not None
        try:
            rotator.stdout.readline()
            for _ in range(READS):
                try:
                    values = set(get_secret("rotating").values())
                except SecretError:
                    errors += 1
                    continue
                torn += len(values) != 1
                seen |= values
        finally:
            os.killpg(rotator.pid, signal.SIGKILL)
            rotator.communicate()
    print(f"{READS} reads saw {len(seen)} generations")
    figures.count("torn snapshots", torn, 0)
    figures.count("errors", errors, 0)
    figures.finish()


if __name__ == "__main__":
    main()
