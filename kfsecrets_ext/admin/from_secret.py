"""A Secret of another namespace, whose values a grant takes when it is planned."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from kfsecrets_ext.cluster import SECRET, Cluster
from kfsecrets_ext.errors import KeyNotFound
from kfsecrets_ext.values import SecretBytes

from .secret import SecretObject
from .sources import SourceError

__all__ = ["FromSecret"]


@dataclass(frozen=True)
class FromSecret:
    """Where the values of a grant come from.

    Attributes
    ----------
    namespace, name : str
        Of the Secret that is read.
    keys : mapping of str to str or None
        The keys that are taken, with the names they get, each once; by default all keys.
    as_name : str or None
        The name of the Secret that is written; by default the grant's.
    type : str or None
        By default the type of the Secret that is read.
    """

    namespace: str
    name: str
    keys: Mapping[str, str] | None = None
    as_name: str | None = None
    type: str | None = None

    def __post_init__(self) -> None:
        names = list((self.keys or {}).values())
        for number, name in enumerate(names):
            if name in names[:number]:
                raise SourceError("secret.from.keys", f"{name!r} is given twice.")

    def read(self, cluster: Cluster) -> SecretObject:
        """Read the values.

        Parameters
        ----------
        cluster : Cluster

        Returns
        -------
        SecretObject
            Of the name `as_name`, or the name that was read where there is none.

        Raises
        ------
        SourceError
            There is no such Secret.
        KeyNotFound
            It has no such key.
        Forbidden
            It may not be read.
        """
        given = cluster.get(SECRET, self.name, namespace=self.namespace)
        if given is None:
            raise SourceError(f"Secret {self.name!r} of {self.namespace!r}", "there is none.")
        data = given.get("data") or {}
        keys = {key: key for key in data} if self.keys is None else self.keys
        for key in keys:
            if key not in data:
                raise KeyNotFound(self.name, key, available=data)
        values = {name: SecretBytes(base64.b64decode(data[key])) for key, name in keys.items()}
        return SecretObject(self.as_name or self.name, values, self.type or given.get("type"))
