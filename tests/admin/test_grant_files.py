"""A grant file says the same to the reader, to its schema and to who reads an error of it."""

from __future__ import annotations

import copy
import json
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfsecrets_ext.admin import (
    SCHEMA,
    FromSecret,
    Grant,
    GrantFileError,
    SecretObject,
    TenantChoice,
    load_grants,
    read_grants,
)
from kfsecrets_ext.admin.schema import faults

CANARY = "canary-Zq7vXw2LmT"
HEAD = {"apiVersion": "kfsecrets-ext/v1", "kind": "Grant", "name": "test-secret"}
LITERAL = {"value": "bar"}


def read(**fields: Any) -> Grant:
    (grant,) = read_grants(json.dumps({**HEAD, **fields}))
    return grant


def secret_of(grant: Grant) -> dict[str, bytes]:
    assert isinstance(grant.secret, SecretObject)
    return {key: bytes(value) for key, value in grant.secret.data.items()}


def shown(error: BaseException) -> str:
    """All that a verbose traceback could show of our own frames."""
    frames = [
        repr(frame.f_locals)
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if "kfsecrets_ext/admin" in frame.f_code.co_filename
        and "tests" not in frame.f_code.co_filename
    ]
    chain = f"{error.__cause__!r}{error.__context__!r}"
    return f"{error}{error!r}{error.args!r}{error.__dict__!r}{chain}{frames}"


def test_the_tutorials_two_grants_are_read_as_it_writes_them() -> None:
    first, second = read_grants(
        """
apiVersion: kfsecrets-ext/v1
kind: Grant
name: test-secret
tenants: {names: [alice]}
secret:
  data:
    foo: {value: bar}
---
apiVersion: kfsecrets-ext/v1
kind: Grant
name: docker-config
tenants: {everyone: true, selector: team=ml}
secret:
  docker:
    username: {value: u}
    password: {value: "p:w"}
podDefault:
  desc: Add Docker config
  mountPath: /home/kubeflow/.docker
---
"""
    )
    assert secret_of(first) == {"foo": b"bar"}
    assert first.tenants == TenantChoice(names=("alice",))
    assert second.tenants == TenantChoice(everyone=True, selector="team=ml")
    assert json.loads(secret_of(second)[".dockerconfigjson"]) == {
        "auths": {
            "https://index.docker.io/v1/": {"username": "u", "password": "p:w", "auth": "dTpwOnc="}
        }
    }
    spec = second.poddefault()["spec"]
    assert spec["desc"] == "Add Docker config"
    assert spec["volumeMounts"][0]["mountPath"] == "/home/kubeflow/.docker"
    assert spec["volumes"][0]["secret"]["items"] == [
        {"key": ".dockerconfigjson", "path": "config.json"}
    ]


def test_every_option_arrives_in_the_grant() -> None:
    grant = read(
        secret={
            "name": "other",
            "type": "Opaque",
            "data": {"a": LITERAL, "b": {"value": ""}},
            "immutable": True,
            "appendHash": True,
            "workspaces": {"canMount": True, "canUpdate": False},
        },
        podDefault={"desc": "d", "mountPath": "/m", "items": {"a": "x/y"}, "required": True},
        templates=["podDefault.desc", "secret.data.a"],
    )
    assert isinstance(grant.secret, SecretObject)
    assert (grant.name, grant.secret.name, grant.secret.type) == ("test-secret", "other", "Opaque")
    assert (grant.desc, grant.mount_path, grant.items, grant.required) == (
        "d",
        "/m",
        {"a": "x/y"},
        True,
    )
    assert (grant.immutable, grant.append_hash) == (True, True)
    assert (grant.can_mount, grant.can_update) == (True, False)
    assert grant.templates == ("podDefault.desc", "secret.data.a")
    assert secret_of(grant) == {"a": b"bar", "b": b""}
    assert grant.tenants is None


def test_an_existing_secret_is_but_a_name_and_another_ones_values_are_read_later() -> None:
    assert read(secret={"existing": True}).secret == "test-secret"
    assert read(secret={"existing": True, "name": "vault"}).secret == "vault"
    given = {"namespace": "platform", "name": "registry", "keys": {"a": "b"}}
    assert read(secret={"from": given}).secret == FromSecret(
        "platform", "registry", {"a": "b"}, "test-secret"
    )


