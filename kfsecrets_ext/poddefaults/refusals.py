"""What the API server refuses of a pod that a PodDefault can be the cause of.

The webhook checks conflicts and nothing else; the API server validates what comes out. Here is
the part of its validation that the fields of a PodDefault can break, each rule with its source.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .containers import container_refusals
from .quantity import quantity
from .selectors import label_key_fault, label_value_fault

__all__ = ["refusals", "refusals_of_spec"]


def refusals(pod: Mapping[str, Any]) -> tuple[str, ...]:
    """Name what the API server refuses of a pod.

    Parameters
    ----------
    pod : Mapping
        The pod, after the webhook.

    Returns
    -------
    tuple of str
        One text for each refusal, none with a value in it.
    """
    metadata, spec = _mapping(pod.get("metadata")), _mapping(pod.get("spec"))
    return (
        *_annotations(metadata.get("annotations"), "metadata.annotations"),
        *_labels(metadata.get("labels"), "metadata.labels"),
        *_pod_spec(spec),
    )


def refusals_of_spec(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Name what the API server refuses of every pod that gets this ``PodDefault.spec``.

    A mount without its volume is not among them: the pod or another PodDefault may bring it.
    """
    # the webhook merges what is there twice; where the two differ it denies the pod
    volumes = _once(spec.get("volumes"))
    named = {str(volume.get("name") or "") for volume in volumes}
    mounts = _once(spec.get("volumeMounts"))
    named.update(str(mount.get("name") or "") for mount in mounts)
    texts = [
        *_annotations(spec.get("annotations"), "annotations"),
        *_labels(spec.get("labels"), "labels"),
        *(text for _, found in _volumes(volumes, "volumes") for text in found),
        *_env(_entries(spec.get("env")), None, "env"),
        *_env_from(_entries(spec.get("envFrom")), "envFrom"),
        *_mounts(mounts, named, True, "volumeMounts"),
        *_tolerations(_entries(spec.get("tolerations")), "tolerations"),
        *_account(spec.get("serviceAccountName"), "serviceAccountName"),
    ]
    for field in ("initContainers", "sidecars"):
        for index, container in enumerate(_entries(spec.get(field))):
            inner = {str(m.get("name") or "") for m in _entries(container.get("volumeMounts"))}
            for entry in _entries(container.get("env")):
                file = _mapping(_mapping(entry.get("valueFrom")).get("fileKeyRef"))
                inner.add(str(file.get("volumeName") or ""))
            texts.extend(_container(container, inner, f"{field}[{index}]"))
            if field == "initContainers":
                texts.extend(_init_only(container, f"{field}[{index}]"))
    return tuple(texts)


def _pod_spec(spec: Mapping[str, Any]) -> Iterator[str]:
    sound = set()
    for name, found in _volumes(_entries(spec.get("volumes")), "spec.volumes"):
        if found:
            yield from found
        else:
            sound.add(name)
    if not (spec.get("serviceAccountName") or spec.get("serviceAccount")):
        # core validation: ValidatePodSpec; ServiceAccount admission names one for every pod
        for index, volume in enumerate(_entries(spec.get("volumes"))):
            sources = _entries(_mapping(volume.get("projected")).get("sources"))
            if any(part.get("serviceAccountToken") is not None for part in sources):
                place = f"spec.volumes[{index}].projected.sources"
                yield f"{place}: Forbidden: a serviceAccountToken only with a serviceAccountName"
    containers = _entries(spec.get("containers"))
    if not containers:
        yield "spec.containers: Required value"
    seen: set[str] = set()
    for index, container in enumerate(containers):
        at = f"spec.containers[{index}]"
        yield from _container(container, sound, at)
        name = str(container.get("name") or "")
        if name in seen:
            yield f'{at}.name: Duplicate value: "{name}"'
        seen.add(name)
    for index, container in enumerate(_entries(spec.get("initContainers"))):
        at = f"spec.initContainers[{index}]"
        yield from _container(container, sound, at)
        yield from _init_only(container, at)
        name = str(container.get("name") or "")
        # core validation: validateInitContainers, names are unique among both kinds
        if name in seen:
            yield f'{at}.name: Duplicate value: "{name}"'
        seen.add(name)
    yield from _tolerations(_entries(spec.get("tolerations")), "spec.tolerations")
    yield from _account(spec.get("serviceAccountName"), "spec.serviceAccountName")


