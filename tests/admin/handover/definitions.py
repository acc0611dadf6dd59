"""The CRDs of Kyverno and External Secrets, from their Go modules of the versions in ``go.mod``.

They are kept in the user's cache, outside the checkout, like the programs of `rig.binaries`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml
from rig import binaries

HERE = Path(__file__).resolve().parent

FILES = {
    "github.com/kyverno/kyverno": (
        "config/crds/kyverno/kyverno.io_clusterpolicies.yaml",
        "config/crds/policies.kyverno.io/policies.kyverno.io_generatingpolicies.yaml",
    ),
    "github.com/external-secrets/external-secrets": (
        "config/crds/bases/external-secrets.io_clusterexternalsecrets.yaml",
        "config/crds/bases/external-secrets.io_clustersecretstores.yaml",
    ),
}


def definitions() -> list[dict[str, Any]]:
    """Return the CRDs, fetched first where that is needed.

    Raises
    ------
    NoGo, BuildFailed
        As `rig.binaries.program`.
    """
    where = cache()
    where.parent.mkdir(parents=True, exist_ok=True)
    with open(where.parent / "lock", "a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not where.is_dir():
            _fetch(where)
    return [yaml.safe_load(file.read_bytes()) for file in sorted(where.iterdir())]


def cache() -> Path:
    """Return the directory of these very versions, which need not be there yet."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum", Path(__file__).name):
        digest.update((HERE / name).read_bytes())
    return binaries.CACHE / "handover" / digest.hexdigest()[:16]


def _fetch(where: Path) -> None:
    versions = dict(re.findall(r"^\t(\S+) (v\S+)$", (HERE / "go.mod").read_text(), re.MULTILINE))
    sums = dict(re.findall(r"^(\S+ v[^\s/]+) (\S+)$", (HERE / "go.sum").read_text(), re.MULTILINE))
    made = Path(tempfile.mkdtemp(prefix=".handover-", dir=where.parent))
    try:
        made.chmod(0o755)
        for module, files in FILES.items():
            named = f"{module}@{versions[module]}"
            source = _downloaded(named, sums[named.replace("@", " ")], made)
            for file in files:
                shutil.copyfile(source / file, made / Path(file).name)
        made.rename(where)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _downloaded(module: str, checksum: str, directory: Path) -> Path:
    done = subprocess.run(
        [str(binaries.toolchain()), "mod", "download", "-json", module],
        cwd=directory,  # not in our module: the versions are named, nothing is resolved
        env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = json.loads(done.stdout) if done.stdout.strip() else {}
    if done.returncode != 0 or "Error" in said:
        raise binaries.BuildFailed(
            f"{module} cannot be had: {said.get('Error') or done.stderr.strip()}"
        )
    if said["Sum"] != checksum:
        raise binaries.BuildFailed(f"{module} is not what go.sum says")
    return Path(said["Dir"])
