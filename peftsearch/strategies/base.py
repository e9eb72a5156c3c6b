"""What every strategy offers, and what several of them share.

Place in the flow: search and race; called by the stages ``search`` and ``discretise``, and by the
benchmark, which differs in the trials only.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Protocol, cast

from torch import Tensor

from peftsearch import baselines, checkpoint, effort
from peftsearch.architecture import Architecture
from peftsearch.backbones.base import head_parameters
from peftsearch.catalogue import strategies
from peftsearch.errors import ConfigError, paste
from peftsearch.formats import Feature, mean_number
from peftsearch.race import UNIFORM, Contestant, Standing, Trials
from peftsearch.search.loop import CHECKPOINT, Search, arch_named, folder, search_seed
from peftsearch.search.measure import Sample, measure
from peftsearch.seeds import derive
from peftsearch.session import seed_torch
from peftsearch.space import SearchSpace
from peftsearch.supernet.gates import Gates
from peftsearch.supernet.supernet import Supernet
from peftsearch.tasks import metrics
from peftsearch.tasks.answers import constant_predictions
from peftsearch.tasks.base import LIKELIHOOD_KINDS, Task
from peftsearch.values import Values
from peftsearch.workspace import Workspace

#: Draws for every different random architecture that is wanted, at most.
_DRAWS = 20


@dataclass(frozen=True)
class Verdict:
    """What a strategy found.

    Attributes:
        standings: Every contestant and how far it came, the winner first.
        values: Value of every candidate by gate, if the strategy has such an opinion.
        certainty: For each gate, the share of equally plausible values under which the best
            architecture takes the winner's method there; ``None`` if the strategy cannot say.
    """

    standings: Sequence[Standing]
    values: Values | None = None
    certainty: Sequence[float] | None = None

    @property
    def winner(self) -> Contestant:
        """The found architecture."""
        return self.standings[0].contestant


class Strategy(Protocol):
    """The module of a strategy."""

    def search(self, work: Workspace) -> int:
        """Train what is shared between architectures; resumable. Returns its steps."""
        ...

    def choose(self, work: Workspace, trials: Trials) -> Verdict:
        """Decide, with at most the trainings that :func:`allowance` leaves."""
        ...


def strategy(name: str) -> Strategy:
    """Return the module of a strategy by name."""
    return cast(Strategy, import_module(strategies()[name].source))


def no_search(work: Workspace) -> int:
    """Do what a strategy without a supernet does in the stage ``search``: nothing."""
    return 0


def shares(work: Workspace) -> tuple[float, ...]:
    """Return the rungs of the race, as shares of a single training."""
    return effort.rungs(work.config.race.first_rung, work.config.race.last_rung)


def allowance(work: Workspace, spent: float = 0.0, scoring: float = 0.0) -> float:
    """Return the single trainings left for real trainings.

    Args:
        work: The run.
        spent: What the search has cost.
        scoring: What one scoring costs.

    Raises:
        ConfigError: The search has cost all of them.
    """
    config = work.config
    left = config.trainings - spent
    least = config.race.first_rung + scoring
    if left < least:
        raise ConfigError(
            f"trainings = {config.trainings:g} leaves nothing for the race: the search alone "
            f"costs {spent:.2f} single trainings of {config.retrain.steps:,} steps.",
            f"Take fewer search.steps, or --set trainings={math.ceil(spent + 2 * least)}.",
        )
    return left


def contestant(work: Workspace, name: str, candidates: Sequence[int]) -> Contestant:
    """Return a contestant for one candidate index per gate; its source is the name's first word."""
    return Contestant(name, name.split("-")[0], work.assigned(candidates))


def candidates_of(space: SearchSpace, architecture: Architecture) -> tuple[int, ...] | None:
    """Return the candidate index of each gate; ``None`` for an architecture not of this space."""
    wanted = {(c.site, c.method, c.size, c.modules) for c in architecture.active}
    found = []
    for gate in space.gates:
        keys = [(gate.site.id, c.method, c.size, c.modules) for c in gate.candidates]
        here = next((i for i, key in enumerate(keys) if key in wanted), 0)
        wanted.discard(keys[here])
        found.append(here)
    return None if wanted else tuple(found)


def different(contestants: Iterable[Contestant]) -> list[Contestant]:
    """Leave out architectures that are there already, under the name they were found by first."""
    found: dict[object, Contestant] = {}
    for each in contestants:
        found.setdefault(each.architecture.choices, each)
    return list(found.values())


def uniform_contestants(work: Workspace, trials: Trials) -> list[Contestant]:
    """Return the uniform architecture of every method of the space, beside what is kept.

    Where it cannot be trained here (a table holds its own space only), or not be exported to where
    it must, the nearest one of the space stands for it.
    """
    methods = {candidate.method for _, candidate in work.space.choices()}
    sites, kept = work.kept.left_open(work.backbone.sites), work.kept.choices
    named = baselines.uniform_baselines(sites, work.cost, work.free, work.limits.beside(kept))
    found = []
    for name, choices in baselines.inside(named, methods).items():
        architecture = work.architecture((*kept, *choices))
        stand_in = not trials.knows(architecture) or bool(work.not_exportable_to(architecture))
        if stand_in:
            own = baselines.uniform_in(work.space, baselines.UNIFORM[name], work.free)
            if own is None:
                continue
            architecture = work.assigned(own)
        found.append(Contestant(name, UNIFORM, architecture, stand_in))
    return different(found)