def _annotations(value: Any, at: str) -> Iterator[str]:
    # apimachinery: ValidateAnnotations, keys are compared in lower case, 256 KiB for all of them
    size = 0
    for key, text in _mapping(value).items():
        fault = label_key_fault(str(key).lower())
        if fault:
            yield f'{at}: Invalid value: "{key}": {fault}'
        size += len(str(key).encode()) + len(str(text or "").encode("utf-8", "surrogatepass"))
    if size > 256 * 1024:
        yield f"{at}: Too long: all annotations together may not be more than 262144 bytes"


def _labels(value: Any, at: str) -> Iterator[str]:
    for key, text in _mapping(value).items():
        fault = label_key_fault(key)
        if fault:
            yield f'{at}: Invalid value: "{key}": {fault}'
        fault = label_value_fault(text or "")
        if fault:
            yield f"{at}[{key}]: Invalid value: {fault}"


def _volumes(volumes: Sequence[Mapping[str, Any]], at: str) -> Iterator[tuple[str, list[str]]]:
    seen: set[str] = set()
    for index, volume in enumerate(volumes):
        place = f"{at}[{index}]"
        name = str(volume.get("name") or "")
        found = list(_label_name(name, f"{place}.name"))
        sources = [key for key, part in volume.items() if key != "name" and part is not None]
        # core defaults: SetDefaults_Volume, no source at all becomes an emptyDir
        found.extend(
            f"{place}.{extra}: Forbidden: may not specify more than 1 volume type"
            for extra in sources[1:]
        )
        for kind in sources[:1]:
            found.extend(_source(kind, _mapping(volume[kind]), f"{place}.{kind}"))
        if name in seen:
            found.append(f'{place}.name: Duplicate value: "{name}"')
        if not found:
            seen.add(name)
        yield name, found


def _source(kind: str, source: Mapping[str, Any], at: str) -> Iterator[str]:
    for field in _REQUIRED.get(kind, ()):
        if not source.get(field):
            yield f"{at}.{field}: Required value"
    if kind in ("secret", "configMap", "downwardAPI", "projected"):
        yield from _mode(source.get("defaultMode"), f"{at}.defaultMode")
    if kind in ("secret", "configMap"):
        yield from _items(source, at)
    elif kind == "downwardAPI":
        yield from _files(source, at)
    elif kind == "hostPath":
        if ".." in str(source.get("path") or "").split("/"):
            yield f"{at}.path: Invalid value: must not contain '..'"
        if source.get("type") and source["type"] not in _HOST_TYPES:
            yield f'{at}.type: Unsupported value: "{source["type"]}"'
    elif kind == "csi":
        if source.get("driver"):
            yield from _object_name(str(source["driver"]).lower(), f"{at}.driver")
    elif kind == "nfs":
        if source.get("path") and not str(source["path"]).startswith("/"):
            yield f"{at}.path: Invalid value: must be an absolute path"
    elif kind == "emptyDir":
        limit = quantity(source.get("sizeLimit"))
        if limit is not None and limit.amount < 0:
            yield f"{at}.sizeLimit: Forbidden: must be a valid resource quantity"
    elif kind == "projected":
        yield from _projected(source, at)


def _projected(source: Mapping[str, Any], at: str) -> Iterator[str]:
    # core validation: validateProjectionSources
    paths: set[str] = set()
    for index, part in enumerate(_entries(source.get("sources"))):
        place = f"{at}.sources[{index}]"
        kinds = [kind for kind, inner in part.items() if inner is not None]
        if len(kinds) > 1:
            yield f"{place}: Forbidden: may not specify more than 1 volume type per source"
        for kind in kinds:
            inner = _mapping(part[kind])
            if kind in ("secret", "configMap"):
                if not inner.get("name"):
                    yield f"{place}.{kind}.name: Required value"
                yield from _items(inner, f"{place}.{kind}")
            elif kind == "downwardAPI":
                yield from _files(inner, f"{place}.{kind}")
            elif kind == "serviceAccountToken":
                if not inner.get("path"):
                    yield f"{place}.{kind}.path: Required value"
                seconds = inner.get("expirationSeconds")
                if isinstance(seconds, int) and not 600 <= seconds <= 1 << 32:
                    yield f"{place}.{kind}.expirationSeconds: Invalid value: from 600 to 2^32"
            for item in _entries(inner.get("items")):
                path = str(item.get("path") or "")
                if path and path in paths:
                    yield f'{at}: Invalid value: "{path}": conflicting duplicate paths'
                paths.add(path)


