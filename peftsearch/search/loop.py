"""The search loop: weights on search-train, gates on search-valid, every sample hard.

Place in the flow: supernet -> search. Reads the supernet and two lists of features; writes
``search/checkpoint.safetensors``, ``search/alphas.jsonl`` and events. A second search of a run
has the folder ``search/seed-1``, and so on.

    every step          w <- AdamW(w, d_w L_train(w, z)),      z ~ priced gates, hard
    after the warm-up   a <- Adam(a, d_a L_valid(w, z(a)))     straight through z and the price,
                                                               every few steps
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from peftsearch import checkpoint, ranks
from peftsearch.backbones.base import head_parameters
from peftsearch.config import RunConfig, SearchConfig
from peftsearch.devices.reduce import sum_gradients, summed
from peftsearch.devices.slices import slice_of
from peftsearch.errors import DivergedError
from peftsearch.formats import Feature, Format
from peftsearch.rundir import JsonLines
from peftsearch.search import hypergradient, schedules
from peftsearch.search.watch import CHECKS, Watch
from peftsearch.seeds import derive
from peftsearch.session import Session, finite, seed_torch
from peftsearch.space import SearchSpace
from peftsearch.supernet.gates import Gates, PricedGates
from peftsearch.supernet.supernet import Supernet
from peftsearch.training import (
    divergence_hint,
    make_optimiser,
    own_seed,
    parameter_groups,
    schedule,
    set_rates,
)

CHECKPOINT = "checkpoint.safetensors"
TRACE = "alphas.jsonl"


def folder(number: int) -> str:
    """Return where the files of a run's search of this number lie, the first being 0."""
    return f"search/seed-{number}" if number else "search"


def search_seed(config: RunConfig, number: int) -> int:
    """Return the root of the randomness of a run's search of this number."""
    return derive(config.seed, "another search", number) if number else config.seed