def test_files_are_looked_for_beside_the_grant_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "grants=of the team"
    (home / "certs").mkdir(parents=True)
    (home / "token").write_bytes(b"\xff\x00line\n")
    (home / "certs" / "tls.crt").write_bytes(b"crt")
    (home / "a.env").write_text("FROM_FILE=one\nFROM_ENVIRONMENT\n")
    (home / "tenants.txt").write_text("alice # first\n\n# nobody\nbob\nalice\n")
    monkeypatch.setenv("FROM_ENVIRONMENT", "two")
    file = home / "grant.yaml"
    secret = {
        "data": {"t": {"file": "token"}, "v": {"env": "FROM_ENVIRONMENT"}},
        "files": ["certs", "token"],
        "envFiles": ["a.env"],
    }
    file.write_text(json.dumps({**HEAD, "secret": secret, "tenants": {"file": "tenants.txt"}}))
    monkeypatch.chdir("/")
    (grant,) = load_grants(file)
    assert secret_of(grant) == {
        "t": b"\xff\x00line\n",
        "v": b"two",
        "tls.crt": b"crt",
        "token": b"\xff\x00line\n",
        "FROM_FILE": b"one",
        "FROM_ENVIRONMENT": b"two",
    }
    assert grant.tenants == TenantChoice(names=("alice", "bob"))


def test_the_line_break_of_a_file_is_no_part_of_a_presets_field(tmp_path: Path) -> None:
    (tmp_path / "password").write_bytes(b"s3cret\n\n")
    git = {"username": {"value": "me"}, "password": {"file": "password"}}
    text = json.dumps({**HEAD, "secret": {"git": git}})
    with pytest.raises(GrantFileError, match="it has a line break"):
        read_grants(text, directory=tmp_path)
    (tmp_path / "password").write_bytes(b"s3cret\n")
    (grant,) = read_grants(text, directory=tmp_path)
    assert secret_of(grant)["git-credentials"] == b"https://me:s3cret@github.com\n"


@pytest.mark.parametrize(
    ("content", "value"),
    [(b"s3\n", b"s3"), (b"s3\r\n", b"s3"), (b"s3\r", b"s3\r"), (b"s3\n\r\n", b"s3\n")],
)
def test_a_line_break_is_one_of_any_system(tmp_path: Path, content: bytes, value: bytes) -> None:
    (tmp_path / "password").write_bytes(content)
    docker = {"username": {"value": "u"}, "password": {"file": "password"}}
    (grant,) = read_grants(json.dumps({**HEAD, "secret": {"docker": docker}}), directory=tmp_path)
    (found,) = json.loads(secret_of(grant)[".dockerconfigjson"])["auths"].values()
    assert found["password"] == value.decode()


@pytest.mark.parametrize("kind", ["docker", "git"])
@pytest.mark.parametrize("place", ["secret.data", "secret.data.username"])
def test_a_preset_that_encodes_its_values_takes_no_placeholders_in_them(
    kind: str, place: str
) -> None:
    given = {"username": {"value": "{namespace}"}, "password": {"value": CANARY}}
    with pytest.raises(GrantFileError, match="encoded: nothing can be filled in there") as caught:
        read(secret={kind: given}, templates=["podDefault.desc", place])
    assert (caught.value.document, caught.value.path) == (1, "templates")
    assert CANARY not in shown(caught.value)
    assert read(secret={kind: given}, templates=["podDefault.desc"]).per_tenant


def test_a_file_of_tenants_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "tenants.txt").write_bytes("\ufeffalice\nbob\n".encode())
    text = json.dumps({**HEAD, "secret": {"existing": True}, "tenants": {"file": "tenants.txt"}})
    (grant,) = read_grants(text, directory=tmp_path)
    assert grant.tenants == TenantChoice(names=("alice", "bob"))


def test_a_grant_file_that_is_not_there_is_told_without_an_option_of_other_verbs() -> None:
    with pytest.raises(GrantFileError, match=r"^/no/such/file: No such file or directory\.$"):
        load_grants("/no/such/file")
    with pytest.raises(GrantFileError, match=r"a\.file: No such file or directory\.$"):
        read(secret={"data": {"a": {"file": "/no/such/file"}}})


def test_two_keys_that_get_one_name_are_an_error() -> None:
    given = {"namespace": "n", "name": "m", "keys": {"a": "k", "b": "k"}}
    with pytest.raises(GrantFileError, match="'k' is given twice") as caught:
        read(secret={"from": given})
    assert caught.value.path == "secret.from.keys"


