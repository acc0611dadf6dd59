"""Every engine finds the same; the redactor masks the same with each."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from leaks import matrix

from kfsecrets_ext.redaction import Redactor
from kfsecrets_ext.redaction.engines import PlainEngine, best_engine, compiled_engine

patterns = st.lists(
    st.binary(min_size=1, max_size=6).map(
        lambda one: one.translate(bytes(byte % 3 + 97 for byte in range(256)))
    ),
    min_size=1,
    max_size=60,
    unique=True,
)


@settings(max_examples=300)
@given(patterns, st.text("abc", max_size=80))
def test_engines_find_the_same(wanted: list[bytes], text: str) -> None:
    data = text.encode()
    expected = sorted(
        (number, at, at + len(one))
        for number, one in enumerate(wanted)
        for at in range(len(data))
        if data.startswith(one, at)
    )
    assert sorted(PlainEngine(wanted).find(data)) == expected
    assert sorted(compiled_engine(wanted).find(data)) == expected
    for engine in (PlainEngine(wanted), compiled_engine(wanted)):
        assert any(found(data) for found in engine.passes) == bool(expected)


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 128, 192, 193, 400, 1500, 1501])
def test_a_hit_is_told_wherever_it_is_and_whichever_it_is(count: int) -> None:
    rng = random.Random(count)
    wanted = [f"{number:04}{rng.getrandbits(32):08x}".encode() for number in range(count)]
    around = b"x" * 300
    for engine in (PlainEngine(wanted), compiled_engine(wanted)):
        for one in (wanted[0], wanted[-1], *rng.choices(wanted, k=40)):
            at = rng.randrange(len(around))
            data = around[:at] + one + around[at:]
            assert engine.meets(data)
            assert any(found(data) for found in engine.passes)
            assert [hit[1] for hit in engine.find(data)] == [at]
            missing = data.replace(one, one[:-1] + b"!")
            assert not engine.meets(missing)
            assert not any(found(missing) for found in engine.passes)


def test_patterns_may_hold_any_byte() -> None:
    wanted = [bytes([byte]) * 2 for byte in range(256)]
    data = b"".join(bytes([byte]) * 2 for byte in range(256))
    for make in (PlainEngine, compiled_engine, best_engine):
        assert {hit[0] for hit in make(wanted).find(data)} == set(range(256))


@pytest.mark.parametrize("kind", [kind for kind in matrix.KINDS if len(matrix.KINDS[kind]) < 1000])
def test_redactors_with_either_engine_mask_the_same(kind: str) -> None:
    one, other = Redactor(engine=PlainEngine), Redactor(engine=compiled_engine)
    for known in (one, other):
        known.add("a", matrix.KINDS[kind])
        known.add("b", "another value")
    for rows in (matrix.MUST, matrix.SHOULD):
        for name, text in matrix.encoded(kind, rows):
            whole = f"x {text} y another value\n"
            assert one.redact(whole) == other.redact(whole), name
            pieces = [whole[at : at + 5] for at in range(0, len(whole), 5)]
            assert matrix.streamed(one, pieces) == other.redact(whole), name


def test_small_alphabets_with_either_engine() -> None:
    rng = random.Random(5)
    for _ in range(300):
        values = ["".join(rng.choices("ab1", k=rng.randint(5, 14))) for _ in range(3)]
        one, other = Redactor(engine=PlainEngine), Redactor(engine=compiled_engine)
        for known in (one, other):
            for number, value in enumerate(values):
                known.add(f"k{number}", value)
        text = "".join(rng.choices("ab1 \n", k=200)).join(values)
        assert one.redact(text) == other.redact(text)


def test_values_are_masked_where_the_compiled_engine_cannot_be_had() -> None:
    code = """
import sys
sys.modules["ahocorasick_rs"] = None
from kfsecrets_ext.redaction import Redactor
known = Redactor()
known.add("a", "correct horse battery")
for number in range(40):
    known.add(f"k{number}", f"value number {number:04}")
assert known.redact("x correct horse battery") == "x [redacted:a]"
assert known.redact("value number 0039") == "[redacted:k39]"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_import_is_light() -> None:
    code = """
import sys
import kfsecrets_ext.redaction
heavy = {"ahocorasick_rs", "kfsecrets_ext.redaction.notebook", "numpy", "yaml"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)
