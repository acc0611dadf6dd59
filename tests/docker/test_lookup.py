"""The rule of the look-up, beyond the recorded cases."""

from __future__ import annotations

import base64
import copy
import json
import pickle
import pprint
from typing import Any

import pytest
import rich.pretty
from docker.auth import encode_header
from hypothesis import given
from hypothesis import strategies as st
from IPython.lib import pretty

from kfsecrets_ext.docker import HUB, DockerConfig, DockerCredentials, get_docker_credentials
from kfsecrets_ext.docker.names import HUB_HOSTS, parse_key, parse_reference
from kfsecrets_ext.errors import DockerConfigError, InvalidName, RegistryNotFound
from kfsecrets_ext.redaction import guard


def pair(user: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:password-of-{user}".encode()).decode()}


def who(content: Any, query: str | None, **options: bool) -> str | None:
    """The user name that a configuration gives, ``"error"``, or ``None``."""
    try:
        found = DockerConfig.from_json(content, **options).credentials(query)
    except DockerConfigError:
        return "error"
    return found and found.username


def auths(*keys: str) -> dict[str, Any]:
    """A configuration where each entry's user is named as its key."""
    return {"auths": {key: pair(key.replace(":", "!")) for key in keys}}


def key(content: dict[str, Any], query: str | None) -> str | None:
    answer = who(content, query)
    return answer and answer.replace("!", ":")


@pytest.mark.parametrize(
    ("query", "host", "scopes"),
    [
        (None, "index.docker.io", [""]),
        ("", "index.docker.io", [""]),
        (HUB, "index.docker.io", [""]),
        ("busybox", "docker.io", ["library/busybox", "library", ""]),
        ("busybox:1.36", "docker.io", ["library/busybox", "library", ""]),
        ("postgres:15", "docker.io", ["library/postgres", "library", ""]),
        ("busybox@sha256:" + "0" * 64, "docker.io", ["library/busybox", "library", ""]),
        ("user/image:tag", "docker.io", ["user/image", "user", ""]),
        ("docker.io/busybox", "docker.io", ["busybox", "library/busybox", ""]),
        ("docker.io/busybox:1", "docker.io", ["busybox", "library/busybox", "library", ""]),
        ("docker://busybox", "docker.io", ["library/busybox", "library", ""]),
        ("docker://ghcr.io/o/i", "ghcr.io", ["o/i", "o", ""]),
        ("oci://ghcr.io/charts/c:1", "ghcr.io", ["charts/c", "charts", ""]),
        ("localhost", "localhost", [""]),
        ("localhost:5000", "localhost:5000", [""]),
        ("localhost/image", "localhost", ["image", ""]),
        ("registry:5000", "registry:5000", [""]),
        ("registry:443", "registry:443", [""]),
        ("registry:5000/a/b:t", "registry:5000", ["a/b", "a", ""]),
        ("example.org", "example.org", [""]),
        ("example.org/", "example.org", [""]),
        ("[::1]:5000", "[::1]:5000", [""]),
        ("[::1]:5000/image", "[::1]:5000", ["image", ""]),
        ("https://example.org/v2/a/b/manifests/latest", "example.org",
         ["a/b/manifests/latest", "a/b/manifests", "a/b", "a", ""]),
        ("https://example.org/v1/?a=b#c", "example.org", [""]),
        ("http://example.org:80", "example.org:80", [""]),
        ("Upper/image", "Upper", ["image", ""]),
    ],
)  # fmt: skip
def test_the_argument_may_be_a_registry_an_image_or_a_url(
    query: str | None, host: str, scopes: list[str]
) -> None:
    reference = parse_reference(query)
    assert (reference.host, list(reference.scopes)) == (host, scopes)


@pytest.mark.parametrize(
    ("keys", "query", "answer"),
    [
        # whole segments, most specific first
        (["h.io", "h.io/pong"], "h.io/pongz", "h.io"),
        (["h.io/pong"], "h.io/pongz", None),
        (["h.io/a/", "h.io"], "h.io/a/b", "h.io/a/"),
        (["h.io/a"], "h.io", None),
        # URLs answer for their host, the longest matching path first
        (["https://h.io/a", "https://h.io/b"], "h.io/b/c", "https://h.io/b"),
        (["https://h.io/a", "https://h.io/"], "h.io/b", "https://h.io/"),
        (["https://h.io/a"], "h.io/b", "https://h.io/a"),
        (["https://h.io/a", "h.io"], "h.io/a/b", "h.io"),
        (["http://h.io", "https://h.io"], "h.io", "https://h.io"),
        (["http://h.io", "https://h.io"], "http://h.io", "http://h.io"),
        (["h.io/v1/"], "h.io/b", "h.io/v1/"),
        (["h.io/v2"], "h.io", "h.io/v2"),
        (["https://user@h.io"], "h.io", "https://user@h.io"),
        # ports and case count
        (["h.io:443"], "h.io", None),
        (["h.io"], "h.io:443", None),
        (["https://h.io:5000/v2/"], "h.io:5000/a", "https://h.io:5000/v2/"),
        (["h.io"], "H.io", None),
        # wildcards come last
        (["*.h.io", "a.h.io"], "a.h.io/x", "a.h.io"),
        (["*.h.io", "https://a.h.io/v1/"], "a.h.io", "https://a.h.io/v1/"),
        (["*.h.io", "*.h.io/x"], "a.h.io/x/y", "*.h.io/x"),
        (["*.h.io", "*.h.io/x"], "a.h.io/xy", "*.h.io"),
        (["*.*.io", "*.h.io"], "a.h.io", "*.h.io"),
        (["a-*.h.io"], "a-b.h.io", "a-*.h.io"),
        (["a-*.h.io"], "b.h.io", None),
        (["*.h.io"], "h.io", None),
        (["*.h.io"], "b.a.h.io", None),
        (["*.h.io:5000"], "a.h.io", None),
        (["*.h.io"], "a.h.io:5000", None),
        (["*.io"], "[::1]:5000", None),
        # Docker Hub's names
        *((["index.docker.io"], query, "index.docker.io") for query in HUB_HOSTS),
        *(([HUB], f"{host}/library/x", HUB) for host in HUB_HOSTS),
        ([HUB, "docker.io"], "docker.io", "docker.io"),
        ([HUB, "docker.io"], "index.docker.io", HUB),
        ([HUB, "docker.io"], None, HUB),
        (["https://registry-1.docker.io/v2/"], "x", "https://registry-1.docker.io/v2/"),
        (["http://docker.io"], "x", "http://docker.io"),
        (["index.docker.io/team", "docker.io"], "team/x", "index.docker.io/team"),
        (["docker.io/library", "docker.io"], "docker.io/team", "docker.io"),
        (["docker.io/library", "docker.io"], "x", "docker.io/library"),
        ([HUB], "registry:5000", None),
        ([HUB], "postgres:15", HUB),
        # a key that is the argument itself
        (["single"], "single", "single"),
        (["single:5000"], "single:5000", "single:5000"),
    ],
)
def test_one_key_answers(keys: list[str], query: str | None, answer: str | None) -> None:
    content = auths(*keys)
    assert key(content, query) == answer
    content["auths"] = dict(reversed(content["auths"].items()))
    assert key(content, query) == answer, "the order in the file must not count"


def encoded(text: bytes) -> str:
    return base64.b64encode(text).decode()


@pytest.mark.parametrize(
    ("entry", "answer"),
    [
        ({"auth": encoded(b"u:a:b")}, ("u", "a:b", None, None)),
        ({"auth": encoded(b"u:p").rstrip("=")}, ("u", "p", None, None)),
        ({"auth": encoded(b":p")}, ("", "p", None, None)),
        ({"auth": encoded(b"u:p\0\0")}, ("u", "p", None, None)),
        ({"auth": encoded(b"u:p"), "username": "x", "password": "y"}, ("u", "p", None, None)),
        ({"auth": "", "username": "x", "password": "y"}, ("x", "y", None, None)),
        ({"username": "x"}, ("x", "", None, None)),
        ({"UserName": "x", "PASSWORD": "y"}, ("x", "y", None, None)),
        ({"auth": encoded(b"u:"), "identitytoken": "t"}, ("u", "", "t", None)),
        ({"identityToken": "t"}, ("", "", "t", None)),
        ({"registrytoken": "t"}, ("", "", None, "t")),
        ({"auth": None, "identitytoken": None}, None),
        ({"auth": encoded(b":")}, None),
        ({"email": "a@b.c"}, None),
        ({}, None),
        (None, None),
        ({"auth": encoded(b"nocolon")}, "error"),
        ({"auth": encoded(b"u:\xff")}, "error"),
        ({"auth": encoded(b"u:ppp") + "="}, "error"),
        ({"auth": "Zm9v OmJhcg=="}, "error"),
        ({"auth": "_-_-"}, "error"),
        ({"auth": 5}, "error"),
        ({"username": 5, "password": "y"}, "error"),
        ({"username": "x", "password": 1.5}, "error"),
        ({"email": False}, "error"),
        ({"username": "x\ud800", "password": "y"}, "error"),
        ("text", "error"),
        (["list"], "error"),
    ],
)
def test_an_entry_is_decoded_or_spoils_itself_only(entry: Any, answer: Any) -> None:
    config = DockerConfig.from_json({"auths": {"h.io": entry, "good.io": pair("good")}})
    other = config.credentials("good.io")
    assert other is not None
    assert other.username == "good"
    if answer == "error":
        with pytest.raises(DockerConfigError) as caught:
            config.credentials("h.io")
        assert caught.value.place is not None
        assert caught.value.place.startswith('auths["h.io"]')
    else:
        found = config.credentials("h.io")
        given = found and (
            found.username, found.password, found.identity_token, found.registry_token
        )  # fmt: skip
        assert given == answer


def test_an_entry_without_credentials_is_an_answer() -> None:
    assert who({"auths": {"h.io": {}, "https://h.io/v1/": pair("x")}}, "h.io") is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('{"auths":{"h.io":{"auth":"YTpi"},"h.io":{"auth":"Yzpk"}}}', "c"),
        ('{"auths":{"h.io":{"auth":"YTpi","auth":"Yzpk"}}}', "c"),
        ('{"auths":{"h.io":{"auth":"YTpi"}},"auths":{"i.io":{"auth":"Yzpk"}}}', "a"),
        ('{"auths":{"h.io":{"auth":"YTpi"}},"AUTHS":{"h.io":{"auth":"Yzpk"}}}', "c"),
        ('{"auths":null}', None),
        ("null", None),
        ("", None),
        (" \n", None),
        ('{"auths":{"h.io":{"auth":"YTpi"}}} and more', "a"),
        ('{"auths":{"h.io":{"auth":"YTpi"}},"n":' + "1" * 5000 + "}", "a"),
        ('{"h.io":{"auth":"YTpi"},"HttpHeaders":{"auth":"x"}}', "a"),
        ('{"auths":{},"h.io":{"auth":"YTpi"}}', None),
        ('{"auths":{"h.io":{"auth":"YTpi"}},"n":NaN}', "error"),
        ('{"auths":{"h.io":{"auth":"YTpi"}}', "error"),
        ("[]", "error"),
        ('"text"', "error"),
        ('{"auths":"text"}', "error"),
        ('{"credHelpers":[]}', "error"),
        ('{"credsStore":{}}', "error"),
        ('\ufeff{"auths":{}}', "error"),
        ('{"a":' * 100_000, "error"),
        ("[" * 100_000, "error"),
        ('{"auths":' + '{"a":' * 5000 + "1" + "}" * 5001, "error"),
        ("username = test", "error"),
    ],
)
def test_the_shape_of_the_file(text: str, answer: str | None) -> None:
    assert who(text, "h.io") == answer


