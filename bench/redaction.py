"""Redaction: masking against one pass of the index, a replace loop and an alternation.

Claims: with 1,000 values, 1 KiB messages (English, digits, base64) ≤ 4 × one pass of the index
over them, ANSI text ≤ 7 ×; with 10 values ≤ 2 × a ``str.replace`` loop over the same ten.
Making 1,000 values known ≤ 3 × building the index for them; one value of 1 MiB no slower.
Memory ≤ 50 MB above the values. A picture is looked through in ≤ 12 × the time that making it, the
compression of as many bytes, takes.
"""

from __future__ import annotations

import base64
import gc
import random
import re
import statistics
import string
import time
import tracemalloc
import zlib
from collections.abc import Callable

from figures import Figures, interleaved
from leaks.matrix import KINDS

from kfsecrets_ext.redaction import Redactor
from kfsecrets_ext.redaction.engines import best_engine
from kfsecrets_ext.redaction.forms import Anchors, add_forms
from kfsecrets_ext.redaction.views import fold

CALLS = 200
WIDTHS = (12, 14, 16, 20, 24, 32)
WORDS = (  # noqa: SIM905
    "the of and to in is you that it he was for on are as with his they at be this have from or "
    "one had by word but not what all were we when your can said there use an each which she do"
).split()


def main() -> None:
    rng = random.Random(1)
    figures = Figures()
    messages = {
        "English": " ".join(rng.choices(WORDS, k=300))[:1024],
        "digits": " ".join(f"{rng.random():.6f}" for _ in range(120))[:1024],
        "base64": base64.b64encode(rng.randbytes(768)).decode(),
    }
    coloured = "".join(f"\x1b[3{at % 8}mword {at}\x1b[0m = {at}; " for at in range(60))[:1024]
    speed(figures, rng, messages, coloured)
    ten(figures, rng, messages)
    registration(figures, rng)
    memory(figures, rng)
    pictures(figures, rng)
    pieces(rng)
    figures.finish()


def token(rng: random.Random, length: int) -> str:
    return "".join(rng.choices(string.ascii_letters + string.digits, k=length))


def known(rng: random.Random, count: int) -> tuple[Redactor, list[str]]:
    values = [token(rng, rng.choice((16, 24, 32, 40, 64))) for _ in range(count)]
    redactor = Redactor()
    for number, value in enumerate(values):
        redactor.add(f"bench/{number}", value)
    redactor.redact("x")
    return redactor, values


def often(call: Callable[[], object]) -> Callable[[], None]:
    def calls() -> None:
        for _ in range(CALLS):
            call()

    return calls


def speed(figures: Figures, rng: random.Random, messages: dict[str, str], coloured: str) -> None:
    redactor, values = known(rng, 1000)
    (part,) = redactor.index().folded
    alternation = re.compile("|".join(map(re.escape, values)))
    for name, text in {**messages, "ANSI": coloured}.items():
        data = text.encode()
        ours, peer = interleaved(
            often(lambda text=text: redactor.redact(text)), often(lambda data=data: part.find(data))
        )
        limit = 7 if name == "ANSI" else 4
        figures.ratio(f"1,000 values, {name}: redact / one pass of the index", ours / peer, limit)
        one = timed(lambda text=text: alternation.sub("x", text))
        other = timed(lambda text=text: replaced(text, values))
        us = ours / CALLS
        print(f"  {us * 1e6:.1f} µs; alternation {one / us:.0f} ×, replace loop {other / us:.0f} ×")


def ten(figures: Figures, rng: random.Random, messages: dict[str, str]) -> None:
    redactor, values = known(rng, 10)
    for name, text in messages.items():
        ours, peer = interleaved(
            often(lambda text=text: redactor.redact(text)),
            often(lambda text=text: replaced(text, values)),
        )
        figures.ratio(f"10 values, {name}: redact / replace loop", ours / peer, 2)


def registration(figures: Figures, rng: random.Random) -> None:
    values = [token(rng, 40) for _ in range(1000)]
    large = token(rng, 1 << 20)
    one, _ = known(rng, 0)
    for number, value in enumerate(values):
        one.add(f"bench/{number}", value)
    anchors = Anchors()
    for each in one._record.known():
        add_forms(anchors, each)
    patterns = list(anchors.folded.once()[0])
    ours, peer = interleaved(lambda: registered(values), lambda: best_engine(patterns), rounds=15)
    figures.ratio("1,000 values made known / the index built", ours / peer, 3)
    ours, peer = interleaved(lambda: registered([large]), lambda: registered(values), rounds=15)
    figures.ratio("1 MiB made known / 1,000 values", ours / peer, 1)
    folding = timed(lambda: fold(b"x" * 1024))
    print(f"  index of {len(patterns)} anchors; folding 1 KiB {folding * 1e6:.2f} µs")


def registered(values: list[str]) -> None:
    redactor = Redactor()
    for number, value in enumerate(values):
        redactor.add(f"bench/{number}", value)
    redactor.redact("x")


def memory(figures: Figures, rng: random.Random) -> None:
    values = [token(rng, 40) for _ in range(1000)]
    gc.collect()
    before = resident()
    tracemalloc.start()
    redactor = Redactor()
    for number, value in enumerate(values):
        redactor.add(f"bench/{number}", value)
    redactor.redact("x")
    redactor.stream().feed("x")
    python, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    figures.count("MB above 1,000 values", (resident() - before) >> 20, 50)
    print(f"  of which Python's {python >> 20} MB; {len(redactor)} values")


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def pictures(figures: Figures, rng: random.Random) -> None:
    redactor, _ = known(rng, 1000)
    noise = rng.randbytes(1 << 20)
    ours, peer = interleaved(
        lambda: redactor.contains(noise), lambda: zlib.compress(noise), rounds=7
    )
    figures.ratio("1 MiB of a picture looked through / compressed", ours / peer, 12)


def pieces(rng: random.Random) -> None:
    """Print the share of the pieces of a value that are masked where they stand alone."""
    tokens = [token(rng, size).encode() for size in (24, 32, 40, 64, 128) for _ in range(5)]
    print(f"pieces masked alone, of {', '.join(map(str, WIDTHS))} characters:")
    for kind, values in {"random tokens": tokens, **{k: [v] for k, v in KINDS.items()}}.items():
        print(f"  {kind:28}" + "".join(f"{masked(values, width):>7}" for width in WIDTHS))


def masked(values: list[bytes], width: int) -> str:
    total = found = 0
    for value in values:
        redactor = Redactor()
        redactor.add("a", value)
        text = value.decode("utf-8", "surrogateescape")
        last = len(text) - width
        for at in range(0, last + 1, max(1, last // 4000)):
            piece = text[at : at + width]
            total += 1
            found += piece not in redactor.redact(f"x {piece} y")
    return f"{found / total:.0%}" if total else "–"


def replaced(text: str, values: list[str]) -> str:
    for value in values:
        text = text.replace(value, "x")
    return text


def timed(call: Callable[[], object], rounds: int = 15) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()
