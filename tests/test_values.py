"""The types that carry a value: they show a mask, and are the value in every other respect."""

from __future__ import annotations

import copy
import dataclasses
import io
import multiprocessing
import operator
import pickle
import pprint
import reprlib
import subprocess
import sys
import textwrap
import traceback
from collections import ChainMap, OrderedDict, UserDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
import rich.console
import rich.pretty
import rich.traceback
from hypothesis import given
from hypothesis import strategies as st
from IPython.lib.pretty import pretty

from kfsecrets_ext.values import MASK, SecretBytes, SecretStr

CHECKOUT = Path(__file__).parents[1]
SHORT = "Xw9!Jr4+Lp="
LONG = "".join(f"Zq{number:02}Kv" for number in range(100))
VALUES = [
    pytest.param(kind(text if kind is SecretStr else text.encode()), id=f"{kind.__name__}-{size}")  # type: ignore[arg-type]
    for kind in (SecretStr, SecretBytes)
    for size, text in (("short", SHORT), ("long", LONG))
]

Point = namedtuple("Point", "x")  # noqa: PYI024  # the untyped one has a repr of its own


@dataclasses.dataclass
class Login:
    password: Any


CONTAINERS: dict[str, Callable[[Any], Any]] = {
    "itself": lambda value: value,
    "list": lambda value: [value],
    "tuple": lambda value: (value, value),
    "set": lambda value: {value},
    "frozenset": lambda value: frozenset({value}),
    "dict": lambda value: {"password": value},
    "nested": lambda value: {"a": [{"b": (value,)}]},
    "deque": lambda value: deque([value]),
    "OrderedDict": lambda value: OrderedDict(password=value),
    "defaultdict": lambda value: defaultdict(list, password=value),
    "ChainMap": lambda value: ChainMap({"password": value}),
    "UserDict": lambda value: UserDict(password=value),
    "MappingProxyType": lambda value: MappingProxyType({"password": value}),
    "SimpleNamespace": lambda value: SimpleNamespace(password=value),
    "dataclass": Login,
    "namedtuple": Point,
    "dict keys": lambda value: {value: 1}.keys(),
    "dict values": lambda value: {1: value}.values(),
    "exception": KeyError,
}

DISPLAYS: dict[str, Callable[[Any], str]] = {
    "repr": repr,
    "f-string !r": lambda one: f"{one!r}",
    "f-string !a": lambda one: f"{one!a}",
    "f-string =": lambda one: f"{one=}",
    "format !r": "{!r}".format,
    "%r": lambda one: "%r" % (one,),  # noqa: UP031
    "pprint": pprint.pformat,
    "reprlib": reprlib.repr,
    "IPython": pretty,
    "rich": lambda one: rich.pretty.pretty_repr(one),
    "rich, shortened": lambda one: rich.pretty.pretty_repr(one, max_string=10),
}


def assert_hidden(shown: str) -> None:
    """Fail where four characters in a row of a value show."""
    for text in (SHORT, LONG):
        for start in range(len(text) - 3):
            assert text[start : start + 4] not in shown


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("display", DISPLAYS)
@pytest.mark.parametrize("value", VALUES)
def test_a_display_shows_the_mask(value: Any, display: str, container: str) -> None:
    shown = DISPLAYS[display](CONTAINERS[container](value))
    assert_hidden(shown)
    assert MASK in shown or display in ("reprlib", "rich, shortened")


@pytest.mark.parametrize("display", DISPLAYS)
@pytest.mark.parametrize("kind", [SecretStr, SecretBytes])
def test_a_display_does_not_tell_values_or_their_lengths_apart(kind: Any, display: str) -> None:
    raw: Any = "" if kind is SecretStr else b""
    unit: Any = "x" if kind is SecretStr else b"x"
    shown = {DISPLAYS[display]([kind(raw + unit * size)]) for size in (0, 1, 7, 80, 81, 5000)}
    assert len(shown) == 1


def test_an_error_about_a_value_shows_the_mask() -> None:
    attempts: list[Callable[[Any], Any]] = [int, float, {}.__getitem__, [].index]
    for attempt in attempts:
        with pytest.raises((LookupError, ValueError)) as caught:
            attempt(SecretStr(SHORT))
        assert_hidden(str(caught.value))


