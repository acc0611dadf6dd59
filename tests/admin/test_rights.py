"""Rights are asked about as seldom as can be."""

from __future__ import annotations

import threading
from typing import Any

from kfsecrets_ext.admin.rights import Rights, rights
from kfsecrets_ext.cluster import PODDEFAULT, SECRET, Kind


class Asked:
    """A cluster where some verbs are allowed in some namespaces, and the rest everywhere."""

    workers = 4

    def __init__(self, **allowed: tuple[str, ...]) -> None:
        self._allowed = allowed
        self._lock = threading.Lock()
        self.questions: list[tuple[str | None, str, str]] = []

    def allowed(self, verb: str, kind: Kind, *, namespace: str | None = None) -> bool:
        with self._lock:
            self.questions.append((namespace, kind.plural, verb))
        places = self._allowed.get(f"{verb}_{kind.plural}")
        return places is None or namespace in places


def test_what_is_allowed_everywhere_is_asked_about_once() -> None:
    cluster: Any = Asked()
    found = rights(cluster, ["a", "b", "c"])
    assert found == {name: {SECRET: Rights(), PODDEFAULT: Rights()} for name in "abc"}
    assert len(cluster.questions) == 6


def test_of_each_namespace_only_that_is_asked_which_is_not_allowed_everywhere() -> None:
    cluster: Any = Asked(delete_poddefaults=("b",))
    found = rights(cluster, ["a", "b", "c"])
    assert {name: found[name][PODDEFAULT].delete for name in found} == {
        "a": False,
        "b": True,
        "c": False,
    }
    assert all(one[SECRET] == Rights() for one in found.values())
    assert len(cluster.questions) == 6 + 3


def test_of_one_namespace_it_alone_is_asked_about() -> None:
    cluster: Any = Asked(patch_poddefaults=())
    found = rights(cluster, ["a"])
    assert found["a"][PODDEFAULT].by_post
    assert {place for place, _, _ in cluster.questions} == {"a"}
