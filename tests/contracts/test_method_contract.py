"""Every registered method on every backbone keeps the contract of :mod:`peftsearch.testing`."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest

from peftsearch import testing
from peftsearch.backbones.base import wrap
from peftsearch.catalogue import method_facts
from tests.models import FACTORIES, inputs

METHODS = [name for name in method_facts() if name != "none"]


@cache
def _original(name: str) -> Any:
    return FACTORIES[name]()


@pytest.mark.parametrize("backbone", FACTORIES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("check", testing.CHECKS)
def test_contract(check: str, method: str, backbone: str) -> None:
    model = copy.deepcopy(_original(backbone))
    if not testing.choices_for(wrap("test", model), method):
        pytest.skip("every site refuses it, with a reason: see the tests of sites")
    testing.CHECKS[check](method, model, inputs(model))


@pytest.mark.parametrize("width", [16, 48])
@pytest.mark.parametrize("backbone", FACTORIES)
def test_cost_at_other_widths(backbone: str, width: int) -> None:
    """The third width is that of the contract above."""
    for method in METHODS:
        model = FACTORIES[backbone](width)
        testing.check_cost(method, model, inputs(model))
