"""What is taken of an API server's refusal: names and paths; what quotes a value is left."""

from __future__ import annotations

from typing import Any

import pytest
from rig.homes import VALUE, says_no_value

from kfsecrets_ext.cluster import PODDEFAULT, SECRET
from kfsecrets_ext.cluster.answers import Request, refusal, status_of
from kfsecrets_ext.errors import ClusterError, Conflict, Forbidden, Rejected, Unreachable

SERVER = "https://example.com"
APPLY = Request("apply", SECRET, "alice", "test")


def refused(code: int, request: Request = APPLY, **status: Any) -> ClusterError:
    return refusal(code, status, request, who="bob", server=SERVER)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, Rejected),
        (401, Forbidden),
        (403, Rejected),
        (404, ClusterError),
        (405, ClusterError),
        (409, Conflict),
        (413, ClusterError),
        (415, ClusterError),
        (422, Rejected),
        (429, Unreachable),
        (500, Unreachable),
        (503, Unreachable),
    ],
)
def test_no_message_is_passed_on(code: int, kind: type[ClusterError]) -> None:
    cause = {"reason": "FieldValueInvalid", "message": f'Invalid value: "{VALUE}"', "field": "data"}
    details = {"name": VALUE, "kind": VALUE, "causes": [cause]}
    error = refused(code, message=f"no: {VALUE}", reason=f"{VALUE} {VALUE}", details=details)
    assert type(error) is kind
    assert error.reason in (None, "Unauthorized", "Forbidden", "NotFound")
    assert says_no_value(error)


@pytest.mark.parametrize("code", [400, 403, 409, 422, 500])
@pytest.mark.parametrize(
    "status",
    [
        {},
        {"details": None, "message": None, "reason": None},
        {"details": {"causes": None}},
        {"details": {"causes": [None, {}, {"field": 3}, {"reason": "FieldManagerConflict"}]}},
    ],
)
def test_a_status_without_what_it_should_have_is_an_error_all_the_same(
    code: int, status: dict[str, Any]
) -> None:
    assert "'test'" in str(refused(code, **status))


def test_the_path_of_a_set_ends_before_its_value() -> None:
    cause = {
        "reason": "FieldManagerConflict",
        "message": 'conflict with "kubectl" using v1',
        "field": f'.metadata.finalizers[v:"{VALUE}"]',
    }
    error = refused(409, reason="Conflict", details={"causes": [cause]})
    assert isinstance(error, Conflict)
    assert error.fields == (".metadata.finalizers",)
    assert error.managers == ("kubectl",)
    assert says_no_value(error)


def test_a_conflict_about_another_kind_is_a_server_that_is_busy() -> None:
    details = {"name": "quota", "kind": "resourcequotas"}
    error = refused(409, reason="Conflict", details=details)
    assert type(error) is Unreachable
    assert "busy" in str(error)
    assert "'test'" in str(error)
    for kind in ("secrets", "Secret"):  # rest.BeforeDelete names the kind itself
        error = refused(409, reason="Conflict", details={"name": "test", "kind": kind})
        assert type(error) is Conflict
    # what applies and clashes has no kind
    assert type(refused(409, reason="Conflict", details={"causes": []})) is Conflict
    assert type(refused(409, reason="AlreadyExists", details=details)) is Conflict


@pytest.mark.parametrize("code", [400, 403, 422])
def test_a_webhook_is_named_and_its_words_are_not_repeated(code: int) -> None:
    message = f'admission webhook "a.example.com" denied the request: env {VALUE}'
    error = refused(code, message=message, reason="Forbidden")
    assert isinstance(error, Rejected)
    assert (error.by, error.webhook) == ("webhook", "a.example.com")
    assert says_no_value(error)


def test_a_crd_that_is_missing_is_told_from_an_object() -> None:
    missing = refused(404, Request("list", PODDEFAULT, "alice"), details={})
    assert str(missing) == f"{SERVER} has no PodDefaults: their CRD is not installed."
    details = {"name": "test", "group": "kubeflow.org", "kind": "poddefaults"}
    absent = refused(404, Request("get", PODDEFAULT, "alice", "test"), details=details)
    assert str(absent) == f"there is no PodDefault 'test' in namespace 'alice' of {SERVER}."


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"3", VALUE.encode(), b"\xff"])
def test_what_is_no_status_says_nothing(body: bytes) -> None:
    assert status_of(body) == {}
