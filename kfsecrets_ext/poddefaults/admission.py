"""What the PodDefault webhook does with a pod, foreseen.

The webhook is kubeflow/dashboard's ``poddefaults-webhooks/main.go``: it selects, merges, denies
on any conflict, and answers with a JSON Patch. This module does the same, to the resulting pod,
the patch's own faults included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .refusals import refusals
from .schema import structs, written, written_all
from .selectors import Unreadable, selector

__all__ = [
    "ANNOTATION_PREFIX",
    "PROFILE_LABEL",
    "Admission",
    "Conflict",
    "Outcome",
    "admit",
    "stamp",
]

Outcome = Literal["not called", "unchanged", "mutated", "denied", "broken patch"]

ANNOTATION_PREFIX = "poddefault.admission.kubeflow.org"
PROFILE_LABEL = ("app.kubernetes.io/part-of", "kubeflow-profile")


@dataclass(frozen=True)
class Conflict:
    """One clash that makes the webhook deny a pod.

    Parameters
    ----------
    field : str
        ``env``, ``volumeMounts``, ``volumes``, ``containers``, ``tolerations`` or ``metadata``.
    poddefault : str or None
        The PodDefault whose entry is not the one that is already there; None for ``metadata``.
    on : str
        The name, path or key.
    """

    field: str
    poddefault: str | None
    on: str


@dataclass(frozen=True)
class Admission:
    """What becomes of a pod.

    Parameters
    ----------
    outcome : str
        ``"not called"``, ``"unchanged"``, ``"mutated"``, ``"denied"`` or ``"broken patch"``.
    pod : Mapping
        The resulting pod; the given one where nothing was applied.
    applied : tuple of str
        Names of the PodDefaults that were applied, sorted.
    conflicts : tuple of Conflict
        Why the pod is denied, sorted.
    invalid : tuple of str
        What the API server still refuses of the pod; apart from what the webhook says.
    message : str
        What happened and what mends it, without values.
    matched : tuple of str
        Names of the PodDefaults whose selector chose the pod, sorted.
    """

    outcome: Outcome
    # a pod may carry literals in env.value: they stay out of the repr
    pod: Mapping[str, Any] = field(repr=False)
    applied: tuple[str, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    invalid: tuple[str, ...] = ()
    message: str = ""
    matched: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether the webhook lets the pod be."""
        return self.outcome in ("not called", "unchanged", "mutated")


def admit(
    pod: Mapping[str, Any],
    poddefaults: Iterable[Mapping[str, Any]],
    *,
    namespace: Mapping[str, Any],
) -> Admission:
    """Say what the webhook would do with a pod.

    Parameters
    ----------
    pod : Mapping
        The pod as the API server hands it to the webhook: defaulted. Never changed.
    poddefaults : iterable of Mapping
        PodDefaults as stored, in any order; those of other namespaces do not count.
    namespace : Mapping
        The Namespace object, with ``metadata.name`` and ``metadata.labels``.

    Returns
    -------
    Admission
        The outcome, the resulting pod and the reasons.
    """
    about = _mapping(namespace.get("metadata"))
    label, value = PROFILE_LABEL
    if _mapping(about.get("labels")).get(label) != value:
        return _left(pod, "not called", _not_called(about.get("name")))
    metadata = _mapping(pod.get("metadata"))
    annotations = _mapping(metadata.get("annotations"))
    if annotations.get(f"{ANNOTATION_PREFIX}/exclude") == "true":
        return _left(
            pod,
            "unchanged",
            f"the pod opts out with the annotation {ANNOTATION_PREFIX}/exclude; remove it to get "
            "its PodDefaults",
        )
    if _MIRROR in annotations:
        return _left(pod, "unchanged", "the pod mirrors a static pod, which gets no PodDefaults")

    home = about.get("name") or metadata.get("namespace") or ""
    stored = []
    for given in poddefaults:
        place = _mapping(given.get("metadata"))
        if (place.get("namespace") or home) == home:
            stored.append((str(place.get("name") or ""), given))
    # API server: lists come by name
    stored.sort(key=_by_name)
    labels = _mapping(metadata.get("labels"))
    chosen: list[_Default] = []
    unreadable: list[tuple[str, str]] = []
    for name, given in stored:
        spec = _mapping(given.get("spec"))
        try:
            matches = selector(spec.get("selector")).matches(labels)
        except Unreadable as error:
            unreadable.append((name, error.fault))
            continue
        if matches:
            version = _mapping(given.get("metadata")).get("resourceVersion") or ""
            chosen.append(_Default(name, str(version), spec))
    if unreadable:
        return Admission("denied", pod, message=_unreadable(unreadable))
    if not chosen:
        return _left(pod, "unchanged", _none_chosen(len(stored)))

    defaults = [_Read(default) for default in chosen]
    names = tuple(default.name for default in chosen)
    before = _Pod(pod)
    conflicts = _conflicts(before, defaults)
    if conflicts:
        ordered = tuple(sorted(conflicts, key=lambda c: (c.field, c.poddefault or "", c.on)))
        return Admission(
            "denied", pod, conflicts=ordered, message=_denied(ordered, names), matched=names
        )
    result, broken = _patched(pod, before, defaults)
    invalid = () if result is None else refusals(result)
    if broken or result is None:
        return Admission(
            "broken patch", pod, invalid=invalid, message=_broken(names, defaults), matched=names
        )
    return Admission(
        "mutated",
        result,
        applied=tuple(sorted(names)),
        invalid=invalid,
        message=_mutated(names, invalid),
        matched=names,
    )


