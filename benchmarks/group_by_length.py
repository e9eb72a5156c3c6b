"""What texts of like length in a batch save: seconds of a training with and without.

    python benchmarks/group_by_length.py --model DIR --data DIR --tasks sst2 cola mrpc --rounds 5

Each round trains the same architecture (LoRA everywhere) for as many steps both ways, one after
the other, on other rows than the round before; the ratio of each round is taken.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import replace
from pathlib import Path

from peftsearch import baselines
from peftsearch import config as configuration
from peftsearch.bench.build import workspace
from peftsearch.config import RunConfig
from peftsearch.race import Contestant, RealTrials

SETTINGS = ("retrain.batch_size=16", "precision=bf16")
NAME = "uniform-lora"


def seconds(config: RunConfig) -> float:
    """Train once; return the time of its steps."""
    with workspace(config) as work:
        work.features.tokenise()
        found = baselines.uniform_baselines(work.backbone.sites, work.cost, work.budget.limit)
        trials = RealTrials(work)
        trials.score(Contestant(NAME, NAME, work.architecture(found[NAME])), 1.0)
        return float(trials.records[NAME]["seconds"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="folder of the model")
    parser.add_argument("--data", type=Path, required=True, help="folder with a folder a task")
    parser.add_argument("--tasks", nargs="+", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=50)
    typed = parser.parse_args()
    overrides = (*SETTINGS, f"retrain.steps={typed.steps}")
    for task in typed.tasks:
        given = {"model": typed.model, "task": task, "data": str(typed.data / Path(task).stem)}
        flags = given | {"device": "cpu", "train_rows": 4000}
        plain = configuration.resolve(flags=flags, overrides=overrides)
        ratios = []
        for seed in range(typed.rounds):
            config = replace(plain, seed=seed)
            grouped = seconds(replace(config, group_by_length=True))
            ratios.append(seconds(config) / grouped)
        middle, low, high = statistics.median(ratios), min(ratios), max(ratios)
        sys.stdout.write(f"{task}: {middle:.2f} times as fast [{low:.2f}, {high:.2f}]\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
