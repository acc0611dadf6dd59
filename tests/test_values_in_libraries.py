"""Values in the libraries that take passwords: each gets the right one, or fails loudly.

The environment has them all (dependency group ``matrix``): nothing is skipped.
"""

from __future__ import annotations

import base64
import configparser
import ctypes
import hashlib
import hmac
import http.client
import http.server
import io
import json
import logging
import os
import pickle
import shlex
import string
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import httpx
import jinja2
import msgpack
import numpy as np
import orjson
import pandas as pd
import psycopg
import psycopg.adapt
import psycopg.conninfo
import psycopg2.extensions
import pydantic
import pymongo
import pymysql
import pytest
import redis
import requests
import rich.console
import sqlalchemy as sa
import yaml
from bson import BSON
from google.protobuf import struct_pb2, wrappers_pb2

from kfsecrets_ext.redaction import Redactor
from kfsecrets_ext.values import SecretBytes, SecretStr

# What trips a careless library: a URL's and a query's own characters, quotes, percent, Unicode.
PLAIN = "p@ss:w/ord?&=#%41 'q\" \\ +é🔑"
# What a header may hold.
ASCII = "p@ss:w/ord?&=#%41+'q\""


def assert_same(use: Callable[[Any], Any]) -> None:
    """Check that a use of the secret gives what it gives with plain text."""
    assert use(SecretStr(PLAIN)) == use(PLAIN)


def value() -> SecretStr:
    return SecretStr(PLAIN)


def binary() -> SecretBytes:
    return SecretBytes(PLAIN.encode())


# ── databases ────────────────────────────────────────────────────────────────


def test_psycopg_conninfo() -> None:
    made = psycopg.conninfo.make_conninfo("host=db user=me", password=value())
    assert psycopg.conninfo.conninfo_to_dict(made)["password"] == PLAIN


def test_psycopg_parameter() -> None:
    adapters = psycopg.adapt.Transformer()
    for secret in (value(), binary()):
        dumper = adapters.get_dumper(secret, psycopg.adapt.PyFormat.AUTO)
        assert bytes(dumper.dump(secret)) == PLAIN.encode()
    assert psycopg.sql.Literal(value()).as_string() == psycopg.sql.Literal(PLAIN).as_string()


def test_psycopg2_dsn() -> None:
    made = psycopg2.extensions.make_dsn(host="db", user="me", password=value())
    assert psycopg2.extensions.parse_dsn(made)["password"] == PLAIN


def test_psycopg2_parameter() -> None:
    quoted = psycopg2.extensions.QuotedString(value())
    quoted.encoding = "utf8"
    plain = psycopg2.extensions.QuotedString(PLAIN)
    plain.encoding = "utf8"
    assert quoted.getquoted() == plain.getquoted()
    adapted = psycopg2.extensions.adapt(value())
    adapted.encoding = "utf8"
    assert adapted.getquoted() == plain.getquoted()


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "pymysql"])
def test_sqlalchemy_url_reaches_the_driver(driver: str) -> None:
    backend = "mysql" if driver == "pymysql" else "postgresql"
    url = sa.URL.create(f"{backend}+{driver}", "me", value(), "db", 1234, "name")
    assert url.password == PLAIN
    _, arguments = url.get_dialect()().create_connect_args(url)
    assert PLAIN in (arguments.get("password"), arguments.get("passwd"))
    again = sa.make_url(url.render_as_string(hide_password=False))
    assert again.password == PLAIN
    assert PLAIN not in repr(url)
    assert "***" in str(url)


def test_sqlalchemy_url_of_an_f_string() -> None:
    url = sa.make_url(f"postgresql://me:{urllib.parse.quote(value(), safe='')}@db/name")
    assert url.password == PLAIN


def test_sqlalchemy_bound_parameter_and_column() -> None:
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        connection.execute(sa.text("CREATE TABLE t (text TEXT, raw BLOB)"))
        connection.execute(
            sa.text("INSERT INTO t VALUES (:text, :raw)"), {"text": value(), "raw": binary()}
        )
        assert tuple(connection.execute(sa.text("SELECT * FROM t")).one()) == (
            PLAIN,
            PLAIN.encode(),
        )
    engine.dispose()


