"""Finding a Secret by name: its values, wherever in this pod they are.

Places count in this order: the roots, mounts elsewhere, environment variables. The process's
redactor is told of each value before anybody has it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from . import inventory, mounts, redaction
from .errors import KeyNotFound, SecretError, SecretNotFound
from .values import SecretBytes

__all__ = ["File", "Found", "find_all", "find_key"]


@dataclass(frozen=True)
class File:
    """The file that a key is.

    Attributes
    ----------
    directory, path : str
        The volume's directory, and the file's path.
    generation : str or None
    status : os.stat_result
        Of the file that was read.
    """

    directory: str
    path: str
    generation: str | None
    status: os.stat_result


@dataclass(frozen=True, repr=False)
class Found:
    """A key's value, and where it was.

    Attributes
    ----------
    value : SecretBytes
    file : File or None
    variable : str or None
        The environment variable, where it is none of a file.
    """

    value: SecretBytes
    file: File | None = None
    variable: str | None = None


def find_key(name: str, key: str) -> Found:
    """Find a key in the first place that has it.

    Parameters
    ----------
    name, key : str

    Returns
    -------
    Found

    Raises
    ------
    SecretNotFound, KeyNotFound, SecretUnreadable, SecretTooLarge
    """
    keys: list[str] = []
    here = False
    found = None
    for root in mounts.roots():
        try:
            found = _read(mounts.Mount(name, root, name), name, key)
        except SecretNotFound:
            continue
        except KeyNotFound as error:
            here = True
            keys += error.available
        if found is not None:
            break
    else:
        for place in inventory.elsewhere(name):
            here = True
            found = _in_place(place, name, key, keys)
            if found is not None:
                break
    if found is not None:
        redaction.guard().add(f"{name}/{key}", found.value)
        return found
    if here:
        raise KeyNotFound(name, key, available=sorted(set(keys)))
    raise _not_found(name)


def find_all(name: str) -> tuple[dict[str, SecretBytes], dict[str, SecretError]]:
    """Find all keys of a Secret; those of one volume are of one generation.

    Parameters
    ----------
    name : str

    Returns
    -------
    values : dict of str to SecretBytes
    errors : dict of str to SecretError
        The keys that are there and cannot be read.

    Raises
    ------
    SecretNotFound, SecretUnreadable
    """
    values: dict[str, SecretBytes] = {}
    errors: dict[str, SecretError] = {}
    here = False
    for root in mounts.roots():
        try:
            snapshot = mounts.read_all(name, root, name)
        except SecretNotFound:
            continue
        here = True
        _join(snapshot, values, errors)
    for place in () if here else inventory.elsewhere(name):
        here = True
        _join_place(place, name, values, errors)
    if not here:
        raise _not_found(name)
    redaction.guard().add_secret(name, values)
    return values, errors


def _read(mount: mounts.Mount, name: str, key: str) -> Found:
    reading = mounts.read_key(name, mount.base, mount.entry, key)
    path = os.path.join(mount.directory, key)
    return Found(reading.value, File(mount.directory, path, reading.generation, reading.status))


def _in_place(place: inventory.Place, name: str, key: str, keys: list[str]) -> Found | None:
    mount = place.mount
    if mount is None:
        return _in_variables(place, key, keys)
    if mount.key not in (None, key):
        keys.append(str(mount.key))
        return None
    try:
        return _read(mount, name, key)
    except SecretNotFound:
        return None
    except KeyNotFound as error:
        keys += error.available
        return None


def _in_variables(place: inventory.Place, key: str, keys: list[str]) -> Found | None:
    for variable in place.variables:
        # kubelet: envFrom makes <prefix><key> of each key
        wanted = variable.variable + key if variable.key is None else variable.variable
        if variable.key in (None, key) and wanted in os.environ:
            return Found(SecretBytes(os.fsencode(os.environ[wanted])), variable=wanted)
    keys += [known for known, _, is_set in inventory.variable_keys(place.variables) if is_set]
    return None


def _join(
    snapshot: mounts.Snapshot, values: dict[str, SecretBytes], errors: dict[str, SecretError]
) -> None:
    if not values and not errors:
        values.update(snapshot.values)
        errors.update(snapshot.errors)
        return
    for key, value in snapshot.values.items():
        if key not in values and key not in errors:
            values[key] = value
    for key, error in snapshot.errors.items():
        if key not in values:
            errors.setdefault(key, error)


def _join_place(
    place: inventory.Place,
    name: str,
    values: dict[str, SecretBytes],
    errors: dict[str, SecretError],
) -> None:
    mount = place.mount
    if mount is None:
        for key, variable, is_set in inventory.variable_keys(place.variables):
            if is_set and key not in values:
                values[key] = SecretBytes(os.fsencode(os.environ[variable]))
        return
    try:
        if mount.key is None:
            _join(mounts.read_all(name, mount.base, mount.entry), values, errors)
        elif mount.key not in values:
            reading = mounts.read_key(name, mount.base, mount.entry, mount.key)
            values[mount.key] = reading.value
    except (SecretNotFound, KeyNotFound):
        return
    except SecretError as error:
        if mount.key is None:
            raise
        errors.setdefault(mount.key, error)


def _not_found(name: str) -> SecretNotFound:
    everything = inventory.collect()
    hint = (
        "If it was just granted, the notebook must be started anew to get it."
        if everything.secrets
        else f"Nothing is mounted in {', '.join(everything.roots) or 'any root'}: start the "
        "notebook with a configuration (PodDefault) that grants the secret."
    )
    return SecretNotFound(name, available=everything.names(), hint=hint)
