"""Which PodDefaults some choice of labels selects together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from .selectors import Selector

__all__ = ["Asked", "Choice", "Entry", "choice", "differing_pair", "together"]

Subject = TypeVar("Subject")


@dataclass(frozen=True)
class Asked:
    """What a selector asks of one label, all its requirements together.

    Parameters
    ----------
    present : bool or None
        Whether the label must be there; None where both will do.
    values : frozenset of str or None
        The values that will do; None where any will that is not in `barred`.
    barred : frozenset of str
        Values that will not do.
    """

    present: bool | None = None
    values: frozenset[str] | None = None
    barred: frozenset[str] = frozenset()

    def both(self, other: Asked) -> Asked | None:
        """Ask for both; None where no label can be so."""
        if self.present is not None and other.present is not None:
            if self.present != other.present:
                return None
            present: bool | None = self.present
        else:
            present = self.present if other.present is None else other.present
        if self.values is None or other.values is None:
            values = self.values if other.values is None else other.values
        else:
            values = self.values & other.values
        barred = self.barred | other.barred
        if values is not None:
            values -= barred
            if not values:
                return None
        return Asked(present, values, barred)

    def allows_other_than(self, value: str) -> bool:
        """Whether the label may be there with another value than this."""
        if self.present is False:
            return False
        return self.values is None or bool(self.values - {value})


Choice = Mapping[str, Asked]


@dataclass(frozen=True)
class Entry(Generic[Subject]):
    """A subject that is selected by a choice of labels, and says something.

    Parameters
    ----------
    subject : object
        What is selected.
    choice : Mapping
        What its selector asks for.
    says : str
        What it says of the name in question: two entries differ where this differs.
    """

    subject: Subject
    choice: Choice
    says: str


def choice(selector: Selector) -> Choice | None:
    """Give what a selector asks of each label; None where no labels can be so."""
    asked: dict[str, Asked] = {}
    for requirement in selector.requirements:
        if requirement.operator == "In":
            one = Asked(True, requirement.values)
        elif requirement.operator == "NotIn":
            one = Asked(None, None, requirement.values)
        else:
            one = Asked(requirement.operator == "Exists")
        both = asked.get(requirement.key, Asked()).both(one)
        if both is None:
            return None
        asked[requirement.key] = both
    return asked


def together(one: Choice, other: Choice) -> bool:
    """Say whether some labels are as both ask. Labels do not depend on each other."""
    if len(other) < len(one):
        one, other = other, one
    for key, asked in one.items():
        there = other.get(key)
        if there is not None and asked.both(there) is None:
            return False
    return True


def differing_pair(
    entries: Iterable[Entry[Subject]],
) -> tuple[Entry[Subject], Entry[Subject]] | None:
    """Find two entries that differ and can be selected together.

    Linear where entries are free to be chosen together (the first few tell) and where one label
    tells them apart (``team=a``, ``team=b``, …), which is what namespaces look like.

    Parameters
    ----------
    entries : iterable of Entry
        What is said of one name.

    Returns
    -------
    tuple of Entry or None
        A pair, or None where every choice of labels selects entries that agree.
    """
    distinct: dict[tuple[frozenset[tuple[str, Asked]], str], Entry[Subject]] = {}
    for entry in entries:
        distinct.setdefault((frozenset(entry.choice.items()), entry.says), entry)
    return _pair(list(distinct.values()), frozenset())


_FEW = 8


def _pair(
    entries: Sequence[Entry[Subject]], split: frozenset[str]
) -> tuple[Entry[Subject], Entry[Subject]] | None:
    if len({entry.says for entry in entries}) < 2:
        return None
    for entry in entries[:2]:
        found = _partner(entry, entries)
        if found is not None:
            return entry, found
    key = None if len(entries) <= _FEW else _splitting(entries, split)
    if key is None:
        for entry in entries[2:]:
            found = _partner(entry, entries)
            if found is not None:
                return entry, found
        return None
    free: list[Entry[Subject]] = []
    bound: list[Entry[Subject]] = []
    buckets: dict[str, list[Entry[Subject]]] = {}
    for entry in entries:
        asked = entry.choice.get(key)
        if asked is None or asked.values is None:
            free.append(entry)
            continue
        bound.append(entry)
        for value in asked.values:
            buckets.setdefault(value, []).append(entry)
    deeper = split | {key}
    for bucket in buckets.values():
        pair = _pair(bucket, deeper)
        if pair is not None:
            return pair
    for entry in free:
        found = _partner(entry, bound)
        if found is not None:
            return entry, found
    return _pair(free, deeper)


def _partner(entry: Entry[Subject], entries: Sequence[Entry[Subject]]) -> Entry[Subject] | None:
    for other in entries:
        if other.says != entry.says and together(entry.choice, other.choice):
            return other
    return None


def _splitting(entries: Sequence[Entry[Subject]], split: frozenset[str]) -> str | None:
    """Give the label that tells the most entries apart by its values."""
    counts: dict[str, int] = {}
    values: dict[str, set[str]] = {}
    for entry in entries:
        for key, asked in entry.choice.items():
            if asked.values is not None and key not in split:
                counts[key] = counts.get(key, 0) + 1
                values.setdefault(key, set()).update(asked.values)
    telling = [key for key in counts if len(values[key]) > 1]
    return max(telling, key=lambda key: (counts[key], key)) if telling else None
