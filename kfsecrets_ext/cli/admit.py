"""``jupyter kfsecrets admit``: what the webhook would do with a pod."""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kfsecrets_ext.poddefaults import Admission

    from .manifests import Files

__all__ = ["register"]

_DESCRIPTION = """\
Foresee what the PodDefault webhook does with a pod: which PodDefaults apply and what they add,
which conflict, and whether the API server takes the pod that comes out. Nothing is created and no
cluster is asked. A StatefulSet, a Notebook or another workload stands for the pod that is made of
it. The pod is filled in as the API server does before it calls the webhook.
"""

_EPILOG = """\
examples:
  jupyter kfsecrets admit -f pod.yaml -f poddefaults/
  jupyter kfsecrets admit -f notebook.yaml -f poddefaults.yaml -n alice -o json
  kubectl get poddefaults -n alice -o yaml | jupyter kfsecrets admit -f notebook.yaml -f -
  kubectl get statefulset,poddefaults -n alice -o yaml | jupyter kfsecrets admit -f -

Without -n the namespace is the pod's own, else that of the PodDefaults. Its labels are those of
--namespace-labels, else those of a Namespace among the files, else a profile's.
Names are shown, values never; -o json is stable, and -o yaml is the same document.
Exit status: 0 every pod is admitted, 1 one is not or something failed, 2 usage.
"""


