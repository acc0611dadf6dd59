"""What an API server's refusals mean: errors with names and paths, and no value.

A message of the API server can quote values (an invalid field, both sides of a PodDefault's
conflict), so of one only what is known to be a name is taken.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kfsecrets_ext.errors import ClusterError, Conflict, Forbidden, Rejected, Unreachable

from .kinds import Kind

__all__ = ["Request", "is_final", "is_of_another_kind", "refusal", "status_of"]


@dataclass(frozen=True)
class Request:
    """What was asked, for the text of an error.

    Attributes
    ----------
    verb : str
    kind : Kind
    namespace, name : str or None
    """

    verb: str
    kind: Kind
    namespace: str | None = None
    name: str | None = None

    @property
    def what(self) -> str:
        """Such as ``Secret 'aws'``, or ``Secrets``."""
        kind = self.kind.kind
        return f"{kind}s" if self.name is None else f"{kind} {self.name!r}"

    def where(self, server: str) -> str:
        """Such as ``in namespace 'alice' of https://…``."""
        return f"in namespace {self.namespace!r} of {server}" if self.namespace else f"of {server}"


def status_of(body: bytes) -> dict[str, Any]:
    """Read the ``Status`` of a refusal; empty where it is none."""
    try:
        status = json.loads(body)
    except ValueError:
        return {}
    return status if isinstance(status, dict) else {}


def refusal(
    code: int, status: Mapping[str, Any], request: Request, *, who: str, server: str
) -> ClusterError:
    """Return the error that a refusal means.

    Parameters
    ----------
    code : int
        Of HTTP.
    status : mapping
        As `status_of` gives it.
    request : Request
    who, server : str
    """
    where = request.where(server)
    reason = status.get("reason")
    reason = reason if isinstance(reason, str) and _WORD.fullmatch(reason) else None
    message = str(status.get("message") or "")
    webhook = _webhook(message)
    if code == 401:
        return Forbidden(
            f"{server} does not know who asks ({who}): the credentials are missing or too old.",
            reason="Unauthorized",
        )
    if webhook is not None:
        verb = "cannot be called for" if "failed calling webhook" in message else "refuses"
        return Rejected(
            f"the admission webhook {webhook} {verb} {request.what} {where}.",
            reason=reason,
            by="webhook",
            webhook=webhook,
        )
    if code == 403:
        return _forbidden(message, status, request, who=who, where=where)
    if code == 404:
        return ClusterError(_not_found(status, request, server), reason="NotFound")
    if code == 409:
        if is_of_another_kind(status, request.kind.plural):
            return Unreachable(
                f"the API server was too busy to {request.verb} {request.what} {where}: run it "
                "again.",
                reason=reason,
            )
        return _conflict(status, reason, request, where)
    if code in (400, 422) or (code == 500 and is_final(status)):
        causes = list(filter(None, map(_field, _causes(status)))) or _PATH.findall(message)
        if set(causes) == {"metadata.uid"}:
            return Conflict(f"{request.what} {where} is another one by now.", reason="Conflict")
        named = f": {', '.join(causes)}" if causes else ""
        verb = "is not valid" if code == 422 else "cannot be read by the API server"
        return Rejected(
            f"{request.what} {where} {verb}{named}.",
            reason=reason or ("Invalid" if code == 500 else None),
            causes=dict.fromkeys(causes),
        )
    if code == 429 or code >= 500:
        return Unreachable(
            f"the API server failed to {request.verb} {request.what} {where} (HTTP {code}).",
            reason=reason,
        )
    return ClusterError(
        f"the API server did not {request.verb} {request.what} {where} (HTTP {code}).",
        reason=reason,
    )


def is_final(status: Mapping[str, Any]) -> bool:
    """Say whether a failure of the server (500) is one that it will not get over by itself.

    It calls so what it cannot make an object of, and a webhook that does not answer.
    """
    return bool(_FINAL.search(str(status.get("message") or "")))


def is_of_another_kind(status: Mapping[str, Any], place: str) -> bool:
    """Say whether a conflict (409) is about an object of another kind than was asked for.

    So it is where others use up a quota at the same time: admission gives up after three attempts,
    and nobody touched what was asked for.

    Parameters
    ----------
    status : mapping
        As `status_of` gives it.
    place : str
        The plural of the kind that was asked for, or a path with it.
    """
    details = status.get("details")
    kind = details.get("kind") if isinstance(details, Mapping) else None
    # a precondition (rest.BeforeDelete) names the kind, all others the plural
    return (
        status.get("reason") == "Conflict"
        and isinstance(kind, str)
        and kind.lower() not in place.lower()
    )


