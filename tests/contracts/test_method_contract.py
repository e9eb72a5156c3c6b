"""Every registered method on every backbone keeps the contract of :mod:`peftsearch.testing`."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest

from peftsearch import testing
from peftsearch.backbones.base import wrap
from peftsearch.catalogue import method_facts
from tests.models import EACH_FAMILY, FACTORIES, KIN, inputs

METHODS = [name for name in method_facts() if name != "none"]
EVERY = {**FACTORIES, **KIN}
#: Those with the modules of another one last, and not among the fast tests.
BACKBONES = [*EACH_FAMILY, *(pytest.param(name, marks=pytest.mark.slow) for name in KIN)]


@cache
def _original(name: str) -> Any:
    return EVERY[name]()


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("check", testing.CHECKS)
def test_contract(check: str, method: str, backbone: str) -> None:
    model = copy.deepcopy(_original(backbone))
    whole = wrap("test", model)
    if not testing.choices_for(whole, method):
        assert any(method in site.refused for site in whole.sites)
        return
    testing.CHECKS[check](method, model, inputs(model))


@pytest.mark.parametrize("backbone", EVERY)
def test_what_is_refused_is_refused_with_a_reason(backbone: str) -> None:
    """A part that a method acts on has the method, or says at every site why not."""
    for site in wrap("test", copy.deepcopy(_original(backbone))).sites:
        for method in METHODS:
            card = method_facts()[method]
            if site.part in card.modules and method not in site.refused:
                assert card.modules_at(site), (site.id, method)
        assert all(len(reason) > 15 for reason in site.refused.values())


@pytest.mark.parametrize("width", [16, 48])
@pytest.mark.parametrize("backbone", EVERY)
def test_cost_at_other_widths(backbone: str, width: int) -> None:
    """The third width is that of the contract above."""
    for method in METHODS:
        model = EVERY[backbone](width)
        testing.check_cost(method, model, inputs(model))