def test_the_oldest_dockercfg_is_docker_hubs() -> None:
    assert who(f"auth = {encoded(b'sakuya:izayoi')}\nemail = a@b.c\n", None) == "sakuya"


def test_a_file_in_another_encoding_is_refused() -> None:
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"):
        with pytest.raises(DockerConfigError, match="UTF-"):
            DockerConfig.from_json('{"auths": {}}'.encode(encoding))


def test_a_byte_that_is_no_utf8_spoils_its_entry_only() -> None:
    content = json.dumps({"auths": {"h.io": {"username": "@", "password": "p"}, "i.io": pair("i")}})
    config = DockerConfig.from_json(content.encode().replace(b"@", b"\xe9"))
    found = config.credentials("i.io")
    assert found is not None
    assert found.username == "i"
    with pytest.raises(DockerConfigError) as caught:
        config.credentials("h.io")
    assert caught.value.place == 'auths["h.io"].username'


def test_two_mebibytes_are_refused() -> None:
    text = '{"auths": {}}'
    for content in (text.ljust(2 << 20), text.ljust(2 << 20).encode()):
        with pytest.raises(DockerConfigError, match="MiB"):
            DockerConfig.from_json(content)


def test_the_registries_are_listed_with_their_kinds() -> None:
    config = DockerConfig.from_json(
        {
            "auths": {
                "a.io": pair("a"),
                "b.io": {"identitytoken": "token-of-b"},
                "c.io": {},
                "d.io": {"auth": "!"},
                "https://user:hidden@e.io": pair("e"),
            },
            "credHelpers": {"f.io": "ecr-login"},
            "credsStore": "",
        }
    )
    assert [(known.name, known.kind, known.helper) for known in config.registries()] == [
        ("f.io", "helper", "ecr-login"),
        ("a.io", "static", None),
        ("b.io", "token", None),
        ("c.io", "empty", None),
        ("d.io", "invalid", None),
        ("https://e.io", "static", None),
    ]
    assert "hidden" not in repr(config)