# apiserver: handlers/fieldmanager, and webhook.ErrCallingWebhook
_FINAL = re.compile(
    "failed to (?:create typed patch|convert new) object|failed calling webhook", re.ASCII
)
_PATH = re.compile(r"(?:^|: |\n)\s*\.([^:\n]{1,253}): (?:expected |field not declared)")
_WORD = re.compile(r"[A-Za-z]{1,64}")
_NAME = r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?"
# apiserver: webhook/errors and the dispatchers name the webhook in quotes
_WEBHOOK = re.compile(
    rf'admission webhook "({_NAME})" (?:denied|does not support)|failed calling webhook "({_NAME})"'
)
# apiserver: authorization/…/responsewriters.ForbiddenMessage
_RBAC = re.compile(r'\bUser "[^"]*" cannot [a-z]+ ')
_QUOTA = re.compile(rf"(?:exceeded|failed|status unknown for) quota: ({_NAME})")
_PODSECURITY = re.compile(r'violates PodSecurity "([a-z]+:[a-z0-9.]+)"')
_MANAGER = re.compile(r'conflict with "([^"]{1,128})"')


def _webhook(message: str) -> str | None:
    match = _WEBHOOK.search(message)
    return match and (match[1] or match[2])


def _forbidden(
    message: str, status: Mapping[str, Any], request: Request, *, who: str, where: str
) -> ClusterError:
    if _RBAC.search(message):
        return Forbidden(
            f"{who} may not {request.verb} {request.what} {where}.", reason="Forbidden"
        )
    quota, security = _QUOTA.search(message), _PODSECURITY.search(message)
    going = any(cause.get("reason") == "NamespaceTerminating" for cause in _causes(status))
    if quota:
        by, why = "quota", f"quota {quota[1]} leaves no room for it"
    elif security:
        by, why = "pod security", f"it is not as Pod Security {security[1]} wants it"
    elif going:
        by, why = "namespace", "the namespace is being deleted"
    elif message and request.verb in ("create", "apply"):
        by, why = "admission", "a part of admission forbids it"
    else:
        return Forbidden(
            f"{who} may not {request.verb} {request.what} {where}.", reason="Forbidden"
        )
    return Rejected(f"{request.what} {where} is refused: {why}.", reason="Forbidden", by=by)


def _not_found(status: Mapping[str, Any], request: Request, server: str) -> str:
    details = status.get("details")
    kind = details.get("kind") if isinstance(details, Mapping) else None
    if kind == "namespaces" and request.kind.kind != "Namespace":
        return f"{server} has no namespace {request.namespace!r}."
    if kind == request.kind.plural and request.name is not None:
        return f"there is no {request.what} {request.where(server)}."
    crd = ": their CRD is not installed" if "." in request.kind.group else ""
    return f"{server} has no {request.kind.kind}s{crd}."


def _conflict(
    status: Mapping[str, Any], reason: str | None, request: Request, where: str
) -> Conflict:
    if reason == "AlreadyExists":
        return Conflict(f"{request.what} {where} is there already.", reason=reason)
    clashes = [cause for cause in _causes(status) if cause.get("reason") == "FieldManagerConflict"]
    if not clashes:
        return Conflict(f"{request.what} {where} changed in between.", reason=reason)
    fields = [field for field in map(_field, clashes) if field]
    managers = [
        match[1] for cause in clashes if (match := _MANAGER.search(str(cause.get("message"))))
    ]
    return Conflict(
        f"{request.what} {where} has fields that others own: {', '.join(fields)} "
        f"({', '.join(dict.fromkeys(managers))}).",
        reason=reason,
        fields=fields,
        managers=dict.fromkeys(managers),
    )


def _causes(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    details = status.get("details")
    causes = details.get("causes") if isinstance(details, Mapping) else None
    return [cause for cause in causes or () if isinstance(cause, Mapping)]


def _field(cause: Mapping[str, Any]) -> str | None:
    field = cause.get("field")
    # A set's path ends with the value itself: .metadata.finalizers[v:"…"]
    field = field.partition("[v:")[0] if isinstance(field, str) else None
    return field if field and len(field) <= 512 else None