def test_pymysql() -> None:
    # pymysql sends a password in latin1
    connection = pymysql.Connection(user="me", password=SecretStr(ASCII), defer_connect=True)
    assert connection.password == ASCII.encode()
    connection.server_status = 0  # it escapes as the server says; there is none
    for secret, plain in ((value(), PLAIN), (binary(), PLAIN.encode())):
        assert connection.escape(secret) == connection.escape(plain)


def test_redis() -> None:
    pool = redis.ConnectionPool(password=value(), username="me")
    connection = pool.make_connection()
    assert connection.password == PLAIN
    plain = b"".join(redis.connection.Connection().pack_command("AUTH", "me", PLAIN))
    for secret in (value(), binary()):
        packed = b"".join(redis.connection.Connection().pack_command("AUTH", "me", secret))
        assert packed == plain
    url = redis.connection.parse_url(f"redis://:{urllib.parse.quote(value(), safe='')}@db")
    assert url["password"] == PLAIN


def test_pymongo() -> None:
    client: pymongo.MongoClient[Any] = pymongo.MongoClient(
        "mongodb://db", username="me", password=value(), connect=False
    )
    credentials = client.options.pool_options._credentials
    client.close()
    assert credentials is not None
    assert credentials.password == PLAIN
    assert BSON.encode({"a": value(), "b": binary()}).decode() == {"a": PLAIN, "b": PLAIN.encode()}


# ── HTTP ─────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    """A server that answers with what it was asked, and its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            asked = {
                "path": self.path,
                "headers": {name.lower(): text for name, text in self.headers.items()},
                "body": self.rfile.read(size).decode(),
            }
            answer = json.dumps(asked).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


def requests_client(url: str, *, cookies: Any = None, **options: Any) -> Any:
    with requests.Session() as session:
        session.trust_env = False
        session.cookies.update(cookies or {})
        return session.post(url, **options).json()


def httpx_client(url: str, *, cookies: Any = None, **options: Any) -> Any:
    with httpx.Client(trust_env=False, cookies=cookies) as client:
        return client.post(url, **options).json()


@pytest.mark.parametrize("post", [requests_client, httpx_client])
class TestHttpClients:
    def test_basic_authentication(self, post: Callable[..., Any], echo: str) -> None:
        sent = post(echo, auth=("me", SecretStr(ASCII)))["headers"]["authorization"]
        assert base64.b64decode(sent.removeprefix("Basic ")).decode() == f"me:{ASCII}"

    def test_bearer_header(self, post: Callable[..., Any], echo: str) -> None:
        for header in (f"Bearer {SecretStr(ASCII)}", "Bearer " + SecretStr(ASCII)):
            sent = post(echo, headers={"Authorization": header})
            assert sent["headers"]["authorization"] == f"Bearer {ASCII}"

    def test_value_as_a_whole_header(self, post: Callable[..., Any], echo: str) -> None:
        for header in (SecretStr(ASCII), SecretBytes(ASCII.encode())):
            assert post(echo, headers={"X-Key": header})["headers"]["x-key"] == ASCII

    def test_parameters(self, post: Callable[..., Any], echo: str) -> None:
        path = post(echo, params={"key": value()})["path"]
        assert urllib.parse.parse_qs(urllib.parse.urlsplit(path).query) == {"key": [PLAIN]}

    def test_form_and_json(self, post: Callable[..., Any], echo: str) -> None:
        assert urllib.parse.parse_qs(post(echo, data={"key": value()})["body"]) == {"key": [PLAIN]}
        assert json.loads(post(echo, json={"key": value()})["body"]) == {"key": PLAIN}

    def test_cookie_and_address(self, post: Callable[..., Any], echo: str) -> None:
        sent = post(echo, cookies={"key": SecretStr("a1-B2.c3")})["headers"]["cookie"]
        assert sent == "key=a1-B2.c3"
        address = echo.replace("//", f"//me:{urllib.parse.quote(SecretStr(ASCII), safe='')}@")
        sent = post(address)["headers"]["authorization"]
        assert base64.b64decode(sent.removeprefix("Basic ")).decode() == f"me:{ASCII}"


