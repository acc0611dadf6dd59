"""Turn this container into the demo's pod: ``python -m kfsecrets_ext.demo COMMAND…``.

Lays the pod out and becomes the command in it, as Binder starts a notebook server.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from . import DemoError
from .pod import lay_out


def main(command: list[str]) -> int:
    """Lay the pod out, and become the command."""
    if not command:
        sys.stderr.write("usage: python -m kfsecrets_ext.demo COMMAND…\n")
        return 2
    try:
        pod = lay_out(Path(tempfile.mkdtemp(prefix="kfsecrets-demo-")))
        # It ends with this process, which becomes the command.
        subprocess.Popen(
            [
                *(sys.executable, "-m", "kfsecrets_ext.demo.follow"),
                *(str(pod.directory), str(os.getpid())),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.execvpe(command[0], command, {**os.environ, **pod.variables()})  # noqa: S606
    except (DemoError, OSError) as error:
        sys.stderr.write(f"{error}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