def _items(source: Mapping[str, Any], at: str) -> Iterator[str]:
    # core validation: validateKeyToPath
    for index, item in enumerate(_entries(source.get("items"))):
        place = f"{at}.items[{index}]"
        if not item.get("key"):
            yield f"{place}.key: Required value"
        yield from _local(item.get("path"), f"{place}.path")
        yield from _mode(item.get("mode"), f"{place}.mode")


def _files(source: Mapping[str, Any], at: str) -> Iterator[str]:
    # core validation: validateDownwardAPIVolumeFile
    for index, item in enumerate(_entries(source.get("items"))):
        place = f"{at}.items[{index}]"
        yield from _local(item.get("path"), f"{place}.path")
        yield from _mode(item.get("mode"), f"{place}.mode")
        field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
        if field is not None:
            yield from _field(_mapping(field), _VOLUME_FIELDS, f"{place}.fieldRef")
            if resource is not None:
                yield f"{place}: Invalid value: fieldRef and resourceFieldRef are both there"
        elif resource is None:
            yield f"{place}: Required value: one of fieldRef and resourceFieldRef is required"
        else:
            if not _mapping(resource).get("containerName"):
                yield f"{place}.resourceFieldRef.containerName: Required value"
            yield from _resource(_mapping(resource), f"{place}.resourceFieldRef")


def _field(field: Mapping[str, Any], allowed: frozenset[str], at: str) -> Iterator[str]:
    # core validation: validateObjectFieldSelector
    path = str(field.get("fieldPath") or "")
    if not path:
        yield f"{at}.fieldPath: Required value"
        return
    subscript = _SUBSCRIPT.fullmatch(path)
    if subscript:
        key = subscript["key"]
        fault = label_key_fault(key.lower() if subscript["of"] == "annotations" else key)
        if fault:
            yield f"{at}: Invalid value: {fault}"
    elif path not in allowed:
        yield f'{at}.fieldPath: Unsupported value: "{path}"'


def _resource(field: Mapping[str, Any], at: str) -> Iterator[str]:
    # core validation: validateContainerResourceFieldSelector
    name = str(field.get("resource") or "")
    if not name:
        yield f"{at}.resource: Required value"
    elif not _RESOURCE_FIELD.fullmatch(name):
        yield f'{at}.resource: Unsupported value: "{name}"'


def _local(value: Any, at: str) -> Iterator[str]:
    # core validation: ValidateLocalNonReservedPath
    path = str(value or "")
    if not path:
        yield f"{at}: Required value"
    elif path.startswith("/"):
        yield f"{at}: Invalid value: must be a relative path"
    elif ".." in path.split("/"):
        yield f"{at}: Invalid value: must not contain '..'"
    elif path.startswith(".."):
        yield f"{at}: Invalid value: must not start with '..'"


def _mode(value: Any, at: str) -> Iterator[str]:
    if isinstance(value, int) and not 0 <= value <= 0o777:
        yield f"{at}: Invalid value: {value}: must be a number between 0 and 0777 (octal)"


def _container(container: Mapping[str, Any], sound: set[str], at: str) -> Iterator[str]:
    yield from _label_name(str(container.get("name") or ""), f"{at}.name")
    yield from container_refusals(container, at)
    env, env_from = container.get("env"), container.get("envFrom")
    if env:
        yield from _env(_entries(env), sound, f"{at}.env")
    if env_from:
        yield from _env_from(_entries(env_from), f"{at}.envFrom")
    mounts = container.get("volumeMounts")
    if mounts:
        privileged = bool(_mapping(container.get("securityContext")).get("privileged"))
        yield from _mounts(_entries(mounts), sound, privileged, f"{at}.volumeMounts")