def test_a_registry_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(RegistryNotFound, match=r"Did you mean 'ghcr\.io'") as caught:
        get_docker_credentials("ghrc.io", config=auths("ghcr.io", "quay.io"))
    assert caught.value.available == ("ghcr.io", "quay.io")
    assert caught.value.registry == "ghrc.io"


def test_user_information_of_a_url_is_not_repeated() -> None:
    for query in ("https://user:canary@h.io/x", "user:canary@h.io", "user:canary@h.io/x"):
        with pytest.raises(RegistryNotFound) as caught:
            get_docker_credentials(query, config={})
        assert "canary" not in f"{caught.value!s}{caught.value!r}{vars(caught.value)}"
        assert key(auths("h.io"), query) == "h.io"


@pytest.mark.parametrize("query", ["a b", "a\nb", "a\0b", "h.io/a\tb"])
def test_a_query_that_can_name_nothing_is_refused(query: str) -> None:
    with pytest.raises(InvalidName):
        get_docker_credentials(query, config={})


PASSWORD = "correct-horse-battery"


def found() -> DockerCredentials:
    content = {
        "auths": {
            "h.io": {
                "auth": encoded(f"someone:{PASSWORD}".encode()).rstrip("="),
                "identitytoken": "identity-token-of-someone",
                "registrytoken": "registry-token-of-someone",
            }
        }
    }
    credentials = DockerConfig.from_json(content).credentials("h.io/image")
    assert credentials is not None
    return credentials