def test_json_is_read_with_tabs_and_with_what_it_escapes_in_two_parts() -> None:
    document = {**HEAD, "secret": {"data": {"a": {"value": "\U0001f600 a\tb"}}}}
    text = json.dumps(document, indent="\t")
    assert "\\ud83d\\ude00" in text
    for file in (text, text.encode(), b"\xef\xbb\xbf" + text.encode()):
        (grant,) = read_grants(file)
        assert secret_of(grant) == {"a": "\U0001f600 a\tb".encode()}
    raw = json.dumps(document, indent="\t", ensure_ascii=False)
    assert secret_of(*read_grants(raw)) == {"a": "\U0001f600 a\tb".encode()}
    twice = text.replace('"kind"', '"name"')
    with pytest.raises(GrantFileError, match="line 4, column 2: a field is given twice"):
        read_grants(twice)


@pytest.mark.parametrize(
    ("source", "place"),
    [
        (rf'{{file: "{CANARY}\0b"}}', "secret.data.a.file"),
        (rf'{{file: "{CANARY}\ud800"}}', "secret.data.a.file"),
        (rf'{{file: "~{CANARY}\0b"}}', "secret.data.a.file"),
        (rf'{{file: "~{CANARY}\ud800"}}', "secret.data.a.file"),
        (rf'{{env: "{CANARY}\ud800"}}', "secret.data.a.env"),
        (rf'{{value: "{CANARY}\ud800"}}', "secret.data.a"),
        (rf'{{value: "{CANARY}\ude00\ud83d"}}', "secret.data.a"),
        (f"{{value: !!str [{CANARY}]}}", None),
        (f"{{value: !!str {{{CANARY}: a}}}}", None),
        (f"{{value: !!bool [{CANARY}]}}", None),
        (f"{{value: !!bool {{{CANARY}: a}}}}", None),
        (f"!!map [{CANARY}]", None),
        (f"!!map {CANARY}", None),
    ],
)
def test_what_is_no_text_and_what_no_path_may_hold_are_errors_without_it(
    source: str, place: str | None
) -> None:
    head = "apiVersion: kfsecrets-ext/v1\nkind: Grant\nname: a\nsecret: {data: {a: %s}}"
    with pytest.raises(GrantFileError) as caught:
        read_grants(head % source)
    assert caught.value.path == place
    assert CANARY not in shown(caught.value)


@pytest.mark.parametrize(
    "secret",
    [r'{files: ["a\0b"]}', r'{files: ["\ud800"]}', r'{envFiles: ["a\0b"]}', "{existing: true}"],
)
def test_no_place_for_a_path_takes_what_no_path_may_hold(secret: str) -> None:
    head = 'apiVersion: kfsecrets-ext/v1\nkind: Grant\nname: a\ntenants: {file: "a\\0b"}\n'
    with pytest.raises(GrantFileError, match="it has a character that no path may have"):
        read_grants(f"{head}secret: {secret}")