def _init_only(container: Mapping[str, Any], at: str) -> Iterator[str]:
    # core validation: validateInitContainers
    if container.get("restartPolicy") == "Always":
        return
    for field in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(field) is not None:
            yield (
                f"{at}.{field}: Forbidden: may not be set for init containers without "
                "restartPolicy=Always"
            )


def _env(entries: Sequence[Mapping[str, Any]], sound: set[str] | None, at: str) -> Iterator[str]:
    # core validation: ValidateEnv, with the names that are allowed since Kubernetes 1.32
    for index, entry in enumerate(entries):
        name = entry.get("name")
        if not name:
            yield f"{at}[{index}].name: Required value"
        elif not _ENV_NAME.fullmatch(str(name)):
            yield f"{at}[{index}].name: Invalid value: must be printable ASCII without '='"
        source = entry.get("valueFrom")
        if source is None:
            continue
        place = f"{at}[{index}].valueFrom"
        source = _mapping(source)
        kinds = [kind for kind in _ENV_SOURCES if source.get(kind) is not None]
        if not kinds:
            yield f"{place}: Invalid value: must name one source"
        elif entry.get("value"):
            yield f"{place}: Invalid value: may not be specified when `value` is not empty"
        elif len(kinds) > 1:
            yield f"{place}: Invalid value: may not have more than one field specified at a time"
        for kind in kinds:
            inner = _mapping(source[kind])
            if kind in ("secretKeyRef", "configMapKeyRef"):
                yield from _object_name(inner.get("name"), f"{place}.{kind}.name")
                key = str(inner.get("key") or "")
                if not key:
                    yield f"{place}.{kind}.key: Required value"
                elif not _DATA_KEY.fullmatch(key) or key in (".", "..") or key.startswith(".."):
                    yield f"{place}.{kind}.key: Invalid value: no key of a Secret or ConfigMap"
            elif kind == "fieldRef":
                yield from _field(inner, _ENV_FIELDS, f"{place}.{kind}")
            elif kind == "resourceFieldRef":
                yield from _resource(inner, f"{place}.{kind}")
            elif kind == "fileKeyRef" and sound is not None:
                volume = str(inner.get("volumeName") or "")
                if volume not in sound:
                    yield f'{place}.{kind}.volumeName: Not found: "{volume}"'


def _env_from(entries: Sequence[Mapping[str, Any]], at: str) -> Iterator[str]:
    # core validation: ValidateEnvFrom
    for index, entry in enumerate(entries):
        prefix = entry.get("prefix")
        if prefix and not _ENV_NAME.fullmatch(str(prefix)):
            yield f"{at}[{index}].prefix: Invalid value: must be printable ASCII without '='"
        kinds = [kind for kind in ("configMapRef", "secretRef") if entry.get(kind) is not None]
        if not kinds:
            yield f"{at}: Invalid value: must specify one of: `configMapRef` or `secretRef`"
        elif len(kinds) > 1:
            yield f"{at}: Invalid value: may not have more than one field specified at a time"
        for kind in kinds:
            name = _mapping(entry[kind]).get("name")
            place = f"{at}[{index}].{kind}.name"
            if name:
                yield from _object_name(name, place)
            else:
                yield f"{place}: Required value"


def _mounts(
    mounts: Sequence[Mapping[str, Any]], sound: set[str], privileged: bool, at: str
) -> Iterator[str]:
    # core validation: ValidateVolumeMounts
    paths: set[str] = set()
    for index, mount in enumerate(mounts):
        place = f"{at}[{index}]"
        name, path = str(mount.get("name") or ""), str(mount.get("mountPath") or "")
        if not name:
            yield f"{place}.name: Required value"
        if name not in sound:
            yield f'{place}.name: Not found: "{name}"'
        if not path:
            yield f"{place}.mountPath: Required value"
        if path in paths:
            yield f'{place}.mountPath: Invalid value: "{path}": must be unique'
        paths.add(path)
        for field in ("subPath", "subPathExpr"):
            below = str(mount.get(field) or "")
            if below.startswith("/"):
                yield f"{place}.{field}: Invalid value: must be a relative path"
            if ".." in below.split("/"):
                yield f"{place}.{field}: Invalid value: must not contain '..'"
        if mount.get("subPath") and mount.get("subPathExpr"):
            yield f"{place}.subPathExpr: Invalid value: subPath is there too"
        propagation = mount.get("mountPropagation")
        if propagation not in (None, "None", "HostToContainer", "Bidirectional"):
            yield f'{place}.mountPropagation: Unsupported value: "{propagation}"'
        elif propagation == "Bidirectional" and not privileged:
            yield f"{place}.mountPropagation: Forbidden: only in privileged containers"
        if mount.get("recursiveReadOnly") not in (None, "Disabled") and not mount.get("readOnly"):
            yield f"{place}.recursiveReadOnly: Forbidden: only when readOnly is true"


