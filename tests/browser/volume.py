"""A pod's credentials as a directory tree: the kubelet's layout, written by the test itself."""

from __future__ import annotations

import itertools
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_generations = itertools.count()


@dataclass(frozen=True)
class Pod:
    """Where a pod's volumes are.

    Attributes
    ----------
    root
        The directory below which the secrets are mounted.
    information
        The directory of the downward-API files.
    """

    root: Path
    information: Path

    @classmethod
    def create(cls, directory: Path) -> Pod:
        """Lay out a pod without credentials."""
        pod = cls(root=directory / "secret", information=directory / "podinfo")
        pod.root.mkdir(parents=True)
        pod.information.mkdir()
        return pod

    def mount(self, name: str, keys: Mapping[str, str]) -> None:
        """Write a secret, or its next generation.

        Kubernetes, pkg/volume/util/atomic_writer.go: a directory per generation, ``..data`` that
        names the newest, and a link per key through it.
        """
        volume = self.root / name
        volume.mkdir(exist_ok=True)
        generation = volume / f"..2026_11_24_22_51_07.{next(_generations):010}"
        generation.mkdir()
        for key, value in keys.items():
            (generation / key).write_text(value)
        link = volume / "..data_tmp"
        link.symlink_to(generation.name)
        os.replace(link, volume / "..data")
        for key in keys:
            if not (volume / key).is_symlink():
                (volume / key).symlink_to(f"..data/{key}")

    def unmount(self, name: str) -> None:
        """Take a secret away."""
        shutil.rmtree(self.root / name)

    def describe(self, annotations: Mapping[str, str]) -> None:
        """Write the downward-API files."""
        lines = "".join(f'{key}="{value}"\n' for key, value in annotations.items())
        (self.information / "annotations").write_text(lines)
        (self.information / "labels").write_text('notebook-name="nb"\n')
