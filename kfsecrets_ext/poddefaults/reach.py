"""Checks for whom a PodDefault reaches: selectors, the launcher, the namespace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .admission import PROFILE_LABEL
from .findings import Finding
from .survey import Subject, Survey, named

__all__ = ["namespace_label", "reach"]


def reach(survey: Survey) -> Iterator[Finding]:
    """Find PodDefaults that reach too many, too few, or nobody."""
    for subject in survey.subjects:
        yield from _selector(survey, subject)
        yield from _launcher(survey, subject)
    yield from _shared(survey)


def namespace_label(survey: Survey, namespace: Mapping[str, Any]) -> Iterator[Finding]:
    """Find a namespace whose pods the webhook is not asked about."""
    metadata = namespace.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, Mapping) else None
    label, value = PROFILE_LABEL
    if not survey.subjects or (isinstance(labels, Mapping) and labels.get(label) == value):
        return
    yield survey.finding(
        "namespace-without-label",
        f"the namespace does not have the label {label}={value}, so the webhook is never called "
        "and no PodDefault applies; nothing says so",
        "every pod of the namespace",
        f"kubectl label namespace {survey.namespace} {label}={value}",
        survey.subjects,
        label,
    )


def _selector(survey: Survey, subject: Subject) -> Iterator[Finding]:
    if subject.fault is not None:
        return
    if subject.choice is None:
        yield survey.finding(
            "selector-matches-no-pod",
            f"the selector of {subject.name} contradicts itself: it is never applied",
            "nobody gets it",
            "Remove one of the requirements that exclude each other.",
            (subject,),
            subject.name,
        )
    elif subject.selector.matches({}):
        yield survey.finding(
            "selector-matches-every-pod",
            f"the selector of {subject.name} matches pods without any label of their own: it is "
            "applied unasked",
            "every pod of the namespace, those of pipelines and servers too",
            f"Ask for one label: matchLabels: {{{subject.name}: 'true'}}.",
            (subject,),
            subject.name,
        )


def _launcher(survey: Survey, subject: Subject) -> Iterator[Finding]:
    label = subject.launcher_label
    if label is None:
        # Jupyter web app: common/routes/get.py, a KeyError that fails the whole list
        yield survey.finding(
            "launcher-breaks",
            f"{subject.name} has no matchLabels: the launcher fails on it and shows no "
            "configurations at all",
            "everyone who opens the launcher in this namespace",
            f"Select by one label: matchLabels: {{{subject.name}: 'true'}}.",
            (subject,),
            subject.name,
        )
        return
    if not subject.spec.get("desc"):
        yield survey.finding(
            "no-description",
            f"{subject.name} has no desc: the launcher shows its name, older ones fail on it",
            "everyone who opens the launcher in this namespace",
            "Set spec.desc to what the user gets.",
            (subject,),
            subject.name,
        )
    if subject.fault is not None or subject.choice is None:
        return
    if not subject.selector.matches({label: "true"}):
        yield survey.finding(
            "launcher-cannot-select",
            f"{subject.name} is shown by the launcher, which then sets {label}: 'true' and "
            f"nothing else: {_why(subject, label)}",
            "everyone who selects it in the launcher, and gets nothing",
            f"Select by one label with the value 'true': matchLabels: {{{label}: 'true'}}.",
            (subject,),
            subject.name,
        )
    elif label != subject.name:
        yield survey.finding(
            "label-differs-from-name",
            f"the label that chooses {subject.name} is {label!r}, not its name",
            "everyone who sets labels by hand, or configurations of the launcher by name",
            f"Use {label}: 'true' there, or name the label like the PodDefault.",
            (subject,),
            subject.name,
        )


def _why(subject: Subject, label: str) -> str:
    if str(subject.match_labels[label]) != "true":
        return "the selector asks for another value"
    if len(subject.match_labels) > 1:
        return "the selector asks for another label too"
    return "an expression of the selector does not allow that"


def _shared(survey: Survey) -> Iterator[Finding]:
    labels: dict[str, list[Subject]] = {}
    descriptions: dict[str, list[Subject]] = {}
    for subject in survey.subjects:
        if subject.launcher_label is not None:
            labels.setdefault(subject.launcher_label, []).append(subject)
            descriptions.setdefault(subject.description, []).append(subject)
    for label, subjects in labels.items():
        if len(subjects) > 1:
            yield survey.finding(
                "launcher-label-shared",
                f"{named(subjects)} are chosen by the same label {label!r}: the launcher cannot "
                "tell them apart, one choice selects all of them",
                "everyone who selects one of them in the launcher",
                "Give each a label of its own, or make them one PodDefault.",
                subjects,
                label,
            )
    for description, subjects in descriptions.items():
        if len(subjects) > 1:
            yield survey.finding(
                "description-shared",
                f"{named(subjects)} are shown under the same description {description!r}",
                "everyone who opens the launcher in this namespace",
                "Describe what each gives, or delete the one that is left over.",
                subjects,
                description,
            )
