"""A run that keeps part of an earlier architecture and searches for the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from peftsearch import pipeline
from peftsearch.architecture import Architecture
from peftsearch.bench.build import workspace
from peftsearch.config import RunConfig
from peftsearch.errors import ExportError
from peftsearch.report.collect import collect
from peftsearch.rundir import read_json, write_json
from peftsearch.strategies.base import build_supernet
from tests.pipeline.material import Material

#: Two parts of the decoder: what is kept has a cost, and leaves the encoder to the search.
PATTERNS = ["decoder.*"]


@pytest.fixture
def earlier(finished: Path, tmp_path: Path) -> Path:
    """LoRA at the first attention of the decoder, and nothing else."""
    data = Architecture.load(finished / "architecture.json").to_json()
    site = "decoder.00.attention"
    choice = {"site": site, "method": "lora", "size": 1, "modules": ["q", "v"], "num_params": 64}
    rows = [{"site": row["site"], "method": "none", "num_params": 0} for row in data["choices"]]
    found = {row["site"]: row for row in rows} | {site: choice}
    path = tmp_path / "earlier.json"
    write_json(path, data | {"choices": [*found.values()], "num_params": 64})
    return path


@pytest.fixture
def config(material: Material, earlier: Path) -> RunConfig:
    return material.config(freeze={"choices": str(earlier), "sites": PATTERNS})


def _decoder(path: Path) -> list[tuple[str, str, int]]:
    active = Architecture.load(path).active
    return [(c.site, c.method, c.size) for c in active if c.site.startswith("decoder")]


@pytest.mark.usefixtures("short")
def test_whatever_the_search_finds_has_what_is_kept(
    config: RunConfig, earlier: Path, tmp_path: Path
) -> None:
    run = pipeline.run(config, out=tmp_path / "run").run_dir
    found = Architecture.load(run / "architecture.json")
    assert _decoder(run / "architecture.json") == [("decoder.00.attention", "lora", 1)]
    assert any(choice.site.startswith("encoder") for choice in found.active)
    assert found.num_params <= found.limit
    raced = [p for p in run.glob("race/*.json") if not p.name.endswith(".result.json")]
    assert len(raced) >= 3
    for path in [*raced, run / "baselines" / "random-1" / "architecture.json"]:
        assert _decoder(path) == [("decoder.00.attention", "lora", 1)], path
    gates = {gate["site"] for gate in read_json(run / "space.json")["gates"]}
    assert gates
    assert not any(site.startswith("decoder") for site in gates)
    (told,) = collect(run).facts.beforehand
    assert told.startswith(f"Decided before the search, by {earlier}: 1 site with 64 parameters.")


def test_the_supernet_trains_and_saves_what_is_kept(config: RunConfig) -> None:
    with workspace(config) as work:
        clean = sum(1 for _ in work.backbone.model.parameters())
        supernet = build_supernet(work)
        weights = sum(p.numel() for p in supernet.weight_parameters()["lora"])
        kept = {n: p for n, p in supernet.named_weights().items() if n.startswith("kept/")}
        banks = [b for b in supernet.banks if b.method == "lora"]
        assert sum(p.numel() for p in kept.values()) == work.kept.num_params == 64
        assert weights == 64 + sum(b.insertion.num_params for b in banks)
        assert work.free == work.budget.limit - 64
        supernet.remove()
        assert sum(1 for _ in work.backbone.model.parameters()) == clean


def test_a_run_goes_on_without_the_file(config: RunConfig, earlier: Path) -> None:
    with workspace(config) as work:
        work.architecture(work.kept.choices).save(work.session.run.file("frozen.json"))
        earlier.unlink()
        del work.kept
        assert work.kept.num_params == 64
        assert [choice.site for choice in work.kept.choices] == ["decoder.00.attention"]


def test_what_a_target_cannot_hold_is_not_kept(
    material: Material, earlier: Path, tmp_path: Path
) -> None:
    data = read_json(earlier)
    row = next(r for r in data["choices"] if r["method"] != "none")
    row |= {"method": "ia3", "size": 1, "modules": ["k", "v"], "num_params": 32}
    write_json(earlier, data | {"num_params": 32})
    config = material.config(
        freeze={"choices": str(earlier)}, exportable_to=["peft-serving"], budget="30%"
    )
    with pytest.raises(ExportError, match="peft-serving"):
        pipeline.run(config, out=tmp_path / "run")
