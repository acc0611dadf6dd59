"""What the guard costs a kernel, and its hook every start of Python.

``print`` of 100,000 numbers in a real kernel, against a kernel without the guard, in 31 pairs by
turns; two kernels without it differ by what is said beside it. Time is the processes' own (CPU),
which a busy machine does not lengthen.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil
from figures import Figures
from leaks.matrix import token
from rig.kernels import Environment, Kernel, running, scratch_environment
from rig.kubelet import Kubelet

from kfsecrets_ext.values import SecretStr

PAIRS = 31
STARTS = 101
SECRETS = 1000
LOOP = "for i in range(100_000):\n    print(i)"


def main() -> None:
    """Print the figures."""
    figures = Figures()
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        root = base / "secret"
        root.mkdir()
        with Kubelet() as kubelet:
            for number in range(SECRETS):
                kubelet.write_secret(root / f"secret-{number}", {"key": SecretStr(token(32))})
        with_hook = scratch_environment(base / "with")
        without = scratch_environment(base / "without", hook=False)
        printing(figures, base, root, with_hook, without)
        starting(figures, with_hook, without)
    figures.finish()


def printing(
    figures: Figures, base: Path, root: Path, with_hook: Environment, without: Environment
) -> None:
    """Compare kernels with and without the guard, and two without."""
    with ExitStack() as stack:
        kernels = [
            stack.enter_context(running(made, base / f"kernel-{number}", root))
            for number, made in enumerate((with_hook, without, without))
        ]
        assert kernels[0].ask("kernel_info_request", {}).reply["kfsecrets"]["guard"] == "on"
        for kernel in kernels:
            spent(kernel)
        guarded, plain, other = zip(
            *(tuple(spent(kernel) for kernel in kernels) for _ in range(PAIRS)), strict=True
        )
    noise = _median_ratio(other, plain)
    difference = abs(noise - 1)
    print(f"two kernels without the guard: {noise:.3f}")
    ratio = _median_ratio(guarded, plain)
    figures.ratio(
        f"print of 100,000 numbers, {SECRETS} secrets / without", ratio, 1.03 + difference
    )


def spent(kernel: Kernel) -> float:
    """Return the seconds of processor time that a kernel takes for the loop."""
    process = psutil.Process(kernel.process.pid)
    before = process.cpu_times()
    cell = kernel.run(LOOP)
    after = process.cpu_times()
    assert cell.text() == "".join(f"{number}\n" for number in range(100_000))
    return after.user + after.system - before.user - before.system


def starting(figures: Figures, with_hook: Environment, without: Environment) -> None:
    """Compare starts of Python with and without the hook."""
    calls = [_start(with_hook), _start(without), _start(without)]
    for call in calls:
        call()
    hooked, plain, other = zip(
        *(tuple(call() for call in calls) for _ in range(STARTS)), strict=True
    )
    print(f"two starts without the hook: {_median_ratio(other, plain):.3f}")
    figures.ratio("start of Python with the hook / without", _median_ratio(hooked, plain), 1.05)


def _start(made: Environment) -> Callable[[], float]:
    env = {"PATH": os.environ["PATH"]}

    def start() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([str(made.python), "-c", "pass"], check=True, env=env)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return start


def _median_ratio(ours: tuple[float, ...], peer: tuple[float, ...]) -> float:
    return statistics.median(ours) / statistics.median(peer)


if __name__ == "__main__":
    main()
