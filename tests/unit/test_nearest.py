"""The nearest known name."""

from __future__ import annotations

import pytest

from peftsearch.nearest import did_you_mean

KNOWN = {"lora", "adapter", "prefix"}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("lroa", 'Did you mean "lora"?'),
        ("adaptor", 'Did you mean "adapter"?'),
        ("prefixes", 'Did you mean "prefix"?'),
        ("xyz", "Known: adapter, lora, prefix"),
        ("", "Known: adapter, lora, prefix"),
    ],
)
def test_nearest(name: str, hint: str) -> None:
    assert did_you_mean(name, KNOWN) == hint


def test_order_of_the_known_names_does_not_matter() -> None:
    assert did_you_mean("b", ["bb", "ab", "ba"]) == did_you_mean("b", ["ba", "ab", "bb"])