@pytest.mark.parametrize(
    ("fields", "place", "words"),
    [
        ({"secert": {}}, "secert", "Did you mean 'secret'?"),
        ({"secret": {"dat": {}}}, "secret.dat", "Did you mean 'data'?"),
        ({"secret": {"data": {"a": {"vaule": CANARY}}}}, "secret.data.a.vaule", "'value'"),
        ({"secret": {"data": {"a": CANARY}}}, "secret.data.a", "it must be a mapping"),
        ({"secret": {"data": {"a": {"value": 12345678}}}}, "secret.data.a.value", "Quote it"),
        ({"secret": {"data": {"a b": LITERAL}}}, "secret.data", "It is not shown"),
        ({"metadata": {}, "secret": {}}, None, "its field number 4 is none of apiVersion, kind"),
        (
            {"secret": {"data": {"a": {"value": CANARY, "file": CANARY}}}},
            "secret.data.a",
            "it must have one alone of value, file, env",
        ),
        ({"secret": {}}, "secret", "exactly one of these: existing, from, docker"),
        (
            {"secret": {"existing": True, "data": {"a": LITERAL}}},
            "secret",
            "exactly one of these",
        ),
        (
            {"secret": {"existing": True, "immutable": True}},
            "secret",
            "existing and immutable do not go together",
        ),
        ({"secret": {"existing": False}}, "secret.existing", "it must be true"),
        ({"secret": {"docker": {"username": LITERAL}}}, "secret.docker", "password is missing"),
        ({"secret": {"data": {"a": {"file": "/no/such/file"}}}}, "secret.data.a.file", "No such"),
        ({"secret": {"data": {"a": {"env": "NO_SUCH_VARIABLE"}}}}, "secret.data.a.env", "no such"),
        ({"secret": {"files": ["/no/such/file"]}}, "secret.files[0]", "No such file"),
        (
            {"secret": {"data": {"a": LITERAL}}, "templates": ["podDefault.desk"]},
            "templates[0]",
            "may not have",
        ),
        (
            {"secret": {"data": {"a": LITERAL}}, "templates": ["secret.data.b"]},
            "templates",
            "no key 'b'",
        ),
        (
            {"secret": {"data": {"a": LITERAL}}, "podDefault": {"items": ["b"]}},
            "podDefault.items",
            "no key 'b'",
        ),
        ({"secret": {"data": {"a": LITERAL}}, "tenants": {}}, "tenants", "it is empty"),
        ({"name": "Bad_Name", "secret": {"existing": True}}, "name", "may not have"),
        ({"name": "a" * 53, "secret": {"existing": True}}, "name", "52"),
        ({"kind": "Grants", "secret": {"existing": True}}, "kind", '"Grant"'),
        ({}, None, "secret is missing"),
    ],
)
def test_an_error_names_the_field_and_no_value(
    fields: dict[str, Any], place: str | None, words: str
) -> None:
    with pytest.raises(GrantFileError) as caught:
        read(**fields)
    error = caught.value
    assert (error.document, error.path) == (1, place)
    assert words in str(error)
    assert CANARY not in shown(error)
    assert "12345678" not in shown(error)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"a: [{CANARY}", "this is not YAML"),
        (f"secret: {CANARY}\nsecret: {CANARY}", "line 2, column 1: a field is given twice"),
        (f"!!python/object:os.system {CANARY}", "this is not YAML"),
        (f"{CANARY}", "it must be a mapping"),
        (f"- {CANARY}", "it must be a mapping"),
        (b"\xff\xfe" + CANARY.encode(), "this is not YAML"),
        (f"{{{CANARY}: {CANARY}}}", ""),
        (f"? [{CANARY}]\n: {CANARY}", "this is not YAML"),
    ],
)
def test_what_is_no_grant_is_refused_without_showing_it(text: str | bytes, words: str) -> None:
    with pytest.raises(GrantFileError) as caught:
        read_grants(text)
    assert words in str(caught.value)
    assert CANARY not in shown(caught.value)


# What is meant as a value and becomes a field's name: near a field, of letters, like an option.
MEANT_AS_VALUES = ("hunter2", "passw0rd", "pasword", "values", "vaule", "file_", "evn", CANARY)


@pytest.mark.parametrize("value", MEANT_AS_VALUES)
@pytest.mark.parametrize(
    "secret",
    [
        "{data: {a: {value:%s}}}",
        "{data: {a: {%s}}}",
        "{data: {a: {value %s}}}",
        "{data: {a: {value=%s: 1}}}",
        "{data: {a: {? %s}}}",
        "{data: {a: {'%s'}}}",
        "{data: {%s}}",
        "{data: {a:%s}}",
        "{docker: {username: {value: u}, password:%s}}",
        "{docker: {username: {value: u}, password: {value:%s}}}",
        "{docker: {username: {value: u}, %s}}",
        "{from: {namespace: n, name: m, keys: {%s}}}",
        "{existing: true, %s}",
    ],
)
def test_an_error_is_the_same_whatever_stands_where_a_field_is_looked_for(
    secret: str, value: str
) -> None:
    head = "apiVersion: kfsecrets-ext/v1\nkind: Grant\nname: a\nsecret: "

    def error(given: str) -> GrantFileError:
        with pytest.raises(GrantFileError) as caught:
            read_grants(head + secret % given)
        return caught.value

    found = error(value)
    assert str(found) == str(error("another-0"))
    assert "not shown" in str(found)
    assert value not in shown(found)


@pytest.mark.parametrize(
    "written", ["yes", "on", "12", "1.5", "2026-11-25", "null", "!!binary aGk="]
)
def test_a_value_that_yaml_takes_for_something_else_must_be_quoted(written: str) -> None:
    text = "apiVersion: kfsecrets-ext/v1\nkind: Grant\nname: a\nsecret: {data: {k: {value: %s}}}"
    with pytest.raises(GrantFileError, match=r"secret\.data\.k\.value: it must be text"):
        read_grants(text % written)
    if "!" not in written:
        (grant,) = read_grants(text % f'"{written}"')
        assert secret_of(grant) == {"k": written.encode()}