def stamp(name: str) -> str:
    """Give the annotation with which the webhook stamps a pod that a PodDefault was applied to."""
    return f"{ANNOTATION_PREFIX}/poddefault-{name}"


_MIRROR = "kubernetes.io/config.mirror"
_ISTIO = "istio-proxy"  # webhook: setCommandAndArgs leaves this container alone

_Struct = dict[str, Any]


@dataclass(frozen=True)
class _Default:
    """A PodDefault that was chosen, as stored."""

    name: str
    version: str
    spec: Mapping[str, Any]


class _Read:
    """A PodDefault, its fields read as Go holds them; absent lists are empty, they only add."""

    __slots__ = (
        "account",
        "annotations",
        "args",
        "automount",
        "command",
        "env",
        "env_from",
        "init_containers",
        "labels",
        "mounts",
        "name",
        "pull_secrets",
        "sidecars",
        "tolerations",
        "version",
        "volumes",
    )

    def __init__(self, default: _Default) -> None:
        spec = default.spec
        self.name = default.name
        self.version = default.version
        self.env = structs("EnvVar", spec.get("env")) or []
        self.env_from = structs("EnvFromSource", spec.get("envFrom")) or []
        self.volumes = structs("Volume", spec.get("volumes")) or []
        self.mounts = structs("VolumeMount", spec.get("volumeMounts")) or []
        self.tolerations = structs("Toleration", spec.get("tolerations")) or []
        self.pull_secrets = structs("LocalObjectReference", spec.get("imagePullSecrets")) or []
        self.init_containers = structs("Container", spec.get("initContainers")) or []
        self.sidecars = structs("Container", spec.get("sidecars")) or []
        self.annotations = _mapping(spec.get("annotations"))
        self.labels = _mapping(spec.get("labels"))
        self.command = _words(spec.get("command"))
        self.args = _words(spec.get("args"))
        self.account = spec.get("serviceAccountName") or ""
        self.automount = spec.get("automountServiceAccountToken")


class _Pod:
    """The fields of a pod that the webhook compares, as Go holds them."""

    __slots__ = ("annotations", "containers", "init_containers", "labels", "raw", "spec")

    def __init__(self, pod: Mapping[str, Any]) -> None:
        metadata = _mapping(pod.get("metadata"))
        self.raw = pod
        self.spec = _mapping(pod.get("spec"))
        self.annotations = _mapping(metadata.get("annotations"))
        self.labels = _mapping(metadata.get("labels"))
        self.containers = structs("Container", self.spec.get("containers")) or []
        self.init_containers = structs("Container", self.spec.get("initContainers")) or []

    def held(self, kind: str, field: str) -> list[_Struct]:
        return structs(kind, self.spec.get(field)) or []


