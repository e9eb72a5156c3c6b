"""Real trainings of a race: what tells apart those that give every row the same answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from typing import Any

import pytest

from peftsearch import race
from peftsearch.architecture import Architecture
from peftsearch.bench.build import workspace
from peftsearch.race import RealTrials
from peftsearch.seeds import derive
from peftsearch.strategies import base
from peftsearch.training import Job, train
from peftsearch.workspace import Workspace
from tests.pipeline.material import build

STEPS = 20


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    material = build(tmp_path_factory.mktemp("trials"))
    lengths = {"retrain": {"steps": STEPS}, "search": {"log_every": 1}}
    with workspace(material.config(**lengths)) as made:
        yield made


def answers(kinds: Sequence[str]) -> Any:
    """Return what stands for the predictions: one answer for all rows, or two in turn."""
    left = iter(kinds)

    def said(session: Any, model: Any, task_format: Any, features: Sequence[Any]) -> list[int]:
        return list(islice(cycle([0] if next(left) == "constant" else [0, 1]), len(features)))

    return said


def final_loss(
    work: Workspace, architecture: Architecture, name: str, *legs: int | None, seed: int = 0
) -> float:
    """Train in legs; return the loss of the last one."""
    file, features = work.session.run.file("told", f"{name}.state"), work.features.race_train
    for until in legs:
        job = Job(name, "discretise", architecture, STEPS, seed, file, until)
        with train(work.session, work.backbone, work.format, features, job) as trained:
            found = trained.final_loss
    return found


def test_the_loss_counts_as_long_as_the_answer_is_constant(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(race, "predictions", answers(["constant", "several"]))
    trials = RealTrials(work, purpose="told")
    one, *_ = base.uniform_contestants(work, trials)
    trials.score(one, 0.5)
    early, seed = trials.loss(one, 0.5), derive(work.config.seed, "told")
    assert early == final_loss(work, one.architecture, "early", STEPS // 2, seed=seed) > 0
    trials.score(one, 1.0)
    assert trials.loss(one, 1.0) == 0
    again = RealTrials(work, purpose="told")
    again.score(one, 0.5)  # read from its file: there are no more predictions
    assert again.loss(one, 0.5) == early


@pytest.mark.parametrize("legs", [(1,), (2, 10), (5, 12)])
def test_the_final_loss_is_that_of_a_training_without_a_break(
    work: Workspace, legs: tuple[int, ...]
) -> None:
    architecture = base.uniform_contestants(work, RealTrials(work))[0].architecture
    broken = final_loss(work, architecture, f"broken-{len(legs)}-{legs[-1]}", *legs, None)
    assert broken == final_loss(work, architecture, "whole", None)
