"""Looking up: one configuration, several at once, and what there is to find."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kfsecrets_ext.errors import DockerConfigError, RegistryNotFound
from kfsecrets_ext.values import SecretBytes, SecretStr

from . import helper
from .credentials import DockerCredentials, issue
from .document import Document, Registry, Sealed, parse_bytes, parse_mapping, parse_text
from .names import HUB, Reference, parse_reference, shown
from .sources import Source, Unreadable, given, open_document, search

__all__ = ["DockerConfig", "FileReport", "files", "get_docker_credentials"]

FileState = Literal["ready", "absent", "invalid", "unreadable"]

# An entry of these kinds is the last word on its registry; another file is asked after the rest.
_DECIDING = ("static", "token", "invalid")


@dataclass(frozen=True)
class FileReport:
    """What is known of one configuration file; never a value or a user name.

    Attributes
    ----------
    path : str
    origin : str
        Why it was looked at.
    state : str
        ``"ready"``, ``"absent"``, ``"invalid"`` or ``"unreadable"``.
    reason : str or None
        What is wrong, and where.
    used : bool
        Whether it is the first to name one of its registries.
    registries : tuple of Registry
    """

    path: str
    origin: str
    state: FileState
    reason: str | None = None
    used: bool = False
    registries: tuple[Registry, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON types.

        Returns
        -------
        dict
        """
        return {
            "path": self.path,
            "origin": self.origin,
            "state": self.state,
            "reason": self.reason,
            "used": self.used,
            "registries": [
                {
                    "name": registry.name,
                    "kind": registry.kind,
                    "helper": registry.helper,
                    "reason": registry.reason,
                }
                for registry in self.registries
            ],
        }


class DockerConfig:
    """Registry credentials as configuration files have them, as they were when it was loaded.

    Made by `load` or `from_json`.
    """

    def __init__(
        self,
        documents: tuple[Document, ...],
        problems: tuple[DockerConfigError, ...] = (),
        *,
        helpers: bool = False,
    ):
        self._documents = documents
        self._problems = problems
        self._helpers = helpers

    @classmethod
    def load(
        cls, path: str | os.PathLike[str] | None = None, *, helpers: bool = False
    ) -> DockerConfig:
        """Load a file, or every file that there is.

        Parameters
        ----------
        path : path, optional
            A configuration file, or a directory with one in it; a directory without any is an
            empty configuration. Without it: the user's files, then the mounted Secrets; the
            first that names the registry answers.
        helpers : bool
            Run the credential helpers that the files name.

        Returns
        -------
        DockerConfig

        Raises
        ------
        DockerConfigError
            The file is not there, cannot be read, or is malformed. Without ``path``, a look-up
            that no other file answers raises it.
        """
        if path is None:
            problems: list[DockerConfigError] = []
            documents = tuple(_documents(problems))
            return cls(documents, tuple(problems), helpers=helpers)
        return cls(tuple(_given(path)), helpers=helpers)

    @classmethod
    def from_json(
        cls, text_or_mapping: str | bytes | Mapping[str, Any], *, helpers: bool = False
    ) -> DockerConfig:
        """Take a configuration that is at hand.

        Parameters
        ----------
        text_or_mapping : str, bytes or mapping
            JSON text, or what it stands for.
        helpers : bool
            Run the credential helpers that it names.

        Returns
        -------
        DockerConfig

        Raises
        ------
        DockerConfigError
            It is malformed.
        """
        # A parameter shows its value in a verbose traceback: seal it first.
        content = Sealed(text_or_mapping)
        del text_or_mapping
        if isinstance(content.content, Mapping):
            return cls((parse_mapping(content),), helpers=helpers)
        if isinstance(content.content, bytes):
            return cls((parse_bytes(SecretBytes(content.content)),), helpers=helpers)
        if isinstance(content.content, str):
            return cls((parse_text(SecretStr(content.content)),), helpers=helpers)
        raise TypeError("a configuration is JSON text or a mapping")

    def credentials(self, query: str | None = None) -> DockerCredentials | None:
        """Look a registry up.

        Parameters
        ----------
        query : str, optional
            A registry, an image reference or a URL. Default is Docker Hub.

        Returns
        -------
        DockerCredentials or None
            ``None`` where no entry has credentials for it. Its values are known to the
            redactor.

        Raises
        ------
        DockerConfigError
            The entry that would answer is malformed, only a credential helper could answer and
            helpers are not run, or the helper fails.
        InvalidName
            The query can name no registry.
        """
        return _first(iter(self._documents), self._problems, parse_reference(query), self._helpers)

    def registries(self) -> list[Registry]:
        """List the registries that the files name.

        Returns
        -------
        list of Registry
            Names and kinds; of a name that several files have, the one that answers.
        """
        found: dict[str, Registry] = {}
        for document in self._documents:
            for registry in document.registries():
                found.setdefault(registry.name, registry)
        return list(found.values())

    def __repr__(self) -> str:
        names = ", ".join(repr(registry.name) for registry in self.registries())
        return f"DockerConfig(registries=[{names}])"

    def __reduce__(self) -> Any:
        raise TypeError("a DockerConfig stays in its process; pass its path, or the credentials")


