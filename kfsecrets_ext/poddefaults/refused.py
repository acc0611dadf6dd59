"""Checks for what makes pods be refused: the errors of `lint`.

An error is reported exactly where some choice of labels gets a pod denied by the webhook, or
refused by the API server whatever else the pod brings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .choice import Choice, Entry, differing_pair
from .findings import Finding
from .refusals import refusals_of_spec
from .survey import Subject, Survey, canonical, named

__all__ = ["refused"]


def refused(survey: Survey) -> Iterator[Finding]:
    """Find what makes pods be refused."""
    yield from _unreadable(survey)
    yield from _volumes(survey)
    yield from _paths(survey)
    for code, fields, key, word in (
        ("env-clash", ("env",), "name", "variable"),
        ("toleration-clash", ("tolerations",), "key", "toleration of"),
        ("container-clash", ("initContainers",), "name", "init container"),
        ("container-clash", ("sidecars",), "name", "sidecar"),
    ):
        for name, group in _grouped(survey, fields, key).items():
            clash = group.clash()
            if clash is not None:
                yield _clash(survey, code, f"{word} {name!r}", name, group, clash)
    yield from _metadata(survey)
    yield from _long_names(survey)
    yield from _api(survey)


# tolerations that the API server gives every pod before the webhook sees it
# (admission plugin DefaultTolerationSeconds)
_GIVEN_TOLERATIONS = {
    key: {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
}
_WHOM = "every pod that chooses them together"
_LONGEST_NAME = 52


@dataclass
class _Group:
    """What is said of one name."""

    entries: list[tuple[Subject | None, Choice, str, object]] = field(default_factory=list)

    def add(self, subject: Subject | None, choice: Choice, kind: str, said: object) -> None:
        self.entries.append((subject, choice, kind, said))

    def subjects(self) -> set[Subject]:
        return {subject for subject, _, _, _ in self.entries if subject is not None}

    def clash(self) -> tuple[Subject | None, Subject | None] | None:
        """Give two that clash, of one kind; they may be one PodDefault."""
        kinds: dict[str, list[tuple[Subject | None, Choice, object]]] = {}
        for subject, choice, kind, said in self.entries:
            kinds.setdefault(kind, []).append((subject, choice, said))
        for entries in kinds.values():
            first = entries[0][2]
            if all(said == first for _, _, said in entries):
                continue
            pair = differing_pair(
                Entry(subject, choice, canonical(said)) for subject, choice, said in entries
            )
            if pair is not None:
                return pair[0].subject, pair[1].subject
        return None


def _grouped(survey: Survey, fields: Iterable[str], key: str) -> dict[str, _Group]:
    groups: dict[str, _Group] = {}
    for subject, choice in survey.selectable:
        for name in fields:
            for entry in subject.entries(name):
                groups.setdefault(str(entry.get(key, "")), _Group()).add(
                    subject, choice, name, entry
                )
    if "tolerations" in fields:
        for name, given in _GIVEN_TOLERATIONS.items():
            if name in groups:
                groups[name].add(None, {}, "tolerations", given)
    return groups


def _clash(  # noqa: PLR0917
    survey: Survey,
    code: str,
    what: str,
    on: str,
    group: _Group,
    clash: tuple[Subject | None, Subject | None],
) -> Finding:
    subjects = group.subjects()
    one, other = clash
    if one is None or other is None:
        who = named(s for s in clash if s is not None)
        return survey.finding(
            code,
            f"{what}, which the API server gives every pod, is another one in {who}, and the "
            "webhook denies the pod",
            f"every pod that chooses {who}",
            "Remove it from the PodDefault: its key cannot be used twice.",
            subjects,
            on,
        )
    if one is other:
        return survey.finding(
            code,
            f"{what} is there twice in {one.name}, and the two differ: the webhook denies the pod",
            f"every pod that chooses {one.name}",
            "Keep one of the two, or give the other one a name of its own.",
            subjects,
            on,
        )
    return survey.finding(
        code,
        f"{what} differs between {named(subjects)}; {named((one, other))} can be chosen together, "
        "and the webhook then denies the pod",
        _WHOM,
        "Give each its own name, or make the entries equal to the letter.",
        subjects,
        on,
    )


def _unreadable(survey: Survey) -> Iterator[Finding]:
    for subject in survey.subjects:
        if subject.fault is not None:
            yield survey.finding(
                "selector-unreadable",
                f"the selector of {subject.name} cannot be read ({subject.fault}), and the webhook "
                "denies whatever it is asked about",
                "every pod of the namespace, whatever its labels",
                "Correct the selector, or delete the PodDefault.",
                (subject,),
                subject.name,
            )


def _volumes(survey: Survey) -> Iterator[Finding]:
    # webhook: mergeVolumes by name, and mergeVolumeMounts by name of the volume
    for name, group in _grouped(survey, ("volumes", "volumeMounts"), "name").items():
        clash = group.clash()
        if clash is None:
            continue
        one, other = clash
        if one is not None and one is other and _mounted_twice(one, name):
            yield survey.finding(
                "volume-clash",
                f"{one.name} mounts volume {name!r} more than once, which the webhook takes for a "
                "conflict: it denies the pod",
                f"every pod that chooses {one.name}",
                "Mount a volume once: one volume for each mount, or one directory for all files.",
                group.subjects(),
                name,
            )
        else:
            yield _clash(survey, "volume-clash", f"volume {name!r}", name, group, clash)


def _mounted_twice(subject: Subject, name: str) -> bool:
    names = [mount.get("name", "") for mount in subject.entries("volumeMounts")]
    return names.count(name) > 1


def _paths(survey: Survey) -> Iterator[Finding]:
    for path, group in _grouped(survey, ("volumeMounts",), "mountPath").items():
        clash = group.clash()
        if clash is not None:
            yield _clash(survey, "mount-path-clash", f"mount path {path!r}", path, group, clash)


def _metadata(survey: Survey) -> Iterator[Finding]:
    # webhook: mergeMap; a label that a PodDefault sets may be chosen otherwise on the pod itself
    groups: dict[str, _Group] = {}
    # Those that no labels select count, too: the launcher sets the label all the same.
    chosen_by = {key for subject in survey.subjects for key in subject.asks_for}
    against: dict[str, Subject] = {}
    for subject, choice in survey.selectable:
        for name in ("annotations", "labels"):
            for key, value in subject.texts(name).items():
                group = groups.setdefault(str(key), _Group())
                group.add(subject, choice, name, value or "")
                if name == "labels" and key in chosen_by:
                    asked = choice.get(key)
                    if asked is None or asked.allows_other_than(value or ""):
                        against.setdefault(str(key), subject)
    for key, group in groups.items():
        clash = group.clash()
        if clash is not None:
            yield _clash(
                survey, "metadata-clash", f"annotation or label {key!r}", key, group, clash
            )
        elif key in against:
            yield survey.finding(
                "metadata-clash",
                f"{named(group.subjects())} sets label {key!r}, by which PodDefaults of the "
                "namespace are chosen: a pod that has it with another value is denied",
                f"every pod that chooses {against[key].name} and has {key!r} with another value",
                "Set another label; a label that a PodDefault sets chooses no other PodDefault.",
                group.subjects(),
                key,
            )


def _long_names(survey: Survey) -> Iterator[Finding]:
    for subject, _ in survey.selectable:
        if len(subject.name) > _LONGEST_NAME:
            yield survey.finding(
                "name-too-long",
                f"the name of {subject.name} has {len(subject.name)} characters; the stamp with "
                f"it is too long from {_LONGEST_NAME + 1} on, and the API server refuses the pod",
                f"every pod that chooses {subject.name}",
                f"Create it again under a name of at most {_LONGEST_NAME} characters.",
                (subject,),
                subject.name,
            )


def _api(survey: Survey) -> Iterator[Finding]:
    for subject, _ in survey.selectable:
        texts = refusals_of_spec(subject.spec)
        if texts:
            yield survey.finding(
                "api-refuses",
                f"the API server refuses what {subject.name} adds: {'; '.join(texts)}",
                f"every pod that chooses {subject.name}",
                "Correct these fields.",
                (subject,),
                subject.name,
            )
