"""The Kubernetes structs that a PodDefault and a pod share, and Go's reading of them.

The webhook decodes JSON into Go structs, compares those, and writes JSON again. Three things of
that are visible in its answers, and this module keeps them:

- in a field that is no pointer the zero value and absence are one (``readOnly: false``,
  ``value: ""``), in a pointer field they are two (``defaultMode``, ``optional``);
- an absent list or map differs from an empty one until it is written again;
- a field that no struct has is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .quantity import Quantity, quantity

__all__ = [
    "known_fields",
    "struct",
    "structs",
    "unknown_fields",
    "without_unknown",
    "written",
    "written_all",
]


def struct(kind: str, value: Any) -> dict[str, Any]:
    """Read one struct as Go would hold it.

    Parameters
    ----------
    kind : str
        Name of the struct, ``"Volume"`` for example.
    value : Any
        The JSON value; anything but a mapping is an empty struct.

    Returns
    -------
    dict
        Fields that hold something. Two structs are equal to Go's ``reflect.DeepEqual`` exactly
        where these are equal.
    """
    if not isinstance(value, Mapping):
        return {}
    readers = _readers(kind)
    fields = {}
    for name, part in value.items():
        if part is None:
            continue
        reader = readers.get(name)
        if reader is not None:
            held = reader(part)
            if held is not None:
                fields[name] = held
    return fields


def structs(kind: str, value: Any) -> list[dict[str, Any]] | None:
    """Read a list of structs; None where there is no list (Go's nil slice)."""
    if not isinstance(value, (list, tuple)):
        return None
    return [struct(kind, part) for part in value]


def written(kind: str, held: Mapping[str, Any]) -> dict[str, Any]:
    """Write one struct as Go marshals it: the inverse of `struct`, minus what it leaves out."""
    writers = _writers(kind)
    fields: dict[str, Any] = {}
    for name, (always, zero, writer) in writers.items():
        if name in held:
            part = held[name]
            if part or always or not isinstance(part, (list, dict)) or name in _pointers(kind):
                fields[name] = writer(part)
        elif always:
            fields[name] = zero()
    return fields


def written_all(kind: str, held: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Write a list of structs."""
    return [written(kind, part) for part in held or ()]


def known_fields(kind: str) -> frozenset[str]:
    """Give the names of a struct's fields."""
    return frozenset(_fields(kind))


def unknown_fields(kind: str, value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Find the fields that no struct has, at any depth.

    Parameters
    ----------
    kind : str
        Name of the struct.
    value : Any
        The JSON value.
    path : str
        Where it is, for the answer.

    Yields
    ------
    tuple of str
        The path of the object, and the name of the field in it.
    """
    if not isinstance(value, Mapping):
        return
    fields = _fields(kind)
    for name, part in value.items():
        shape = fields.get(name)
        if shape is None:
            yield path, str(name)
            continue
        shape = shape.rstrip("!").lstrip("*")
        below = f"{path}.{name}" if path else str(name)
        if shape.startswith("[]"):
            element = shape[2:]
            if element in _STRUCTS and isinstance(part, (list, tuple)):
                for index, one in enumerate(part):
                    yield from unknown_fields(element, one, f"{below}[{index}]")
        elif shape in _STRUCTS:
            yield from unknown_fields(shape, part, below)


def without_unknown(kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a struct without the fields that no struct has, everything else as it is."""
    fields = _fields(kind)
    kept: dict[str, Any] = {}
    for name, part in value.items():
        shape = fields.get(name)
        if shape is None:
            continue
        shape = shape.rstrip("!").lstrip("*")
        listed = shape.startswith("[]")
        inner = shape[2:] if listed else shape
        if inner not in _STRUCTS:
            kept[name] = _copied(part)
        elif listed and isinstance(part, (list, tuple)):
            kept[name] = [
                without_unknown(inner, one) if isinstance(one, Mapping) else one for one in part
            ]
        elif not listed and isinstance(part, Mapping):
            kept[name] = without_unknown(inner, part)
        else:
            kept[name] = part
    return kept


_Reader = Callable[[Any], Any]
_Writer = tuple[bool, Callable[[], Any], Callable[[Any], Any]]

_READERS: dict[str, dict[str, _Reader]] = {}
_WRITERS: dict[str, dict[str, _Writer]] = {}
_FIELDS: dict[str, dict[str, str]] = {}
_POINTERS: dict[str, frozenset[str]] = {}


def _fields(kind: str) -> dict[str, str]:
    fields = _FIELDS.get(kind)
    if fields is None:
        pairs = (field.split(":", 1) for field in _STRUCTS[kind].split())
        fields = _FIELDS[kind] = dict(pairs)
    return fields


def _pointers(kind: str) -> frozenset[str]:
    names = _POINTERS.get(kind)
    if names is None:
        fields = _fields(kind).items()
        names = _POINTERS[kind] = frozenset(name for name, shape in fields if shape[0] == "*")
    return names


def _readers(kind: str) -> dict[str, _Reader]:
    readers = _READERS.get(kind)
    if readers is None:
        fields = _fields(kind).items()
        readers = _READERS[kind] = {name: _reader(shape.rstrip("!")) for name, shape in fields}
    return readers


def _writers(kind: str) -> dict[str, _Writer]:
    writers = _WRITERS.get(kind)
    if writers is None:
        writers = _WRITERS[kind] = {}
        for name, shape in _fields(kind).items():
            bare = shape.rstrip("!")
            writers[name] = (shape.endswith("!"), _zero(bare), _writer(bare))
    return writers


def _reader(shape: str) -> _Reader:
    if shape.startswith("*"):
        inner = shape[1:]
        if inner in _STRUCTS:
            return lambda value: struct(inner, value)
        return _amount if inner == "quantity" else _same
    if shape.startswith("[]"):
        element = shape[2:]
        if element in _STRUCTS:
            return lambda value: structs(element, value)
        return _list
    if shape.startswith("map:"):
        return _amounts if shape == "map:quantity" else _map
    if shape in _STRUCTS:
        return lambda value: struct(shape, value) or None
    return _amount if shape == "quantity" else _nonzero


def _writer(shape: str) -> Callable[[Any], Any]:
    shape = shape.lstrip("*")
    if shape in _STRUCTS:
        return lambda held: written(shape, held)
    if shape.startswith("[]") and shape[2:] in _STRUCTS:
        return lambda held: written_all(shape[2:], held)
    if shape == "quantity":
        return _spelled
    if shape == "map:quantity":
        return lambda held: {name: _spelled(part) for name, part in held.items()}
    return _copied


def _zero(shape: str) -> Callable[[], Any]:
    if shape in _STRUCTS:
        return lambda: written(shape, {})
    zero: Any = {"str": "", "int": 0, "bool": False, "intstr": 0, "quantity": "0"}.get(shape)
    return lambda: zero


def _same(value: Any) -> Any:
    return value


def _nonzero(value: Any) -> Any:
    return value or None


def _list(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else None


def _map(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else None


def _amount(value: Any) -> Any:
    amount = quantity(value)
    return value if amount is None else amount


def _amounts(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return None
    return {name: _amount(part) for name, part in value.items()}


def _spelled(held: Any) -> Any:
    return held.text() if isinstance(held, Quantity) else held


def _copied(held: Any) -> Any:
    if isinstance(held, dict):
        return {name: _copied(part) for name, part in held.items()}
    if isinstance(held, list):
        return [_copied(part) for part in held]
    return held


# k8s.io/api v0.35.4, core/v1, and the PodDefault's own spec: "*" a pointer, "[]" a slice, "map:" a
# map, "!" written though it is zero
_STRUCTS = {
    "AWSElasticBlockStoreVolumeSource": "fsType:str partition:int readOnly:bool volumeID:str!",
    "AppArmorProfile": "localhostProfile:*str type:str!",
    "AzureDiskVolumeSource": (
        "cachingMode:*str diskName:str! diskURI:str! fsType:*str kind:*str readOnly:*bool"
    ),
    "AzureFileVolumeSource": "readOnly:bool secretName:str! shareName:str!",
    "CSIVolumeSource": (
        "driver:str! fsType:*str nodePublishSecretRef:*LocalObjectReference "
        "readOnly:*bool volumeAttributes:map:str"
    ),
    "Capabilities": "add:[]str drop:[]str",
    "CephFSVolumeSource": (
        "monitors:[]str! path:str readOnly:bool secretFile:str "
        "secretRef:*LocalObjectReference user:str"
    ),
    "CinderVolumeSource": (
        "fsType:str readOnly:bool secretRef:*LocalObjectReference volumeID:str!"
    ),
    "ClusterTrustBundleProjection": (
        "labelSelector:*LabelSelector name:*str optional:*bool path:str! signerName:*str"
    ),
    "ConfigMapEnvSource": "name:str optional:*bool",
    "ConfigMapKeySelector": "key:str! name:str optional:*bool",
    "ConfigMapProjection": "items:[]KeyToPath name:str optional:*bool",
    "ConfigMapVolumeSource": "defaultMode:*int items:[]KeyToPath name:str optional:*bool",
    "Container": (
        "args:[]str command:[]str env:[]EnvVar envFrom:[]EnvFromSource image:str "
        "imagePullPolicy:str lifecycle:*Lifecycle livenessProbe:*Probe name:str! "
        "ports:[]ContainerPort readinessProbe:*Probe resizePolicy:[]ContainerResizePolicy "
        "resources:ResourceRequirements! restartPolicy:*str "
        "restartPolicyRules:[]ContainerRestartRule securityContext:*SecurityContext "
        "startupProbe:*Probe stdin:bool stdinOnce:bool terminationMessagePath:str "
        "terminationMessagePolicy:str tty:bool volumeDevices:[]VolumeDevice "
        "volumeMounts:[]VolumeMount workingDir:str"
    ),
    "ContainerPort": "containerPort:int! hostIP:str hostPort:int name:str protocol:str",
    "ContainerResizePolicy": "resourceName:str! restartPolicy:str!",
    "ContainerRestartRule": "action:str exitCodes:*ContainerRestartRuleOnExitCodes",
    "ContainerRestartRuleOnExitCodes": "operator:str values:[]int",
    "DownwardAPIProjection": "items:[]DownwardAPIVolumeFile",
    "DownwardAPIVolumeFile": (
        "fieldRef:*ObjectFieldSelector mode:*int path:str! resourceFieldRef:*ResourceFieldSelector"
    ),
    "DownwardAPIVolumeSource": "defaultMode:*int items:[]DownwardAPIVolumeFile",
    "EmptyDirVolumeSource": "medium:str sizeLimit:*quantity",
    "EnvFromSource": "configMapRef:*ConfigMapEnvSource prefix:str secretRef:*SecretEnvSource",
    "EnvVar": "name:str! value:str valueFrom:*EnvVarSource",
    "EnvVarSource": (
        "configMapKeyRef:*ConfigMapKeySelector fieldRef:*ObjectFieldSelector "
        "fileKeyRef:*FileKeySelector resourceFieldRef:*ResourceFieldSelector "
        "secretKeyRef:*SecretKeySelector"
    ),
    "EphemeralVolumeSource": "volumeClaimTemplate:*PersistentVolumeClaimTemplate",
    "ExecAction": "command:[]str",
    "FCVolumeSource": "fsType:str lun:*int readOnly:bool targetWWNs:[]str wwids:[]str",
    "FileKeySelector": "key:str! optional:*bool path:str! volumeName:str!",
    "FlexVolumeSource": (
        "driver:str! fsType:str options:map:str readOnly:bool secretRef:*LocalObjectReference"
    ),
    "FlockerVolumeSource": "datasetName:str datasetUUID:str",
    "GCEPersistentDiskVolumeSource": "fsType:str partition:int pdName:str! readOnly:bool",
    "GRPCAction": "port:int! service:*str!",
    "GitRepoVolumeSource": "directory:str repository:str! revision:str",
    "GlusterfsVolumeSource": "endpoints:str! path:str! readOnly:bool",
    "HTTPGetAction": "host:str httpHeaders:[]HTTPHeader path:str port:intstr! scheme:str",
    "HTTPHeader": "name:str! value:str!",
    "HostPathVolumeSource": "path:str! type:*str",
    "ISCSIVolumeSource": (
        "chapAuthDiscovery:bool chapAuthSession:bool fsType:str initiatorName:*str "
        "iqn:str! iscsiInterface:str lun:int! portals:[]str readOnly:bool "
        "secretRef:*LocalObjectReference targetPortal:str!"
    ),
    "ImageVolumeSource": "pullPolicy:str reference:str",
    "KeyToPath": "key:str! mode:*int path:str!",
    "LabelSelector": "matchExpressions:[]LabelSelectorRequirement matchLabels:map:str",
    "LabelSelectorRequirement": "key:str! operator:str! values:[]str",
    "Lifecycle": "postStart:*LifecycleHandler preStop:*LifecycleHandler stopSignal:*str",
    "LifecycleHandler": (
        "exec:*ExecAction httpGet:*HTTPGetAction sleep:*SleepAction tcpSocket:*TCPSocketAction"
    ),
    "LocalObjectReference": "name:str",
    "NFSVolumeSource": "path:str! readOnly:bool server:str!",
    "ObjectFieldSelector": "apiVersion:str fieldPath:str!",
    "ObjectMeta": (
        "annotations:map:str creationTimestamp:time deletionGracePeriodSeconds:*int "
        "deletionTimestamp:*time finalizers:[]str generateName:str generation:int "
        "labels:map:str managedFields:[]any name:str namespace:str "
        "ownerReferences:[]OwnerReference resourceVersion:str selfLink:str uid:str"
    ),
    "OwnerReference": (
        "apiVersion:str! blockOwnerDeletion:*bool controller:*bool kind:str! name:str! uid:str!"
    ),
    "PersistentVolumeClaimSpec": (
        "accessModes:[]str dataSource:*TypedLocalObjectReference "
        "dataSourceRef:*TypedObjectReference resources:VolumeResourceRequirements! "
        "selector:*LabelSelector storageClassName:*str volumeAttributesClassName:*str "
        "volumeMode:*str volumeName:str"
    ),
    "PersistentVolumeClaimTemplate": "metadata:ObjectMeta! spec:PersistentVolumeClaimSpec!",
    "PersistentVolumeClaimVolumeSource": "claimName:str! readOnly:bool",
    "PhotonPersistentDiskVolumeSource": "fsType:str pdID:str!",
    "PodCertificateProjection": (
        "certificateChainPath:str credentialBundlePath:str keyPath:str keyType:str "
        "maxExpirationSeconds:*int signerName:str userAnnotations:map:str"
    ),
    "PodDefaultSpec": (
        "annotations:map:str args:[]str automountServiceAccountToken:*bool command:[]str "
        "desc:str env:[]EnvVar envFrom:[]EnvFromSource "
        "imagePullSecrets:[]LocalObjectReference initContainers:[]Container "
        "labels:map:str selector:LabelSelector! serviceAccountName:str "
        "sidecars:[]Container tolerations:[]Toleration volumeMounts:[]VolumeMount "
        "volumes:[]Volume"
    ),
    "PortworxVolumeSource": "fsType:str readOnly:bool volumeID:str!",
    "Probe": (
        "exec:*ExecAction failureThreshold:int grpc:*GRPCAction httpGet:*HTTPGetAction "
        "initialDelaySeconds:int periodSeconds:int successThreshold:int "
        "tcpSocket:*TCPSocketAction terminationGracePeriodSeconds:*int timeoutSeconds:int"
    ),
    "ProjectedVolumeSource": "defaultMode:*int sources:[]VolumeProjection!",
    "QuobyteVolumeSource": (
        "group:str readOnly:bool registry:str! tenant:str user:str volume:str!"
    ),
    "RBDVolumeSource": (
        "fsType:str image:str! keyring:str monitors:[]str! pool:str readOnly:bool "
        "secretRef:*LocalObjectReference user:str"
    ),
    "ResourceClaim": "name:str! request:str",
    "ResourceFieldSelector": "containerName:str divisor:quantity! resource:str!",
    "ResourceRequirements": "claims:[]ResourceClaim limits:map:quantity requests:map:quantity",
    "SELinuxOptions": "level:str role:str type:str user:str",
    "ScaleIOVolumeSource": (
        "fsType:str gateway:str! protectionDomain:str readOnly:bool "
        "secretRef:*LocalObjectReference! sslEnabled:bool storageMode:str storagePool:str "
        "system:str! volumeName:str"
    ),
    "SeccompProfile": "localhostProfile:*str type:str!",
    "SecretEnvSource": "name:str optional:*bool",
    "SecretKeySelector": "key:str! name:str optional:*bool",
    "SecretProjection": "items:[]KeyToPath name:str optional:*bool",
    "SecretVolumeSource": "defaultMode:*int items:[]KeyToPath optional:*bool secretName:str",
    "SecurityContext": (
        "allowPrivilegeEscalation:*bool appArmorProfile:*AppArmorProfile "
        "capabilities:*Capabilities privileged:*bool procMount:*str "
        "readOnlyRootFilesystem:*bool runAsGroup:*int runAsNonRoot:*bool runAsUser:*int "
        "seLinuxOptions:*SELinuxOptions seccompProfile:*SeccompProfile "
        "windowsOptions:*WindowsSecurityContextOptions"
    ),
    "ServiceAccountTokenProjection": "audience:str expirationSeconds:*int path:str!",
    "SleepAction": "seconds:int!",
    "StorageOSVolumeSource": (
        "fsType:str readOnly:bool secretRef:*LocalObjectReference volumeName:str "
        "volumeNamespace:str"
    ),
    "TCPSocketAction": "host:str port:intstr!",
    "Toleration": "effect:str key:str operator:str tolerationSeconds:*int value:str",
    "TypedLocalObjectReference": "apiGroup:*str! kind:str! name:str!",
    "TypedObjectReference": "apiGroup:*str! kind:str! name:str! namespace:*str",
    "Volume": (
        "awsElasticBlockStore:*AWSElasticBlockStoreVolumeSource "
        "azureDisk:*AzureDiskVolumeSource azureFile:*AzureFileVolumeSource "
        "cephfs:*CephFSVolumeSource cinder:*CinderVolumeSource "
        "configMap:*ConfigMapVolumeSource csi:*CSIVolumeSource "
        "downwardAPI:*DownwardAPIVolumeSource emptyDir:*EmptyDirVolumeSource "
        "ephemeral:*EphemeralVolumeSource fc:*FCVolumeSource flexVolume:*FlexVolumeSource "
        "flocker:*FlockerVolumeSource gcePersistentDisk:*GCEPersistentDiskVolumeSource "
        "gitRepo:*GitRepoVolumeSource glusterfs:*GlusterfsVolumeSource "
        "hostPath:*HostPathVolumeSource image:*ImageVolumeSource iscsi:*ISCSIVolumeSource "
        "name:str! nfs:*NFSVolumeSource "
        "persistentVolumeClaim:*PersistentVolumeClaimVolumeSource "
        "photonPersistentDisk:*PhotonPersistentDiskVolumeSource "
        "portworxVolume:*PortworxVolumeSource projected:*ProjectedVolumeSource "
        "quobyte:*QuobyteVolumeSource rbd:*RBDVolumeSource scaleIO:*ScaleIOVolumeSource "
        "secret:*SecretVolumeSource storageos:*StorageOSVolumeSource "
        "vsphereVolume:*VsphereVirtualDiskVolumeSource"
    ),
    "VolumeDevice": "devicePath:str! name:str!",
    "VolumeMount": (
        "mountPath:str! mountPropagation:*str name:str! readOnly:bool "
        "recursiveReadOnly:*str subPath:str subPathExpr:str"
    ),
    "VolumeProjection": (
        "clusterTrustBundle:*ClusterTrustBundleProjection configMap:*ConfigMapProjection "
        "downwardAPI:*DownwardAPIProjection podCertificate:*PodCertificateProjection "
        "secret:*SecretProjection serviceAccountToken:*ServiceAccountTokenProjection"
    ),
    "VolumeResourceRequirements": "limits:map:quantity requests:map:quantity",
    "VsphereVirtualDiskVolumeSource": (
        "fsType:str storagePolicyID:str storagePolicyName:str volumePath:str!"
    ),
    "WindowsSecurityContextOptions": (
        "gmsaCredentialSpec:*str gmsaCredentialSpecName:*str hostProcess:*bool runAsUserName:*str"
    ),
}