def get_docker_credentials(
    registry: str = HUB,
    *,
    config: DockerConfig | Mapping[str, Any] | str | os.PathLike[str] | None = None,
    helpers: bool = False,
) -> DockerCredentials:
    """Get the credentials that ``docker pull`` would use.

    Parameters
    ----------
    registry : str
        A registry, an image reference or a URL.
    config : DockerConfig, mapping or path, optional
        Where to look. Default is every configuration that there is: the user's files, then the
        mounted Secrets.
    helpers : bool
        Run the credential helpers that the configuration names.

    Returns
    -------
    DockerCredentials
        Its values are known to the redactor.

    Raises
    ------
    RegistryNotFound
        No configuration has credentials for it.
    DockerConfigError
        The configuration is malformed, or only a credential helper could answer.
    InvalidName
        The argument can name no registry.

    Examples
    --------
    >>> from kfsecrets_ext import get_docker_credentials
    >>> get_docker_credentials("ghcr.io/org/image")  # doctest: +SKIP
    DockerCredentials(registry='ghcr.io', **********)
    """
    reference = parse_reference(registry)
    if isinstance(config, Mapping):
        config = DockerConfig.from_json(config)
    problems: list[DockerConfigError] = []
    if isinstance(config, DockerConfig):
        problems.extend(config._problems)
        documents: Iterator[Document] = iter(config._documents)
        helpers = helpers or config._helpers
    elif config is not None:
        documents = _given(config)
    else:
        documents = _documents(problems)
    read: list[Document] = []
    credentials = _first(_recorded(documents, read), problems, reference, helpers)
    if credentials is not None:
        return credentials
    names = dict.fromkeys(known.name for document in read for known in document.registries())
    raise RegistryNotFound(reference.text, available=names)


def files() -> list[FileReport]:
    """Report each configuration file that a look-up goes through, in its order.

    Returns
    -------
    list of FileReport
        No values, no user names.
    """
    reports: list[FileReport] = []
    claimed: set[str] = set()
    for source in search():
        report = _report(source, claimed)
        if report is not None:
            reports.append(report)
            claimed.update(
                registry.name for registry in report.registries if registry.kind in _DECIDING
            )
    return reports


def _report(source: Source, claimed: set[str]) -> FileReport | None:
    state: FileState
    try:
        document = open_document(source)
    except DockerConfigError as error:
        state = "unreadable" if isinstance(error, Unreadable) else "invalid"
        reason = f"{error.place}: {error.reason}" if error.place else error.reason
        return FileReport(source.path, source.origin, state, reason)
    if document is None:
        return FileReport(source.path, source.origin, "absent") if source.is_certain else None
    registries = tuple(document.registries())
    used = any(registry.name not in claimed and registry.kind != "empty" for registry in registries)
    return FileReport(source.path, source.origin, "ready", None, used, registries)


def _documents(problems: list[DockerConfigError]) -> Iterator[Document]:
    """Yield each configuration that can be read; note those that cannot."""
    for source in search():
        try:
            document = open_document(source)
        except DockerConfigError as error:
            problems.append(_again(error))
            continue
        if document is not None:
            yield document


def _given(path: str | os.PathLike[str]) -> Iterator[Document]:
    name = os.path.expanduser(os.fsdecode(path))
    found = False
    for source in given(name):
        document = open_document(source)
        if document is not None:
            found = True
            yield document
    if not found and not os.path.isdir(name):
        raise DockerConfigError("there is no such file.", path=name)


def _recorded(documents: Iterable[Document], read: list[Document]) -> Iterator[Document]:
    for document in documents:
        read.append(document)
        yield document


def _first(
    documents: Iterable[Document],
    problems: Sequence[DockerConfigError],
    reference: Reference,
    helpers: bool,
) -> DockerCredentials | None:
    """Return the first answer; what hindered one is raised only where there is none.

    ``problems`` may grow while ``documents`` are gone through.
    """
    unasked: DockerConfigError | None = None
    for document in documents:
        name = document.helper_for(reference)
        if name and helpers:
            # docker CLI: where a helper is configured, its word counts, not the file's
            credentials = _asked(document, name, reference)
        else:
            credentials = _static(document, reference)
            if credentials is None and name and unasked is None:
                named = name if helper.is_helper(name) else None
                unasked = DockerConfigError(
                    f"only {f'the credential helper {named!r}' if named else 'a credential helper'}"
                    f" can answer for {reference.server!r}, and helpers are run with helpers=True "
                    "only.",
                    path=document.path,
                    helper=named,
                )
        if credentials is not None:
            return credentials
    if unasked is not None:
        raise unasked
    if problems:
        raise _again(problems[0])
    return None


def _static(document: Document, reference: Reference) -> DockerCredentials | None:
    key = document.find(reference)
    if key is None:
        return None
    fields = document.fields(key)
    if not fields:
        return None
    return issue(
        shown(key),
        fields.username,
        fields.password,
        identity_token=fields.identity_token,
        registry_token=fields.registry_token,
        source=document.label,
        auth=fields.auth,
    )


def _asked(document: Document, name: str, reference: Reference) -> DockerCredentials | None:
    server = reference.server
    answer = helper.ask(name, server, path=document.path)
    if answer is None:
        return None
    if answer.is_token:
        return issue(server, "", "", identity_token=answer.secret, source=document.label)
    return issue(server, answer.username, answer.secret, source=document.label)


def _again(error: DockerConfigError) -> DockerConfigError:
    """Return the same error without the frames that it was raised in."""
    return type(error)(error.reason, path=error.path, place=error.place, helper=error.helper)