def test_credentials_mask_themselves() -> None:
    credentials = found()
    config = credentials.as_auth_config()
    displays = [
        repr(credentials),
        str(credentials),
        f"{credentials}",
        pprint.pformat(credentials),
        rich.pretty.pretty_repr(credentials),
        pretty.pretty(credentials),
        repr([credentials]),
        repr(config),
        pprint.pformat(config),
        repr(vars(credentials)),
    ]
    for display in displays:
        for value in (PASSWORD, "identity-token-of-someone", "registry-token-of-someone"):
            assert value not in display
    assert "someone" not in repr(credentials)


def test_credentials_are_known_to_the_redactor_before_the_caller_has_them() -> None:
    credentials = found()
    auth = encoded(f"someone:{PASSWORD}".encode())
    text = f"{PASSWORD} {auth} {auth.rstrip('=')} {credentials.identity_token} "
    text += str(credentials.registry_token)
    masked = guard().redact(text)
    for value in (PASSWORD, auth.rstrip("="), "identity-token", "registry-token"):
        assert value not in masked
    assert "[redacted:registry:h.io]" in masked


def test_credentials_copy_and_pickle() -> None:
    credentials = found()
    assert copy.copy(credentials) == credentials
    assert copy.deepcopy(credentials) == credentials
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        restored = pickle.loads(pickle.dumps(credentials, protocol))
        assert restored == credentials
        assert PASSWORD not in repr(vars(restored))
    with pytest.raises(TypeError):
        pickle.dumps(DockerConfig.from_json({}))


