"""Checks for what a PodDefault brings: Secrets, mounts, identities, sidecars, its own fields."""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .choice import Entry, differing_pair, together
from .findings import Finding
from .render import PODINFO_MOUNT, PODINFO_VOLUME
from .schema import known_fields, struct, unknown_fields
from .survey import Subject, Survey, canonical, named

__all__ = ["contents", "pruned"]


def contents(survey: Survey) -> Iterator[Finding]:
    """Find what goes wrong with what PodDefaults bring."""
    for subject in survey.subjects:
        yield from pruned(survey, subject)
        yield from _literals(survey, subject)
        yield from _mounts(survey, subject)
        yield from _account(survey, subject)
        yield from _podinfo(survey, subject)
        yield from _defaults(survey, subject)
        yield from _refreshed(survey, subject)
    yield from _unmounted(survey)
    yield from _notebook(survey)
    yield from _secrets(survey)
    yield from _overrides(survey)
    yield from _sidecars(survey)


def pruned(survey: Survey, subject: Subject) -> Iterator[Finding]:
    """Find the fields of a PodDefault that the API server drops."""
    top = [("", str(key)) for key in subject.given if key not in _TOP]
    for path, name in (*top, *unknown_fields("PodDefaultSpec", subject.raw_spec, "spec")):
        place = path or "the PodDefault"
        if name in _SPEC and path != "spec":
            fix = f"Indent it under spec: spec.{name}."
        else:
            near = difflib.get_close_matches(name, _SPEC, 1)
            fix = f"Did you mean {near[0]}? Else remove it." if near else "Remove it."
        yield survey.finding(
            "field-pruned",
            f"{subject.name} has a field {name!r} in {place}, which no PodDefault has there: the "
            "API server drops it without a word",
            "who counts on it",
            fix,
            (subject,),
            f"{path}.{name}".lstrip("."),
        )


def _choosing(subject: Subject) -> str:
    return f"every pod that chooses {subject.name}"


def _literals(survey: Survey, subject: Subject) -> Iterator[Finding]:
    names: list[str] = []
    holders = [subject.spec]
    for field in ("initContainers", "sidecars"):
        holders.extend(subject.spec.get(field) or ())
    for holder in holders:
        names += [
            f"env {variable.get('name', '')}"
            for variable in holder.get("env") or ()
            if _looks_secret(str(variable.get("name", "")), str(variable.get("value", "")))
        ]
        names += [
            field
            for field in ("command", "args")
            if any(_SECRET_ARGUMENT.search(str(word)) for word in holder.get(field) or ())
        ]
    for name in dict.fromkeys(names):
        yield survey.finding(
            "literal-secret",
            f"{name} of {subject.name} looks like a secret written out: everyone who may list "
            "PodDefaults reads it, and the webhook prints it into events and logs on a conflict",
            "everyone whose credential it is",
            "Put it into a Secret and mount that, or refer to it with valueFrom.secretKeyRef; "
            "then change the credential.",
            (subject,),
            name,
        )


def _looks_secret(name: str, value: str) -> bool:
    if not value:
        return False
    if _SECRET_VALUE.search(value):
        return True
    if value.startswith(("/", "./", "~", "$(")) or value.lower() in _HARMLESS:
        return False
    return bool(_SECRET_NAME.search(name)) and not _NO_SECRET_NAME.search(name)


def _mounts(survey: Survey, subject: Subject) -> Iterator[Finding]:
    for mount in subject.entries("volumeMounts"):
        given = str(mount.get("mountPath", ""))
        path = posixpath.normpath(given) if given else ""
        below = path.rstrip("/") + "/"
        hidden = [home for home in _HOMES if home == path or home.startswith(below)]
        if hidden and path:
            yield survey.finding(
                "mount-hides-home",
                f"{subject.name} mounts on {given}, which hides the home directory "
                f"{hidden[0]} with the user's files, or clashes with the volume that is there",
                _choosing(subject),
                "Mount it elsewhere: /secret/<name of the Secret>.",
                (subject,),
                given,
            )
        elif not mount.get("subPath") and any(path.startswith(f"{home}/") for home in _HOMES):
            yield survey.finding(
                "mount-in-home",
                f"{subject.name} mounts on {given}: what the user has in that directory is hidden, "
                "and programs cannot write there (docker login fails)",
                _choosing(subject),
                "Mount it elsewhere and point the program to it (DOCKER_CONFIG, "
                "AWS_SHARED_CREDENTIALS_FILE).",
                (subject,),
                given,
            )
    for volume in subject.entries("volumes"):
        csi = volume.get("csi")
        # secrets-store CSI driver: a volume that is not read-only is not mounted
        if csi and csi.get("driver") == "secrets-store.csi.k8s.io" and not csi.get("readOnly"):
            yield survey.finding(
                "csi-not-read-only",
                f"volume {volume.get('name', '')!r} of {subject.name} comes from the secrets store "
                "driver and is not readOnly: the mount fails",
                f"{_choosing(subject)}: it waits in ContainerCreating",
                "Set csi.readOnly: true.",
                (subject,),
                str(volume.get("name", "")),
            )


