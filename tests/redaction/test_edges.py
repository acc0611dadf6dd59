"""Values at the edges: of characters, of blocks, of lines of dumps, of the limits of length."""

from __future__ import annotations

import base64
import json

import pytest

from kfsecrets_ext.redaction import Redactor, marker

TOKEN = "Xk29fJq0Zm4T8vLwR5"
MASK = marker("a")


def redactor(**values: str | bytes) -> Redactor:
    result = Redactor()
    for label, value in values.items():
        result.add(label, value)
    return result


@pytest.mark.parametrize("before", ["\u00e9", "x\u00e9", "\u00e9\u00e9\u00e9 \u00e9"])
def test_value_that_begins_within_a_character_takes_all_of_it(before: str) -> None:
    known = redactor(a=before[-1].encode()[1:] + TOKEN.encode())
    assert known.redact(f"{before}{TOKEN} \u00e9") == f"{before[:-1]}{MASK} \u00e9"


def test_value_that_ends_within_a_character_takes_all_of_it() -> None:
    known = redactor(a=TOKEN.encode() + "\u00e9".encode()[:1])
    assert known.redact(f"\u00e9 {TOKEN}\u00e9\u00e9") == f"\u00e9 {MASK}\u00e9"


@pytest.mark.parametrize("at", [1, 4000, 8191, 8192, 8193, 12_000, 20_000, 39_000])
def test_spaced_value_is_cut_out_exactly_wherever_in_a_long_text(at: int) -> None:
    filler = "a b, c\n" * 6000
    before, after = f"{filler[:at]};", f";{filler[at:40_000]}"
    assert redactor(a=TOKEN).redact(f"{before}{' '.join(TOKEN)}{after}") == before + MASK + after


@pytest.mark.parametrize("value", ["q7zxk:", "[q7zxk", "'q7zxk'", "q7,zxk", "q7zxk]:"])
def test_short_value_with_punctuation_at_its_edges_is_masked_whole(value: str) -> None:
    known = redactor(a=value)
    assert known.redact(f"x {value} y") == f"x {MASK} y"
    assert known.redact(f"x {value}") == f"x {MASK}"
    assert known.redact(f"{value} y") == f"{MASK} y"


@pytest.mark.parametrize("size", range(8, 21))
def test_value_of_any_length_is_masked_in_a_dump_wherever_it_begins(size: int) -> None:
    value = ("q7Zx0k9Wm3" * 2)[:size].encode()
    known = redactor(a=value)
    for at in range(32):
        data = b"." * at + value + b"." * (48 - at)
        rows = [data[start : start + 16] for start in range(0, len(data), 16)]
        lines = [
            f"{16 * number:08x}: {row.hex(' ', -2):39}  {row.decode()}"
            for number, row in enumerate(rows)
        ]
        masked = known.redact("\n".join(lines))
        assert MASK in masked
        digits = "".join(line[10:49].replace(" ", "") for line in masked.splitlines())
        plain = "".join(line[51:] for line in masked.splitlines())
        for piece in (value[:4], value[-4:]):
            assert piece.hex() not in digits
            assert piece.decode() not in plain


def test_octal_escapes_of_every_byte_are_undone() -> None:
    value = "".join(map(chr, range(0xA1, 0x180)))
    octal = "".join(f"\\{byte:03o}" for byte in value.encode())
    assert redactor(a=value).redact(f"$'{octal}'") == f"$'{MASK}'"


def test_password_of_eight_characters_within_a_value_is_masked_alone() -> None:
    auth = base64.b64encode(b"robot:q7Zx0k9W").decode()
    known = redactor(a=json.dumps({"auths": {"ghcr.io": {"auth": auth}}}))
    assert known.redact("it is q7Zx0k9W.") == f"it is {MASK}."
    known = redactor(a="postgres://robot:q7Zx0k9W@db/main")
    assert known.redact("it is q7Zx0k9W.") == f"it is {MASK}."


