"""Looking up registry credentials, against docker-py on the same file.

Prints ``name: ratio (limit)`` a line; ends with 1 if a limit is broken.
"""

from __future__ import annotations

import base64
import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from docker.auth import load_config, resolve_authconfig

from kfsecrets_ext.docker import get_docker_credentials, sources

REGISTRIES = 1000
ROUNDS = 60


def main() -> int:
    """Measure, print, and judge."""
    broken = False
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "config.json"
        path.write_text(json.dumps(configuration()), encoding="utf-8")
        time.sleep(0.2)  # a file that has just changed is not remembered
        for name, registry in (
            ("host", "registry-0500.example.org"),
            ("image", "registry-0500.example.org/team/image:1.2"),
            ("URL key", "registry-0999.example.org"),
        ):
            ours, theirs = alternately(
                lambda registry=registry: first(path, registry),
                lambda registry=registry: peer(path, registry.partition("/")[0]),
            )
            broken |= verdict(f"look-up among {REGISTRIES} ({name}) / docker-py", ours / theirs, 1)
            hundredth = again(path, registry)
            broken |= verdict(f"hundredth look-up ({name}) / first", hundredth / ours, 0.1)
    return int(broken)


def configuration() -> dict[str, object]:
    auths: dict[str, object] = {}
    for number in range(REGISTRIES):
        host = f"registry-{number:04}.example.org"
        pair = base64.b64encode(f"user-{number}:password-of-{number}".encode()).decode()
        auths[f"https://{host}/v1/" if number % 10 == 9 else host] = {"auth": pair}
    return {"auths": auths}


def first(path: Path, registry: str) -> None:
    sources.forget()
    assert get_docker_credentials(registry, config=path).username


def peer(path: Path, registry: str) -> None:
    assert resolve_authconfig(load_config(str(path)), registry)


def again(path: Path, registry: str) -> float:
    """Seconds of the hundredth look-up: the median of several hundredths."""
    took = []
    for _ in range(15):
        sources.forget()
        for _ in range(99):
            get_docker_credentials(registry, config=path)
        started = time.perf_counter()
        get_docker_credentials(registry, config=path)
        took.append(time.perf_counter() - started)
    return statistics.median(took)


def alternately(*calls: Callable[[], None]) -> list[float]:
    """Seconds of each call, the median of rounds in which they take turns."""
    for call in calls:
        call()
    took: list[list[float]] = [[] for _ in calls]
    gc.disable()
    for _ in range(ROUNDS):
        for call, seconds in zip(calls, took, strict=True):
            started = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - started)
        gc.collect()
    gc.enable()
    return [statistics.median(seconds) for seconds in took]


def verdict(name: str, ratio: float, limit: float) -> bool:
    """Print a ratio; tell whether its limit is broken."""
    print(f"{name}: {ratio:.3f} ({limit})")
    return ratio > limit


if __name__ == "__main__":
    sys.exit(main())