def _account(survey: Survey, subject: Subject) -> Iterator[Finding]:
    account = subject.spec.get("serviceAccountName")
    if account:
        yield survey.finding(
            "service-account-swap",
            f"{subject.name} replaces the service account of the pod by {account!r}; the token "
            "of the first one stays mounted beside, and what is tied to the account (Vault, "
            "pipelines, pull secrets) breaks",
            _choosing(subject),
            "Remove serviceAccountName; bind the rights to default-editor, or set the account on "
            "the pod itself.",
            (subject,),
            str(account),
        )


def _podinfo(survey: Survey, subject: Subject) -> Iterator[Finding]:
    for field, kind, frozen in (
        ("volumes", "Volume", PODINFO_VOLUME),
        ("volumeMounts", "VolumeMount", PODINFO_MOUNT),
    ):
        wanted = struct(kind, frozen)
        for entry in subject.entries(field):
            path = entry.get("mountPath")
            ours = entry.get("name") == wanted["name"] or (path and path == wanted["mountPath"])
            if ours and entry != wanted:
                yield survey.finding(
                    "podinfo-differs",
                    f"{subject.name} has its own form of {wanted['name']}, which PodDefaults of "
                    "kfsecrets-ext share to the letter: with one of those the pod is denied",
                    f"{_choosing(subject)} and one that kfsecrets-ext wrote",
                    "Take it over as `jupyter kfsecrets create --dry-run=client -o yaml` writes "
                    "it, or use another name and path.",
                    (subject,),
                    wanted["name"],
                )


def _defaults(survey: Survey, subject: Subject) -> Iterator[Finding]:
    for volume in subject.entries("volumes"):
        missing = _undefaulted(volume)
        if missing:
            yield survey.finding(
                "not-defaulted",
                f"volume {volume.get('name', '')!r} of {subject.name} leaves out {missing}, which "
                "the API server fills in on a pod: a pod that carries the same volume already is "
                "denied",
                f"{_choosing(subject)} and has that volume of its own",
                f"Write {missing} out.",
                (subject,),
                str(volume.get("name", "")),
            )


def _undefaulted(volume: Mapping[str, Any]) -> str:
    missing = []
    for kind in ("secret", "configMap", "downwardAPI", "projected"):
        source = volume.get(kind)
        if source is None:
            continue
        if "defaultMode" not in source:
            missing.append("defaultMode: 420")
        items = list(source.get("items") or ()) if kind == "downwardAPI" else []
        for part in source.get("sources") or ():
            items.extend((part.get("downwardAPI") or {}).get("items") or ())
        if any("fieldRef" in item and "apiVersion" not in item["fieldRef"] for item in items):
            missing.append("fieldRef.apiVersion: v1")
    return " and ".join(missing)


def _refreshed(survey: Survey, subject: Subject) -> Iterator[Finding]:
    stale = [
        f"variable {v.get('name', '')}"
        for v in subject.entries("env")
        if "secretKeyRef" in (v.get("valueFrom") or {})
    ]
    stale += [
        f"envFrom {source['secretRef'].get('name', '')}"
        for source in subject.entries("envFrom")
        if "secretRef" in source
    ]
    stale += [
        f"mount {mount.get('mountPath', '')} (subPath)"
        for mount in subject.entries("volumeMounts")
        if mount.get("subPath") or mount.get("subPathExpr")
    ]
    if stale:
        yield survey.finding(
            "never-refreshes",
            f"{', '.join(stale)} of {subject.name} keeps the first value until the pod is new; "
            "variables are seen by every process and contributor too",
            _choosing(subject),
            "Mount the whole Secret as a directory: files there are kept up to date.",
            (subject,),
            subject.name,
        )


