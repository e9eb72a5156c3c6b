"""What a supernet that has learned nothing says is not raced."""

from __future__ import annotations

from pathlib import Path

import pytest

from peftsearch.bench.build import workspace
from peftsearch.race import RealTrials
from peftsearch.strategies import base, priced
from tests.pipeline.material import build


@pytest.mark.parametrize(("floor", "source"), [(0.0, "random"), (99.0, "gates"), (None, "gates")])
def test_random_architectures_race_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, floor: float | None, source: str
) -> None:
    monkeypatch.setattr(base, "chance_loss", lambda *_: floor)
    config = build(tmp_path).config(trainings=14, race={"besides": 0.0})
    with workspace(config) as work:
        priced.search(work)
        standings = priced.choose(work, RealTrials(work)).standings
    assert {standing.contestant.source for standing in standings} == {source}
