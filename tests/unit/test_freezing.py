"""What a run keeps of an earlier architecture, and what is left to search."""

from __future__ import annotations

from pathlib import Path

import pytest

from peftsearch.architecture import Architecture, Choice
from peftsearch.config import FreezeConfig
from peftsearch.errors import BudgetError, ConfigError
from peftsearch.freezing import Frozen, frozen
from peftsearch.site import Site
from peftsearch.space import EMPTY, Candidate, Gate, SearchSpace

MODULES = ("q", "k", "v", "o")
SITES = [Site("encoder", n, "attention", MODULES) for n in range(3)]
SPACE = SearchSpace(
    "some",
    "",
    "one",
    tuple(Gate(site, (EMPTY, Candidate("lora", 2, ("q",), 20))) for site in SITES),
)


def _cost(site: Site, method: str, modules: tuple[str, ...], size: int) -> int:
    return 10 * size * len(modules)


@pytest.fixture
def file(tmp_path: Path) -> str:
    """The first site has LoRA, the others nothing; the file's own counts are another model's."""
    choices = (Choice(SITES[0].id, "lora", 4, ("q", "v"), 7), *(Choice(s.id) for s in SITES[1:]))
    path = tmp_path / "earlier.json"
    Architecture("other", "t", 1000, "5%", 50, choices).save(path)
    return str(path)


def test_nothing_is_kept_unless_a_file_is_given() -> None:
    kept = frozen(FreezeConfig(), SITES, _cost)
    assert kept == Frozen()
    assert kept.opened(SPACE) == SPACE
    assert kept.left_open(SITES) == SITES
    assert kept.free(50) == 50


def test_by_default_what_the_file_chooses_is_kept(file: str) -> None:
    kept = frozen(FreezeConfig(file), SITES, _cost)
    assert kept.sites == {SITES[0].id}
    assert kept.choices == (Choice(SITES[0].id, "lora", 4, ("q", "v"), 80),)
    assert kept.free(100) == 20
    assert [gate.site for gate in kept.opened(SPACE).gates] == SITES[1:]


def test_a_pattern_keeps_empty_sites_empty(file: str) -> None:
    kept = frozen(FreezeConfig(file, ("encoder.01.*", "*.02.attention")), SITES, _cost)
    assert kept.sites == {SITES[1].id, SITES[2].id}
    assert kept.choices == ()
    assert kept.left_open(SITES) == SITES[:1]


def test_a_pattern_without_a_site_is_named(file: str) -> None:
    with pytest.raises(ConfigError, match=r"decoder\.\*"):
        frozen(FreezeConfig(file, ("encoder.*", "decoder.*")), SITES, _cost)


def test_a_kept_site_that_is_not_there_is_named(file: str) -> None:
    with pytest.raises(ConfigError, match=r"encoder\.00\.attention: no such site"):
        frozen(FreezeConfig(file), SITES[1:], _cost)


def test_something_must_be_left_to_decide(file: str) -> None:
    kept = frozen(FreezeConfig(file, ("*",)), SITES, _cost)
    with pytest.raises(ConfigError, match="nothing to decide"):
        kept.opened(SPACE)


def test_the_budget_holds_what_is_kept_and_one_candidate_more(file: str) -> None:
    kept = frozen(FreezeConfig(file), SITES, _cost)
    opened = kept.opened(SPACE)
    assert kept.within(opened, 100) == opened
    with pytest.raises(BudgetError, match="leaves 19") as refused:
        kept.within(opened, 99)
    assert "--budget 100" in str(refused.value.hint)
    with pytest.raises(BudgetError, match="has 80 parameters") as refused:
        kept.within(opened, 79)
    assert "--budget 80" in str(refused.value.hint)


def test_costs_of_the_file_do_not_count(file: str) -> None:
    kept = frozen(FreezeConfig(file), SITES, lambda *_: 11)
    assert kept.num_params == 11
