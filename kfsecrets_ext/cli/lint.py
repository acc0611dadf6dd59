"""``jupyter kfsecrets lint``: what is wrong with PodDefaults, in files or in a namespace."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kfsecrets_ext.cluster.poddefaults import Tenant
    from kfsecrets_ext.poddefaults import Finding

    from .manifests import Files, Place

__all__ = ["register"]

_DESCRIPTION = """\
Check the PodDefaults of a namespace, each and all together: which of them stop pods from
starting, whom they reach, and what goes wrong with what they bring. With -f those in files, and
no cluster is asked. Without it those of a namespace in the cluster: that of -n, else of the
context, else this pod's own. $KFSECRETS_CLUSTER selects the embedded cluster of the demo.
"""

_EPILOG = """\
examples:
  jupyter kfsecrets lint -f poddefaults/               before a pull request is merged
  jupyter kfsecrets lint -f a.yaml -f b.yaml -n alice  as if they were in namespace alice
  jupyter kfsecrets lint -n alice                      what is in the cluster
  kubectl get poddefaults -n alice -o yaml | jupyter kfsecrets lint -f - -f new.yaml
  jupyter kfsecrets lint -f . -o json | jq '.findings[] | select(.severity == "error")'

Each finding has a stable code, which docs/lint.md describes; -o json is stable too.
Exit status: 0 no errors, 1 errors were found or something failed, 2 usage.
"""


def register(commands: Any) -> None:
    """Add the command to the command line."""
    from .options import add_cluster_options, add_file_options

    parser = commands.add_parser(
        "lint",
        help="what is wrong with PodDefaults, in files or in a namespace",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_file_options(parser, "PodDefaults")
    parser.add_argument(
        "-n",
        "--namespace",
        metavar="NS",
        help="the namespace; with -f the one of those that name none, and no other is checked",
    )
    parser.add_argument(
        "-o",
        "--output",
        choices=("table", "json"),
        default="table",
        metavar="FORMAT",
        help="table (default) or json",
    )
    parser.add_argument("--strict", action="store_true", help="fail on warnings too")
    add_cluster_options(parser.add_argument_group("the cluster, without -f"))
    parser.set_defaults(run=_run, fail=parser.error)


@dataclass(frozen=True)
class _Checked:
    """What was found, and in what."""

    findings: Sequence[Finding]
    places: Mapping[tuple[str | None, str], Sequence[Place]]
    count: int
    namespaces: tuple[str, ...]
    source: Mapping[str, object]
    notes: tuple[str, ...] = ()

    def of(self, finding: Finding) -> Iterable[tuple[str, Place]]:
        for name in finding.subjects:
            for place in self.places.get((finding.namespace, name), ()):
                yield name, place

    def total(self, severity: str) -> int:
        return sum(finding.severity == severity for finding in self.findings)

    def to_json(self) -> dict[str, object]:
        return {
            "findings": [
                {
                    **finding.to_json(),
                    "places": [
                        {"poddefault": name, **place.to_json()} for name, place in self.of(finding)
                    ],
                }
                for finding in self.findings
            ],
            "summary": {
                "error": self.total("error"),
                "warning": self.total("warning"),
                "note": self.total("note"),
                "poddefaults": self.count,
                "namespaces": list(self.namespaces),
            },
            "source": dict(self.source),
            "notes": list(self.notes),
        }


def _run(options: argparse.Namespace) -> int:
    from .manifests import BadManifests, read_files

    if "" in options.filename or options.namespace == "":
        options.fail("argument -f/--filename or -n/--namespace: it is empty")
    if options.filename:
        for name in ("kubeconfig", "context", "impersonate"):
            if getattr(options, name) is not None:
                option = "--as" if name == "impersonate" else f"--{name}"
                options.fail(f"{option} is for the cluster, which is not asked with -f")
        if options.filename.count("-") > 1:
            options.fail("argument -f/--filename: standard input can be read once")
        try:
            files = read_files(options.filename, recursive=options.recursive)
        except BadManifests as error:
            for sentence in error.sentences:
                sys.stderr.write(f"jupyter kfsecrets lint: {sentence}\n")
            return 1
        checked = _in_files(files, options.namespace)
    else:
        if options.recursive:
            options.fail("-R goes with -f")
        from kfsecrets_ext.cluster.poddefaults import NoNamespace, read_tenant

        try:
            tenant = read_tenant(
                options.namespace,
                kubeconfig=options.kubeconfig,
                context=options.context,
                impersonate=options.impersonate,
            )
        except NoNamespace as error:
            options.fail(str(error))
        checked = _in_cluster(tenant)

    if options.output == "json":
        import json

        json.dump(checked.to_json(), sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        _print(checked)
    failed = checked.total("error") or (options.strict and checked.total("warning"))
    return 1 if failed else 0


def _in_files(files: Files, namespace: str | None) -> _Checked:
    from kfsecrets_ext.poddefaults import lint

    places: dict[tuple[str | None, str], list[Place]] = {}
    homes: dict[str | None, list[Mapping[str, Any]]] = {}
    left_out: dict[str, int] = {}
    for placed in files.poddefaults:
        poddefault = placed.poddefault
        home = poddefault.namespace or namespace
        if namespace is not None and home != namespace:
            left_out[str(home)] = left_out.get(str(home), 0) + 1
            continue
        homes.setdefault(home, []).append(poddefault.to_mapping())
        if placed.place is not None:
            places.setdefault((home, poddefault.name), []).append(placed.place)
    found = [
        replace(finding, namespace=finding.namespace or namespace)
        for finding in files.findings
        if (finding.namespace or namespace) in homes
    ]
    for home, poddefaults in homes.items():
        known = _secret_keys(files.others, home)
        space = next((given for given in files.others if _is_namespace(given, home)), None)
        # Files do not hold all of a namespace's Secrets: one that is in none of them may exist.
        found += [
            finding
            for finding in lint(poddefaults, namespace=space or home, secrets=known)
            if finding.code != "secret-missing"
        ]
    notes = [
        f"{count} of the PodDefaults are in namespace {home} and were left out."
        for home, count in sorted(left_out.items())
    ]
    return _Checked(
        sorted(found, key=_severity),
        places,
        sum(map(len, homes.values())),
        tuple(sorted(home for home in homes if home is not None)),
        {"files": list(files.names)},
        tuple(notes),
    )


def _in_cluster(tenant: Tenant) -> _Checked:
    from kfsecrets_ext.poddefaults import lint

    secrets = None if tenant.secrets is None else dict.fromkeys(tenant.secrets, ())
    found = [
        finding
        for finding in lint(
            tenant.poddefaults, namespace=tenant.namespace or tenant.name, secrets=secrets
        )
        # Key names would cost reading the values with them.
        if finding.code != "secret-key-missing"
    ]
    source = {"cluster": tenant.home, "server": tenant.server, "context": tenant.context}
    return _Checked(found, {}, len(tenant.poddefaults), (tenant.name,), source, tenant.notes)


_ORDER = {"error": 0, "warning": 1, "note": 2}


def _severity(finding: Finding) -> int:
    return _ORDER[finding.severity]


def _is_namespace(given: Mapping[str, Any], home: str | None) -> bool:
    return home is not None and given.get("kind") == "Namespace" and _name(given) == home


def _secret_keys(others: Iterable[Mapping[str, Any]], home: str | None) -> dict[str, set[str]]:
    keys: dict[str, set[str]] = {}
    for given in others:
        metadata = given.get("metadata")
        if given.get("kind") != "Secret" or not isinstance(metadata, Mapping):
            continue
        if (metadata.get("namespace") or home) == home:
            names = keys.setdefault(_name(given), set())
            for part in ("data", "stringData"):
                held = given.get(part)
                names.update(map(str, held) if isinstance(held, Mapping) else ())
    return keys


def _name(given: Mapping[str, Any]) -> str:
    metadata = given.get("metadata")
    return str(metadata.get("name") or "") if isinstance(metadata, Mapping) else ""


_COLUMNS = ("SEVERITY", "CODE", "NAMESPACE", "PODDEFAULT", "ON", "AT")
_WIDTH = 100


def _print(checked: _Checked) -> None:
    from .text import columns, line

    rows = [_COLUMNS]
    for finding in checked.findings:
        at = ", ".join(dict.fromkeys(str(place) for _, place in checked.of(finding)))
        subjects = ", ".join(finding.subjects)
        rows.append(
            (
                finding.severity,
                finding.code,
                finding.namespace or "-",
                subjects,
                finding.on or "-",
                at or "-",
            )
        )
    if checked.findings:
        head, *lines = columns(rows)
        sys.stdout.write(f"{head}\n")
        for finding, text in zip(checked.findings, lines, strict=True):
            sys.stdout.write(f"{text}\n")
            for sentence in (f"{finding.what}; whom: {finding.whom}", f"fix: {finding.fix}"):
                for part in textwrap.wrap(
                    line(sentence), _WIDTH, initial_indent="  ", subsequent_indent="    "
                ):
                    sys.stdout.write(f"{part}\n")
        sys.stdout.flush()
    for note in checked.notes:
        sys.stderr.write(f"Note: {line(note)}\n")
    sys.stderr.write(f"{line(_summary(checked))}\n")


def _summary(checked: _Checked) -> str:
    count = f"{checked.count} PodDefault{'' if checked.count == 1 else 's'}"
    where = f" in {', '.join(checked.namespaces)}" if checked.namespaces else ""
    if "server" in checked.source:
        where += f" of {checked.source['server']}"
        if checked.source.get("context"):
            where += f" (context {checked.source['context']})"
    totals = [
        f"{checked.total(severity)} {severity}{'' if checked.total(severity) == 1 else 's'}"
        for severity in _ORDER
        if checked.total(severity)
    ]
    return f"{count}{where}: {', '.join(totals) or 'nothing found'}."
