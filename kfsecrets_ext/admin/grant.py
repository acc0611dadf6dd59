"""The grant: a Secret, and the PodDefault that brings it into the notebooks that choose it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from kfsecrets_ext.errors import InvalidName, KeyNotFound
from kfsecrets_ext.poddefaults import render
from kfsecrets_ext.values import SecretBytes

from .from_secret import FromSecret
from .secret import DOCKER_CONFIG_KEY, DOCKER_CONFIG_TYPE, SecretObject
from .template import PLACES, fill, fill_bytes
from .tenants import Tenant, TenantChoice

__all__ = ["BASE_NAME", "GRANT_LABEL", "Grant"]

GRANT_LABEL: Final = "kfsecrets-ext/grant"
"""The label of a grant's objects; its value is the grant's name."""

BASE_NAME: Final = "kfsecrets-ext/base-name"
"""The annotation of a Secret whose name has a hash: the name without it."""


@dataclass(frozen=True)
class Grant:
    """A Secret with its PodDefault, for tenants.

    Attributes
    ----------
    name : str
        Of the PodDefault, and of the label that chooses it. It stays where the Secret's name
        has a hash in it, so that notebooks keep their choice.
    secret : SecretObject, FromSecret or str
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
    templates : collection of str
        Where ``{namespace}`` and ``{owner}`` are filled in: of `template.PLACES`, or
        ``secret.data.KEY``. Elsewhere a brace is a brace.
    tenants : TenantChoice or None
        Whom it is for, where nobody says otherwise.
    can_mount, can_update : bool
        Whether Kubeflow Workspaces may mount the Secret, and its users edit it.
    immutable : bool
        Whether the API server refuses to change the Secret. Its name gets a hash then, so that a
        new value has a new name.
    append_hash : bool
        Whether the Secret's name gets the hash of its content at its end.
    """

    name: str
    secret: SecretObject | FromSecret | str
    namespace: str | None = None
    desc: str | None = None
    mount_path: str | None = None
    items: Mapping[str, str] | None = None
    required: bool = False
    templates: Collection[str] = ()
    tenants: TenantChoice | None = field(default=None, repr=False)
    can_mount: bool = False
    can_update: bool = False
    immutable: bool = False
    append_hash: bool = False

    def __post_init__(self) -> None:
        for place in self.templates:
            if place not in PLACES and not (
                place.startswith(_ONE_VALUE) and len(place) > len(_ONE_VALUE)
            ):
                raise InvalidName("template", place, reason=f"it is none of {', '.join(PLACES)}")

    @property
    def hashed(self) -> bool:
        """Whether the Secret's name has the hash of its content at its end."""
        return self.append_hash or self.immutable

    @property
    def per_tenant(self) -> bool:
        """Whether it differs from tenant to tenant."""
        return bool(self.templates)

    def source(self, tenant: Tenant) -> FromSecret | None:
        """Give the Secret to read the values from, with a tenant's names filled in.

        Raises
        ------
        TemplateError
        """
        if not isinstance(self.secret, FromSecret):
            return None
        return replace(
            self.secret,
            namespace=self._filled(self.secret.namespace, "secret.from.namespace", tenant),
            name=self._filled(self.secret.name, "secret.from.name", tenant),
        )

    def for_tenant(self, tenant: Tenant, secret: SecretObject | None = None) -> Grant:
        """Give the grant as it is for one tenant.

        Parameters
        ----------
        tenant : Tenant
        secret : SecretObject, optional
            What was read of `source`; needed where there is one.

        Returns
        -------
        Grant
            With nothing left to fill in.

        Raises
        ------
        TemplateError
        """
        desc, path = self.desc, self.mount_path
        return replace(
            self,
            secret=self._secret_for(tenant, secret),
            namespace=tenant.name,
            desc=desc and self._filled(desc, "podDefault.desc", tenant),
            mount_path=path and self._filled(path, "podDefault.mountPath", tenant),
            templates=(),
            append_hash=False,
            immutable=False,
        )

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
            secret_name=_name(self.secret, self.name),
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

    def to_labelled_mappings(self) -> list[dict[str, Any]]:
        """Give the objects to apply, with the label that names the grant."""
        objects = self.to_mappings()
        for one in objects:
            one["metadata"]["labels"][GRANT_LABEL] = self.name
        return objects

    def _secret_for(self, tenant: Tenant, read: SecretObject | None) -> SecretObject | str:
        given = self.secret
        if isinstance(given, str):
            return self._filled(given, "secret.name", tenant)
        if isinstance(given, FromSecret):
            if read is None:
                raise TypeError("The Secret that the grant takes its values from was not read.")
            given = replace(read, name=given.as_name or self.name)
        named = replace(
            given,
            name=self._filled(given.name, "secret.name", tenant),
            namespace=tenant.name,
            data={key: self._value(key, given.data[key], tenant) for key in given.data},
            labels={**given.labels, **self._labels()},
            immutable=given.immutable or self.immutable,
        )
        if not self.hashed:
            return named
        return replace(named.with_hash(), annotations={**named.annotations, BASE_NAME: named.name})

    def _value(self, key: str, value: SecretBytes, tenant: Tenant) -> SecretBytes:
        place = f"{_ONE_VALUE}{key}"
        if "secret.data" not in self.templates and place not in self.templates:
            return value
        return fill_bytes(value, tenant, place=place)

    def _filled(self, text: str, place: str, tenant: Tenant) -> str:
        if place not in self.templates:
            return text
        return str(fill(text, tenant, place=place))

    def _labels(self) -> dict[str, str]:
        # kubeflow/notebooks v2: the back end asks for them where a Workspace mounts a Secret, and
        # where a user edits one
        labels = {"can-mount": self.can_mount, "can-update": self.can_update}
        return {f"notebooks.kubeflow.org/{name}": "true" for name in labels if labels[name]}


_ONE_VALUE = "secret.data."


def _name(secret: SecretObject | FromSecret | str, grant: str) -> str:
    if isinstance(secret, str):
        return secret
    if isinstance(secret, FromSecret):
        return secret.as_name or grant
    return secret.name


def _docker_items(secret: SecretObject | None) -> dict[str, str] | None:
    if secret is None or secret.type != DOCKER_CONFIG_TYPE or DOCKER_CONFIG_KEY not in secret.data:
        return None
    if "config.json" in secret.data:
        return None
    return {key: "config.json" if key == DOCKER_CONFIG_KEY else key for key in secret.data}
