"""PodDefaults as users have them: files of several documents and Lists, read and written.

PyYAML is imported on first use.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .contents import pruned
from .findings import Finding
from .schema import without_unknown
from .selectors import Selector, selector
from .survey import Subject, Survey

__all__ = ["Manifests", "NotAManifest", "PodDefault", "read_manifests", "write_manifests"]


class NotAManifest(ValueError):
    """A file that cannot be read as manifests.

    Its text names the place and never what is written there.

    Parameters
    ----------
    reason : str
        What is wrong.
    line, column : int or None
        Where, from 1.
    """

    def __init__(self, reason: str, *, line: int | None = None, column: int | None = None) -> None:
        self.reason = reason
        self.line = line
        self.column = column
        place = "" if line is None else f"line {line}, column {column}: "
        super().__init__(f"{place}{reason}")


@dataclass(frozen=True)
class PodDefault:
    """One PodDefault: what the API server keeps of it.

    Parameters
    ----------
    name : str
        Its name.
    spec : Mapping
        Its spec, known fields only.
    namespace : str or None
        Its namespace.
    metadata : Mapping
        Labels, annotations and the rest.
    """

    name: str
    # literals in env.value stay out of the repr
    spec: Mapping[str, Any] = field(repr=False)
    namespace: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> PodDefault:
        """Take a PodDefault as it is in a file or on the API server; unknown fields stay out."""
        metadata = given.get("metadata")
        metadata = dict(metadata) if isinstance(metadata, Mapping) else {}
        spec = given.get("spec")
        return cls(
            name=str(metadata.get("name") or ""),
            spec=without_unknown("PodDefaultSpec", spec if isinstance(spec, Mapping) else {}),
            namespace=metadata.get("namespace") or None,
            metadata=metadata,
        )

    def to_mapping(self) -> dict[str, Any]:
        """Give the object, for the API server or a file."""
        return {
            "apiVersion": "kubeflow.org/v1alpha1",
            "kind": "PodDefault",
            "metadata": dict(self.metadata),
            "spec": dict(self.spec),
        }

    @property
    def selector(self) -> Selector:
        """Its selector; raises `selectors.Unreadable` where the platform cannot read it."""
        return selector(self.spec.get("selector"))

    @property
    def desc(self) -> str:
        """What the launcher shows."""
        return str(self.spec.get("desc") or self.name)


@dataclass(frozen=True)
class Manifests:
    """What is in a file.

    Parameters
    ----------
    poddefaults : tuple of PodDefault
        In the order of the file.
    others : tuple of Mapping
        The other objects: Pods, Secrets, Namespaces.
    findings : tuple of Finding
        Fields that no PodDefault has, which were kept out.
    """

    poddefaults: tuple[PodDefault, ...] = ()
    # Secrets may be among them
    others: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    findings: tuple[Finding, ...] = ()


def read_manifests(text: str | bytes) -> Manifests:
    """Read YAML or JSON: several documents, Lists of any kind.

    Parameters
    ----------
    text : str or bytes
        The file.

    Returns
    -------
    Manifests
        PodDefaults, the other objects, and what was kept out.

    Raises
    ------
    NotAManifest
        Where it is no YAML, or a document is no object. Names the place, no content.
    """
    poddefaults: list[PodDefault] = []
    others: list[Mapping[str, Any]] = []
    findings: list[Finding] = []
    for given in _objects(_documents(text)):
        if given.get("kind") != "PodDefault":
            others.append(given)
            continue
        subject = Subject(given)
        home = subject.metadata.get("namespace")
        findings.extend(pruned(Survey((subject,), home or None), subject))
        poddefaults.append(PodDefault.from_mapping(given))
    return Manifests(tuple(poddefaults), tuple(others), tuple(findings))


def write_manifests(poddefaults: Iterable[PodDefault | Mapping[str, Any]]) -> str:
    """Write PodDefaults as YAML, one document each."""
    import yaml

    documents = [
        given.to_mapping() if isinstance(given, PodDefault) else dict(given)
        for given in poddefaults
    ]
    text: str = yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True)
    return text


def _documents(text: str | bytes) -> list[Any]:
    import yaml

    # the parser's own error quotes the file, so that it must not be the context of ours
    try:
        return list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = (None, None) if mark is None else (mark.line + 1, mark.column + 1)
    except (UnicodeDecodeError, ValueError):
        place = (None, None)
    raise NotAManifest("this is not YAML", line=place[0], column=place[1])


def _objects(documents: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    for document in documents:
        if document is None:
            continue
        if isinstance(document, list):
            yield from _objects(document)
            continue
        if not isinstance(document, Mapping) or not isinstance(document.get("kind"), str):
            raise NotAManifest("a document is no Kubernetes object: it has no kind")
        items = document.get("items")
        if document["kind"].endswith("List") and isinstance(items, list):
            of = document["kind"].removesuffix("List")
            # kubectl: the items of a PodDefaultList need not repeat the kind
            about = {"apiVersion": document.get("apiVersion"), "kind": of} if of else {}
            for item in items:
                yield from _objects([{**about, **item} if isinstance(item, Mapping) else item])
        else:
            yield document