def test_the_docker_sdk_takes_the_auth_config() -> None:
    config = found().as_auth_config()
    header = encode_header(config)
    assert json.loads(base64.urlsafe_b64decode(header)) == {
        "username": "someone",
        "password": PASSWORD,
        "serveraddress": "h.io",
        "identitytoken": "identity-token-of-someone",
        "registrytoken": "registry-token-of-someone",
    }


LABEL = st.from_regex(r"[a-z][a-z0-9]{0,6}", fullmatch=True)
HOSTS = st.builds(
    lambda labels, port: ".".join(labels) + (f":{port}" if port else ""),
    st.lists(LABEL, min_size=2, max_size=4),
    st.one_of(st.none(), st.integers(1, 65535)),
)
PATHS = st.lists(LABEL.filter(lambda part: part not in ("v1", "v2")), min_size=1, max_size=4)


@given(
    HOSTS, PATHS, st.sampled_from(["", ":tag", ":1.2@sha256:" + "0" * 64, "@sha256:" + "0" * 64])
)
def test_a_reference_finds_each_key_that_is_a_parent_of_it(
    host: str, path: list[str], suffix: str
) -> None:
    query = "/".join((host, *path)) + suffix
    for depth in range(len(path) + 1):
        name = "/".join((host, *path[:depth]))
        assert key(auths(name), query) == name
        others = ["/".join((host, *path[:less])) for less in range(depth)]
        assert key(auths(*others, name), query) == name


@given(HOSTS, HOSTS, PATHS)
def test_credentials_of_one_host_are_never_given_to_another(
    host: str, other: str, path: list[str]
) -> None:
    if host == other:
        return
    for text in (other, f"https://{other}/v1/", "/".join((other, *path)), f"{other}/"):
        assert key(auths(text), "/".join((host, *path))) is None


@given(
    HOSTS,
    st.sampled_from(["", "/", "/v1/", "/v2/", "/v1"]),
    st.sampled_from(["", "http://", "https://"]),
)
def test_every_way_to_write_a_host_finds_it(host: str, tail: str, scheme: str) -> None:
    name = f"{scheme}{host}{tail}"
    for query in (host, f"https://{host}", f"http://{host}/v2/", f"{host}/some/image:tag"):
        assert key(auths(name), query) == name


@given(st.lists(LABEL, min_size=1, max_size=4), st.data())
def test_a_wildcard_stands_for_one_label(labels: list[str], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(labels) - 1))
    glob = [*labels[:place], "*", *labels[place + 1 :]]
    pattern = parse_key(".".join(glob))
    assert pattern.matches_host(".".join(labels))
    assert not pattern.matches_host(".".join([*labels, "more"]))
    assert not pattern.matches_host(".".join(["more", *labels]))
    assert not pattern.matches_host(".".join(labels) + ":5000")


@given(st.text(), st.text())
def test_no_query_and_no_key_is_too_strange(query: str, name: str) -> None:
    config = DockerConfig.from_json({"auths": {name: pair("user")}})
    assert len(config.registries()) == 1
    try:
        config.credentials(query)
    except InvalidName:
        assert any(
            character.isspace() or ord(character) < 32 or ord(character) == 127
            for character in query
        )