def _tolerations(entries: Sequence[Mapping[str, Any]], at: str) -> Iterator[str]:
    # core validation: ValidateTolerations
    for index, entry in enumerate(entries):
        place = f"{at}[{index}]"
        key, operator = entry.get("key") or "", entry.get("operator") or ""
        effect, value = entry.get("effect") or "", entry.get("value") or ""
        if key:
            fault = label_key_fault(key)
            if fault:
                yield f'{place}.key: Invalid value: "{key}": {fault}'
        elif operator != "Exists":
            yield f"{place}.operator: Invalid value: must be Exists when `key` is empty"
        if entry.get("tolerationSeconds") is not None and effect != "NoExecute":
            yield f"{place}.effect: Invalid value: must be NoExecute with `tolerationSeconds`"
        if operator in ("", "Equal"):
            fault = label_value_fault(value)
            if fault:
                yield f"{place}.operator: Invalid value: {fault}"
        elif operator == "Exists":
            if value:
                yield f"{place}.operator: Invalid value: value must be empty with Exists"
        else:
            yield f'{place}.operator: Unsupported value: "{operator}"'
        if effect and effect not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
            yield f'{place}.effect: Unsupported value: "{effect}"'


def _account(value: Any, at: str) -> Iterator[str]:
    if value:
        yield from _object_name(value, at)


def _object_name(value: Any, at: str) -> Iterator[str]:
    name = str(value or "")
    if len(name) > 253 or not _SUBDOMAIN.fullmatch(name):
        yield f'{at}: Invalid value: "{name}": must be a DNS subdomain in lower case'


def _label_name(name: str, at: str) -> Iterator[str]:
    if not name:
        yield f"{at}: Required value"
    elif len(name) > 63 or not _LABEL.fullmatch(name):
        yield f'{at}: Invalid value: "{name}": must be of 63 lower-case letters, digits and "-"'


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _entries(value: Any) -> list[Mapping[str, Any]]:
    listed: Iterable[Any] = value if isinstance(value, (list, tuple)) else ()
    return [_mapping(entry) for entry in listed]


def _once(value: Any) -> list[Mapping[str, Any]]:
    by_name = {str(entry.get("name") or ""): entry for entry in _entries(value)}
    return list(by_name.values())


_REQUIRED = {
    "secret": ("secretName",),
    "configMap": ("name",),
    "persistentVolumeClaim": ("claimName",),
    "hostPath": ("path",),
    "nfs": ("server", "path"),
    "csi": ("driver",),
    "gitRepo": ("repository",),
    "ephemeral": ("volumeClaimTemplate",),
}
_ENV_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_VOLUME_FIELDS = frozenset(
    (
        "metadata.annotations",
        "metadata.labels",
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
    )
)
_ENV_FIELDS = frozenset(
    (
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
        "spec.host",
    )
)
_SUBSCRIPT = re.compile(r"metadata\.(?P<of>labels|annotations)\['(?P<key>.*)'\]")
_RESOURCE_FIELD = re.compile(
    r"(limits|requests)\.(cpu|memory|ephemeral-storage|hugepages-[0-9A-Za-z]+)"
)
_HOST_TYPES = frozenset(
    (
        "BlockDevice",
        "CharDevice",
        "Directory",
        "DirectoryOrCreate",
        "File",
        "FileOrCreate",
        "Socket",
    )
)
_ENV_NAME = re.compile(r"[ -<>-~]+")
_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