def test_http_client(echo: str) -> None:
    host = urllib.parse.urlsplit(echo).netloc
    connection = http.client.HTTPConnection(host)
    connection.request("POST", "/", body=value().encode(), headers={"X-Key": SecretStr(ASCII)})
    sent = json.load(connection.getresponse())
    connection.close()
    assert sent["headers"]["x-key"] == ASCII
    assert sent["body"] == PLAIN
    connection = http.client.HTTPConnection(host)
    connection.request("POST", "/", body=binary())
    assert json.load(connection.getresponse())["body"] == PLAIN
    connection.close()


def test_urllib(echo: str) -> None:
    request = urllib.request.Request(echo, headers={"X-Key": SecretStr(ASCII)})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        assert json.load(answer)["headers"]["x-key"] == ASCII


@pytest.mark.parametrize(
    "use",
    [
        urllib.parse.quote,
        urllib.parse.quote_plus,
        lambda text: urllib.parse.urlencode({"key": text}),
        lambda text: urllib.parse.urlunsplit(("https", "host", "/", f"k={text}", "")),
        lambda text: urllib.parse.unquote(urllib.parse.quote(text)),
    ],
)
def test_urllib_parse(use: Callable[[str], str]) -> None:
    assert_same(use)


# ── formats ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda one: json.dumps({"k": [one], one: 1}), id="json"),
        pytest.param(lambda one: json.dumps(one, ensure_ascii=False), id="json, not ASCII"),
        pytest.param(lambda one: "".join(json.JSONEncoder().iterencode([one])), id="json, pieces"),
        pytest.param(lambda one: orjson.dumps({"k": [one]}), id="orjson"),
        pytest.param(lambda one: msgpack.packb({"k": [one], one: 1}), id="msgpack"),
        pytest.param(lambda one: yaml.safe_dump(str(one)), id="yaml of str()"),
        pytest.param(lambda one: yaml.safe_load(json.dumps([one])), id="yaml.safe_load of json"),
        pytest.param(lambda one: wrappers_pb2.StringValue(value=one).SerializeToString(), id="pb"),
        pytest.param(lambda one: string.Template("x$a").substitute(a=one), id="string.Template"),
        pytest.param(lambda one: jinja2.Template("x{{ a }}").render(a=one), id="jinja2"),
        pytest.param(
            lambda one: jinja2.Environment(autoescape=True).from_string("{{ a }}").render(a=one),
            id="jinja2, escaped",
        ),
        pytest.param(shlex.quote, id="shlex"),
        pytest.param(lambda one: os.path.join("/a", one), id="os.path"),
        pytest.param(lambda one: str(Path("/a") / one), id="pathlib"),
    ],
)
def test_formats_hold_the_value(use: Callable[[Any], Any]) -> None:
    assert_same(use)


def test_protobuf_struct_and_bytes() -> None:
    struct = struct_pb2.Struct()
    struct.update({"key": value()})
    assert struct["key"] == PLAIN
    assert wrappers_pb2.BytesValue(value=binary()).value == PLAIN.encode()


def test_orjson_refuses_a_value_as_a_key_loudly() -> None:
    with pytest.raises(TypeError):
        orjson.dumps({value(): 1})
    assert json.loads(orjson.dumps({value(): 1}, option=orjson.OPT_NON_STR_KEYS)) == {PLAIN: 1}
    with pytest.raises(TypeError):
        orjson.dumps(value(), option=orjson.OPT_PASSTHROUGH_SUBCLASS)


def test_msgpack_strict_types_refuses_loudly() -> None:
    with pytest.raises(TypeError):
        msgpack.packb(value(), strict_types=True)
    assert msgpack.unpackb(msgpack.packb([value(), binary()])) == [PLAIN, PLAIN.encode()]