class _Clashes(Exception):
    """A merge that is refused."""


_Refuse = Callable[[str, str], None]


def _merged(
    there: list[_Struct],
    defaults: Sequence[_Read],
    pick: Callable[[_Read], list[_Struct]],
    key: str,
    refuse: _Refuse,
) -> list[_Struct]:
    # webhook: mergeEnv, mergeVolumes, mergeTolerations, mergeImagePullSecrets, mergeContainers;
    # of entries that are there twice the last one counts
    known = {entry.get(key, ""): entry for entry in there}
    merged = list(there)
    for default in defaults:
        for entry in pick(default):
            name = entry.get(key, "")
            found = known.get(name)
            if found is None:
                known[name] = entry
                merged.append(entry)
            elif found != entry:
                refuse(default.name, str(name))
    return merged


def _merged_mounts(
    there: list[_Struct], defaults: Sequence[_Read], refuse: _Refuse
) -> list[_Struct]:
    # webhook: mergeVolumeMounts checks name, then path, each on its own
    by_name = {mount.get("name", ""): mount for mount in there}
    by_path = {mount.get("mountPath", ""): mount for mount in there}
    merged = list(there)
    for default in defaults:
        for mount in default.mounts:
            name, path = mount.get("name", ""), mount.get("mountPath", "")
            found = by_name.get(name)
            if found is None:
                by_name[name] = mount
                merged.append(mount)
            elif found != mount:
                refuse(default.name, str(name))
            found = by_path.get(path)
            if found is None:
                by_path[path] = mount
            elif found != mount:
                refuse(default.name, str(path))
    return merged


def _merged_map(
    there: Mapping[str, Any],
    added: Iterable[Mapping[str, Any]],
    refuse: Callable[[str], None],
) -> dict[str, Any]:
    # main.go, mergeMap compares nothing but the text
    merged = dict(there)
    for more in added:
        for key, value in more.items():
            if key not in merged:
                merged[key] = value
            elif (merged[key] or "") != (value or ""):
                refuse(key)
    return merged


def _conflicts(pod: _Pod, defaults: Sequence[_Read]) -> set[Conflict]:
    # main.go, safeToApplyPodDefaultsOnPod goes through all of it, and denies at the end
    found: set[Conflict] = set()

    def clash(field: str) -> _Refuse:
        return lambda name, on: found.add(Conflict(field, name, on))

    if any(default.volumes for default in defaults):
        _merged(pod.held("Volume", "volumes"), defaults, _volumes, "name", clash("volumes"))
    if any(default.tolerations for default in defaults):
        _merged(
            pod.held("Toleration", "tolerations"),
            defaults,
            _tolerations,
            "key",
            clash("tolerations"),
        )
    for container in pod.containers:
        _merged(container.get("env") or [], defaults, _env, "name", clash("env"))
        _merged_mounts(container.get("volumeMounts") or [], defaults, clash("volumeMounts"))
    for there, added in (
        (pod.annotations, [default.annotations for default in defaults]),
        (pod.labels, [default.labels for default in defaults]),
    ):
        _merged_map(there, added, lambda key: found.add(Conflict("metadata", None, key)))
    _merged(pod.init_containers, defaults, _init_containers, "name", clash("containers"))
    _merged(pod.containers, defaults, _sidecars, "name", clash("containers"))
    return found