class Search:
    """One search; :meth:`run` continues from the checkpoint if there is one.

    Args:
        session: Configuration, device, events.
        supernet: The over-parameterised model.
        limits: Budgets in parameters, the run's own first; each step samples for one of them.
        task_format: How the task meets the model.
        train: Features of search-train.
        valid: Features of search-valid.
        train_gates: Whether the gates learn; else they stay as they are and only the weights do.
        settings: By default ``search`` of the configuration.
        number: Which of the run's searches this is.
    """

    def __init__(
        self,
        session: Session,
        supernet: Supernet,
        limits: Sequence[int],
        task_format: Format,
        train: Sequence[Feature],
        valid: Sequence[Feature],
        *,
        train_gates: bool = True,
        settings: SearchConfig | None = None,
        number: int = 0,
    ) -> None:
        self.session, self.supernet = session, supernet
        self.limits, self.limit = limits, limits[0]
        self.format, self.train, self.valid = task_format, train, valid
        self.config = session.config.search if settings is None else settings
        self.number = number
        self.checkpoint = session.run.file(folder(number), CHECKPOINT)
        self.seed = derive(search_seed(session.config, number), "search")
        backbone = supernet.backbone
        self.model = backbone.model
        groups = parameter_groups(session.config, supernet.weight_parameters(), backbone)
        self.rates = {id(p): group["base_lr"] for group in groups for p in group["params"]}
        self.weights = make_optimiser(session.config, groups)
        self.arch = None
        if train_gates:
            self.arch = torch.optim.Adam(
                supernet.arch_parameters(), lr=self.config.arch_lr, betas=(0.5, 0.999)
            )
        self.named = {**supernet.named_weights(), **dict(head_parameters(backbone.model))}
        self.trace = JsonLines(session.run.file(folder(number), TRACE))
        self.step, self.seconds = 0, 0.0
        self.watch = Watch(supernet.space, self.limit)
        self.check_every = max(1, self.config.steps // CHECKS)

    @property
    def settled(self) -> bool:
        """Whether the gates have long chosen the same, so that going on would change nothing."""
        enough = self.config.stable_checks
        return self.arch is not None and 0 < enough <= self.watch.steady

    def run(self) -> None:
        """Run the remaining steps.

        Raises:
            DivergedError: A loss is not finite.
            StoppedError: The user asked to stop; the state is saved.
        """
        if self.checkpoint.is_file():
            self.restore()
        # Logged steps behind the checkpoint will run, and be logged, again.
        self.trace.truncate_after(self.step)
        self.session.events.rewind("search", self.step, search=self.number)
        optimiser = self.session.accelerator.prepare(self.weights)
        size = self.config.batch_size
        orders = [self.session.batches(rows, size, derive(self.seed, name))
                  for name, rows in (("train", self.train), ("valid", self.valid))]  # fmt: skip
        began = time.perf_counter()
        while self.step < self.config.steps and not self.settled:
            train_rows = [self.train[i] for i in orders[0].indices(self.step)]
            valid_rows = [self.valid[i] for i in orders[1].indices(self.step)]
            self._one_step(optimiser, train_rows, valid_rows)
            self.step += 1
            self._check()
            due = self.step % self.config.checkpoint_every == 0 or self.step == self.config.steps
            due = due or self.settled
            if due or self.session.interrupt.requested:
                self.seconds += time.perf_counter() - began
                began = time.perf_counter()
                self.save()
                self.session.interrupt.check(f"search step {self.step:,}")
        self.session.accelerator.free_memory()

    def _one_step(
        self, optimiser: Any, train_rows: Sequence[Feature], valid_rows: Sequence[Feature]
    ) -> None:
        now = schedules.at(self.step, self.config)
        set_rates(optimiser, schedule(self.step, self.config.steps, 0.06))
        valid_loss = None
        due = self.step % self.config.gate_every == 0
        if self.arch is not None and due and not now.warming_up:
            valid_loss = self._gate_step(self.arch, now, train_rows, valid_rows)
        train_loss = self._weight_step(optimiser, now, train_rows)
        last = self.step + 1 == self.config.steps
        if self.step % self.config.log_every == 0 or last:
            self._log(now, train_loss, valid_loss)

    def _choices(self, now: schedules.Point, stream: str) -> Tensor:
        """Draw hard choices (S, G, C); the same ones at every call within a step."""
        seed = derive(self.seed, stream, self.step)
        seed_torch(seed)
        alike = self.supernet.backbone.rows_alike
        count = 1 if alike else self.config.architectures_per_batch
        limit = self.limits[seed % len(self.limits)]
        return self.supernet.gates.draw(count, now.temperature, now.exploration, limit)

    def _loss(
        self,
        rows: Sequence[Feature],
        portion: range,
        choices: Tensor,
        stream: str,
        probed: float = 0.0,
    ) -> Tensor:
        """Return what a portion adds, in this process, to the mean loss of the rows."""
        own = slice_of(rows, self.format.terms, portion)
        batch = self.session.to_device(self.format.collate(own.rows))
        self.supernet.set(
            choices,
            len(rows),
            probed=probed,
            places=own.places,
            owners=batch.get("owners"),
            again=portion.start > 0,
        )
        if ranks.rank():  # the architectures are drawn alike everywhere, the dropout is not
            more = (portion.start,) if portion.start else ()
            seed_torch(own_seed(derive(self.seed, stream, self.step, *more)))
        with self.session.accelerator.autocast():
            return own.weighted(self.format.loss(self.model, batch))

    def _weight_step(self, optimiser: Any, now: schedules.Point, rows: Sequence[Feature]) -> float:
        """One step of the weights on hard samples; what is switched off is not even run."""
        self.model.train()

        def passes(portions: Sequence[range]) -> float:
            optimiser.zero_grad()
            with torch.no_grad():
                choices = self._choices(now, "weights")
            total = 0.0
            for portion in portions:
                loss = self._loss(rows, portion, choices, "weights")
                total += float(loss.detach())
                if loss.requires_grad:  # an empty sample without a head trains nothing
                    self.session.accelerator.backward(loss)
            return total

        total = self.session.portions.whole(len(rows), passes)
        sum_gradients(self.named.values())
        optimiser.step()
        optimiser.zero_grad()
        return self._checked(ranks.total(total))

    def _gate_step(
        self,
        optimiser: torch.optim.Adam,
        now: schedules.Point,
        train_rows: Sequence[Feature],
        valid_rows: Sequence[Feature],
    ) -> float:
        """One step of the gates; gradients reach what was sampled and what is probed besides."""
        self.model.train()
        arch, second = self.supernet.arch_parameters(), self.config.bilevel == "second"
        rows = train_rows if self.config.bilevel == "single" else valid_rows

        def passes(portions: Sequence[range]) -> tuple[list[Tensor], float]:
            seen: list[float] = []
            valid = self._gate_loss(now, rows, portions, seen)
            if second:
                train = self._gate_loss(now, train_rows, self.session.portions.cut(len(train_rows)))
                grads = self._second_order(train, valid, arch)
            else:
                grads = hypergradient.first_order(valid, arch)
            return grads, sum(seen[: len(portions)])

        found, total = self.session.portions.whole(len(rows), passes, together=not second)
        for parameter, gradient in zip(arch, found if second else summed(found), strict=True):
            parameter.grad = gradient
        optimiser.step()
        optimiser.zero_grad()
        return self._checked(ranks.total(total))

    def _gate_loss(
        self,
        now: schedules.Point,
        rows: Sequence[Feature],
        portions: Sequence[range],
        seen: list[float] | None = None,
    ) -> hypergradient.Loss:
        """Return a function that gives the summands of a loss; their values go into ``seen``."""

        def summands() -> Iterator[Tensor]:
            for portion in portions:
                # Each has a graph of its own, down to the gates; this seeds what is drawn after it.
                choices = self._choices(now, "gates")
                if portion.start:
                    seed_torch(derive(self.seed, "gates", self.step, portion.start))
                share = self.config.probed_fraction
                loss = self._loss(rows, portion, choices, "gates", share)
                if seen is not None:
                    seen.append(float(loss.detach()))
                yield loss

        return summands

    def _second_order(
        self, train: hypergradient.Loss, valid: hypergradient.Loss, arch: list[torch.nn.Parameter]
    ) -> list[Tensor]:
        weights = [p for p in self.named.values() if id(p) in self.rates]
        factor = schedule(self.step, self.config.steps, 0.06)
        rates = [self.rates[id(p)] * factor for p in weights]
        return hypergradient.second_order(train, valid, weights, arch, rates, summed)

    def _checked(self, loss: float) -> float:
        if not finite(loss):
            message = f"The search diverged at step {self.step:,}: the loss is {loss}."
            methods = list(self.supernet.weight_parameters())
            raise DivergedError(message, divergence_hint(self.session.config, methods))
        return loss

    @torch.no_grad()
    def _check(self) -> None:
        """Look at what the gates would choose, once they have begun to learn."""
        began = round(self.config.steps * self.config.warmup_fraction)
        if self.arch is None or self.step <= began or self.step % self.check_every:
            return
        log_q, _ = self.supernet.gates.distribution(self.limit)
        self.watch.check(log_q)

    @torch.no_grad()
    def _log(self, now: schedules.Point, train_loss: float, valid_loss: float | None) -> None:
        log_q, price = self.supernet.gates.distribution(self.limit)
        shares = [
            row[: len(gate.candidates)].exp()
            for row, gate in zip(log_q, self.supernet.space.gates, strict=True)
        ]
        self.session.emit(
            "search",
            "step",
            search=self.number,
            **({"name": f"again, seed {self.number}"} if self.number else {}),
            step=self.step + 1,
            steps=self.config.steps,
            phase="warmup" if now.warming_up else "search",
            train_loss=train_loss,
            valid_loss=valid_loss,
            price=float(price),
            **further_prices(self.supernet.gates, self.limit),
            expected_cost=expected_cost(self.supernet.space, shares),
            limit=self.limit,
            temperature=now.temperature,
            exploration=now.exploration,
            entropy=mean_entropy(shares),
            **self.watch.latest,
        )
        rows = [[round(float(q), 6) for q in row] for row in shares]
        self.trace.append({"step": self.step + 1, "probabilities": rows})

    def save(self) -> None:
        """Write the whole state of the search."""
        tensors: dict[str, Tensor] = dict(self.named)
        tensors.update(arch_named(self.supernet))
        tensors.update(checkpoint.optimiser_state(self.weights, self.named))
        if self.arch is not None:
            tensors.update(checkpoint.optimiser_state(self.arch, arch_named(self.supernet)))
        meta = {"step": self.step, "seconds": self.seconds, "watch": self.watch.state()}
        checkpoint.save(self.checkpoint, tensors, meta)
        self.session.saved()

    def restore(self) -> None:
        """Read it back."""
        tensors, meta = checkpoint.load(self.checkpoint)
        checkpoint.restore_weights(self.named, tensors)
        checkpoint.restore_weights(arch_named(self.supernet), tensors)
        checkpoint.restore_optimiser(self.weights, self.named, tensors)
        if self.arch is not None:
            checkpoint.restore_optimiser(self.arch, arch_named(self.supernet), tensors)
        self.step, self.seconds = meta["step"], meta["seconds"]
        self.watch.restore(meta["watch"])


def further_prices(gates: Gates, limit: float) -> dict[str, dict[str, float]]:
    """Return what is logged beside the price of a parameter: the prices of other resources."""
    if not isinstance(gates, PricedGates) or not gates.names:
        return {}
    return {"prices": gates.prices(limit)}


def arch_named(supernet: Supernet) -> dict[str, torch.nn.Parameter]:
    """Return the architecture parameters by their names in the checkpoint."""
    return {f"gates/{name}": p for name, p in supernet.gates.named_parameters()}


def expected_cost(space: SearchSpace, shares: Sequence[Tensor]) -> float:
    """Return the expected parameters under probabilities of each gate's candidates."""
    return sum(
        float(q) * candidate.num_params
        for row, gate in zip(shares, space.gates, strict=True)
        for q, candidate in zip(row, gate.candidates, strict=True)
    )


def mean_entropy(shares: Sequence[Tensor]) -> float:
    """Return the mean entropy of the gates, in nats."""
    return float(torch.stack([torch.special.entr(row).sum() for row in shares]).mean())
