"""A text and all that it may stand for: one escape undone after the other, in every order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .views import Layer, escapes_in, unescape

__all__ = ["DEEPEST", "View", "aligned"]

DEEPEST = 4
"""JSON in JSON in JSON in a string: one more than what is met."""


class View:
    """The text in one of its layers.

    Attributes
    ----------
    data : bytes
    depth : int
        How many levels of escapes are undone.
    layers : tuple of Layer
        What lies below, the text's own layer first.
    """

    __slots__ = ("data", "depth", "layers")

    def __init__(self, data: bytes, layers: tuple[Layer, ...] = (), depth: int = 0):
        self.data = data
        self.layers = layers
        self.depth = depth

    def over(self, layer: Layer, *, deeper: int = 0) -> View:
        """Return the view with one more layer."""
        return View(layer.data, (*self.layers, layer), self.depth + deeper)

    def cut(self, end: int) -> View:
        """Return the view without what begins at a place."""
        return View(self.data[:end], self.layers, self.depth)

    def deeper(self) -> View:
        """Return the view as one in which a level of escapes was undone, and none was there."""
        return View(self.data, self.layers, self.depth + 1)

    def unescaped(self, twisted: int) -> Iterator[View]:
        """Yield the views with one level of escapes less.

        Parameters
        ----------
        twisted : int
            The kinds of escapes that values hold themselves: one of these may belong to the
            value and not to the text, so each is also left as it is.
        """
        present = escapes_in(self.data)
        for kinds in _choices(present, twisted & present):
            layer = unescape(self.data, kinds)
            if layer is not None:
                yield self.over(layer, deeper=1)

    def down(self, at: int) -> int:
        """Return where the piece begins, in the text's bytes, that a byte came from."""
        for layer in reversed(self.layers):
            at = layer.start(at)
        return at

    def down_end(self, at: int) -> int:
        """Return where the piece ends, in the text's bytes, that the byte before came from."""
        for layer in reversed(self.layers):
            at = layer.end(at)
        return at


def aligned(at: int, views: Iterable[View]) -> int:
    """Return the place, or the one before it where no replaced piece is cut in two."""
    views = list(views)
    before = -1
    while at != before:
        before = at
        for view in views:
            at = _aligned(at, view.layers)
    return at


def _choices(present: int, twisted: int) -> Iterator[int]:
    # All subsets of the kinds that are there which hold those that no value does.
    left = twisted
    while present:
        kinds = present & ~twisted | left
        if kinds:
            yield kinds
        if not left:
            return
        left = (left - 1) & twisted


def _aligned(at: int, layers: tuple[Layer, ...]) -> int:
    while True:
        place = at
        for depth, layer in enumerate(layers):
            above, wanted = layer.forward(place)
            if wanted != place:
                for below in reversed(layers[:depth]):
                    wanted = below.start(wanted)
                break
            place = above
        else:
            return at
        at = min(at - 1, wanted)