def _patched(
    pod: Mapping[str, Any], before: _Pod, defaults: Sequence[_Read]
) -> tuple[dict[str, Any] | None, bool]:
    """Apply the PodDefaults and the patch that the webhook would answer with.

    Returns the patched pod, None where the API server cannot apply the patch, and whether the
    patch lost or doubled a container.
    """
    result = _copied(pod)
    metadata = result.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        metadata = result["metadata"] = {}
    labels = _merged_map(before.labels, [default.labels for default in defaults], _ignored)
    annotations = _merged_map(
        before.annotations, [default.annotations for default in defaults], _ignored
    )
    for default in defaults:
        annotations[stamp(default.name)] = default.version
    if labels:
        metadata["labels"] = labels
    metadata["annotations"] = annotations

    spec = result.setdefault("spec", {})
    for default in defaults:  # webhook: the last one by name wins, without a conflict
        if default.automount is not None:
            spec["automountServiceAccountToken"] = default.automount
        if default.account:
            spec["serviceAccountName"] = default.account
    for name, kind, key, pick in (
        ("volumes", "Volume", "name", _volumes),
        ("tolerations", "Toleration", "key", _tolerations),
        ("imagePullSecrets", "LocalObjectReference", "name", _pull_secrets),
        ("initContainers", "Container", "name", _init_containers),
    ):
        if any(pick(default) for default in defaults):
            there = before.held(kind, name)
            merged = _merged(there, defaults, pick, key, _passed)
            if not _extended(spec, name, written_all(kind, merged[len(there) :]), kind, there):
                return None, True
    return _containers(result, before, defaults)


def _containers(
    result: dict[str, Any], before: _Pod, defaults: Sequence[_Read]
) -> tuple[dict[str, Any] | None, bool]:
    spec = result["spec"]
    after = [_applied(container, defaults) for container in before.containers]
    try:
        merged = _merged(after, defaults, _sidecars, "name", _clashes)
    except _Clashes:
        # webhook: a sidecar that is already there, and was changed a moment ago by env or mounts,
        # leaves the pod without any containers
        spec["containers"] = None
        return result, False
    if len(merged) == len(after):
        listed = spec.get("containers") or []
        for raw, held, changed in zip(listed, before.containers, after, strict=True):
            if not _changed_in_place(raw, held, changed):
                return None, True
        return result, False
    if not before.containers:
        spec["containers"] = written_all("Container", merged)
        return result, False
    # jsonpatch: lists of different lengths; every changed container is removed by its old index,
    # in ascending order, then every new one is added by its new index
    old, new = written_all("Container", before.containers), written_all("Container", merged)
    patched = list(spec["containers"])
    for index, container in enumerate(old):
        if container not in new:
            if index >= len(patched):
                return None, True
            del patched[index]
    for index, container in enumerate(new):
        if container not in old:
            if index > len(patched):
                return None, True
            patched.insert(index, container)
    spec["containers"] = patched
    wanted = sorted(container["name"] for container in new)
    broken = sorted(str(container.get("name") or "") for container in patched) != wanted
    return result, broken


def _applied(container: _Struct, defaults: Sequence[_Read]) -> _Struct:
    # main.go, applyPodDefaultsOnContainer
    changed = dict(container)
    # an absent list becomes an empty one here, which only a comparison can see
    changed["env"] = _merged(container.get("env") or [], defaults, _env, "name", _passed)
    changed["volumeMounts"] = _merged_mounts(container.get("volumeMounts") or [], defaults, _passed)
    env_from = list(container.get("envFrom") or [])
    for default in defaults:
        env_from.extend(default.env_from)
    changed.pop("envFrom", None)
    if env_from:
        changed["envFrom"] = env_from
    if container.get("name", "") != _ISTIO:
        for default in defaults:  # webhook: only an absent one, and the first by name wins
            if "command" not in changed and default.command is not None:
                changed["command"] = default.command
            if "args" not in changed and default.args is not None:
                changed["args"] = default.args
    return changed


def _changed_in_place(raw: dict[str, Any], held: _Struct, changed: _Struct) -> bool:
    for name, kind in (
        ("env", "EnvVar"),
        ("volumeMounts", "VolumeMount"),
        ("envFrom", "EnvFromSource"),
    ):
        there, now = held.get(name) or [], changed.get(name) or []
        if len(now) > len(there):
            added = written_all(kind, now[len(there) :])
            if not _extended(raw, name, added, kind, there):
                return False
    for name in ("command", "args"):
        if changed.get(name) and not held.get(name):
            raw[name] = list(changed[name])
    return True


def _extended(
    owner: dict[str, Any], field: str, added: list[_Struct], kind: str, there: list[_Struct]
) -> bool:
    """Extend a list as the patch does; False where the API server cannot apply it."""
    if not added:
        return True
    if not there:
        owner[field] = added
        return True
    # jsonpatch: an entry that is there already is not added again, and the index of the next one
    # then lies behind the end
    known = [written(kind, entry) for entry in there]
    extended = list(owner[field])
    for index, entry in enumerate(added, start=len(there)):
        if entry in known:
            continue
        if index > len(extended):
            return False
        extended.append(entry)
    owner[field] = extended
    return True


