"""Several searches of one run: each by itself, then read together."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from peftsearch.architecture import Architecture
from peftsearch.bench.build import workspace
from peftsearch.errors import ConfigError
from peftsearch.race import RealTrials
from peftsearch.strategies import priced
from peftsearch.strategies.priced import Opinion
from tests.pipeline.material import Material, build

FILES = ("alphas.jsonl", "measured.json", "checkpoint.safetensors")


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return build(tmp_path_factory.mktemp("several"))


def _content(path: Path) -> object:
    """What a file holds, without the seconds that are noted beside tensors."""
    if path.suffix != ".safetensors":
        return path.read_text()
    return {name: tensor.tolist() for name, tensor in load_file(path).items()}


def _searched(material: Material, seeds: int) -> dict[str, object]:
    """Search and decide; return the files under ``search`` and what they hold."""
    with workspace(material.config(search={"seeds": seeds}, trainings=14)) as work:
        assert priced.search(work) == seeds * work.config.search.steps
        verdict = priced.choose(work, RealTrials(work))
        assert verdict.certainty is not None
        assert len(verdict.certainty) == len(work.space.gates)
        root = work.session.run.file("search")
        for number in range(seeds) if seeds > 1 else ():
            alone = Architecture.load(root / f"seed-{number}" / "architecture.json")
            assert 0 < alone.num_params <= work.budget.limit
        found = [path for path in root.rglob("*") if path.is_file()]
        return {path.relative_to(root).as_posix(): _content(path) for path in found}


@pytest.mark.slow
def test_the_first_is_that_of_a_run_with_one(material: Material) -> None:
    one, two = _searched(material, 1), _searched(material, 2)
    assert set(one) == set(FILES)
    assert {f"seed-{n}/architecture.json" for n in (0, 1)} | {f"seed-1/{f}" for f in FILES} == (
        set(two) - set(one)
    )
    for name in FILES:
        assert one[name] == two[name], name
        assert two[name] != two[f"seed-1/{name}"], name


def test_losses_are_compared_within_a_search_only(material: Material) -> None:
    """A supernet whose losses are all higher, and spread wider, says the same."""
    with workspace(material.config()) as work:
        gates = range(len(work.space.gates))
        drawn = [tuple(int(g == taken) for g in gates) for taken in gates]
        losses = [0.3 + 0.1 * (number * 7 % 5) for number in gates]
        importance = [[0.0, *[1.0] * (len(g.candidates) - 1)] for g in work.space.gates]
        plain = Opinion(drawn, losses, importance)
        other = Opinion(drawn, [9.0 + 4.0 * loss for loss in losses], importance)
        twice = priced.together(work.space, [plain, plain]).values()
        mixed = priced.together(work.space, [plain, other]).values()
        alone = priced.together(work.space, [plain]).values()
    for row, same, once in zip(mixed, twice, alone, strict=True):
        assert row == pytest.approx(same)
        assert row != pytest.approx(once)  # two searches weigh more against the prior than one


def test_only_priced_reads_several(material: Material) -> None:
    with pytest.raises(ConfigError, match=r"search\.seeds is 2, and s3pet searches once"):
        material.config(search={"seeds": 2}, strategy="s3pet")


def test_what_they_cost_is_limited_before_they_begin(material: Material) -> None:
    with (
        workspace(material.config(search={"seeds": 50})) as work,
        pytest.raises(ConfigError, match="leaves nothing for the race"),
    ):
        priced.search(work)