def test_yaml_safe_dump_refuses_loudly_and_has_a_way() -> None:
    with pytest.raises(yaml.representer.RepresenterError) as caught:
        yaml.safe_dump({"key": value()})
    assert PLAIN not in str(caught.value)

    class Dumper(yaml.SafeDumper):
        pass

    Dumper.add_representer(SecretStr, yaml.SafeDumper.represent_str)
    assert yaml.safe_load(yaml.dump({"key": value()}, Dumper=Dumper)) == {"key": PLAIN}
    assert yaml.safe_load(yaml.safe_dump({"key": str(value())})) == {"key": PLAIN}


def test_yaml_dump_gives_what_any_loader_reads() -> None:
    # The unsafe dumper pickles: a plain str, not a class that the reader may lack.
    dumped = yaml.dump({"key": value()})
    assert "kfsecrets_ext" not in dumped


def test_configparser() -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser["a"] = {}
    parser["a"]["key"] = value()
    written = io.StringIO()
    parser.write(written)
    again = configparser.ConfigParser(interpolation=None)
    again.read_string(written.getvalue())
    assert again["a"]["key"] == PLAIN


@pytest.mark.parametrize("dump", [pickle.dumps, cloudpickle.dumps])
def test_pickles_need_no_package(dump: Callable[[Any], bytes]) -> None:
    pickled = dump({"text": value(), "raw": binary()})
    assert b"kfsecrets_ext" not in pickled
    loaded = pickle.loads(pickled)
    assert loaded == {"text": PLAIN, "raw": PLAIN.encode()}
    assert [type(one) for one in loaded.values()] == [str, bytes]


def test_cloudpickle_of_a_function_that_holds_a_value() -> None:
    secret = value()
    pickled = cloudpickle.dumps(lambda: secret)
    assert pickle.loads(pickled)() == PLAIN


# ── tables ───────────────────────────────────────────────────────────────────


def test_pandas_keeps_the_value_and_the_redactor_hides_it() -> None:
    secret = SecretStr("Zx7Qp-canary-R5vT2w")
    series = pd.Series([secret, "other"])
    frame = pd.DataFrame({"key": [secret], "n": [1]})
    assert series[0] == frame.loc[0, "key"] == secret
    assert (series == secret).tolist() == [True, False]
    assert series.isin([secret]).tolist() == [True, False]
    assert frame.to_csv(index=False) == f"key,n\n{secret},1\n"
    assert frame.merge(frame, on="key").shape == (1, 3)
    # A table shows str(value): that is what the redactor is for.
    redactor = Redactor()
    redactor.add("test-secret/foo", secret)
    for shown in (repr(frame), repr(series), frame.to_html()):
        assert secret in shown
        assert secret not in redactor.redact(shown)


def test_numpy_keeps_the_value() -> None:
    array = np.array([value(), "other"])
    assert array[0] == PLAIN
    assert np.array([value()], dtype=object)[0] == PLAIN
    assert np.char.add("x", array)[0] == f"x{PLAIN}"
    assert bytes(np.frombuffer(binary(), dtype=np.uint8)) == PLAIN.encode()


# ── models ───────────────────────────────────────────────────────────────────


class Settings(pydantic.BaseModel):
    text: str
    secret: pydantic.SecretStr
    raw: bytes


def test_pydantic() -> None:
    model = Settings(text=value(), secret=value(), raw=binary())  # type: ignore[arg-type]
    assert model.text == PLAIN
    assert model.secret.get_secret_value() == PLAIN
    assert model.raw == PLAIN.encode()
    assert PLAIN not in repr(model.secret)
    assert json.loads(model.model_dump_json(include={"text"})) == {"text": PLAIN}
    assert Settings.model_validate_json(
        json.dumps({"text": value(), "secret": value(), "raw": PLAIN})
    ).secret == pydantic.SecretStr(PLAIN)


def test_pydantic_strict() -> None:
    class Strict(pydantic.BaseModel, strict=True):
        text: str

    assert Strict(text=value()).text == PLAIN


