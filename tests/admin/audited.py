"""The administrator's two stories through the API: a program, which `test_audit` runs and watches.

``python audited.py KUBECONFIG USER DIRECTORY TENANT…``; the values come from files in the
directory, and from standard input.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from kfsecrets_ext import admin
from kfsecrets_ext.admin.verify import verify
from kfsecrets_ext.cluster import NAMESPACE, POD, SECRET, connect
from kfsecrets_ext.errors import SecretError
from kfsecrets_ext.values import SecretBytes, SecretStr


def main(kubeconfig: str, user: str, directory: str, *names: str) -> None:
    """Tell the stories, and show everything that there is to show."""
    logging.basicConfig(level=logging.DEBUG)
    password = SecretStr(sys.stdin.read())
    files = Path(directory)
    secret = admin.generic("api-secret", admin.from_file(f"foo={files / 'value'}"))
    docker = admin.docker_registry("api-docker", username="robot", password=password)
    grants = [
        admin.Grant("api-secret", secret),
        admin.Grant("api-docker", docker, mount_path="/home/jovyan/.docker"),
        admin.preset("aws", "api-aws", access_key_id="AKIDEXAMPLE", secret_access_key=password),
        *admin.load_grants(str(files / "grants.yaml")),
    ]
    with connect(kubeconfig=kubeconfig, impersonate=user) as cluster:
        tenants = admin.tenants(cluster, names=names)
        _show(grants, secret, docker, cluster, tenants)
        plan = admin.plan(cluster, grants, tenants)
        _show(plan, plan.changes, plan.to_json(), plan.book)
        for dry_run in (True, False):
            report = admin.apply(cluster, plan, dry_run=dry_run)
            assert report.ok, report.to_json()
        report.save(Path("report.json"))
        _show(report, report.to_json(), admin.plan(cluster, grants, tenants).to_json())
        proof = verify(cluster, grants, tenants)
        _show(proof, proof.to_json())
        stored = cluster.get(SECRET, "api-secret", namespace=names[0])
        _show(stored, list(cluster.list(SECRET)))
        rotated = admin.generic("api-secret", admin.from_file(f"foo={files / 'rotated'}"))
        rotation = admin.rotate(cluster, "api-secret", tenants, rotated, canary=1)
        _show(rotation, rotation.to_json())
        for part in rotation.plans:
            assert admin.apply(cluster, part).ok
        _refusals(kubeconfig, user, grants, tenants)
        gone = admin.remove(cluster, [one.name for one in grants], tenants)
        _show(gone, gone.to_json())
        assert admin.apply(cluster, gone).ok


def _refusals(
    kubeconfig: str, user: str, grants: list[admin.Grant], tenants: list[admin.Tenant]
) -> None:
    """Show what comes of what cannot be done.

    Not of a Secret that is none, such as one with a list for its data: the API server writes what
    it got into its own logs then. A grant never makes one.
    """
    value = grants[0].for_tenant(tenants[0]).to_labelled_mappings()[0]
    named = {"name": "refused", "namespace": tenants[0].name}
    refused = {**value, "metadata": named}
    space = {"apiVersion": NAMESPACE.api_version, "kind": "Namespace"}
    pod = {
        "apiVersion": POD.api_version,
        "kind": "Pod",
        "metadata": named,
        "spec": {"containers": [{"name": "!", "image": "x", "env": [{"name": "=", "value": "x"}]}]},
    }
    huge = {**refused, "data": {"foo": SecretStr(value["data"]["foo"] * 30_000)}}
    with connect(kubeconfig=kubeconfig, impersonate=user) as cluster:
        _error(lambda: cluster.apply({**refused, "type": "kubernetes.io/dockerconfigjson"}))
        _error(lambda: cluster.apply({**refused, "data": {"a/b": value["data"]["foo"]}}))
        _error(lambda: cluster.apply(huge))
        _error(lambda: cluster.apply({**refused, "metadata": {**named, "namespace": "nowhere"}}))
        _error(lambda: cluster.create(pod, dry_run=True))
        _error(lambda: cluster.create({**space, "metadata": {"name": "not granted"}}))
        _error(lambda: cluster.create(value))
    with connect(kubeconfig=kubeconfig, impersonate="nobody") as cluster:
        _error(lambda: cluster.apply(value))
        forbidden = admin.plan(cluster, grants, tenants)
        assert forbidden.pending == 0
        _show(forbidden, forbidden.to_json(), admin.apply(cluster, forbidden).to_json())
    bad = SecretBytes(b"{" + value["data"]["foo"].encode())
    config = admin.generic("x", [(".dockerconfigjson", bad)], type="kubernetes.io/dockerconfigjson")
    _show(config, admin.problems(config))
    text = SecretStr(f"name: x\nsecret: {{data: [{value['data']['foo']}")
    _error(lambda: admin.read_grants(text))
    _error(lambda: admin.read_grants(SecretStr(text + "]}")))


def _show(*things: object) -> None:
    for one in things:
        sys.stdout.write(f"{one!r}\n{one}\n" if not isinstance(one, (dict, list)) else f"{one!r}\n")


def _error(call: Callable[[], object]) -> None:
    try:
        call()
    except SecretError as error:
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        sys.stdout.writelines(told.format())
        sys.stdout.write(f"{error!r} {error.args!r} {vars(error)!r}\n")
    else:
        raise AssertionError("it was done")


if __name__ == "__main__":
    main(*sys.argv[1:])
