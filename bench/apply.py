"""Granting to a thousand tenants: against a bare loop of the same requests, and against kubectl.

On a real API server behind a proxy that adds 10 ms to each round trip, and then 20 ms: a Secret
and a PodDefault in each of 1,000 namespaces, in this process and with the plan included. The bare
loop sends the very same PATCHes, written beforehand, from 32 threads of urllib3. The parties take
turns, and the best of each counts, since whatever else the machine does only adds; kubectl, which
takes the longest by far, has one turn in the middle. It waits where the others compute, so that
a machine with other work favours it.
``--tenants 200`` is for a quick look.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from figures import Figures
from rig import apiserver, binaries
from rig.apiserver import ApiServer
from rig.faults import distance
from rig.tenants import Json, creations, deletions, namespaces, patches, send

from kfsecrets_ext import admin
from kfsecrets_ext.cluster import FIELD_MANAGER, Cluster, connect

WORKERS = 32

OURS = "ours"
LOOP = "a bare loop of the PATCHes"
KUBECTL = "kubectl apply --server-side"
SECOND = "ours, nothing to change"


def main() -> None:
    """Measure, and judge."""
    parser = argparse.ArgumentParser(description="Granting to many tenants.")
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    figures = Figures()
    with tempfile.TemporaryDirectory() as name, apiserver.running(Path(name, "rig")) as server:
        run = _Run(server, Path(name), asked.tenants, asked.rounds)
        run.at(figures, 0.010, kubectl=7, bare=0.8)
        run.at(figures, 0.020, kubectl=10)
    figures.finish()


class _Run:
    """The parties, and the namespaces that they write to in turn."""

    def __init__(self, server: ApiServer, place: Path, tenants: int, rounds: int) -> None:
        self.server = server
        self.place = place
        self.rounds = rounds
        self.names = [f"tenant-{number:05}" for number in range(tenants)]
        self.grant = admin.preset("aws", access_key_id="AKIDEXAMPLE", secret_access_key="s" * 40)
        self.objects = [
            one
            for name in self.names
            for one in self.grant.for_tenant(admin.Tenant(name)).to_labelled_mappings()
        ]
        send(server, namespaces(self.names))
        # What is created for the first time warms the server's ways to it.
        send(server, creations(self.objects))
        self.clean()

    def at(
        self, figures: Figures, round_trip: float, *, kubectl: float, bare: float | None = None
    ) -> None:
        """Measure at one distance."""
        far = f"{1000 * round_trip:.0f} ms"
        with distance(self.server, round_trip, self.place / "far") as kubeconfig:
            clusters = json.loads(kubeconfig.read_text(encoding="utf-8"))["clusters"]
            url = clusters[0]["cluster"]["server"]
            times: dict[str, list[float]] = {OURS: [], LOOP: [], KUBECTL: [], SECOND: []}
            for turn in range(self.rounds):
                sent = patches(map(_new, self.objects), manager=FIELD_MANAGER)
                with _timed(times[LOOP]):
                    send(self.server, sent, url=url)
                self.clean()
                with connect(kubeconfig=kubeconfig, workers=WORKERS) as cluster:
                    for party, action in ((OURS, "create"), (SECOND, "unchanged")):
                        with _timed(times[party]):
                            self.ours(cluster, action)
                self.clean()
                if turn == self.rounds // 2:
                    with _timed(times[KUBECTL]):
                        self.kubectl(kubeconfig)
                    self.clean()
        took = {party: min(each) for party, each in times.items()}
        number = len(self.objects)
        for party, seconds in took.items():
            rate = number / seconds
            print(f"  {far}, {party}: {seconds:.2f} s, {rate:.0f} objects/s", flush=True)
        if bare is not None:
            figures.at_least(f"{far}: rate / the bare loop's", took[LOOP] / took[OURS], bare)
            figures.at_least(f"{far}: speed unchanged / first", took[OURS] / took[SECOND], 5)
        figures.at_least(f"{far}: rate / kubectl's", took[KUBECTL] / took[OURS], kubectl)

    def ours(self, cluster: Cluster, action: str) -> None:
        """Plan and apply; the plan must be what it is taken for."""
        tenants = [admin.Tenant(name, injected=True) for name in self.names]
        plan = admin.plan(cluster, [self.grant], tenants)
        assert plan.counts == {action: len(self.objects)}, plan.counts
        report = admin.apply(cluster, plan)
        assert report.ok, report.counts

    def kubectl(self, kubeconfig: Path) -> None:
        """Apply the same objects from one file."""
        program = binaries.program("kubectl")
        command = [str(program), f"--kubeconfig={kubeconfig}", "apply", "--server-side", "-f", "-"]
        listed = {"apiVersion": "v1", "kind": "List", "items": self.objects}
        ran = subprocess.run(
            [*command, f"--field-manager={FIELD_MANAGER}", "-o", "name"],
            input=json.dumps(listed).encode(),
            stdout=subprocess.PIPE,
            check=True,
        )
        assert len(ran.stdout.splitlines()) == len(self.objects)

    def clean(self) -> None:
        """Take the objects away again."""
        send(self.server, deletions(self.objects))


def _new(obj: Json) -> Json:
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": "1"}}


@contextmanager
def _timed(taken: list[float]) -> Iterator[None]:
    start = time.perf_counter()
    yield
    taken.append(time.perf_counter() - start)


if __name__ == "__main__":
    main()