# ── logs and terminals ───────────────────────────────────────────────────────


def test_logging_shows_the_value_only_where_text_is_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = logging.getLogger("test")
    with caplog.at_level(logging.INFO):
        logger.info("%r %r", value(), binary())
        logger.info("%s", [value()])
        logger.info({"password": value()})
        assert PLAIN not in caplog.text
        logger.info("%s", value())
    assert PLAIN in caplog.text


def test_rich_shows_the_value_only_where_text_is_asked_for() -> None:
    output = io.StringIO()
    console = rich.console.Console(file=output, width=200, markup=False)
    console.print([value()], {"password": value()}, (binary(),))
    assert PLAIN not in output.getvalue()
    console.print(value(), soft_wrap=True)
    assert PLAIN in output.getvalue()


# ── the operating system ─────────────────────────────────────────────────────

SHOW = "import os, sys; sys.stdout.buffer.write(os.fsencode({}))"


def test_subprocess_argument_environment_and_input() -> None:
    def run(expression: str, *arguments: Any, **options: Any) -> bytes:
        command = [sys.executable, "-c", SHOW.format(expression), *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, **options).stdout

    assert run("sys.argv[1]", value()) == PLAIN.encode()
    assert run("sys.argv[1]", binary()) == PLAIN.encode()
    environment = {**os.environ, "KEY": value()}
    assert run("os.environ['KEY']", env=environment) == PLAIN.encode()
    assert run("sys.stdin.buffer.read()", input=binary()) == PLAIN.encode()
    assert run("sys.stdin.buffer.read()", input=value().encode()) == PLAIN.encode()


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KFSECRETS_TEST", value())
    assert os.environ["KFSECRETS_TEST"] == PLAIN
    assert os.environb[b"KFSECRETS_TEST"] == PLAIN.encode()
    assert os.path.expandvars("$KFSECRETS_TEST") == PLAIN


def test_files(tmp_path: Path) -> None:
    (tmp_path / "text").write_text(value(), encoding="utf-8")
    (tmp_path / "raw").write_bytes(binary())
    assert (tmp_path / "text").read_bytes() == (tmp_path / "raw").read_bytes() == PLAIN.encode()
    with (tmp_path / "printed").open("w", encoding="utf-8") as file:
        print(value(), file=file, end="")
    assert (tmp_path / "printed").read_bytes() == PLAIN.encode()


def test_ctypes() -> None:
    assert ctypes.create_unicode_buffer(value()).value == PLAIN
    assert ctypes.create_string_buffer(binary()).value == PLAIN.encode()
    assert ctypes.c_wchar_p(value()).value == PLAIN
    length = ctypes.CDLL(None).strlen
    length.argtypes = [ctypes.c_char_p]
    assert length(binary()) == len(PLAIN.encode())


# ── codes ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "use",
    [
        lambda raw: hashlib.sha256(raw).hexdigest(),
        lambda raw: hashlib.pbkdf2_hmac("sha256", raw, b"salt", 10),
        lambda raw: hmac.new(raw, b"message", "sha256").hexdigest(),
        lambda raw: hmac.digest(b"key", raw, "sha256"),
        base64.b64encode,
        base64.urlsafe_b64encode,
        lambda raw: base64.b64decode(base64.b64encode(raw)),
        lambda raw: int.from_bytes(raw, "big"),
        bytearray,
        lambda raw: raw.hex(),
    ],
)
def test_codes_of_bytes(use: Callable[[bytes], Any]) -> None:
    expected = use(PLAIN.encode())
    assert use(binary()) == expected
    assert use(value().encode()) == expected


def test_comparing_in_constant_time() -> None:
    assert hmac.compare_digest(SecretStr(ASCII), ASCII)
    assert hmac.compare_digest(binary(), PLAIN.encode())
    assert not hmac.compare_digest(SecretStr(ASCII), "other")


def test_interning_refuses_loudly() -> None:
    with pytest.raises(TypeError):
        sys.intern(value())
