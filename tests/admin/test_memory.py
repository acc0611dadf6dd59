"""A plan's memory does not grow with the values that are compared."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = '''
import base64, json, os, resource, sys
from kfsecrets_ext import admin
from kfsecrets_ext.cluster import NAMESPACE, PODDEFAULT, SECRET
from kfsecrets_ext.values import SecretBytes, SecretStr

number, different = json.loads(sys.argv[1])

def value(n):
    return n.to_bytes(4, "big") + bytes(k % 251 for k in range(996))

class Many:
    """A cluster of many tenants, who have a Secret and a PodDefault each, listed page by page."""

    home, server, context, who, workers = "fake", "https://many", None, "me", 4

    def allowed(self, *arguments, **options):
        return True

    def list(self, kind, *, namespace=None, labels=None, fields=None, metadata_only=False):
        for n in range(number):
            tenant = admin.Tenant(f"tenant-{n:05}")
            if kind == NAMESPACE:
                yield {"metadata": {"name": tenant.name, "resourceVersion": "1",
                    "labels": {"app.kubernetes.io/part-of": "kubeflow-profile",
                               "kubernetes.io/metadata.name": tenant.name},
                    "annotations": {"owner": f"{tenant.name}@example.com"}}}
                continue
            if fields is not None:
                continue
            made = grant(n).for_tenant(tenant).to_labelled_mappings()
            one = made[0 if kind == SECRET else 1]
            one["metadata"]["resourceVersion"] = "1"
            yield one

def grant(n):
    data = {"foo": SecretBytes(value(n if different else 0))}
    return admin.Grant("test-secret", admin.SecretObject("test-secret", data))

cluster = Many()
tenants = admin.tenants(cluster, selector="a=b")
found = admin.plan(cluster, [grant(0)], tenants)
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(json.dumps({"counts": found.counts, "peak": peak, "size": len(found)}))
'''


@pytest.mark.slow
@pytest.mark.parametrize("different", [False, True])
def test_ten_thousand_tenants_are_planned_in_200_mb(different: bool) -> None:
    def peak(number: int) -> int:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps([number, different])],
            check=True,
            capture_output=True,
            text=True,
        )
        said = json.loads(done.stdout)
        assert said["size"] == 2 * number
        assert said["counts"].get("change", 0) == (number - 1 if different else 0)
        return int(said["peak"])

    assert peak(10_000) < 200 * 1024  # kB