def _unmounted(survey: Survey) -> Iterator[Finding]:
    missing: dict[str, list[Subject]] = {}
    for subject in survey.subjects:
        volumes = {str(v.get("name", "")) for v in subject.entries("volumes")}
        mounts = {str(m.get("name", "")) for m in subject.entries("volumeMounts")}
        inner = {
            str(mount.get("name", ""))
            for field in ("initContainers", "sidecars")
            for container in subject.entries(field)
            for mount in container.get("volumeMounts") or ()
        }
        for name in (mounts | inner) - volumes:
            missing.setdefault(name, []).append(subject)
        for name in volumes - mounts - inner:
            yield survey.finding(
                "volume-without-mount",
                f"volume {name!r} of {subject.name} is mounted nowhere by it",
                "nobody sees its files",
                "Add it to volumeMounts, or remove it.",
                (subject,),
                name,
            )
    for name, subjects in sorted(missing.items()):
        yield survey.finding(
            "mount-without-volume",
            f"{named(subjects)} mounts volume {name!r} without bringing it: the webhook applies "
            "it, and the API server refuses a pod that does not have the volume itself",
            "every pod that chooses it and does not bring the volume",
            "Add the volume to spec.volumes.",
            subjects,
            name,
        )


def _notebook(survey: Survey) -> Iterator[Finding]:
    for subject in survey.subjects:
        clashes = [
            f"mount path {mount['mountPath']}"
            for mount in subject.entries("volumeMounts")
            if mount.get("mountPath") in _NOTEBOOK_PATHS
        ]
        clashes += [
            f"volume {volume['name']}"
            for volume in subject.entries("volumes")
            if volume.get("name") in _NOTEBOOK_VOLUMES
        ]
        clashes += [
            f"variable {variable['name']}"
            for variable in subject.entries("env")
            if variable.get("name") in _NOTEBOOK_VARIABLES
        ]
        for clash in dict.fromkeys(clashes):
            yield survey.finding(
                "clashes-with-notebook",
                f"{clash} of {subject.name} is what every notebook pod has already: unless both "
                "are equal to the letter, the webhook denies the pod",
                f"every notebook that chooses {subject.name}",
                "Use another name or path.",
                (subject,),
                clash.split(" ", 2)[-1],
            )


@dataclass(frozen=True)
class _Use:
    """One use of a Secret."""

    secret: str
    key: str | None
    optional: bool
    how: str


def _secrets(survey: Survey) -> Iterator[Finding]:
    if survey.secrets is None:
        return
    missing: dict[str, list[tuple[Subject, _Use]]] = {}
    keys: dict[tuple[str, str], list[tuple[Subject, _Use]]] = {}
    for subject in survey.subjects:
        for use in _uses(subject.spec):
            if use.secret not in survey.secrets:
                missing.setdefault(use.secret, []).append((subject, use))
            elif use.key is not None and use.key not in survey.secrets[use.secret]:
                keys.setdefault((use.secret, use.key), []).append((subject, use))
    for secret, uses in sorted(missing.items()):
        yield _absent(survey, "secret-missing", f"Secret {secret!r}", secret, uses)
    for (secret, key), uses in sorted(keys.items()):
        what = f"key {key!r} of Secret {secret!r}"
        yield _absent(survey, "secret-key-missing", what, f"{secret}/{key}", uses)


def _absent(
    survey: Survey, code: str, what: str, on: str, uses: list[tuple[Subject, _Use]]
) -> Finding:
    subjects = [subject for subject, _ in uses]
    near = difflib.get_close_matches(on.split("/", maxsplit=1)[0], survey.secrets or (), 1)
    hint = f" There is a Secret {near[0]!r}." if near and code == "secret-missing" else ""
    needed = [use for _, use in uses if not use.optional]
    if needed:
        happens = f"a pod waits for it without an end ({needed[0].how})"
    elif uses[0][1].how == "imagePullSecrets":
        happens = "images that need it cannot be pulled"
    else:
        happens = "the pod starts without it"
    return survey.finding(
        code,
        f"{what} is not there, and {named(subjects)} uses it: {happens}",
        f"every pod that chooses {named(subjects)}",
        f"Create it first, or correct the name.{hint}",
        subjects,
        on,
    )


def _uses(spec: Mapping[str, Any]) -> Iterator[_Use]:
    for volume in spec.get("volumes") or ():
        source = volume.get("secret")
        if source is not None:
            yield from _of_volume(source, str(source.get("secretName", "")))
        for part in (volume.get("projected") or {}).get("sources") or ():
            if "secret" in part:
                yield from _of_volume(part["secret"], str(part["secret"].get("name", "")))
    holders = [spec, *(spec.get("initContainers") or ()), *(spec.get("sidecars") or ())]
    for holder in holders:
        for variable in holder.get("env") or ():
            ref = (variable.get("valueFrom") or {}).get("secretKeyRef")
            if ref is not None:
                name, key = str(ref.get("name", "")), str(ref.get("key", ""))
                how = "CreateContainerConfigError"
                yield _Use(name, key, bool(ref.get("optional")), how)
        for source in holder.get("envFrom") or ():
            ref = source.get("secretRef")
            if ref is not None:
                how = "CreateContainerConfigError"
                yield _Use(str(ref.get("name", "")), None, bool(ref.get("optional")), how)
    for ref in spec.get("imagePullSecrets") or ():
        yield _Use(str(ref.get("name", "")), None, True, "imagePullSecrets")


