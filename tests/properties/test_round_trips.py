"""Budgets and architectures over drawn values."""

from __future__ import annotations

import math
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from peftsearch.architecture import Architecture, Choice
from peftsearch.budget import resolve
from peftsearch.errors import ConfigError
from peftsearch.site import PARTS, Site

DENOMINATORS = st.integers(1, 10**12)


@given(st.integers(1, 10**10), DENOMINATORS)
def test_a_percentage_is_exact(billionths: int, denominator: int) -> None:
    """The limit is the floor of the share, in exact arithmetic."""
    whole, rest = divmod(billionths, 10**8)
    text = f"{whole}.{rest:08d}%"
    share = Fraction(billionths, 10**10)
    assert resolve(text, denominator).limit == math.floor(share * denominator)


@given(st.integers(2, 10**15), DENOMINATORS)
def test_a_count_is_itself(count: int, denominator: int) -> None:
    assert resolve(str(count), denominator).limit == count


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    problem, limit = None, 0
    try:
        limit = resolve(text, 1000).limit
    except ConfigError as error:
        problem = error
    assert limit >= 0
    assert problem is None or (text in problem.message and problem.hint)


choices = st.builds(
    Choice,
    site=st.builds(
        lambda stack, layer, part: Site(stack, layer, part).id,
        st.sampled_from(["encoder", "decoder"]),
        st.integers(0, 150),
        st.sampled_from(PARTS),
    ),
    method=st.sampled_from(["lora", "adapter", "plug-in"]),
    size=st.integers(1, 512),
    modules=st.lists(st.sampled_from("qkvo"), unique=True).map(tuple),
    num_params=st.integers(0, 10**9),
)


@given(
    st.text(max_size=20),
    st.integers(1, 10**12),
    st.integers(0, 10**12),
    st.lists(choices | st.builds(Choice, site=st.just("encoder.00.norm")), max_size=8),
)
def test_an_architecture_there_and_back(
    model: str, parameters: int, limit: int, chosen: list[Choice]
) -> None:
    architecture = Architecture(model, "task", parameters, "1%", limit, tuple(chosen))
    assert Architecture.from_json(architecture.to_json()) == architecture
    assert architecture.num_params == sum(choice.num_params for choice in chosen)