def test_text_is_the_value_and_a_display_of_bytes_is_not() -> None:
    text, binary = SecretStr(SHORT), SecretBytes(SHORT.encode())
    assert str(text) == f"{text}" == "%s" % text == "{}".format(text) == SHORT  # noqa: UP031, UP032
    assert f"{text:>40}" == f"{SHORT:>40}"
    assert binary.decode() == str(binary, "utf-8") == SHORT
    assert b"%s" % binary == bytes(memoryview(binary)) == SHORT.encode()
    assert str(binary) == f"{binary}" == "%s" % (binary,) == f"SecretBytes('{MASK}')"  # noqa: UP031


# ── tracebacks ───────────────────────────────────────────────────────────────


def fail(value: Any) -> None:
    """Raise with the value in locals of every shape."""
    in_list, in_dict, key = [value], {"password": value}, {value: 1}
    login = Login(value)
    raise RuntimeError(f"failed with {type(value).__name__} {len((in_list, in_dict, key, login))}")


@pytest.mark.parametrize("value", VALUES)
def test_a_traceback_with_locals_shows_the_mask(value: Any) -> None:
    try:
        fail(value)
    except RuntimeError as error:
        caught = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = list(caught.format())
    assert any(MASK in frame for frame in frames)
    assert_hidden("".join(frames))


@pytest.mark.parametrize("value", VALUES)
def test_a_rich_traceback_with_locals_shows_the_mask(value: Any) -> None:
    output = io.StringIO()
    console = rich.console.Console(file=output, width=200)
    try:
        fail(value)
    except RuntimeError:
        console.print(rich.traceback.Traceback(show_locals=True, locals_max_length=50))
    shown = output.getvalue()
    assert MASK in shown
    assert_hidden(shown)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["Plain", "Context", "Verbose", "Minimal"])