def _of_volume(source: Mapping[str, Any], name: str) -> Iterator[_Use]:
    optional = bool(source.get("optional"))
    items = source.get("items") or ()
    for item in items:
        yield _Use(name, str(item.get("key", "")), optional, "ContainerCreating")
    if not items:
        yield _Use(name, None, optional, "ContainerCreating")


def _overrides(survey: Survey) -> Iterator[Finding]:
    for field, wins in (
        ("serviceAccountName", "last"),
        ("automountServiceAccountToken", "last"),
        ("command", "first"),
        ("args", "first"),
    ):
        holding = [
            Entry(subject, asked, canonical(subject.spec[field]))
            for subject, asked in survey.selectable
            if subject.spec.get(field) is not None
        ]
        pair = differing_pair(holding)
        if pair is not None:
            subjects = [entry.subject for entry in holding]
            yield survey.finding(
                "silent-override",
                f"{named(subjects)} set different {field}; where they are chosen together "
                f"({named(entry.subject for entry in pair)}), the {wins} by name wins and nobody "
                "is told",
                "every pod that chooses them together",
                f"Set {field} in one of them.",
                subjects,
                field,
            )


def _sidecars(survey: Survey) -> Iterator[Finding]:
    changing = [(s, asked) for s, asked in survey.selectable if s.changes_containers]
    for subject, asked in survey.selectable:
        if not subject.spec.get("sidecars"):
            continue
        with_ = next((s for s, other in changing if together(asked, other)), None)
        if subject.changes_containers:
            with_ = subject
        if with_ is None:
            continue
        whose = "its own env or mounts" if with_ is subject else f"those of {with_.name}"
        yield survey.finding(
            "sidecar-second-container",
            f"{subject.name} adds a sidecar; with {whose} the webhook's patch breaks on a pod that "
            "has a second container already, and the API server answers 500",
            f"every pod with two containers (istio-proxy is one) that chooses {subject.name}",
            "Put the sidecar into the pod itself, or use an init container with restartPolicy: "
            "Always.",
            (subject,),
            subject.name,
        )


_TOP = frozenset(("apiVersion", "kind", "metadata", "spec", "status"))
_SPEC = known_fields("PodDefaultSpec")
# home directories of the images: Kubeflow's own, Kaptain's, root
_HOMES = ("/home/jovyan", "/home/kubeflow", "/root")
# notebook controller and Jupyter web app: the workspace is at /home/jovyan, shared memory at
# /dev/shm; admission plugin ServiceAccount: the token
_NOTEBOOK_PATHS = frozenset(
    ("/dev/shm", "/var/run/secrets/kubernetes.io/serviceaccount")  # noqa: S108
)
_NOTEBOOK_VOLUMES = frozenset(("dshm",))
_NOTEBOOK_VARIABLES = frozenset(("NB_PREFIX",))

_SECRET_NAME = re.compile(
    r"(?i)pass(word|wd|phrase)?(?![a-z])|secret|token|credential|"
    r"(api|access|private|account|auth|encryption|signing|ssh)[-_.]?key|(?<![a-z])pwd(?![a-z])"
)
_NO_SECRET_NAME = re.compile(r"(?i)(file|path|dir|directory|url|uri|name|endpoint|ttl|expiry)$")
_HARMLESS = frozenset(("true", "false", "yes", "no", "on", "off", "0", "1", "none", "null"))
_SECRET_VALUE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|\b(AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{20,}|"
    r"\bgithub_pat_[A-Za-z0-9_]{20,}|\bglpat-[A-Za-z0-9_-]{16,}|\bxox[abprs]-[A-Za-z0-9-]{10,}|"
    r"\bhf_[A-Za-z0-9]{20,}|\bsk-[A-Za-z0-9_-]{20,}|\bdckr_pat_[A-Za-z0-9_-]{16,}|"
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.|[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s:@]+@"
)
_SECRET_ARGUMENT = re.compile(
    r"(?i)^--?[a-z-]*(password|passwd|token|secret|api-?key)[a-z-]*=(?![/$]).+"
)
