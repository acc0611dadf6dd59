"""Placeholders are filled in where asked, and a brace is a brace everywhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfsecrets_ext.admin import (
    FromSecret,
    Grant,
    SecretObject,
    SourceError,
    TemplateError,
    Tenant,
    generic,
)
from kfsecrets_ext.admin.template import fill, fill_bytes
from kfsecrets_ext.errors import InvalidName
from kfsecrets_ext.values import SecretBytes

ALICE = Tenant("alice", "alice@example.com", injected=True)
CANARY = "canary-Zq7vXw2LmT"


def given_secret(**data: bytes) -> SecretObject:
    return SecretObject("s-{namespace}", {key: SecretBytes(data[key]) for key in data})


@given(st.text())
def test_escaped_text_comes_back_as_it_was(text: str) -> None:
    escaped = text.replace("{", "{{").replace("}", "}}")
    assert fill(escaped, ALICE, place="secret.name") == text
    assert fill(escaped + "{namespace}", ALICE, place="secret.name") == text + "alice"


@given(st.binary())
def test_bytes_that_are_no_text_stay_as_they_are(value: bytes) -> None:
    escaped = value.replace(b"{", b"{{").replace(b"}", b"}}")
    assert bytes(fill_bytes(escaped, ALICE, place="secret.data.a")) == value


@pytest.mark.parametrize("text", ["{", "}", "a{", "{}", "{user}", "{namespace", "{{}", "{ owner }"])
def test_an_unknown_placeholder_is_an_error_that_shows_the_place_alone(text: str) -> None:
    with pytest.raises(TemplateError) as caught:
        fill(CANARY + text, ALICE, place="secret.data.token")
    error = caught.value
    assert error.place == "secret.data.token"
    said = f"{error}{error!r}{error.args}{error.__dict__}{error.__cause__}{error.__context__}"
    trace = error.__traceback__
    while trace is not None:
        if "template.py" in trace.tb_frame.f_code.co_filename:
            said += repr(trace.tb_frame.f_locals)
        trace = trace.tb_next
    assert CANARY not in said
    assert "{user}" not in said


def test_only_what_is_asked_for_is_filled_in() -> None:
    secret = given_secret(a=b'{"json": "{namespace}"}', b=b"{owner}")
    plain = Grant("g", secret, desc="{owner}", mount_path="/{namespace}")
    one = plain.for_tenant(ALICE)
    assert isinstance(one.secret, SecretObject)
    assert (one.secret.name, one.desc, one.mount_path) == (
        "s-{namespace}",
        "{owner}",
        "/{namespace}",
    )
    assert dict(one.secret.data) == dict(secret.data)
    places = ["secret.name", "podDefault.desc", "podDefault.mountPath", "secret.data.b"]
    filled = Grant(
        "g", secret, desc="{owner}", mount_path="/{namespace}", templates=places
    ).for_tenant(ALICE)
    assert isinstance(filled.secret, SecretObject)
    assert (filled.secret.name, filled.desc) == ("s-alice", "alice@example.com")
    assert filled.mount_path == "/alice"
    assert bytes(filled.secret.data["a"]) == b'{"json": "{namespace}"}'
    assert bytes(filled.secret.data["b"]) == b"alice@example.com"
    assert filled.secret.namespace == "alice"


def test_all_values_can_be_asked_for_at_once_and_where_they_come_from() -> None:
    grant = Grant("g", given_secret(a=b"{owner}", b=b"{{"), templates=["secret.data"])
    one = grant.for_tenant(ALICE)
    assert isinstance(one.secret, SecretObject)
    assert {key: bytes(one.secret.data[key]) for key in "ab"} == {
        "a": b"alice@example.com",
        "b": b"{",
    }
    source = FromSecret("vault-{namespace}", "db-{owner}")
    places = ["secret.from.namespace", "secret.from.name"]
    found = Grant("g", source, templates=places).source(Tenant("bob", "b"))
    assert found == FromSecret("vault-bob", "db-b")


def test_an_owner_that_is_not_known_is_an_error_where_it_is_needed() -> None:
    grant = Grant("g", generic("g"), desc="{owner}", templates=["podDefault.desc"])
    with pytest.raises(TemplateError, match=r"podDefault\.desc: the owner of namespace bob"):
        grant.for_tenant(Tenant("bob"))


def test_a_place_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(InvalidName, match=r"podDefault\.desk"):
        Grant("g", "s", templates=["podDefault.desk"])
    with pytest.raises(InvalidName):
        Grant("g", "s", templates=["secret.data."])


def test_a_secret_that_is_not_yet_read_is_mounted_under_the_name_it_will_have() -> None:
    def named(grant: Grant) -> str:
        (volume, *_) = grant.poddefault()["spec"]["volumes"]
        return str(volume["secret"]["secretName"])

    read = given_secret(a=b"b")
    for source, name in (
        (FromSecret("platform", "team-aws"), "aws"),
        (FromSecret("platform", "team-aws", as_name="other"), "other"),
    ):
        grant = Grant("aws", source)
        assert named(grant) == name
        assert named(grant.for_tenant(ALICE, read)) == name


def test_two_keys_of_another_secret_that_get_one_name_are_an_error() -> None:
    with pytest.raises(SourceError, match="'k' is given twice"):
        FromSecret("platform", "aws", {"a": "k", "b": "k"})
    assert FromSecret("platform", "aws", {"a": "b", "b": "a"}).keys == {"a": "b", "b": "a"}