def test_an_ipython_traceback_shows_the_mask(mode: str, tmp_path: Path) -> None:
    # The value comes from a file, so that it does not stand in the source that is shown.
    (tmp_path / "value").write_text(LONG)
    script = f"""
        from IPython.core.interactiveshell import InteractiveShell
        shell = InteractiveShell.instance()
        shell.run_line_magic("xmode", "{mode}")
        shell.run_cell('''
        from pathlib import Path
        from kfsecrets_ext.values import SecretBytes, SecretStr
        value = SecretStr(Path("value").read_text())
        def fail(text, binary, *more, **options):
            in_list = [text]
            return 1 / 0
        fail(value, SecretBytes(value.encode()), value, password=value)
        ''')
        shell.run_cell("value")
        shell.run_cell("[value], dict(a=value)")
    """
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script).replace("\n        ", "\n")],
        cwd=tmp_path,
        env={"PYTHONPATH": str(CHECKOUT), "HOME": str(tmp_path), "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    shown = result.stdout + result.stderr
    assert "ZeroDivisionError" in shown or mode == "Minimal"
    assert "division by zero" in shown
    assert MASK in shown
    assert_hidden(shown)


# ── copies and other processes ───────────────────────────────────────────────


@pytest.mark.parametrize("value", VALUES)
def test_a_copy_stays_masked(value: Any) -> None:
    for copied in (copy.copy(value), copy.deepcopy(value), copy.deepcopy([value])[0]):
        assert type(copied) is type(value)
        assert copied == value
    assert_hidden(repr(copy.deepcopy({"a": [value]})))
    assert_hidden(repr(dataclasses.asdict(Login(value))))
    assert_hidden(repr(dataclasses.replace(Login(value))))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", VALUES)
def test_a_pickle_loads_where_the_package_is_not_installed(
    value: Any, protocol: int, tmp_path: Path
) -> None:
    pickled = pickle.dumps({"password": [value]}, protocol=protocol)
    assert b"kfsecrets_ext" not in pickled
    [loaded] = pickle.loads(pickled)["password"]
    assert loaded == value
    assert type(loaded) in (str, bytes)
    (tmp_path / "value.pickle").write_bytes(pickled)
    script = (
        "import pickle, sys; sys.modules['kfsecrets_ext'] = None; "
        "[one] = pickle.load(open('value.pickle', 'rb'))['password']; "
        "sys.stdout.buffer.write(one if isinstance(one, bytes) else one.encode())"
    )
    if protocol == pickle.HIGHEST_PROTOCOL:
        result = subprocess.run(
            [sys.executable, "-I", "-c", script], cwd=tmp_path, capture_output=True, check=True
        )
        assert result.stdout == (value if isinstance(value, bytes) else value.encode())


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("value", VALUES)
def test_a_worker_process_gets_the_value(value: Any, method: str) -> None:
    with multiprocessing.get_context(method).Pool(1) as pool:
        returned = pool.apply(operator.add, (value, value))
        kind = pool.apply(type, (value,))
        pool.close()
        pool.join()
    assert returned == value + value
    assert kind in (str, bytes)


# ── everything else is as on str and bytes ───────────────────────────────────


@given(text=st.text())
def test_a_value_stands_for_its_text_in_comparisons_and_as_a_key(text: str) -> None:
    for value, plain in ((SecretStr(text), text), (SecretBytes(raw(text)), raw(text))):
        assert value == plain
        assert plain == value
        assert (value != plain) is False
        assert hash(value) == hash(plain)
        assert {plain: 1}[value] == {value: 1}[plain] == 1
        assert {value, plain} == {plain}
        assert isinstance(value, type(plain))
        assert type(value) is not type(plain)


def raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def test_a_value_takes_no_attributes() -> None:
    for value in (SecretStr(SHORT), SecretBytes(SHORT.encode())):
        with pytest.raises(AttributeError):
            value.note = "x"  # type: ignore[union-attr]


# Without what makes a conversion that displays: %r, %a.
TEXT = st.text(alphabet=st.sampled_from("bAcß1ıİ \t\n-{}%é🔑٣\u2028"), max_size=12)
SIZE = st.integers(-3, 20)
_NOTHING = st.just(())


def _arguments(part: Any) -> dict[str, st.SearchStrategy[tuple[Any, ...]]]:
    """What each method that str and bytes share is called with."""
    return {
        **dict.fromkeys(("capitalize", "lower", "swapcase", "title", "upper"), _NOTHING),
        **dict.fromkeys(("isalnum", "isalpha", "isascii", "isdigit", "islower"), _NOTHING),
        **dict.fromkeys(("isspace", "istitle", "isupper"), _NOTHING),
        **dict.fromkeys(("expandtabs", "splitlines"), _NOTHING),
        **dict.fromkeys(("strip", "lstrip", "rstrip"), st.one_of(_NOTHING, st.tuples(part))),
        **dict.fromkeys(("center", "ljust", "rjust", "zfill"), st.tuples(SIZE)),
        **dict.fromkeys(
            ("count", "find", "rfind", "index", "rindex", "startswith", "endswith"),
            st.one_of(st.tuples(part), st.tuples(part, SIZE), st.tuples(part, SIZE, SIZE)),
        ),
        **dict.fromkeys(("partition", "rpartition"), st.tuples(part)),
        **dict.fromkeys(("removeprefix", "removesuffix"), st.tuples(part)),
        **dict.fromkeys(
            ("split", "rsplit"), st.one_of(_NOTHING, st.tuples(part), st.tuples(part, SIZE))
        ),
        "replace": st.one_of(st.tuples(part, part), st.tuples(part, part, SIZE)),
        "join": st.tuples(st.lists(part, max_size=3)),
    }


STR_METHODS = {
    **_arguments(TEXT),
    **dict.fromkeys(("casefold", "isdecimal", "isidentifier"), _NOTHING),
    **dict.fromkeys(("isnumeric", "isprintable"), _NOTHING),
    "encode": st.sampled_from([(), ("utf-8",), ("utf-16", "replace"), ("ascii", "ignore")]),
    "format": st.tuples(TEXT),
    "format_map": st.tuples(st.dictionaries(TEXT, TEXT, max_size=2)),
    "translate": st.tuples(st.dictionaries(st.sampled_from([98, 99]), TEXT, max_size=2)),
    "maketrans": st.tuples(st.dictionaries(st.sampled_from(["b", "c"]), TEXT, max_size=2)),
}
BYTES = TEXT.map(raw)
BYTES_METHODS = {
    **_arguments(BYTES),
    "decode": st.sampled_from([(), ("latin-1",), ("ascii", "ignore")]),
    "fromhex": st.just(("00ff",)),
    "hex": st.sampled_from([(), (":",)]),
    "translate": st.tuples(st.just(bytes(range(256))), st.sampled_from([b"", b"b"])),
    "maketrans": st.just((b"ab", b"cd")),
}
OPERATORS: dict[str, Callable[[Any, Any, int], Any]] = {
    "+": lambda value, other, _: value + other,
    "+ from the right": lambda value, other, _: other + value,
    "*": lambda value, _, number: value * number,
    "%": lambda value, other, _: value % other,
    "% of": lambda value, _, __: (b"<%s>" if isinstance(value, bytes) else "<%s>") % (value,),
    "in": lambda value, other, _: other in value,
    "in other": lambda value, other, _: value in other,
    "<": lambda value, other, _: value < other,
    "<=": lambda value, other, _: value <= other,
    "==": lambda value, other, _: value == other,
    "len": lambda value, _, __: len(value),
    "bool": lambda value, _, __: bool(value),
    "iter": lambda value, _, __: list(value),
    "reversed": lambda value, _, __: list(reversed(value)),
    "[number]": lambda value, _, number: value[number],
    "[number:]": lambda value, _, number: value[number:],
    "[::number]": lambda value, _, number: value[:: number or 1],
    "sorted": lambda value, other, _: sorted([value, other]),
    "max": lambda value, other, _: max(value, other),
    "join": lambda value, other, _: (other[:0]).join([value, other]),
}


def outcome(call: Callable[[], Any]) -> tuple[str, Any]:
    """What a call returned, or the kind of error that it raised."""
    try:
        return "returned", call()
    except Exception as error:  # noqa: BLE001
        return "raised", type(error)


def test_every_method_of_str_and_bytes_is_tried() -> None:
    assert set(STR_METHODS) == {name for name in dir(str) if not name.startswith("_")}
    assert set(BYTES_METHODS) == {name for name in dir(bytes) if not name.startswith("_")}


@pytest.mark.parametrize("method", sorted(STR_METHODS))
@given(data=st.data(), text=TEXT)
def test_every_method_of_str_gives_the_same_result(
    method: str, data: st.DataObject, text: str
) -> None:
    arguments = data.draw(STR_METHODS[method])
    plain = outcome(lambda: getattr(text, method)(*arguments))
    assert outcome(lambda: getattr(SecretStr(text), method)(*arguments)) == plain
    wrapped = [SecretStr(one) if isinstance(one, str) else one for one in arguments]
    assert outcome(lambda: getattr(text, method)(*wrapped)) == plain


@pytest.mark.parametrize("method", sorted(BYTES_METHODS))
@given(data=st.data(), text=BYTES)
def test_every_method_of_bytes_gives_the_same_result(
    method: str, data: st.DataObject, text: bytes
) -> None:
    arguments = data.draw(BYTES_METHODS[method])
    plain = outcome(lambda: getattr(text, method)(*arguments))
    assert outcome(lambda: getattr(SecretBytes(text), method)(*arguments)) == plain
    wrapped = [SecretBytes(one) if isinstance(one, bytes) else one for one in arguments]
    assert outcome(lambda: getattr(text, method)(*wrapped)) == plain


@pytest.mark.parametrize("operation", OPERATORS)
@given(text=TEXT, other=TEXT, number=SIZE)
def test_every_operator_gives_the_same_result(
    operation: str, text: str, other: str, number: int
) -> None:
    run = OPERATORS[operation]
    plain = outcome(lambda: run(text, other, number))
    assert outcome(lambda: run(SecretStr(text), other, number)) == plain
    assert outcome(lambda: run(SecretStr(text), SecretStr(other), number)) == plain
    binary = outcome(lambda: run(raw(text), raw(other), number))
    assert outcome(lambda: run(SecretBytes(raw(text)), raw(other), number)) == binary
    assert outcome(lambda: run(SecretBytes(raw(text)), SecretBytes(raw(other)), number)) == binary


@given(text=TEXT, spec=st.sampled_from(["", "s", ">20", "^7", "*<9.3", ".2"]))
def test_every_format_of_a_text_gives_the_same_result(text: str, spec: str) -> None:
    value = SecretStr(text)
    assert format(value, spec) == format(text, spec)
    assert "{:{}}".format(value, spec) == "{:{}}".format(text, spec)
    assert "%-9.3s" % value == "%-9.3s" % text  # noqa: UP031
