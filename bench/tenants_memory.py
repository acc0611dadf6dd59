"""The memory of a plan: flat in the number of tenants.

10,000 namespaces of a real API server, each with a Secret of 1 kB and its PodDefault, are planned
in at most 200 MB, most of which is Python and its libraries. The same at 1,000 and 3,000: what a
tenant adds, which is the rows of the plan, is at most a third of what it adds to the official
client's ``list_secret_for_all_namespaces``, with which a program begins that looks at everything
at once. Each runs in a process of its own, and its largest resident size counts. ``--plot FILE``
draws it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from figures import Figures
from rig import apiserver
from rig.apiserver import ApiServer
from rig.tenants import namespaces, patches, send

from kfsecrets_ext import admin
from kfsecrets_ext.cluster import FIELD_MANAGER, connect
from kfsecrets_ext.values import SecretBytes

SIZES = (1_000, 3_000, 10_000)
LIMIT = 200  # MB
GRANT = "bench"

PARTIES: Mapping[str, str] = {
    "unchanged": "a plan, nothing to change",
    "changed": "a plan, each Secret to be changed",
    "different": "a plan, a value of its own for each tenant",
    "missing": "a plan, all to be created",
    "client": "kubernetes.client, the list of Secrets alone",
}


def main() -> None:
    """Measure, and judge."""
    parser = argparse.ArgumentParser(description="The memory of a plan.")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--plot", type=Path)
    # a process that is measured
    parser.add_argument("--party", choices=PARTIES, help=argparse.SUPPRESS)
    parser.add_argument("--kubeconfig", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.party is not None:
        _measured(asked.party, asked.kubeconfig, asked.sizes[0])
        return
    figures = Figures()
    peaks: dict[str, list[float]] = {party: [] for party in PARTIES}
    with tempfile.TemporaryDirectory() as name, apiserver.running(Path(name)) as server:
        there = 0
        for size in asked.sizes:
            _grow(server, there, size)
            there = size
            for party, sizes in peaks.items():
                sizes.append(_peak(party, server, size))
                print(f"  {size} tenants, {PARTIES[party]}: {sizes[-1]:.1f} MB", flush=True)
    least, most = asked.sizes[0], asked.sizes[-1]
    for party, sizes in peaks.items():
        if party != "client":
            figures.ratio(f"{PARTIES[party]}: MB at {most} tenants", sizes[-1], LIMIT)
            ours, theirs = (each[-1] - each[0] for each in (sizes, peaks["client"]))
            figures.ratio(
                f"{PARTIES[party]}: what {most - least} more add / client", ours / theirs, 1 / 3
            )
    if asked.plot is not None:
        asked.plot.write_text(_plot(asked.sizes, peaks), encoding="utf-8")
    figures.finish()


def _grow(server: ApiServer, there: int, size: int) -> None:
    names = [_name(number) for number in range(there, size)]
    grant = _grant("a")
    send(server, namespaces(names))
    objects = [
        one for name in names for one in grant.for_tenant(admin.Tenant(name)).to_labelled_mappings()
    ]
    send(server, patches(objects, manager=FIELD_MANAGER))


def _peak(party: str, server: ApiServer, size: int) -> float:
    command = [sys.executable, str(Path(__file__).resolve()), f"--party={party}"]
    ran = subprocess.run(
        [*command, f"--kubeconfig={server.kubeconfig}", f"--sizes={size}"],
        stdout=subprocess.PIPE,
        check=True,
    )
    return float(ran.stdout)


def _measured(party: str, kubeconfig: str, size: int) -> None:
    """Do it, and print the largest resident size of this process, in MB."""
    if party == "client":
        import kubernetes

        kubernetes.config.load_kube_config(kubeconfig)
        listed = kubernetes.client.CoreV1Api().list_secret_for_all_namespaces()
        assert len(listed.items) == size
    else:
        tenants = [admin.Tenant(_name(number), injected=True) for number in range(size)]
        with connect(kubeconfig=kubeconfig) as cluster:
            plan = admin.plan(cluster, [_grant(party)], tenants)
        wanted = {
            "unchanged": {"unchanged": 2 * size},
            "missing": {"create": 2 * size},
        }.get(party, {"change": size, "unchanged": size})
        assert plan.counts == wanted, plan.counts
    # getrusage's begins with what the process that started this one had
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    print(int(line.split()[1]) * 1024 / 1e6)


def _grant(party: str) -> admin.Grant:
    filler = {"changed": "b", "different": "{namespace}"}.get(party, "a")
    value = SecretBytes((filler * 1000)[: 1000 if len(filler) == 1 else 990].encode())
    name = "other" if party == "missing" else GRANT
    return admin.Grant(
        name,
        admin.SecretObject(name, {"key": value}),
        templates=("secret.data",) if party == "different" else (),
    )


def _name(number: int) -> str:
    return f"tenant-{number:05}"


# ── the picture ──────────────────────────────────────────────────────────────

_WIDTH, _HEIGHT = 720, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 32, 24 + 18 * len(PARTIES), 56
_COLOURS = ("#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")


def _plot(sizes: Sequence[int], peaks: Mapping[str, Sequence[float]]) -> str:
    """Draw the sizes of the parties over the number of tenants, as SVG."""
    top = max(LIMIT * 1.1, *(max(each) for each in peaks.values()))
    step = next(step for step in (50, 100, 200, 500, 1000) if top / step <= 8)

    def x(size: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * size / sizes[-1]

    def y(megabytes: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * megabytes / top

    def text(at: float, down: float, words: str, anchor: str = "start", fill: str = "#555") -> str:
        return (
            f'<text x="{at:.1f}" y="{down:.1f}" text-anchor="{anchor}" fill="{fill}">{words}</text>'
        )

    def line(down: float, style: str) -> str:
        return f'<path d="M{_LEFT} {down:.1f}H{_WIDTH - _RIGHT}" {style}/>'

    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="13" role="img" '
        'aria-label="Largest resident size over the number of tenants">'
    )
    parts = [
        head,
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
    ]
    for mark in range(0, int(top) + 1, step):
        parts += [
            line(y(mark), 'stroke="#ddd"'),
            text(_LEFT - 8, y(mark) + 4, f"{mark} MB", "end"),
        ]
    for size in sizes:
        parts.append(text(x(size), _HEIGHT - _BOTTOM + 20, f"{size:,}", "middle"))
    parts.append(text(_WIDTH / 2, _HEIGHT - 12, "tenants", "middle"))
    parts += [
        line(y(LIMIT), 'stroke="#000" stroke-dasharray="5 4"'),
        text(_LEFT + 8, y(LIMIT) - 6, f"limit of a plan: {LIMIT} MB", fill="#000"),
    ]
    for (party, each), colour in zip(peaks.items(), _COLOURS, strict=True):
        points = " ".join(
            f"{x(size):.1f},{y(peak):.1f}" for size, peak in zip(sizes, each, strict=True)
        )
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2">'
            f"<title>{PARTIES[party]}</title></polyline>"
        )
    for row, (party, colour) in enumerate(zip(peaks, _COLOURS, strict=True)):
        down = 24 + 18 * row
        parts += [
            f'<path d="M{_LEFT} {down - 4}h22" stroke="{colour}" stroke-width="2"/>',
            text(_LEFT + 30, down, PARTIES[party]),
        ]
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    main()
