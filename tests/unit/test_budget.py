"""Budget strings, good and bad, and the limit they mean."""

from __future__ import annotations

from decimal import Decimal

import pytest

from peftsearch.budget import Budget, parse, resolve
from peftsearch.errors import ConfigError

SHARES = {
    "1%": "0.01",
    " 1% ": "0.01",
    "1 %": "0.01",
    "0.0139%": "0.000139",
    ".5%": "0.005",
    "5.%": "0.05",
    "100%": "1",
    "1e-3": "0.001",
    "1E-3": "0.001",
    "1e-3%": "0.00001",
    "0.01": "0.01",
    ".25": "0.25",
    "0.999": "0.999",
}
COUNTS = {
    "102458": 102458,
    "2": 2,
    "100k": 100_000,
    "100K": 100_000,
    "1k": 1000,
    "1.5k": 1500,
    "0.5k": 500,
    "2.2M": 2_200_000,
    "2.2m": 2_200_000,
    "2.2 M": 2_200_000,
    "1M": 1_000_000,
    "1G": 10**9,
    "3B": 3 * 10**9,
    "1e5": 100_000,
    "1e3k": 1_000_000,
    "1000.0": 1000,
}
HINT = "Examples: 1%, 0.0139%, 1e-3, 100k, 2.2M, 102458."
BAD = {
    "": 'budget "" is not a budget.',
    "one": 'budget "one" is not a budget.',
    "-1%": 'budget "-1%" is not a budget.',
    "+1%": 'budget "+1%" is not a budget.',
    "1%%": 'budget "1%%" is not a budget.',
    "% 1": 'budget "% 1" is not a budget.',
    "1,000": 'budget "1,000" is not a budget.',
    "1_000": 'budget "1_000" is not a budget.',
    "1kk": 'budget "1kk" is not a budget.',
    "1k%": 'budget "1k%" is not a budget.',
    "1kb": 'budget "1kb" is not a budget.',
    "1e": 'budget "1e" is not a budget.',
    ".": 'budget "." is not a budget.',
    "nan": 'budget "nan" is not a budget.',
    "inf": 'budget "inf" is not a budget.',
    "0x10": 'budget "0x10" is not a budget.',
    "1% of it": 'budget "1% of it" is not a budget.',
    "0%": 'budget "0%" must lie above 0% and at most 100%.',
    "0": 'budget "0" must lie above 0% and at most 100%.',
    "0.0": 'budget "0.0" must lie above 0% and at most 100%.',
    "101%": 'budget "101%" must lie above 0% and at most 100%.',
    "100.0001%": 'budget "100.0001%" must lie above 0% and at most 100%.',
    "0k": 'budget "0k" is not a whole number of parameters.',
    "1.5": 'budget "1.5" is not a whole number of parameters.',
    "1.0005k": 'budget "1.0005k" is not a whole number of parameters.',
    "0.0001k": 'budget "0.0001k" is not a whole number of parameters.',
    "1e9999999999999999999": 'budget "1e9999999999999999999" is not a budget.',
}
AMBIGUOUS = ("1", "1.0", "1.", "1e0")


@pytest.mark.parametrize(("text", "share"), SHARES.items())
def test_shares(text: str, share: str) -> None:
    found = parse(text)
    assert isinstance(found, Decimal)
    assert found == Decimal(share)


@pytest.mark.parametrize(("text", "count"), COUNTS.items())
def test_counts(text: str, count: int) -> None:
    found = parse(text)
    assert type(found) is int
    assert found == count


@pytest.mark.parametrize(("text", "message"), BAD.items())
def test_bad(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert (caught.value.message, caught.value.hint) == (message, HINT)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_one_is_ambiguous(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert caught.value.message == f'budget "{text}" is ambiguous: 1 parameter or 100%?'
    assert caught.value.hint == "Write 1% or 1000."


@pytest.mark.parametrize(
    ("text", "denominator", "limit"),
    [
        ("1%", 222_903_552, 2_229_035),
        ("0.0139%", 222_903_552, 30_983),
        ("1%", 99, 0),
        ("1%", 100, 1),
        ("0.29", 100, 29),  # 0.29 * 100 is 28.999... in binary
        ("0.57%", 10_000, 57),
        ("100%", 7, 7),
        ("102458", 7, 102_458),
        ("100k", 10**9, 100_000),
    ],
)
def test_limit_is_the_floor(text: str, denominator: int, limit: int) -> None:
    assert resolve(text, denominator) == Budget(text, limit, denominator)


def test_what_is_written_down() -> None:
    budget = resolve(" 1% ", 1000)
    assert budget.to_json() == {"requested": "1%", "limit": 10}
    assert budget.fraction == 0.01


@pytest.mark.parametrize("text", ["1e5000", "1e999999", "1e-9999%", "1e16"])
def test_a_slip_of_the_key_is_refused_at_once(text: str) -> None:
    with pytest.raises(ConfigError, match="out of range"):
        parse(text)
