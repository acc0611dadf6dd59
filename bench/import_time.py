"""Import: the whole process ``python -c "import kfsecrets_ext"`` against ``python -c pass``.

Claim: ≤ 1.25 × a bare process of an environment without the product.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from figures import Figures, interleaved

PACKAGE = Path(__file__).parent.parent / "kfsecrets_ext"
HEAVY = ("kubernetes", "ipywidgets", "jupyter_server", "traitlets", "yaml", "IPython")


def main() -> None:
    figures = Figures()
    with tempfile.TemporaryDirectory() as directory:
        bare, with_product = Path(directory, "bare"), Path(directory, "product")
        for environment in (bare, with_product):
            venv.create(environment, symlinks=True)
        (site,) = with_product.glob("lib/python3*/site-packages")
        (site / "kfsecrets_ext").symlink_to(PACKAGE)
        python, peer = with_product / "bin" / "python", bare / "bin" / "python"

        def run(program: Path, code: str) -> None:
            subprocess.run([program, "-c", code], check=True)

        ours_seconds, peer_seconds = interleaved(
            lambda: run(python, "import kfsecrets_ext"), lambda: run(peer, "pass"), rounds=101
        )
        figures.ratio("import kfsecrets_ext / python -c pass", ours_seconds / peer_seconds, 1.25)
        loaded = subprocess.run(
            [
                sys.executable,
                "-c",
                f"import sys, kfsecrets_ext; print(sum(n in sys.modules for n in {HEAVY!r}))",
            ],
            check=True,
            capture_output=True,
            text=True,
        )
        figures.count("heavy modules imported by it", int(loaded.stdout), 0)
    figures.finish()


if __name__ == "__main__":
    main()
