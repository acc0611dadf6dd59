"""Quantities as Go holds and writes them."""

from __future__ import annotations

import pytest

from kfsecrets_ext.poddefaults.quantity import quantity


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("0", "0"), ("1", "1"), (1, "1"), ("1000m", "1"), ("0.5", "500m"), ("1500m", "1500m"),
        ("1024Mi", "1Gi"), ("1Gi", "1Gi"), ("1.5Gi", "1536Mi"), ("512", "512"), ("1000", "1k"),
        ("1000000", "1M"), ("1e3", "1e3"), ("100n", "100n"), ("-1Gi", "-1Gi"), ("0.1", "100m"),
        ("1000Ki", "1000Ki"), ("00", "0"), ("500Mi", "500Mi"), ("12E", "12E"),
    ],
)  # fmt: skip
def test_the_canonical_text(given, written):
    assert quantity(given).text() == written


@pytest.mark.parametrize(("one", "other"), [("1", "1000m"), ("1Ki", "1024"), ("1k", "1000")])
def test_equal_amounts_are_not_equal_quantities(one, other):
    assert quantity(one) != quantity(other)


@pytest.mark.parametrize("given", ["", "x", "1x", "Mi", "1 Gi", True, None, "."])
def test_what_is_no_quantity(given):
    assert quantity(given) is None
