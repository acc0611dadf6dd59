"""All figures: ``python -m bench``, or some by name: ``python -m bench reading rotation``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
NOT_A_BENCH = {"__init__", "__main__", "figures"}


def main() -> int:
    names = sys.argv[1:] or sorted(
        path.stem for path in HERE.glob("*.py") if path.stem not in NOT_A_BENCH
    )
    broken = []
    for name in names:
        print(f"── {name}", flush=True)
        ran = subprocess.run(
            [sys.executable, str(HERE / f"{name}.py")], check=False, env=os.environ
        )
        if ran.returncode:
            broken.append(name)
    if broken:
        print(f"\nBroken: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
