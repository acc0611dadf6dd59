"""The command line's start: ``jupyter kfsecrets --help`` beside ``jupyter kernelspec --help``.

Processor time, which waits for nothing, in turn; the least of each counts, since whatever else
the machine does only adds.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from figures import Figures

ROUNDS = 21
OURS, PEER = "kfsecrets", "kernelspec"


def main() -> None:
    """Measure, and judge."""
    times: dict[str, list[float]] = {OURS: [], PEER: []}
    for _ in range(ROUNDS):
        for command, taken in times.items():
            taken.append(start(command))
    ours, peer = min(times[OURS]), min(times[PEER])
    print(
        f"  jupyter {OURS} --help {1000 * ours:.0f} ms, jupyter {PEER} --help {1000 * peer:.0f} ms"
    )
    figures = Figures()
    figures.ratio(f"jupyter {OURS} --help / jupyter {PEER} --help", ours / peer, 1.25)
    figures.finish()


def start(command: str) -> float:
    """Ask for the help of a command; give the processor's seconds."""
    jupyter = Path(sys.executable).with_name("jupyter")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run(
        [jupyter, command, "--help"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ran.stdout
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
