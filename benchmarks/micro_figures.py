"""Figures of the built-in task: untouched, fully fine-tuned, and with every uniform method.

    python benchmarks/micro_figures.py --budget 1% 2% --seeds 3 --out reports/micro-figures.json
    python benchmarks/micro_figures.py --model micro-bert --budget 2% --seeds 2

Each method trains at its own learning rate over all sites (or the parts of the layers that fit
the budget) by the recipe of a quick run, and is scored on test. Full fine-tuning trains all
weights for 400 steps, at the rate of four that scores best on the task's validation split. An
encoder has no zero-shot score: its head alone is trained instead. Single sites are tried one by
one, to show that none of them decides everything.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from peftsearch import config as configuration
from peftsearch.architecture import Choice
from peftsearch.baselines import uniform_baselines
from peftsearch.batches import Batches
from peftsearch.budget import resolve
from peftsearch.evaluate import score
from peftsearch.formats import Feature
from peftsearch.interrupt import Interrupt
from peftsearch.micro import MODEL_DIRS
from peftsearch.micro.nli import nli_rows
from peftsearch.retrain import retrain
from peftsearch.rundir import Events, RunDir
from peftsearch.seeds import derive
from peftsearch.session import Session
from peftsearch.training import learning_rate, schedule
from peftsearch.workspace import Workspace

FULL_RATES = (2e-4, 5e-4, 1e-3, 2e-3)
FULL_STEPS = 400


def train_all(work: Workspace, features: Sequence[Feature], rate: float, seed: int) -> float:
    """Train every weight for 400 steps; return the seconds it took."""
    model, settings = work.backbone.model, work.config.retrain
    work.backbone.reset_head(seed)
    model.requires_grad_(True)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    order = Batches(len(features), settings.batch_size, derive(seed, "order"))
    model.train()
    began = time.perf_counter()
    for step in range(FULL_STEPS):
        for group in optimiser.param_groups:
            group["lr"] = rate * schedule(step, FULL_STEPS, settings.warmup_fraction)
        batch = work.format.collate([features[i] for i in order.indices(step)])
        work.format.loss(model, batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
    return time.perf_counter() - began


def full_fine_tuning(work: Workspace, seeds: int) -> dict[str, Any]:
    """Choose the rate on the task's own validation split and score that one on test.

    The validation split has templates and words of its own, as the test split has; no run uses
    it. The backbone is put back afterwards.
    """
    model, splits = work.backbone.model, work.features
    valid = work.format.features(nli_rows("validation"))
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def run(rate: float, seed: int) -> tuple[float, float, float]:
        seconds = train_all(work, splits.train, rate, seed)
        scores = [
            score(work.session, model, work.task, work.format, features)[work.task.metric]
            for features in (valid, splits.test)
        ]
        model.load_state_dict(kept)
        return scores[0], scores[1], seconds

    trained = {rate: [run(rate, k) for k in range(seeds)] for rate in FULL_RATES}
    model.requires_grad_(False)
    chosen_on = {rate: statistics.fmean(r[0] for r in runs) for rate, runs in trained.items()}
    rate = max(FULL_RATES, key=lambda r: chosen_on[r])
    _, values, seconds = zip(*trained[rate], strict=True)
    found = row("full fine-tuning", "100%", work.backbone.num_parameters, rate, values, seconds)
    return found | {"validation": {f"{r:g}": round(v, 4) for r, v in chosen_on.items()}}


def row(
    name: str, share: str, size: int, rate: float, values: Sequence[float], seconds: Sequence[float]
) -> dict[str, Any]:
    """Return one row of the table."""
    return {
        "method": name,
        "budget": share,
        "num_params": size,
        "learning_rate": rate,
        "mean": statistics.fmean(values),
        "sd": statistics.stdev(values) if len(values) > 1 else None,
        "n": len(values),
        "values": list(values),
        "training_seconds": round(statistics.fmean(seconds), 2) if seconds else None,
    }


def train_choices(
    work: Workspace, name: str, share: str, choices: tuple[Choice, ...]
) -> dict[str, Any]:
    """Train an architecture over all seeds."""
    folder = work.session.run.file("figures", share.replace("%", "pct"), name)
    architecture = work.architecture(choices)
    found = retrain(work, architecture, name, "baselines", folder)
    seconds = [json.loads(p.read_text())["seconds"] for p in folder.glob("seed-*/metrics.json")]
    active = architecture.methods
    rate = learning_rate(work.config, active[0]) if active else work.config.retrain.head_lr
    return row(name, share, architecture.num_params, rate, found["values"], seconds)


def untouched(work: Workspace) -> dict[str, Any]:
    """Score the backbone as it is: with the head alone trained where it has one."""
    if work.backbone.num_head_parameters:
        return train_choices(work, "head only", "0", ())
    zero = score(work.session, work.backbone.model, work.task, work.format, work.features.test)
    return row("zero-shot", "0", 0, 0.0, [zero[work.task.metric]], [])


def figures(work: Workspace, budgets: Sequence[str], single_sites: bool) -> list[dict[str, Any]]:
    """Return all rows."""
    rows = [untouched(work), full_fine_tuning(work, work.config.seeds)]
    for share in budgets:
        limit = resolve(share, work.backbone.num_parameters).limit
        work.budget = resolve(share, work.backbone.num_parameters)
        named = uniform_baselines(work.backbone.sites, work.cost, limit)
        rows += [train_choices(work, name, share, c) for name, c in named.items()]
    if single_sites:
        for site in work.backbone.sites:
            if site.part in ("feed_forward", "attention", "cross_attention"):
                module = "down" if site.part == "feed_forward" else "o"
                count = work.cost(site, "adapter", (module,), 8)
                choice = Choice(site.id, "adapter", 8, (module,), count)
                rows.append(train_choices(work, f"adapter 8 at {site.id}", budgets[-1], (choice,)))
    return rows


def main() -> None:
    """Train, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--model", choices=MODEL_DIRS, default="micro-t5")
    parser.add_argument("--budget", nargs="+", default=["1%", "2%"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--single-sites", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    flags = {"model": arguments.model, "seeds": arguments.seeds, "device": "cpu"}
    config = configuration.resolve(flags=flags, overrides=arguments.set)
    with tempfile.TemporaryDirectory() as folder, Interrupt() as interrupt:
        with RunDir.create(config, Path(folder) / "run") as run:
            work = Workspace(Session(config, run, Events(run.path), interrupt))
            rows = figures(work, arguments.budget, arguments.single_sites)
    for r in rows:
        spread = f" ± {100 * r['sd']:.1f}" if r["sd"] is not None else ""
        sys.stdout.write(
            f"{r['method']:38s} {r['budget']:>5s} {r['num_params']:>8,} lr {r['learning_rate']:<7g}"
            f" {100 * r['mean']:5.1f}{spread} (n = {r['n']}) {r['training_seconds'] or 0:5.1f} s\n"
        )
    if arguments.out:
        arguments.out.write_text(json.dumps({"format": 1, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
