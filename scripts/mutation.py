"""The mutation score of the redactor: how many small changes of its code turn a test red.

Cosmic Ray makes the mutants; a sample of them, the same for the same seed, is tested in a copy of
the checkout: ``python scripts/mutation.py --count 120``. It is no part of ``make test``.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from cosmic_ray.commands.init import _all_work_items
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_item import TestOutcome

ROOT = Path(__file__).parent.parent
MODULES = """
    chains compare dumps engines fields forms index kinds markers parts passes ranges record runs
    scan stream views
"""
# The quick ones first: one that is red is enough.
TESTS = """
    test_redactor test_edges test_overmasking test_failures test_matrix test_engines
    test_adversary test_notebook test_stream
"""
# What takes long and finds little that the others don't.
LEFT_OUT = (
    "without_the_rule or pictures or source_code or largest or alone_is or pieces_of_a_token "
    "or repeat_themselves"
)


def main() -> int:
    """Test a sample of mutants and print those that no test notices."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3600, help="no new one after so long")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("kfsecrets_ext", "tests/leaks", "tests/redaction"):
            shutil.copytree(ROOT / name, Path(folder, name))
        shutil.copy(ROOT / "pyproject.toml", folder)
        os.chdir(folder)
        os.environ["PYTHONPATH"] = f"{folder}:{folder}/tests"
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        return report(options.count, options.seed, options.seconds)


def report(count: int, seed: int, seconds: float) -> int:
    """Print the outcomes of a sample of mutants; return 1 if the tests are red without any."""
    tests = " ".join(f"tests/redaction/{name}.py" for name in TESTS.split())
    command = (
        f"{sys.executable} -m pytest -x -q -p no:cacheprovider -m 'not slow' -k 'not ({LEFT_OUT})'"
        f" {tests}"
    )
    paths = [Path("kfsecrets_ext/redaction", f"{name}.py") for name in MODULES.split()]
    mutants = [item.mutations[0] for item in _all_work_items(paths, {})]
    mutants = [one for one in mutants if _is_code(one)]
    start = time.monotonic()
    if subprocess.run(shlex.split(command), check=False, stdout=subprocess.DEVNULL).returncode:
        print("The tests are red without a mutant.")
        return 1
    # Who hangs is noticed; who is only slow, on a busy machine, is not.
    longest = 5 * (time.monotonic() - start)
    print(f"{len(mutants)} mutants of {len(paths)} modules; a sample of {count}", flush=True)
    end = time.monotonic() + seconds
    outcomes: Counter[str] = Counter()
    sample = random.Random(seed).sample(mutants, min(count, len(mutants)))  # noqa: S311
    for one in sample:
        if time.monotonic() > end:
            break
        result = mutate_and_test([one], command, longest)
        outcomes[str(result.test_outcome)] += 1
        if result.test_outcome == TestOutcome.SURVIVED:
            print(f"{one.module_path}:{one.start_pos[0]} {one.operator_name} #{one.occurrence}")
            changed = [line for line in (result.diff or "").splitlines() if line[:1] in "+-"]
            print(*(f"    {line}" for line in changed[2:]), sep="\n", flush=True)
    total = sum(outcomes.values())
    noticed = total - outcomes[str(TestOutcome.SURVIVED)]
    print(f"{noticed} of {total} noticed: {noticed / max(1, total):.0%}; {dict(outcomes)}")
    return 0


def _is_code(mutant: object) -> bool:
    # An annotation is never run: "str | None" is no code.
    if "BitOr" not in mutant.operator_name:  # type: ignore[attr-defined]
        return True
    line = Path(mutant.module_path).read_text().splitlines()[mutant.start_pos[0] - 1]  # type: ignore[attr-defined]
    return re.search(r"\|=|twisted \| left|labels \| |\| escapes_in", line) is not None


if __name__ == "__main__":
    sys.exit(main())
