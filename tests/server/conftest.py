"""What the server's tests share: a pod full of canaries, and servers in it."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from rig.kubelet import Kubelet
from servers import ROOT, Answer, Server, serving

OPENAPI = ROOT / "kfsecrets_ext" / "server" / "openapi.yaml"

STAMP = "poddefault.admission.kubeflow.org/poddefault-"


@dataclass(frozen=True)
class TestPod:
    """A pod's files, and every value in them.

    Attributes
    ----------
    directory : Path
        What `serving` runs in.
    env : mapping
        The environment of its processes.
    values : tuple of str
        What must never come out.
    """

    __test__ = False

    directory: Path
    env: Mapping[str, str]
    values: tuple[str, ...]

    @property
    def root(self) -> Path:
        """The directory of the mounts."""
        return self.directory / "secret"


def lay_out(directory: Path, kubelet: Kubelet) -> TestPod:
    """Make a pod that has every state and every kind of mount that needs no mount table."""
    values: list[str] = []

    def canary(size: int) -> str:
        # No two as long, and no length that could be a part of a date.
        values.append(secrets.token_hex(size // 2)[:size].ljust(size, "k"))
        return values[-1]

    root = directory / "secret"
    kubelet.write_secret(root / "test-secret", {"foo": canary(40009), "bar": canary(40013)})
    kubelet.write_secret(
        root / "nested", {"a": canary(40031), "b": canary(40037)}, items={"a": "x/y/a", "b": "b"}
    )
    kubelet.write_secret(root / "optional", {}, optional=True)
    kubelet.write_secret(root / "schlüssel-🔑", {"k": canary(40039)})
    plain = root / "plain"
    plain.mkdir()
    (plain / 'we"ird\n\\key \N{ZERO WIDTH SPACE}').write_text(canary(40063))
    (plain / "too-large").write_text(canary(1048583))
    os.mkfifo(plain / "fifo")
    (plain / "ancient").write_text(canary(40087))
    os.utime(plain / "ancient", (-5.0e9, -5.0e9))
    (plain / "far").write_text(canary(40093))
    os.utime(plain / "far", (1.0e12, 1.0e12))
    unreadable = root / "unreadable"
    unreadable.mkdir()
    os.mkfifo(unreadable / "fifo")
    undecodable = os.fsencode(root / "undecodable")
    os.mkdir(undecodable)
    Path(os.fsdecode(undecodable + b"/\xff\xfe")).write_text(canary(40099))

    user, password = canary(10007), canary(10009)
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    values.append(auth)
    config = {
        "auths": {
            "https://index.docker.io/v1/": {"auth": auth},
            f"https://{canary(10037)}:{canary(10039)}@ghcr.io/x": {"auth": "!" + canary(10061)},
            "quay.io": {"username": canary(10067), "identitytoken": canary(10069)},
        },
        "credHelpers": {"1.dkr.ecr.eu-west-1.amazonaws.com": "ecr-login"},
        "HttpHeaders": {"X-Secret": canary(10079)},
    }
    kubelet.write_secret(root / "docker-config", {".dockerconfigjson": json.dumps(config)})
    home = directory / "home"
    (home / ".docker").mkdir(parents=True)
    (home / ".docker" / "config.json").write_text(json.dumps(config))
    broken = directory / "broken"
    broken.mkdir()
    (broken / "config.json").write_text(f'{{"auths": {{"ghcr.io": {{"auth": {canary(10091)}}}}}')

    kubelet.write_podinfo(
        directory / "podinfo",
        {"notebook-name": "nb", "test-secret": "true"},
        {STAMP + "test-secret": "4711", "note": canary(10093)},
    )
    variable = canary(10099)
    cluster = directory / "cluster"
    cluster.mkdir()
    pod = {
        "metadata": {"name": "nb-0", "namespace": "alice"},
        "spec": {
            "containers": [
                {
                    "name": "nb",
                    "env": [
                        {"name": "NB_PREFIX", "value": "/notebook/alice/nb"},
                        {"name": "PASSWORD", "value": canary(10103)},
                        _from_secret("AWS_KEY", "aws", "key"),
                        _from_secret("AWS_UNSET", "aws", "unset"),
                        _from_secret("GONE", "gone", "gone"),
                    ],
                }
            ]
        },
    }
    (cluster / "pod.json").write_text(json.dumps(pod))
    env = {
        "KFSECRETS_CLUSTER": str(cluster),
        "DOCKER_CONFIG": str(broken),
        "REGISTRY_AUTH_FILE": str(home / ".docker" / "config.json"),
        "AWS_KEY": variable,
        "PASSWORD": canary(10111),
    }
    return TestPod(directory, env, tuple(values))


def _from_secret(variable: str, secret: str, key: str) -> dict[str, Any]:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


@pytest.fixture(scope="session")
def kubelet() -> Iterator[Kubelet]:
    """The kubelet's own code, which writes the volumes."""
    with Kubelet() as kubelet:
        yield kubelet


@pytest.fixture(scope="session")
def pod(tmp_path_factory: pytest.TempPathFactory, kubelet: Kubelet) -> TestPod:
    """A pod that nobody changes."""
    return lay_out(tmp_path_factory.mktemp("pod"), kubelet)


@pytest.fixture(scope="session")
def server(pod: TestPod) -> Iterator[Server]:
    """Kubeflow's own command line in that pod, as a process."""
    with serving(pod.directory, env=pod.env) as server:
        yield server


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start a server of `serving`'s arguments, which stops with the test."""
    with ExitStack() as servers:

        def start(directory: Path = tmp_path, **options: Any) -> Server:
            return servers.enter_context(serving(directory, **options))

        yield start


@pytest.fixture(scope="session")
def conforms() -> Callable[[str, Answer], Any]:
    """Check an answer to a path of the description against it, and give its JSON."""
    document = yaml.safe_load(OPENAPI.read_text(encoding="utf-8"))

    def check(path: str, answer: Answer) -> Any:
        response = document["paths"][path]["get"]["responses"][str(answer.status)]
        if "$ref" in response:
            response = document["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
        schema = response["content"]["application/json"]["schema"]
        jsonschema.Draft202012Validator(
            {**schema, "components": document["components"]},
            format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
        ).validate(answer.json())
        assert answer.header("Cache-Control") == "no-store"
        return answer.json()

    return check
