"""The grant: a Secret, and the PodDefault that brings it into the notebooks that choose it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kfsecrets_ext.errors import KeyNotFound
from kfsecrets_ext.poddefaults import render

from .secret import DOCKER_CONFIG_KEY, DOCKER_CONFIG_TYPE, SecretObject

__all__ = ["Grant"]


@dataclass(frozen=True)
class Grant:
    """A Secret with its PodDefault.

    Attributes
    ----------
    name : str
        Of the PodDefault, and of the label that chooses it. It stays where the Secret's name
        has a hash in it, so that notebooks keep their choice.
    secret : SecretObject or str
        A name stands for a Secret that something else brings, and of which no value is known.
    namespace : str or None
        Of the PodDefault, where the Secret is but a name; else the Secret's own counts.
    desc : str or None
        What the launcher shows; by default the name.
    mount_path : str or None
        By default ``/secret/<name>``.
    items : mapping of str to str or None
        The keys to mount, with the paths they get. By default all keys; of a Docker
        configuration ``.dockerconfigjson`` becomes ``config.json``, which programs look for.
    required : bool
        Whether a pod waits for the Secret.
    """

    name: str
    secret: SecretObject | str
    namespace: str | None = None
    desc: str | None = None
    mount_path: str | None = None
    items: Mapping[str, str] | None = None
    required: bool = False

    def poddefault(self) -> dict[str, Any]:
        """Write the PodDefault.

        Returns
        -------
        dict

        Raises
        ------
        InvalidName
            The name or the path cannot be one.
        KeyNotFound
            A key of `items` is not in the Secret.
        """
        known = self.secret if isinstance(self.secret, SecretObject) else None
        if known is not None:
            for key in self.items or ():
                if key not in known.data:
                    raise KeyNotFound(known.name, key, available=known.data)
        return render(
            self.name,
            secret_name=self.secret if isinstance(self.secret, str) else self.secret.name,
            mount_path=f"/secret/{self.name}" if self.mount_path is None else self.mount_path,
            desc=self.desc,
            items=_docker_items(known) if self.items is None else self.items,
            required=self.required,
            namespace=self.namespace if known is None else known.namespace,
        )

    def to_mappings(self) -> list[dict[str, Any]]:
        """Give the objects to apply, the Secret first."""
        objects = [self.poddefault()]
        if isinstance(self.secret, SecretObject):
            objects.insert(0, self.secret.to_mapping())
        return objects


def _docker_items(secret: SecretObject | None) -> dict[str, str] | None:
    if secret is None or secret.type != DOCKER_CONFIG_TYPE or DOCKER_CONFIG_KEY not in secret.data:
        return None
    if "config.json" in secret.data:
        return None
    return {key: "config.json" if key == DOCKER_CONFIG_KEY else key for key in secret.data}
