"""What a cluster can be asked, whichever its home is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol

from .kinds import Kind

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["FIELD_MANAGER", "Cluster", "Event", "EventType", "Json"]

Json = dict[str, Any]
EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]

FIELD_MANAGER = "kfsecrets-ext"
"""Who owns the fields that are applied."""


@dataclass(frozen=True)
class Event:
    """Something that happened to an object.

    Attributes
    ----------
    type : str
        ``"ADDED"``, ``"MODIFIED"``, ``"DELETED"``, or ``"BOOKMARK"``: up to here all is told.
    object : dict
        As it is then; of one that is gone, at least what names it.
    """

    type: EventType
    object: Json = field(repr=False)


class Cluster(Protocol):
    """A cluster; safe to use from several threads at once.

    An object is a dict as the API has it. Values of Secrets in an answer are `SecretStr`.
    Every method raises `Forbidden`, `Unreachable` or another `ClusterError`; none of them, and
    no log, carries a body or a value.
    """

    @property
    def home(self) -> str:
        """``"kubernetes"`` or ``"embedded"``."""
        ...

    @property
    def server(self) -> str:
        """Address of the API server, or the embedded cluster's directory."""
        ...

    @property
    def context(self) -> str | None:
        """Of the kubeconfig."""
        ...

    @property
    def namespace(self) -> str | None:
        """The context's, else this pod's own."""
        ...

    @property
    def who(self) -> str:
        """Who asks, in words."""
        ...

    @property
    def workers(self) -> int:
        """How many requests may run at once."""
        ...

    def get(
        self, kind: Kind, name: str, *, namespace: str | None = None, metadata_only: bool = False
    ) -> Json | None:
        """Return an object, or ``None`` where there is none.

        Parameters
        ----------
        kind : Kind
        name, namespace : str
        metadata_only : bool
            ``apiVersion``, ``kind`` and ``metadata``; nothing else crosses the wire.
        """
        ...

    def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: str | None = None,
        fields: str | None = None,
        metadata_only: bool = False,
        page: int = 500,
    ) -> Iterator[Json]:
        """Yield objects, page by page, none twice.

        Parameters
        ----------
        kind : Kind
        namespace : str, optional
            Default is all of them.
        labels, fields : str, optional
            Selectors, as kubectl takes them.
        metadata_only : bool
            As for `get`.
        page : int
            The most objects of a page; one of large objects has fewer.
        """
        ...

    def apply(self, obj: Mapping[str, Any], *, force: bool = False, dry_run: bool = False) -> Json:
        """Apply an object on the server's side, as the field manager ``kfsecrets-ext``.

        Parameters
        ----------
        obj : mapping
            The fields that are ours. Those of an earlier apply that are missing now go. A
            ``metadata.resourceVersion`` must be the object's; ``"1"`` where there must be none.
            One that is gone by then is created again, unless its ``metadata.uid`` is given too.
        force : bool
            Take the fields that others own.
        dry_run : bool

        Returns
        -------
        dict
            What is stored then.

        Raises
        ------
        Conflict
            Another manager owns a field, or the object is not of that version.
        Rejected
            The object is not valid.
        """
        ...

    def create(self, obj: Mapping[str, Any], *, dry_run: bool = False) -> Json:
        """Create an object; a Pod goes through admission, in a dry run too.

        Raises
        ------
        Conflict
            It is there already.
        Rejected
            It is not valid, or admission refuses it.
        """
        ...

    def delete(
        self,
        kind: Kind,
        name: str,
        *,
        namespace: str | None = None,
        resource_version: str | None = None,
        uid: str | None = None,
        dry_run: bool = False,
    ) -> bool:
        """Delete an object; ``False`` where there was none.

        Parameters
        ----------
        kind : Kind
        name, namespace : str
        resource_version, uid : str, optional
            What it must be.
        dry_run : bool

        Raises
        ------
        Conflict
            It is another one, or another version.
        """
        ...

    def watch(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: str | None = None,
        fields: str | None = None,
        resource_version: str | None = None,
        timeout: float | None = None,
    ) -> Iterator[Event]:
        """Yield what happens to objects.

        Parameters
        ----------
        kind : Kind
        namespace, labels, fields : str, optional
            As for `list`.
        resource_version : str, optional
            From where on. Without one the objects that are there come first, as ``ADDED``, and
            then a ``BOOKMARK``.
        timeout : float, optional
            Seconds; default is for ever.
        """
        ...

    def allowed(
        self,
        verb: str,
        kind: Kind,
        *,
        namespace: str | None = None,
        name: str | None = None,
        subresource: str | None = None,
    ) -> bool | None:
        """Say whether who asks may; ``None`` where that cannot be known."""
        ...

    def close(self) -> None:
        """Give the connections back."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