def register(commands: Any) -> None:
    """Add the command to the command line."""
    from .options import add_file_options

    parser = commands.add_parser(
        "admit",
        help="what the PodDefault webhook would do with a pod",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_file_options(parser, "pods, PodDefaults, and their Namespace")
    parser.add_argument(
        "-n", "--namespace", metavar="NS", help="the namespace that the pod is created in"
    )
    parser.add_argument(
        "--namespace-labels",
        type=_labels,
        metavar="KEY=VALUE,…",
        help="all labels of the namespace; default are those of a profile",
    )
    parser.add_argument(
        "-o",
        "--output",
        choices=("table", "json", "yaml"),
        default="table",
        metavar="FORMAT",
        help="table (default), json or yaml",
    )
    parser.set_defaults(run=_run, fail=parser.error)


@dataclass(frozen=True)
class _Candidate:
    """A pod of the files, as it is created."""

    pod: Mapping[str, Any] = field(repr=False)
    origin: str

    @property
    def metadata(self) -> Mapping[str, Any]:
        return _mapping(self.pod.get("metadata"))

    @property
    def name(self) -> str:
        return str(self.metadata.get("name") or self.metadata.get("generateName") or "")


@dataclass(frozen=True)
class _Forecast:
    """A pod, and what becomes of it."""

    candidate: _Candidate
    namespace: str | None
    admission: Admission
    changes: Mapping[str, object]

    @property
    def admitted(self) -> bool:
        return self.admission.allowed and not self.admission.invalid

    def to_json(self) -> dict[str, object]:
        said = self.admission
        return {
            "pod": self.candidate.name,
            "origin": self.candidate.origin,
            "namespace": self.namespace,
            "outcome": said.outcome,
            "allowed": said.allowed,
            "admitted": self.admitted,
            "matched": list(said.matched),
            "applied": list(said.applied),
            "changes": dict(self.changes),
            "conflicts": [
                {"field": clash.field, "poddefault": clash.poddefault, "on": clash.on}
                for clash in said.conflicts
            ],
            "invalid": list(said.invalid),
            "message": said.message,
        }


def _run(options: argparse.Namespace) -> int:
    from .manifests import BadManifests, read_files

    if not options.filename:
        options.fail("give the pod and the PodDefaults with -f")
    if "" in options.filename or options.namespace == "":
        options.fail("argument -f/--filename or -n/--namespace: it is empty")
    if options.filename.count("-") > 1:
        options.fail("argument -f/--filename: standard input can be read once")
    try:
        files = read_files(options.filename, recursive=options.recursive)
    except BadManifests as error:
        for sentence in error.sentences:
            sys.stderr.write(f"jupyter kfsecrets admit: {sentence}\n")
        return 1
    candidates = [pod for given in files.others for pod in _pods(given)]
    if not candidates:
        sys.stderr.write(
            "jupyter kfsecrets admit: the files hold no Pod, nor anything a pod is made of.\n"
        )
        return 1
    notes: list[str] = []
    forecasts = [_forecast(candidate, files, options, notes) for candidate in candidates]

    document = {"admissions": [one.to_json() for one in forecasts], "notes": notes}
    if options.output == "json":
        import json

        json.dump(document, sys.stdout, indent=2)
        sys.stdout.write("\n")
    elif options.output == "yaml":
        import yaml

        yaml.safe_dump(document, sys.stdout, sort_keys=False)
    else:
        _print(forecasts, notes)
    return 0 if all(one.admitted for one in forecasts) else 1


def _forecast(
    candidate: _Candidate, files: Files, options: argparse.Namespace, notes: list[str]
) -> _Forecast:
    from kfsecrets_ext.poddefaults import ANNOTATION_PREFIX, admit
    from kfsecrets_ext.poddefaults.defaults import defaulted

    who = f"Pod {candidate.name}"
    named = candidate.metadata.get("namespace")
    homes = {one.poddefault.namespace for one in files.poddefaults} - {None}
    home = options.namespace or named or (homes.pop() if len(homes) == 1 else None)
    if home is None and homes:
        options.fail(
            "the PodDefaults are of several namespaces, and the pod names none: give one with -n"
        )
    if options.namespace and named and named != options.namespace:
        notes.append(f"{who} names namespace {named}; it is taken to be created in {home}.")
    poddefaults = [one.poddefault.to_mapping() for one in files.poddefaults]
    others = sum((one.poddefault.namespace or home) != home for one in files.poddefaults)
    if others:
        notes.append(f"{others} of the PodDefaults are not in namespace {home} and do not count.")
    annotations = _mapping(candidate.metadata.get("annotations"))
    if any(key.startswith(f"{ANNOTATION_PREFIX}/poddefault-") for key in annotations):
        notes.append(
            f"{who} carries stamps of the webhook: what PodDefaults gave it counts as its own "
            "here. Foresee its StatefulSet or Notebook instead."
        )
    pod = {**candidate.pod, "metadata": {**candidate.metadata}}
    if home is not None:
        pod["metadata"]["namespace"] = home
    pod = defaulted(pod)
    space = _namespace(files.others, home, options.namespace_labels)
    admission = admit(pod, poddefaults, namespace=space)
    return _Forecast(candidate, home, admission, _changes(pod, admission.pod))


def _namespace(
    others: Sequence[Mapping[str, Any]], home: str | None, labels: Mapping[str, str] | None
) -> Mapping[str, Any]:
    from kfsecrets_ext.poddefaults import PROFILE_LABEL

    if labels is None:
        for given in others:
            name = _mapping(given.get("metadata")).get("name")
            if given.get("kind") == "Namespace" and name == home:
                return given
        labels = dict([PROFILE_LABEL])
    return {"metadata": {"labels": dict(labels), **({"name": home} if home else {})}}


def _pods(given: Mapping[str, Any]) -> Iterator[_Candidate]:
    kind = str(given.get("kind"))
    metadata = _mapping(given.get("metadata"))
    name = str(metadata.get("name") or "")
    origin = f"{kind.lower()}/{name}"
    if kind == "Pod":
        yield _Candidate(given, origin)
        return
    spec = _mapping(given.get("spec"))
    template = _mapping(spec.get("template"))
    inner = template.get("spec")
    if not isinstance(inner, Mapping) or "containers" not in inner:
        return
    about = _mapping(template.get("metadata"))
    labels = dict(_mapping(about.get("labels")))
    annotations = dict(_mapping(about.get("annotations")))
    if kind == "Notebook":
        # notebook-controller: generateStatefulSet takes all labels of the Notebook, and the
        # annotations that are not kubectl's or its own
        labels = {"statefulset": name, "notebook-name": name, **_mapping(metadata.get("labels"))}
        annotations = {
            key: value
            for key, value in _mapping(metadata.get("annotations")).items()
            if "kubectl" not in str(key) and "notebook" not in str(key)
        }
    made: dict[str, Any] = {"name": f"{name}-0"}
    if kind not in ("Notebook", "StatefulSet"):
        made = {"generateName": f"{name}-"}
    if metadata.get("namespace"):
        made["namespace"] = metadata["namespace"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**made, "labels": labels, "annotations": annotations},
        "spec": inner,
    }
    yield _Candidate(pod, origin)


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, object]:
    """Name what the webhook adds to a pod and sets in it; names alone."""
    changes: dict[str, object] = {}
    for key in ("labels", "annotations"):
        was, now = (_mapping(_mapping(pod.get("metadata")).get(key)) for pod in (before, after))
        _note(changes, key, sorted(name for name in now if name not in was))
    old, new = (_mapping(pod.get("spec")) for pod in (before, after))
    for key, name in (
        ("volumes", "name"),
        ("tolerations", "key"),
        ("imagePullSecrets", "name"),
        ("initContainers", "name"),
        ("containers", "name"),
    ):
        _note(changes, key, _added(old, new, key, name))
    for key in ("serviceAccountName", "automountServiceAccountToken"):
        if old.get(key) != new.get(key):
            changes[key] = new.get(key)
    was = {str(entry.get("name")): entry for entry in _entries(old, "containers")}
    inside: dict[str, object] = {}
    for container in _entries(new, "containers"):
        held = was.get(str(container.get("name")))
        if held is None:
            continue
        gained: dict[str, object] = {}
        _note(gained, "env", _added(held, container, "env", "name"))
        _note(gained, "volumeMounts", _added(held, container, "volumeMounts", "mountPath"))
        sources = _entries(container, "envFrom")[len(_entries(held, "envFrom")) :]
        _note(gained, "envFrom", [_source(source) for source in sources])
        _note(gained, "set", [f for f in ("command", "args") if held.get(f) != container.get(f)])
        _note(inside, str(container.get("name")), gained)
    _note(changes, "in", inside)
    return changes


