"""The redactor: finds known values in text and puts a marker in their place."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .engines import best_engine
from .forms import is_public, reason_against
from .index import Index, MakeEngine, build, combined
from .record import Known, Record
from .scan import Range, marker, scan
from .shown import look, may_hide
from .stream import FAILED, Stream

if TYPE_CHECKING:
    from .notebook import Report

__all__ = ["PUBLIC", "Finding", "Masked", "Redactor", "marker"]

PUBLIC = ("*.crt", "namespace")
"""Names of keys whose values are no secrets: certificates, and where a token belongs."""

# A part is joined with the next smaller one until it is this many times as large.
_APART = 4


class Finding(NamedTuple):
    """What was masked, without a word of it.

    Attributes
    ----------
    label : str
        Secret and key.
    rule : str
        The form that the value was written in, and the rule that found it.
    """

    label: str
    rule: str


class Masked(NamedTuple):
    """A masked text, and what is masked in it.

    Attributes
    ----------
    text : str
    findings : tuple of Finding
        One for each marker that was put in, in order.
    """

    text: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class _Built:
    """An index and what it was made of: replaced as one, whoever else builds one meanwhile."""

    version: int
    tiers: list[tuple[int, Index]]
    index: Index


class Redactor:
    """Masks known values in text, however they are written.

    A value of eight bytes or more is masked wherever it stands: plain, escaped for any language
    to any depth, in base64 or hexadecimal, reversed, coloured, spaced or wrapped. One of five to
    seven where no letter or digit touches it, one of two to four where it is a whole field.
    Single characters, and words such as ``true`` or ``admin``, are not masked by value:
    `unguarded` names them.

    Parameters
    ----------
    public : sequence of str
        Patterns of key names whose values are no secrets.
    engine : callable, optional
        Makes the engine that looks for many byte strings at once.

    Examples
    --------
    >>> redactor = Redactor()
    >>> redactor.add("test-secret/foo", "correct horse")
    >>> redactor.redact("the pass phrase is correct horse.")
    'the pass phrase is [redacted:test-secret/foo].'
    """

    def __init__(self, *, public: Sequence[str] = PUBLIC, engine: MakeEngine = best_engine) -> None:
        self._record = Record()
        # Held again by a finalizer that sends, where garbage is collected meanwhile.
        self._lock = threading.RLock()
        self._engine = engine
        self._public = tuple(public)
        self._built = _Built(0, [], Index())

    @property
    def public(self) -> tuple[str, ...]:
        """Patterns of key names whose values are no secrets; may be set."""
        return self._public

    @public.setter
    def public(self, patterns: Sequence[str]) -> None:
        with self._lock:
            self._public = tuple(patterns)
            self._built = _Built(-1, [], self._built.index)

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
        (the longer one, where two start together). Eight characters or more at the end of the
        text that begin a value are masked too. If this fails, a fixed text is returned.

        Parameters
        ----------
        text : str

        Returns
        -------
        str
        """
        try:
            built = self._built
            index = built.index if built.version == self._record.version else self.index()
            if index.is_quiet(text):
                return text
            return _replaced(text, scan(index, text).ranges).text
        except Exception:  # noqa: BLE001 - whatever it is, the text must not pass
            return FAILED
        except BaseException as error:  # noqa: BLE001
            stopped = type(error)
        del text
        # Outside of the handler, so that no frame that holds the text is shown with it.
        raise stopped

    def mask(self, text: str) -> Masked:
        """Return the text with each known value replaced, and what was.

        Parameters
        ----------
        text : str

        Returns
        -------
        Masked
        """
        try:
            index = self.index()
            if index.is_quiet(text):
                return Masked(text, ())
            ranges = scan(index, text).ranges
            if not ranges:
                return Masked(text, ())
            return _replaced(text, ranges)
        except Exception:  # noqa: BLE001 - whatever it is, the text must not pass
            return Masked(FAILED, (Finding("", "failed"),))
        except BaseException as error:  # noqa: BLE001
            stopped = type(error)
        del text
        # Outside of the handler, so that no frame that holds the text is shown with it.
        raise stopped

    def mask_shown(self, text: str) -> Masked:
        """Return a whole text with each known value replaced, also where markup or a dump hide it.

        Parameters
        ----------
        text : str

        Returns
        -------
        Masked
        """
        shown, hidden = self.mask_hidden(text)
        masked, findings = self.mask(shown)
        return Masked(masked, hidden + findings)

    def mask_hidden(self, text: str) -> Masked:
        """Return a text with the values replaced that markup, borders or a dump hide.

        Parameters
        ----------
        text : str

        Returns
        -------
        Masked
        """
        try:
            if not may_hide(text):
                return Masked(text, ())
            shown, ranges = look(self.index(), text)
            return Masked(shown, tuple(Finding(one.label, one.rule) for one in ranges))
        except Exception:  # noqa: BLE001 - whatever it is, the text must not pass
            return Masked(FAILED, (Finding("", "failed"),))
        except BaseException as error:  # noqa: BLE001
            stopped = type(error)
        del text
        # Outside of the handler, so that no frame that holds the text is shown with it.
        raise stopped

    def contains(self, data: bytes) -> tuple[Finding, ...]:
        """Return what binary data holds, its escapes and encodings included.

        Parameters
        ----------
        data : bytes
        """
        # Bytes that are no UTF-8 pass through as lone surrogates, one for each.
        return self.mask(data.decode("utf-8", "surrogateescape")).findings

    def redact_notebook(
        self, notebook: Any, *, source: Literal["report", "mask"] = "report"
    ) -> Report:
        """Mask a notebook in place: outputs, metadata, attachments, widget states.

        Parameters
        ----------
        notebook : mapping
            As nbformat reads it, version 4.
        source : {"report", "mask"}
            What is done about values in the source of cells.

        Returns
        -------
        Report
        """
        from .notebook import redact_notebook

        return redact_notebook(self, notebook, source=source)

    def stream(self) -> Stream:
        """Return what masks a text that comes in pieces.

        Returns
        -------
        Stream
        """
        return Stream(self.index)

    def unguarded(self) -> dict[str, str]:
        """Return the labels whose values cannot be masked by looking for them, and why.

        Returns
        -------
        dict of str to str
            ``"too short"`` or ``"too common"``, in the order of labels.
        """
        reasons = {}
        for one in self._record.known():
            reason = reason_against(one.value)
            if reason is not None and not is_public(one.label, self._public):
                reasons[one.label] = reason
        return dict(sorted(reasons.items()))

    def index(self) -> Index:
        """Return the index of what is known now."""
        built = self._built
        if built.version != self._record.version:
            with self._lock:
                built = self._built = self._rebuilt()
        return built.index

    def __len__(self) -> int:
        return len(self._record)

    def __repr__(self) -> str:
        return f"Redactor({len(self)} values)"

    def _rebuilt(self) -> _Built:
        version, known = self._record.state()
        tiers = list(self._built.tiers)
        count = sum(size for size, _ in tiers)
        fresh: Sequence[Known] = known[count:]
        if fresh:
            while tiers and tiers[-1][0] < _APART * len(fresh):
                size, _ = tiers.pop()
                fresh = known[len(known) - len(fresh) - size :]
            tiers.append((len(fresh), build(fresh, self._public, self._engine)))
        return _Built(version, tiers, combined([index for _, index in tiers], self._engine))


def _replaced(text: str, ranges: list[Range]) -> Masked:
    pieces: list[str] = []
    position = 0
    for start, end, label, _ in ranges:
        pieces += (text[position:start], marker(label))
        position = end
    pieces.append(text[position:])
    return Masked("".join(pieces), tuple(Finding(one.label, one.rule) for one in ranges))


def _encoded(value: str | bytes) -> bytes:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
