"""What the server could say, for what no directory on this machine can be made to show."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def key(name: str, **fields: Any) -> Json:
    """One key, mounted in a volume and ready unless said otherwise."""
    return {
        "name": name,
        "state": "ready",
        "reason": None,
        "kind": "volume",
        "path": f"/secret/x/{name}",
        "variable": None,
        "updated": "2026-11-24T22:51:07Z",
    } | fields


def secret(name: str, *keys: Json, **fields: Any) -> Json:
    """One secret, mounted as a volume and ready unless said otherwise."""
    return {
        "name": name,
        "state": "ready",
        "reason": None,
        "poddefault": None,
        "mounts": [
            {
                "kind": "volume",
                "path": f"/secret/{name}",
                "state": "ready",
                "reason": None,
                "updated": "2026-11-24T22:51:07Z",
            }
        ],
        "keys": list(keys),
    } | fields


def secrets(*each: Json, notes: tuple[str, ...] = ()) -> Json:
    """The answer of ``secrets``."""
    return {"secrets": list(each), "roots": ["/secret", "/secrets"], "notes": list(notes)}


def pod(**fields: Any) -> Json:
    """The answer of ``pod``."""
    return {
        "namespace": "alice",
        "name": "nb-0",
        "notebook": "nb",
        "information": "downward-api",
        "labels": {},
        "poddefaults": [],
        "roots": ["/secret", "/secrets"],
        "notes": [],
    } | fields


REGISTRIES: Json = {
    "files": [
        {
            "path": "/secret/docker-config/.dockerconfigjson",
            "origin": "secret docker-config",
            "state": "ready",
            "reason": None,
            "used": True,
            "registries": [
                {
                    "name": "https://index.docker.io/v1/",
                    "kind": "static",
                    "helper": None,
                    "reason": None,
                },
                {
                    "name": "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
                    "kind": "helper",
                    "helper": "ecr-login",
                    "reason": None,
                },
            ],
        },
        {
            "path": "/home/jovyan/.docker/config.json",
            "origin": "home directory",
            "state": "absent",
            "reason": None,
            "used": False,
            "registries": [],
        },
        {
            "path": "/secret/old-config/.dockerconfigjson",
            "origin": "secret old-config",
            "state": "ready",
            "reason": None,
            "used": False,
            "registries": [
                {
                    "name": "https://index.docker.io/v1/",
                    "kind": "token",
                    "helper": None,
                    "reason": None,
                }
            ],
        },
    ],
    "notes": [],
}

EVERY_STATE: Json = secrets(
    secret("test-secret", key("foo"), poddefault="test-secret"),
    secret(
        "aws",
        key("access-key", kind="environment", path=None, variable="AWS_ACCESS_KEY_ID"),
        key("secret-key", kind="environment", path=None, variable="AWS_SECRET_ACCESS_KEY"),
        poddefault="aws-credentials",
        mounts=[
            {
                "kind": "environment",
                "path": None,
                "state": "ready",
                "reason": None,
                "updated": None,
            }
        ],
    ),
    secret(
        "database",
        key("password", kind="subPath", state="stale"),
        key("dump.sql", state="too-large", reason="The file is larger than 1 MiB."),
        state="stale",
        reason="A single file (subPath) does not follow the Secret: restart the notebook.",
        poddefault="database",
    ),
    secret(
        "later",
        state="empty",
        reason="The Secret does not exist yet, or has no keys.",
        poddefault="later",
    ),
    secret(
        "root-only",
        key("token", state="unreadable", reason="Permission denied."),
        state="unreadable",
        reason="No key can be read: ask for a readable defaultMode or an fsGroup.",
    ),
    notes=("The PodDefault of root-only is not known: the pod has no stamp of it.",),
)