def random_contestants(work: Workspace, count: int) -> list[Contestant]:
    """Return up to ``count`` different architectures that fill the budget at random."""
    named = enumerate(random_fills(work, count), start=1)
    return [contestant(work, f"random-{i}", candidates) for i, candidates in named]


def random_fills(work: Workspace, count: int) -> list[tuple[int, ...]]:
    """Return up to ``count`` different random assignments that fill the budget."""
    seed = derive(work.config.seed, "random fill")
    fill = partial(baselines.random_fill, work.space, work.free)
    drawn: dict[tuple[int, ...], None] = {}
    for i in range(_DRAWS * count):
        if len(drawn) == count:
            break
        drawn[tuple(fill(derive(seed, i)))] = None
    return [*drawn]


def build_supernet(work: Workspace, gates: Gates | None = None, number: int = 0) -> Supernet:
    """Insert every candidate of the space into the backbone, with fresh weights.

    Args:
        work: The run.
        gates: The architecture parameters; by default priced gates.
        number: Which of the run's searches it is for.
    """
    seed = search_seed(work.config, number)
    seed_torch(derive(seed, "supernet"))
    start = mean_number(work.features.search_train)
    work.backbone.reset_head(derive(seed, "supernet", "head"), start)
    return Supernet(work.backbone, work.space, gates, work.kept.choices)


def train_supernet(
    work: Workspace,
    gates: Gates | None = None,
    *,
    train_gates: bool = True,
    allowed: float | None = None,
    number: int = 0,
) -> int:
    """Train the supernet's weights, and its gates if asked.

    Args:
        work: The run.
        gates: The architecture parameters; by default priced gates.
        train_gates: Whether they learn.
        allowed: Train until this many single trainings are spent instead of ``search.steps``.
        number: Which of the run's searches this is.

    Returns:
        The steps.
    """
    settings = work.config.search
    if allowed is not None:
        steps = effort.search_steps(work.config, allowed, gates=train_gates)
        settings = replace(settings, steps=steps)
    supernet = build_supernet(work, gates, number)
    try:
        loop = Search(
            work.session,
            supernet,
            work.search_limits,
            work.format,
            work.features.search_train,
            work.features.search_valid,
            train_gates=train_gates,
            settings=settings,
            number=number,
        )
        with loop.trace:
            loop.run()
    finally:
        supernet.remove()
    spent = replace(work.config, search=settings)
    work.charged += effort.search_trainings(spent, gates=train_gates)
    return settings.steps


def restore_supernet(work: Workspace, gates: Gates | None = None, number: int = 0) -> Supernet:
    """Return the supernet as the search left it; to be removed by the caller.

    Raises:
        ConfigError: There is none.
    """
    run = work.session.run
    file = run.file(folder(number), CHECKPOINT)
    if not file.is_file():
        hint = paste("peftsearch", "search", run.path)
        raise ConfigError(f"{run.path} has no finished search.", hint)
    supernet = build_supernet(work, gates, number)
    tensors, _ = checkpoint.load(file)
    named = {**supernet.named_weights(), **arch_named(supernet)}
    checkpoint.restore_weights({**named, **dict(head_parameters(work.backbone.model))}, tensors)
    return supernet


def measure_all(
    work: Workspace, supernet: Supernet, architectures: Sequence[tuple[int, ...]]
) -> list[Sample]:
    """Score architectures on search-valid with the supernet's weights."""
    features = work.features.search_valid[: work.config.search.valid_rows]
    work.charged += effort.measure_trainings(work.config, len(architectures), len(features))
    return measure(work.session, supernet, work.task, work.format, features, architectures)


def best_measured(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Return the best by score where everyone has one, then by loss, then the cheaper."""
    if any(sample.score is None for sample in samples):
        return sorted(samples, key=lambda s: (s.loss, s.num_params))[:count]
    return sorted(samples, key=lambda s: (-(s.score or 0.0), s.loss, s.num_params))[:count]


def write_measured(
    work: Workspace, samples: Sequence[Sample], number: int = 0, **more: object
) -> None:
    """Write ``measured.json`` of a search: what the supernet says, and what chance would be."""
    features = work.features.search_valid[: work.config.search.valid_rows]
    work.session.run.write_json(
        f"{folder(number)}/measured.json",
        {
            "format": 1,
            "metric": work.task.metric,
            "chance": chance(work.task, features),
            "samples": [
                {"num_params": s.num_params, "score": s.score, "loss": s.loss} for s in samples
            ],
            **more,
        },
    )


def chance(task: Task, features: Sequence[Feature]) -> float:
    """Return the best score of always giving the same answer.

    For a language model it is the frequency of each token, whatever stands before it.
    """
    if task.kind in LIKELIHOOD_KINDS:
        return _by_frequency(features)
    references = [feature.reference for feature in features]
    return max(
        metrics.score((task.metric,), references, said)[task.metric]
        for said in constant_predictions(references)
    )


def _by_frequency(features: Sequence[Feature]) -> float:
    """Return the log-likelihood of a token, in nats, of saying how frequent each one is."""
    tokens = [f.target[1:] for f in features if isinstance(f.target, list)]
    counts = Counter(token for row in tokens for token in row if token >= 0)
    total = counts.total()
    return sum(count * math.log(count / total) for count in counts.values()) / total


def by_gate(space: SearchSpace, table: Tensor) -> Values:
    """Return the entries of a tensor (G, C) that are there, by gate."""
    rows = zip(table.tolist(), space.gates, strict=True)
    return [row[: len(gate.candidates)] for row, gate in rows]
