"""Real tasks: does what is found beat the best single method, each with a tuned learning rate?

    python benchmarks/evidence.py --model DIR --data DIR --tasks sst2 reports/evidence/trec.yaml

At each budget the learning rate of every method is chosen first, by a training of the uniform
architecture with a third, once and three times the method's own rate: the smallest rate that is
within two points of the best, for what is one noisy point better is often on the edge of
diverging. All that follows uses these rates, the search too:

* ``single``: the uniform architecture with the best score at its rate;
* ``unipelt``: LoRA, prefix and adapter together in every layer (Mao et al. 2022, without their
  gates), as large as fits; in the upper layers alone where that is all that fits;
* ``random``: the budget filled at random, once for each search;
* ``found``: what each of several searches finds, with the eight single trainings of ``standard``.
  Their first rung is at half of a training, since a quarter of so short a one is 30 steps.

All of this is decided on the selection split. Each is then retrained on all training rows, over
the same seeds, and scored once on test. The file of a task is written after each step, and what
it has is not done again. ``evidence_summary.py`` reads the files.

``--steps N`` makes every training that long, and the search in proportion, for tasks that learn
nothing in so few steps; the name of the file then ends in ``-N``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from peftsearch import baselines, seeds
from peftsearch import config as configuration
from peftsearch.architecture import Architecture, Choice
from peftsearch.bench.build import workspace
from peftsearch.catalogue import method_facts
from peftsearch.config import RunConfig
from peftsearch.race import Contestant, RealTrials, race_json
from peftsearch.retrain import retrain
from peftsearch.rundir import read_json, write_json
from peftsearch.strategies import priced
from peftsearch.workspace import Workspace

BUDGETS = ("0.05%", "0.25%", "1%")
FACTORS = (1 / 3, 1.0, 3.0)
RACE = "race.json"
#: Scores this close to the best one are as good.
WITHIN = 0.02
#: What stands where in a layer of UniPELT: part, method, modules.
UNIPELT = (
    ("attention", "lora", ("q", "v")),
    ("attention", "prefix", ("k", "v")),
    ("feed_forward", "adapter", ("down",)),
)
STEPS = 120


def settings(steps: int) -> list[str]:
    """Return what is set beside the preset for trainings of this length."""
    return [
        "precision=bf16",
        "group_by_length=true",
        f"search.steps={round(1.6 * steps)}",
        "search.batch_size=16",
        "search.measured=48",
        "search.valid_rows=64",
        "race.first_rung=0.5",
        f"retrain.steps={steps}",
        "retrain.batch_size=16",
    ]


@dataclass
class Notes:
    """The file of a task: what is known is kept, what is new is written at once."""

    path: Path

    def __post_init__(self) -> None:
        self.known: dict[str, Any] = {"format": 1}
        if self.path.is_file():
            self.known = json.loads(self.path.read_text())

    def of(self, **facts: Any) -> None:
        """Note what all of it hangs on, which must not change while it is gathered."""
        if len(self.known) > 1 and any(self.known.get(key) != facts[key] for key in facts):
            raise SystemExit(f"{self.path} was begun with other settings; move it away.")
        self.known |= facts

    def get(self, key: str, make: Callable[[], Any]) -> Any:
        """Return what is known under a dotted key, or make it and note it."""
        *above, last = key.split("/")
        place = self.known
        for part in above:
            place = place.setdefault(part, {})
        if last not in place:
            began = time.process_time()
            place[last] = make()
            used = self.known.get("core_seconds", 0.0)
            self.known["core_seconds"] = round(used + time.process_time() - began, 1)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(self.known, indent=1) + "\n")
            sys.stderr.write(f"{self.path.stem} {key}: {json.dumps(place[last])[:300]}\n")
        return place[last]


@dataclass
class Evidence:
    """One task.

    Attributes:
        config: Of every run, but for budget, seed and learning rates.
        notes: What is known.
        searches: How many searches a budget.
        rivals_only: Whether only what stands beside the searches is done.
    """

    config: RunConfig
    notes: Notes
    searches: int
    rivals_only: bool = False

    def gather(self, budgets: Sequence[str]) -> None:
        """Do all that is not done yet."""
        for budget in budgets:
            place = f"budgets/{budget}"
            rates, best = self._tuned(replace(self.config, budget=budget), place)
            config = replace(self.config, budget=budget, learning_rates=rates)
            single = partial(retrained, config, uniform(best), best)
            self.notes.get(f"{place}/single", single)
            self.notes.get(f"{place}/unipelt", partial(retrained, config, unipelt, "unipelt"))
            for seed in range(1, self.searches + 1):
                fill = partial(retrained, config, filled(seed), "random")
                self.notes.get(f"{place}/random/{seed}", fill)
            for seed in range(1, 1 + (0 if self.rivals_only else self.searches)):
                find = partial(retrained, config, partial(searched, config, seed), "found")
                self.notes.get(f"{place}/found/{seed}", find)

    def _tuned(self, config: RunConfig, place: str) -> tuple[dict[str, float], str]:
        """Return the rate of every method that fits, and the best uniform architecture.

        An architecture that two budgets share is tuned once.
        """
        rates, best = {}, {}
        sizes = self.notes.get(f"{place}/sizes", partial(uniform_sizes, config))
        for name, size in sizes.items():
            method, scores = baselines.UNIFORM[name], {}
            for rate in (factor * method_facts()[method].learning_rate for factor in FACTORS):
                tried = replace(config, learning_rates={method: rate})
                key = f"tuning/{name} {size}/{rate:.2e}"
                scores[rate] = self.notes.get(key, partial(trained, tried, name))
            known = {rate: score for rate, score in scores.items() if score is not None}
            if known:  # else it diverged at every rate
                rates[method] = min(r for r in known if known[r] >= max(known.values()) - WITHIN)
                best[name] = known[rates[method]]
        return rates, max(best, key=lambda name: best[name])


def filled(seed: int) -> Callable[[Workspace], Architecture]:
    """Return what fills the budget at random."""

    def find(work: Workspace) -> Architecture:
        found = baselines.random_fill(work.space, work.free, seeds.derive(seed, "random", 0))
        return work.architecture(work.assigned(found).active)

    return find


def searched(config: RunConfig, seed: int, work: Workspace) -> Architecture:
    """Search with a seed on the rows that every other architecture is compared on."""
    work.session.config = replace(config, seed=seed)
    priced.search(work)
    trials = RealTrials(work)
    verdict = priced.choose(work, trials)
    write_json(work.session.run.file(RACE), race_json(work, verdict.standings, trials))
    work.session.config = config
    return verdict.winner.architecture


def trained(config: RunConfig, name: str) -> float | None:
    """Train a uniform architecture once; return its selection score, ``None`` if it diverged."""
    with workspace(config) as work:
        work.features.tokenise()
        entry = Contestant(name, name, _uniform(work)[name])
        return RealTrials(work, purpose="evidence").score(entry, 1.0)


def uniform_sizes(config: RunConfig) -> dict[str, int]:
    """Return the parameters of each uniform architecture that fits, by its name."""
    with workspace(config) as work:
        return {name: found.num_params for name, found in _uniform(work).items()}


def _uniform(work: Workspace) -> dict[str, Architecture]:
    found = baselines.uniform_baselines(work.backbone.sites, work.cost, work.budget.limit)
    return {name: work.architecture(choices) for name, choices in found.items()}


def uniform(name: str) -> Callable[[Workspace], Architecture]:
    """Return what makes a uniform architecture."""
    return lambda work: _uniform(work)[name]


def unipelt(work: Workspace) -> Architecture:
    """Return UniPELT's methods in every layer, all of the largest common size that fits.

    Where size 1 does not fit everywhere the lowest layers go without it.
    """
    layers = sorted({site.layer for site in work.backbone.sites if site.layer is not None})
    for first in layers:
        fitting = None
        for size in range(1, 1000):
            found = _crowded(work, first, size)
            if sum(choice.num_params for choice in found) > work.budget.limit:
                break
            fitting = found
        if fitting is not None:
            return work.architecture(fitting)
    raise SystemExit(f"UniPELT does not fit {work.budget.limit:,} parameters.")


def _crowded(work: Workspace, first: int, size: int) -> tuple[Choice, ...]:
    found = []
    for site in work.backbone.sites:
        for part, method, modules in UNIPELT:
            if site.part == part and site.layer is not None and site.layer >= first:
                count = work.cost(site, method, modules, size)
                found.append(Choice(site.id, method, size, modules, count))
    return tuple(found)


def retrained(
    config: RunConfig, find: Callable[[Workspace], Architecture], name: str
) -> dict[str, Any]:
    """Retrain what is found over all seeds; return scores, size, choices, and its race if any."""
    with workspace(config) as work:
        work.features.tokenise()
        architecture = find(work)
        folder = work.session.run.file("retrained")
        result = retrain(work, architecture, name, "retrain", folder)
        race = work.session.run.file(RACE)
        raced = {"race": read_json(race)["contestants"]} if race.is_file() else {}
    chosen = [f"{c.site} {c.method} {c.size} {'+'.join(c.modules)}" for c in architecture.active]
    return {"name": name, "scores": result["values"], "num_params": architecture.num_params,
            "methods": architecture.methods, "choices": chosen, **raced}  # fmt: skip


def main() -> None:
    """Read the options and gather."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="folder of the model")
    parser.add_argument("--data", type=Path, required=True, help="folder with a folder a task")
    parser.add_argument("--tasks", nargs="+", required=True)
    parser.add_argument("--budgets", nargs="+", default=BUDGETS)
    parser.add_argument("--searches", type=int, default=3)
    parser.add_argument("--rivals-only", action="store_true", help="no searches yet")
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--steps", type=int, default=STEPS, help="of every training")
    parser.add_argument("--out", type=Path, default=Path("reports/evidence"))
    typed = parser.parse_args()
    for task in typed.tasks:
        name = Path(task).stem
        given = {"model": typed.model, "task": task, "data": str(typed.data / name)}
        flags = given | {
            "preset": "standard",
            "device": "cpu",
            "seeds": 3,
            "train_rows": typed.rows,
        }
        texts = settings(typed.steps)
        config = configuration.resolve(flags=flags, overrides=texts)
        length = "" if typed.steps == STEPS else f"-{typed.steps}"
        notes = Notes(typed.out / f"{name}{length}.json")
        notes.of(task=name, rows=typed.rows, settings=texts)
        Evidence(config, notes, typed.searches, typed.rivals_only).gather(typed.budgets)


if __name__ == "__main__":
    main()