def _note(holder: dict[str, object], key: str, value: Sequence[object] | dict[str, object]) -> None:
    if value:
        holder[key] = value


def _added(before: Mapping[str, Any], after: Mapping[str, Any], field: str, name: str) -> list[str]:
    there = _entries(before, field)
    return [str(entry.get(name) or "") for entry in _entries(after, field)[len(there) :]]


def _source(entry: Mapping[str, Any]) -> str:
    for kind, word in (("secretRef", "secret"), ("configMapRef", "configmap")):
        reference = entry.get(kind)
        if isinstance(reference, Mapping):
            return f"{word}/{reference.get('name') or ''}"
    return ""


def _entries(holder: Mapping[str, Any], field: str) -> list[Mapping[str, Any]]:
    listed = holder.get(field)
    return [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


_COLUMNS = ("POD", "NAMESPACE", "OUTCOME", "APPLIED", "CONFLICTS")
_WIDTH = 100


def _print(forecasts: Sequence[_Forecast], notes: Sequence[str]) -> None:
    from .text import columns, line

    rows = [
        (
            one.candidate.name or "-",
            one.namespace or "-",
            one.admission.outcome if one.admitted or not one.admission.allowed else "refused",
            ", ".join(one.admission.applied) or "-",
            ", ".join(f"{clash.field} {clash.on}" for clash in one.admission.conflicts) or "-",
        )
        for one in forecasts
    ]
    head, *lines = columns([_COLUMNS, *rows])
    sys.stdout.write(f"{head}\n")
    for one, text in zip(forecasts, lines, strict=True):
        sys.stdout.write(f"{text}\n")
        for sentence in (one.admission.message, *_spoken(one.changes)):
            for part in textwrap.wrap(
                line(sentence), _WIDTH, initial_indent="  ", subsequent_indent="    "
            ):
                sys.stdout.write(f"{part}\n")
    sys.stdout.flush()
    for note in notes:
        sys.stderr.write(f"Note: {line(note)}\n")


def _spoken(changes: Mapping[str, Any]) -> Iterator[str]:
    for key, value in changes.items():
        if key == "in":
            for name, gained in value.items():
                for what, names in gained.items():
                    yield f"container {name}, {what}: {', '.join(names)}"
        elif isinstance(value, list):
            yield f"{key}: {', '.join(value)}"
        else:
            yield f"{key}: {value}"


_KEY = re.compile(r"[^=,\s]+")


def _labels(text: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    for part in text.split(",") if text else ():
        key, equals, value = part.partition("=")
        if not equals or not _KEY.fullmatch(key):
            raise argparse.ArgumentTypeError(f"{part!r} is no KEY=VALUE")
        labels[key] = value
    return labels
