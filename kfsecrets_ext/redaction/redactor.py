"""The redactor: finds known values in text and puts a marker in their place."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from kfsecrets_ext.values import SecretStr

from .record import Known, Record

__all__ = ["Redactor", "marker"]

# Shorter values stand in ordinary text by chance: a random value of 4 characters about three
# times in a notebook with images, one of 8 never. The shorter it is, the more must surround it.
_ANYWHERE = 8
_AT_BOUNDARIES = 5
_WHOLE_FIELD = 2

_COMMON = frozenset(
    (  # noqa: SIM905
        "true false none null yes no on off admin root user test prod dev default localhost "
        "127.0.0.1 main master latest guest public postgres username password"
    ).split()
)


def marker(label: str) -> str:
    """Return the text that stands for a value.

    Parameters
    ----------
    label : str
        Secret and key, for example ``"test-secret/foo"``.

    Returns
    -------
    str
        The same for every value that the label ever had.
    """
    return f"[redacted:{label}]"


class Redactor:
    """Masks known values in text.

    Examples
    --------
    >>> redactor = Redactor()
    >>> redactor.add("test-secret/foo", "correct horse")
    >>> redactor.redact("the pass phrase is correct horse.")
    'the pass phrase is [redacted:test-secret/foo].'
    """

    def __init__(self) -> None:
        self._record = Record()
        self._lock = threading.Lock()
        self._needles: tuple[_Needle, ...] = ()
        self._markers: re.Pattern[str] | None = None
        self._built = 0

    def add(self, label: str, value: str | bytes) -> None:
        """Make a value known.

        Parameters
        ----------
        label : str
            What the marker will say; a name, never a part of the value.
        value : str or bytes
            The value; text is taken as UTF-8. An empty value is nothing to mask.
        """
        self._record.add(label, _encoded(value))

    def add_secret(self, name: str, values: Mapping[str, bytes]) -> None:
        """Make all values of a Secret known, as ``<name>/<key>``.

        Parameters
        ----------
        name : str
        values : mapping of str to bytes
            Key to value.
        """
        for key in self._record.unknown(values):
            self._record.add(f"{name}/{key}", values[key])

    def redact(self, text: str) -> str:
        """Return the text with each known value replaced by its marker.

        Overlapping values are replaced together, by the marker of the one that starts first
        (the longer one, where two start together). Values of 5 to 7 characters are replaced
        where no letter or digit touches them, values of 2 to 4 where they are a whole line;
        single characters and words such as ``true`` or ``admin`` are left alone.

        Parameters
        ----------
        text : str

        Returns
        -------
        str
        """
        needles, markers = self._index()
        ranges = sorted(
            (start, -end, needle.label) for needle in needles for start, end in needle.find(text)
        )
        if not ranges:
            return text
        kept = [match.span() for match in markers.finditer(text)] if markers else []
        pieces = []
        position = 0
        for start, end, label in _merged(ranges):
            if any(first <= start and end <= last for first, last in kept):
                continue
            pieces.append(text[position:start])
            pieces.append(marker(label))
            position = end
        pieces.append(text[position:])
        return "".join(pieces)

    def __len__(self) -> int:
        return len(self._record)

    def __repr__(self) -> str:
        return f"Redactor({len(self)} values)"

    def _index(self) -> tuple[tuple[_Needle, ...], re.Pattern[str] | None]:
        if self._built != self._record.version:
            with self._lock:
                version = self._record.version
                known = self._record.known()
                self._needles = tuple(needle for one in known for needle in _needles(one))
                labels = sorted({re.escape(marker(one.label)) for one in known})
                self._markers = re.compile("|".join(labels)) if labels else None
                self._built = version
        return self._needles, self._markers


class _Needle(NamedTuple):
    label: str
    text: SecretStr
    pattern: re.Pattern[str] | None

    def __repr__(self) -> str:
        return f"_Needle({self.label!r})"

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        if self.pattern is not None:
            for match in self.pattern.finditer(text):
                yield match.span("value")
            return
        start = text.find(self.text)
        while start >= 0:
            yield start, start + len(self.text)
            # One further, not past the end: a value may overlap itself.
            start = text.find(self.text, start + 1)


def _encoded(value: str | bytes) -> bytes:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value


def _needles(known: Known) -> Iterator[_Needle]:
    try:
        text = SecretStr(known.value.decode("utf-8", "surrogatepass"))
    except UnicodeDecodeError:
        return
    forms = {text, SecretStr(text.strip())}
    for form in sorted(forms, key=len, reverse=True):
        if len(form) < _WHOLE_FIELD or form.lower() in _COMMON or _small_number(form):
            continue
        yield _Needle(known.label, SecretStr(form), _pattern(form))


def _small_number(text: str) -> bool:
    return text.isdigit() and len(text) < _AT_BOUNDARIES + 1


def _pattern(text: str) -> re.Pattern[str] | None:
    if len(text) >= _ANYWHERE:
        return None
    value = SecretStr(f"(?P<value>{re.escape(text)})")
    if len(text) >= _AT_BOUNDARIES:
        return re.compile(rf"(?<!\w){value}(?!\w)")
    return re.compile(rf"^[ \t]*['\"]?{value}['\"]?[ \t\r]*$", re.MULTILINE)


def _merged(ranges: list[tuple[int, int, str]]) -> Iterator[tuple[int, int, str]]:
    first, negative, label = ranges[0]
    last = -negative
    for start, negative_end, other in ranges[1:]:
        if start >= last:
            yield first, last, label
            first, last, label = start, -negative_end, other
        else:
            last = max(last, -negative_end)
    yield first, last, label