@pytest.mark.parametrize("separator", ["", ":", "-", " ", "\\x"])
@pytest.mark.parametrize("upper", [False, True])
def test_value_in_hexadecimal_leaves_no_digit_of_its_bytes(separator: str, upper: bool) -> None:
    data = b"user=" + TOKEN.encode() + b";end"
    digits = [f"{byte:02X}" if upper else f"{byte:02x}" for byte in data]
    text = "".join(
        f"{separator if number or separator[:1] == chr(92) else ''}{pair}"
        for number, pair in enumerate(digits)
    )
    masked = redactor(a=TOKEN).redact(f"<{text}>")
    if separator in ("", "-"):
        assert masked == f"<{MASK}>"
    else:
        # Each byte stands alone: what is left says nothing of the value.
        size = len(separator) + 2
        assert masked == f"<{text[: 5 * size]}{MASK}{text[-4 * size :]}>"


@pytest.mark.parametrize(
    ("value", "period"),
    [("ab" * 6, 2), ("aab" * 8, 3), ("aaabaab" * 4, 7), ("Xk29fJq0" * 4, 8)],
)
def test_repeated_value_is_masked_to_its_last_character(value: str, period: int) -> None:
    known = redactor(a=value)
    for more in range(30):
        text = (value * 4)[: len(value) + more]
        left = text[len(text) - more % period :] if more % period else ""
        masked = known.redact(f"<{text}>")
        assert masked.startswith(f"<{MASK}")
        # Backwards, or as a piece, what is left may belong to a value too.
        assert left.endswith(masked[len(MASK) + 1 : -1])


def test_long_text_that_ends_within_a_value_waits_for_the_rest() -> None:
    for encoded in (
        TOKEN,
        base64.b64encode(f"robot:{TOKEN}".encode()).decode(),
        TOKEN.encode().hex(),
    ):
        for filler in ("word ", "0123456789abcdef", "line\n"):
            for size in (5000, 20_000):
                stream = redactor(a=TOKEN).stream()
                before = (filler * size)[:size] + "; "
                for cut in (1, len(encoded) // 3, len(encoded) - 1):
                    shown = stream.feed(before + encoded[:cut])
                    shown += stream.feed(encoded[cut:] + ";\n")
                    assert shown + stream.flush() == f"{before}{MASK};\n"


def test_complete_control_sequence_does_not_wait() -> None:
    stream = redactor(a=TOKEN).stream()
    assert stream.feed("\x1b[31mred\x1b[0m done\n") == "\x1b[31mred\x1b[0m done\n"
    assert stream.feed("\x1b]0;title\x07 done\n") == "\x1b]0;title\x07 done\n"
    assert stream.feed("half \x1b[3") == "half "


def test_what_only_looked_like_the_beginning_of_a_value_does_not_wait() -> None:
    stream = redactor(a=TOKEN).stream()
    # Its first eight characters, and then another one.
    assert stream.feed(f"{TOKEN[:8]}? and so on\n") == f"{TOKEN[:8]}? and so on\n"
    assert stream.feed(f"{TOKEN[:8]}?") == f"{TOKEN[:8]}?"


@pytest.mark.parametrize("value", ["q,7:Z[x]0'k9W", " ".join("q7Zx0k9W"), "q7 Zx,0k 9W:m3"])
def test_beginning_of_a_value_full_of_separators_is_masked_at_the_end(value: str) -> None:
    known = redactor(a=value)
    for size in range(8, len(value)):
        beginning = value[:size]
        if len(beginning.rstrip()) < 8:
            continue
        for before in ("", "x ", "it is so: "):
            assert known.redact(before + beginning).rstrip() == f"{before}{MASK}", (size, before)


def test_unfinished_marker_waits_at_the_start_of_a_text_too() -> None:
    stream = redactor(a=TOKEN).stream()
    shown = stream.feed("[redac") + stream.feed("ted:a]") + stream.flush()
    assert shown == MASK
    assert stream.feed("[redac") == ""
