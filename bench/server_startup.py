"""Server start: what the extension adds to a bare ``jupyter server``.

Claim: ≤ 5 %. Processor time from the process's start until the server says where it runs, which
takes all of a processor and waits for nothing; in turn with and without the extension, the least
of each, since whatever else the machine does only adds.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from figures import Figures
from servers import isolated, jupyter

ROUNDS = 15

# What else is installed here is no part of a bare server.
OTHERS = (
    "jupyter_lsp",
    "jupyter_server_terminals",
    "jupyterlab",
    "notebook",
    "notebook_shim",
)


def main() -> None:
    """Measure, and judge."""
    with tempfile.TemporaryDirectory() as name:
        environments = {}
        for enabled in (False, True):
            directory = Path(name, str(enabled))
            directory.mkdir()
            extensions = {**dict.fromkeys(OTHERS, False), "kfsecrets_ext": enabled}
            environments[enabled] = isolated(directory, extensions)
        times: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(ROUNDS):
            for enabled, taken in times.items():
                taken.append(start(environments[enabled], enabled))
    bare, ours = min(times[False]), min(times[True])
    print(f"bare {1000 * bare:.0f} ms, with the extension {1000 * ours:.0f} ms")
    figures = Figures()
    figures.ratio("jupyter server with the extension / bare", ours / bare, 1.05)
    figures.finish()


def start(environment: Mapping[str, str], enabled: bool) -> float:
    """Start a server and end it; give the processor's seconds until it serves."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with subprocess.Popen(
        [jupyter(), "server", "--no-browser", "--allow-root", "--ServerApp.port=0"],
        env=environment,
        cwd=environment["HOME"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if "is running at" in line:
                break
        else:
            raise RuntimeError("".join(said))
        os.killpg(process.pid, signal.SIGKILL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    loaded = any("kfsecrets_ext | extension was successfully loaded" in line for line in said)
    assert loaded is enabled
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


if __name__ == "__main__":
    main()
