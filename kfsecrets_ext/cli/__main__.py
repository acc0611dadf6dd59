"""``python -m kfsecrets_ext.cli``: the same as ``jupyter kfsecrets``."""

from __future__ import annotations

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
