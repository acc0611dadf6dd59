"""Finding many byte strings at once: a compiled automaton where there is one, else plain Python."""

from __future__ import annotations

import sysconfig
from collections.abc import Callable, Sequence
from typing import Protocol

__all__ = ["Engine", "Passes", "PlainEngine", "best_engine", "compiled_engine"]

Passes = tuple[Callable[[bytes], object], ...]

Hit = tuple[int, int, int]
"""Number of the pattern, where it starts, where it ends."""

# Up to here a search for each pattern is quicker than a look at each position.
_FEW = 24

# Up to here a full table is built, which takes five times as long and is searched in half the time.
_QUICKEST = 1500

# So many are looked for 32 bytes at a time (AVX2), and a pass takes a quarter of the time.
_AT_ONCE = 64
_PASSES = 3
_IS_X86 = sysconfig.get_platform().endswith(("x86_64", "amd64"))


class Engine(Protocol):
    """Finds every occurrence of every pattern, overlapping ones too.

    Attributes
    ----------
    passes : tuple of callable
        Each returns something true if it finds a hit in what it is given; together they find one
        where there is any.
    """

    passes: Passes

    def find(self, data: bytes) -> list[Hit]:
        """Return the hits in ``data``, in any order."""
        ...

    def meets(self, data: bytes) -> object:
        """Return something true if there is a hit in ``data``."""
        ...


class PlainEngine:
    """The engine that needs nothing but Python.

    Parameters
    ----------
    patterns : sequence of bytes
        None of them empty, none of them twice.
    """

    def __init__(self, patterns: Sequence[bytes]):
        self._few = tuple(patterns) if len(patterns) <= _FEW else ()
        self._by_length: dict[int, dict[bytes, int]] = {}
        self._heads: frozenset[bytes] = frozenset()
        self._head = 0
        self.passes: Passes = (self.find,)
        if not self._few and patterns:
            self._head = min(map(len, patterns))
            self._heads = frozenset(pattern[: self._head] for pattern in patterns)
            for number, pattern in enumerate(patterns):
                self._by_length.setdefault(len(pattern), {})[pattern] = number

    def find(self, data: bytes) -> list[Hit]:
        """Return the hits in ``data``."""
        hits: list[Hit] = []
        for number, pattern in enumerate(self._few):
            start = data.find(pattern)
            while start >= 0:
                hits.append((number, start, start + len(pattern)))
                start = data.find(pattern, start + 1)
        heads, width = self._heads, self._head
        if not heads:
            return hits
        for start in range(len(data) - width + 1):
            if data[start : start + width] in heads:
                for length, patterns in self._by_length.items():
                    found = patterns.get(data[start : start + length])
                    if found is not None:
                        hits.append((found, start, start + length))
        return hits

    def meets(self, data: bytes) -> object:
        """Return something true if there is a hit in ``data``."""
        return self.find(data)

    def __repr__(self) -> str:
        return "PlainEngine()"


class _CompiledEngine:
    def __init__(self, patterns: Sequence[bytes]):
        import ahocorasick_rs

        make = ahocorasick_rs.BytesAhoCorasick
        # Overlaps are asked for where there is a hit: of few patterns, most often never.
        self._make = make
        self._patterns = patterns
        self._automaton: ahocorasick_rs.BytesAhoCorasick | None = None
        if len(patterns) > _QUICKEST:
            self._automaton = make(patterns)
            # Without overlaps it is a little quicker.
            self.passes: Passes = (self._automaton.find_matches_as_indexes,)
            return
        size = _AT_ONCE if len(patterns) <= _PASSES * _AT_ONCE and _IS_X86 else _QUICKEST
        self.passes = tuple(
            make(
                patterns[at : at + size],
                matchkind=ahocorasick_rs.MatchKind.LeftmostFirst,
                implementation=ahocorasick_rs.Implementation.DFA,
            ).find_matches_as_indexes
            for at in range(0, len(patterns), size)
        )

    def find(self, data: bytes) -> list[Hit]:
        automaton = self._automaton
        if automaton is None:
            automaton = self._automaton = self._make(self._patterns)
        return automaton.find_matches_as_indexes(data, overlapping=True)

    def meets(self, data: bytes) -> object:
        return any(one(data) for one in self.passes)

    def __repr__(self) -> str:
        return "CompiledEngine()"


def compiled_engine(patterns: Sequence[bytes]) -> Engine:
    """Return an Aho-Corasick automaton.

    Raises
    ------
    ImportError
        If `ahocorasick_rs`, which has no wheels for musl, is not installed.
    """
    return _CompiledEngine(patterns)


def best_engine(patterns: Sequence[bytes]) -> Engine:
    """Return the quickest engine that can be had here."""
    try:
        return _CompiledEngine(patterns)
    except ImportError:
        return PlainEngine(patterns)
