"""The redactor fails closed, shows nothing of what it knows, and bears what users do to it."""

from __future__ import annotations

import random
import string
import sys
import threading
import tracemalloc
from types import FrameType
from typing import Any

import pytest
from leaks import matrix

from kfsecrets_ext.redaction import FAILED, Redactor
from kfsecrets_ext.values import SecretBytes, SecretStr

VALUE = "Xk29fJq0Zm4T8vLwPp"


def redactor() -> Redactor:
    known = Redactor()
    known.add("s/token", VALUE)
    return known


@pytest.mark.parametrize(
    "where", ["index.Part", "index.add_forms", "passes.merged", "passes.fold", "redactor.scan"]
)
def test_exception_anywhere_gives_the_fixed_text(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ValueError(VALUE)

    known = redactor()
    monkeypatch.setattr(f"kfsecrets_ext.redaction.{where}", broken)
    assert known.redact(f"x {VALUE}") == FAILED
    assert known.mask(f"x {VALUE}").text == FAILED
    if where != "redactor.scan":
        assert known.stream().feed(f"x {VALUE} y") == FAILED


def test_interruption_shows_no_frame_that_holds_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt(VALUE)

    known = redactor()
    stream = known.stream()
    monkeypatch.setattr("kfsecrets_ext.redaction.redactor.scan", stopped)
    monkeypatch.setattr("kfsecrets_ext.redaction.stream.scan", stopped)
    for call in (lambda: known.redact(f"{VALUE} \\n"), lambda: stream.feed(f"{VALUE} \\n")):
        with pytest.raises(KeyboardInterrupt) as caught:
            call()
        assert caught.value.args == ()
        assert caught.value.__context__ is None
        assert caught.value.__cause__ is None
        step = caught.tb.tb_next
        while step is not None:
            if "kfsecrets_ext" in step.tb_frame.f_code.co_filename:
                assert VALUE not in repr(step.tb_frame.f_locals)
            step = step.tb_next


def test_no_local_of_a_frame_holds_a_value_plainly() -> None:
    """A local may hold the text that is masked; of the values, only what hides itself."""
    known = redactor()
    seen: set[str] = set()

    def look(frame: FrameType, event: str, argument: Any) -> Any:
        if "kfsecrets_ext/redaction" not in frame.f_code.co_filename:
            return None
        if event == "return":
            for name, local in frame.f_locals.items():
                if type(local) in (str, bytes) and VALUE in (
                    local if isinstance(local, str) else local.decode("latin-1")
                ):
                    seen.add(f"{frame.f_code.co_name}.{name}")
        return look

    sys.settrace(look)
    try:
        known.index()
        known.unguarded()
        known.redact("no value here \\n")
    finally:
        sys.settrace(None)
    assert seen == set()


def test_representations_of_all_parts_show_no_value() -> None:
    known = redactor()
    index = known.index()
    stream = known.stream()
    stream.feed(VALUE[:12])
    parts = [known, index, stream, *index.folded, index.folded[0].owners(0)]
    shown = "".join(map(repr, parts)) + repr(vars(stream))
    assert VALUE[:8] not in shown


def test_every_character_and_surrogate_passes() -> None:
    known = redactor()
    text = "".join(
        map(chr, [*range(0x300), *range(0xD7F0, 0xE010), 0xFEFF, 0xFFFF, 0x1F511, 0x10FFFF])
    )
    assert known.redact(text) == text
    assert known.redact(f"\ud800{VALUE}\udc80") == "\ud800[redacted:s/token]\udc80"
    stream = known.stream()
    assert "".join([*map(stream.feed, text), stream.flush()]) == text


@pytest.mark.parametrize("value", ["a" * 2000, "ab" * 1000, "a" * 1999 + "b", "b" + "a" * 1999])
def test_values_and_texts_that_repeat_themselves_do_not_hang(value: str) -> None:
    known = Redactor()
    known.add("s/k", value)
    assert known.redact(f"<{value}>") == "<[redacted:s/k]>"
    for text in ("a" * 100_000, "ab" * 50_000, "ba" * 50_000):
        masked = known.redact(text)
        assert value not in masked
    assert known.redact("%" * 10_000 + "\\" * 10_000 + "&" * 10_000).count("%") == 10_000


def test_escapes_nested_without_end_do_not_hang() -> None:
    known = redactor()
    text = "\\" * 50_000 + "%25" * 20_000 + "&amp;" * 20_000
    assert known.redact(text) == text


@pytest.mark.slow
def test_a_hundred_thousand_made_up_messages_pass_unchanged() -> None:
    """No exception, and not a character of what is no value changes, whole or in pieces."""
    known = Redactor()
    for number in range(40):
        known.add(f"s/{number}", token(number))
    known.add("s/short", "q7zxk")
    known.add("s/pin", "q7z")
    rng = random.Random(6)
    alphabets = (
        "ab \n",
        "\\%&;\"'<>[]{}:,",
        "\x1b[0123456789;m\r\b\t",
        "0123456789abcdef",
        "é\u200b\ufeff\U0001f511\ud800\udcff ",
        "ABCDEFabcdef+/=-_",
        "[redacted:s/1] ",
    )
    stream = known.stream()
    fed: list[str] = []
    shown: list[str] = []
    for _ in range(100_000):
        alphabet = rng.choice(alphabets)
        text = "".join(rng.choices(alphabet, k=rng.choice((0, 1, 3, 8, 20, 60))))
        if rng.random() < 0.02:
            number = rng.randrange(40)
            whole = f"{text} {token(number)} ."
            assert known.mask(whole).text == f"{text} [redacted:s/{number}] ."
        else:
            assert known.mask(text) == (text, ())
        fed.append(text)
        shown.append(stream.feed(text))
        if rng.random() < 0.1:
            shown.append(stream.flush())
    shown.append(stream.flush())
    assert "".join(shown) == "".join(fed)


def test_threads_add_and_mask_at_once() -> None:
    known = redactor()
    wrong: list[str] = []

    def work(number: int) -> None:
        for step in range(30):
            known.add(f"t{number}/{step}", f"thread {number} adds {step:05}")
            stream = known.stream()
            text = f"x thread {number} adds {step:05} y {VALUE} z"
            shown = stream.feed(text) + stream.flush()
            if "adds" in shown or VALUE in shown or "adds" in known.redact(text):
                wrong.append(shown)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_order_of_registration_does_not_matter_for_any_form() -> None:
    values = {kind: value for kind, value in matrix.KINDS.items() if len(value) < 300}
    one, other = Redactor(), Redactor()
    for kind, value in values.items():
        one.add(kind, value)
        one.redact("x")
    for kind, value in reversed(values.items()):
        other.add(kind, value)
    for kind in values:
        for _, text in matrix.encoded(kind, matrix.MUST):
            assert one.redact(f"<{text}>") == other.redact(f"<{text}>")


def test_memory_is_little_more_than_the_values() -> None:
    values = [token(index) for index in range(1000)]
    tracemalloc.start()
    known = Redactor()
    for number, value in enumerate(values):
        known.add(f"s/{number}", value)
    known.redact("x")
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 50 << 20


def token(seed: int) -> str:
    return "".join(random.Random(seed).choices(string.ascii_letters + string.digits, k=40))


def test_values_stay_in_their_own_types() -> None:
    known = redactor()
    (one,) = known._record.known()
    assert type(one.value) is SecretBytes
    assert SecretStr(VALUE).encode() == one.value