def test_no_value_shows_in_what_is_read() -> None:
    grant = read(secret={"data": {"a": {"value": CANARY}}})
    assert CANARY not in f"{grant!r}{grant}{grant.secret!r}"


def test_the_documentations_grant_is_one(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "grants.md"
    first = page.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    (tmp_path / "foo.txt").write_text("bar")
    (grant,) = read_grants(first, directory=tmp_path)
    assert secret_of(grant) == {"foo": b"bar"}


# ── the schema ───────────────────────────────────────────────────────────────

SCHEMA_TEXT = json.loads(SCHEMA.read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA_TEXT)

VALID: list[dict[str, Any]] = [
    {**HEAD, "secret": {"existing": True}},
    {
        **HEAD,
        "tenants": {"everyone": True, "names": ["a"], "selector": "a=b", "file": "f"},
        "secret": {
            "name": "n",
            "type": "t",
            "data": {"a": LITERAL, "b": {"file": "f"}, "c": {"env": "E"}},
            "files": ["f"],
            "envFiles": ["e"],
            "immutable": False,
            "appendHash": True,
            "workspaces": {"canMount": True},
        },
        "podDefault": {"desc": "d", "mountPath": "/m", "items": {"a": "p"}, "required": True},
        "templates": ["secret.name", "secret.data.a"],
    },
    {**HEAD, "secret": {"from": {"namespace": "n", "name": "m", "keys": ["a"]}}},
    {**HEAD, "secret": {"docker": {"username": LITERAL, "password": LITERAL}}},
    {**HEAD, "secret": {"aws": {"access_key_id": LITERAL, "secret_access_key": LITERAL}}},
    {**HEAD, "secret": {"git": {"username": LITERAL, "password": LITERAL, "host": LITERAL}}},
]

WORDS = sorted(
    {name for name in json.dumps(SCHEMA_TEXT).replace('"', " ").split() if name.isalnum()}
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.sampled_from(["", "a", "A", "a\n", "secret.data.a", "podDefault.desc", "x" * 60, "é", "-"]),
    st.sampled_from(WORDS),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*WORDS, "a b", "a\n", ""]), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a document: what holds it, and its name there."""
    pairs = document.items() if isinstance(document, dict) else enumerate(document)
    for name, inner in list(pairs):
        yield document, name
        if isinstance(inner, (dict, list)):
            yield from places(inner)


@st.composite
def documents(draw: st.DrawFn) -> Any:
    document = copy.deepcopy(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(0, 3))):
        every = list(places(document))
        if not every:
            break
        holder, name = draw(st.sampled_from(every))
        what = draw(st.sampled_from(["drop", "put", "add", "move"]))
        if what == "drop":
            del holder[name]
        elif what == "put":
            holder[name] = draw(ANYTHING)
        elif what == "add" and isinstance(holder, dict):
            holder[draw(st.sampled_from(WORDS))] = draw(ANYTHING)
        elif what == "move" and isinstance(holder, dict):
            holder[draw(st.sampled_from(WORDS))] = holder.pop(name)
    return draw(st.just(document) | ANYTHING) if draw(st.booleans()) else document


@given(documents())
def test_the_schema_and_the_reader_agree(document: Any) -> None:
    assert (not list(faults(document))) == VALIDATOR.is_valid(document), list(faults(document))


def test_the_schema_is_one_and_takes_what_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA_TEXT)
    for document in VALID:
        VALIDATOR.validate(document)
        assert list(faults(document)) == []


def test_the_check_knows_every_keyword_of_the_schema() -> None:
    known = {
        *("$schema", "title", "description", "$defs", "$ref", "type", "const", "required"),
        *("properties", "additionalProperties", "propertyNames", "items", "minItems", "minLength"),
        *("maxLength", "minProperties", "maxProperties", "uniqueItems", "pattern"),
        *("oneOf", "allOf", "anyOf", "not"),
    }

    def keywords(schema: Any) -> Iterator[str]:
        if isinstance(schema, list):
            for one in schema:
                yield from keywords(one)
        elif isinstance(schema, dict):
            for name, inner in schema.items():
                yield name
                if name in ("properties", "$defs"):
                    yield from (word for one in inner.values() for word in keywords(one))
                elif name not in ("required", "const"):
                    yield from keywords(inner)

    assert set(keywords(SCHEMA_TEXT)) <= known