def _volumes(default: _Read) -> list[_Struct]:
    return default.volumes


def _tolerations(default: _Read) -> list[_Struct]:
    return default.tolerations


def _pull_secrets(default: _Read) -> list[_Struct]:
    return default.pull_secrets


def _init_containers(default: _Read) -> list[_Struct]:
    return default.init_containers


def _sidecars(default: _Read) -> list[_Struct]:
    return default.sidecars


def _env(default: _Read) -> list[_Struct]:
    return default.env


def _passed(name: str, on: str) -> None:
    """Pass over a clash: the check came before."""


def _ignored(key: str) -> None:
    """Pass over a clash of metadata: the check came before."""


def _clashes(name: str, on: str) -> None:
    raise _Clashes(name, on)


def _words(value: Any) -> list[Any] | None:
    return list(value) if isinstance(value, (list, tuple)) else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _copied(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copied(part) for part in value]
    return value


def _by_name(stored: tuple[str, Any]) -> str:
    return stored[0]


def _left(pod: Mapping[str, Any], outcome: Outcome, message: str) -> Admission:
    invalid = refusals(pod)
    if invalid:
        message += f"; the API server refuses the pod itself: {'; '.join(invalid)}"
    return Admission(outcome, pod, invalid=invalid, message=message)


def _not_called(name: Any) -> str:
    label, value = PROFILE_LABEL
    return (
        f"the webhook is not called: namespace {name} does not have the label {label}={value}, so "
        f"no PodDefault reaches its pods; set it with: kubectl label namespace {name} "
        f"{label}={value}"
    )


def _none_chosen(count: int) -> str:
    if not count:
        return "the namespace has no PodDefaults: nothing to apply"
    there = "the one PodDefault" if count == 1 else f"any of the {count} PodDefaults"
    return (
        f"the labels of the pod choose not {there} of the namespace; set the label that its "
        "selector asks for, on the pod itself"
    )


def _unreadable(faults: Sequence[tuple[str, str]]) -> str:
    named = "; ".join(f"{name}: {fault}" for name, fault in faults)
    return (
        f"denied, and so is every pod of the namespace: a selector cannot be read ({named}); "
        "correct or delete that PodDefault"
    )


def _denied(conflicts: Sequence[Conflict], names: Sequence[str]) -> str:
    named = "; ".join(_clash(conflict) for conflict in conflicts)
    return (
        f"denied, and none of {', '.join(names)} is applied: {named}. Rename what clashes, make "
        "the entries equal to the letter, or choose fewer of these PodDefaults"
    )


def _clash(conflict: Conflict) -> str:
    if conflict.poddefault is None:
        return f"the annotation or label {conflict.on!r} is there with another value"
    what = _WORDS.get(conflict.field, conflict.field)
    return f"{what} {conflict.on!r} of {conflict.poddefault} is there already and differs"


def _broken(names: Sequence[str], defaults: Sequence[_Read]) -> str:
    adding = [default.name for default in defaults if default.sidecars]
    if adding:
        return (
            f"not admitted: the webhook's patch breaks, since {', '.join(adding)} adds a sidecar "
            "to a pod of which two or more containers are changed too; put the sidecar into the "
            f"pod itself, or do not choose it together with {', '.join(names)}"
        )
    return (
        "not admitted: the webhook's patch cannot be applied, since a container already has an "
        f"envFrom entry that {', '.join(names)} adds again before another one; remove it from the "
        "pod or from the PodDefault"
    )


def _mutated(names: Sequence[str], invalid: Sequence[str]) -> str:
    applied = f"applied: {', '.join(names)}"
    if not invalid:
        return applied
    return f"{applied}; the API server then refuses the pod: {'; '.join(invalid)}"


_WORDS = {
    "env": "variable",
    "volumeMounts": "mount",
    "volumes": "volume",
    "containers": "container",
    "tolerations": "toleration",
}
